// Runs nothing: holds resources for the declared time, counted from the admission, on a real clock
// or one that is moved by hand. What it holds does not outlive the process; the caller repeats
// ensure_running() after its own start, and the time counts on from the admission.
#pragma once
#include <boost/asio/steady_timer.hpp>
#include <queue>
#include <unordered_map>
#include <vector>

#include "runtime/runtime.h"

namespace berth::simulated {

struct Options {
  double speed = 1.0;  // how many times faster than the clock
  std::vector<NodeCapacity> nodes;
  bool own_timer = true;  // false: somebody calls advance()
};

class SimulatedRuntime final : public Runtime {
 public:
  SimulatedRuntime(Executor executor, const Clock& clock, Options options);

  [[nodiscard]] Capabilities capabilities() const override { return {false, true, false}; }
  void listen(Listener listener) override { listener_ = std::move(listener); }
  Task<Result<void>> ensure_running(Launch launch) override;
  Task<Result<void>> ensure_gone(AttemptKey key, std::chrono::milliseconds grace) override;
  Task<Result<std::vector<Observation>>> list() override;
  Task<Result<LogChunk>> logs(AttemptKey key, LogQuery query) override;
  Task<Result<void>> forget(DeploymentId deployment) override;
  Task<Result<std::vector<NodeCapacity>>> capacity() override;
  Task<Health> health() override;

  // Ends what is due by the clock.
  void advance();

 private:
  struct Attempt {
    Timestamp admitted_at;
    std::optional<Timestamp> ends_at;
    std::int32_t exit_code = 0;
    std::int32_t replicas = 1;
    bool limited = false;  // max_run_time comes before its own end
    bool exited = false;
    bool gone = false;
  };
  struct KeyHash {
    std::size_t operator()(const AttemptKey& k) const noexcept {
      const auto attempt =
          std::hash<DeploymentId>{}(k.deployment) * 31 + static_cast<std::size_t>(k.number);
      return attempt * 31 + static_cast<std::size_t>(k.replica);
    }
  };
  struct End {
    Timestamp when;
    AttemptKey key;
    bool operator>(const End& o) const { return when > o.when; }
  };

  void arm();
  void tell(const AttemptKey& key, const Attempt& attempt);
  [[nodiscard]] Observation observation(const AttemptKey& key, const Attempt& attempt) const;

  Executor executor_;
  const Clock& clock_;
  Options options_;
  Listener listener_;
  std::unordered_map<AttemptKey, Attempt, KeyHash> attempts_;
  std::priority_queue<End, std::vector<End>, std::greater<>> ends_;
  asio::basic_waitable_timer<std::chrono::steady_clock,
                             asio::wait_traits<std::chrono::steady_clock>, Executor>
      timer_;
};

}  // namespace berth::simulated
