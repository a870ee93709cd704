#include "queue/memory/memory_queue.h"
#include "redis_server.h"
#include "relay_world.h"

namespace berth::test {
namespace {

// --- what an event means -----------------------------------------------------------------------

class ChangesOf : public ::testing::Test {
 protected:
  Event event(std::int64_t seq, const std::string& kind, std::optional<DeploymentId> about,
              const std::string& actor = "ada") const {
    return Event{seq, kThen, {}, pool, about, kind, actor, actor, "", "{}"};
  }
  Deployment row(State state) const {
    Deployment d;
    d.id = entry.id;
    d.cluster = pool;
    d.state = state;
    d.priority = entry.priority;
    d.order = entry.order;
    d.spec.resources = entry.demand;
    return d;
  }
  std::vector<QueueChange> changes(const std::vector<Event>& events,
                                   const std::vector<Touched>& touched) {
    return changes_of(events, touched, latest);
  }

  QueueNames names;
  const ClusterId pool = names.cluster();
  const WaitingEntry entry = names.entry(Priority::high, 7, {1000, 2, 3});
  LatestEvents latest;
};

TEST_F(ChangesOf, TheRowDecidesWhoWaitsAndTheEventWhatItMeans) {
  using enum WakeKind;
  auto parked = row(State::queued);
  parked.retry_at = kThen;
  struct Case {
    std::string kind, actor;
    std::optional<Deployment> now;
    WakeKind meaning;
    bool waits;
  };
  for (const auto& c : std::vector<Case>{
           {"deployment.queued", "usr_1", row(State::queued), queued, true},
           {"deployment.queued", "runtime", parked, released, false},
           {"deployment.queued", "runtime", row(State::queued), released, true},
           {"deployment.queued", "usr_1", row(State::starting), queued, false},
           {"deployment.retrying", "runtime", row(State::queued), queued, true},
           {"deployment.priority_changed", "usr_1", row(State::queued), queued, true},
           {"deployment.priority_changed", "usr_1", parked, queued, false},
           {"deployment.starting", "scheduler", row(State::starting), changed, false},
           {"deployment.running", "runtime", row(State::running), changed, false},
           {"deployment.stopping", "usr_1", row(State::stopping), changed, false},
           {"deployment.preempting", "scheduler", row(State::preempting), changed, false},
           {"deployment.cancelled", "usr_1", row(State::cancelled), changed, false},
           {"deployment.stopped", "runtime", row(State::stopped), released, false},
           {"deployment.succeeded", "runtime", row(State::succeeded), released, false},
           {"deployment.failed", "runtime", row(State::failed), released, false},
           {"deployment.failed", "runtime", row(State::queued), released, true},
           {"deployment.deleted", "usr_1", std::nullopt, changed, false}}) {
    latest.clear();
    const QueueChange expected{5,
                               pool,
                               c.meaning,
                               c.waits ? std::optional(entry) : std::nullopt,
                               c.waits ? std::nullopt : std::optional(entry.id),
                               0};
    EXPECT_EQ(changes({event(5, c.kind, entry.id, c.actor)}, {{5, entry.id, c.now}}),
              std::vector{expected})
        << c.kind << " by " << c.actor;
  }
}

TEST_F(ChangesOf, EventsOfClustersWakeAndOthersDoNot) {
  const std::vector<Event> events{
      event(4, "cluster.updated", {}),
      Event{5, kThen, {}, std::nullopt, std::nullopt, "member.added", "a", "a", "", "{}"},
      event(6, "cluster.paused", {})};
  EXPECT_EQ(changes(events, {}),
            (std::vector<QueueChange>{{4, pool, WakeKind::changed, {}, {}, 0},
                                      {6, pool, WakeKind::changed, {}, {}, 4}}));
}

TEST_F(ChangesOf, OnlyTheLatestEventAboutADeploymentMovesIt) {
  const auto other = names.cluster();
  auto elsewhere = event(8, "cluster.updated", {});
  elsewhere.cluster = other;
  latest = {{pool, 2}, {other, 3}};
  EXPECT_EQ(
      changes({event(6, "deployment.queued", entry.id), event(7, "deployment.starting", entry.id),
               elsewhere, event(9, "deployment.succeeded", entry.id)},
              {{9, entry.id, row(State::succeeded)}}),
      (std::vector<QueueChange>{{6, pool, WakeKind::queued, {}, {}, 2},
                                {7, pool, WakeKind::changed, {}, {}, 6},
                                {8, other, WakeKind::changed, {}, {}, 3},
                                {9, pool, WakeKind::released, {}, entry.id, 7}}));
  EXPECT_EQ(latest, (LatestEvents{{pool, 9}, {other, 8}}));
}

// --- the relay ---------------------------------------------------------------------------------

class RelayTest : public ::testing::Test {
 protected:
  void publish_all(Relay& relay) {
    while (must(relay.step()) > 0) {
    }
  }
  void expect_in_step() {
    for (const auto& cluster : must(world.view().all_clusters())) {
      expect_as_recorded(world, queue, cluster.id);
    }
    EXPECT_EQ(must(drift(world.view(), queue)), std::vector<std::string>{});
  }
  std::int64_t marked() { return must(world.view().relayed()); }

  RelayWorld world;
  std::unique_ptr<Store> store = world.open();
  memory::MemoryQueue queue;
};

TEST_F(RelayTest, QueuesFollowTheRecord) {
  Relay relay(*store, queue);
  auto reader = must(queue.reader("s1"));
  const auto pool = world.create_cluster();
  const auto a = world.submit(pool), b = world.submit(pool, Priority::high);
  publish_all(relay);
  expect_in_step();
  EXPECT_EQ(wakes_of(*reader, 3), (std::vector<Wake>{{2, WakeKind::changed, pool},
                                                     {3, WakeKind::queued, pool},
                                                     {4, WakeKind::queued, pool}}));
  world.to_state(a, State::starting);
  publish_all(relay);
  expect_in_step();
  EXPECT_EQ(must(queue.content(pool)).low.size(), 0U);
  world.park(a);
  publish_all(relay);
  expect_in_step();
  EXPECT_EQ(must(queue.content(pool)).low.size(), 0U) << "in back-off it does not wait";
  world.unpark(a);
  world.edit(b, "deployment.priority_changed", [](Deployment& d) { d.priority = Priority::low; });
  publish_all(relay);
  expect_in_step();
  EXPECT_EQ(must(queue.content(pool)).low.size(), 2U);
  world.to_state(b, State::cancelled);
  world.remove(b);
  publish_all(relay);
  expect_in_step();
  world.to_state(a, State::cancelled);
  world.remove(a);
  world.delete_cluster(pool);
  publish_all(relay);
  EXPECT_TRUE(must(queue.clusters()).empty());
}

TEST_F(RelayTest, ItTakesNoMoreThanAskedFor) {
  const auto pool = world.create_cluster();
  for (int i = 0; i < 5; ++i) world.submit(pool);
  Relay relay(*store, queue);
  EXPECT_EQ(must(relay.step(4)), 4U);
  EXPECT_EQ(relay.position(), 4);
  EXPECT_EQ(must(relay.step(4)), 3U);
  EXPECT_EQ(must(relay.step(4)), 0U);
}

TEST_F(RelayTest, TheMarkIsWrittenSeldomAndWhenIdle) {
  const auto pool = world.create_cluster();
  Relay relay(*store, queue, std::chrono::hours(10));
  for (int i = 0; i < 5; ++i) {
    world.submit(pool);
    must(relay.step());
    // The first is due at once.
    EXPECT_EQ(marked(), 3) << i;
  }
  EXPECT_EQ(must(relay.step()), 0U);
  EXPECT_EQ(marked(), 7);
  EXPECT_EQ(must(relay.step()), 0U);

  Relay eager(*store, queue, std::chrono::milliseconds(0));
  for (int i = 0; i < 3; ++i) {
    world.submit(pool);
    must(eager.step());
    EXPECT_EQ(marked(), 8 + i);
  }
}

TEST_F(RelayTest, ARelayThatDiedBeforeItsMarkIsRepeatedWithoutHarm) {
  const auto pool = world.create_cluster();
  const auto a = world.submit(pool);
  {
    Relay first(*store, queue, std::chrono::hours(10));
    publish_all(first);
    world.submit(pool);
    world.to_state(a, State::starting);
    EXPECT_EQ(must(first.step()), 2U);
    EXPECT_EQ(marked(), 3);
  }
  const auto before = must(queue.content(pool));
  auto reader = must(queue.reader("s1"));
  Relay second(*store, queue);
  EXPECT_EQ(must(second.step()), 2U);
  EXPECT_EQ(must(queue.content(pool)), before);
  EXPECT_EQ(wakes_of(*reader, 2).size(), 2U);
  expect_in_step();
  EXPECT_EQ(must(second.step()), 0U);
  EXPECT_EQ(marked(), 5);
}

TEST_F(RelayTest, TheLatestEventOfAClusterIsWhoeversItIs) {
  const auto pool = world.create_cluster();
  const auto a = world.submit(pool);
  const auto guest = world.submit_as(world.add_organization("guests"), pool);
  {
    Relay first(*store, queue);
    publish_all(first);
  }
  expect_in_step();
  // The queue falls back behind the guest's event.
  auto content = must(queue.content(pool));
  ASSERT_EQ(content.low.size(), 2U);
  EXPECT_EQ(content.low[1].id, guest);
  const auto back = *content.seq - 1;
  must(queue.remove(pool));
  must(queue.rebuild(pool, std::vector{content.low[0]}, back));
  world.to_state(a, State::starting);
  Relay second(*store, queue);
  publish_all(second);
  EXPECT_FALSE(must(queue.content(pool)).seq) << "it is seen to be not whole";
  EXPECT_EQ(must(second.heal(100)), 1U);
  expect_in_step();
}

TEST_F(RelayTest, TwoAtATimeAgree) {
  auto other_store = world.open();
  const auto pool = world.create_cluster();
  Relay one(*store, queue, std::chrono::milliseconds(0));
  Relay two(*other_store, queue, std::chrono::milliseconds(0));
  must(one.step());
  for (int i = 0; i < 4; ++i) world.submit(pool);
  must(two.step(5));
  must(one.step(1));
  publish_all(two);
  publish_all(one);
  EXPECT_EQ(marked(), 6);
  EXPECT_EQ(one.position(), 6);
  expect_in_step();
}

TEST_F(RelayTest, HealingFindsEverythingThatCanBeWrong) {
  Relay relay(*store, queue);
  std::vector<ClusterId> pools;
  for (int i = 0; i < 4; ++i) {
    pools.push_back(world.create_cluster());
    world.submit(pools.back());
    world.submit(pools.back(), Priority::high);
  }
  publish_all(relay);
  EXPECT_EQ(must(relay.heal(100)), 0U);
  const auto stays = must(queue.content(pools[0]));

  must(queue.remove(pools[1]));  // missing
  auto old = must(queue.content(pools[2]));
  must(queue.remove(pools[2]));  // behind
  must(queue.rebuild(pools[2], old.low, *old.seq - 1));
  const auto last = must(world.view().last_event());
  must(queue.rebuild(pools[3], {}, last));  // of the latest event, and different
  const ClusterId stranger = QueueNames().cluster();
  must(queue.rebuild(stranger, {}, 1));  // of no cluster

  const auto sentences = must(drift(world.view(), queue));
  ASSERT_EQ(sentences.size(), 4U);
  EXPECT_TRUE(sentences[0].ends_with("is not there.")) << sentences[0];
  EXPECT_TRUE(sentences[2].contains("is wrong about 2 of the deployments, for example dep_"))
      << sentences[2];
  EXPECT_TRUE(sentences[2].contains(": it does not wait there, but waits as ")) << sentences[2];
  EXPECT_EQ(sentences[3],
            "There is a queue of cluster " + stranger.str() + ", which does not exist.");

  EXPECT_EQ(must(relay.heal(100)), 4U);
  expect_in_step();
  EXPECT_EQ(must(queue.content(pools[0])), stays) << "what is right is left alone";
  EXPECT_EQ(must(relay.heal(100)), 0U);

  // From a database that was restored to an earlier day.
  must(queue.rebuild(pools[0], {}, last + 1000));
  EXPECT_TRUE(must(drift(world.view(), queue)).front().contains("is that of event"));
  EXPECT_EQ(must(relay.heal(100)), 1U);
  expect_in_step();
}

TEST_F(RelayTest, HealingGoesRoundInSmallPortions) {
  Relay relay(*store, queue);
  std::vector<ClusterId> pools;
  for (int i = 0; i < 5; ++i) {
    pools.push_back(world.create_cluster());
    world.submit(pools.back());
  }
  publish_all(relay);
  const auto last = must(world.view().last_event());
  for (const auto& pool : pools) must(queue.rebuild(pool, {}, last));  // looks right
  std::size_t mended = 0;
  for (int i = 0; i < 5; ++i) mended += must(relay.heal(1));
  EXPECT_EQ(mended, 5U);
  expect_in_step();
  for (const auto& pool : pools) must(queue.remove(pool));
  EXPECT_EQ(must(relay.heal(2)), 2U);
  EXPECT_EQ(must(relay.heal(2)), 2U);
  EXPECT_EQ(must(relay.heal(2)), 1U);
  expect_in_step();
}

TEST_F(RelayTest, WhatIsOnItsWayIsNoDrift) {
  Relay relay(*store, queue);
  const auto pool = world.create_cluster();
  const auto a = world.submit(pool);
  publish_all(relay);
  world.submit(pool);
  world.to_state(a, State::starting);
  EXPECT_EQ(must(drift(world.view(), queue)), std::vector<std::string>{});
  EXPECT_EQ(must(relay.heal(10)), 0U);
}

// An installation that gets its queues late, or whose relay was away for long.
TEST_F(RelayTest, EventsThatAreNotKeptAnyMoreAreNotNeeded) {
  const auto pool = world.create_cluster();
  for (int i = 0; i < 5; ++i) world.submit(pool);
  world.write([](Transaction& tx) { must(tx.prune({}, {}, kThen.plus(std::chrono::hours(1)))); });
  ASSERT_EQ(must(world.view().first_event()), 7);
  Relay relay(*store, queue);
  auto reader = must(queue.reader("s1"));
  publish_all(relay);
  expect_in_step();
  EXPECT_EQ(wakes_of(*reader, 1), (std::vector<Wake>{{7, WakeKind::changed, pool}}));
  EXPECT_EQ(marked(), 7);
}

TEST_F(RelayTest, FarBehindItTakesTheShortWay) {
  const auto pool = world.create_cluster();
  world.submit(pool);
  world.write([&](Transaction& tx) {
    for (int i = 0; i < 100'001; ++i) tx.append(world.event("cluster.updated", pool, {}));
  });
  EXPECT_EQ(must(drift(world.view(), queue)).back(),
            "The relay is 100004 events behind: no scheduler publishes them.");
  Relay relay(*store, queue);
  auto reader = must(queue.reader("s1"));
  publish_all(relay);
  expect_in_step();
  EXPECT_EQ(wakes_of(*reader, 1), (std::vector<Wake>{{100'004, WakeKind::changed, pool}}));
}

TEST_F(RelayTest, OverRedisThatForgets) {
  RedisServer server;
  redis::RedisQueue redis(server.options());
  Relay relay(*store, redis);
  const auto pool = world.create_cluster();
  const auto a = world.submit(pool);
  publish_all(relay);
  expect_as_recorded(world, redis, pool);
  server.run({"FLUSHALL"});
  world.submit(pool, Priority::high);
  world.to_state(a, State::starting);
  publish_all(relay);
  EXPECT_EQ(must(redis.content(pool)), QueueContent{});
  EXPECT_EQ(must(relay.heal(1)), 1U);
  expect_as_recorded(world, redis, pool);

  server.crash();
  world.submit(pool);
  EXPECT_EQ(relay.step().error().reason, "queue_unavailable");
  EXPECT_EQ(relay.heal(1).error().reason, "queue_unavailable");
  server.start();
  publish_all(relay);
  EXPECT_EQ(must(relay.heal(1)), 1U);
  expect_as_recorded(world, redis, pool);
  EXPECT_EQ(must(drift(world.view(), redis)), std::vector<std::string>{});
}

}  // namespace
}  // namespace berth::test
