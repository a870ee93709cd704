#include "simulation/world.h"

#include <fmt/format.h>

#include <numeric>

#include "simulation/clients.h"
#include "simulation/rest.h"

namespace berth::sim {
namespace {

constexpr Time kLongest = 1200 * kSecond;   // until there were enough transitions
constexpr Time kUntilRest = 240 * kSecond;  // after the last fault
constexpr Time kLookEvery = 500 * kMilli;

class World {
 public:
  explicit World(const Wish& wish)
      : wish_(wish),
        simulator_(wish.seed),
        weather_{simulator_},
        database_(weather_, wish_.broken),
        invariants_(simulator_, database_),
        workloads_(weather_, wish_.broken,
                   {[this](const ClusterId& c, const Launch& l) { invariants_.started(c, l); },
                    [this](const AttemptKey& a, const AttemptKey& h) { invariants_.stopped(a, h); },
                    [](const AttemptKey&) {}}),
        clients_(simulator_, invariants_, [this] { return some_api(); }) {
    if (wish.lines > 0) simulator_.set_verbose(wish.lines);
    invariants_.watch(workloads_);
    database_.observe(&invariants_);
    clients_.prepare(database_.prepare());
    const auto apis = 2 + simulator_.pick(2), schedulers = 2 + simulator_.pick(2);
    for (std::size_t i = 0; i < apis + schedulers; ++i)
      start(i, i < apis ? Process::Role::api : Process::Role::scheduler);
    clients_.start();
    every(kSecond, [this] { database_.sweep(); });
    next_fault();
  }
  ~World() {
    clients_.stop();
    ending_.clear();
    processes_.clear();
  }

  Outcome run() {
    while (fine() && !enough()) simulator_.step();
    if (fine()) come_to_rest();
    Outcome out;
    out.seed = wish_.seed;
    out.broken = problem();
    out.hash = simulator_.hash();
    out.steps = simulator_.steps();
    out.transitions = invariants_.transitions();
    out.events = database_.tables().events.size();
    out.requests = clients_.answered();
    out.seconds = static_cast<double>(simulator_.now()) / 1e6;
    out.faults = weather_.counts;
    out.kinds = invariants_.kinds();
    out.lines = simulator_.lines();
    return out;
  }

 private:
  [[nodiscard]] std::string problem() const {
    if (!invariants_.broken().empty()) return invariants_.broken();
    if (!simulator_.uncaught().empty()) return "a bug was thrown: " + simulator_.uncaught();
    return "";
  }
  [[nodiscard]] bool fine() const {
    return invariants_.broken().empty() && simulator_.uncaught().empty();
  }
  bool enough() {
    if (simulator_.now() > kLongest) {
      invariants_.breaks("work goes on", "too few transitions for so long a time");
      return true;
    }
    const auto faults =
        std::accumulate(weather_.counts.begin(), weather_.counts.end(), std::uint64_t{0});
    return invariants_.transitions() >= wish_.transitions && faults >= wish_.faults;
  }
  void come_to_rest() {
    weather_.fair = true;
    clients_.stop_asking();
    queue_.away = false;
    for (std::size_t i = 0; i < processes_.size(); ++i) {
      if (!processes_[i]) start(i, roles_[i]);
      auto& machine = processes_[i]->machine();
      machine.database_cut = machine.queue_cut = machine.runtime_cut = false;
      machine.clock_offset = 0;
      simulator_.freeze(machine, 0);
    }
    const Time until = simulator_.now() + kUntilRest;
    Time look_at = simulator_.now() + 10 * kSecond;
    std::string unrest = "never looked";
    while (fine() && simulator_.now() < until) {
      simulator_.step();
      if (simulator_.now() < look_at) continue;
      look_at = simulator_.now() + kLookEvery;
      unrest = what_moves({simulator_, database_, workloads_, queue_.queue, processes_});
      if (unrest.empty()) return;
    }
    if (fine()) invariants_.breaks("all comes to rest", unrest);
  }

  void start(std::size_t place, Process::Role role) {
    if (processes_.size() <= place) {
      processes_.resize(place + 1);
      roles_.resize(place + 1, role);
    }
    const char* kind = role == Process::Role::api ? "api" : "sch";
    ++starts_;
    processes_[place] =
        std::make_unique<Process>(Shared{weather_, database_, queue_, workloads_, wish_.broken},
                                  role, fmt::format("{}{}.{}", kind, place, starts_),
                                  wish_.seed * 1000 + static_cast<std::uint64_t>(starts_));
  }
  Process* some_api() {
    std::vector<Process*> found;
    for (auto& process : processes_) {
      if (process && process->role() == Process::Role::api) found.push_back(process.get());
    }
    return found.empty() ? nullptr : found[simulator_.pick(found.size())];
  }
  void every(Time d, const std::function<void()>& event) {
    simulator_.after(d, nullptr, [this, d, event] {
      event();
      every(d, event);
    });
  }

  // --- the great faults ---
  void next_fault() {
    simulator_.after(simulator_.between(200 * kMilli, 3 * kSecond), nullptr, [this] {
      if (!weather_.fair) strike();
      next_fault();
    });
  }
  void strike() {
    const auto place = simulator_.pick(processes_.size());
    if (!processes_[place]) return;
    auto& machine = processes_[place]->machine();
    const bool shortly = simulator_.chance(0.6);
    const Time lasts = shortly ? simulator_.between(50 * kMilli, 3 * kSecond)
                               : simulator_.between(3 * kSecond, 15 * kSecond);
    simulator_.tell("struck", [&] { return machine.name(); });
    switch (simulator_.pick(12)) {
      case 0:
      case 1:
        return kill(place);
      case 2:
        weather_.hit(Fault::process_stopped);
        processes_[place]->stop();
        return simulator_.after(simulator_.between(kMilli, 2 * kSecond), &machine,
                                [this, place] { end(place); });
      case 3:
      case 4:
        weather_.hit(Fault::process_frozen);
        return simulator_.freeze(machine, lasts);
      case 5:
        return cut(machine, Fault::database_cut_off, &Machine::database_cut, lasts);
      case 6:
        return cut(machine, Fault::queue_cut_off, &Machine::queue_cut, lasts);
      case 7:
        return cut(machine, Fault::runtime_cut_off, &Machine::runtime_cut, lasts);
      case 8:
        weather_.hit(Fault::clock_jumped);
        machine.clock_offset += simulator_.between(-30 * kSecond, 30 * kSecond);
        return;
      case 9:
        return strike_queue(lasts);
      case 10:
        weather_.hit(Fault::database_restarted);
        return database_.restart();
      default:
        // Of what is recorded as running: what vanishes while it starts would be started again, and
        // this runtime does not start again what it has had.
        return workloads_.vanish([this](const AttemptKey& key) {
          const auto found = database_.tables().deployments.find(key.deployment);
          if (found == database_.tables().deployments.end()) return false;
          const Deployment& d = *found->second;
          if (d.attempt != key.number || d.is_ending()) return false;
          if (!d.is_gang()) return d.state == State::running;
          return holds_resources(d.state) &&
                 d.gang.replicas.at(static_cast<std::size_t>(key.replica)).phase ==
                     ReplicaPhase::running;
        });
    }
  }
  void kill(std::size_t place) {
    weather_.hit(Fault::process_killed);
    // Without its kernel saying so to the database, sometimes.
    if (simulator_.chance(0.3)) processes_[place]->machine().database_cut = true;
    end(place);
  }
  void end(std::size_t place) {
    // Not from an event of its own, which goes with it.
    ending_.push_back(std::move(processes_[place]));
    simulator_.after(0, nullptr, [this] { ending_.clear(); });
    simulator_.after(simulator_.between(10 * kMilli, 4 * kSecond), nullptr, [this, place] {
      if (!processes_[place]) start(place, roles_[place]);
    });
  }
  void cut(Machine& machine, Fault fault, bool Machine::* what, Time lasts) {
    weather_.hit(fault);
    machine.*what = true;
    simulator_.after(lasts, &machine, [&machine, what] { machine.*what = false; });
  }
  void strike_queue(Time lasts) {
    if (simulator_.chance(0.5)) {
      weather_.hit(Fault::queue_flushed);
      return queue_.flush();
    }
    weather_.hit(Fault::queue_away);
    queue_.away = true;
    simulator_.after(lasts, nullptr, [this] { queue_.away = false; });
  }

  const Wish wish_;
  Simulator simulator_;
  Weather weather_;
  Database database_;
  QueueServer queue_;
  Invariants invariants_;
  Workloads workloads_;
  Clients clients_;
  std::vector<std::unique_ptr<Process>> processes_, ending_;
  std::vector<Process::Role> roles_;
  int starts_ = 0;
};

}  // namespace

Outcome run(const Wish& wish) {
  World world(wish);
  return world.run();
}

}  // namespace berth::sim
