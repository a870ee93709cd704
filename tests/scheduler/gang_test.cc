// Several replicas that start together or not at all.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "scheduler/plan.h"
#include "scheduler/victims.h"
#include "support.h"

namespace berth {
namespace {

Queued gang(std::uint64_t number, Priority priority, Resources demand, std::uint32_t replicas) {
  Queued out = queued(number, priority, demand);
  out.replicas = replicas;
  return out;
}

ClusterEngine engine_with(std::vector<Node> nodes, Rules rules = {}) {
  return {Policy::strict, std::move(nodes), false, std::move(rules)};
}

std::vector<std::string> nodes_of(const ClusterEngine& engine, const Start& start) {
  std::vector<std::string> out;
  for_each_place(start, [&](const Placement& p) { out.push_back(engine.node(p.node).name); });
  return out;
}
using Names = std::vector<std::string>;

TEST(Gang, AllOrNone) {
  ClusterEngine engine = engine_with({machine("a", 4, 8), machine("b", 4, 8)});
  EXPECT_EQ(numbers(engine.apply(queued(1, Priority::low, res(3)))), (Numbers{1}));
  // One core is free on a, four on b: two of three fit.
  EXPECT_TRUE(engine.apply(gang(2, Priority::low, res(2), 3)).empty());
  engine.check();
  EXPECT_EQ(engine.status().free, res(5, 16));
  const auto starts = engine.apply(Released{dep(1)});
  ASSERT_EQ(numbers(starts), (Numbers{2}));
  EXPECT_EQ(nodes_of(engine, starts[0]), (Names{"a", "a", "b"}));
  engine.check();
  EXPECT_EQ(engine.status().free, res(2, 16));
  EXPECT_TRUE(engine.apply(Released{dep(2)}).empty());
  EXPECT_EQ(engine.status().free, res(8, 16));
  engine.check();
}

TEST(Gang, SharesOfDevicesSideBySide) {
  ClusterEngine engine = engine_with({machine("a", 8, 8, 2)});
  EXPECT_TRUE(engine.never_fits(res(0, 0, 400), {}, 5)) << "two to a device";
  EXPECT_EQ(engine.never_fits(res(0, 0, 400), {}, 5)->replicas_fit, 4U);
  const auto starts = engine.apply(gang(1, Priority::low, res(0, 0, 400), 4));
  ASSERT_EQ(starts.size(), 1U);
  const Placement a0{0, {{0, 400}}};
  const Placement a1{0, {{1, 400}}};
  EXPECT_EQ(starts[0].placement, a0);
  EXPECT_EQ(starts[0].more, (std::vector{a0, a1, a1}));
}

TEST(Gang, NeverFitsCountsTheEmptyCluster) {
  ClusterEngine engine = engine_with({machine("a", 4, 8), machine("b", 3, 8)});
  (void)engine.apply(queued(1, Priority::low, res(4)));
  EXPECT_EQ(engine.never_fits(res(2), {}, 3), std::nullopt);
  const auto four = engine.never_fits(res(2), {}, 4);
  ASSERT_TRUE(four);
  EXPECT_EQ(four->replicas, 4U);
  EXPECT_EQ(four->replicas_fit, 3U);
  const auto large = engine.never_fits(res(5), {}, 2);
  ASSERT_TRUE(large);
  EXPECT_EQ(large->replicas_fit, 0U);
  EXPECT_EQ(large->largest, res(4));
  // It waits without blocking the low ones when it can never run.
  EXPECT_TRUE(engine.apply(gang(2, Priority::high, res(2), 4)).empty());
  EXPECT_EQ(numbers(engine.apply(queued(3, Priority::low, res(1)))), (Numbers{3}));
  EXPECT_EQ(engine.explain(dep(2))->reason, Reason::exceeds_cluster);
}

TEST(Gang, ExplainSaysHowManyFit) {
  ClusterEngine engine = engine_with({machine("a", 4, 8), machine("b", 5, 8)});
  (void)engine.apply(queued(1, Priority::low, res(2)));  // a has 2 left
  EXPECT_TRUE(engine.apply(gang(2, Priority::low, res(2), 4)).empty());
  const auto why = engine.explain(dep(2));
  ASSERT_TRUE(why);
  EXPECT_EQ(why->replicas, 4U);
  EXPECT_EQ(why->replicas_fit, 3U);
  EXPECT_EQ(why->reason, Reason::waiting_for_capacity);
  // When three are placed, b has one core left.
  EXPECT_EQ(why->nearest_node, "b");
  EXPECT_EQ(why->missing, res(1));
  EXPECT_EQ(why->would_fit, std::nullopt);
  (void)engine.apply(Withdrawn{dep(2)});
  EXPECT_EQ(numbers(engine.apply(gang(3, Priority::low, res(2), 3))), (Numbers{3}));
}

TEST(Gang, FragmentedWhereOnlyTheBordersBetweenNodesAreInTheWay) {
  ClusterEngine engine = engine_with({machine("a", 3, 8), machine("b", 3, 8), machine("c", 2, 8)});
  (void)engine.apply(queued(1, Priority::low, res(2)));  // on c
  EXPECT_TRUE(engine.apply(gang(2, Priority::low, res(2), 3)).empty());
  EXPECT_EQ(engine.explain(dep(2))->reason, Reason::fragmented);
  EXPECT_EQ(engine.blockers(dep(2)), (std::vector{dep(1)}));
}

TEST(Gang, OneThatFailsIsPassedOverAndTheOthersGoOn) {
  ClusterEngine engine = engine_with({machine("a", 4, 8), machine("b", 4, 8)});
  (void)engine.apply(queued(1, Priority::low, res(4)));
  (void)engine.apply(queued(2, Priority::low, res(3)));
  EXPECT_TRUE(engine.apply(gang(3, Priority::low, res(1), 7)).empty());
  EXPECT_TRUE(engine.apply(gang(4, Priority::low, res(2), 2)).empty());
  EXPECT_TRUE(engine.apply(gang(5, Priority::low, res(2), 2)).empty());
  EXPECT_TRUE(engine.apply(queued(6, Priority::low, res(3))).empty());
  // Four cores on a, one on b: 3 does not fit (five of seven), 4 takes all of a.
  EXPECT_EQ(numbers(engine.apply(Released{dep(1)})), (Numbers{4}));
  engine.check();
  EXPECT_EQ(numbers(engine.apply(Released{dep(2)})), (Numbers{5}));
  engine.check();
}

TEST(Gang, ComesBackAfterARestart) {
  ClusterEngine engine = engine_with({machine("a", 4, 8), machine("b", 4, 8)});
  (void)engine.apply(gang(1, Priority::low, res(3), 2));
  (void)engine.apply(gang(2, Priority::low, res(1), 3));
  ClusterEngine again = engine_with({machine("a", 4, 8), machine("b", 4, 8)});
  for (const ActiveEntry& entry : engine.active()) again.restore_active(entry);
  again.restore_waiting(gang(2, Priority::low, res(1), 3));
  EXPECT_TRUE(again.settle().empty());
  EXPECT_EQ(again.state_hash(), engine.state_hash());
  EXPECT_EQ(again.apply(Released{dep(1)}), engine.apply(Released{dep(1)}));
  EXPECT_TRUE(again.is_active(dep(2)));
}

TEST(Gang, AResizeMustKeepTheNodesOfAllReplicas) {
  ClusterEngine engine = engine_with({machine("a", 4, 8), machine("b", 4, 8)});
  (void)engine.apply(gang(1, Priority::low, res(3), 2));
  EXPECT_EQ(engine.can_resize(std::vector{machine("a", 4, 8)}), (std::vector{dep(1)}));
  EXPECT_TRUE(engine.apply(Resized{{machine("b", 3, 8), machine("a", 3, 8)}}).empty());
  engine.check();
  EXPECT_TRUE(engine.apply(Released{dep(1)}).empty());
  engine.check();
}

TEST(Gang, DisplacesTheFewestAndOfThemTheYoungestOnAllNodes) {
  ClusterEngine engine =
      engine_with({machine("a", 4, 8), machine("b", 4, 8), machine("c", 4, 8), machine("d", 4, 8)},
                  {.preempt = true});
  for (const std::uint64_t n : {1U, 2U, 3U}) {
    (void)engine.decide(queued(n, Priority::low, res(4)), 0);
  }
  EXPECT_EQ(engine.decide(gang(4, Priority::high, res(4), 3), 1).evictions,
            (std::vector<Evict>{{dep(3), dep(4)}, {dep(2), dep(4)}}))
      << "one node is free already";
  engine.check();
  EXPECT_EQ(engine.decide(gang(5, Priority::high, res(4), 4), 1), Decisions{})
      << "two nodes are being cleared for another";
  EXPECT_EQ(engine.decide(Released{dep(3)}, 2), Decisions{});
  EXPECT_EQ(numbers(engine.decide(Released{dep(2)}, 3).starts), (Numbers{4}));
  EXPECT_EQ(engine.decide(queued(2, Priority::low, res(4)), 3), Decisions{});
  engine.check();
}

TEST(Gang, DisplacesNobodyWhereThatIsNotEnough) {
  ClusterEngine engine = engine_with({machine("a", 4, 8), machine("b", 4, 8)}, {.preempt = true});
  (void)engine.decide(queued(1, Priority::low, res(4)), 0);
  (void)engine.decide(queued(2, Priority::high, res(1)), 0);
  EXPECT_EQ(engine.decide(gang(3, Priority::high, res(4), 2), 0), Decisions{});
  // Who goes by himself goes anyway.
  (void)engine.decide(Withdrawn{dep(3)}, 0);
  (void)engine.decide(Leaving{dep(1)}, 0);
  EXPECT_EQ(engine.decide(gang(4, Priority::high, res(2), 3), 0), Decisions{});
  EXPECT_EQ(numbers(engine.decide(Released{dep(1)}, 1).starts), (Numbers{4}));
}

TEST(Gang, IsDisplacedAsAWhole) {
  ClusterEngine engine = engine_with({machine("a", 4, 8), machine("b", 4, 8)}, {.preempt = true});
  (void)engine.decide(gang(1, Priority::low, res(3), 2), 0);
  EXPECT_EQ(engine.decide(queued(3, Priority::high, res(2)), 1).evictions,
            (std::vector<Evict>{{dep(1), dep(3)}}));
  engine.check();
  // Both nodes stay closed until it is gone.
  EXPECT_EQ(engine.decide(queued(4, Priority::high, res(1)), 1), Decisions{});
  EXPECT_EQ(numbers(engine.decide(Released{dep(1)}, 2).starts), (Numbers{3, 4}));
  EXPECT_EQ(engine.decide(gang(1, Priority::low, res(3), 2), 2), Decisions{});
  engine.check();
}

TEST(Gang, FillsInWhereItDelaysNobodyAndIsNotDelayed) {
  ClusterEngine engine = engine_with({machine("a", 4, 8), machine("b", 4, 8)}, {.backfill = true});
  Queued first = queued(1, Priority::high, res(4));
  first.max_run = 100;
  (void)engine.decide(first, 0);
  EXPECT_EQ(engine.decide(gang(2, Priority::high, res(4), 2), 0), Decisions{});
  Queued low = gang(3, Priority::low, res(1), 2);
  low.max_run = 101;
  EXPECT_EQ(engine.decide(low, 0), Decisions{});
  (void)engine.decide(Withdrawn{dep(3)}, 0);
  low.max_run = 100;
  EXPECT_EQ(numbers(engine.decide(low, 0).starts), (Numbers{3}));
  Queued longer = queued(4, Priority::low, res(1));
  longer.max_run = 101;
  EXPECT_EQ(engine.decide(longer, 0), Decisions{}) << "both nodes are needed at 100";
  Queued shorter = queued(5, Priority::low, res(1));
  shorter.max_run = 100;
  EXPECT_EQ(numbers(engine.decide(shorter, 0).starts), (Numbers{5}));
}

TEST(Gang, AnOverdueOneIsNotOvertaken) {
  ClusterEngine engine = engine_with({machine("a", 2, 8), machine("b", 2, 8)}, {.age_bound = 100});
  (void)engine.decide(queued(1, Priority::low, res(2)), 0);
  (void)engine.decide(queued(2, Priority::low, res(2)), 0);
  EXPECT_EQ(engine.decide(gang(3, Priority::low, res(2), 2), 0), Decisions{});
  Queued small = queued(4, Priority::low, res(1));
  small.since = 50;
  EXPECT_EQ(engine.decide(small, 50), Decisions{});
  EXPECT_EQ(engine.decide(Released{dep(1)}, 100), Decisions{});
  EXPECT_EQ(numbers(engine.decide(Released{dep(2)}, 110).starts), (Numbers{3}));
}

TEST(Gang, TheEndOfItsBlockersStartsItAndNoPartOfThemDoes) {
  std::mt19937_64 random(5);
  int seen = 0;
  for (int round = 0; round < 120; ++round) {
    ClusterEngine engine =
        engine_with({machine("a", 8, 16, 2), machine("b", 16, 16), machine("c", 6, 32, 4)});
    std::vector<std::uint64_t> waiting;
    for (std::uint64_t n = 1; n <= 40; ++n) {
      Resources demand{static_cast<std::int64_t>(1 + random() % 4) * 1000,
                       static_cast<std::int64_t>(random() % 4) * kGiB, 0};
      if (random() % 3 == 0) demand.gpu_milli = random() % 2 == 0 ? 300 : 1000;
      const auto replicas = static_cast<std::uint32_t>(1 + random() % 4);
      if (engine.apply(gang(n, Priority::high, demand, replicas)).empty() && replicas > 1) {
        waiting.push_back(n);
      }
    }
    for (const std::uint64_t n : waiting) {
      const auto why = engine.explain(dep(n));
      if (why->too_large) continue;
      const auto blockers = engine.blockers(dep(n));
      ASSERT_FALSE(blockers.empty());
      const auto fits_without = [&](std::size_t spared) {
        ClusterEngine twin = engine.clone();
        EXPECT_TRUE(twin.apply(PauseChanged{true}).empty());
        for (std::size_t i = 0; i < blockers.size(); ++i) {
          if (i != spared) EXPECT_TRUE(twin.apply(Released{blockers[i]}).empty());
        }
        const auto then = twin.explain(dep(n));
        return then->replicas_fit == then->replicas;
      };
      ASSERT_TRUE(fits_without(blockers.size()));
      for (std::size_t i = 0; i < blockers.size(); ++i) ASSERT_FALSE(fits_without(i));
      ++seen;
    }
  }
  EXPECT_GT(seen, 300);
}

TEST(Gang, APlanNamesAllNodes) {
  ClusterEngine engine = engine_with({machine("a", 4, 8), machine("b", 4, 8)});
  PlanSubmit submit{dep(9), Priority::low, res(3)};
  submit.replicas = 2;
  const Plan two = plan(engine, std::vector<PlanCommand>{submit});
  EXPECT_EQ(two.steps[0].starts, (std::vector<PlanStart>{{dep(9), "a", {"b"}}}));
  submit.replicas = 3;
  EXPECT_EQ(plan(engine, std::vector<PlanCommand>{submit}).steps[0].refused,
            "The nodes could never hold more than 2 of the 3 replicas.");
  (void)engine.apply(gang(1, Priority::low, res(3), 2));
  const Plan lost = plan(engine, std::vector<PlanCommand>{PlanLoseNode{"b"}});
  EXPECT_EQ(lost.steps[0].returns, (std::vector{dep(1)}));
}

}  // namespace
}  // namespace berth
