// The launch record and the status record, as the supervisor reads and writes them.
#pragma once
#include <cstdint>

#include "files.h"

namespace berth::process {

struct LaunchRecord {
  bool good = false;
  TextList arguments;
  TextList environment;
  TextList marks;                   // environment entries that together name this attempt
  TextList cgroups;                 // folders to make and to join
  TextList settings;                // "FILE VALUE": limits that must hold
  TextList wishes;                  // the same, but failing is fine
  TextList rlimits;                 // "RESOURCE VALUE"
  const char* work = nullptr;       // working directory
  const char* kill_file = nullptr;  // cgroup.kill, where the kernel has it
  const char* oom_file = nullptr;   // holds a line "oom_kill N"
  const char* pids_file = nullptr;  // pids.max
  std::int64_t uid = -1;            // of user and group; -1: stay who we are
  std::int64_t run_ms = 0;          // 0: for ever
  std::int64_t grace_ms = 10'000;
  std::int64_t log_bytes = 64 << 20;
};

LaunchRecord read_launch(int folder);

struct StatusRecord {
  bool there = false;
  const char* state = "";
  std::int64_t pid = 0;
  std::int64_t start = 0;  // start time of pid in clock ticks: with the boot id it names a process
  std::int64_t started_at = 0;
  const char* boot = "";
  std::int64_t exit_code = -1;
  std::int64_t signal = -1;
  bool out_of_memory = false;
  const char* reason = "";
  const char* error = "";
};

StatusRecord read_status(int folder);
bool write_status(int folder, const StatusRecord& status, bool durable);

const char* boot_id();

}  // namespace berth::process
