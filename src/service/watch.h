// Fan-out of durable events to subscribers. Each has a bounded queue; who is too slow is dropped
// and resumes from the history.
#pragma once
#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "async/task.h"
#include "core/records.h"

namespace berth {

class WatchHub {
 public:
  class Subscription {
   public:
    explicit Subscription(Executor executor) : bell_(executor) {}
    // The next event; empty after `patience` without one, or when dropped(). On the subscriber's
    // executor only.
    Task<std::shared_ptr<const Event>> next(std::chrono::milliseconds patience);
    [[nodiscard]] bool dropped() const { return dropped_.load(); }

   private:
    friend class WatchHub;
    void offer(const std::shared_ptr<const Event>& event,
               const std::shared_ptr<Subscription>& self);

    asio::basic_waitable_timer<std::chrono::steady_clock,
                               asio::wait_traits<std::chrono::steady_clock>, Executor>
        bell_;
    std::mutex mutex_;
    std::deque<std::shared_ptr<const Event>> queue_;  // guarded by mutex_
    std::atomic<bool> dropped_ = false;
  };

  // Sees every event from now on; the caller filters by what the reader may see.
  [[nodiscard]] std::shared_ptr<Subscription> subscribe(Executor executor);
  void publish(std::vector<Event> events);  // from the committer's thread
  void close();                             // drops everybody: the server stops
  [[nodiscard]] std::size_t subscribers();
  [[nodiscard]] std::int64_t last_seq() const { return last_seq_.load(); }
  void start_from(std::int64_t seq) { last_seq_ = seq; }

 private:
  std::mutex mutex_;
  std::vector<std::weak_ptr<Subscription>> subscriptions_;  // guarded by mutex_
  std::atomic<std::int64_t> last_seq_ = 0;
  bool closed_ = false;  // guarded by mutex_
};

}  // namespace berth
