#include "child.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>

#include "tree.h"

namespace berth::process {
namespace {

constexpr unsigned kCloseOnExec = 1U << 2;  // of close_range

[[noreturn]] void give_up(int outcome, Step step) {
  const Failure failure{step, errno};
  (void)!::write(outcome, &failure, sizeof failure);
  ::_exit(127);
}

bool set_limits(const LaunchRecord& launch) {
  for (int i = 0; i < launch.rlimits.size(); ++i) {
    const char* text = launch.rlimits[i];
    const char* blank = ::strchr(text, ' ');
    if (blank == nullptr) continue;
    const auto resource = static_cast<__rlimit_resource_t>(number(text));
    rlimit limit{};
    ::getrlimit(resource, &limit);
    const auto wanted = static_cast<rlim_t>(number(blank + 1));
    // Raising the hard limit needs a privilege that we may not have.
    if (limit.rlim_max == RLIM_INFINITY || wanted < limit.rlim_max) limit.rlim_max = wanted;
    limit.rlim_cur = limit.rlim_max;
    if (::setrlimit(resource, &limit) != 0) return false;
  }
  return true;
}

bool change_user(std::int64_t uid) {
  if (uid < 0) return true;
  const auto id = static_cast<uid_t>(uid);
  return ::setgroups(0, nullptr) == 0 && ::setresgid(id, id, id) == 0 &&
         ::setresuid(id, id, id) == 0;
}

bool enter(const char* folder) {
  const int fd = ::open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  return fd >= 0 && ::fchdir(fd) == 0;
}

void default_signals() {
  for (int signal = 1; signal < NSIG; ++signal) ::signal(signal, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

const char* search_path(const LaunchRecord& launch) {
  for (int i = 0; i < launch.environment.size(); ++i) {
    if (::strncmp(launch.environment[i], "PATH=", 5) == 0) return launch.environment[i] + 5;
  }
  return "";
}

// Like execvpe, but with the program's own PATH, and a text that is no program is not given to a
// shell.
void run(const LaunchRecord& launch) {
  const char* program = launch.arguments[0];
  if (::strchr(program, '/') != nullptr) {
    ::execve(program, launch.arguments.items(), launch.environment.items());
    return;
  }
  int error = ENOENT;
  for (const char* at = search_path(launch);;) {
    const char* colon = ::strchrnul(at, ':');
    char path[4096];
    const int n =
        std::snprintf(path, sizeof path, "%.*s/%s", static_cast<int>(colon - at), at, program);
    if (colon != at && n < static_cast<int>(sizeof path)) {
      ::execve(path, launch.arguments.items(), launch.environment.items());
      if (errno != ENOENT && errno != ENOTDIR) error = errno;
      // A file that is there and yet "not there" names an interpreter that is missing.
      struct stat info{};
      if (errno == ENOENT && ::stat(path, &info) == 0) error = ELIBACC;
    }
    if (*colon == 0) break;
    at = colon + 1;
  }
  errno = error;
}

// Born in its cgroup, which spares the kernel moving it: that can take it more than ten
// milliseconds. Only where one v2 cgroup holds everything; negative when the kernel cannot.
pid_t fork_in_cgroup(const LaunchRecord& launch) {
  if (launch.cgroups.size() != 1 || launch.kill_file == nullptr) return -1;
  const int folder = ::open(launch.cgroups[0], O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return -1;
  clone_args arguments{};
  arguments.flags = CLONE_INTO_CGROUP;
  arguments.exit_signal = SIGCHLD;
  arguments.cgroup = static_cast<unsigned>(folder);
  const auto pid = static_cast<pid_t>(::syscall(SYS_clone3, &arguments, sizeof arguments));
  if (pid != 0) ::close(folder);
  return pid;
}

[[noreturn]] void become(const LaunchRecord& launch, bool joined, int output, int release,
                         int outcome) {
  ::setsid();
  if (!joined && !join_cgroups(launch)) give_up(outcome, Step::cgroup);
  // When the whole machine runs out of memory, workloads go before supervisors and the server.
  write_path("/proc/self/oom_score_adj", "300");
  if (!set_limits(launch)) give_up(outcome, Step::limits);
  const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  ::dup2(null, STDIN_FILENO);
  ::dup2(output, STDOUT_FILENO);
  ::dup2(output, STDERR_FILENO);
  ::syscall(SYS_close_range, 3U, ~0U, kCloseOnExec);
  ::umask(022);
  if (!enter(launch.work)) give_up(outcome, Step::folder);
  if (!change_user(launch.uid)) give_up(outcome, Step::user);
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // after the change of user, which would reset it
  char go = 0;
  ssize_t got = 0;
  do got = ::read(release, &go, 1);
  while (got < 0 && errno == EINTR);
  if (got != 1) ::_exit(127);  // the supervisor is dead
  default_signals();
  run(launch);
  // Named outright, a script whose interpreter is missing looks like a missing file.
  struct stat info{};
  if (errno == ENOENT && ::stat(launch.arguments[0], &info) == 0) errno = ELIBACC;
  give_up(outcome, Step::program);
}

}  // namespace

Child fork_child(const LaunchRecord& launch, int output) {
  Child child;
  child.pid = -1;
  int release[2], outcome[2];
  if (::pipe2(release, O_CLOEXEC) != 0 || ::pipe2(outcome, O_CLOEXEC) != 0) return child;
  child.pid = fork_in_cgroup(launch);
  const bool joined = child.pid >= 0;
  if (!joined) child.pid = ::fork();
  if (child.pid == 0) {
    ::close(release[1]);
    ::close(outcome[0]);
    become(launch, joined, output, release[0], outcome[1]);
  }
  ::close(release[0]);
  ::close(outcome[1]);
  child.release = release[1];
  child.outcome = outcome[0];
  return child;
}

bool release_child(Child& child, Failure& failure) {
  // Fails when the child has given up already; then the outcome says why.
  (void)!::write(child.release, "1", 1);
  ::close(child.release);
  ssize_t n = 0;
  do n = ::read(child.outcome, &failure, sizeof failure);
  while (n < 0 && errno == EINTR);
  ::close(child.outcome);
  return n != sizeof failure;
}

const char* describe(const Failure& failure, const LaunchRecord& launch) {
  static char text[1200];
  const char* why = ::strerror(failure.error);
  if (failure.step == Step::program) {
    if (failure.error == ENOENT || failure.error == ENOTDIR) why = "no such file";
    if (failure.error == EACCES) why = "permission denied";
    if (failure.error == ELIBACC) why = "the interpreter that it names is missing";
    if (failure.error == ENOEXEC) why = "it is not a program that this machine can run";
    if (failure.error == E2BIG) why = "its arguments and environment are too long";
    const int n =
        std::snprintf(text, sizeof text, "Cannot run '%.900s': %s.", launch.arguments[0], why);
    // What the server may read its workloads may not.
    if (failure.error == EACCES && launch.uid >= 0) {
      std::snprintf(text + n - 1, sizeof text - static_cast<std::size_t>(n),
                    " to its own user %lld.", static_cast<long long>(launch.uid));
    }
    return text;
  }
  const char* what = "joining the cgroup";
  if (failure.step == Step::limits) what = "setting the limits";
  if (failure.step == Step::user) what = "changing the user";
  if (failure.step == Step::folder) what = "entering the working directory";
  std::snprintf(text, sizeof text, "%s failed: %s", what, why);
  return text;
}

}  // namespace berth::process
