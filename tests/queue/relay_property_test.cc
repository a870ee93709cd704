// Random histories on a real database, relays that die and that overlap, and a queue that fails at
// any moment. BERTH_RELAY_SEEDS in the environment runs more seeds.
#include <map>
#include <random>

#include "queue/memory/memory_queue.h"
#include "relay_world.h"

namespace berth::test {
namespace {

// A queue that fails before a call, after it, or in the middle, and forgets. What happens between
// a relay's reading and its writing is up to `meanwhile`.
class FlakyQueue final : public WorkQueue {
 public:
  explicit FlakyQueue(std::mt19937_64& rng) : rng_(rng) {}

  bool failing = true;
  std::function<void()> meanwhile = [] {};

  Result<void> publish(std::span<const QueueChange> changes) override {
    meanwhile();
    const auto luck = draw();
    if (luck == 0) return gone();
    const auto done = real.publish(luck == 1 ? changes.first(pick(changes.size())) : changes);
    return luck <= 2 ? gone() : done;
  }
  Result<void> rebuild(const ClusterId& cluster, std::span<const WaitingEntry> waiting,
                       std::int64_t seq) override {
    meanwhile();
    const auto luck = draw();
    if (luck == 0) return gone();
    const auto done = real.rebuild(cluster, waiting, seq);
    return luck == 1 ? gone() : done;
  }
  Result<void> remove(const ClusterId& cluster) override {
    meanwhile();
    if (draw() == 0) return gone();
    return real.remove(cluster);
  }
  Result<QueueContent> content(const ClusterId& cluster) override {
    if (draw() == 0) return gone();
    auto out = real.content(cluster);
    meanwhile();
    return out;
  }
  Result<std::vector<QueueMark>> marks(std::span<const ClusterId> clusters) override {
    if (draw() == 0) return gone();
    auto out = real.marks(clusters);
    meanwhile();
    return out;
  }
  Result<std::vector<ClusterId>> clusters() override {
    auto out = real.clusters();
    meanwhile();
    return out;
  }
  Result<std::unique_ptr<WakeReader>> reader(const std::string& name) override {
    return real.reader(name);
  }
  Result<void> forget_readers(std::span<const std::string> living) override {
    return real.forget_readers(living);
  }
  Result<std::string> generation(std::string_view proposal) override {
    return real.generation(proposal);
  }
  Result<void> nudge() override { return real.nudge(); }
  Result<std::unique_ptr<NudgeReader>> nudges() override { return real.nudges(); }
  Result<std::vector<std::string>> warnings() override { return real.warnings(); }

  memory::MemoryQueue real;

 private:
  static std::unexpected<Error> gone() {
    return fail(Code::unavailable, "queue_unavailable", "The queue is away.");
  }
  std::size_t pick(std::size_t below) { return below == 0 ? 0 : rng_() % below; }
  std::size_t draw() { return failing ? pick(12) : 12; }

  std::mt19937_64& rng_;
};

struct Tally {
  int events = 0, absent = 0, compared = 0, mended = 0, failed = 0, restored = 0;
};

class Chaos {
 public:
  explicit Chaos(std::uint64_t seed, Tally& tally) : rng_(seed), tally_(tally) {
    for (auto& store : stores_) store = world_.open();
    for (std::size_t i = 0; i < relays_.size(); ++i) restart(i);
    queue_.meanwhile = [this] { meanwhile(); };
    for (int i = 0; i < 2; ++i) clusters_.push_back(world_.create_cluster());
  }

  // `lies`: somebody else changes the queues, too.
  void step(bool lies) {
    switch (pick(10)) {
      case 0:
        return restart(pick(2));
      case 1:
        return heal(pick(2), 1 + pick(3));
      case 2:
        if (pick(3) == 0) return forget();
        return remember();
      case 3:
        if (lies && pick(2) == 0) return lie();
        return restore();
      case 4:
      case 5:
      case 6:
        return relay(pick(2));
      default:
        return history();
    }
  }
  // Whoever can be read is right, apart from what is on its way.
  void check() {
    queue_.failing = false;
    const auto keep = std::exchange(queue_.meanwhile, [] {});
    for (const auto& sentence : must(drift(world_.view(), queue_))) {
      const bool absent =
          sentence.ends_with("is not there.") || sentence.ends_with("which does not exist.");
      ASSERT_TRUE(absent) << sentence;
      ++tally_.absent;
    }
    ++tally_.compared;
    queue_.meanwhile = keep;
    queue_.failing = true;
  }
  void finish() {
    queue_.failing = false;
    queue_.meanwhile = [] {};
    while (must(relays_[0]->step()) > 0) {
    }
    must(relays_[0]->heal(1000));
    auto known = must(queue_.clusters());
    EXPECT_EQ(known, must_sorted());
    for (const auto& cluster : clusters_) expect_as_recorded(world_, queue_, cluster);
    EXPECT_EQ(must(drift(world_.view(), queue_)), std::vector<std::string>{});
    EXPECT_EQ(must(relays_[0]->heal(1000)), 0U) << "healing twice finds nothing";
    EXPECT_EQ(must(world_.view().relayed()), must(world_.view().last_event()));
    tally_.events += static_cast<int>(must(world_.view().last_event()));
  }

 private:
  std::size_t pick(std::size_t below) { return rng_() % below; }
  std::vector<ClusterId> must_sorted() {
    auto out = clusters_;
    std::sort(out.begin(), out.end());
    return out;
  }

  // A process dies and another begins where the mark is.
  void restart(std::size_t which) {
    relays_[which] = std::make_unique<Relay>(*stores_[which], queue_,
                                             milliseconds(pick(2) == 0 ? 0 : 1'000'000));
  }
  void relay(std::size_t which) {
    const auto before = std::exchange(busy_, which);
    if (!relays_[which]->step(1 + pick(6))) ++tally_.failed;
    busy_ = before;
  }
  void heal(std::size_t which, std::size_t most) {
    busy_ = which;
    const auto done = relays_[which]->heal(most);
    busy_ = 2;
    tally_.failed += done ? 0 : 1;
    tally_.mended += done ? static_cast<int>(*done) : 0;
  }
  // Between a relay's reading and its writing: the history goes on, or the other relay does all.
  void meanwhile() {
    if (deep_ > 0 || pick(4) != 0) return;
    ++deep_;
    if (pick(2) == 0) history();
    if (busy_ < 2 && pick(2) == 0) relay(1 - busy_);
    --deep_;
  }
  void forget() { must(queue_.real.remove(clusters_[pick(clusters_.size())])); }
  void remember() {
    const auto& cluster = clusters_[pick(clusters_.size())];
    const auto content = must(queue_.real.content(cluster));
    if (content.seq) saved_[cluster] = content;
  }
  // As a Redis that comes back with what it had written to disk.
  void restore() {
    for (const auto& [cluster, content] : saved_) {
      auto all = content.high;
      all.insert(all.end(), content.low.begin(), content.low.end());
      must(queue_.real.remove(cluster));
      must(queue_.real.rebuild(cluster, all, *content.seq));
      ++tally_.restored;
    }
  }
  void lie() {
    const auto& cluster = clusters_[pick(clusters_.size())];
    const auto content = must(queue_.real.content(cluster));
    if (!content.seq) return;
    auto all = content.low;
    if (pick(2) == 0 && !all.empty()) {
      all.pop_back();
    } else {
      all.push_back(names_.entry(Priority::low, 999'000 + pick(1000)));
    }
    must(queue_.real.remove(cluster));
    must(queue_.real.rebuild(cluster, all, *content.seq + static_cast<std::int64_t>(pick(40))));
  }

  std::optional<DeploymentId> some(const std::function<bool(const Deployment&)>& wanted) {
    std::vector<DeploymentId> found;
    for (const auto& id : deployments_) {
      if (wanted(*must(world_.view().deployment(id)))) found.push_back(id);
    }
    if (found.empty()) return std::nullopt;
    return found[pick(found.size())];
  }
  void history() {
    const auto is = [](State state) {
      return [state](const Deployment& d) { return d.state == state; };
    };
    switch (pick(12)) {
      case 0:
        if (const auto id = some(is(State::queued))) {
          world_.edit(*id, "deployment.priority_changed", [](Deployment& d) {
            d.priority = d.priority == Priority::high ? Priority::low : Priority::high;
          });
        }
        return;
      case 1:
      case 2:
        if (const auto id =
                some([](const Deployment& d) { return d.state == State::queued && !d.retry_at; })) {
          world_.to_state(*id, State::starting);
        }
        return;
      case 3:
        if (const auto id = some(is(State::starting))) world_.park(*id);
        return;
      case 4:
        if (const auto id = some([](const Deployment& d) { return d.retry_at.has_value(); })) {
          world_.unpark(*id);
        }
        return;
      case 5:
        if (const auto id = some(is(State::starting))) world_.to_state(*id, State::succeeded);
        return;
      case 6:
        if (const auto id = some(is(State::queued))) world_.to_state(*id, State::cancelled);
        return;
      case 7:
        if (const auto id = some([](const Deployment& d) { return is_terminal(d.state); })) {
          world_.remove(*id);
          std::erase(deployments_, *id);
        }
        return;
      case 8:
        return change_clusters();
      default:
        deployments_.push_back(world_.submit(
            clusters_[pick(clusters_.size())], pick(2) == 0 ? Priority::high : Priority::low,
            {static_cast<std::int64_t>(1 + pick(4000)), 1 << 20, 0}));
    }
  }
  // Only a cluster without deployments can go.
  void change_clusters() {
    if (pick(3) == 0) return clusters_.push_back(world_.create_cluster());
    const auto cluster = clusters_[pick(clusters_.size())];
    const bool used = some([&](const Deployment& d) { return d.cluster == cluster; }).has_value();
    if (used || clusters_.size() < 2) {
      world_.write(
          [&](Transaction& tx) { tx.append(world_.event("cluster.updated", cluster, {})); });
      return;
    }
    world_.delete_cluster(cluster);
    std::erase(clusters_, cluster);
    saved_.erase(cluster);
  }

  std::mt19937_64 rng_;
  Tally& tally_;
  RelayWorld world_;
  FlakyQueue queue_{rng_};
  QueueNames names_;
  std::array<std::unique_ptr<Store>, 2> stores_;
  std::array<std::unique_ptr<Relay>, 2> relays_;
  std::size_t busy_ = 2;  // the relay whose call is going on
  int deep_ = 0;
  std::vector<ClusterId> clusters_;
  std::vector<DeploymentId> deployments_;
  std::map<ClusterId, QueueContent> saved_;
};

std::uint64_t seeds(std::uint64_t usual) {
  const char* wanted = std::getenv("BERTH_RELAY_SEEDS");
  return wanted == nullptr ? usual : std::strtoull(wanted, nullptr, 10);
}

// As long as nobody else writes into the queues, what can be read is right at every moment.
TEST(RelayProperty, AQueueIsRightOrNotThere) {
  Tally tally;
  for (std::uint64_t seed = 1; seed <= seeds(25); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Chaos chaos(seed, tally);
    for (int i = 0; i < 200 && !::testing::Test::HasFailure(); ++i) {
      chaos.step(false);
      if (i % 5 == 0) chaos.check();
    }
    if (::testing::Test::HasFailure()) return;
    chaos.finish();
  }
  EXPECT_GT(tally.events, 1000);
  EXPECT_GT(tally.absent, 50);
  EXPECT_GT(tally.mended, 50);
  EXPECT_GT(tally.failed, 50);
  EXPECT_GT(tally.restored, 50);
}

TEST(RelayProperty, WhateverHappensToTheQueuesTheyHeal) {
  Tally tally;
  for (std::uint64_t seed = 1000; seed < 1000 + seeds(25); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Chaos chaos(seed, tally);
    for (int i = 0; i < 200; ++i) chaos.step(true);
    chaos.finish();
    if (::testing::Test::HasFailure()) return;
  }
  EXPECT_GT(tally.mended, 100);
}

}  // namespace
}  // namespace berth::test
