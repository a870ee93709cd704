// What really runs: workloads on nodes, outside of every process of ours. They go on whatever
// happens to those who started them, and end as they please.
#pragma once
#include <map>
#include <set>

#include "async/timers.h"
#include "runtime/runtime.h"
#include "simulation/links.h"

namespace berth::sim {

struct Workload {
  ClusterId cluster;
  Launch launch;
  Phase phase = Phase::starting;
  Observation ended;  // once it has
  bool stopping = false;
};

class SimulatedRuntime;

class Workloads {
 public:
  // Told of what an invariant may be about, before and after it happens.
  struct Witness {
    std::function<void(const ClusterId&, const Launch&)> started;
    std::function<void(const AttemptKey&, const AttemptKey&)> stopped;  // asked for, hit
    std::function<void(const AttemptKey&)> ended;
  };
  Workloads(Weather& weather, const Broken& broken, Witness witness)
      : weather_(weather), broken_(broken), witness_(std::move(witness)) {}

  [[nodiscard]] const std::map<AttemptKey, Workload>& all() const { return there_; }
  [[nodiscard]] std::vector<Observation> list(const ClusterId& cluster) const;
  [[nodiscard]] bool has(const AttemptKey& key) const { return there_.contains(key); }
  void start(const ClusterId& cluster, const Launch& launch);
  // `gone` runs when nothing of it runs any more.
  void stop(const AttemptKey& key, std::function<void()> gone);
  // One of those that `may`, without a trace.
  void vanish(const std::function<bool(const AttemptKey&)>& may);

  // The machine will never take this attempt: it is told so again however often it asks.
  void refuse(const AttemptKey& key) { refused_.insert(key); }
  [[nodiscard]] bool refuses(const AttemptKey& key) const { return refused_.contains(key); }

  std::uint64_t add(SimulatedRuntime& runtime) {
    listeners_.emplace(++numbers_, &runtime);
    return numbers_;
  }
  void remove(std::uint64_t number) { listeners_.erase(number); }
  Weather& weather() { return weather_; }

 private:
  void become_ready(const AttemptKey& key);
  void end(const AttemptKey& key, bool asked);
  void tell(const AttemptKey& key);
  Observation look(const Workload& workload) const;

  Weather& weather_;
  const Broken& broken_;
  Witness witness_;
  std::map<AttemptKey, Workload> there_;
  std::set<AttemptKey> tombs_, refused_;
  std::map<std::uint64_t, SimulatedRuntime*> listeners_;
  std::uint64_t numbers_ = 0;
};

// One process's access to the workloads of one cluster.
class SimulatedRuntime final : public Runtime {
 public:
  SimulatedRuntime(Workloads& world, Machine& machine, asio::io_context& io, ClusterId cluster);
  ~SimulatedRuntime() override;

  [[nodiscard]] Capabilities capabilities() const override { return {true, true, true}; }
  void listen(Listener listener) override { listener_ = std::move(listener); }
  Task<Result<void>> ensure_running(Launch launch) override;
  Task<Result<void>> ensure_gone(AttemptKey key, std::chrono::milliseconds grace) override;
  Task<Result<std::vector<Observation>>> list() override;
  Task<Result<LogChunk>> logs(AttemptKey, LogQuery) override { co_return LogChunk{}; }
  Task<Result<void>> forget(DeploymentId) override { co_return Result<void>{}; }
  Task<Result<std::vector<NodeCapacity>>> capacity() override {
    co_return std::vector<NodeCapacity>{};
  }
  Task<Health> health() override { co_return Health{}; }

  [[nodiscard]] const ClusterId& cluster() const { return cluster_; }
  void hear(const Observation& seen);

 private:
  Task<bool> pass(Time d);
  Task<Result<void>> reach(const char* what);
  Task<Result<void>> answer();

  Workloads& world_;
  Machine& machine_;
  asio::io_context& io_;
  const ClusterId cluster_;
  const std::uint64_t number_;
  Listener listener_;
};

// The timers of a process, on the simulation's time.
class SimulatedTimers final : public Timers {
 public:
  SimulatedTimers(Simulator& simulator, Machine& machine)
      : simulator_(simulator), machine_(machine) {}
  [[nodiscard]] std::unique_ptr<Timer> make(asio::io_context& io) const override;

 private:
  Simulator& simulator_;
  Machine& machine_;
};

}  // namespace berth::sim
