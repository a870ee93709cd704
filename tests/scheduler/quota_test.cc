// Tenants: how much each may hold, and whose turn it is.
#include <gtest/gtest.h>

#include "scheduler/policies/policies.h"
#include "support.h"

namespace berth {
namespace {

Queued of(std::uint32_t tenant, std::uint64_t number, Priority priority, Resources demand) {
  Queued out = queued(number, priority, demand);
  out.tenant = tenant;
  return out;
}

// So many cores; memory and GPUs without a quota.
Quota cores(std::uint32_t tenant, std::int64_t cpu, std::optional<std::int64_t> borrowing = {}) {
  Quota out{tenant, {cpu * 1000, kNoQuota, kNoQuota}};
  if (borrowing) out.borrowing = Resources{*borrowing * 1000, kNoQuota, kNoQuota};
  return out;
}

ClusterEngine engine_with(Rules rules, std::vector<Node> nodes) {
  return {Policy::strict, std::move(nodes), false, std::move(rules)};
}
Rules quotas(std::vector<Quota> list) {
  Rules out;
  out.quotas = std::move(list);
  return out;
}

// --- the rules alone ----------------------------------------------------------------------------

TEST(Headroom, Table) {
  struct Case {
    std::int64_t nominal;
    std::optional<std::int64_t> borrowing;
    std::int64_t used;
    std::int64_t unused;  // by all tenants together
    std::int64_t expected;
  };
  for (const Case& c : std::initializer_list<Case>{
           {10, {}, 4, 6, 6},    // nobody else has a quota
           {10, {}, 4, 20, 20},  // others leave 14
           {10, 5, 4, 20, 11},   // six of the own, five more
           {10, 0, 4, 20, 6},    // it must not borrow
           {10, 5, 14, 20, 1},   // it has borrowed four of five
           {10, 5, 15, 20, 0},
           {10, {}, 4, 2, 6},    // others have borrowed what is its own
           {10, {}, 12, -3, 0},  // it has borrowed, and a lender has taken its own back
           {0, {}, 0, 7, 7},     // all it has is borrowed
           {0, 3, 0, 7, 3},
           {kNoQuota, {}, 4, 0, kNoQuota},
           {10, kNoQuota, 4, 20, 20},
       }) {
    Quota quota{0, {c.nominal, 0, 0}};
    if (c.borrowing) quota.borrowing = Resources{*c.borrowing, 0, 0};
    EXPECT_EQ(policies::headroom(quota, {c.used, 0, 0}, {c.unused, 0, 0}).cpu_milli, c.expected);
  }
}

TEST(DominantShare, Table) {
  const Resources cluster{100, 1'000, 8'000};
  const Quota quota{0, {10, 500, kNoQuota}};
  const auto share = [&](const Resources& used, const std::optional<Quota>& q) {
    return policies::dominant_share(used, q, cluster);
  };
  EXPECT_EQ(share({}, quota), 0U);
  EXPECT_EQ(share({5, 100, 0}, std::nullopt), 100'000U);  // a tenth of the memory
  EXPECT_EQ(share({5, 100, 0}, quota), 500'000U);         // half of its cores
  EXPECT_EQ(share({1, 499, 0}, quota), 998'000U);
  EXPECT_EQ(share({1, 1, 6'000}, quota), 750'000U);  // GPUs: of the cluster
  EXPECT_EQ(share({20, 0, 0}, quota), 2'000'000U);   // it has borrowed
  EXPECT_EQ(share({1, 0, 0}, Quota{0, {0, 0, 0}}), ~std::uint64_t{0});
  EXPECT_EQ(share({0, std::int64_t{1} << 60, 0}, Quota{0, {1, std::int64_t{1} << 61, 1}}),
            500'000U);
}

// --- quotas -------------------------------------------------------------------------------------

TEST(Quota, WhatExceedsItWaitsThoughThereIsRoom) {
  ClusterEngine engine = engine_with(quotas({cores(1, 4, 0)}), {machine("a", 16, 64)});
  EXPECT_EQ(numbers(engine.apply(of(1, 1, Priority::high, res(3)))), (Numbers{1}));
  EXPECT_TRUE(engine.apply(of(1, 2, Priority::high, res(2))).empty());
  EXPECT_EQ(numbers(engine.apply(of(1, 3, Priority::high, res(1)))), (Numbers{3}));
  engine.check();
  const auto why = engine.explain(dep(2));
  ASSERT_TRUE(why);
  EXPECT_EQ(why->reason, Reason::exceeds_quota);
  EXPECT_EQ(why->all, (std::vector{Reason::exceeds_quota}));
  EXPECT_EQ(why->missing, Resources{});
  ASSERT_TRUE(why->quota);
  EXPECT_EQ(why->quota->quota, cores(1, 4, 0));
  EXPECT_EQ(why->quota->asked, res(2));
  EXPECT_EQ(why->quota->used, res(4));
  EXPECT_EQ(why->quota->headroom.cpu_milli, 0);
  EXPECT_EQ(engine.queue(1, 9)[0].reason, Reason::exceeds_quota);
  // A tenant without a quota is not limited.
  EXPECT_EQ(numbers(engine.apply(of(0, 4, Priority::high, res(10)))), (Numbers{4}));
  EXPECT_EQ(numbers(engine.apply(Released{dep(1)})), (Numbers{2}));
  engine.check();
  ASSERT_EQ(engine.status().tenants.size(), 1U);
  EXPECT_EQ(engine.status().tenants[0].used, res(3));
}

TEST(Quota, UnusedNominalIsLentAndComesBackAsBorrowersEnd) {
  ClusterEngine engine = engine_with(quotas({cores(0, 4), cores(1, 4)}), {machine("a", 8, 64)});
  EXPECT_EQ(numbers(engine.apply(of(0, 1, Priority::low, res(4)))), (Numbers{1}));
  EXPECT_EQ(numbers(engine.apply(of(0, 2, Priority::low, res(2)))), (Numbers{2}));  // borrowed
  EXPECT_EQ(numbers(engine.apply(of(1, 3, Priority::low, res(2)))), (Numbers{3}));
  EXPECT_TRUE(engine.apply(of(0, 4, Priority::low, res(2))).empty());
  EXPECT_TRUE(engine.apply(of(1, 5, Priority::low, res(2))).empty());
  EXPECT_EQ(engine.explain(dep(5))->reason, Reason::waiting_for_capacity) << "it is its own";
  EXPECT_EQ(engine.explain(dep(4))->reason, Reason::exceeds_quota);
  // 4 was there first, but nothing is left to lend.
  EXPECT_EQ(numbers(engine.apply(Released{dep(2)})), (Numbers{4}));
  EXPECT_EQ(numbers(engine.apply(Released{dep(4)})), (Numbers{5}));
  engine.check();
}

TEST(Quota, ALenderTakesItsOwnWhileBorrowersStillHoldIt) {
  // More room than quotas: the lender need not wait for those who borrowed.
  ClusterEngine engine = engine_with(quotas({cores(0, 4), cores(1, 4)}), {machine("a", 16, 64)});
  EXPECT_EQ(numbers(engine.apply(of(0, 1, Priority::low, res(8)))), (Numbers{1}));
  EXPECT_EQ(numbers(engine.apply(of(1, 2, Priority::low, res(4)))), (Numbers{2}));
  // Now four more are used than all quotas together: nobody borrows until it is less again.
  EXPECT_TRUE(engine.apply(of(1, 3, Priority::low, res(1))).empty());
  EXPECT_TRUE(engine.apply(of(0, 4, Priority::low, res(1))).empty());
  engine.check();
  EXPECT_EQ(numbers(engine.apply(Released{dep(1)})), (Numbers{3, 4}));
  engine.check();
}

TEST(Quota, AReleaseOpensWhatFitsOnOtherNodes) {
  ClusterEngine engine =
      engine_with(quotas({cores(1, 4, 0)}), {machine("a", 4, 64), machine("b", 8, 64)});
  EXPECT_EQ(numbers(engine.apply(of(1, 1, Priority::low, res(4)))), (Numbers{1}));  // on a
  EXPECT_TRUE(engine.apply(of(1, 2, Priority::low, {1'000, 0, 0})).empty());
  EXPECT_EQ(numbers(engine.apply(of(0, 3, Priority::low, {0, 64 * kGiB, 0}))), (Numbers{3}));
  Queued big = of(1, 4, Priority::low, {2'000, 32 * kGiB, 0});
  EXPECT_TRUE(engine.apply(big).empty());
  engine.check();
  EXPECT_EQ(numbers(engine.apply(Released{dep(1)})), (Numbers{2, 4}));
  engine.check();
}

TEST(Quota, AHighOneThatOnlyWaitsForItsQuotaHoldsUpOnlyItsTenant) {
  ClusterEngine engine = engine_with(quotas({cores(1, 4, 0)}), {machine("a", 16, 64)});
  (void)engine.apply(of(1, 1, Priority::high, res(3)));
  EXPECT_TRUE(engine.apply(of(1, 2, Priority::high, res(2))).empty());
  EXPECT_EQ(numbers(engine.apply(of(2, 3, Priority::low, res(1)))), (Numbers{3}));
  EXPECT_TRUE(engine.apply(of(1, 4, Priority::low, res(1))).empty());
  EXPECT_EQ(engine.explain(dep(4))->reason, Reason::behind_higher_priority);
  engine.check();
  // When the high one leaves the queue its tenant's low ones may go.
  EXPECT_EQ(numbers(engine.apply(Withdrawn{dep(2)})), (Numbers{4}));
  engine.check();
}

TEST(Quota, CountsAllReplicas) {
  ClusterEngine engine = engine_with(quotas({cores(1, 4, 0)}), {machine("a", 16, 64)});
  Queued gang = of(1, 1, Priority::low, res(2));
  gang.replicas = 3;
  EXPECT_TRUE(engine.apply(gang).empty());
  EXPECT_EQ(engine.explain(dep(1))->quota->asked, res(6));
  (void)engine.apply(Withdrawn{dep(1)});
  gang.replicas = 2;
  EXPECT_EQ(numbers(engine.apply(gang)), (Numbers{1}));
  EXPECT_TRUE(engine.apply(of(1, 2, Priority::low, res(1))).empty());
  EXPECT_EQ(numbers(engine.apply(Released{dep(1)})), (Numbers{2}));
  engine.check();
}

TEST(Quota, AnOverdueOneThatWaitsForItsQuotaHoldsUpNobody) {
  Rules rules = quotas({cores(1, 4, 0)});
  rules.age_bound = 100;
  ClusterEngine engine = engine_with(rules, {machine("a", 16, 64)});
  (void)engine.decide(of(1, 1, Priority::high, res(4)), 0);
  EXPECT_EQ(engine.decide(of(1, 2, Priority::high, res(1)), 0), Decisions{});
  EXPECT_EQ(numbers(engine.decide(of(2, 3, Priority::low, res(1)), 500).starts), (Numbers{3}));
}

TEST(Quota, NobodyIsDisplacedForOneThatWaitsForItsQuota) {
  Rules rules = quotas({cores(1, 2, 0)});
  rules.preempt = true;
  ClusterEngine engine = engine_with(rules, {machine("a", 4, 64)});
  (void)engine.decide(of(2, 1, Priority::low, res(4)), 0);
  EXPECT_EQ(engine.decide(of(1, 2, Priority::high, res(3)), 0), Decisions{});
  EXPECT_EQ(engine.decide(of(1, 3, Priority::high, res(2)), 0).evictions,
            (std::vector<Evict>{{dep(1), dep(3)}}));
}

TEST(Quota, FillsInOnlyWhereItLeavesQuotaForTheHighOne) {
  Rules rules = quotas({cores(1, 4, 0), cores(2, 9, 0)});
  rules.backfill = true;
  ClusterEngine engine = engine_with(rules, {machine("a", 4, 64), machine("b", 4, 64)});
  Queued first = of(2, 1, Priority::high, res(3));
  first.max_run = 100;
  (void)engine.decide(first, 0);
  Queued second = of(2, 2, Priority::high, res(4));
  second.max_run = 100;
  (void)engine.decide(second, 0);
  Queued waits = of(1, 3, Priority::high, res(4));  // at 100; until then one core is free
  EXPECT_EQ(engine.decide(waits, 0), Decisions{});
  Queued own = of(1, 4, Priority::low, res(1));
  own.max_run = 10;
  EXPECT_EQ(engine.decide(own, 0), Decisions{});
  Queued other = of(2, 5, Priority::low, res(1));
  other.max_run = 10;
  EXPECT_EQ(numbers(engine.decide(other, 0).starts), (Numbers{5}));
}

TEST(Quota, ComesBackAfterARestart) {
  const Rules rules = quotas({cores(0, 4), cores(1, 4)});
  ClusterEngine engine = engine_with(rules, {machine("a", 8, 64)});
  (void)engine.apply(of(0, 1, Priority::low, res(6)));
  (void)engine.apply(of(0, 2, Priority::low, res(3)));
  ClusterEngine again = engine_with(rules, {machine("a", 8, 64)});
  for (const ActiveEntry& entry : engine.active()) again.restore_active(entry);
  again.restore_waiting(of(0, 2, Priority::low, res(3)));
  EXPECT_TRUE(again.settle().empty());
  EXPECT_EQ(again.state_hash(), engine.state_hash());
  EXPECT_EQ(numbers(again.apply(Released{dep(1)})), (Numbers{2}));
  // Whose it is and what the quotas are is part of the state.
  ClusterEngine other = engine_with(rules, {machine("a", 8, 64)});
  (void)other.apply(of(0, 1, Priority::low, res(6)));
  (void)other.apply(of(1, 2, Priority::low, res(3)));
  EXPECT_NE(other.state_hash(), engine.state_hash());
}

// --- fair order ---------------------------------------------------------------------------------

TEST(Fair, WhoHoldsLeastGoesFirst) {
  ClusterEngine engine = engine_with({.fair = true}, {machine("a", 4, 64)});
  (void)engine.apply(of(0, 1, Priority::low, res(4)));
  for (std::uint64_t n = 2; n <= 4; ++n) (void)engine.apply(of(0, n, Priority::low, res(1)));
  for (std::uint64_t n = 5; n <= 7; ++n) (void)engine.apply(of(1, n, Priority::low, res(1)));
  // Equal shares in turn, ties by admission: 0 has none, 1 has none, and so on.
  EXPECT_EQ(numbers(engine.apply(Released{dep(1)})), (Numbers{2, 5, 3, 6}));
  EXPECT_EQ(numbers(engine.apply(Released{dep(5)})), (Numbers{7})) << "1 holds one, 0 holds two";
  engine.check();
}

TEST(Fair, HighStaysBeforeLow) {
  ClusterEngine engine = engine_with({.fair = true}, {machine("a", 4, 64)});
  (void)engine.apply(of(0, 1, Priority::high, res(2)));
  (void)engine.apply(of(2, 2, Priority::high, res(2)));
  (void)engine.apply(of(1, 3, Priority::low, res(2)));
  (void)engine.apply(of(0, 4, Priority::high, res(2)));
  EXPECT_EQ(numbers(engine.apply(Released{dep(2)})), (Numbers{4}));
}

TEST(Fair, QuotasWeigh) {
  Rules rules = quotas({cores(0, 6), cores(1, 2)});
  rules.fair = true;
  ClusterEngine engine = engine_with(rules, {machine("a", 8, 64)});
  (void)engine.apply(of(2, 1, Priority::low, res(8)));
  for (std::uint64_t n = 2; n <= 9; ++n) (void)engine.apply(of(0, n, Priority::low, res(1)));
  for (std::uint64_t n = 12; n <= 19; ++n) (void)engine.apply(of(1, n, Priority::low, res(1)));
  // Three to one. Equal shares (0, then 1/2 and so on) go to the one that came first.
  EXPECT_EQ(numbers(engine.apply(Released{dep(1)})), (Numbers{2, 12, 3, 4, 5, 13, 6, 7}));
  engine.check();
}

TEST(Fair, WithoutItTheOrderIsThatOfAdmission) {
  ClusterEngine engine = engine_with(quotas({cores(0, 4), cores(1, 4)}), {machine("a", 8, 64)});
  (void)engine.apply(of(2, 1, Priority::low, res(8)));
  for (std::uint64_t n = 2; n <= 7; ++n) (void)engine.apply(of(0, n, Priority::low, res(1)));
  for (std::uint64_t n = 8; n <= 13; ++n) (void)engine.apply(of(1, n, Priority::low, res(1)));
  EXPECT_EQ(numbers(engine.apply(Released{dep(1)})), (Numbers{2, 3, 4, 5, 6, 7, 8, 9}));
}

}  // namespace
}  // namespace berth
