#include "runtime/process/spawn.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <csignal>

#include "runtime/process/protocol.h"

namespace berth::process {
namespace {

using Timer = asio::basic_waitable_timer<std::chrono::steady_clock,
                                         asio::wait_traits<std::chrono::steady_clock>, Executor>;
using Descriptor = asio::posix::basic_stream_descriptor<Executor>;

class Spawning {
 public:
  Spawning(int report, int folder) {
    ::posix_spawn_file_actions_init(&actions_);
    ::posix_spawn_file_actions_adddup2(&actions_, report, protocol::kReportFd);
    ::posix_spawn_file_actions_adddup2(&actions_, folder, protocol::kFolderFd);
    ::posix_spawnattr_init(&attributes_);
    ::posix_spawnattr_setflags(&attributes_,
                               POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    sigset_t none, all;
    ::sigemptyset(&none);
    ::sigfillset(&all);
    ::posix_spawnattr_setsigmask(&attributes_, &none);
    ::posix_spawnattr_setsigdefault(&attributes_, &all);
  }
  Spawning(const Spawning&) = delete;
  ~Spawning() {
    ::posix_spawn_file_actions_destroy(&actions_);
    ::posix_spawnattr_destroy(&attributes_);
  }
  int run(pid_t& pid, const std::string& program, const std::string& attempt) {
    std::string name = "berth-supervisor", of = attempt;
    char* const arguments[] = {name.data(), of.data(), nullptr};
    char* const environment[] = {nullptr};
    return ::posix_spawn(&pid, program.c_str(), &actions_, &attributes_, arguments, environment);
  }

 private:
  posix_spawn_file_actions_t actions_;
  posix_spawnattr_t attributes_;
};

// Out of the way of the numbers that the supervisor expects: dup2 must not overwrite its own
// source.
Fd lifted(int fd) { return Fd(::fcntl(fd, F_DUPFD_CLOEXEC, 10)); }

}  // namespace

Result<Spawned> spawn_supervisor(const std::string& program, const std::string& attempt,
                                 const Folder& folder) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return system_failure("cannot make a pipe");
  Fd report(ends[0]);
  const Fd theirs(ends[1]);
  const Fd high_report = lifted(theirs.get()), high_folder = lifted(folder.fd());
  if (!high_report || !high_folder) return system_failure("cannot start a supervisor");
  Spawning spawning(high_report.get(), high_folder.get());
  pid_t pid = 0;
  int error = ETXTBSY;
  // Another thread's fork may hold a writing descriptor of the fresh file for an instant.
  for (int tries = 0; tries < 50 && error == ETXTBSY; ++tries) {
    if (tries > 0) ::usleep(1000);
    error = spawning.run(pid, program, attempt);
  }
  if (error != 0) {
    errno = error;
    return system_failure("cannot start " + program);
  }
  Fd process = open_process(pid);
  if (!process) return system_failure("cannot watch a supervisor");
  return Spawned{std::move(process), std::move(report)};
}

Fd open_process(std::int64_t pid) {
  return Fd(pid <= 0 ? -1
                     : static_cast<int>(::syscall(SYS_pidfd_open, static_cast<pid_t>(pid), 0)));
}

Task<std::string> read_report(Fd report, std::chrono::milliseconds patience) {
  const auto executor = co_await asio::this_coro::executor;
  const auto pipe = std::make_shared<Descriptor>(executor, report.release());
  Timer limit(executor, patience);
  limit.async_wait([pipe](const boost::system::error_code& ec) {
    if (!ec) pipe->cancel();
  });
  std::string out;
  char buffer[2048];
  boost::system::error_code ec;
  while (!ec && !out.ends_with('\n')) {
    const auto n =
        co_await pipe->async_read_some(asio::buffer(buffer), asio::redirect_error(use_task, ec));
    out.append(buffer, n);
  }
  if (!out.ends_with('\n')) co_return std::string();
  out.pop_back();
  co_return out;
}

Task<void> wait_ended(Fd process) {
  const auto executor = co_await asio::this_coro::executor;
  const int fd = process.release();
  Descriptor descriptor(executor, fd);
  boost::system::error_code ec;
  co_await descriptor.async_wait(Descriptor::wait_read, asio::redirect_error(use_task, ec));
  siginfo_t info{};
  ::waitid(P_PIDFD, static_cast<id_t>(fd), &info, WEXITED | WNOHANG);
}

Task<void> pause(std::chrono::milliseconds duration) {
  Timer timer(co_await asio::this_coro::executor, duration);
  boost::system::error_code ec;
  co_await timer.async_wait(asio::redirect_error(use_task, ec));
}

}  // namespace berth::process
