// PORT: the queues outside of the database, and what wakes those who wait for work. Never the
// truth: all of it can be made anew from the database at any time, so an implementation may forget
// everything, but must not show something wrong as if it were whole. Calls are synchronous, from
// any thread. An Error is unavailable with reason "queue_unavailable": go on with the database.
#pragma once
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "core/deployment.h"
#include "core/ids.h"

namespace berth {

// What it means to a scheduler.
enum class WakeKind {
  queued,    // somebody waits now, or waits with another priority
  released,  // resources are free again
  changed,   // anything else about the cluster or its deployments
};
template <>
struct Names<WakeKind> {
  static constexpr std::array<std::pair<WakeKind, std::string_view>, 3> table{
      {{WakeKind::queued, "queued"},
       {WakeKind::released, "released"},
       {WakeKind::changed, "changed"}}};
};

// Admission numbers stay below this: a sorted set keeps them as doubles, exact up to here.
inline constexpr std::uint64_t kOrderLimit = std::uint64_t{1} << 53;

// Who waits, and may start as far as it is concerned; one in back-off is not in the queue.
struct WaitingEntry {
  DeploymentId id;
  Priority priority = Priority::low;
  std::uint64_t order = 0;  // admission number
  Resources demand;
  friend bool operator==(const WaitingEntry&, const WaitingEntry&) = default;
};

// What one event of the history does to a cluster's queue.
struct QueueChange {
  std::int64_t seq = 0;
  ClusterId cluster;
  WakeKind kind = WakeKind::changed;
  std::optional<WaitingEntry> enter;  // waits now: added, or replaced
  std::optional<DeploymentId> leave;  // does not wait any more; done before `enter`
  std::int64_t after = 0;             // the cluster's event before this one; 0: not known
  friend bool operator==(const QueueChange&, const QueueChange&) = default;
};

struct Wake {
  std::int64_t seq = 0;
  WakeKind kind = WakeKind::changed;
  ClusterId cluster;
  friend bool operator==(const Wake&, const Wake&) = default;
};

// The queue of a cluster, in the order of admission. Without a seq it is not there, or not whole,
// and the lists are empty.
struct QueueContent {
  std::optional<std::int64_t> seq;  // the event up to which it is true
  std::vector<WaitingEntry> high, low;
  friend bool operator==(const QueueContent&, const QueueContent&) = default;
};

// The same without the entries: cheap to ask for.
struct QueueMark {
  std::optional<std::int64_t> seq;
  std::uint64_t high = 0, low = 0;
  friend bool operator==(const QueueMark&, const QueueMark&) = default;
};

// For one thread. A reader survives failures of the queue: the next call tries again.
class WakeReader {
 public:
  virtual ~WakeReader() = default;
  // What came since the last call, at once when there is something; empty: nothing came in time.
  virtual Result<std::vector<Wake>> wait(std::chrono::milliseconds patience) = 0;
};

class NudgeReader {
 public:
  virtual ~NudgeReader() = default;
  // True: somebody nudged since the last call, or may have, because the connection was lost.
  virtual Result<bool> wait(std::chrono::milliseconds patience) = 0;
};

class WorkQueue {
 public:
  virtual ~WorkQueue() = default;

  // In order. A cluster whose own seq is that of a change or higher ignores it. One that has no
  // whole queue, or one that is older than the event before the change, has none afterwards: what
  // lacks something is never shown. Every change is appended to the wakes, whatever the queues do
  // with it; repeating a call repeats its wakes.
  virtual Result<void> publish(std::span<const QueueChange> changes) = 0;
  // Exactly these wait, true up to `seq`. Readers see the old queue or the new one. Ignored when
  // there is a whole queue that is newer than `seq`: who wants to go back removes it before.
  virtual Result<void> rebuild(const ClusterId& cluster, std::span<const WaitingEntry> waiting,
                               std::int64_t seq) = 0;
  virtual Result<void> remove(const ClusterId& cluster) = 0;
  virtual Result<QueueContent> content(const ClusterId& cluster) = 0;
  // One for each of the clusters asked for.
  virtual Result<std::vector<QueueMark>> marks(std::span<const ClusterId> clusters) = 0;
  // Those that something was written for and that were not removed; after a loss maybe too few.
  virtual Result<std::vector<ClusterId>> clusters() = 0;

  // From now on; each reader sees every wake at least once. A new reader of the same name takes
  // the place of the old one.
  virtual Result<std::unique_ptr<WakeReader>> reader(const std::string& name) = 0;
  // Nothing is kept any more for readers that are not among these. One that lives nevertheless
  // goes on, and may miss what came meanwhile.
  virtual Result<void> forget_readers(std::span<const std::string> living) = 0;

  // The name of all that is kept: `proposal` when nothing was, else what was proposed then. Another
  // name than the last time: everything was lost in between. Cheap.
  virtual Result<std::string> generation(std::string_view proposal) = 0;

  // "The history has grown." Cheap.
  virtual Result<void> nudge() = 0;
  virtual Result<std::unique_ptr<NudgeReader>> nudges() = 0;

  // Settings of the server that are unsafe in production, a sentence each.
  virtual Result<std::vector<std::string>> warnings() = 0;
};

}  // namespace berth
