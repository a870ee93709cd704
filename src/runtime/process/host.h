// This machine: what it has, and how it can hold a process to its limits.
#pragma once
#include <string>
#include <vector>

#include "runtime/runtime.h"

namespace berth::process {

[[nodiscard]] NodeCapacity host_capacity(const std::string& gpu_library);

enum class Level { cgroup_v2, cgroup_v1, rlimits };
[[nodiscard]] std::string level_text(Level level);

// Where cgroups may be made. For v2 all of them are the same folder.
struct Cgroups {
  Level level = Level::rlimits;
  std::string cpu, memory, pids;  // empty: that one cannot be limited
  std::string tracking;           // a v2 tree without controllers, good for killing only
};
// Looks where it can write; makes nothing that stays. `best` forbids the levels above it.
[[nodiscard]] Cgroups find_cgroups(const std::string& parent, Level best);

// What an attempt's launch record says about limits.
struct Limits {
  std::vector<std::string> cgroups;   // folders to make and join
  std::vector<std::string> settings;  // "FILE VALUE", must hold
  std::vector<std::string> wishes;    // "FILE VALUE", may fail
  std::vector<std::string> rlimits;   // "RESOURCE VALUE"
  std::string kill_file, oom_file, pids_file;
};
[[nodiscard]] Limits limits_for(const Cgroups& cgroups, const std::string& attempt,
                                const Resources& resources, std::int64_t processes, bool own_user);

}  // namespace berth::process
