// What goes wrong, and how often it did.
#pragma once
#include <array>
#include <cstdint>
#include <string_view>

namespace berth::sim {

enum class Fault {
  process_killed,
  process_stopped,
  process_frozen,
  database_cut_off,
  queue_cut_off,
  runtime_cut_off,
  database_restarted,
  queue_flushed,
  queue_away,
  clock_jumped,
  connection_lost,
  commit_answer_lost,
  slow_call,
  queue_call_failed,
  queue_answer_lost,
  wake_lost,
  wake_repeated,
  wakes_reordered,
  publication_repeated,
  runtime_call_failed,
  runtime_answer_lost,
  runtime_call_late,
  runtime_call_repeated,
  old_list,
  news_lost,
  news_repeated,
  news_late,
  start_refused,
  workload_vanished,
  last_
};
inline constexpr std::size_t kFaults = static_cast<std::size_t>(Fault::last_);

inline constexpr std::array<const char*, kFaults> kFaultNames{"process killed",
                                                              "process stopped",
                                                              "process frozen",
                                                              "database cut off",
                                                              "queue cut off",
                                                              "runtime cut off",
                                                              "database restarted",
                                                              "queue flushed",
                                                              "queue away",
                                                              "clock jumped",
                                                              "connection lost",
                                                              "commit answer lost",
                                                              "slow call",
                                                              "queue call failed",
                                                              "queue answer lost",
                                                              "wake lost",
                                                              "wake repeated",
                                                              "wakes reordered",
                                                              "publication repeated",
                                                              "runtime call failed",
                                                              "runtime answer lost",
                                                              "runtime call late",
                                                              "runtime call repeated",
                                                              "old list",
                                                              "news lost",
                                                              "news repeated",
                                                              "news late",
                                                              "start refused",
                                                              "workload vanished"};

using FaultCounts = std::array<std::uint64_t, kFaults>;

// The deliberately broken variants of what the service stands on.
struct Broken {
  bool blind_reservation = false;  // free is read, then written without a condition
  bool no_fence = false;           // every proof of the lease succeeds
  bool no_hold = false;            // holding a cluster locks nothing
  bool effects_first = false;      // what follows a commit happens before it
  bool stop_by_name = false;       // a stop hits whatever attempt of the deployment there is
  bool no_tombstone = false;       // the runtime forgets what it has stopped
  bool stop_first_only = false;    // of several replicas, the runtime stops only the first
};

}  // namespace berth::sim
