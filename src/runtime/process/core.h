// The process runtime itself, apart from the object that the caller holds: tasks that follow
// attempts keep it alive until they have noticed that it was closed.
#pragma once
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/steady_timer.hpp>
#include <list>
#include <map>
#include <memory>
#include <set>

#include "runtime/process/process_runtime.h"
#include "runtime/process/spawn.h"

namespace berth::process {

// Wakes those that wait for something to change.
class Bell {
 public:
  void ring() {
    for (auto* waiter : waiters_) waiter->cancel();
  }
  Task<void> wait(std::chrono::milliseconds at_most);

 private:
  using Timer = asio::basic_waitable_timer<std::chrono::steady_clock,
                                           asio::wait_traits<std::chrono::steady_clock>, Executor>;
  std::set<Timer*> waiters_;
};

struct Attempt {
  AttemptKey key;
  bool busy = false;      // somebody starts it or marks it as gone
  bool listed = false;    // it exists; `launch` and `seen` hold
  bool followed = false;  // a task waits for its end
  LaunchFile launch;
  Observation seen;
  Bell changed;
};
using AttemptPtr = std::shared_ptr<Attempt>;

class Core : public std::enable_shared_from_this<Core> {
 public:
  Core(Executor executor, std::shared_ptr<Machine> machine, Options options);

  void listen(Runtime::Listener listener) { listener_ = std::move(listener); }
  Task<Result<void>> ensure_running(Launch launch);
  Task<Result<void>> ensure_gone(AttemptKey key, std::chrono::milliseconds grace);
  Task<Result<std::vector<Observation>>> list();
  Task<Result<LogChunk>> logs(AttemptKey key, LogQuery query);
  Task<Result<void>> forget(DeploymentId deployment);
  Task<Result<std::vector<NodeCapacity>>> capacity();
  Task<Health> health();
  // Ends the tasks; what runs goes on.
  void close();

 private:
  // One at a time for each attempt.
  class Turn {
   public:
    explicit Turn(AttemptPtr attempt) : attempt_(std::move(attempt)) { attempt_->busy = true; }
    Turn(Turn&& other) noexcept = default;
    Turn& operator=(Turn&&) = delete;
    ~Turn() {
      if (!attempt_) return;
      attempt_->busy = false;
      attempt_->changed.ring();
    }
    [[nodiscard]] const AttemptPtr& attempt() const { return attempt_; }

   private:
    AttemptPtr attempt_;
  };
  Task<Turn> take_turn(AttemptKey key);
  AttemptPtr entry(const AttemptKey& key);

  // core.cc
  Result<void> open();
  Result<void> choose_work_base();
  void adopt_all(bool first);
  void adopt(const std::string& name, const AttemptKey& key, bool first);
  Task<void> sweep(AttemptKey key);
  void spawn(Task<void> task);
  void tell(const AttemptPtr& attempt);
  void settle(const AttemptPtr& attempt, const StatusFile& status);

  // start.cc
  Result<LaunchFile> prepare(const Launch& launch, const Folder& folder);
  Result<LaunchFile> compose(const Launch& launch);
  Result<void> make_places(const LaunchFile& file, const AttemptKey& key);
  Task<Result<bool>> try_start(AttemptPtr attempt, const Launch& launch);
  Task<void> discard(AttemptPtr attempt, LaunchFile file);
  void begin(const AttemptPtr& attempt, bool ready, Fd supervisor);

  // follow.cc
  Task<void> follow(AttemptPtr attempt, Fd supervisor);
  Task<bool> follow_once(AttemptPtr attempt);
  Task<void> conclude(AttemptPtr attempt);
  Task<void> await_ready(AttemptPtr attempt);
  Task<bool> probe(const LaunchFile& launch);
  Task<void> clean(AttemptKey key);

  [[nodiscard]] std::string attempt_path(const AttemptKey& key) const {
    return home_ + "/" + key.str();
  }
  [[nodiscard]] std::string work_path(const AttemptKey& key) const {
    return work_base_ + "/" + key.str();
  }

  Executor executor_;
  std::shared_ptr<Machine> machine_;
  Options options_;
  Runtime::Listener listener_;
  std::string home_;       // this cluster's folder
  std::string work_base_;  // holds the folders with the working directories; mostly the same
  Fd root_;                // of home_
  bool open_ = false;
  bool closed_ = false;
  Cgroups cgroups_;
  std::map<AttemptKey, AttemptPtr> attempts_;
  std::set<std::string> settled_;  // folders that hold nothing but what is left of an attempt
  std::list<asio::cancellation_signal> tasks_;
};

}  // namespace berth::process
