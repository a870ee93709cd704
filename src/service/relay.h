// Carries the history from the database to the queues, in order and at least once. One of the
// processes does this at a time; two for a while do no harm. For one thread.
#pragma once
#include <chrono>
#include <memory>
#include <span>
#include <unordered_map>

#include "queue/work_queue.h"
#include "store/store.h"

namespace berth {

// Of each cluster, the latest event that a relay knows to be published.
using LatestEvents = std::unordered_map<ClusterId, std::int64_t>;

// One change for each event of a cluster. A deployment enters or leaves with the latest event about
// it, as the row says now, which may be later still: then a later event says it again. `latest` is
// that of the time before, and afterwards that of these events.
[[nodiscard]] std::vector<QueueChange> changes_of(std::span<const Event> events,
                                                  std::span<const Touched> touched,
                                                  LatestEvents& latest);

class Relay {
 public:
  // The store is this relay's alone. `mark_every`: publishing costs the database nothing but
  // reading; how far it came is written so often, and when there is nothing left to publish.
  Relay(Store& store, WorkQueue& queue,
        std::chrono::milliseconds mark_every = std::chrono::milliseconds(200));

  // Publishes the next events. Answers how many; 0: there are none.
  Result<std::size_t> step(std::size_t most = 1000);
  // Looks at the mark of every queue, and in turns at all entries of some: writes those anew that
  // are missing, behind or different, and removes those without a cluster. Reads or writes the
  // entries of at most so many queues; the cost is small when that is small and nothing is wrong.
  // Before the first step, and then regularly. Answers how many it wrote or
  // removed.
  Result<std::size_t> heal(std::size_t most);

  [[nodiscard]] std::int64_t position() const { return position_; }  // published up to here

 private:
  Result<void> begin();
  Result<void> learn_latest(std::span<const Event> events);
  Result<void> follow_clusters(std::span<const Event> events);
  Result<void> skip_ahead();
  Result<void> write_mark(bool at_once);
  Result<bool> move_mark();
  Result<void> build(const ClusterId& cluster);
  Result<bool> looks_wrong(const Cluster& cluster, const QueueMark& mark, std::int64_t last);
  Result<std::size_t> remove_gone(std::span<const ClusterId> held,
                                  std::span<const Cluster> clusters);

  Store& store_;
  WorkQueue& queue_;
  const std::chrono::milliseconds mark_every_;
  std::unique_ptr<ReadView> view_;
  std::int64_t position_ = 0;
  std::int64_t marked_ = 0;  // as the database has it
  std::optional<std::chrono::steady_clock::time_point> marked_at_;
  LatestEvents latest_;
  ClusterId compared_;  // the one whose entries were looked at last
};

// What differs between the queues and the database, a sentence each. Differences that events on
// their way explain do not count. The view must see what is committed while this goes on.
[[nodiscard]] Result<std::vector<std::string>> drift(ReadView& view, WorkQueue& queue);

}  // namespace berth
