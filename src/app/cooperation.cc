#include "app/cooperation.h"

#include "app/databases.h"
#include "base/hash.h"
#include "service/log.h"

namespace berth::app {
namespace {

// How long news may take when nothing wakes anybody.
constexpr auto kPoll = std::chrono::milliseconds(200);
// What is remembered counts for so long after the history was last looked at.
constexpr auto kReliable = std::chrono::seconds(1);
// Whether Redis has lost everything is asked that often, ...
constexpr auto kGeneration = std::chrono::seconds(1);
// ... and a few queues are compared with the database, in turns. After a loss: all of them.
constexpr auto kHeal = std::chrono::seconds(30);
constexpr std::size_t kHealInTurns = 16;
constexpr std::size_t kHealAll = 100'000;
constexpr int kBeats = 5;  // signs of life within a lease's time

std::string make_id(Random& random) {
  std::array<std::uint8_t, 8> bytes{};
  random.fill(bytes);
  return "sch_" + to_hex({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

}  // namespace

Cooperation::Cooperation(const ServeConfig& config, ReadSide& reads, Random& random)
    : config_(config),
      random_(random),
      id_(make_id(random)),
      reads_(reads),
      queue_(open_queue(config)),
      deciders_(reads, authority()) {
  reads_.rely_until({});
}

Cooperation::~Cooperation() { stop(); }

Authority& Cooperation::authority() {
  if (!schedules()) return nobody_;
  if (!leases_) {
    lease_store_ = open_store(config_);
    relay_store_ = open_store(config_);
    relay_ = std::make_unique<Relay>(*relay_store_, *queue_);
    Leases::Listener listener;
    listener.gained = [this](const ClusterId& cluster) {
      runner_->open(cluster);
      attention_->look_at(cluster);
    };
    listener.lost = [this](const ClusterId& cluster) { runner_->close(cluster); };
    leases_ = std::make_unique<Leases>(*lease_store_, Leases::Rules{id_, "", config_.lease},
                                       std::move(listener));
  }
  return *leases_;
}

void Cooperation::connect(Committer& committer, Scheduling& scheduling, Runner& runner,
                          WatchHub& hub) {
  runner_ = &runner;
  hub_ = &hub;
  attention_ = std::make_unique<Attention>(committer, scheduling, authority());
  feed_ = std::make_unique<Feed>(reads_, [this](std::span<const Event> events) { hear(events); });
}

Result<void> Cooperation::start(const std::string& address) {
  if (auto started = feed_->start(); !started) return started;
  hub_->start_from(feed_->position());
  threads_.emplace_back([this](const std::stop_token& stop) { follow(stop); });
  threads_.emplace_back([this](const std::stop_token& stop) { follow_closely(stop); });
  threads_.emplace_back([this](const std::stop_token& stop) { nudge(stop); });
  if (!schedules()) return {};
  leases_->set_address(address);
  threads_.emplace_back([this](const std::stop_token& stop) { hold(stop); });
  threads_.emplace_back([this](const std::stop_token& stop) { publish(stop); });
  return {};
}

void Cooperation::stop() {
  for (auto& thread : threads_) thread.request_stop();
  threads_.clear();
}

void Cooperation::wait(const std::stop_token& stop, std::chrono::milliseconds most) {
  std::unique_lock lock(mutex_);
  bell_.wait_for(lock, stop, most, [] { return false; });
}

// --- following the history ---------------------------------------------------------------------

void Cooperation::hear(std::span<const Event> events) {
  for (const auto& event : events) reads_.heard(event);
  if (schedules()) {
    attention_->hear(events);
    const bool born = std::ranges::any_of(
        events, [](const Event& event) { return event.kind == "cluster.created"; });
    if (born) {
      const std::lock_guard lock(mutex_);
      hurry_ = true;
      bell_.notify_all();
    }
  }
  hub_->publish({events.begin(), events.end()});
}

// To the end of the history, as far as the database answers.
void Cooperation::catch_up() {
  for (;;) {
    const auto asked = std::chrono::steady_clock::now();
    const auto read = feed_->step();
    if (!history_.fine(read)) return;
    if (*read > 0) continue;
    reads_.rely_until(asked + kReliable);
    return;
  }
}

// By the stream, which a process that was away for a while reads from where it was; and by the
// clock, should nothing come through it.
void Cooperation::follow(const std::stop_token& stop) {
  Complaint wakes("waiting for news in the queue");
  std::unique_ptr<WakeReader> reader;
  bool look = true;
  auto looked = std::chrono::steady_clock::now();
  while (!stop.stop_requested()) {
    if (look || std::chrono::steady_clock::now() - looked >= kPoll) {
      looked = std::chrono::steady_clock::now();
      catch_up();
      if (attention_) attention_->repeat();
    }
    if (!reader) {
      auto made = queue_->reader(id_);
      if (wakes.fine(made)) reader = std::move(*made);
    }
    Result<std::vector<Wake>> woken = fail(Code::unavailable, "", "");
    if (reader) {
      woken = reader->wait(kPoll);
      wakes.fine(woken);
    }
    queue_reachable_ = woken.has_value();
    // The nudge was faster, most of the time.
    look = !woken || std::ranges::any_of(
                         *woken, [this](const Wake& wake) { return wake.seq > feed_->position(); });
    if (!woken) wait(stop, kPoll);
  }
}

// By the nudges, which nobody keeps: at once after each commit, while Redis is there.
void Cooperation::follow_closely(const std::stop_token& stop) {
  std::unique_ptr<NudgeReader> nudges;
  while (!stop.stop_requested()) {
    if (!nudges) {
      if (auto made = queue_->nudges()) nudges = std::move(*made);
    }
    const auto nudged =
        nudges ? nudges->wait(kPoll) : Result<bool>(fail(Code::unavailable, "", ""));
    if (!nudged) {
      wait(stop, kPoll);
    } else if (*nudged) {
      catch_up();
    }
  }
}

// --- holding clusters --------------------------------------------------------------------------

void Cooperation::hold(const std::stop_token& stop) {
  Complaint complaint("holding clusters");
  while (!stop.stop_requested()) {
    complaint.fine(leases_->round());
    std::unique_lock lock(mutex_);
    bell_.wait_for(lock, stop, config_.lease / kBeats, [this] { return hurry_; });
    hurry_ = false;
  }
  if (auto gone = leases_->retire(); !gone) log_error("giving clusters up", gone.error().message);
}

// --- publishing --------------------------------------------------------------------------------

// What the leading scheduler does, and remembers of it.
struct Cooperation::Publishing {
  std::unique_ptr<NudgeReader> nudges;
  std::string generation;  // of what the queue holds; empty: all of it has to be looked at
  std::chrono::steady_clock::time_point look_at{}, heal_at{};
};

// Publishes what there is and mends what was lost. Answers how much it did.
Result<std::size_t> Cooperation::publish_round(Publishing& p) {
  const auto published = relay_->step();
  if (!published || *published > 0) return published;
  const auto now = std::chrono::steady_clock::now();
  if (now < p.look_at) return std::size_t{0};
  const auto generation = queue_->generation(make_id(random_));
  if (!generation) return std::unexpected(generation.error());
  p.look_at = now + kGeneration;
  const bool all = *generation != p.generation;
  if (!all && now < p.heal_at) return std::size_t{0};
  const auto healed = relay_->heal(all ? kHealAll : kHealInTurns);
  if (!healed) return healed;
  if (auto forgotten = queue_->forget_readers(leases_->living()); !forgotten)
    return std::unexpected(std::move(forgotten.error()));
  p.generation = *generation;
  p.heal_at = now + kHeal;
  if (all && *healed > 0) log_info("queues were written anew", std::to_string(*healed));
  return std::size_t{0};
}

void Cooperation::publish(const std::stop_token& stop) {
  Complaint complaint("publishing to the queue");
  Publishing state;
  while (!stop.stop_requested()) {
    if (!leases_->leads()) {
      state = {};
      wait(stop, kPoll);
      continue;
    }
    const auto done = publish_round(state);
    if (!complaint.fine(done)) {
      state.generation.clear();
      state.look_at = {};
      wait(stop, kPoll);
      continue;
    }
    if (*done > 0) continue;
    if (!state.nudges) {
      if (auto made = queue_->nudges()) state.nudges = std::move(*made);
    }
    if (!state.nudges || !state.nudges->wait(kPoll)) wait(stop, kPoll);
  }
}

void Cooperation::wrote() {
  const std::lock_guard lock(mutex_);
  wrote_ = true;
  bell_.notify_all();
}

void Cooperation::nudge(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    {
      std::unique_lock lock(mutex_);
      bell_.wait(lock, stop, [this] { return wrote_; });
      wrote_ = false;
    }
    if (stop.stop_requested()) return;
    // Failing costs the others up to one poll.
    if (!queue_->nudge()) wait(stop, kPoll);
  }
}

Cooperation::Figures Cooperation::figures() const {
  Figures out;
  out.clusters = leases_ ? leases_->count() : 0;
  out.followed = feed_ ? feed_->position() : 0;
  out.looking = attention_ ? attention_->open() : 0;
  out.leads = leases_ && leases_->leads();
  out.queue_reachable = queue_reachable_;
  return out;
}

}  // namespace berth::app
