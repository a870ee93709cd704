// Several processes on one database: the parts of it that are functions.
#include <gtest/gtest.h>

#include "base/random.h"
#include "service/leases.h"
#include "service/quotas.h"
#include "service/restore.h"

namespace berth {
namespace {

using Names = std::vector<std::string>;

TEST(FairShare, EveryoneHasAsManyAsTheOthersGiveOrTakeOne) {
  const Names three{"a", "b", "c"};
  EXPECT_EQ(fair_share(9, three, "b"), 3u);
  EXPECT_EQ(fair_share(10, three, "a"), 4u);
  EXPECT_EQ(fair_share(10, three, "b"), 3u);
  EXPECT_EQ(fair_share(11, three, "b"), 4u);
  EXPECT_EQ(fair_share(11, three, "c"), 3u);
  EXPECT_EQ(fair_share(2, three, "c"), 0u);
  EXPECT_EQ(fair_share(7, {"a"}, "a"), 7u);
}

TEST(FairShare, WhoIsNotCountedAmongTheLivingHasNothing) {
  EXPECT_EQ(fair_share(10, {"a", "b"}, "c"), 0u);
  EXPECT_EQ(fair_share(10, {}, "a"), 0u);
}

TEST(FairShare, TheSharesAddUp) {
  for (std::size_t schedulers = 1; schedulers < 9; ++schedulers) {
    Names living;
    for (std::size_t i = 0; i < schedulers; ++i) living.push_back("s" + std::to_string(i));
    for (std::size_t clusters = 0; clusters < 40; ++clusters) {
      std::size_t sum = 0;
      for (const auto& one : living) sum += fair_share(clusters, living, one);
      EXPECT_EQ(sum, clusters) << schedulers;
    }
  }
}

class Reaching : public ::testing::Test {
 protected:
  Reaching() {
    cluster_.nodes = {{"n", {2000, 2 << 20, 0}, ""}};
    row_.id = DeploymentId::make(Timestamp{1}, random_);
    row_.order = 7;
    row_.spec.resources = {1000, 1 << 20, 0};
  }
  // What is done to reach the row, as words.
  std::string reach(const std::optional<Deployment>& row) {
    const auto events = events_to_reach(engine_, row_.id, row);
    if (!events) return events.error().reason;
    std::string out;
    for (const auto& event : *events) {
      out += std::holds_alternative<Queued>(event)
                 ? (std::get<Queued>(event).parked ? "parked " : "queued ")
             : std::holds_alternative<Unparked>(event)      ? "unparked "
             : std::holds_alternative<Withdrawn>(event)     ? "withdrawn "
             : std::holds_alternative<Reprioritized>(event) ? "reprioritized "
             : std::holds_alternative<Released>(event)      ? "released "
                                                            : "other ";
      started_ = !engine_.apply(event).empty();
    }
    EXPECT_TRUE(events_to_reach(engine_, row_.id, row).value().empty() || started_)
        << "a second look finds nothing to do";
    return out;
  }
  SeededRandom random_{1};
  Cluster cluster_;
  Deployment row_;
  bool started_ = false;
  ClusterEngine engine_{Policy::strict, {{"n", {2000, 2 << 20, 0}, ""}}, true};
};

TEST_F(Reaching, OneThatCameWaitsAndOneThatWentDoesNot) {
  EXPECT_EQ(reach(row_), "queued ");
  EXPECT_EQ(engine_.waiting_as(row_.id)->order, 7u);
  EXPECT_EQ(reach(row_), "") << "told again";
  row_.state = State::cancelled;
  EXPECT_EQ(reach(row_), "withdrawn ");
  EXPECT_EQ(reach(std::nullopt), "");
}

TEST_F(Reaching, PriorityAndBackOffFollowTheRow) {
  EXPECT_EQ(reach(row_), "queued ");
  row_.priority = Priority::high;
  EXPECT_EQ(reach(row_), "reprioritized ");
  row_.retry_at = Timestamp{5};
  EXPECT_EQ(reach(row_), "withdrawn parked ");
  row_.priority = Priority::low;
  row_.retry_at.reset();
  EXPECT_EQ(reach(row_), "reprioritized unparked ");
}

TEST_F(Reaching, WhatRanAndCameBackIsReleasedFirst) {
  engine_.restore_active({row_.id, row_.spec.resources, {0, {}}});
  row_.retry_at = Timestamp{5};
  EXPECT_EQ(reach(row_), "released parked ");
  EXPECT_EQ(reach(std::nullopt), "withdrawn ");
}

TEST_F(Reaching, WhatEndedIsReleased) {
  engine_.restore_active({row_.id, row_.spec.resources, {0, {}}});
  row_.state = State::running;
  EXPECT_EQ(reach(row_), "");
  row_.state = State::succeeded;
  EXPECT_EQ(reach(row_), "released ");
  EXPECT_FALSE(engine_.is_active(row_.id));
}

TEST_F(Reaching, WhatSomebodyElseStartedIsNotGuessed) {
  EXPECT_EQ(reach(row_), "queued ");
  row_.state = State::starting;
  EXPECT_EQ(events_to_reach(engine_, row_.id, row_).error().reason, "engine_behind");
}

TEST_F(Reaching, TheClusterItself) {
  cluster_.paused = true;
  EXPECT_TRUE(events_to_reach(engine_, cluster_).empty());
  cluster_.paused = false;
  cluster_.nodes.front().capacity.cpu_milli = 9000;
  const auto events = events_to_reach(engine_, cluster_);
  ASSERT_EQ(events.size(), 2u);
  EXPECT_TRUE(std::holds_alternative<Resized>(events[0]));
  EXPECT_FALSE(std::get<PauseChanged>(events[1]).paused);
}

TEST_F(Reaching, OthersThanTheClustersOwnersAreTenants) {
  cluster_.organization = OrganizationId::make(Timestamp{1}, random_);
  row_.organization = OrganizationId::make(Timestamp{2}, random_);
  EXPECT_EQ(tenant_of(cluster_, cluster_.organization), 0u);
  EXPECT_EQ(tenant_of(cluster_, row_.organization), std::nullopt);
  cluster_.shares = {{row_.organization, 3, std::nullopt, std::nullopt}};
  EXPECT_EQ(tenant_of(cluster_, row_.organization), 3u);
  EXPECT_EQ(queued_entry(row_, 3).tenant, 3u);
  EXPECT_EQ(queued_entry(WaitingRow{}, 3).tenant, 3u);
  const auto events = events_to_reach(engine_, row_.id, row_, 3);
  ASSERT_EQ(events->size(), 1u);
  EXPECT_EQ(std::get<Queued>(events->front()).tenant, 3u);
  row_.state = State::running;
  row_.grant = Grant{"n", row_.spec.resources, {}};
  EXPECT_EQ(active_entry(cluster_, row_)->tenant, 3u);
  row_.organization = cluster_.organization;
  EXPECT_EQ(active_entry(cluster_, row_)->tenant, 0u);
}

TEST_F(Reaching, RulesHaveQuotasAndTurnsOnlyWhereTheClusterIsShared) {
  const auto own = cluster_.organization = OrganizationId::make(Timestamp{1}, random_);
  const auto guest = OrganizationId::make(Timestamp{2}, random_);
  cluster_.fair = true;
  EXPECT_EQ(rules_of(cluster_), Rules{}) << "one alone has nobody to be fair to";
  const Resources quota{1000, kNoQuota, 0}, beyond{500, 0, 0};
  cluster_.shares = {{own, 0, quota, std::nullopt}};
  Rules rules;
  rules.quotas = {{0, quota, std::nullopt}};
  EXPECT_EQ(rules_of(cluster_), rules);
  cluster_.shares.push_back({guest, 1, quota, beyond});
  rules.quotas.push_back({1, quota, beyond});
  rules.fair = true;
  EXPECT_EQ(rules_of(cluster_), rules);
  cluster_.paused = true;
  const auto events = events_to_reach(engine_, cluster_);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(std::get<RulesChanged>(events[0]).rules, rules);
  cluster_.shares[1].quota.reset();
  rules.quotas.pop_back();
  EXPECT_EQ(rules_of(cluster_), rules);
}

TEST(QuotaExcess, SaysWhatMayBeHadAndWhatOfItIsBorrowed) {
  QuotaExcess excess;
  excess.quota = {1, {4000, kNoQuota, 0}, Resources{2000, kNoQuota, kNoQuota}};
  excess.asked = {3000, 1 << 30, 1000};
  excess.used = {3000, 1 << 30, 0};
  excess.headroom = {2500, kNoQuota, 500};
  EXPECT_EQ(borrowable(excess), (Resources{1500, kNoQuota, 500}));
  EXPECT_EQ(
      quota_sentence(excess, "lab"),
      "It asks for cpu 3, memory 1GiB, gpu 1. Its organization uses cpu 3, memory 1GiB, gpu 0 "
      "of its quota of cpu 4, gpu 0 on cluster lab, and may borrow at most cpu 2 beyond. Now "
      "it may have cpu 2.5, gpu 0.5 more, of that cpu 1.5, gpu 0.5 borrowed. It starts when "
      "enough of what is used has ended, or the quota was raised.");
  excess.asked.cpu_milli = 6001;
  EXPECT_TRUE(quota_sentence(excess, "lab")
                  .ends_with("The quota could never hold it: ask for less, "
                             "or have the quota raised."));
  excess.quota.borrowing.reset();
  EXPECT_FALSE(quota_sentence(excess, "lab").contains("never"));
}

TEST_F(Reaching, WhatNeverFitsIsSaidWithTheLargestThatWould) {
  cluster_.nodes.push_back({"gpu", {1000, 1 << 20, 2000}, "A100"});
  EXPECT_FALSE(never_fits(cluster_, {2000, 2 << 20, 0}));
  EXPECT_FALSE(never_fits(cluster_, {1000, 1 << 20, 2000}));
  const auto never = never_fits(cluster_, {4000, 1 << 20, 0});
  ASSERT_TRUE(never);
  EXPECT_EQ(never->largest, (Resources{2000, 1 << 20, 0}));
  EXPECT_EQ(never->node, "n");
}

TEST_F(Reaching, ANodeInUseMayNotGo) {
  row_.state = State::running;
  row_.grant = Grant{"n", row_.spec.resources, {}};
  EXPECT_EQ(used_beyond(cluster_, {row_}, {{"other", {9000, 9 << 20, 0}, ""}}),
            std::vector{row_.id});
  EXPECT_TRUE(used_beyond(cluster_, {row_}, {{"n", {1000, 1 << 20, 0}, ""}}).empty());
  EXPECT_EQ(used_beyond(cluster_, {row_}, {{"n", {999, 1 << 20, 0}, ""}}), std::vector{row_.id});
}

}  // namespace
}  // namespace berth
