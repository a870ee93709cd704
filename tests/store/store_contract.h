// What every store must do, in the words of store/store.h. An adapter's test names a fixture:
//   struct Fixture { Store& store(); void reopen(); };   // reopen: close and open on the same data
// and says: INSTANTIATE_TYPED_TEST_SUITE_P(Name, StoreContract, Fixture);
#pragma once
#include "store_contract_gangs.h"
#include "store_contract_units.h"
#include "store_contract_world.h"

namespace berth::test {

TYPED_TEST_P(StoreContract, WhatIsCommittedIsThereAfterReopening) {
  const auto d = this->started("kept", "n1", {{0, 500}});
  this->world.reopen();
  const auto found = must(this->view()->deployment(d.id));
  ASSERT_TRUE(found);
  EXPECT_EQ(found->spec, d.spec);
  EXPECT_EQ(found->state, State::starting);
  EXPECT_EQ(found->grant, d.grant);
  EXPECT_EQ(found->admitted_at, d.admitted_at);
  EXPECT_EQ(found->version, 2);
  EXPECT_EQ(must(this->view()->user_by_name("ADA"))->id, this->ada.id)
      << "names are found in any case";
  EXPECT_EQ(must(this->view()->user_by_name("ada@example.org"))->id, this->ada.id);
  EXPECT_EQ(must(this->view()->cluster(this->pool.id))->nodes, this->pool.nodes);
}

TYPED_TEST_P(StoreContract, WhatIsAbandonedNeverWas) {
  const auto d = this->waiting("never");
  this->abandon([&](Transaction& tx) {
    must(tx.insert(d));
    EXPECT_TRUE(must(tx.deployment(d.id))) << "a transaction sees what it wrote";
    EXPECT_FALSE(must(this->view()->deployment(d.id))) << "others do not, before the commit";
  });
  EXPECT_FALSE(must(this->view()->deployment(d.id)));
}

TYPED_TEST_P(StoreContract, NamesAreTakenOnce) {
  const auto refused = [](const Result<void>& r) {
    return r ? std::string("accepted") : r.error().reason;
  };
  User other = this->ada;
  other.id = UserId::make(kThen, this->random);
  other.email = "other@example.org";
  other.username = "Ada";
  this->abandon([&](Transaction& tx) { EXPECT_EQ(refused(tx.insert(other)), "username_taken"); });
  other.username = "other";
  other.email = "ADA@example.org";
  this->abandon([&](Transaction& tx) { EXPECT_EQ(refused(tx.insert(other)), "email_taken"); });
  Organization twin{OrganizationId::make(kThen, this->random), "LAB", kThen, 1};
  this->abandon([&](Transaction& tx) { EXPECT_EQ(refused(tx.insert(twin)), "name_taken"); });
  Cluster cluster = this->pool;
  cluster.id = ClusterId::make(kThen, this->random);
  this->abandon([&](Transaction& tx) { EXPECT_EQ(refused(tx.insert(cluster)), "name_taken"); });
  const Member again{this->lab.id, this->ada.id, "", "", Role::viewer, kThen, 1};
  this->abandon([&](Transaction& tx) { EXPECT_EQ(refused(tx.insert(again)), "already_member"); });
  const auto d = this->waiting("same"), e = this->waiting("same");
  this->commit([&](Transaction& tx) { must(tx.insert(d)); });
  this->abandon([&](Transaction& tx) { EXPECT_EQ(refused(tx.insert(e)), "name_taken"); });
}

TYPED_TEST_P(StoreContract, AnEndedDeploymentGivesItsNameBack) {
  auto d = this->waiting("name");
  this->commit([&](Transaction& tx) {
    must(tx.insert(d));
    d.state = State::cancelled;
    d.version += 1;
    d.ended_at = kThen;
    must(tx.update(d, State::queued));
  });
  const auto e = this->waiting("name");
  this->commit([&](Transaction& tx) { must(tx.insert(e)); });
  EXPECT_EQ(must(this->view()->deployment_by_name(this->lab.id, "name"))->id, e.id);
}

TYPED_TEST_P(StoreContract, AChangeOfSomethingStaleIsAborted) {
  auto d = this->waiting("raced");
  this->commit([&](Transaction& tx) { must(tx.insert(d)); });
  auto mine = d, theirs = d;
  mine.version += 1;
  mine.priority = Priority::high;
  theirs.version += 1;
  theirs.message = "late";
  this->commit([&](Transaction& tx) { must(tx.update(mine, State::queued)); });
  this->abandon([&](Transaction& tx) {
    const auto late = tx.update(theirs, State::queued);
    ASSERT_FALSE(late);
    EXPECT_EQ(late.error().code, Code::aborted);
    theirs.version += 1;
    const auto wrong_state = tx.update(theirs, State::running);
    ASSERT_FALSE(wrong_state);
    EXPECT_EQ(wrong_state.error().code, Code::aborted);
  });
  EXPECT_EQ(must(this->view()->deployment(d.id))->priority, Priority::high);
}

TYPED_TEST_P(StoreContract, NothingIsReservedTwiceOrBeyondCapacity) {
  const auto refused = [&](const std::string& name, const Grant& grant) {
    auto d = this->waiting(name);
    d.spec.resources = grant.resources;
    auto tx = must(this->world.store().begin());
    must(tx->insert(d));
    const auto held = tx->reserve(this->pool.id, {d.id, 1}, grant);
    return held ? std::string("accepted") : held.error().reason;
  };
  const auto d = this->started("holder", "n1", {{0, 500}});  // 1000 cpu, 1 MiB, half of device 0
  EXPECT_EQ(refused("cpu", this->grant_on("n1", {3001, 0, 0})), "over_commit");
  EXPECT_EQ(refused("cpu fits", this->grant_on("n1", {3000, 0, 0})), "accepted");
  EXPECT_EQ(refused("memory", this->grant_on("n1", {0, (7 << 20) + 1, 0})), "over_commit");
  EXPECT_EQ(refused("device", this->grant_on("n1", {0, 0, 501}, {{0, 501}})), "over_commit");
  EXPECT_EQ(refused("device fits", this->grant_on("n1", {0, 0, 500}, {{0, 500}})), "accepted");
  EXPECT_EQ(refused("no such device", this->grant_on("n1", {0, 0, 500}, {{2, 500}})),
            "over_commit");
  EXPECT_EQ(refused("no such node", this->grant_on("n9", {1, 0, 0})), "over_commit");
  EXPECT_EQ(refused("shares do not add up", this->grant_on("n1", {0, 0, 500}, {{1, 400}})),
            "over_commit");
  this->abandon([&](Transaction& tx) {
    EXPECT_FALSE(tx.reserve(this->pool.id, {d.id, 2}, *d.grant))
        << "one reservation for each deployment";
  });
  EXPECT_TRUE(must(this->view()->audit_ledger()).empty());
}

TYPED_TEST_P(StoreContract, ReleasedIsFreeAgainAndOnlyOnce) {
  auto d = this->started("holder", "n1", {{0, 500}, {1, 0}});
  const auto full = this->grant_on("n1", {4000, 8 << 20, 2000}, {{0, 1000}, {1, 1000}});
  this->commit([&](Transaction& tx) {
    EXPECT_FALSE(tx.release(this->pool.id, {d.id, 2})) << "another attempt holds nothing";
  });
  this->commit([&](Transaction& tx) {
    must(tx.release(this->pool.id, d.attempt_key()));
    d.state = State::stopped;
    d.version += 1;
    d.grant.reset();
    must(tx.update(d, State::starting));
  });
  this->abandon([&](Transaction& tx) { EXPECT_FALSE(tx.release(this->pool.id, d.attempt_key())); });
  this->abandon([&](Transaction& tx) {
    EXPECT_TRUE(tx.reserve(this->pool.id, {this->waiting("x").id, 1}, full));
  });
  EXPECT_TRUE(must(this->view()->audit_ledger()).empty());
}

TYPED_TEST_P(StoreContract, TheAuditSeesAnAttemptWithoutReservationAndTheReverse) {
  auto d = this->waiting("bare");
  this->commit([&](Transaction& tx) {
    must(tx.insert(d));
    d.state = State::starting;
    d.attempt = 1;
    d.version += 1;
    d.grant = this->grant_on("n1", d.spec.resources, {{0, 500}});
    must(tx.update(d, State::queued));
  });
  auto findings = must(this->view()->audit_ledger());
  ASSERT_EQ(findings.size(), 1u);
  EXPECT_EQ(findings[0].invariant, "one_reservation_per_active_attempt");
  this->commit([&](Transaction& tx) {
    must(tx.reserve(this->pool.id, d.attempt_key(), *d.grant));
    d.state = State::failed;
    d.version += 1;
    must(tx.update(d, State::starting));
  });
  findings = must(this->view()->audit_ledger());
  ASSERT_EQ(findings.size(), 1u);
  EXPECT_EQ(findings[0].invariant, "no_reservation_without_attempt");
}

TYPED_TEST_P(StoreContract, AClusterShrinksOnlyBelowWhatIsFree) {
  const auto d = this->started("holder", "n1", {{1, 500}});
  const auto resized = [&](std::vector<Node> nodes) {
    auto tx = must(this->world.store().begin());
    const auto done = tx->resize(this->pool.id, nodes);
    return done.has_value();
  };
  EXPECT_FALSE(resized({{"n2", {2000, 4 << 20, 0}, ""}})) << "the node holds a reservation";
  EXPECT_FALSE(resized({{"n1", {999, 8 << 20, 2000}, ""}}));
  EXPECT_FALSE(resized({{"n1", {4000, 8 << 20, 1000}, ""}})) << "device 1 is in use";
  EXPECT_TRUE(resized({{"n1", {1000, 1 << 20, 2000}, ""}, {"n3", {1, 1, 1000}, "H100"}}));
  this->commit([&](Transaction& tx) {
    must(tx.resize(this->pool.id,
                   {{"n1", {1500, 1 << 20, 2000}, "A100"}, {"n3", {1, 1, 1000}, "H100"}}));
  });
  EXPECT_TRUE(must(this->view()->audit_ledger()).empty());
  EXPECT_EQ(must(this->view()->cluster(this->pool.id))->nodes.size(), 2u);
  this->abandon([&](Transaction& tx) {
    EXPECT_TRUE(
        tx.reserve(this->pool.id, {this->waiting("x").id, 1}, this->grant_on("n1", {500, 0, 0})));
    EXPECT_FALSE(
        tx.reserve(this->pool.id, {this->waiting("y").id, 1}, this->grant_on("n1", {1, 0, 0})));
  });
}

TYPED_TEST_P(StoreContract, OrdersGrowByOneAndSurvive) {
  std::vector<std::uint64_t> orders;
  this->commit([&](Transaction& tx) {
    for (int i = 0; i < 3; ++i) orders.push_back(must(tx.take_order(this->pool.id)));
  });
  this->abandon([&](Transaction& tx) { must(tx.take_order(this->pool.id)); });
  this->world.reopen();
  this->commit([&](Transaction& tx) { orders.push_back(must(tx.take_order(this->pool.id))); });
  EXPECT_EQ(orders, (std::vector<std::uint64_t>{1, 2, 3, 4}));
}

TYPED_TEST_P(StoreContract, TheQueueIsListedInOrder) {
  std::vector<Deployment> all;
  for (const auto* name : {"a", "b", "c"}) all.push_back(this->waiting(name));
  all[1].priority = Priority::high;
  all[0].queued_at = kThen.plus(std::chrono::seconds(3));
  all[0].spec.max_run_time = std::chrono::minutes(1);
  all[1].unmet = 2;
  this->commit([&](Transaction& tx) {
    for (std::size_t i = all.size(); i-- > 0;) must(tx.insert(all[i]));
    all[2].retry_at = kThen.plus(std::chrono::seconds(5));
    all[2].version += 1;
    must(tx.update(all[2], State::queued));
  });
  this->started("active", "n1", {{0, 500}});
  std::vector<WaitingRow> rows;
  must(this->view()->for_each_waiting(this->pool.id,
                                      [&](const WaitingRow& row) { rows.push_back(row); }));
  ASSERT_EQ(rows.size(), 3u);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(rows[i].id, all[i].id);
    EXPECT_EQ(rows[i].organization, this->lab.id);
    EXPECT_EQ(rows[i].priority, all[i].priority);
    EXPECT_EQ(rows[i].demand, all[i].spec.resources);
    EXPECT_EQ(rows[i].retry_at, all[i].retry_at);
    EXPECT_EQ(rows[i].queued_at, all[i].queued_at);
    EXPECT_EQ(rows[i].max_run, std::chrono::milliseconds(i == 0 ? 70'000 : 0));
    EXPECT_EQ(rows[i].is_parked(), i > 0);
  }
  const auto active = must(this->view()->active(this->pool.id));
  ASSERT_EQ(active.size(), 1u);
  EXPECT_EQ(active[0].name, "active");
}

TYPED_TEST_P(StoreContract, ListsAreFilteredAndPagedNewestFirst) {
  std::vector<Deployment> all;
  for (int i = 0; i < 7; ++i)
    all.push_back(
        this->waiting("d" + std::to_string(i), i % 2 == 0 ? Priority::high : Priority::low));
  this->commit([&](Transaction& tx) {
    for (const auto& d : all) must(tx.insert(d));
  });
  DeploymentFilter filter;
  filter.organizations = {this->lab.id};
  filter.limit = 3;
  std::vector<std::string> names;
  for (;;) {
    const auto page = must(this->view()->deployments(filter));
    for (const auto& d : page) names.push_back(d.name);
    if (page.size() < filter.limit) break;
    filter.before = page.back().id;
  }
  EXPECT_EQ(names, (std::vector<std::string>{"d6", "d5", "d4", "d3", "d2", "d1", "d0"}));
  const auto count = [&](auto change) {
    DeploymentFilter f;
    f.organizations = {this->lab.id};
    change(f);
    return must(this->view()->deployments(f)).size();
  };
  EXPECT_EQ(count([](auto& f) { f.priority = Priority::high; }), 4u);
  EXPECT_EQ(count([](auto& f) { f.state = State::running; }), 0u);
  EXPECT_EQ(count([](auto& f) { f.state = State::queued; }), 7u);
  EXPECT_EQ(count([](auto& f) { f.name = "d3"; }), 1u);
  EXPECT_EQ(count([&](auto& f) { f.cluster = ClusterId::make(kThen, this->random); }), 0u);
  EXPECT_EQ(count([&](auto& f) { f.organizations = {OrganizationId::make(kThen, this->random)}; }),
            0u);
}

TYPED_TEST_P(StoreContract, InvitesAreUsedAsOftenAsTheySay) {
  Invite invite;
  invite.id = InviteId::make(kThen, this->random);
  invite.organization = this->lab.id;
  invite.code = sha256("code");
  invite.prefix = "berth_inv_";
  invite.created_at = kThen;
  invite.created_by = this->ada.id;
  invite.expires_at = kThen.plus(std::chrono::hours(1));
  invite.max_uses = 2;
  this->commit([&](Transaction& tx) { must(tx.insert(invite)); });
  EXPECT_EQ(must(this->view()->invite_by_code(sha256("code")))->id, invite.id);
  this->commit([&](Transaction& tx) {
    EXPECT_FALSE(must(tx.use_invite(invite.id, kThen.plus(std::chrono::hours(1)))))
        << "expired at that very moment";
    EXPECT_TRUE(must(tx.use_invite(invite.id, kThen)));
    EXPECT_TRUE(must(tx.use_invite(invite.id, kThen)));
    EXPECT_FALSE(must(tx.use_invite(invite.id, kThen))) << "used up";
  });
  invite.id = InviteId::make(kThen, this->random);
  invite.code = sha256("code 2");
  this->commit([&](Transaction& tx) {
    must(tx.insert(invite));
    EXPECT_FALSE(
        must(tx.revoke_invite(OrganizationId::make(kThen, this->random), invite.id, kThen)))
        << "of another organization";
    EXPECT_TRUE(must(tx.revoke_invite(this->lab.id, invite.id, kThen)));
    EXPECT_FALSE(must(tx.use_invite(invite.id, kThen))) << "revoked";
  });
}

TYPED_TEST_P(StoreContract, SessionsAreFoundByEachOfTheirTokens) {
  berth::Session session{SessionId::make(kThen, this->random),
                         this->ada.id,
                         sha256("a1"),
                         kThen,
                         sha256("r1"),
                         kThen,
                         kThen};
  this->commit([&](Transaction& tx) { must(tx.insert(session)); });
  EXPECT_EQ(must(this->view()->session_by_access(sha256("a1")))->id, session.id);
  session.access = sha256("a2");
  session.refresh = sha256("r2");
  this->commit([&](Transaction& tx) { must(tx.update(session)); });
  EXPECT_FALSE(must(this->view()->session_by_access(sha256("a1"))));
  EXPECT_EQ(must(this->view()->session_by_refresh(sha256("r1")))->id, session.id)
      << "the previous one, to notice theft";
  EXPECT_EQ(must(this->view()->session_by_refresh(sha256("r2")))->id, session.id);
  session.access = sha256("a3");
  session.refresh = sha256("r3");
  this->commit([&](Transaction& tx) { must(tx.update(session)); });
  EXPECT_EQ(must(this->view()->session_by_refresh(sha256("r1")))->id, session.id)
      << "and every one before";
  berth::Session second = session;
  second.id = SessionId::make(kThen, this->random);
  second.access = sha256("b");
  second.refresh = sha256("c");
  this->commit([&](Transaction& tx) {
    must(tx.insert(second));
    EXPECT_EQ(must(tx.remove_sessions(this->ada.id, second.id)), std::vector<Digest>{sha256("a3")});
  });
  EXPECT_TRUE(must(this->view()->session_by_access(sha256("b"))));
  EXPECT_FALSE(must(this->view()->session_by_refresh(sha256("r3"))));
  EXPECT_FALSE(must(this->view()->session_by_refresh(sha256("r1"))));
}

TYPED_TEST_P(StoreContract, TheHistoryHasNoGapsAndNoStrangers) {
  Organization other{OrganizationId::make(kThen, this->random), "other", kThen, 1};
  const auto d = this->waiting("d");
  const auto first = this->commit([&](Transaction& tx) {
    must(tx.insert(other));
    must(tx.insert(d));
    for (int i = 0; i < 10; ++i) {
      const auto& org = i % 2 == 0 ? this->lab : other;
      tx.append(Event{0, kThen, org.id, std::nullopt, i == 4 ? std::optional(d.id) : std::nullopt,
                      i < 6 ? "deployment.queued" : "member.added", "a", "A", "r",
                      "{\"i\":" + std::to_string(i) + "}"});
    }
  });
  const auto seen = [&](auto change) {
    EventFilter f;
    f.organizations = {this->lab.id};
    f.after = first - 1;
    change(f);
    std::vector<std::int64_t> out;
    for (const auto& e : must(this->view()->events(f))) out.push_back(e.seq - first);
    return out;
  };
  using Seqs = std::vector<std::int64_t>;
  EXPECT_EQ(seen([](auto&) {}), (Seqs{0, 2, 4, 6, 8}));
  EXPECT_EQ(seen([](auto& f) { f.limit = 2; }), (Seqs{0, 2}));
  EXPECT_EQ(seen([&](auto& f) { f.organizations.push_back(other.id), f.limit = 3; }),
            (Seqs{0, 1, 2}));
  EXPECT_EQ(seen([](auto& f) { f.kind_prefix = "member."; }), (Seqs{6, 8}));
  EXPECT_EQ(seen([&](auto& f) { f.deployment = d.id; }), (Seqs{4}));
  EXPECT_EQ(seen([&](auto& f) { f.before = first + 7; }), (Seqs{6, 4, 2, 0}));
  EXPECT_EQ(seen([&](auto& f) { f.organizations.clear(); }), Seqs{})
      << "nobody's organizations: nothing";
}

TYPED_TEST_P(StoreContract, PruningForgetsWhatIsOldButNeverTheNewestEvent) {
  const auto later = kThen.plus(std::chrono::hours(1));
  this->commit([&](Transaction& tx) {
    tx.append(
        Event{0, kThen, this->lab.id, std::nullopt, std::nullopt, "old", "a", "A", "r", "{}"});
    must(tx.store_reply("scope", "old", {sha256("x"), 201, "body", "", ""}, kThen));
    must(tx.store_reply("scope", "new", {sha256("x"), 201, "body", "/l", "\"1\""}, later));
    must(tx.insert(berth::Session{SessionId::make(kThen, this->random), this->ada.id, sha256("a"),
                                  kThen, sha256("r"), kThen, kThen}));
  });
  const auto last = must(this->view()->last_event());
  this->commit(
      [&](Transaction& tx) { must(tx.prune(later, later, later.plus(std::chrono::hours(1)))); });
  EXPECT_FALSE(must(this->view()->stored_reply("scope", "old")));
  const auto kept = must(this->view()->stored_reply("scope", "new"));
  ASSERT_TRUE(kept);
  EXPECT_EQ(kept->location, "/l");
  EXPECT_FALSE(must(this->view()->session_by_refresh(sha256("r"))));
  EXPECT_EQ(must(this->view()->last_event()), last) << "sequence numbers are never given out twice";
  const auto next = this->commit([&](Transaction& tx) {
    tx.append(
        Event{0, later, this->lab.id, std::nullopt, std::nullopt, "new", "a", "A", "r", "{}"});
  });
  EXPECT_EQ(next, last + 1);
  EXPECT_EQ(this->commit([](Transaction&) {}), 0) << "no event, no number";
}

TYPED_TEST_P(StoreContract, OwnersAreCountedAndMembersPaged) {
  std::set<UserId> users{this->ada.id};
  this->commit([&](Transaction& tx) {
    for (int i = 0; i < 5; ++i) {
      User user = this->ada;
      user.id = UserId::make(kThen, this->random);
      user.username = "u" + std::to_string(i);
      user.email = user.username + "@example.org";
      must(tx.insert(user));
      must(tx.insert(Member{this->lab.id, user.id, "", "", Role::viewer, kThen, 1}));
      users.insert(user.id);
    }
  });
  this->commit([&](Transaction& tx) {
    EXPECT_EQ(must(tx.count_owners(this->lab.id)), 1);
    must(tx.update_role(this->lab.id, *users.rbegin(), Role::owner));
    EXPECT_EQ(must(tx.count_owners(this->lab.id)),
              users.rbegin()->bytes() == this->ada.id.bytes() ? 1 : 2);
  });
  std::set<UserId> seen;
  std::optional<UserId> after;
  for (;;) {
    const auto page = must(this->view()->members(this->lab.id, after, 2));
    for (const auto& m : page) EXPECT_TRUE(seen.insert(m.user).second);
    if (page.size() < 2) break;
    after = page.back().user;
  }
  EXPECT_EQ(seen, users);
  this->commit([&](Transaction& tx) { must(tx.remove_member(this->lab.id, this->ada.id)); });
  EXPECT_FALSE(must(this->view()->role(this->lab.id, this->ada.id)));
}

TYPED_TEST_P(StoreContract, ALeaseHasOneLivingHolderAndItsEpochOnlyGrows) {
  using std::chrono::hours;
  const auto& cluster = this->pool.id;
  const auto held = [&](const std::string& who, std::int64_t epoch) {
    bool out = false;
    this->commit([&](Transaction& tx) { out = must(tx.fence(cluster, who, epoch)); });
    return out;
  };
  const auto take = [&](const std::string& who) {
    std::optional<std::int64_t> out;
    this->commit([&](Transaction& tx) { out = must(tx.take_lease(cluster, who)); });
    return out;
  };
  ASSERT_TRUE(must(this->view()->lease(cluster))) << "every cluster has a lease from the beginning";
  EXPECT_FALSE(must(this->view()->lease(cluster))->holder);
  this->commit([&](Transaction& tx) {
    must(tx.keep_alive("s1", "127.0.0.1:1", hours(1)));
    must(tx.keep_alive("s2", "127.0.0.1:2", hours(1)));
  });
  EXPECT_EQ(take("s1"), 1);
  EXPECT_EQ(take("s2"), std::nullopt) << "its holder lives";
  EXPECT_TRUE(held("s1", 1));
  EXPECT_FALSE(held("s2", 1));
  EXPECT_TRUE(must(this->view()->free_leases(10)).empty());
  EXPECT_FALSE(held("s1", 0));
  this->commit([&](Transaction& tx) { must(tx.keep_alive("s1", "127.0.0.1:1", hours(-1))); });
  EXPECT_FALSE(held("s1", 1)) << "its deadline has passed, though nobody took it";
  EXPECT_EQ(must(this->view()->free_leases(10)), std::vector{cluster});
  EXPECT_EQ(must(this->view()->free_leases(0)).size(), 0u);
  auto counts = must(this->view()->lease_counts());
  ASSERT_EQ(counts.size(), 1u);
  EXPECT_EQ(counts[0].holder, "s1");
  EXPECT_FALSE(counts[0].alive);
  EXPECT_EQ(take("s2"), 2);
  counts = must(this->view()->lease_counts());
  ASSERT_EQ(counts.size(), 1u);
  EXPECT_EQ(counts[0].holder, "s2");
  EXPECT_TRUE(counts[0].alive);
  EXPECT_EQ(counts[0].clusters, 1u);
  this->commit([&](Transaction& tx) { must(tx.keep_alive("s1", "127.0.0.1:1", hours(1))); });
  EXPECT_FALSE(held("s1", 1)) << "woken up, it finds that it lost";
  EXPECT_TRUE(held("s2", 2));
  this->commit([&](Transaction& tx) { must(tx.give_up_lease(cluster, "s2", 1)); });
  EXPECT_TRUE(held("s2", 2)) << "an old epoch gives nothing up";
  this->commit([&](Transaction& tx) { must(tx.give_up_lease(cluster, "s2", 2)); });
  EXPECT_EQ(take("s1"), 3);
  this->commit([&](Transaction& tx) { must(tx.retire("s1")); });
  EXPECT_FALSE(held("s1", 3));
  const auto living = must(this->view()->living_schedulers());
  ASSERT_EQ(living.size(), 1u);
  EXPECT_EQ(living[0].address, "127.0.0.1:2");
  const auto leases = must(this->view()->leases());
  ASSERT_EQ(leases.size(), 1u);
  EXPECT_EQ(leases[0].epoch, 3);
  EXPECT_FALSE(leases[0].holder);
}

TYPED_TEST_P(StoreContract, TheRelaysMarkMovesOnlyFromWhereItIs) {
  EXPECT_EQ(must(this->view()->relayed()), 0);
  this->commit([&](Transaction& tx) {
    EXPECT_TRUE(must(tx.advance_relay(0, 10)));
    EXPECT_FALSE(must(tx.advance_relay(0, 5))) << "another relay was faster";
    EXPECT_TRUE(must(tx.advance_relay(10, 11)));
  });
  EXPECT_EQ(must(this->view()->relayed()), 11);
  const auto secret = must(this->view()->installation_secret());
  EXPECT_GE(secret.size(), 64u);
  this->world.reopen();
  EXPECT_EQ(must(this->view()->installation_secret()), secret);
}

TYPED_TEST_P(StoreContract, WhatHappenedSinceIsAskedByClusterOrForAll) {
  Cluster other = this->pool;
  other.id = ClusterId::make(kThen, this->random);
  other.name = "other";
  auto a = this->waiting("a"), b = this->waiting("b"), c = this->waiting("c");
  c.cluster = other.id;
  const auto note = [&](Transaction& tx, const Deployment& d, const char* kind) {
    tx.append(Event{0, kThen, d.organization, d.cluster, d.id, kind, "a", "A", "r", "{}"});
  };
  const auto first = this->commit([&](Transaction& tx) {
    must(tx.insert(other));
    for (const auto* d : {&a, &b, &c}) {
      must(tx.insert(*d));
      note(tx, *d, "deployment.queued");
    }
  });
  b.state = State::cancelled;
  b.version = 2;
  this->commit([&](Transaction& tx) {
    must(tx.update(b, State::queued));
    note(tx, b, "deployment.cancelled");
    must(tx.remove_deployment(a.id));
    note(tx, a, "deployment.deleted");
    tx.append(
        Event{0, kThen, this->lab.id, this->pool.id, {}, "cluster.paused", "a", "A", "r", "{}"});
  });
  const auto touched = must(this->view()->touched(this->pool.id, first - 1, first + 5));
  ASSERT_EQ(touched.size(), 2u) << "each once";
  EXPECT_EQ(touched[0].id, b.id) << "in the order of what happened last";
  EXPECT_EQ(touched[0].seq, first + 3);
  ASSERT_TRUE(touched[0].row);
  EXPECT_EQ(touched[0].row->state, State::cancelled);
  EXPECT_EQ(touched[0].row->spec.resources, b.spec.resources);
  EXPECT_EQ(touched[0].row->version, 2);
  EXPECT_EQ(touched[1].id, a.id);
  EXPECT_FALSE(touched[1].row) << "deleted since";
  EXPECT_EQ(must(this->view()->touched(std::nullopt, first + 1, first + 3)).size(), 2u);
  EXPECT_EQ(must(this->view()->touched(other.id, first + 2, first + 5)).size(), 0u);
  const auto last_of = [&](const ClusterId& cluster, std::int64_t until) {
    return must(this->view()->last_event_of(cluster, until));
  };
  EXPECT_EQ(last_of(this->pool.id, first + 9), first + 5);
  EXPECT_EQ(last_of(this->pool.id, first + 2), first + 1);
  EXPECT_EQ(last_of(this->pool.id, first - 1), 0);
  EXPECT_EQ(last_of(other.id, first + 9), first + 2);
  const auto guest = OrganizationId::make(kThen, this->random);
  const auto by_guest = this->commit([&](Transaction& tx) {
    tx.append(Event{0, kThen, guest, other.id, {}, "cluster.shared", "a", "A", "r", "{}"});
  });
  EXPECT_EQ(last_of(other.id, by_guest), by_guest) << "whoever's event it is";
  const auto history = must(this->view()->history(first, 4));
  ASSERT_EQ(history.size(), 4u);
  EXPECT_EQ(history[0].seq, first + 1);
  EXPECT_EQ(history[3].kind, "deployment.deleted");
  EXPECT_EQ(must(this->view()->history(first + 5, 4)).size(), 1u);
}

REGISTER_TYPED_TEST_SUITE_P(
    StoreContract, ARefusedStatementIsUndoneToTheMarkAndTheRestGoesOn,
    ASnapshotIsOfTheMomentItWasOpenedAt, DependenciesAreMetOnce, EveryColumnComesBackAsItWasWritten,
    TextsThatAreNoUtf8AreNoReasonToFail, AClusterIsRemovedWithAllThatIsOfIt,
    AnIntactDatabaseIsFoundIntact, TheJournalHasNoGapsAndItsTimesNeverGoBack,
    WhatIsCommittedIsThereAfterReopening, WhatIsAbandonedNeverWas,
    AMarkIsUndoneAloneAndItsEventsWithIt, NamesAreTakenOnce, AnEndedDeploymentGivesItsNameBack,
    AChangeOfSomethingStaleIsAborted, NothingIsReservedTwiceOrBeyondCapacity,
    ReleasedIsFreeAgainAndOnlyOnce, TheAuditSeesAnAttemptWithoutReservationAndTheReverse,
    AClusterShrinksOnlyBelowWhatIsFree, OrdersGrowByOneAndSurvive, TheQueueIsListedInOrder,
    ListsAreFilteredAndPagedNewestFirst, InvitesAreUsedAsOftenAsTheySay,
    SessionsAreFoundByEachOfTheirTokens, TheHistoryHasNoGapsAndNoStrangers,
    PruningForgetsWhatIsOldButNeverTheNewestEvent, ALeaseHasOneLivingHolderAndItsEpochOnlyGrows,
    TheRelaysMarkMovesOnlyFromWhereItIs, WhatHappenedSinceIsAskedByClusterOrForAll,
    AClusterIsSharedUnderNumbersThatAreNeverAnothers, AKeyIsClaimedOnceAndKeepsItsReply,
    AHeldClusterSaysItsVersion, OwnersAreCountedAndMembersPaged,
    EachReplicaHasAReservationAndAllAreReleasedAtOnce, TheAuditMissesTheReservationOfAReplica,
    AGangComesBackAsItWasWritten);

}  // namespace berth::test
