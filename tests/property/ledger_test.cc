// Random histories through the real writer, scheduler and lifecycle on a real database: after every
// step the invariants hold, judged by arithmetic that shares nothing with the code under test. A
// run is named by its seed; BERTH_LEDGER_SEEDS in the environment runs more of them.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <future>
#include <map>
#include <random>
#include <set>

#include "service/lifecycle.h"
#include "service/read_side.h"
#include "service/restore.h"
#include "store/postgres_fixture.h"
#include "store/sqlite/sqlite_store.h"

namespace berth {
namespace {

// Remembers what should happen outside; the test decides what the runtime then reports.
class RememberingDispatch final : public Dispatch {
 public:
  void launch(const ClusterId&, Launch launch) override {
    EXPECT_TRUE(launched.insert(launch.key).second) << launch.key.str() << " is launched twice";
  }
  void stop(const ClusterId&, AttemptKey key, std::chrono::milliseconds) override {
    stopping.insert(key);
  }
  void clean(const ClusterId&, AttemptKey key) override { cleaned.insert(key); }
  void forget(const ClusterId&, DeploymentId) override {}
  void wake_at(const ClusterId&, DeploymentId id, Timestamp when) override { wakes[id] = when; }

  std::set<AttemptKey> launched, stopping, cleaned;
  std::map<DeploymentId, Timestamp> wakes;
};

struct Tally {
  std::map<std::string, int> kinds;  // events by kind: a history that never did much proves little
  int steps = 0;
};

// Where the database is. PostgresFixture is the other one.
struct SqliteHome {
  ~SqliteHome() {
    open.reset();
    std::filesystem::remove_all(folder);
  }
  Store& store() { return *open; }
  static std::string make_folder() {
    std::string name = (std::filesystem::temp_directory_path() / "berth-ledger-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary directory");
    return name;
  }
  std::string folder = make_folder();
  std::unique_ptr<sqlite::SqliteStore> open =
      std::make_unique<sqlite::SqliteStore>(sqlite::Options{folder + "/berth.db"});
};

template <class Home>
class World {
 public:
  explicit World(std::uint64_t seed)
      : rng_(seed),
        random_(seed),
        scheduling_(dispatch_, authority_, [](const Deployment&) {}),
        context_{dispatch_, [](const Deployment&) {}},
        committer_(home_.store(), clock_, scheduling_,
                   [this](std::vector<Event> events) { published(events); }) {
    view_ = std::move(*home_.store().open_view());
    write([this](Change& change) -> Result<void> {
      Organization org{OrganizationId::make(change.now, random_), "lab", change.now, 1};
      org_ = org.id;
      if (auto made = change.tx.insert(org); !made) return made;
      for (int i = 0; i < 2; ++i) {
        Cluster c;
        c.id = ClusterId::make(change.now, random_);
        c.organization = org_;
        c.name = "c" + std::to_string(i);
        c.nodes = nodes(1 + i);
        c.created_at = change.now;
        clusters_.push_back(c.id);
        if (auto made = change.tx.insert(c); !made) return made;
      }
      return {};
    });
  }
  ~World() { view_.reset(); }

  void step() {
    ++tally_.steps;
    clock_.advance(std::chrono::milliseconds(pick(2000)));
    switch (pick(16)) {
      case 0:
      case 1:
      case 2:
      case 3:
        return submit(false);
      case 4:
        return submit(true);  // fails after it has decided: everything is undone
      case 5:
      case 6:
        return stop();
      case 7:
        return reprioritize();
      case 8:
      case 9:
      case 10:
        return observe(Phase::running);
      case 11:
      case 12:
        return observe(Phase::exited);
      case 13:
        return pick(3) == 0 ? fail_start() : confirm_gone();
      case 14:
        return wake();
      default:
        return pick(2) == 0 ? resize() : (pick(4) == 0 ? crash() : pause());
    }
  }

  // Every invariant, from the database alone and from the engines.
  void check() {
    const auto findings = view_->audit_ledger();
    ASSERT_TRUE(findings);
    for (const auto& f : *findings) FAIL() << f.invariant << ": " << f.detail;
    const auto sentence = look([this] {
      for (const auto& id : clusters_) {
        auto engine = scheduling_.engine(*view_, id);
        if (!engine) return std::string(engine.error().message);
        try {
          (*engine)->check();
        } catch (const std::logic_error& broken) {
          return std::string(broken.what());
        }
        if (auto wrong = compare(id, **engine); !wrong.empty()) return wrong;
      }
      return std::string();
    });
    ASSERT_EQ(sentence, "");
    check_dispatch();
  }
  [[nodiscard]] const Tally& tally() const { return tally_; }

 private:
  std::size_t pick(std::size_t below) {
    return std::uniform_int_distribution<std::size_t>(0, below - 1)(rng_);
  }
  std::vector<Node> nodes(std::size_t count) {
    std::vector<Node> out;
    for (std::size_t i = 0; i < count; ++i) {
      out.push_back({"n" + std::to_string(i),
                     {static_cast<std::int64_t>(2000 + 1000 * pick(4)), 64 << 20,
                      static_cast<std::int64_t>(pick(3)) * kGpuDevice},
                     ""});
    }
    return out;
  }
  Result<void> write(Committer::Unit unit) { return committer_.write_and_wait(std::move(unit)); }
  // On the writer's thread, where the engines live.
  std::string look(const std::function<std::string()>& look_at) {
    std::promise<std::string> promise;
    committer_.look_in([&] { promise.set_value(look_at()); });
    return promise.get_future().get();
  }
  const ClusterId& some_cluster() { return clusters_[pick(clusters_.size())]; }
  std::optional<Deployment> some(std::initializer_list<State> states) {
    std::vector<Deployment> found;
    for (const auto& [id, state] : states_) {
      if (std::find(states.begin(), states.end(), state) != states.end())
        found.push_back(**view_->deployment(id));
    }
    if (found.empty()) return std::nullopt;
    return found[pick(found.size())];
  }

  // --- what people and runtimes do -------------------------------------------------------------

  void submit(bool fails) {
    Deployment d;
    d.id = DeploymentId::make(clock_.now(), random_);
    d.organization = org_;
    d.cluster = some_cluster();
    d.name = d.id.str();
    d.priority = pick(2) == 0 ? Priority::high : Priority::low;
    d.spec.kind = pick(2) == 0 ? Kind::job : Kind::service;
    static constexpr std::array<std::int64_t, 5> kGpus{0, 0, 250, 500, 1000};
    d.spec.resources = {static_cast<std::int64_t>(250 * (1 + pick(8))),
                        static_cast<std::int64_t>(pick(4)) << 20, kGpus[pick(5)]};
    if (pick(6) == 0) d.spec.replicas = static_cast<std::int32_t>(2 + pick(2));
    d.spec.restart.max_attempts = static_cast<std::int32_t>(1 + pick(3));
    d.created_at = d.updated_at = clock_.now();
    const auto done = write([&](Change& change) -> Result<void> {
      auto engine = scheduling_.engine(change.tx, d.cluster);
      if (!engine) return std::unexpected(engine.error());
      if ((*engine)->never_fits(d.spec.resources, {}, static_cast<std::uint32_t>(d.spec.replicas)))
        return fail(Code::invalid_argument, "exceeds_cluster", "");
      auto order = change.tx.take_order(d.cluster);
      if (!order) return std::unexpected(order.error());
      d.order = *order;
      auto step = change.tx.insert(d);
      if (step) step = change.record(Actor{}, "deployment.queued", d, "{}");
      if (!step) return step;
      change.tell(d.cluster, queued_entry(d));
      if (fails) change.tell(ClusterId{}, PauseChanged{});  // no such cluster: the follower refuses
      return {};
    });
    if (fails) EXPECT_FALSE(done);
  }
  void stop() {
    const auto d = some({State::queued, State::starting, State::running});
    if (!d) return;
    EXPECT_TRUE(write([&](Change& change) {
      auto copy = *change.tx.deployment(d->id);
      return apply_stop(change, context_, Actor{}, *copy);
    }));
  }
  void reprioritize() {
    auto d = some({State::queued});
    if (!d) return;
    EXPECT_TRUE(write([&](Change& change) -> Result<void> {
      d->priority = d->priority == Priority::high ? Priority::low : Priority::high;
      d->version += 1;
      if (auto step = change.tx.update(*d, State::queued); !step) return step;
      change.tell(d->cluster, Reprioritized{d->id, d->priority});
      return {};
    }));
  }
  std::int32_t some_replica(const Deployment& d) {
    return static_cast<std::int32_t>(pick(static_cast<std::size_t>(d.spec.replicas)));
  }
  // Sometimes of an attempt that is long gone: news come late and twice.
  void observe(Phase phase) {
    const auto d =
        some({State::starting, State::running, State::stopping, State::failed, State::queued});
    if (!d) return;
    Observation seen;
    seen.key = {d->id, std::max(1, d->attempt - (pick(5) == 0 ? 1 : 0)), some_replica(*d)};
    seen.phase = phase;
    if (phase == Phase::exited) seen.exit_code = static_cast<std::int32_t>(pick(2));
    for (std::size_t i = 0; i <= pick(2); ++i) {
      EXPECT_TRUE(write([&](Change& change) { return apply_observation(change, context_, seen); }));
    }
  }
  void fail_start() {
    const auto d = some({State::starting, State::running});
    if (!d) return;
    EXPECT_TRUE(write([&](Change& change) {
      const AttemptKey key{d->id, d->attempt, some_replica(*d)};
      return apply_start_failure(change, context_, key, "no such program");
    }));
  }
  void confirm_gone() {
    const auto d = some({State::stopping, State::running});
    if (!d) return;
    const AttemptKey key{d->id, d->attempt, some_replica(*d)};
    EXPECT_TRUE(write([&](Change& change) { return apply_gone(change, context_, key); }));
  }
  void wake() {
    std::vector<DeploymentId> due;
    for (const auto& [id, when] : dispatch_.wakes) due.push_back(id);
    if (due.empty()) return;
    const auto id = due[pick(due.size())];
    dispatch_.wakes.erase(id);
    EXPECT_TRUE(write([&](Change& change) { return apply_wake(change, context_, id); }));
  }
  void resize() {
    const auto id = some_cluster();
    const auto fresh = nodes(1 + pick(3));
    // May be refused: then nothing at all has changed.
    (void)write([&](Change& change) -> Result<void> {
      if (auto step = change.tx.resize(id, fresh); !step) return step;
      change.tell(id, Resized{fresh});
      return {};
    });
  }
  void pause() {
    const auto id = some_cluster();
    EXPECT_TRUE(write([&](Change& change) -> Result<void> {
      auto row = change.tx.cluster(id);
      Cluster c = std::move(**row);
      c.paused = !c.paused && pick(3) == 0;
      c.version += 1;
      if (auto step = change.tx.update(c); !step) return step;
      change.tell(id, PauseChanged{c.paused});
      return {};
    }));
  }
  // The process dies and comes back: the engines are gone, the record is not.
  void crash() {
    look([this] {
      scheduling_.forget(clusters_);
      return std::string();
    });
    for (const auto& id : clusters_) {
      EXPECT_TRUE(write([&](Change& change) -> Result<void> {
        auto row = change.tx.cluster(id);
        change.tell(id, PauseChanged{(**row).paused});
        return {};
      }));
    }
  }

  // --- judging -----------------------------------------------------------------------------------

  void published(const std::vector<Event>& events) {
    static const std::map<std::string, std::set<std::string>> kAllowed{
        {"", {"queued"}},
        {"queued", {"starting", "cancelled"}},
        {"starting", {"running", "stopping", "queued", "succeeded", "failed"}},
        {"running", {"stopping", "queued", "succeeded", "failed"}},
        {"stopping", {"stopped"}}};
    for (const auto& e : events) {
      EXPECT_EQ(e.seq, last_seq_ + 1) << "a gap in the history";
      last_seq_ = e.seq;
      ++tally_.kinds[e.kind];
      if (!e.deployment || !e.kind.starts_with("deployment.")) continue;
      const auto now = e.kind.substr(11);
      const auto state = from_text<State>(now);
      if (!state) continue;
      auto& name = names_[*e.deployment];
      const auto row = kAllowed.find(name);
      EXPECT_TRUE(row != kAllowed.end() && row->second.contains(now)) << name << " -> " << now;
      name = now;
      states_[*e.deployment] = *state;
    }
  }
  // The engine and the record say the same.
  std::string compare(const ClusterId& id, const ClusterEngine& engine) {
    auto cluster = view_->cluster(id);
    ClusterEngine again = empty_engine(**cluster);
    const auto rows = view_->active(id);
    for (const auto& d : *rows) {
      std::vector<Placement> places;
      for (const auto& key : d.attempt_keys()) {
        const Grant& grant = d.grant_of(key.replica);
        std::uint32_t node = 0;
        while ((*cluster)->nodes.at(node).name != grant.node) ++node;
        places.push_back({node, grant.gpus});
      }
      ActiveEntry entry{d.id, d.spec.resources, places.front()};
      entry.more.assign(places.begin() + 1, places.end());
      again.restore_active(entry);
    }
    auto done = view_->for_each_waiting(
        id, [&](const WaitingRow& w) { again.restore_waiting(queued_entry(w)); });
    if (!done) return done.error().message;
    if (!again.settle().empty())
      return "the record is not at a fixpoint: something that fits still waits";
    return again.state_hash() == engine.state_hash()
               ? ""
               : "the engine differs from one rebuilt from the record";
  }
  void check_dispatch() {
    for (const auto& [id, state] : states_) {
      const auto d = view_->deployment(id);
      ASSERT_TRUE(d && *d);
      EXPECT_EQ((*d)->state, state) << "the history and the record disagree";
      if (!holds_resources(state)) continue;
      for (const auto& key : (*d)->attempt_keys())
        EXPECT_TRUE(dispatch_.launched.contains(key)) << "admitted, never launched";
      if (!(*d)->is_ending()) continue;
      for (const auto& key : (*d)->living_keys())
        EXPECT_TRUE(dispatch_.stopping.contains(key)) << "stopping, never stopped";
    }
    for (const auto& key : dispatch_.launched) {
      const auto d = view_->deployment(key.deployment);
      const bool current = (*d)->attempt == key.number && holds_resources((*d)->state);
      EXPECT_TRUE(current || dispatch_.cleaned.contains(key))
          << key.str() << " is over and was never cleaned up";
    }
  }

  std::mt19937_64 rng_;
  SeededRandom random_;
  ManualClock clock_;
  Home home_;
  RememberingDispatch dispatch_;
  SoleAuthority authority_;
  Scheduling scheduling_;
  LifecycleContext context_;
  std::int64_t last_seq_ = 0;
  std::map<DeploymentId, std::string> names_;
  std::map<DeploymentId, State> states_;
  Tally tally_;
  OrganizationId org_;
  std::vector<ClusterId> clusters_;
  Committer committer_;
  std::unique_ptr<ReadView> view_;
};

template <class Home>
class Ledger : public ::testing::Test {};
using Homes = ::testing::Types<SqliteHome, test::PostgresFixture>;
TYPED_TEST_SUITE(Ledger, Homes);

TYPED_TEST(Ledger, HoldsOverRandomHistories) {
  const char* wanted = std::getenv("BERTH_LEDGER_SEEDS");
  const std::uint64_t usual = std::is_same_v<TypeParam, SqliteHome> ? 12 : 4;
  const std::uint64_t seeds = wanted == nullptr ? usual : std::strtoull(wanted, nullptr, 10);
  Tally all;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    World<TypeParam> world(seed);
    for (int i = 0; i < 400; ++i) {
      world.step();
      world.check();
      if (this->HasFatalFailure() || this->HasNonfatalFailure())
        FAIL() << "seed " << seed << ", step " << i;
    }
    for (const auto& [kind, count] : world.tally().kinds) all.kinds[kind] += count;
  }
  for (const auto* kind :
       {"queued", "starting", "running", "stopping", "stopped", "succeeded", "failed", "cancelled",
        "retrying", "replica_running", "replica_failed", "replica_gone"}) {
    EXPECT_GE(all.kinds["deployment." + std::string(kind)], static_cast<int>(seeds))
        << kind << " hardly ever happened";
  }
}

}  // namespace
}  // namespace berth
