#include "app/cooperation.h"

#include <fmt/format.h>

#include "app/databases.h"
#include "service/log.h"

namespace berth::app {
namespace {

// How long news may take when nothing wakes anybody.
constexpr auto kPoll = std::chrono::milliseconds(200);
// What is remembered counts for so long after the history was last looked at.
constexpr auto kReliable = std::chrono::seconds(1);
// Whole queues are compared with the database that often; a loss is found at the next event, too.
constexpr auto kHeal = std::chrono::seconds(2);
constexpr std::size_t kHealAtOnce = 1000;
constexpr int kBeats = 5;  // signs of life within a lease's time

std::string make_id(Random& random) {
  std::array<std::uint8_t, 8> bytes{};
  random.fill(bytes);
  std::string out = "sch_";
  for (const auto byte : bytes) out += fmt::format("{:02x}", byte);
  return out;
}

// Says the same failure once, and that it is over.
class Complaint {
 public:
  explicit Complaint(const char* what) : what_(what) {}
  template <class T>
  bool fine(const Result<T>& result) {
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
  std::string said_;
};

}  // namespace

Cooperation::Cooperation(const ServeConfig& config, ReadSide& reads, Random& random)
    : config_(config),
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
  scheduling_ = &scheduling;
  hub_ = &hub;
  attention_ = std::make_unique<Attention>(committer, scheduling, authority());
  feed_ = std::make_unique<Feed>(reads_, [this](std::span<const Event> events) { hear(events); });
}

Result<void> Cooperation::start(const std::string& address) {
  if (auto started = feed_->start(); !started) return started;
  hub_->start_from(feed_->position());
  threads_.emplace_back([this](const std::stop_token& stop) { follow(stop); });
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

bool Cooperation::wait(const std::stop_token& stop, std::chrono::milliseconds most) {
  std::unique_lock lock(mutex_);
  bell_.wait_for(lock, stop, most, [] { return false; });
  return !stop.stop_requested();
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

void Cooperation::follow(const std::stop_token& stop) {
  Complaint history("following the history"), wakes("waiting for news in the queue");
  std::unique_ptr<WakeReader> reader;
  while (!stop.stop_requested()) {
    const auto asked = std::chrono::steady_clock::now();
    const auto read = feed_->step();
    if (history.fine(read)) {
      if (*read > 0) continue;
      reads_.rely_until(asked + kReliable);
    }
    if (attention_) attention_->repeat();
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
    if (!woken) wait(stop, kPoll);
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

void Cooperation::publish(const std::stop_token& stop) {
  Complaint complaint("publishing to the queue");
  std::unique_ptr<NudgeReader> nudges;
  std::chrono::steady_clock::time_point heal_at{};
  while (!stop.stop_requested()) {
    if (!leases_->leads()) {
      nudges.reset();
      heal_at = {};
      wait(stop, kPoll);
      continue;
    }
    if (!nudges) {
      auto made = queue_->nudges();
      if (made) nudges = std::move(*made);
    }
    const auto published = relay_->step();
    bool fine = complaint.fine(published);
    if (fine && *published > 0) continue;
    if (fine && std::chrono::steady_clock::now() >= heal_at) {
      const auto healed = relay_->heal(kHealAtOnce);
      fine = complaint.fine(healed);
      if (fine) (void)queue_->forget_readers(leases_->living());
      if (fine && *healed == kHealAtOnce) continue;
      heal_at = std::chrono::steady_clock::now() + kHeal;
    }
    const auto nudged = fine && nudges ? nudges->wait(kPoll) : Result<bool>(false);
    if (!fine || !nudges || !nudged) wait(stop, kPoll);
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
  out.leads = leases_ && leases_->leads();
  out.queue_reachable = queue_reachable_;
  return out;
}

}  // namespace berth::app
