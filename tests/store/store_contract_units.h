// The part of the contract about transactions, snapshots and faithful columns.
#pragma once
#include "store_contract_world.h"

namespace berth::test {

TYPED_TEST_P(StoreContract, AMarkIsUndoneAloneAndItsEventsWithIt) {
  const auto first = this->waiting("first"), second = this->waiting("second"),
             third = this->waiting("third");
  Event event{0,   kThen, this->lab.id, this->pool.id, std::nullopt, "test.noted",
              "a", "A",   "r",          "{}"};
  const auto first_seq = this->commit([&](Transaction& tx) {
    must(tx.mark());
    must(tx.insert(first));
    tx.append(event);
    must(tx.keep());
    must(tx.mark());
    must(tx.insert(second));
    event.kind = "test.undone";
    tx.append(event);
    must(tx.undo());
    must(tx.mark());
    must(tx.insert(third));
    event.kind = "test.third";
    tx.append(event);
    must(tx.keep());
  });
  EventFilter all;
  all.organizations = {this->lab.id};
  all.after = first_seq - 1;
  std::vector<std::string> kinds;
  for (const auto& e : must(this->view()->events(all))) kinds.push_back(e.kind);
  EXPECT_EQ(kinds, (std::vector<std::string>{"test.noted", "test.third"}));
  EXPECT_TRUE(must(this->view()->deployment(first.id)));
  EXPECT_FALSE(must(this->view()->deployment(second.id)));
  EXPECT_TRUE(must(this->view()->deployment(third.id)));
  EXPECT_EQ(must(this->view()->last_event()), first_seq + 1) << "an undone event leaves no gap";
}

TYPED_TEST_P(StoreContract, ARefusedStatementIsUndoneToTheMarkAndTheRestGoesOn) {
  const auto first = this->waiting("same"), twin = this->waiting("same"),
             third = this->waiting("third");
  this->commit([&](Transaction& tx) {
    must(tx.mark());
    must(tx.insert(first));
    must(tx.keep());
    must(tx.mark());
    must(tx.take_order(this->pool.id));
    EXPECT_FALSE(tx.insert(twin));
    must(tx.undo());
    must(tx.mark());
    must(tx.undo());  // nothing in between
    must(tx.mark());
    must(tx.keep());
    must(tx.mark());
    must(tx.insert(third));
    must(tx.keep());
  });
  EXPECT_TRUE(must(this->view()->deployment(first.id)));
  EXPECT_FALSE(must(this->view()->deployment(twin.id)));
  EXPECT_TRUE(must(this->view()->deployment(third.id)));
  EXPECT_EQ(must(this->view()->cluster(this->pool.id))->next_order, 1u)
      << "the undone unit had taken an order";
}

TYPED_TEST_P(StoreContract, ASnapshotIsOfTheMomentItWasOpenedAt) {
  const auto early = this->waiting("early"), late = this->waiting("late");
  const auto note = [&](Transaction& tx, const char* kind) {
    tx.append(Event{0, kThen, this->lab.id, std::nullopt, std::nullopt, kind, "a", "A", "r", "{}"});
  };
  const auto first = this->commit([&](Transaction& tx) {
    must(tx.insert(early));
    note(tx, "early");
  });
  auto snapshot = must(this->world.store().open_snapshot());
  this->commit([&](Transaction& tx) {
    must(tx.insert(late));
    note(tx, "late");
  });
  EXPECT_EQ(must(snapshot->last_event()), first);
  std::vector<DeploymentId> waiting;
  must(snapshot->for_each_waiting(this->pool.id,
                                  [&](const WaitingRow& row) { waiting.push_back(row.id); }));
  EXPECT_EQ(waiting, std::vector<DeploymentId>{early.id});
  EXPECT_FALSE(must(snapshot->deployment(late.id)));
  EXPECT_EQ(must(this->view()->last_event()), first + 1) << "another view sees it";
  snapshot.reset();
  EXPECT_EQ(must(must(this->world.store().open_snapshot())->last_event()), first + 1);
}

TYPED_TEST_P(StoreContract, EveryColumnComesBackAsItWasWritten) {
  auto d = this->waiting("full", Priority::high);
  d.spec.resources = {1500, 3 << 20, 1250};
  d.spec.depends_on = {{this->waiting("other").id, Milestone::running}};
  d.unmet = 1;
  const auto later = [](int s) { return kThen.plus(std::chrono::seconds(s)); };
  const auto write = [&](State from, State to) {
    d.state = to;
    d.version += 1;
    this->commit([&](Transaction& tx) { must(tx.update(d, from)); });
    const auto found = must(this->view()->deployment(d.id));
    ASSERT_TRUE(found);
    EXPECT_EQ(found->priority, d.priority);
    EXPECT_EQ(found->order, d.order);
    EXPECT_EQ(found->attempt, d.attempt);
    EXPECT_EQ(found->failures, d.failures);
    EXPECT_EQ(found->retry_at, d.retry_at);
    EXPECT_EQ(found->grant, d.grant);
    EXPECT_EQ(found->endpoint, d.endpoint);
    EXPECT_EQ(found->exit_code, d.exit_code);
    EXPECT_EQ(found->message, d.message);
    EXPECT_EQ(found->created_by, d.created_by);
    EXPECT_EQ(found->created_at, d.created_at);
    EXPECT_EQ(found->updated_at, d.updated_at);
    EXPECT_EQ(found->admitted_at, d.admitted_at);
    EXPECT_EQ(found->started_at, d.started_at);
    EXPECT_EQ(found->ended_at, d.ended_at);
    EXPECT_EQ(found->queued_at, d.queued_at);
    EXPECT_EQ(found->displaced_for, d.displaced_for);
    EXPECT_EQ(found->unmet, d.unmet);
    EXPECT_EQ(found->awaited, d.awaited);
    EXPECT_EQ(found->spec, d.spec);
  };
  this->commit([&](Transaction& tx) { must(tx.insert(d)); });
  d.attempt = 3;
  d.failures = 2;
  d.retry_at = later(1);
  d.grant = this->grant_on("n1", d.spec.resources, {{0, 1000}, {1, 250}});
  d.endpoint = "127.0.0.1:8080";
  d.exit_code = -9;
  d.message = "naïve ☃";
  d.updated_at = later(2);
  d.admitted_at = later(3);
  d.started_at = later(4);
  d.queued_at = later(2);
  d.displaced_for = this->waiting("urgent").id;
  d.unmet = 0;
  d.awaited = true;
  write(State::queued, State::running);
  d.grant.reset();
  d.retry_at.reset();
  d.exit_code.reset();
  d.displaced_for.reset();
  d.ended_at = later(5);
  write(State::running, State::stopped);

  ApiKey key{ApiKeyId::make(kThen, this->random),
             this->ada.id,
             "ci",
             "berth_key_",
             sha256("k"),
             kThen,
             later(9)};
  ApiKey endless{ApiKeyId::make(later(1), this->random),
                 this->ada.id,
                 "ever",
                 "berth_key_",
                 sha256("e"),
                 kThen,
                 std::nullopt};
  this->commit([&](Transaction& tx) {
    must(tx.insert(key));
    must(tx.insert(endless));
    must(tx.put_setup_token(SetupToken{sha256("s"), later(7)}));
    tx.append(
        Event{0, later(8), std::nullopt, this->pool.id, d.id, "k", "a", "A", "", "{\"x\":1}"});
    tx.append(
        Event{0, later(9), this->lab.id, std::nullopt, std::nullopt, "k", "a", "", "r", "{}"});
  });
  EXPECT_EQ(must(this->view()->api_key_by_secret(sha256("k")))->expires_at, later(9));
  ASSERT_EQ(must(this->view()->api_keys(this->ada.id)).size(), 2u);
  EXPECT_FALSE(must(this->view()->api_keys(this->ada.id))[1].expires_at);
  EXPECT_EQ(must(this->view()->setup_token())->expires_at, later(7));
  this->commit([&](Transaction& tx) {
    EXPECT_EQ(must(tx.remove_api_key(this->ada.id, key.id))->name, "ci");
    EXPECT_FALSE(must(tx.remove_api_key(this->ada.id, key.id)));
    must(tx.put_setup_token(std::nullopt));
  });
  EXPECT_FALSE(must(this->view()->setup_token()));
  auto changed = this->pool;
  changed.paused = true;
  changed.name = "basin";
  changed.version = 2;
  changed.policy = Policy::backfill_preempt;
  changed.placement = PlacementRule::fgd;
  changed.mix = {{{500, 1 << 30, 250}, 3}, {{2000, 0, 2000}, 1}};
  changed.age_bound = std::chrono::hours(4);
  changed.fair = true;
  this->commit([&](Transaction& tx) { must(tx.update(changed)); });
  const auto now = must(this->view()->cluster(this->pool.id));
  EXPECT_TRUE(now->paused);
  EXPECT_EQ(now->policy, changed.policy);
  EXPECT_EQ(now->placement, changed.placement);
  EXPECT_EQ(now->mix, changed.mix);
  EXPECT_EQ(now->age_bound, changed.age_bound);
  EXPECT_TRUE(now->fair);
  EXPECT_EQ(must(this->view()->cluster_by_name(this->lab.id, "BASIN"))->version, 2);
  EXPECT_FALSE(must(this->view()->cluster_by_name(this->lab.id, "pool")));
  this->abandon(
      [&](Transaction& tx) { EXPECT_EQ(tx.update(changed).error().code, Code::aborted); });
}

TYPED_TEST_P(StoreContract, DependenciesAreMetOnce) {
  const auto on = this->waiting("on");
  const auto runs = this->waiting("runs");
  const auto succeeds = this->waiting("succeeds");
  this->commit([&](Transaction& tx) {
    for (const auto& d : {on, runs, succeeds}) must(tx.insert(d));
    must(tx.add_dependency(runs.id, {on.id, Milestone::running}));
    must(tx.add_dependency(succeeds.id, {on.id, Milestone::succeeded}));
    must(tx.add_dependency(succeeds.id, {runs.id, Milestone::running}));
  });
  using Ids = std::vector<DeploymentId>;
  const auto reach = [&](const DeploymentId& id, Milestone milestone) {
    Ids out;
    this->commit([&](Transaction& tx) { out = must(tx.reach(id, milestone)); });
    return out;
  };
  EXPECT_EQ(must(this->view()->dependencies(succeeds.id)).size(), 2u);
  EXPECT_EQ(reach(on.id, Milestone::running), Ids{runs.id});
  EXPECT_EQ(reach(on.id, Milestone::running), Ids{});
  EXPECT_EQ(reach(on.id, Milestone::succeeded), Ids{succeeds.id});
  EXPECT_EQ(must(this->view()->dependencies(succeeds.id)),
            (std::vector<Dependency>{{runs.id, Milestone::running}}));
  // One that went straight to its end has also run.
  EXPECT_EQ(reach(runs.id, Milestone::succeeded), Ids{succeeds.id});
  this->commit([&](Transaction& tx) {
    must(tx.add_dependency(succeeds.id, {on.id, Milestone::running}));
    must(tx.remove_deployment(succeeds.id));
  });
  EXPECT_EQ(reach(on.id, Milestone::running), Ids{}) << "gone with who waited";
}

TYPED_TEST_P(StoreContract, TextsThatAreNoUtf8AreNoReasonToFail) {
  // A program's last words end up in messages; a change of state must not hang on them.
  auto d = this->waiting("loud");
  using namespace std::string_literals;
  this->commit([&](Transaction& tx) {
    must(tx.insert(d));
    d.version += 1;
    d.message = "broken \xff\xc3( and \0 zero"s;
    must(tx.update(d, State::queued));
    tx.append(Event{0, kThen, this->lab.id, std::nullopt, std::nullopt, "k", "a",
                    "A\xed\xa0\x80\0"s, "r", "{}"});
  });
  EXPECT_TRUE(must(this->view()->deployment(d.id))->message.starts_with("broken "));
  EXPECT_FALSE(must(this->view()->user_by_name("\xff\0"s)));
}

TYPED_TEST_P(StoreContract, AClusterIsRemovedWithAllThatIsOfIt) {
  this->commit([&](Transaction& tx) { must(tx.remove_cluster(this->pool.id)); });
  EXPECT_FALSE(must(this->view()->cluster(this->pool.id)));
  EXPECT_FALSE(must(this->view()->lease(this->pool.id)));
  EXPECT_TRUE(must(this->view()->audit_ledger()).empty());
  this->abandon([&](Transaction& tx) {
    EXPECT_EQ(tx.take_order(this->pool.id).error().code, Code::not_found);
  });
  this->abandon(
      [&](Transaction& tx) { EXPECT_EQ(must(tx.take_lease(this->pool.id, "s")), std::nullopt); });
}

TYPED_TEST_P(StoreContract, AClusterIsSharedUnderNumbersThatAreNeverAnothers) {
  std::vector<Organization> guests;
  for (const auto* name : {"red", "green", "blue"})
    guests.push_back({OrganizationId::make(kThen, this->random), name, kThen, 1});
  const auto share = [&](const OrganizationId& whose, std::optional<Resources> quota = {},
                         std::optional<Resources> borrowing = {}) {
    std::uint32_t tenant = 0;
    this->commit([&](Transaction& tx) {
      tenant = must(tx.put_share(this->pool.id, Share{whose, 99, quota, borrowing}));
    });
    return tenant;
  };
  const auto unshare = [&](const OrganizationId& whose) {
    this->commit([&](Transaction& tx) { must(tx.remove_share(this->pool.id, whose)); });
  };
  const auto seen_by = [&](const OrganizationId& whose) {
    return must(this->view()->clusters({whose}, std::nullopt, 9)).size();
  };
  this->commit([&](Transaction& tx) {
    for (const auto& guest : guests) must(tx.insert(guest));
  });
  EXPECT_EQ(share(guests[0].id), 1u);
  EXPECT_EQ(share(guests[1].id, Resources{4000, kNoQuota, 0}, Resources{0, kNoQuota, 1000}), 2u);
  EXPECT_EQ(share(this->lab.id, Resources{1000, 1 << 30, 2000}), 0u) << "its own organization";
  this->world.reopen();
  const std::vector<Share> all{
      {this->lab.id, 0, Resources{1000, 1 << 30, 2000}, std::nullopt},
      {guests[0].id, 1, std::nullopt, std::nullopt},
      {guests[1].id, 2, Resources{4000, kNoQuota, 0}, Resources{0, kNoQuota, 1000}}};
  EXPECT_EQ(must(this->view()->cluster(this->pool.id))->shares, all);
  EXPECT_EQ(must(this->view()->clusters({guests[1].id}, std::nullopt, 9)).at(0).shares, all);
  EXPECT_EQ(must(this->view()->all_clusters()).at(0).shares, all);
  EXPECT_EQ(must(this->view()->clusters({this->lab.id, guests[1].id}, std::nullopt, 9)).size(), 1u);
  EXPECT_EQ(seen_by(guests[2].id), 0u);
  EXPECT_EQ(must(this->view()->tenant(this->pool.id, guests[1].id)), 2u);
  EXPECT_EQ(must(this->view()->tenant(this->pool.id, guests[2].id)), std::nullopt);

  unshare(guests[1].id);
  unshare(this->lab.id);
  EXPECT_EQ(seen_by(guests[1].id), 0u);
  EXPECT_EQ(seen_by(this->lab.id), 1u);
  EXPECT_EQ(must(this->view()->tenant(this->pool.id, guests[1].id)), std::nullopt);
  EXPECT_EQ(must(this->view()->cluster(this->pool.id))->shares, std::vector{all[1]});
  EXPECT_EQ(share(guests[2].id), 3u) << "not the number that somebody had";
  EXPECT_EQ(share(guests[1].id), 2u) << "and who comes back has his again";
  this->commit([&](Transaction& tx) { must(tx.remove_cluster(this->pool.id)); });
  EXPECT_EQ(must(this->view()->tenant(this->pool.id, guests[0].id)), std::nullopt);
  this->abandon([&](Transaction& tx) {
    EXPECT_EQ(tx.put_share(this->pool.id, all[1]).error().code, Code::not_found);
  });
}

TYPED_TEST_P(StoreContract, TheJournalHasNoGapsAndItsTimesNeverGoBack) {
  using namespace std::string_literals;
  Cluster other = this->pool;
  other.id = ClusterId::make(kThen, this->random);
  other.name = "other";
  const auto unknown = ClusterId::make(kThen, this->random);
  const auto at = [](std::int64_t seconds) { return kThen.plus(std::chrono::seconds(seconds)); };
  const std::string bytes("\0\xFF any\n", 7), large(3'000'000, '\x80');
  EXPECT_EQ(must(this->view()->journal_end(this->pool.id)), std::nullopt);
  EXPECT_EQ(must(this->view()->journal_at(this->pool.id, at(99))), std::nullopt);
  this->commit([&](Transaction& tx) {
    must(tx.insert(other));
    EXPECT_EQ(must(tx.append_journal(this->pool.id, at(1), true, bytes)), (JournalMark{1, at(1)}));
    EXPECT_EQ(must(tx.append_journal(other.id, at(7), true, "o")), (JournalMark{1, at(7)}));
    EXPECT_EQ(must(tx.append_journal(this->pool.id, at(3), false, "b")), (JournalMark{2, at(3)}));
    EXPECT_EQ(must(tx.append_journal(unknown, at(1), false, "x")), std::nullopt);
  });
  this->abandon(
      [&](Transaction& tx) { must(tx.append_journal(this->pool.id, at(4), true, "never")); });
  this->commit([&](Transaction& tx) {
    must(tx.mark());
    must(tx.append_journal(this->pool.id, at(4), true, "undone"));
    must(tx.undo());
    must(tx.mark());
    EXPECT_EQ(must(tx.append_journal(this->pool.id, at(2), true, large)), (JournalMark{3, at(3)}))
        << "the clock went back, the journal does not";
    must(tx.keep());
    EXPECT_EQ(must(tx.append_journal(this->pool.id, at(5), false, "")), (JournalMark{4, at(5)}));
  });
  this->world.reopen();
  const auto view = this->view();
  const std::vector<JournalEntry> whole{{1, at(1), true, bytes},
                                        {2, at(3), false, "b"},
                                        {3, at(3), true, large},
                                        {4, at(5), false, ""}};
  EXPECT_EQ(must(view->journal(this->pool.id, 1, 99)), whole);
  EXPECT_EQ(must(view->journal(this->pool.id, 2, 1)), std::vector{whole[1]});
  EXPECT_EQ(must(view->journal(this->pool.id, 5, 9)), std::vector<JournalEntry>{});
  EXPECT_EQ(must(view->journal(other.id, 0, 9)),
            (std::vector<JournalEntry>{{1, at(7), true, "o"}}));
  EXPECT_EQ(must(view->journal_end(this->pool.id)), (JournalMark{4, at(5)}));
  EXPECT_EQ(must(view->journal_at(this->pool.id, at(0))), std::nullopt);
  EXPECT_EQ(must(view->journal_at(this->pool.id, at(1))), (JournalMark{1, at(1)}));
  EXPECT_EQ(must(view->journal_at(this->pool.id, at(2))), (JournalMark{1, at(1)}));
  EXPECT_EQ(must(view->journal_at(this->pool.id, at(3))), (JournalMark{3, at(3)}));
  EXPECT_EQ(must(view->journal_at(this->pool.id, at(4))), (JournalMark{3, at(3)}));
  EXPECT_EQ(must(view->journal_at(this->pool.id, at(6))), (JournalMark{4, at(5)}));
  EXPECT_EQ(must(view->journal_checkpoint(this->pool.id, 4)), 3);
  EXPECT_EQ(must(view->journal_checkpoint(this->pool.id, 2)), 1);
  EXPECT_EQ(must(view->journal_checkpoint(this->pool.id, 0)), std::nullopt);
  this->commit([&](Transaction& tx) { must(tx.remove_cluster(this->pool.id)); });
  EXPECT_EQ(must(this->view()->journal(this->pool.id, 1, 99)), std::vector<JournalEntry>{});
  EXPECT_EQ(must(this->view()->journal_end(other.id)), (JournalMark{1, at(7)}));
}

TYPED_TEST_P(StoreContract, AnIntactDatabaseIsFoundIntact) {
  this->started("holder", "n1", {{0, 500}});
  EXPECT_EQ(must(this->view()->check_integrity()), std::vector<std::string>{});
  this->abandon([&](Transaction& tx) { EXPECT_TRUE(must(tx.audit_ledger()).empty()); });
}

TYPED_TEST_P(StoreContract, AKeyIsClaimedOnceAndKeepsItsReply) {
  const StoredReply reply{sha256("body"), 201, "answer", "/there", "\"1\""};
  this->abandon([&](Transaction& tx) {
    EXPECT_TRUE(must(tx.claim_reply("scope", "key", reply.fingerprint, kThen)));
  });
  this->commit([&](Transaction& tx) {
    EXPECT_TRUE(must(tx.claim_reply("scope", "key", reply.fingerprint, kThen))) << "undone";
    EXPECT_FALSE(must(tx.claim_reply("scope", "key", reply.fingerprint, kThen)));
    must(tx.store_reply("scope", "key", reply, kThen));
  });
  this->commit([&](Transaction& tx) {
    EXPECT_FALSE(must(tx.claim_reply("scope", "key", sha256("other"), kThen)));
    EXPECT_TRUE(must(tx.claim_reply("scope", "another", sha256("other"), kThen)));
  });
  const auto kept = must(this->view()->stored_reply("scope", "key"));
  ASSERT_TRUE(kept);
  EXPECT_EQ(kept->fingerprint, reply.fingerprint);
  EXPECT_EQ(kept->body, "answer");
}

TYPED_TEST_P(StoreContract, AHeldClusterSaysItsVersion) {
  this->commit([&](Transaction& tx) {
    EXPECT_EQ(must(tx.hold(this->pool.id)), 1);
    EXPECT_EQ(must(tx.hold(ClusterId::make(kThen, this->random))), std::nullopt);
    auto paused = this->pool;
    paused.paused = true;
    paused.version = 2;
    must(tx.update(paused));
    EXPECT_EQ(must(tx.hold(this->pool.id)), 2);
  });
}

}  // namespace berth::test
