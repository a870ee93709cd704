// Small traces with the outcome written out, and placement by fragmentation.
#include <gtest/gtest.h>

#include "scheduler/fragmentation.h"
#include "scheduler/simulation.h"
#include "support.h"

namespace berth {
namespace {

using Times = std::vector<std::pair<SimulatedTime, SimulatedTime>>;

Times times(const SimulationResult& result) {
  Times out;
  for (const SimulatedOutcome& job : result.jobs) out.emplace_back(job.start, job.end);
  return out;
}
ClusterEngine four_cores(Rules rules = {}) {
  return {Policy::strict, {machine("a", 4, 8)}, false, std::move(rules)};
}

TEST(Simulation, RunsOnTheVirtualClock) {
  const std::vector<SimulatedJob> jobs{{res(3), Priority::low, 0, 100},
                                       {res(3), Priority::low, 10, 50},
                                       {res(2), Priority::high, 20, 30},
                                       {res(1), Priority::low, 30, 5},
                                       {res(9), Priority::high, 40, 5}};
  const auto result = simulate(four_cores(), jobs);
  EXPECT_EQ(times(result), (Times{{0, 100}, {130, 180}, {100, 130}, {100, 105}, {-1, -1}}));
  EXPECT_TRUE(result.jobs[4].refused);
  EXPECT_EQ(result.events, 8U);
  EXPECT_EQ(result.decisions, 4U);
  EXPECT_EQ(result.left_waiting, 0U);
  EXPECT_EQ(result.end, 180);
}

TEST(Simulation, WhatEndsNowMakesRoomForWhatArrivesNow) {
  const std::vector<SimulatedJob> jobs{{res(4), Priority::low, 0, 10},
                                       {res(4), Priority::low, 10, 10}};
  EXPECT_EQ(times(simulate(four_cores(), jobs)), (Times{{0, 10}, {10, 20}}));
}

TEST(Simulation, AnEvictedJobStartsAgainFromTheBeginning) {
  const std::vector<SimulatedJob> jobs{{res(4), Priority::low, 0, 100},
                                       {res(4), Priority::high, 30, 20}};
  const auto result = simulate(four_cores({.preempt = true}), jobs);
  EXPECT_EQ(times(result), (Times{{50, 150}, {30, 50}}));
  EXPECT_EQ(result.jobs[0].evictions, 1U);
  EXPECT_EQ(result.jobs[0].wasted, 30);
  EXPECT_EQ(result.decisions, 4U);
}

TEST(Simulation, BackfillUsesTheGapAndDelaysNobody) {
  const std::vector<SimulatedJob> jobs{{res(3), Priority::high, 0, 100, 100},
                                       {res(4), Priority::high, 10, 50, 50},
                                       {res(1), Priority::low, 20, 80, 80},
                                       {res(1), Priority::low, 20, 81, 81}};
  EXPECT_EQ(times(simulate(four_cores({.backfill = true}), jobs)),
            (Times{{0, 100}, {100, 150}, {20, 100}, {150, 231}}));
  EXPECT_EQ(times(simulate(four_cores(), jobs)),
            (Times{{0, 100}, {100, 150}, {150, 230}, {150, 231}}));
}

TEST(Simulation, RecordsHowMuchGpuTheMixCouldNotUse) {
  // Half of the mix are whole devices, half are shares of 500 that need a core.
  const TaskMix mix{{{res(0, 0, 1000), 1}, {res(1, 0, 500), 1}}};
  const std::vector<SimulatedJob> jobs{{res(2, 0, 300), Priority::low, 0, 10},
                                       {res(2, 0, 0), Priority::low, 5, 10}};
  const auto result =
      simulate({Policy::strict, {machine("a", 4, 8, 2)}, false}, jobs, {.mix = mix});
  std::vector<std::pair<SimulatedTime, double>> points;
  for (const auto& point : result.fragmentation) points.emplace_back(point.when, point.unusable);
  // 700 and 1000 are free: no use for the 700 by whole ones. Then no core is left: 1700 for the
  // shares. Then both devices are whole, with cores. Then nothing runs.
  EXPECT_EQ(points, (std::vector<std::pair<SimulatedTime, double>>{
                        {0, 350}, {5, 350 + 850}, {10, 0}, {15, 0}}));
}

TEST(Fragmentation, CountsWhatATypicalTaskCannotUse) {
  const TaskMix halves{{{res(1, 0, 500), 1}}};
  const std::vector<std::int32_t> devices{1000, 400, 0};
  // Enough CPU: the 400 are lost, 20 times; of the whole device both halves can be used.
  EXPECT_EQ(fragmentation(halves, res(8), devices), 20 * 400 + 400);
  // One core: a single task fits, a second does not.
  EXPECT_EQ(fragmentation(halves, res(1), devices), 20 * 400 + 900);
  // No core: everything is lost.
  EXPECT_EQ(fragmentation(halves, res(0), devices), 21 * 1400);
}

TEST(Fragmentation, TheMixIsWhatIsAskedForMost) {
  const std::vector<Resources> asked{res(1), res(2), res(1), res(3), res(1), res(2)};
  EXPECT_EQ(TaskMix::of(asked, 80), (TaskMix{{{res(1), 3}, {res(2), 2}}}));
}

TEST(Fragmentation, AShareGoesWhereItSpoilsLeast) {
  // Typical are whole devices: a share should go to the device that is shared already.
  const TaskMix whole{{{res(1, 0, 1000), 1}}};
  const std::vector<std::int32_t> devices{1000, 700, 1000};
  EXPECT_EQ(least_fragmenting(whole, res(1, 0, 300), res(8), devices).share_of, 700);
}

TEST(Fragmentation, DecidesBetweenNodes) {
  // Both nodes fit a task without GPU; on b it would leave the GPUs without a core.
  Rules rules;
  rules.mix = TaskMix{{{res(2, 0, 1000), 1}}};
  ClusterEngine engine(Policy::strict, {machine("b", 4, 8, 2), machine("a", 8, 8, 2)}, false,
                       std::move(rules));
  const auto starts = engine.apply(queued(1, Priority::high, res(4)));
  ASSERT_EQ(starts.size(), 1U);
  EXPECT_EQ(starts[0].placement.node, 1U);
  engine.check();
}

}  // namespace
}  // namespace berth
