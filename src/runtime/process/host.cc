#include "runtime/process/host.h"

#include <fmt/format.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <fstream>
#include <sstream>

#include "runtime/process/gpus.h"

namespace berth::process {
namespace {

std::string first_line(const std::string& path) {
  std::ifstream in(path);
  std::string line;
  std::getline(in, line);
  return line;
}

std::optional<std::int64_t> to_number(std::string_view text) {
  std::int64_t out = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (ec != std::errc{}) return std::nullopt;
  return out;
}

struct Mount {
  std::string folder;
  std::string type;
  std::string options;
};

// A line of mountinfo: ID PARENT DEVICE ROOT FOLDER OPTIONS [TAGS...] - TYPE SOURCE SUPEROPTIONS
std::vector<Mount> cgroup_mounts() {
  std::vector<Mount> out;
  std::ifstream in("/proc/self/mountinfo");
  for (std::string line; std::getline(in, line);) {
    const auto dash = line.find(" - ");
    if (dash == std::string::npos) continue;
    std::istringstream left(line.substr(0, dash)), right(line.substr(dash + 3));
    std::string id, parent, device, root, source;
    Mount m;
    left >> id >> parent >> device >> root >> m.folder;
    right >> m.type >> source >> m.options;
    if (m.type == "cgroup" || m.type == "cgroup2") out.push_back(std::move(m));
  }
  return out;
}

bool has_word(const std::string& list, std::string_view word, char separator) {
  std::istringstream in(list);
  for (std::string one; std::getline(in, one, separator);) {
    if (one == word) return true;
  }
  return false;
}

std::string controller_mount(const std::vector<Mount>& mounts, std::string_view controller) {
  for (const auto& m : mounts) {
    if (m.type == "cgroup" && has_word(m.options, controller, ',')) return m.folder;
  }
  return "";
}

std::string v2_mount(const std::vector<Mount>& mounts) {
  for (const auto& m : mounts) {
    if (m.type == "cgroup2") return m.folder;
  }
  return "";
}

bool exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

// Whether the folder can be made, has these files, and lets us write them.
bool can_limit(const std::string& folder, std::initializer_list<const char*> files) {
  const bool made = ::mkdir(folder.c_str(), 0755) == 0;
  if (!made && errno != EEXIST) return false;
  bool good = ::access(folder.c_str(), W_OK | X_OK) == 0;
  for (const char* file : files) good = good && ::access((folder + "/" + file).c_str(), W_OK) == 0;
  if (made) ::rmdir(folder.c_str());
  return good;
}

// Folders below hold controllers only if those above hand them down.
bool hand_down(const std::string& folder) {
  std::ofstream out(folder + "/cgroup.subtree_control");
  out << "+cpu +memory +pids" << std::flush;
  out.close();
  const std::string now = first_line(folder + "/cgroup.subtree_control");
  return has_word(now, "cpu", ' ') && has_word(now, "memory", ' ') && has_word(now, "pids", ' ');
}

std::optional<Cgroups> find_v2(const std::vector<Mount>& mounts, const std::string& parent) {
  const std::string top = v2_mount(mounts);
  if (top.empty() || !has_word(first_line(top + "/cgroup.controllers"), "memory", ' '))
    return std::nullopt;
  const std::string folder = top + "/" + parent;
  if (!hand_down(top)) return std::nullopt;
  if (::mkdir(folder.c_str(), 0755) != 0 && errno != EEXIST) return std::nullopt;
  if (!hand_down(folder)) return std::nullopt;
  if (!can_limit(folder, {"cgroup.procs", "cpu.max", "memory.max", "pids.max"}))
    return std::nullopt;
  return Cgroups{Level::cgroup_v2, folder, folder, folder, ""};
}

std::optional<Cgroups> find_v1(const std::vector<Mount>& mounts, const std::string& parent) {
  Cgroups out{Level::cgroup_v1, "", "", "", ""};
  const auto take = [&](const char* controller, std::string& into, const char* file) {
    const std::string top = controller_mount(mounts, controller);
    if (top.empty()) return;
    // The last attempt to end takes the folder away, perhaps just while we look.
    for (int looks = 0; looks < 3 && into.empty(); ++looks) {
      if (can_limit(top + "/" + parent, {"cgroup.procs", file})) into = top + "/" + parent;
    }
  };
  take("cpu", out.cpu, "cpu.cfs_quota_us");
  take("memory", out.memory, "memory.limit_in_bytes");
  take("pids", out.pids, "pids.max");
  if (out.cpu.empty() || out.memory.empty()) return std::nullopt;
  const std::string tree = v2_mount(mounts);
  if (!tree.empty() && can_limit(tree + "/" + parent, {"cgroup.kill"}))
    out.tracking = tree + "/" + parent;
  return out;
}

// The cgroup that this process is in, of a controller ("" for v2).
std::string own_cgroup(const std::vector<Mount>& mounts, std::string_view controller) {
  const std::string top =
      controller.empty() ? v2_mount(mounts) : controller_mount(mounts, controller);
  if (top.empty()) return "";
  std::ifstream in("/proc/self/cgroup");
  for (std::string line; std::getline(in, line);) {
    const auto first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string names = line.substr(first + 1, second - first - 1);
    if (controller.empty() ? !names.empty() : !has_word(names, controller, ',')) continue;
    const std::string folder = top + line.substr(second + 1);
    return exists(folder) ? folder : top;
  }
  return top;
}

std::int64_t cpu_milli(const std::vector<Mount>& mounts) {
  cpu_set_t set;
  std::int64_t out = ::sysconf(_SC_NPROCESSORS_ONLN) * 1000;
  if (::sched_getaffinity(0, sizeof set, &set) == 0) out = CPU_COUNT(&set) * 1000;
  if (const std::string v1 = own_cgroup(mounts, "cpu"); !v1.empty()) {
    const auto quota = to_number(first_line(v1 + "/cpu.cfs_quota_us"));
    const auto period = to_number(first_line(v1 + "/cpu.cfs_period_us"));
    if (quota && period && *quota > 0 && *period > 0) out = std::min(out, *quota * 1000 / *period);
  }
  if (const std::string v2 = own_cgroup(mounts, ""); !v2.empty()) {
    std::istringstream line(first_line(v2 + "/cpu.max"));  // "max 100000" or "50000 100000"
    std::int64_t quota = 0, period = 0;
    if (line >> quota >> period && quota > 0 && period > 0)
      out = std::min(out, quota * 1000 / period);
  }
  return out;
}

std::int64_t memory_bytes(const std::vector<Mount>& mounts) {
  std::int64_t out = static_cast<std::int64_t>(::sysconf(_SC_PHYS_PAGES)) * ::sysconf(_SC_PAGESIZE);
  const auto take = [&](const std::string& folder, const char* file) {
    if (folder.empty()) return;
    const auto limit = to_number(first_line(folder + "/" + file));
    if (limit && *limit > 0) out = std::min(out, *limit);
  };
  take(own_cgroup(mounts, "memory"), "memory.limit_in_bytes");
  take(own_cgroup(mounts, ""), "memory.max");
  return out;
}

// The kernel refuses a quota below one millisecond: the smallest demands get a longer period.
std::int64_t cpu_period(std::int64_t cpu_milli) { return cpu_milli < 10 ? 1'000'000 : 100'000; }

void limit_v2(Limits& out, const std::string& at, const Resources& r, std::int64_t processes) {
  out.cgroups = {at};
  if (r.cpu_milli > 0) {
    const std::int64_t period = cpu_period(r.cpu_milli);
    out.settings.push_back(
        fmt::format("{}/cpu.max {} {}", at, r.cpu_milli * period / 1000, period));
  }
  if (r.memory_bytes > 0)
    out.settings.push_back(fmt::format("{}/memory.max {}", at, r.memory_bytes));
  if (r.memory_bytes > 0) out.wishes.push_back(fmt::format("{}/memory.swap.max 0", at));
  if (r.memory_bytes > 0) out.wishes.push_back(fmt::format("{}/memory.oom.group 1", at));
  out.settings.push_back(fmt::format("{}/pids.max {}", at, processes));
  out.kill_file = at + "/cgroup.kill";
  out.oom_file = at + "/memory.events";
  out.pids_file = at + "/pids.max";
}

void limit_v1(Limits& out, const Cgroups& cgroups, const std::string& attempt, const Resources& r,
              std::int64_t processes) {
  const auto folder = [&](const std::string& parent) {
    out.cgroups.push_back(parent + "/" + attempt);
    return out.cgroups.back();
  };
  if (!cgroups.pids.empty()) {
    out.pids_file = folder(cgroups.pids) + "/pids.max";
    out.settings.push_back(fmt::format("{} {}", out.pids_file, processes));
  }
  const std::string memory = folder(cgroups.memory);
  out.oom_file = memory + "/memory.oom_control";
  if (r.memory_bytes > 0) {
    out.settings.push_back(fmt::format("{}/memory.limit_in_bytes {}", memory, r.memory_bytes));
    out.wishes.push_back(fmt::format("{}/memory.memsw.limit_in_bytes {}", memory, r.memory_bytes));
  }
  const std::string cpu = folder(cgroups.cpu);
  if (r.cpu_milli > 0) {
    const std::int64_t period = cpu_period(r.cpu_milli);
    out.settings.push_back(fmt::format("{}/cpu.cfs_period_us {}", cpu, period));
    out.settings.push_back(fmt::format("{}/cpu.cfs_quota_us {}", cpu, r.cpu_milli * period / 1000));
  }
  if (!cgroups.tracking.empty()) out.kill_file = folder(cgroups.tracking) + "/cgroup.kill";
}

}  // namespace

NodeCapacity host_capacity(const std::string& gpu_library) {
  const auto mounts = cgroup_mounts();
  const auto gpus = find_gpus(gpu_library);
  NodeCapacity out;
  char name[256] = "";
  ::gethostname(name, sizeof name - 1);
  out.name = name[0] == 0 ? "localhost" : name;
  out.resources.cpu_milli = cpu_milli(mounts);
  out.resources.memory_bytes = memory_bytes(mounts);
  out.resources.gpu_milli = static_cast<std::int64_t>(gpus.size()) * kGpuDevice;
  if (!gpus.empty()) out.gpu_model = gpus.front().model;
  return out;
}

std::string level_text(Level level) {
  switch (level) {
    case Level::cgroup_v2:
      return "cgroup v2";
    case Level::cgroup_v1:
      return "cgroup v1";
    case Level::rlimits:
      break;
  }
  return "rlimits";
}

Cgroups find_cgroups(const std::string& parent, Level best) {
  const auto mounts = cgroup_mounts();
  if (best == Level::cgroup_v2) {
    if (auto found = find_v2(mounts, parent)) return *found;
  }
  if (best != Level::rlimits) {
    if (auto found = find_v1(mounts, parent)) return *found;
  }
  return {};
}

Limits limits_for(const Cgroups& cgroups, const std::string& attempt, const Resources& resources,
                  std::int64_t processes, bool own_user) {
  Limits out;
  const auto rlimit = [&](int what, std::int64_t value) {
    out.rlimits.push_back(fmt::format("{} {}", what, value));
  };
  rlimit(RLIMIT_CORE, 0);
  rlimit(RLIMIT_NOFILE, 65'536);
  switch (cgroups.level) {
    case Level::cgroup_v2:
      limit_v2(out, cgroups.cpu + "/" + attempt, resources, processes);
      break;
    case Level::cgroup_v1:
      limit_v1(out, cgroups, attempt, resources, processes);
      break;
    case Level::rlimits:
      if (resources.memory_bytes > 0) rlimit(RLIMIT_DATA, resources.memory_bytes);
      break;
  }
  // Counted by user, so only where the user is the attempt's alone.
  if (own_user && out.pids_file.empty()) rlimit(RLIMIT_NPROC, processes);
  return out;
}

}  // namespace berth::process
