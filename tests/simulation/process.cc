#include "simulation/process.h"

#include "simulation/statements.h"

namespace berth::sim {
namespace {

constexpr Time kPoll = 200 * kMilli;
constexpr auto kReliable = std::chrono::seconds(1);
constexpr auto kLease = std::chrono::milliseconds(5000);
constexpr Time kBeat = kSecond;
constexpr Time kHeal = 2 * kSecond;
constexpr std::size_t kHealAtOnce = 1000;
// A loop that finds nothing waits until something happens in its process.
constexpr Time kIdle = 60 * kSecond;

ClusterRules cluster_rules() {
  ClusterRules rules;
  rules.runtimes = {RuntimeKind::simulated};
  return rules;
}
CommitterRules committer_rules() { return {Sharing::shared, 64, false}; }

}  // namespace

Result<void> HastyFollower::follow(Change& change, std::span<const Told> told) {
  auto done = inner_.follow(change, told);
  if (done && broken_.effects_first) {
    for (const auto& effect : change.effects) effect();
    change.effects.clear();
  }
  return done;
}

Process::Process(Shared shared, Role role, std::string name, std::uint64_t seed)
    : shared_(shared),
      role_(role),
      machine_(std::move(name)),
      clock_(shared.weather.simulator, machine_),
      time_(shared.weather.simulator),
      random_(seed),
      store_(shared.database, machine_),
      lease_store_(shared.database, machine_),
      relay_store_(shared.database, machine_),
      queue_(shared.queue, shared.weather, machine_),
      reads_(store_, time_),
      runner_(
          runner_io_, reads_, clock_, authority(),
          [this](const Cluster& cluster) -> Result<std::unique_ptr<Runtime>> {
            return std::make_unique<SimulatedRuntime>(shared_.workloads, machine_, runner_io_,
                                                      cluster.id);
          },
          RunnerOptions{.timers = std::make_shared<const SimulatedTimers>(shared.weather.simulator,
                                                                          machine_)}),
      scheduling_(runner_, authority(), [this](const Deployment& d) { reads_.changed(d); }),
      follower_(scheduling_, shared.broken),
      committer_(
          store_, clock_, follower_,
          [this](const std::vector<Event>&) {
            has_written_ = true;
            shared_.weather.simulator.ring(wrote_);
          },
          committer_rules()),
      clusters_(reads_, committer_, scheduling_, runner_, clock_, random_, cluster_rules()),
      quotas_(reads_, committer_, scheduling_),
      deployments_(reads_, committer_, scheduling_, runner_, clock_, random_),
      feed_(reads_, [this](std::span<const Event> events) { hear(events); }) {
  reads_.rely_until({});
  runner_.connect(committer_, scheduling_, [this](const Deployment& d) { reads_.changed(d); });
  attention_ = std::make_unique<Attention>(committer_, scheduling_, authority());
  start();
}

Process::~Process() {
  shared_.weather.simulator.kill(machine_);
  // Whoever waits for an answer lives on a loop: what would answer goes first, by the order of the
  // members; what the loops still hold goes with them.
}

Authority& Process::authority() {
  if (role_ == Role::api) return nobody_;
  if (!leases_) {
    relay_ = std::make_unique<Relay>(relay_store_, queue_, std::chrono::milliseconds(0));
    Leases::Listener listener;
    listener.gained = [this](const ClusterId& cluster) {
      runner_.open(cluster);
      attention_->look_at(cluster);
    };
    listener.lost = [this](const ClusterId& cluster) { runner_.close(cluster); };
    leases_ = std::make_unique<Leases>(
        lease_store_, Leases::Rules{machine_.name(), "", kLease, &time_}, std::move(listener));
  }
  return *leases_;
}

ClusterEngine* Process::engine(const ClusterId& cluster) {
  if (scheduling_.seen(cluster) == 0) return nullptr;
  Statements view(shared_.database, machine_, nullptr);
  auto found = scheduling_.engine(view, cluster);
  return found ? *found : nullptr;
}

void Process::start() {
  auto& sim = shared_.weather.simulator;
  sim.spawn(machine_, "writer", [this] { write_forever(); });
  sim.spawn(machine_, "runner", [this] { loop("runner", runner_io_); });
  sim.spawn(machine_, "requests", [this] { loop("requests", http_); });
  sim.spawn(machine_, "feed", [this] { follow_forever(); });
  sim.spawn(machine_, "nudge", [this] { nudge_forever(); });
  if (role_ == Role::api) return;
  sim.spawn(machine_, "leases", [this] { hold_forever(); });
  sim.spawn(machine_, "relay", [this] { publish_forever(); });
}

void Process::loop(const char* name, asio::io_context& io) {
  auto& sim = shared_.weather.simulator;
  const auto work = asio::make_work_guard(io);
  while (!machine_.dead()) {
    if (io.poll_one() > 0) {
      sim.note(name);
      stir();
      sim.sleep(sim.between(1, 50));
    } else {
      sim.wait(machine_.stirred, kIdle);
    }
  }
}

void Process::write_forever() {
  auto& sim = shared_.weather.simulator;
  while (!machine_.dead()) {
    if (committer_.step()) {
      stir();
    } else {
      sim.wait(machine_.stirred, kIdle);
    }
  }
}

void Process::hear(std::span<const Event> events) {
  for (const auto& event : events) reads_.heard(event);
  if (role_ == Role::api) return;
  attention_->hear(events);
  for (const auto& event : events) {
    if (event.kind == "cluster.created") shared_.weather.simulator.ring(hurry_);
  }
}

void Process::follow_forever() {
  auto& sim = shared_.weather.simulator;
  while (!feed_.start()) sim.sleep(kPoll);
  follows_ = true;
  std::unique_ptr<WakeReader> reader;
  for (;;) {
    const auto asked = time_.now();
    const auto read = feed_.step();
    stir();
    if (read && *read > 0) continue;
    if (read) reads_.rely_until(asked + kReliable);
    attention_->repeat();
    stir();
    if (!reader) {
      if (auto made = queue_.reader(machine_.name())) reader = std::move(*made);
    }
    Result<std::vector<Wake>> woken = fail(Code::unavailable, "", "");
    if (reader) woken = reader->wait(std::chrono::milliseconds(kPoll / kMilli));
    if (!woken) sim.sleep(kPoll);
  }
}

// As in a real process, nothing is held before the history is followed: what happens between the
// loading of an engine and the beginning of the feed would never be heard of.
void Process::hold_forever() {
  while (!follows_ && !stopping_) shared_.weather.simulator.sleep(kPoll);
  while (!stopping_) {
    (void)leases_->round();
    stir();
    if (!stopping_) shared_.weather.simulator.wait(hurry_, kBeat);
  }
  (void)leases_->retire();
  stir();
}

void Process::publish_forever() {
  auto& sim = shared_.weather.simulator;
  std::unique_ptr<NudgeReader> nudges;
  Time heal_at = 0;
  for (;;) {
    if (!leases_->leads()) {
      nudges.reset();
      heal_at = 0;
      sim.sleep(kPoll);
      continue;
    }
    if (!nudges) {
      if (auto made = queue_.nudges()) nudges = std::move(*made);
    }
    const auto published = relay_->step();
    bool fine = published.has_value();
    if (fine && *published > 0) continue;
    if (fine && sim.now() >= heal_at) {
      const auto healed = relay_->heal(kHealAtOnce);
      fine = healed.has_value();
      if (fine) (void)queue_.forget_readers(leases_->living());
      if (fine && *healed == kHealAtOnce) continue;
      heal_at = sim.now() + kHeal;
    }
    const auto nudged = fine && nudges ? nudges->wait(std::chrono::milliseconds(kPoll / kMilli))
                                       : Result<bool>(false);
    if (!fine || !nudges || !nudged) sim.sleep(kPoll);
  }
}

void Process::nudge_forever() {
  auto& sim = shared_.weather.simulator;
  for (;;) {
    if (!std::exchange(has_written_, false)) {
      sim.wait(wrote_, kIdle);
      continue;
    }
    if (!queue_.nudge()) sim.sleep(kPoll);
  }
}

}  // namespace berth::sim
