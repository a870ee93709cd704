#include "watch.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "runtime/process/protocol.h"
#include "tree.h"

namespace berth::process {
namespace {

constexpr std::int64_t kNever = INT64_MAX;
constexpr std::int64_t kKillAgainMs = 10;

// How far the end has come.
enum class Stage { running, asked, killing };

class Watch {
 public:
  explicit Watch(const Watched& w) : w_(w) {
    if (w_.launch.run_ms > 0) run_out_ = now_ms() + w_.launch.run_ms;
  }

  void until_all_ended() {
    for (;;) {
      wait();
      copy_output();
      reap();
      if (ended_ && none_left_) break;
      read_control();
      // The attempt is over with its program; what it has left behind goes too.
      if (ended_ && stage_ == Stage::running) ask(w_.launch.grace_ms);
      check_time();
    }
    while (copy_output()) {
    }
  }

 private:
  void wait() {
    const std::int64_t next = stage_ == Stage::running ? run_out_ : deadline_;
    std::int64_t ms = -1;
    if (next != kNever) ms = std::clamp<std::int64_t>(next - now_ms(), 0, 3'600'000);
    pollfd fds[] = {{w_.signals, POLLIN, 0}, {w_.control, POLLIN, 0}, {output_, POLLIN, 0}};
    ::poll(fds, 3, static_cast<int>(ms));
  }

  // True when there may be more.
  bool copy_output() {
    static char buffer[64 << 10];
    if (output_ < 0) return false;
    const ssize_t n = ::read(output_, buffer, sizeof buffer);
    if (n > 0) w_.log.append(buffer, static_cast<std::size_t>(n));
    if (n == 0) output_ = -1;  // nobody can write to it any more
    return n > 0;
  }

  void reap() {
    signalfd_siginfo info{};
    while (::read(w_.signals, &info, sizeof info) == sizeof info) {
      // The machine goes down, or an administrator means it.
      if (info.ssi_signo == SIGTERM) stop(w_.launch.grace_ms, protocol::kStop);
    }
    for (;;) {
      int how = 0;
      const pid_t pid = ::waitpid(-1, &how, WNOHANG);
      // As every orphan comes to us, having no child means that nothing is left.
      none_left_ = pid < 0 && errno == ECHILD;
      if (pid <= 0) return;
      if (pid != w_.program) continue;
      ended_ = true;
      if (WIFEXITED(how)) w_.status.exit_code = WEXITSTATUS(how);
      if (WIFSIGNALED(how)) w_.status.signal = WTERMSIG(how);
    }
  }

  // Messages read "stop GRACE_MS REASON\n".
  void read_control() {
    char text[256];
    const ssize_t n = ::read(w_.control, text, sizeof text - 1);
    if (n <= 0) return;
    text[n] = 0;
    for (char* at = text; (at = ::strstr(at, "stop ")) != nullptr;) {
      at += 5;
      const char* reason = ::strchr(at, ' ');
      const std::size_t length = ::strlen(protocol::kReadyTimeout);
      const bool late =
          reason != nullptr && ::strncmp(reason + 1, protocol::kReadyTimeout, length) == 0;
      stop(number(at), late ? protocol::kReadyTimeout : protocol::kStop);
    }
  }

  // The first reason is the one that is told.
  void stop(std::int64_t grace_ms, const char* reason) {
    if (*w_.status.reason == 0 && !ended_) w_.status.reason = reason;
    ask(grace_ms);
  }

  // Asking again can only shorten the grace.
  void ask(std::int64_t grace_ms) {
    const std::int64_t until = now_ms() + grace_ms;
    if (stage_ == Stage::running) {
      stage_ = Stage::asked;
      deadline_ = until;
      if (grace_ms > 0) {
        signal_tree(w_.launch, SIGTERM);
        signal_tree(w_.launch, SIGCONT);  // one that was halted could not hear us
      }
    } else {
      deadline_ = std::min(deadline_, until);
    }
  }

  void check_time() {
    const std::int64_t now = now_ms();
    if (stage_ == Stage::running && now >= run_out_)
      stop(w_.launch.grace_ms, protocol::kRunTimeout);
    if (stage_ == Stage::running || now < deadline_) return;
    stage_ = Stage::killing;
    deadline_ = now + kKillAgainMs;
    kill_tree(w_.launch);
  }

  const Watched& w_;
  int output_ = w_.output;
  Stage stage_ = Stage::running;
  std::int64_t run_out_ = kNever;
  std::int64_t deadline_ = kNever;
  bool ended_ = false;      // the program itself
  bool none_left_ = false;  // of the whole tree
};

}  // namespace

void watch(const Watched& watched) { Watch(watched).until_all_ended(); }

}  // namespace berth::process
