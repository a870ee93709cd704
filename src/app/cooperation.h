// The part that a process takes in an installation of several, over one PostgreSQL: it follows the
// history, and a scheduler also holds clusters and, if it is the first of them, publishes what
// happens to the queue. Threads of their own, so that none waits for another's server.
#pragma once
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "app/config.h"
#include "queue/work_queue.h"
#include "service/attention.h"
#include "service/deciders.h"
#include "service/feed.h"
#include "service/leases.h"
#include "service/log.h"
#include "service/relay.h"
#include "service/runner.h"
#include "service/watch.h"

namespace berth::app {

// Says the same failure once, and that it is over.
class Complaint {
 public:
  explicit Complaint(const char* what) : what_(what) {}
  template <class T>
  bool fine(const Result<T>& result) {
    const std::lock_guard lock(mutex_);
    const std::string now = result ? "" : result.error().message;
    if (now != said_) {
      if (result) log_info(what_, "works again");
      if (!result) log_error(what_, now);
      said_ = now;
    }
    return result.has_value();
  }

 private:
  const char* what_;
  std::mutex mutex_;
  std::string said_;  // guarded by mutex_
};

class Cooperation {
 public:
  // Throws std::runtime_error with a sentence when the database cannot be used.
  Cooperation(const ServeConfig& config, ReadSide& reads, Random& random);
  ~Cooperation();  // stop()

  [[nodiscard]] Authority& authority();
  [[nodiscard]] Deciders& deciders() { return deciders_; }
  // Both need each other; once, before start().
  void connect(Committer& committer, Scheduling& scheduling, Runner& runner, WatchHub& hub);
  // `address`: where other processes reach this one.
  Result<void> start(const std::string& address);
  void stop();
  // This process has committed something.
  void wrote();

  struct Figures {
    std::size_t clusters = 0;      // held
    std::int64_t followed = 0;     // the history, up to this event
    std::size_t looking = 0;       // clusters, at what happened there
    bool leads = false;            // publishes to the queue
    bool queue_reachable = false;  // at the last try
  };
  [[nodiscard]] Figures figures() const;

 private:
  [[nodiscard]] bool schedules() const { return config_.role != ProcessRole::api; }
  void hear(std::span<const Event> events);
  void catch_up();
  void follow(const std::stop_token& stop);
  void follow_closely(const std::stop_token& stop);
  void hold(const std::stop_token& stop);
  void publish(const std::stop_token& stop);
  struct Publishing;
  Result<std::size_t> publish_round(Publishing& state);
  void nudge(const std::stop_token& stop);
  void wait(const std::stop_token& stop, std::chrono::milliseconds most);

  const ServeConfig config_;
  Random& random_;
  const std::string id_;
  ReadSide& reads_;
  NoAuthority nobody_;
  std::unique_ptr<WorkQueue> queue_;
  std::unique_ptr<Store> lease_store_, relay_store_;
  std::unique_ptr<Leases> leases_;
  std::unique_ptr<Relay> relay_;
  Deciders deciders_;
  std::unique_ptr<Feed> feed_;
  std::unique_ptr<Attention> attention_;
  Runner* runner_ = nullptr;
  WatchHub* hub_ = nullptr;
  Complaint history_{"following the history"};
  std::atomic<bool> queue_reachable_ = false;

  std::mutex mutex_;
  std::condition_variable_any bell_;
  bool hurry_ = false;  // a cluster has no holder; guarded by mutex_
  bool wrote_ = false;  // guarded by mutex_
  std::vector<std::jthread> threads_;
};

}  // namespace berth::app
