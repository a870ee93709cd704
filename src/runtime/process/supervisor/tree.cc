#include "tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace berth::process {
namespace {

struct Process {
  pid_t pid = 0;
  pid_t parent = 0;
  std::int64_t start = 0;
  bool ours = false;
};

struct Processes {
  Process* items = nullptr;
  int size = 0;
  int room = 0;
  void add(const Process& p) {
    if (size == room) {
      room = room == 0 ? 256 : room * 2;
      items =
          static_cast<Process*>(::realloc(items, sizeof(Process) * static_cast<std::size_t>(room)));
      if (items == nullptr) ::abort();
    }
    items[size++] = p;
  }
};

// Reads /proc/PID/stat: "PID (name) state ppid ...", the start time being field 22. The name may
// hold blanks and brackets, so counting begins after the last bracket.
bool read_stat(pid_t pid, Process& out) {
  char path[64], text[1024];
  std::snprintf(path, sizeof path, "/proc/%d/stat", pid);
  const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const ssize_t n = ::read(fd, text, sizeof text - 1);
  ::close(fd);
  if (n <= 0) return false;
  text[n] = 0;
  const char* at = ::strrchr(text, ')');
  if (at == nullptr) return false;
  out.pid = pid;
  int field = 2;
  for (; *at != 0 && field < 22; ++at) {
    if (*at != ' ') continue;
    ++field;
    if (field == 4) out.parent = static_cast<pid_t>(number(at + 1));
    if (field == 22) out.start = number(at + 1);
  }
  return field == 22;
}

template <class Take>
void each_pid(Take take) {
  DIR* proc = ::opendir("/proc");
  if (proc == nullptr) return;
  while (const dirent* entry = ::readdir(proc)) {
    const auto pid = static_cast<pid_t>(number(entry->d_name));
    if (pid > 1) take(pid);
  }
  ::closedir(proc);
}

// The number may have passed to another process since we looked; the descriptor may not.
void signal_process(const Process& p, int signal) {
  const auto fd = static_cast<int>(::syscall(SYS_pidfd_open, p.pid, 0));
  if (fd < 0) return;
  if (start_time(p.pid) == p.start) ::syscall(SYS_pidfd_send_signal, fd, signal, nullptr, 0);
  ::close(fd);
}

void signal_descendants(int signal) {
  Processes all;
  each_pid([&](pid_t pid) {
    Process p;
    if (read_stat(pid, p)) all.add(p);
  });
  const pid_t self = ::getpid();
  for (bool more = true; more;) {
    more = false;
    for (int i = 0; i < all.size; ++i) {
      if (all.items[i].ours) continue;
      bool ours = all.items[i].parent == self;
      for (int j = 0; j < all.size && !ours; ++j) {
        ours = all.items[j].ours && all.items[j].pid == all.items[i].parent;
      }
      if (ours) all.items[i].ours = more = true;
    }
  }
  for (int i = 0; i < all.size; ++i) {
    if (all.items[i].ours) signal_process(all.items[i], signal);
  }
  ::free(all.items);
}

// Returns how many there were.
int signal_cgroup(const char* folder, int signal) {
  char path[512];
  std::snprintf(path, sizeof path, "%s/cgroup.procs", folder);
  const Bytes list = read_path(path);
  int count = 0;
  for (const char* at = list.data; at != nullptr && *at != 0;) {
    Process p;
    if (read_stat(static_cast<pid_t>(number(at)), p) && p.pid != ::getpid()) {
      signal_process(p, signal);
      ++count;
    }
    at = ::strchr(at, '\n');
    if (at != nullptr) ++at;
  }
  ::free(list.data);
  return count;
}

int signal_cgroups(const LaunchRecord& launch, int signal) {
  int count = 0;
  for (int i = 0; i < launch.cgroups.size(); ++i) count += signal_cgroup(launch.cgroups[i], signal);
  return count;
}

bool apply(const char* setting) {
  char path[512] = "";
  const char* blank = ::strchr(setting, ' ');
  if (blank == nullptr || blank - setting >= static_cast<long>(sizeof path)) return false;
  ::memcpy(path, setting, static_cast<std::size_t>(blank - setting));
  return write_path(path, blank + 1);
}

// A folder and the one above it, which the last attempt to leave removes.
bool make_folder(const char* folder) {
  char parent[512];
  std::snprintf(parent, sizeof parent, "%s", folder);
  if (char* slash = ::strrchr(parent, '/')) *slash = 0;
  bool made = false;
  for (int i = 0; i < 100 && !made; ++i) {
    made = ::mkdir(folder, 0755) == 0 || errno == EEXIST;
    if (!made && errno != ENOENT) return false;
    if (!made) ::mkdir(parent, 0755);
  }
  // In a v2 tree one that was made anew hands no limits down until it is told to; now that our
  // folder is in there, nobody can take it away again. Elsewhere there is no such file.
  char control[600];
  std::snprintf(control, sizeof control, "%s/cgroup.subtree_control", parent);
  write_path(control, "+cpu +memory +pids");
  return made;
}

bool has_marks(pid_t pid, const LaunchRecord& launch) {
  char path[64];
  std::snprintf(path, sizeof path, "/proc/%d/environ", pid);
  const Bytes text = read_path(path);
  int found = 0;
  for (std::size_t at = 0; at < text.size; at += ::strlen(text.data + at) + 1) {
    for (int i = 0; i < launch.marks.size(); ++i) {
      if (::strcmp(text.data + at, launch.marks[i]) == 0) ++found;
    }
  }
  ::free(text.data);
  return found > 0 && found == launch.marks.size();
}

bool of_user(pid_t pid, std::int64_t uid) {
  char path[64];
  struct stat info{};
  std::snprintf(path, sizeof path, "/proc/%d", pid);
  return uid > 0 && ::stat(path, &info) == 0 && info.st_uid == static_cast<uid_t>(uid);
}

bool is_zombie(pid_t pid) {
  char path[64];
  std::snprintf(path, sizeof path, "/proc/%d/stat", pid);
  const Bytes text = read_path(path);
  const char* bracket = text.data == nullptr ? nullptr : ::strrchr(text.data, ')');
  const bool dead = bracket == nullptr || bracket[2] == 'Z' || bracket[2] == 'X';
  ::free(text.data);
  return dead;
}

}  // namespace

std::int64_t start_time(pid_t pid) {
  Process p;
  return read_stat(pid, p) ? p.start : 0;
}

bool make_cgroups(const LaunchRecord& launch, const char*& what) {
  for (int i = 0; i < launch.cgroups.size(); ++i) {
    what = launch.cgroups[i];
    if (!make_folder(what)) return false;
  }
  for (int i = 0; i < launch.settings.size(); ++i) {
    what = launch.settings[i];
    if (!apply(what)) return false;
  }
  for (int i = 0; i < launch.wishes.size(); ++i) apply(launch.wishes[i]);
  return true;
}

bool join_cgroups(const LaunchRecord& launch) {
  char path[512];
  for (int i = 0; i < launch.cgroups.size(); ++i) {
    std::snprintf(path, sizeof path, "%s/cgroup.procs", launch.cgroups[i]);
    if (!write_path(path, "0")) return false;
  }
  return true;
}

void remove_cgroups(const LaunchRecord& launch) {
  for (int i = 0; i < launch.cgroups.size(); ++i) {
    const char* folder = launch.cgroups[i];
    for (int tries = 0; tries < 1000 && ::rmdir(folder) != 0 && errno == EBUSY; ++tries) {
      signal_cgroup(folder, SIGKILL);
      ::usleep(2000);
    }
    char parent[512];
    std::snprintf(parent, sizeof parent, "%s", folder);
    if (char* slash = ::strrchr(parent, '/')) *slash = 0;
    ::rmdir(parent);  // fails while others are in there
  }
}

bool out_of_memory(const LaunchRecord& launch) {
  if (launch.oom_file == nullptr) return false;
  const Bytes text = read_path(launch.oom_file);
  const char* line = text.data == nullptr ? nullptr : ::strstr(text.data, "oom_kill ");
  return line != nullptr && number(line + 9) > 0;
}

void signal_tree(const LaunchRecord& launch, int signal) {
  // A limited attempt cannot leave its cgroup, but one that runs as root may have done so.
  if (launch.cgroups.size() > 0) signal_cgroup(launch.cgroups[0], signal);
  if (launch.cgroups.size() == 0 || launch.uid < 0) signal_descendants(signal);
}

void kill_tree(const LaunchRecord& launch) {
  // Without leave to fork nothing can outrun the killing.
  if (launch.pids_file != nullptr) write_path(launch.pids_file, "0");
  if (launch.kill_file != nullptr) write_path(launch.kill_file, "1");
  signal_tree(launch, SIGKILL);
}

void kill_orphans(const LaunchRecord& launch) {
  for (;;) {
    if (launch.pids_file != nullptr) write_path(launch.pids_file, "0");
    if (launch.kill_file != nullptr) write_path(launch.kill_file, "1");
    int left = signal_cgroups(launch, SIGKILL);
    each_pid([&](pid_t pid) {
      if (!of_user(pid, launch.uid) && !has_marks(pid, launch)) return;
      Process p;
      if (!read_stat(pid, p) || is_zombie(pid)) return;
      signal_process(p, SIGKILL);
      ++left;
    });
    if (left == 0) return;
    ::usleep(2000);
  }
}

}  // namespace berth::process
