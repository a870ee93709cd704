// berth-supervisor: one process for each attempt. It starts the program, writes down how it goes,
// and outlives the server, so that a crash or an upgrade of the server costs no workload. Small on
// purpose: no exceptions, no streams, no library but libc, and nothing that would need the server.
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <initializer_list>

#include "child.h"
#include "runtime/process/protocol.h"
#include "tree.h"
#include "watch.h"

namespace berth::process {
namespace {

using namespace protocol;

void report(const char* word, const char* sentence = "") {
  char text[1400];
  const int n = std::snprintf(text, sizeof text, "%s %.1300s\n", word, sentence);
  (void)!::write(kReportFd, text, static_cast<std::size_t>(n));
  ::close(kReportFd);
}

bool same(const char* a, const char* b) { return ::strcmp(a, b) == 0; }

// Nothing of the server's stays with us, and no terminal or pipe can end us.
int settle() {
  ::syscall(SYS_close_range, static_cast<unsigned>(kFolderFd) + 1, ~0U, 0U);
  ::fcntl(kReportFd, F_SETFD, FD_CLOEXEC);
  ::fcntl(kFolderFd, F_SETFD, FD_CLOEXEC);
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int fd = 0; fd <= 2; ++fd) ::dup2(null, fd);
  (void)!::chdir("/");
  ::umask(077);
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  for (const int ignored : {SIGPIPE, SIGHUP, SIGINT, SIGQUIT}) ::signal(ignored, SIG_IGN);
  sigset_t ours;
  ::sigemptyset(&ours);
  ::sigaddset(&ours, SIGCHLD);
  ::sigaddset(&ours, SIGTERM);
  ::sigprocmask(SIG_SETMASK, &ours, nullptr);
  return ::signalfd(-1, &ours, SFD_CLOEXEC | SFD_NONBLOCK);
}

// A lock that can be looked at without being taken, and that no recycled process number can fake.
// It ends with us.
bool lock() {
  const int fd = ::openat(kFolderFd, kLock, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
  struct flock wanted{};
  wanted.l_type = F_WRLCK;
  wanted.l_whence = SEEK_SET;
  return fd >= 0 && ::fcntl(fd, F_OFD_SETLK, &wanted) == 0;
}

// A supervisor before us was killed, or the machine was.
void conclude(StatusRecord& status) {
  LaunchRecord launch = read_launch(kFolderFd);
  const bool this_boot = same(status.boot, boot_id());
  if (this_boot && launch.good) {
    kill_orphans(launch);
    status.out_of_memory = out_of_memory(launch);
  }
  if (launch.good) remove_cgroups(launch);
  status.state = kExited;
  status.reason = this_boot ? kLost : kReboot;
  status.error = this_boot ? "Its supervisor process was killed, and it with it."
                           : "The machine was restarted while it ran.";
  write_status(kFolderFd, status, true);
  report(kOver);
}

int fail_start(const LaunchRecord& launch, const char* sentence) {
  remove_cgroups(launch);
  ::unlinkat(kFolderFd, kStatus, 0);  // nothing has run, so it may be tried again
  report(kFailed, sentence);
  return 1;
}

void finish(const LaunchRecord& launch, StatusRecord& status) {
  status.out_of_memory = out_of_memory(launch) && status.exit_code != 0;
  remove_cgroups(launch);
  status.state = kExited;
  // What cannot be written now may be later: a disk that is full today is not full for ever.
  while (exists(kFolderFd, kLaunch) && !write_status(kFolderFd, status, true)) ::sleep(1);
}

int start(int signals, int control) {
  const LaunchRecord launch = read_launch(kFolderFd);
  if (!launch.good) return report(kFailed, "the launch record cannot be read"), 1;
  const char* what = "";
  if (!make_cgroups(launch, what)) {
    static char text[1200];
    std::snprintf(text, sizeof text, "the limits cannot be set: %.900s: %s", what,
                  ::strerror(errno));
    return fail_start(launch, text);
  }
  int output[2];
  if (::pipe2(output, O_CLOEXEC) != 0) return fail_start(launch, "no pipe for its output");
  Child child = fork_child(launch, output[1]);
  ::close(output[1]);
  if (child.pid < 0) return fail_start(launch, "no process for it");

  StatusRecord status;
  status.state = kStarted;
  status.pid = child.pid;
  status.start = start_time(child.pid);
  status.boot = boot_id();
  status.started_at = wall_micros();
  // Written before the program may run: whoever sees no status knows that nothing ever ran.
  if (!write_status(kFolderFd, status, false)) {
    ::close(child.release);
    ::waitpid(child.pid, nullptr, 0);
    return fail_start(launch, "the status cannot be written");
  }
  Log log(kFolderFd, launch.log_bytes);
  Failure failure;
  if (!release_child(child, failure)) {
    ::waitpid(child.pid, nullptr, 0);
    if (failure.step != Step::program) return fail_start(launch, describe(failure, launch));
    remove_cgroups(launch);
    status.state = kRefused;
    status.error = describe(failure, launch);
    write_status(kFolderFd, status, true);
    report(kRefused, status.error);
    return 1;
  }
  report(kOk);
  ::fcntl(output[0], F_SETFL, O_NONBLOCK);
  watch({launch, status, child.pid, control, output[0], signals, log});
  finish(launch, status);
  return 0;
}

int supervise() {
  const int signals = settle();
  // Open before the lock is taken: who finds the lock held can write to it.
  const int control = ::openat(kFolderFd, kControl, O_RDWR | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
  if (!lock()) return report(errno == EAGAIN || errno == EACCES ? kBusy : kOver), 0;
  StatusRecord status = read_status(kFolderFd);
  if (status.there && same(status.state, kStarted)) return conclude(status), 0;
  if (status.there || exists(kFolderFd, kGone)) return report(kOver), 0;
  if (control < 0) return report(kFailed, "the control pipe cannot be opened"), 1;
  return start(signals, control);
}

}  // namespace
}  // namespace berth::process

int main() { return berth::process::supervise(); }
