// The engine against the reference on long random histories, and the reference against itself with
// deliberate mistakes: a comparison that could not fail would prove nothing.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "random_events.h"

namespace berth {
namespace {

ClusterEngine rebuilt(const ClusterEngine& engine, const ReferenceEngine& record,
                      const RandomHistory& history) {
  ClusterEngine out(Policy::strict, history.nodes(), engine.status().paused, history.rules());
  for (const ActiveEntry& entry : engine.active()) out.restore_active(entry);
  // The record has no order of its own: the youngest come first here.
  for (const auto* queue : {&record.low(), &record.high()}) {
    for (auto it = queue->rbegin(); it != queue->rend(); ++it) out.restore_waiting(*it);
  }
  return out;
}

struct Outcome {
  std::string difference;  // empty: none
  std::size_t events = 0;
  std::size_t starts = 0;
};

// Compares over `events` events; with `thorough`, checks invariants and round trips now and then.
Outcome compare(std::uint64_t seed, const HistoryShape& shape, std::size_t events, Flaw flaw,
                bool thorough) {
  RandomHistory history(seed, shape);
  ClusterEngine engine(Policy::strict, history.nodes(), false, history.rules());
  ReferenceEngine reference(history.nodes(), flaw, history.rules());
  Outcome out;
  for (; out.events < events; ++out.events) {
    const EngineEvent event = history.next(reference, engine);
    std::optional<ClusterEngine> twin;
    if (thorough && out.events % 64 == 0) twin = engine.clone();
    const std::vector<Start> starts = engine.apply(event);
    out.starts += starts.size();
    out.difference = reference.follow(event, starts);
    if (!out.difference.empty()) return out;
    if (thorough && out.events % 16 == 0) engine.check();
    if (twin) {
      EXPECT_EQ(twin->apply(event), starts) << "a clone behaves differently";
      EXPECT_EQ(twin->state_hash(), engine.state_hash());
      ClusterEngine again = rebuilt(engine, reference, history);
      EXPECT_EQ(again.settle(), std::vector<Start>{}) << "the record was not at a fixpoint";
      EXPECT_EQ(again.state_hash(), engine.state_hash());
      again.check();
      if (out.events % 128 == 0) engine = std::move(again);  // go on with the rebuilt one
    }
  }
  return out;
}

void expect_same(std::uint64_t first_seed, std::size_t seeds, const HistoryShape& shape,
                 std::size_t events) {
  std::size_t starts = 0;
  for (std::uint64_t seed = first_seed; seed < first_seed + seeds; ++seed) {
    const Outcome out = compare(seed, shape, events, Flaw::none, true);
    ASSERT_EQ(out.difference, "") << "seed " << seed << ", event " << out.events;
    starts += out.starts;
  }
  EXPECT_GT(starts, seeds * events / 20) << "too few starts to say much";
}

TEST(EngineAgainstReference, FewShapesSeveralNodes) {
  expect_same(1'000, 40, {.nodes = 4, .shapes = 12, .aim_waiting = 40}, 2'500);
}
TEST(EngineAgainstReference, EveryDemandDifferent) {
  expect_same(2'000, 40, {.nodes = 5, .shapes = 0, .aim_waiting = 40}, 2'500);
}
TEST(EngineAgainstReference, OneNodeOneShape) {
  expect_same(3'000, 20, {.nodes = 1, .shapes = 1, .aim_waiting = 10, .gpus = false}, 2'000);
}
TEST(EngineAgainstReference, ManyNodes) {
  expect_same(4'000, 10, {.nodes = 80, .shapes = 30, .aim_waiting = 60}, 2'500);
}
TEST(EngineAgainstReference, Constraints) {
  expect_same(6'000, 16, {.nodes = 5, .shapes = 12, .aim_waiting = 40, .constraints = true}, 2'500);
}
TEST(EngineAgainstReference, ConstraintsOnManyNodes) {
  expect_same(7'000, 5, {.nodes = 90, .shapes = 0, .aim_waiting = 80, .constraints = true}, 2'500);
}
TEST(EngineAgainstReference, Gangs) {
  expect_same(8'000, 16, {.nodes = 5, .shapes = 12, .aim_waiting = 40, .gangs = true}, 2'500);
}
TEST(EngineAgainstReference, GangsWithConstraintsOnManyNodes) {
  expect_same(9'000, 5,
              {.nodes = 80, .shapes = 10, .aim_waiting = 60, .constraints = true, .gangs = true},
              2'500);
}
TEST(EngineAgainstReference, Quotas) {
  expect_same(10'000, 10, {.nodes = 4, .shapes = 12, .aim_waiting = 40, .tenants = 4}, 2'000);
}
TEST(EngineAgainstReference, FairOrder) {
  expect_same(11'000, 6, {.nodes = 4, .shapes = 12, .aim_waiting = 40, .tenants = 4, .fair = true},
              2'000);
}
TEST(EngineAgainstReference, EverythingOnManyNodes) {
  expect_same(12'000, 4,
              {.nodes = 80,
               .shapes = 10,
               .aim_waiting = 50,
               .constraints = true,
               .gangs = true,
               .tenants = 9,
               .fair = true},
              2'000);
}
TEST(EngineAgainstReference, LongQueues) {
  expect_same(5'000, 6, {.nodes = 6, .shapes = 40, .aim_waiting = 1'500}, 8'000);
}

RC_GTEST_PROP(EngineAgainstReference, AnyShapeOfHistory, (std::uint64_t seed)) {
  const HistoryShape shape{.nodes = *rc::gen::inRange<std::uint32_t>(1, 12),
                           .shapes = *rc::gen::inRange<std::uint32_t>(0, 40),
                           .aim_waiting = *rc::gen::inRange<std::uint32_t>(1, 80),
                           .gpus = *rc::gen::arbitrary<bool>(),
                           .constraints = *rc::gen::arbitrary<bool>(),
                           .gangs = *rc::gen::arbitrary<bool>(),
                           .tenants = *rc::gen::inRange<std::uint32_t>(0, 6),
                           .fair = *rc::gen::arbitrary<bool>()};
  const Outcome out = compare(seed, shape, 500, Flaw::none, true);
  RC_ASSERT(out.difference.empty());
}

constexpr HistoryShape kConstrained{.constraints = true};
constexpr HistoryShape kGangs{.gangs = true};
constexpr HistoryShape kTenants{.gangs = true, .tenants = 4, .fair = true};

struct FlawCase {
  const char* name;
  Flaw flaw;
  HistoryShape shape = {};
};
class WrongReference : public testing::TestWithParam<FlawCase> {};

TEST_P(WrongReference, IsNoticedWithinFiveThousandEvents) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    HistoryShape shape = GetParam().shape;
    shape.shapes = 0;
    const Outcome out = compare(seed, shape, 5'000, GetParam().flaw, false);
    EXPECT_NE(out.difference, "") << "seed " << seed;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Flaws, WrongReference,
    testing::Values(FlawCase{"LowBeforeHighIsEmpty", Flaw::low_before_high_is_empty},
                    FlawCase{"FirstMisfitBlocks", Flaw::first_misfit_blocks_the_queue},
                    FlawCase{"ParkedBlocksLow", Flaw::parked_blocks_low},
                    FlawCase{"TooLargeBlocksLow", Flaw::too_large_blocks_low},
                    FlawCase{"NewestFirst", Flaw::newest_first},
                    FlawCase{"PauseIgnored", Flaw::pause_is_ignored},
                    FlawCase{"LastNodeForgotten", Flaw::forgets_the_last_node},
                    FlawCase{"SharesSpanDevices", Flaw::shares_may_span_devices},
                    FlawCase{"GpuReleaseForgotten", Flaw::release_of_gpus_is_forgotten},
                    FlawCase{"PriorityChangeLosesPlace", Flaw::priority_change_loses_the_place},
                    FlawCase{"ConstraintsIgnored", Flaw::constraints_are_ignored, kConstrained},
                    FlawCase{"LabelsIgnored", Flaw::labels_are_ignored, kConstrained},
                    FlawCase{"ModelsWithinWords", Flaw::models_match_within_words, kConstrained},
                    FlawCase{"OneReplicaIsEnough", Flaw::one_replica_is_enough, kGangs},
                    FlawCase{"ReplicasApart", Flaw::replicas_need_different_nodes, kGangs},
                    FlawCase{"FirstReplicaReleased", Flaw::only_the_first_replica_is_released,
                             kGangs},
                    FlawCase{"QuotasIgnored", Flaw::quotas_are_ignored, kTenants},
                    FlawCase{"NobodyBorrows", Flaw::nobody_borrows, kTenants},
                    FlawCase{"LendersWait", Flaw::lenders_wait_for_borrowers, kTenants},
                    FlawCase{"NoBorrowingLimit", Flaw::borrowing_has_no_limit, kTenants},
                    FlawCase{"FirstReplicaCounts", Flaw::only_the_first_replica_counts, kTenants},
                    FlawCase{"OverQuotaBlocksLow", Flaw::over_quota_blocks_low, kTenants},
                    FlawCase{"OwnHighDoesNotBlock", Flaw::own_high_does_not_block_low, kTenants},
                    FlawCase{"SharesIgnored", Flaw::shares_are_ignored, kTenants},
                    FlawCase{"SharesNotWeighted", Flaw::shares_are_not_weighted, kTenants}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace berth
