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

// --- in time
// --------------------------------------------------------------------------------------

Queued limited(std::uint64_t number, Priority priority, Resources demand, EngineTime max_run) {
  Queued out = queued(number, priority, demand);
  out.max_run = max_run;
  return out;
}

using Rows = std::vector<Happened>;

TEST(Foresee, WhoHasDeclaredEndsThenAndOthersRunOn) {
  ClusterEngine engine(Policy::strict, {machine("a", 4, 8)}, false);
  (void)engine.decide(limited(1, Priority::low, res(2), 100), 0);
  (void)engine.decide(limited(2, Priority::low, res(2), 0), 0);
  (void)engine.decide(limited(3, Priority::low, res(2), 50), 10);
  const Foresight out = foresee(engine, {}, 20, 1'000);
  EXPECT_EQ(out.happened, (Rows{{100, Happening::ends, dep(1), {}},
                                {100, Happening::starts, dep(3), "a"},
                                {150, Happening::ends, dep(3), {}}}));
  EXPECT_TRUE(out.shifts.empty());
  EXPECT_FALSE(out.cut);
  EXPECT_EQ(foresee(engine, {}, 20, 79).happened, Rows{}) << "beyond the horizon";
  EXPECT_TRUE(foresee(engine, {}, 20, 1'000, 2).cut);
}

TEST(Foresee, CommandsMoveTheStartsOfOthers) {
  ClusterEngine engine(Policy::strict, {machine("a", 4, 8)}, false);
  (void)engine.decide(limited(1, Priority::low, res(4), 100), 0);
  (void)engine.decide(limited(2, Priority::low, res(4), 50), 0);
  const std::vector<TimedCommand> commands{{30, PlanSubmit{dep(9), Priority::high, res(4), 200}},
                                           {40, PlanSubmit{dep(10), Priority::low, res(5), 0}},
                                           {60, PlanStop{dep(1)}}};
  const Foresight out = foresee(engine, commands, 0, 10'000);
  EXPECT_EQ(out.happened, (Rows{{60, Happening::starts, dep(9), "a"},
                                {260, Happening::ends, dep(9), {}},
                                {260, Happening::starts, dep(2), "a"},
                                {310, Happening::ends, dep(2), {}}}));
  EXPECT_EQ(out.steps[1].refused,
            "No node could ever hold it; the largest that would fit is cpu 4.");
  EXPECT_EQ(out.shifts, (std::vector<StartShift>{{dep(9), {}, 60}, {dep(2), 100, 260}}));
}

TEST(Foresee, WhoIsDisplacedEndsLater) {
  ClusterEngine engine(Policy::preempt, {machine("a", 4, 8)}, false);
  (void)engine.decide(limited(1, Priority::low, res(4), 100), 0);
  const std::vector<TimedCommand> commands{{20, PlanSubmit{dep(9), Priority::high, res(4), 30}}};
  EXPECT_EQ(foresee(engine, commands, 0, 1'000).happened,
            (Rows{{20, Happening::displaced, dep(1), {}, dep(9)},
                  {20, Happening::starts, dep(9), "a"},
                  {50, Happening::ends, dep(9), {}},
                  {50, Happening::starts, dep(1), "a"},
                  {150, Happening::ends, dep(1), {}}}));
}

// What is foreseen is what happens when it is done at those times.
TEST(Foresee, IsWhatThenHappens) {
  std::size_t ends = 0;
  for (const Policy policy : {Policy::strict, Policy::backfill, Policy::preempt}) {
    for (std::uint64_t seed = 1; seed <= 6; ++seed) {
      std::mt19937_64 random(seed);
      ClusterEngine engine(policy, {machine("a", 8, 16), machine("b", 4, 8)}, false);
      for (std::uint64_t n = 1; n <= 60; ++n) {
        (void)engine.decide(limited(n, random() % 3 == 0 ? Priority::high : Priority::low,
                                    res(1 + static_cast<std::int64_t>(random() % 4)),
                                    1 + static_cast<EngineTime>(random() % 500)),
                            static_cast<EngineTime>(n));
      }
      const Foresight seen = foresee(engine, {}, 60, 100'000);
      ASSERT_FALSE(seen.cut);
      Rows done;
      std::vector<Decisions> answers;
      for (const Happened& one : seen.happened) {
        if (one.what != Happening::ends) continue;
        ++ends;
        const auto entry = engine.active_as(one.id);
        ASSERT_TRUE(entry.has_value());
        ASSERT_EQ(std::max<EngineTime>(60, entry->started + entry->max_run), one.at);
        done.push_back(one);
        std::vector<std::vector<EngineEvent>> events{{Released{one.id}}};
        for (std::size_t i = 0; i < events.size(); ++i) {
          const Decisions out = engine.decide(events[i], one.at);
          for (const Start& start : out.starts) {
            done.push_back(
                {one.at, Happening::starts, start.id, engine.node(start.placement.node).name});
          }
          for (const Evict& evict : out.evictions) {
            const auto lost = *engine.active_as(evict.id);
            done.push_back({one.at, Happening::displaced, evict.id, {}, evict.for_whom});
            events.push_back(
                {Released{evict.id}, Queued{lost.id, lost.priority, lost.order, lost.demand, false,
                                            one.at, lost.max_run}});
          }
        }
      }
      ASSERT_EQ(done, seen.happened) << "seed " << seed;
      ASSERT_EQ(engine.active_count(), 0U);
    }
  }
  EXPECT_GT(ends, 500U);
}

}  // namespace
}  // namespace berth
