// What every store must do with several replicas of one attempt.
#pragma once
#include "store_contract_world.h"

namespace berth::test {

// Of what waits a gang of three, without places yet.
inline Deployment gang_of_three(Deployment d) {
  d.spec.replicas = 3;
  d.spec.resources = {1000, 1 << 20, 0};
  return d;
}

inline void give_places(Deployment& d) {
  d.state = State::starting;
  d.attempt = 1;
  d.version += 1;
  d.grant = Grant{"n1", d.spec.resources, {}};
  d.gang.more = {{"n2", d.spec.resources, {}}, {"n1", d.spec.resources, {}}};
  d.gang.replicas.resize(3);
}

TYPED_TEST_P(StoreContract, EachReplicaHasAReservationAndAllAreReleasedAtOnce) {
  auto d = gang_of_three(this->waiting("gang"));
  this->commit([&](Transaction& tx) {
    must(tx.insert(d));
    give_places(d);
    must(tx.update(d, State::queued));
    for (const auto& key : d.attempt_keys())
      must(tx.reserve(this->pool.id, key, d.grant_of(key.replica)));
  });
  EXPECT_TRUE(must(this->view()->audit_ledger()).empty());
  const auto free = [&](const std::string& node, std::int64_t cpu) {
    bool fits = false;
    this->abandon([&](Transaction& tx) {
      fits =
          tx.reserve(this->pool.id, {this->waiting("x").id, 1}, this->grant_on(node, {cpu, 0, 0}))
              .has_value();
    });
    return fits;
  };
  EXPECT_TRUE(free("n1", 2000));
  EXPECT_FALSE(free("n1", 2001));
  EXPECT_TRUE(free("n2", 1000));
  EXPECT_FALSE(free("n2", 1001));
  this->abandon([&](Transaction& tx) {
    EXPECT_FALSE(tx.reserve(this->pool.id, {d.id, 2, 1}, *d.grant))
        << "one reservation for each replica, whatever the attempt";
  });
  this->commit([&](Transaction& tx) {
    must(tx.release(this->pool.id, d.attempt_key()));
    d.state = State::failed;
    d.version += 1;
    d.grant.reset();
    d.gang.more.clear();
    must(tx.update(d, State::starting));
  });
  EXPECT_TRUE(free("n1", 4000));
  EXPECT_TRUE(free("n2", 2000));
  EXPECT_TRUE(must(this->view()->audit_ledger()).empty());
}

TYPED_TEST_P(StoreContract, TheAuditMissesTheReservationOfAReplica) {
  auto d = gang_of_three(this->waiting("gang"));
  this->commit([&](Transaction& tx) {
    must(tx.insert(d));
    give_places(d);
    must(tx.update(d, State::queued));
    for (const auto& key : d.attempt_keys()) {
      if (key.replica != 1) must(tx.reserve(this->pool.id, key, d.grant_of(key.replica)));
    }
  });
  auto findings = must(this->view()->audit_ledger());
  ASSERT_EQ(findings.size(), 1u);
  EXPECT_EQ(findings[0].invariant, "one_reservation_per_active_attempt");
  EXPECT_TRUE(
      findings[0].detail.ends_with("is starting with 3 replicas in attempt 1, which holds "
                                   "2 reservations"))
      << findings[0].detail;
  this->commit([&](Transaction& tx) {
    must(tx.reserve(this->pool.id, {d.id, 1, 1}, d.grant_of(1)));
    must(tx.reserve(this->pool.id, {d.id, 1, 3}, this->grant_on("n1", {1, 0, 0})));
  });
  findings = must(this->view()->audit_ledger());
  ASSERT_EQ(findings.size(), 1u);
  EXPECT_EQ(findings[0].invariant, "no_reservation_without_attempt");
}

TYPED_TEST_P(StoreContract, AGangComesBackAsItWasWritten) {
  auto d = gang_of_three(this->waiting("gang"));
  this->commit([&](Transaction& tx) { must(tx.insert(d)); });
  auto found = must(this->view()->deployment(d.id));
  EXPECT_EQ(found->spec, d.spec);
  EXPECT_EQ(found->gang, Gang{});
  std::vector<std::int32_t> replicas;
  must(this->view()->for_each_waiting(
      this->pool.id, [&](const WaitingRow& row) { replicas.push_back(row.replicas); }));
  EXPECT_EQ(replicas, std::vector<std::int32_t>{3});
  give_places(d);
  d.spec.resources = {1000, 1 << 20, 0};
  d.gang.replicas[0] = {ReplicaPhase::running, "127.0.0.1:20000", {}, {}, false, false, ""};
  d.gang.replicas[1] = {ReplicaPhase::exited, "", 137, 9, true, true, "na\u00efve \"\u2603\""};
  d.gang.failed = 1;
  this->commit([&](Transaction& tx) { must(tx.update(d, State::queued)); });
  found = must(this->view()->deployment(d.id));
  EXPECT_EQ(found->gang, d.gang);
  EXPECT_EQ(found->grant_of(1), d.grant_of(1));
  const auto active = must(this->view()->active(this->pool.id));
  ASSERT_EQ(active.size(), 1u);
  EXPECT_EQ(active[0].gang, d.gang);
  d.state = State::failed;
  d.version += 1;
  d.grant.reset();
  d.gang.more.clear();
  d.gang.failed.reset();
  this->commit([&](Transaction& tx) { must(tx.update(d, State::starting)); });
  EXPECT_EQ(must(this->view()->deployment(d.id))->gang, d.gang);
}

}  // namespace berth::test
