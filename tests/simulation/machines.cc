#include "simulation/machines.h"

#include <algorithm>

namespace berth::sim {
namespace {

std::unexpected<Error> unreachable() {
  return fail(Code::unavailable, "away", "The machine does not answer.");
}

// What waits belongs to the simulation, not to the timer: the timer is a part of what waits.
class SimulatedTimer final : public Timer {
 public:
  SimulatedTimer(Simulator& simulator, Machine& machine, asio::io_context& io)
      : simulator_(simulator), machine_(machine), io_(io) {}
  void wait(std::chrono::microseconds d, Completion<bool> done) override {
    cancel();
    auto waiting = std::make_shared<Waiting>(Waiting{simulator_, machine_, io_, std::move(done)});
    waiting_ = waiting;
    simulator_.after(std::max<Time>(0, d.count()), &machine_,
                     [waiting = std::move(waiting)] { waiting->finish(true); });
  }
  void cancel() override {
    if (const auto waiting = waiting_.lock()) waiting->finish(false);
  }

 private:
  struct Waiting {
    Simulator& simulator;
    Machine& machine;
    asio::io_context& io;
    Completion<bool> done;
    void finish(bool passed) {
      if (!done) return;
      asio::post(io, [then = std::exchange(done, nullptr), passed]() mutable { then(passed); });
      simulator.ring(machine.stirred);
    }
  };
  Simulator& simulator_;
  Machine& machine_;
  asio::io_context& io_;
  std::weak_ptr<Waiting> waiting_;
};

}  // namespace

std::unique_ptr<Timer> SimulatedTimers::make(asio::io_context& io) const {
  return std::make_unique<SimulatedTimer>(simulator_, machine_, io);
}

// --- the workloads ------------------------------------------------------------------------------

Observation Workloads::look(const Workload& workload) const {
  if (workload.phase == Phase::exited) return workload.ended;
  Observation out;
  out.key = workload.launch.key;
  out.phase = workload.phase;
  return out;
}

std::vector<Observation> Workloads::list(const ClusterId& cluster) const {
  std::vector<Observation> out;
  for (const auto& [key, workload] : there_) {
    if (workload.cluster == cluster) out.push_back(look(workload));
  }
  return out;
}

void Workloads::start(const ClusterId& cluster, const Launch& launch) {
  if (there_.contains(launch.key) || tombs_.contains(launch.key) || refuses(launch.key)) return;
  there_[launch.key] = Workload{cluster, launch, Phase::starting, {}, false};
  weather_.simulator.tell("a workload starts", [&] { return launch.key.str(); });
  witness_.started(cluster, launch);
  auto& sim = weather_.simulator;
  const auto key = launch.key;
  const bool never = sim.chance(0.04);
  if (!never) {
    sim.after(sim.between(5 * kMilli, sim.chance(0.1) ? 8 * kSecond : kSecond), nullptr,
              [this, key] { become_ready(key); });
  }
  if (never || sim.chance(0.9)) {
    sim.after(sim.between(50 * kMilli, sim.chance(0.2) ? 40 * kSecond : 8 * kSecond), nullptr,
              [this, key] { end(key, false); });
  }
}

void Workloads::become_ready(const AttemptKey& key) {
  const auto found = there_.find(key);
  if (found == there_.end() || found->second.phase != Phase::starting) return;
  found->second.phase = Phase::running;
  weather_.simulator.tell("a workload is ready", [&] { return key.str(); });
  tell(key);
}

void Workloads::end(const AttemptKey& key, bool asked) {
  const auto found = there_.find(key);
  if (found == there_.end() || found->second.phase == Phase::exited) return;
  auto& sim = weather_.simulator;
  auto& ended = found->second.ended;
  ended.key = key;
  ended.phase = Phase::exited;
  if (asked) {
    ended.signal = 15;
  } else {
    ended.exit_code = sim.chance(0.6) ? 0 : 1;
  }
  found->second.phase = Phase::exited;
  sim.tell("a workload ends", [&] { return key.str(); });
  witness_.ended(key);
  tell(key);
}

void Workloads::vanish(const std::function<bool(const AttemptKey&)>& may) {
  std::vector<AttemptKey> running;
  for (const auto& [key, workload] : there_) {
    if (workload.phase == Phase::running && may(key)) running.push_back(key);
  }
  if (running.empty()) return;
  const auto key = running[weather_.simulator.pick(running.size())];
  weather_.hit(Fault::workload_vanished);
  witness_.ended(key);
  there_.erase(key);
  tombs_.insert(key);
}

void Workloads::stop(const AttemptKey& key, std::function<void()> gone) {
  auto& sim = weather_.simulator;
  auto found = there_.find(key);
  if (broken_.stop_by_name && found == there_.end()) {
    found = std::ranges::find_if(
        there_, [&](const auto& one) { return one.first.deployment == key.deployment; });
  }
  if (!broken_.no_tombstone) tombs_.insert(key);
  if (found == there_.end() || (broken_.stop_first_only && key.replica > 0)) return gone();
  const auto hit = found->first;
  sim.tell("a workload is stopped", [&] { return key.str(); });
  witness_.stopped(key, hit);
  const Time takes = found->second.phase == Phase::exited ? 0 : sim.between(kMilli, kSecond);
  found->second.stopping = true;
  sim.after(takes, nullptr, [this, hit, gone = std::move(gone)] {
    end(hit, true);
    there_.erase(hit);
    gone();
  });
}

void Workloads::tell(const AttemptKey& key) {
  const auto& workload = there_.at(key);
  const auto seen = look(workload);
  auto& sim = weather_.simulator;
  for (const auto& [number, listener] : listeners_) {
    if (listener->cluster() != workload.cluster) continue;
    if (weather_.strikes(Fault::news_lost, 0.03)) continue;
    const int copies = weather_.strikes(Fault::news_repeated, 0.03) ? 2 : 1;
    for (int i = 0; i < copies; ++i) {
      const bool late = weather_.strikes(Fault::news_late, 0.03);
      sim.after(late ? sim.between(kSecond, 20 * kSecond) : sim.between(100, 5 * kMilli), nullptr,
                [this, number, seen] {
                  const auto there = listeners_.find(number);
                  if (there != listeners_.end()) there->second->hear(seen);
                });
    }
  }
}

// --- a process's access -------------------------------------------------------------------------

SimulatedRuntime::SimulatedRuntime(Workloads& world, Machine& machine, asio::io_context& io,
                                   ClusterId cluster)
    : world_(world), machine_(machine), io_(io), cluster_(cluster), number_(world.add(*this)) {}
SimulatedRuntime::~SimulatedRuntime() { world_.remove(number_); }

void SimulatedRuntime::hear(const Observation& seen) {
  if (machine_.runtime_cut || machine_.dead() || !listener_) return;
  asio::post(io_, [listener = listener_, seen] { listener(seen); });
  world_.weather().simulator.ring(machine_.stirred);
}

Task<bool> SimulatedRuntime::pass(Time d) {
  SimulatedTimers timers(world_.weather().simulator, machine_);
  const auto timer = timers.make(io_);
  co_return co_await elapsed(*timer, std::chrono::microseconds(d));
}

Task<Result<void>> SimulatedRuntime::reach(const char* what) {
  auto& weather = world_.weather();
  weather.simulator.note(what);
  co_await pass(weather.simulator.between(100, 3 * kMilli));
  if (machine_.runtime_cut) {
    co_await pass(weather.simulator.between(10 * kMilli, kSecond));
    co_return unreachable();
  }
  if (weather.strikes(Fault::runtime_call_failed, 0.02)) co_return unreachable();
  co_return Result<void>{};
}

Task<Result<void>> SimulatedRuntime::answer() {
  auto& weather = world_.weather();
  co_await pass(weather.simulator.between(100, 3 * kMilli));
  if (machine_.runtime_cut || weather.strikes(Fault::runtime_answer_lost, 0.02))
    co_return unreachable();
  co_return Result<void>{};
}

Task<Result<void>> SimulatedRuntime::ensure_running(Launch launch) {
  auto& weather = world_.weather();
  auto& sim = weather.simulator;
  // What was sent may arrive long after whoever sent it has given up, or died.
  const auto later = [&](Fault fault, double chance) {
    if (!weather.strikes(fault, chance)) return false;
    sim.after(sim.between(kSecond, 15 * kSecond), nullptr,
              [world = &world_, cluster = cluster_, launch] { world->start(cluster, launch); });
    return true;
  };
  if (auto there = co_await reach("runtime: ensure running"); !there) co_return there;
  if (!world_.has(launch.key) && weather.strikes(Fault::start_refused, 0.02))
    world_.refuse(launch.key);
  if (world_.refuses(launch.key))
    co_return fail(Code::invalid_argument, "refused", "There is no such program.");
  if (later(Fault::runtime_call_late, 0.02)) co_return unreachable();
  later(Fault::runtime_call_repeated, 0.03);
  world_.start(cluster_, launch);
  co_return co_await answer();
}

Task<Result<void>> SimulatedRuntime::ensure_gone(AttemptKey key, std::chrono::milliseconds) {
  auto& weather = world_.weather();
  auto& sim = weather.simulator;
  if (auto there = co_await reach("runtime: ensure gone"); !there) co_return there;
  if (weather.strikes(Fault::runtime_call_repeated, 0.03)) {
    sim.after(sim.between(kSecond, 15 * kSecond), nullptr,
              [world = &world_, key] { world->stop(key, [] {}); });
  }
  if (weather.strikes(Fault::runtime_call_late, 0.02)) {
    sim.after(sim.between(kSecond, 15 * kSecond), nullptr,
              [world = &world_, key] { world->stop(key, [] {}); });
    co_return unreachable();
  }
  auto gone = std::make_shared<bool>(false);
  world_.stop(key, [gone] { *gone = true; });
  while (!*gone) co_await pass(20 * kMilli);
  co_return co_await answer();
}

Task<Result<std::vector<Observation>>> SimulatedRuntime::list() {
  auto& weather = world_.weather();
  if (auto there = co_await reach("runtime: list"); !there)
    co_return std::unexpected(std::move(there.error()));
  auto out = world_.list(cluster_);
  if (weather.strikes(Fault::old_list, 0.05))
    co_await pass(weather.simulator.between(100 * kMilli, 5 * kSecond));
  if (auto back = co_await answer(); !back) co_return std::unexpected(std::move(back.error()));
  co_return out;
}

}  // namespace berth::sim
