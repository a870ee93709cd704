#include "record.h"

#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "runtime/process/protocol.h"

namespace berth::process {
namespace {

// Calls take(key, value) for each entry; false when the record is torn or of another version.
template <class Take>
bool each_entry(Bytes record, char separator, const char* version, Take take) {
  bool first = true;
  char* at = record.data;
  if (at == nullptr) return false;
  char* const end = record.data + record.size;
  while (at < end) {
    auto* stop = static_cast<char*>(::memchr(at, separator, static_cast<std::size_t>(end - at)));
    if (stop == nullptr) return false;
    *stop = 0;
    if (first && ::strcmp(at, version) != 0) return false;
    if (::strcmp(at, protocol::kEnd) == 0) return true;
    if (char* value = first ? nullptr : ::strchr(at, '=')) {
      *value = 0;
      take(at, value + 1);
    }
    first = false;
    at = stop + 1;
  }
  return false;
}

bool is(const char* a, const char* b) { return ::strcmp(a, b) == 0; }

void take_launch(LaunchRecord& out, const char* key, char* value) {
  if (is(key, "arg")) out.arguments.add(value);
  if (is(key, "env")) out.environment.add(value);
  if (is(key, "mark")) out.marks.add(value);
  if (is(key, "cgroup")) out.cgroups.add(value);
  if (is(key, "set")) out.settings.add(value);
  if (is(key, "try")) out.wishes.add(value);
  if (is(key, "rlimit")) out.rlimits.add(value);
  if (is(key, "work")) out.work = value;
  if (is(key, "kill")) out.kill_file = value;
  if (is(key, "oom")) out.oom_file = value;
  if (is(key, "pids")) out.pids_file = value;
  if (is(key, "uid")) out.uid = number(value);
  if (is(key, "run_ms")) out.run_ms = number(value);
  if (is(key, "grace_ms")) out.grace_ms = number(value);
  if (is(key, "log_bytes")) out.log_bytes = number(value);
}

void take_status(StatusRecord& out, const char* key, char* value) {
  if (is(key, "state")) out.state = value;
  if (is(key, "pid")) out.pid = number(value);
  if (is(key, "start")) out.start = number(value);
  if (is(key, "started_at")) out.started_at = number(value);
  if (is(key, "boot")) out.boot = value;
}

}  // namespace

LaunchRecord read_launch(int folder) {
  LaunchRecord out;
  const bool whole =
      each_entry(read_file(folder, protocol::kLaunch), '\0', protocol::kLaunchVersion,
                 [&](const char* key, char* value) { take_launch(out, key, value); });
  out.good = whole && out.arguments.size() > 0 && out.work != nullptr;
  return out;
}

StatusRecord read_status(int folder) {
  StatusRecord out;
  out.there = each_entry(read_file(folder, protocol::kStatus), '\n', protocol::kStatusVersion,
                         [&](const char* key, char* value) { take_status(out, key, value); });
  return out;
}

bool write_status(int folder, const StatusRecord& s, bool durable) {
  static char text[4096];
  int n =
      std::snprintf(text, sizeof text,
                    "%s\nstate=%s\nsupervisor=%d\npid=%lld\nstart=%lld\nboot=%s\nstarted_at=%lld\n",
                    protocol::kStatusVersion, s.state, getpid(), static_cast<long long>(s.pid),
                    static_cast<long long>(s.start), s.boot, static_cast<long long>(s.started_at));
  const auto add = [&n](const char* key, long long value) {
    n +=
        std::snprintf(text + n, sizeof text - static_cast<std::size_t>(n), "%s=%lld\n", key, value);
  };
  if (s.exit_code >= 0) add("exit_code", s.exit_code);
  if (s.signal >= 0) add("signal", s.signal);
  if (s.out_of_memory) add("oom", 1);
  if (!is(s.state, protocol::kStarted)) add("ended_at", wall_micros());
  n += std::snprintf(text + n, sizeof text - static_cast<std::size_t>(n),
                     "reason=%s\nerror=%.1500s\n%s\n", s.reason, s.error, protocol::kEnd);
  return replace_file(folder, protocol::kStatus, text, static_cast<std::size_t>(n), durable);
}

const char* boot_id() {
  static char* id = nullptr;
  if (id != nullptr) return id;
  const Bytes file = read_path("/proc/sys/kernel/random/boot_id");
  id = file.data == nullptr ? const_cast<char*>("") : file.data;
  if (char* newline = ::strchr(id, '\n')) *newline = 0;
  return id;
}

}  // namespace berth::process
