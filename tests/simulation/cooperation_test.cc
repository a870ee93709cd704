// What the simulation found, each by itself: several processes write to one database, and the one
// that decides was late, or somebody else meanwhile.
#include <gtest/gtest.h>

#include "service/leases.h"
#include "service/lifecycle.h"
#include "service/restore.h"
#include "simulation/database.h"
#include "simulation/process.h"
#include "simulation/statements.h"

namespace berth::sim {
namespace {

using std::chrono::milliseconds;

class ScriptedAuthority final : public Authority {
 public:
  [[nodiscard]] bool holds(const ClusterId&) const override { return holding; }
  [[nodiscard]] std::int64_t term(const ClusterId&) const override { return number; }
  Result<void> prove(Change& change, const ClusterId& cluster) override {
    return change.hold(cluster);
  }
  bool holding = true;
  std::int64_t number = 1;
};

class NoDispatch final : public Dispatch {
 public:
  void launch(const ClusterId&, Launch) override {}
  void stop(const ClusterId&, AttemptKey, milliseconds) override {}
  void clean(const ClusterId&, AttemptKey) override {}
  void forget(const ClusterId&, DeploymentId) override {}
  void wake_at(const ClusterId&, DeploymentId, Timestamp) override {}
};

class Cooperating : public ::testing::Test {
 protected:
  Cooperating() {
    cluster_.id = ClusterId::make({1}, random_);
    cluster_.organization = OrganizationId::make({1}, random_);
    cluster_.name = "c";
    cluster_.nodes = {{"n0", {1000, 0, 0}, ""}, {"n1", {1000, 0, 0}, ""}};
    write(api_, [this](Change& change) { return change.tx.insert(cluster_); });
  }
  // Everything that is queued there.
  static void run(Committer& committer) {
    while (committer.step()) {
    }
  }
  void write(Committer& committer, Committer::Unit unit) {
    committer.submit(std::move(unit),
                     [](const Result<void>& done) { EXPECT_TRUE(done) << done.error().message; });
    run(committer);
  }
  void look() {
    write(decider_, [this](Change& change) -> Result<void> {
      change.look_at(cluster_.id);
      return {};
    });
  }
  Deployment submit(Priority priority, std::int64_t cpu, std::int32_t attempts = 1) {
    Deployment d;
    write(api_, [&](Change& change) -> Result<void> {
      d.id = DeploymentId::make(change.now, random_);
      d.organization = cluster_.organization;
      d.cluster = cluster_.id;
      d.name = d.id.str();
      d.priority = priority;
      d.spec.resources = {cpu, 0, 0};
      d.spec.restart = {attempts, milliseconds(1)};
      d.order = *change.tx.take_order(cluster_.id);
      if (auto step = change.tx.insert(d); !step) return step;
      if (auto step = change.record(Actor{}, "deployment.queued", d, "{}"); !step) return step;
      change.tell(cluster_.id, queued_entry(d));
      return {};
    });
    return d;
  }
  void ends(Committer& by, const Deployment& d, std::int32_t status) {
    Observation seen;
    seen.key = {d.id, 1};
    seen.phase = Phase::exited;
    seen.exit_code = status;
    write(by, [&](Change& change) { return apply_observation(change, context_, seen); });
  }
  State state(const Deployment& d) { return database_.tables().deployments.at(d.id)->state; }

  SeededRandom random_{5};
  Broken broken_;
  Simulator simulator_{1};
  Weather weather_{.simulator = simulator_, .fair = true};
  Database database_{weather_, broken_};
  Machine api_machine_{"api"}, machine_{"scheduler"};
  SimulatedStore api_store_{database_, api_machine_}, store_{database_, machine_};
  ManualClock clock_;
  NoDispatch dispatch_;
  NoAuthority nobody_;
  ScriptedAuthority authority_;
  LifecycleContext context_{dispatch_, [](const Deployment&) {}};
  Scheduling api_scheduling_{dispatch_, nobody_, [](const Deployment&) {}};
  Scheduling scheduling_{dispatch_, authority_, [](const Deployment&) {}};
  Committer api_{api_store_,
                 clock_,
                 api_scheduling_,
                 [](const std::vector<Event>&) {},
                 {Sharing::shared, 64, false}};
  Committer decider_{
      store_, clock_, scheduling_, [](const std::vector<Event>&) {}, {Sharing::shared, 64, false}};
  Cluster cluster_;
};

TEST_F(Cooperating, ALowOneDoesNotStartBeforeAHighOneThatIsCommittedToo) {
  look();  // the engine is there, and empty
  const auto low = submit(Priority::low, 1000), other = submit(Priority::low, 1000);
  const auto high = submit(Priority::high, 1000);
  look();
  EXPECT_EQ(state(high), State::starting);
  EXPECT_EQ(state(low), State::starting);
  EXPECT_EQ(state(other), State::queued);
}

TEST_F(Cooperating, AnEngineOfAnEarlierTermIsNotBelieved) {
  const auto first = submit(Priority::low, 1000), second = submit(Priority::low, 1000);
  look();
  ASSERT_EQ(state(first), State::starting);
  ASSERT_EQ(state(second), State::starting);
  // Somebody else has the cluster for a while: both end there, and their nodes go.
  ends(api_, first, 0);
  ends(api_, second, 0);
  write(api_, [this](Change& change) -> Result<void> {
    Cluster row = **change.tx.cluster(cluster_.id);
    row.version += 1;
    if (auto step = change.tx.update(row); !step) return step;
    return change.tx.resize(cluster_.id, {{"n2", {500, 0, 0}, ""}});
  });
  authority_.number = 2;
  const auto third = submit(Priority::low, 500);
  look();
  EXPECT_EQ(state(third), State::starting);
  EXPECT_EQ(database_.tables().deployments.at(third.id)->grant->node, "n2");
}

TEST_F(Cooperating, WhatWasDecidedAboutByNobodyIsNotTakenForSeen) {
  const auto high = submit(Priority::high, 1000, 2);
  look();
  ends(decider_, high, 1);
  ASSERT_EQ(state(high), State::queued) << "in back-off";
  // The lease seems to be over when the back-off ends, and then is not.
  authority_.holding = false;
  write(decider_, [&](Change& change) { return apply_wake(change, context_, high.id); });
  EXPECT_EQ(state(high), State::queued);
  authority_.holding = true;
  look();
  EXPECT_EQ(state(high), State::starting);
}

TEST_F(Cooperating, ALookWithoutALockHasNotSeenWhatCameAfterIt) {
  const auto first = submit(Priority::low, 1000), second = submit(Priority::low, 1000);
  look();
  ASSERT_EQ(state(second), State::starting);
  const auto fine = [](const Result<void>& done) { EXPECT_TRUE(done) << done.error().message; };
  Deployment late;
  decider_.submit(
      [this](Change& change) -> Result<void> {
        change.look_at(cluster_.id, true);
        return {};
      },
      fine);
  decider_.submit(
      [&](Change& change) -> Result<void> {
        late = submit(Priority::high, 1000);  // by another process, between the two units
        if (auto held = change.hold(cluster_.id); !held) return held;
        return change.record(Actor{}, "cluster.noted", cluster_.organization, cluster_.id, "{}");
      },
      fine);
  run(decider_);
  ends(decider_, first, 0);
  EXPECT_EQ(state(late), State::starting);
}

TEST_F(Cooperating, WhoWasLateBeginsAnewWithItsClusters) {
  MachineTime time(simulator_);
  int gained = 0;
  Leases::Listener listener{[&](const ClusterId&) { ++gained; }, [](const ClusterId&) {}};
  Leases leases(store_, {"s", "", milliseconds(5000), &time}, listener);
  ASSERT_TRUE(leases.round());
  EXPECT_EQ(gained, 1);
  const auto term = leases.term(cluster_.id);
  ASSERT_TRUE(leases.round());
  EXPECT_EQ(gained, 1);
  simulator_.after(6 * kSecond, nullptr, [] {});
  ASSERT_TRUE(simulator_.step());
  EXPECT_FALSE(leases.holds(cluster_.id)) << "and so what it hears is not looked at";
  ASSERT_TRUE(leases.round());
  EXPECT_TRUE(leases.holds(cluster_.id));
  EXPECT_EQ(gained, 2);
  EXPECT_GT(leases.term(cluster_.id), term);
  EXPECT_EQ(database_.tables().leases.at(cluster_.id).epoch, 1) << "nobody else had it";
}

}  // namespace
}  // namespace berth::sim
