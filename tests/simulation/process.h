// One process of the scaled-out shape, out of the service's own classes: what is wired here is what
// app/server.cc and app/cooperation.cc wire, with a fiber for each of their threads.
#pragma once
#include <boost/asio/co_spawn.hpp>

#include "service/attention.h"
#include "service/clusters.h"
#include "service/deployments.h"
#include "service/feed.h"
#include "service/leases.h"
#include "service/relay.h"
#include "simulation/database.h"
#include "simulation/machines.h"
#include "simulation/queue.h"

namespace berth::sim {

struct Shared {
  Weather& weather;
  Database& database;
  QueueServer& queue;
  Workloads& workloads;
  const Broken& broken;
};

class MachineClock final : public Clock {
 public:
  MachineClock(Simulator& simulator, Machine& machine) : simulator_(simulator), machine_(machine) {}
  [[nodiscard]] Timestamp now() const override {
    return {1'700'000'000'000'000 + simulator_.now() + machine_.clock_offset};
  }

 private:
  Simulator& simulator_;
  Machine& machine_;
};

class MachineTime final : public SteadyTime {
 public:
  explicit MachineTime(Simulator& simulator) : simulator_(simulator) {}
  [[nodiscard]] Point now() const override {
    return Point(std::chrono::microseconds(simulator_.now() + kSecond));
  }

 private:
  Simulator& simulator_;
};

// Broken on purpose: does what follows a commit at once.
class HastyFollower final : public Follower {
 public:
  HastyFollower(Follower& inner, const Broken& broken) : inner_(inner), broken_(broken) {}
  Result<void> follow(Change& change, std::span<const Told> told) override;
  void forget(const std::vector<ClusterId>& clusters) override { inner_.forget(clusters); }
  void settled(const std::vector<ClusterId>& clusters, std::int64_t last) override {
    inner_.settled(clusters, last);
  }
  Result<void> before_commit(Change& change) override { return inner_.before_commit(change); }

 private:
  Follower& inner_;
  const Broken& broken_;
};

class Process {
 public:
  enum class Role { api, scheduler };
  Process(Shared shared, Role role, std::string name, std::uint64_t seed);
  ~Process();

  [[nodiscard]] Machine& machine() { return machine_; }
  [[nodiscard]] const std::string& name() const { return machine_.name(); }
  [[nodiscard]] Role role() const { return role_; }
  [[nodiscard]] Deployments& deployments() { return deployments_; }
  [[nodiscard]] Clusters& clusters() { return clusters_; }
  [[nodiscard]] Quotas& quotas() { return quotas_; }
  [[nodiscard]] bool holds(const ClusterId& cluster) const {
    return leases_ && leases_->holds(cluster);
  }
  // As for a signal: it gives its clusters up. The world ends it soon after.
  void stop() {
    stopping_ = true;
    shared_.weather.simulator.ring(hurry_);
  }
  // The engine as it is, if it is loaded. Between the steps.
  [[nodiscard]] ClusterEngine* engine(const ClusterId& cluster);
  // A request: runs on the process's loop; `done` is dropped when the process dies.
  template <class T>
  void request(Task<T> task, std::function<void(T)> done) {
    asio::co_spawn(http_.get_executor(), std::move(task),
                   [done = std::move(done)](const std::exception_ptr& failure, T value) {
                     if (!failure) done(std::move(value));
                   });
    stir();
  }

 private:
  void start();
  Authority& authority();
  void loop(const char* name, asio::io_context& io);
  void write_forever();
  void follow_forever();
  void hold_forever();
  void publish_forever();
  void nudge_forever();
  void stir() { shared_.weather.simulator.ring(machine_.stirred); }
  void hear(std::span<const Event> events);

  Shared shared_;
  const Role role_;
  Machine machine_;
  MachineClock clock_;
  MachineTime time_;
  SeededRandom random_;
  asio::io_context runner_io_{1}, http_{1};
  SimulatedStore store_, lease_store_, relay_store_;
  SimulatedQueue queue_;
  ReadSide reads_;
  NoAuthority nobody_;
  std::unique_ptr<Leases> leases_;
  std::unique_ptr<Relay> relay_;
  Runner runner_;
  Scheduling scheduling_;
  HastyFollower follower_;
  Committer committer_;
  Clusters clusters_;
  Quotas quotas_;
  Deployments deployments_;
  std::unique_ptr<Attention> attention_;
  Feed feed_;
  Bell hurry_, wrote_;
  bool has_written_ = false, stopping_ = false;
  bool follows_ = false;  // the history, from some event on
};

}  // namespace berth::sim
