// Every policy and every combination against a plain reference on long random histories: the same
// starts at the same places, the same evictions. And the reference against itself with deliberate
// mistakes: a comparison that could not fail would prove nothing.
//
//   BERTH_HISTORY=10 scheduler_policy_property     ten times as long
#include <gtest/gtest.h>

#include <cstdlib>

#include "policy_history.h"

namespace berth {
namespace {

struct Combination {
  bool backfill = false;
  bool preempt = false;
  bool age_bound = false;
  bool mix = false;
};

Rules rules_of(const Combination& c, const PolicyHistory& history) {
  Rules out;
  out.backfill = c.backfill;
  out.preempt = c.preempt;
  if (c.age_bound) out.age_bound = 60;
  if (c.mix) out.mix = history.mix();
  return out;
}

std::string text(const Decisions& decisions) {
  std::string out;
  for (const Start& start : decisions.starts) {
    out += " start " + std::to_string(number_of(start.id)) + " on " +
           std::to_string(start.placement.node);
    for (const GpuShare& share : start.placement.gpus) {
      out += "/" + std::to_string(share.device) + ":" + std::to_string(share.milli);
    }
    for (const Placement& place : start.more) out += "+" + std::to_string(place.node);
  }
  for (const Evict& evict : decisions.evictions) {
    out += " evict " + std::to_string(number_of(evict.id)) + " for " +
           std::to_string(number_of(evict.for_whom));
  }
  return out.empty() ? " nothing" : out;
}

struct Outcome {
  std::string difference;
  std::size_t events = 0;
  std::size_t starts = 0;
  std::size_t evictions = 0;
};

ClusterEngine rebuilt(const ClusterEngine& engine, const PolicyReference& record,
                      const PolicyHistory& history, const Rules& rules) {
  ClusterEngine out(Policy::strict, history.nodes(), engine.status().paused, rules);
  for (const ActiveEntry& entry : engine.active()) out.restore_active(entry);
  for (const Queued& entry : record.waiting()) out.restore_waiting(entry);
  return out;
}

Outcome compare(std::uint64_t seed, const PolicyHistoryShape& shape, const Combination& which,
                std::size_t events, PolicyFlaw flaw = PolicyFlaw::none) {
  PolicyHistory history(seed, shape);
  const Rules rules = rules_of(which, history);
  ClusterEngine engine(Policy::strict, history.nodes(), false, rules);
  PolicyReference reference(history.nodes(), rules, flaw);
  Outcome out;
  for (; out.events < events; ++out.events) {
    const EngineEvent event = history.next(reference, engine);
    const Decisions expected = reference.decide(event, history.now());
    const Decisions decided = engine.decide(event, history.now());
    out.starts += decided.starts.size();
    out.evictions += decided.evictions.size();
    if (decided != expected) {
      out.difference = "engine:" + text(decided) + "; reference:" + text(expected);
      return out;
    }
    if (flaw != PolicyFlaw::none) continue;
    if (out.events % 64 == 0) engine.check();
    if (out.events % 512 == 0) {
      // A restart in the middle: the same state, and nothing left to decide.
      ClusterEngine again = rebuilt(engine, reference, history, rules);
      if (!which.age_bound && !which.preempt && !which.backfill) {
        EXPECT_EQ(again.settle(history.now()), Decisions{});
      }
      EXPECT_EQ(again.state_hash(), engine.state_hash());
    }
  }
  return out;
}

std::size_t times_as_long() {
  const char* const given = std::getenv("BERTH_HISTORY");
  return given == nullptr ? 1 : std::max<std::size_t>(1, std::strtoul(given, nullptr, 10));
}

class EveryPolicy : public testing::TestWithParam<int> {
 protected:
  [[nodiscard]] static Combination combination() {
    const int bits = GetParam();
    return {(bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0, (bits & 8) != 0};
  }
  void expect_same(std::uint64_t first_seed, std::size_t seeds, const PolicyHistoryShape& shape,
                   std::size_t events) {
    seeds = some_of(seeds);
    Outcome sum;
    for (std::uint64_t seed = first_seed; seed < first_seed + seeds * times_as_long(); ++seed) {
      const Outcome out = compare(seed, shape, combination(), events);
      ASSERT_EQ(out.difference, "") << "seed " << seed << ", event " << out.events;
      sum.events += out.events;
      sum.starts += out.starts;
      sum.evictions += out.evictions;
    }
    EXPECT_GT(sum.starts, sum.events / 20) << "too few starts to say much";
    const bool enough = seeds >= 3;  // else there may be none by chance
    if (combination().preempt && shape.nodes < 10 && enough) EXPECT_GT(sum.evictions, 0U);
  }
};

TEST_P(EveryPolicy, DecidesAsTheReferenceDoes) { expect_same(100, 20, {}, 3'000); }
TEST_P(EveryPolicy, WhereEveryDemandIsDifferent) {
  const std::uint32_t shapes = combination().mix ? 30 : 0;
  expect_same(200, 10, {.nodes = 4, .shapes = shapes}, 2'000);
}
TEST_P(EveryPolicy, OnOneNode) { expect_same(300, 10, {.nodes = 1, .shapes = 5}, 2'000); }
TEST_P(EveryPolicy, WhereNobodyDeclaresRunTimes) {
  expect_same(400, 4, {.undeclared_percent = 100}, 2'000);
}
TEST_P(EveryPolicy, WhereManyHaveToGoForOne) {
  expect_same(500, 6, {.nodes = 2, .shapes = 6, .tiny_low = true}, 2'000);
}
TEST_P(EveryPolicy, WithReplicas) {
  expect_same(700, 10, {.nodes = 3, .shapes = 6, .gangs = true}, 2'000);
}
TEST_P(EveryPolicy, WithManyNodes) {
  expect_same(600, 1, {.nodes = 70, .shapes = 20, .aim_waiting = 20}, 4'000);
}

std::string name_of(const testing::TestParamInfo<int>& info) {
  std::string out;
  if ((info.param & 1) != 0) out += "Backfill";
  if ((info.param & 2) != 0) out += "Preempt";
  if ((info.param & 4) != 0) out += "AgeBound";
  if ((info.param & 8) != 0) out += "Fgd";
  return out.empty() ? "Strict" : out;
}
INSTANTIATE_TEST_SUITE_P(Rules, EveryPolicy, testing::Range(0, 16), name_of);

struct FlawCase {
  const char* name;
  PolicyFlaw flaw;
  Combination which;
  PolicyHistoryShape shape = {};
};
class WrongPolicy : public testing::TestWithParam<FlawCase> {};

TEST_P(WrongPolicy, IsNoticed) {
  std::size_t noticed = 0;
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    const Outcome out = compare(seed, GetParam().shape, GetParam().which, 20'000, GetParam().flaw);
    noticed += out.difference.empty() ? 0 : 1;
  }
  EXPECT_GE(noticed, 5U);
}

constexpr Combination kBackfill{.backfill = true};
constexpr Combination kPreempt{.preempt = true};
constexpr Combination kAge{.age_bound = true};
constexpr Combination kMix{.mix = true};

INSTANTIATE_TEST_SUITE_P(
    Flaws, WrongPolicy,
    testing::Values(
        FlawCase{"BackfillDelays", PolicyFlaw::backfill_delays_high_ones, kBackfill},
        FlawCase{"BackfillHeedsOne", PolicyFlaw::backfill_heeds_only_the_first_high_one, kBackfill},
        FlawCase{"BackfillUndeclaredEndless",
                 PolicyFlaw::backfill_takes_undeclared_for_endless_room, kBackfill},
        FlawCase{"BackfillUndeclaredCandidate", PolicyFlaw::backfill_fills_in_undeclared_ones,
                 kBackfill},
        FlawCase{"BackfillPresentAlone", PolicyFlaw::backfill_looks_at_the_present_alone,
                 kBackfill},
        FlawCase{"PreemptOldest", PolicyFlaw::preempt_takes_the_oldest, kPreempt},
        FlawCase{"PreemptHighOnes", PolicyFlaw::preempt_takes_high_ones_too, kPreempt},
        FlawCase{"PreemptSparesNobody",
                 PolicyFlaw::preempt_spares_nobody,
                 kPreempt,
                 {.nodes = 2, .shapes = 6, .tiny_low = true}},
        FlawCase{"PreemptRoomNotKept", PolicyFlaw::preempt_does_not_keep_the_room, kPreempt},
        FlawCase{"PreemptServesTwice", PolicyFlaw::preempt_serves_twice, kPreempt},
        FlawCase{"PreemptFirstNode", PolicyFlaw::preempt_prefers_the_first_node, kPreempt},
        FlawCase{"OverdueLater", PolicyFlaw::overdue_a_moment_later, kAge},
        FlawCase{"OverdueOwnQueue", PolicyFlaw::overdue_only_in_its_own_queue, kAge},
        FlawCase{"OverdueNotHeld", PolicyFlaw::overdue_does_not_hold_up, kAge},
        FlawCase{"OverdueHighFirst", PolicyFlaw::overdue_high_before_older_low, kAge},
        FlawCase{"ReturnToTheEnd", PolicyFlaw::victims_return_to_the_end, kPreempt},
        FlawCase{"IgnoresWhoLeaves", PolicyFlaw::ignores_who_leaves, kPreempt},
        FlawCase{"ReplicasDisplaceNobody",
                 PolicyFlaw::replicas_displace_nobody,
                 kPreempt,
                 {.gangs = true}},
        FlawCase{"ReplicasOnClosedNodes",
                 PolicyFlaw::replicas_are_cleared_for_where_others_are,
                 kPreempt,
                 {.gangs = true}},
        FlawCase{"ReplicasNotFilledIn",
                 PolicyFlaw::replicas_are_not_filled_in,
                 kBackfill,
                 {.gangs = true}},
        FlawCase{
            "ReplicasFillInAsOne", PolicyFlaw::replicas_fill_in_as_one, kBackfill, {.gangs = true}},
        FlawCase{"FitIgnoresSlack", PolicyFlaw::fit_ignores_slack, {}},
        FlawCase{"FitLastNode", PolicyFlaw::fit_prefers_the_last_node, {}},
        FlawCase{"FitIgnoresGpus", PolicyFlaw::fit_ignores_gpus, {}},
        FlawCase{"ShareLargest", PolicyFlaw::share_on_the_largest_device, {}},
        FlawCase{"MixWeights", PolicyFlaw::mix_ignores_weights, kMix},
        FlawCase{"MixOneKind", PolicyFlaw::mix_counts_one_kind, kMix}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace berth
