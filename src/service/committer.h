// The one writer. Requests queue their units of work; a thread of its own runs as many as wait
// inside one transaction and makes them durable with one sync (group commit). After each unit the
// follower (the scheduler) decides within the same transaction, so a submission and its start cost
// one sync. Nobody is answered before the sync. The engines live on this thread alone: no locks in
// decisions.
#pragma once
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "async/offload.h"
#include "base/result.h"
#include "service/change.h"

namespace berth {

class Follower {
 public:
  virtual ~Follower() = default;
  // Decides about what one unit told, writing through `change`. An error undoes the whole unit.
  virtual Result<void> follow(Change& change, std::span<const Told> told) = 0;
  // Everything of the transaction is decided: what else belongs into it. An error undoes all of it.
  virtual Result<void> before_commit(Change& change) {
    static_cast<void>(change);
    return {};
  }
  // What was decided for these clusters did not become durable: rebuild from the record.
  virtual void forget(const std::vector<ClusterId>& clusters) = 0;
  // What was decided for these clusters is durable, in a commit whose last event has this number.
  virtual void settled(const std::vector<ClusterId>& clusters, std::int64_t last) {
    static_cast<void>(clusters);
    static_cast<void>(last);
  }
};

struct CommitterRules {
  Sharing sharing = Sharing::sole;
  // As many as one sync may serve. Larger batches would only make the first of them wait.
  std::size_t batch = 256;
  // False: nothing happens but in step().
  bool own_thread = true;
};

struct CommitterStats {
  std::uint64_t commits = 0;
  std::uint64_t units = 0;
  std::uint64_t failed_units = 0;
  std::uint64_t failed_commits = 0;
};

class Committer {
 public:
  using Unit = std::move_only_function<Result<void>(Change&)>;
  using Publish = std::function<void(std::vector<Event>)>;

  Committer(Store& store, const Clock& clock, Follower& follower, Publish publish,
            CommitterRules rules = {});
  ~Committer();  // stop()
  // Finishes what is queued, then refuses everything. Whoever waits for an answer lives on an event
  // loop: stop before the loops are destroyed.
  void stop();

  // Errors besides the unit's own: unavailable with reason overloaded, storage_full, ...
  // `lane`: the cluster that the unit changes. Where the database is shared, units of one batch run
  // in the order of their clusters, so that two processes cannot wait for each other.
  template <class T>
  Task<Result<T>> write(std::move_only_function<Result<T>(Change&)> unit, ClusterId lane = {}) {
    auto slot = std::make_shared<std::optional<T>>();
    auto wrapped = [slot, unit = std::move(unit)](Change& change) mutable -> Result<void> {
      auto result = unit(change);
      if (!result) return std::unexpected(std::move(result.error()));
      slot->emplace(std::move(*result));
      return {};
    };
    Unit task(std::move(wrapped));
    auto start = [this, lane, task = std::move(task)](Completion<Result<void>> done) mutable {
      submit(std::move(task), std::move(done), lane);
    };
    auto outcome = co_await suspend_for<Result<void>>(std::move(start));
    if (!outcome) co_return std::unexpected(std::move(outcome.error()));
    co_return std::move(**slot);
  }
  Task<Result<void>> write(Unit unit, ClusterId lane = {});

  // Reads what only the writer's thread may touch, between two commits: sees durable state alone.
  template <class T>
  Task<T> inspect(std::move_only_function<T()> look) {
    auto start = [this, look = std::move(look)](Completion<T> done) mutable {
      look_in([look = std::move(look), done = std::move(done)]() mutable { done(look()); });
    };
    co_return co_await suspend_for<T>(std::move(start));
  }

  // `done` is called on the writer's thread.
  void submit(Unit unit, Completion<Result<void>> done, ClusterId lane = {});
  void look_in(std::move_only_function<void()> look);
  // Writes on the calling thread's time: for start-up and tools without an event loop.
  Result<void> write_and_wait(Unit unit);

  // Without a thread of its own: does what is queued now, at most one batch of it. Answers whether
  // there was anything.
  bool step();

  [[nodiscard]] CommitterStats stats() const;
  [[nodiscard]] std::size_t waiting() const;

 private:
  struct Item {
    Unit unit;
    Completion<Result<void>> done;
    ClusterId lane;
    std::uint64_t number = 0;  // in the order of asking
    Result<void> outcome;
  };
  void run();
  bool work(std::unique_lock<std::mutex> lock);
  void commit_batch(std::vector<Item>& batch);
  void run_unit(Item& item, Change& change, std::vector<ClusterId>& touched);
  void finish(std::vector<Item>& batch);

  Store& store_;
  const Clock& clock_;
  Follower& follower_;
  Publish publish_;
  const CommitterRules rules_;

  mutable std::mutex mutex_;
  std::condition_variable ring_;
  std::deque<Item> units_;                             // guarded by mutex_
  std::deque<std::move_only_function<void()>> looks_;  // guarded by mutex_
  std::uint64_t numbers_ = 0;                          // guarded by mutex_
  bool stopping_ = false;                              // guarded by mutex_
  CommitterStats stats_;                               // guarded by mutex_
  std::thread thread_;
};

}  // namespace berth
