// What-if questions: by hand, and against doing it.
#include <gtest/gtest.h>

#include "random_events.h"
#include "scheduler/plan.h"

namespace berth {
namespace {

ClusterEngine two_nodes(Rules rules = {}) {
  ClusterEngine engine(Policy::strict, {machine("a", 4, 8), machine("b", 2, 8)}, false,
                       std::move(rules));
  (void)engine.apply(queued(1, Priority::low, res(4)));  // on a
  (void)engine.apply(queued(2, Priority::low, res(2)));  // on b
  (void)engine.apply(queued(3, Priority::low, res(3)));  // waits
  (void)engine.apply(queued(4, Priority::low, res(1)));  // waits
  return engine;
}

TEST(Plan, StopAndSubmit) {
  const ClusterEngine engine = two_nodes();
  const std::vector<PlanCommand> commands{PlanStop{dep(1)},
                                          PlanSubmit{dep(9), Priority::high, res(2)},
                                          PlanSubmit{dep(10), Priority::low, res(7)}};
  const Plan out = plan(engine, commands);
  ASSERT_EQ(out.steps.size(), 3U);
  EXPECT_EQ(out.steps[0].starts, (std::vector<PlanStart>{{dep(3), "a"}, {dep(4), "a"}}));
  EXPECT_EQ(out.steps[1], PlanStep{});
  EXPECT_EQ(out.steps[2].refused,
            "No node could ever hold it; the largest that would fit is cpu 4.");
  EXPECT_EQ(out.moves, (std::vector<PlanMove>{{dep(3), 1, 0}, {dep(4), 2, 0}, {dep(9), 0, 1}}));
}

TEST(Plan, PriorityMovesPositions) {
  const Plan out =
      plan(two_nodes(), std::vector<PlanCommand>{PlanPriority{dep(4), Priority::high}});
  EXPECT_EQ(out.moves, (std::vector<PlanMove>{{dep(4), 2, 1}, {dep(3), 1, 2}}));
}

TEST(Plan, ALostNodeSendsItsDeploymentsBackToTheirPlace) {
  const ClusterEngine engine = two_nodes();
  const Plan out = plan(engine, std::vector<PlanCommand>{PlanLoseNode{"b"}, PlanStop{dep(1)}});
  EXPECT_EQ(out.steps[0].returns, (std::vector{dep(2)}));
  EXPECT_TRUE(out.steps[0].starts.empty());
  EXPECT_EQ(out.steps[1].starts, (std::vector<PlanStart>{{dep(2), "a"}, {dep(4), "a"}}));
  EXPECT_EQ(plan(engine, std::vector<PlanCommand>{PlanLoseNode{"z"}}).steps[0].refused,
            "There is no node z.");
}

TEST(Plan, ALargerClusterStartsMoreAndASmallerOneIsRefusedWhileInUse) {
  const ClusterEngine engine = two_nodes();
  const Plan grown =
      plan(engine, std::vector<PlanCommand>{
                       PlanResize{{machine("a", 4, 8), machine("b", 2, 8), machine("c", 3, 8)}}});
  EXPECT_EQ(grown.steps[0].starts, (std::vector<PlanStart>{{dep(3), "c"}}));
  const Plan shrunk = plan(engine, std::vector<PlanCommand>{PlanResize{{machine("a", 4, 8)}}});
  EXPECT_EQ(shrunk.steps[0].refused, "1 deployments run on nodes that would go or shrink.");
}

TEST(Plan, ShowsWhoIsDisplaced) {
  const Plan out = plan(two_nodes({.preempt = true}),
                        std::vector<PlanCommand>{PlanSubmit{dep(9), Priority::high, res(2)}});
  EXPECT_EQ(out.steps[0].evictions, (std::vector<Evict>{{dep(2), dep(9)}}));
  EXPECT_EQ(out.steps[0].starts, (std::vector<PlanStart>{{dep(9), "b"}}));
}

// What a plan says about one command is what happens when it is done; and nothing was touched.
TEST(Plan, SaysWhatThenHappens) {
  std::size_t starts = 0;
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    RandomHistory history(seed, {.nodes = 4, .shapes = 10, .aim_waiting = 30});
    ClusterEngine engine(Policy::strict, history.nodes(), false);
    ReferenceEngine reference(history.nodes());
    for (int step = 0; step < 600; ++step) {
      const EngineEvent event = history.next(reference, engine);
      std::optional<Plan> planned;
      const std::uint64_t before = engine.state_hash();
      const auto ask = [&](PlanCommand command) {
        planned = plan(engine, std::vector<PlanCommand>{std::move(command)});
      };
      if (const auto* released = std::get_if<Released>(&event)) ask(PlanStop{released->id});
      if (const auto* gone = std::get_if<Withdrawn>(&event)) ask(PlanStop{gone->id});
      if (const auto* moved = std::get_if<Reprioritized>(&event)) {
        ask(PlanPriority{moved->id, moved->priority});
      }
      if (const auto* resized = std::get_if<Resized>(&event)) ask(PlanResize{resized->nodes});
      ASSERT_EQ(engine.state_hash(), before);
      const auto happened = engine.apply(event);
      ASSERT_EQ(reference.follow(event, happened), "");
      if (!planned) continue;
      std::vector<PlanStart> expected;
      for (const Start& start : happened) {
        expected.push_back({start.id, engine.node(start.placement.node).name});
      }
      ASSERT_EQ(planned->steps[0].refused, "");
      ASSERT_EQ(planned->steps[0].starts, expected) << "seed " << seed << " step " << step;
      for (const PlanMove& move : planned->moves) {
        const auto now = engine.explain(move.id);
        ASSERT_EQ(move.after, now ? now->position : 0);
      }
      starts += expected.size();
    }
  }
  EXPECT_GT(starts, 200U);
}

}  // namespace
}  // namespace berth
