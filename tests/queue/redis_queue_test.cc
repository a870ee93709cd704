// The contract, and what stands in Redis: others look at it, too.
#include <atomic>

#include "queue_contract.h"
#include "redis_server.h"

namespace berth::test {
namespace {

struct RedisFixture {
  WorkQueue& queue() { return one; }
  WorkQueue& other() { return two; }
  RedisServer server;
  redis::RedisQueue one{server.options()}, two{server.options()};
};

INSTANTIATE_TYPED_TEST_SUITE_P(Redis, QueueContract, RedisFixture);

TEST(RedisQueue, TheKeysAreTheDocumentedOnes) {
  RedisFixture world;
  QueueNames names;
  const auto pool = names.cluster();
  const auto a = names.entry(Priority::high, 4, {500, 1 << 30, 0});
  const auto b = names.entry(Priority::low, 7, {2000, 0, 250});
  auto reader = must(world.one.reader("sch_1"));
  must(world.one.rebuild(pool, std::vector{a}, 11));
  must(world.one.publish(std::vector{enters(12, pool, b)}));

  const std::string base = "berth:{" + pool.str() + "}:";
  const auto run = [&](std::initializer_list<std::string_view> words) {
    return world.server.run(words);
  };
  EXPECT_EQ(run({"ZRANGE", base + "high", "0", "-1", "WITHSCORES"}), a.id.str() + " 4");
  EXPECT_EQ(run({"ZRANGE", base + "low", "0", "-1", "WITHSCORES"}), b.id.str() + " 7");
  EXPECT_EQ(run({"HGET", base + "demand", a.id.str()}), "cpu=500 memory=1073741824 gpu=0");
  EXPECT_EQ(run({"HGET", base + "demand", b.id.str()}), "cpu=2000 memory=0 gpu=250");
  EXPECT_EQ(run({"HMGET", base + "state", "seq", "high", "low"}), "12 1 1");
  EXPECT_EQ(run({"SMEMBERS", "berth:clusters"}), pool.str());
  EXPECT_TRUE(run({"XRANGE", "berth:wake", "-", "+"})
                  .ends_with(" seq 12 kind queued cluster " + pool.str()));
  EXPECT_EQ(run({"DBSIZE"}), "6") << "and no others";
  for (const auto* key : {"state", "high", "demand"}) EXPECT_EQ(run({"TTL", base + key}), "-1");
  must(world.one.remove(pool));
  EXPECT_EQ(run({"KEYS", "*"}), "berth:wake");
}

TEST(RedisQueue, PrefixesKeepInstallationsApart) {
  RedisServer server;
  auto options = server.options();
  redis::RedisQueue one(options);
  options.prefix = "berth:two";
  options.db = 0;
  redis::RedisQueue two(options);
  QueueNames names;
  const auto pool = names.cluster();
  auto nudges = must(two.nudges());
  auto reader = must(two.reader("s1"));
  must(one.rebuild(pool, {}, 5));
  must(one.publish(std::vector<QueueChange>{{6, pool, WakeKind::queued, {}, {}}}));
  must(one.nudge());
  EXPECT_EQ(must(two.content(pool)), QueueContent{});
  EXPECT_TRUE(must(reader->wait(milliseconds(20))).empty());
  EXPECT_FALSE(must(nudges->wait(milliseconds(20))));
}

TEST(RedisQueue, WakesAreTrimmed) {
  RedisServer server;
  redis::RedisQueue queue(server.options());
  QueueNames names;
  const auto pool = names.cluster();
  std::vector<QueueChange> changes(101'000, {0, pool, WakeKind::changed, {}, {}});
  for (std::size_t i = 0; i < changes.size(); ++i) changes[i].seq = static_cast<std::int64_t>(i);
  must(queue.publish(changes));
  const auto length = std::stol(server.run({"XLEN", "berth:wake"}));
  EXPECT_GE(length, 100'000);
  EXPECT_LT(length, 100'500) << "Redis trims whole nodes of its tree";
}

// Read in pages, and yet of one moment.
TEST(RedisQueue, LongQueuesReadBackWhileTheyChange) {
  RedisFixture world;
  QueueNames names;
  const auto pool = names.cluster();
  std::vector<WaitingEntry> all;
  QueueContent expected{1, {}, {}};
  for (std::uint64_t i = 0; i < 60'000; ++i) {
    const auto priority = i % 3 == 0 ? Priority::high : Priority::low;
    all.push_back(names.entry(priority, i, {static_cast<std::int64_t>(i), 1, 0}));
    (priority == Priority::high ? expected.high : expected.low).push_back(all.back());
  }
  must(world.one.rebuild(pool, all, 1));
  EXPECT_EQ(must(world.one.content(pool)), expected);

  std::atomic<bool> enough = false;
  auto writes = std::async(std::launch::async, [&]() -> Result<void> {
    for (std::int64_t seq = 2; !enough; ++seq) {
      auto change =
          seq % 2 == 0 ? leaves(seq, pool, all.front().id) : enters(seq, pool, all.front());
      if (auto done = world.two.publish(std::span(&change, 1)); !done) return done;
    }
    return {};
  });
  auto without = expected;
  without.high.erase(without.high.begin());
  for (int i = 0; i < 3; ++i) {
    auto content = must(world.one.content(pool));
    ASSERT_TRUE(content.seq);
    auto& right = *content.seq % 2 == 0 ? without : expected;
    right.seq = content.seq;
    EXPECT_TRUE(content == right) << *content.seq;
  }
  enough = true;
  must(writes.get());
  world.server.run({"HSET", "berth:{" + pool.str() + "}:demand", all.back().id.str(), "much"});
  EXPECT_FALSE(must(world.one.content(pool)).seq);
}

TEST(RedisQueue, GroupsOfTheDeadAreDropped) {
  RedisServer server;
  redis::RedisQueue queue(server.options());
  must(queue.forget_readers({}));  // no stream yet
  for (const auto* name : {"a", "b", "c"}) (void)must(queue.reader(name));
  must(queue.forget_readers(std::vector<std::string>{"b"}));
  const auto groups = server.run({"XINFO", "GROUPS", "berth:wake"});
  EXPECT_TRUE(groups.starts_with("name b consumers 0 pending 0 ")) << groups;
  EXPECT_EQ(groups.find("name", 1), std::string::npos) << groups;
}

TEST(RedisQueue, WhatWasReadIsAcknowledged) {
  RedisServer server;
  redis::RedisQueue queue(server.options());
  QueueNames names;
  auto reader = must(queue.reader("s1"));
  must(queue.publish(std::vector<QueueChange>{{6, names.cluster(), WakeKind::queued, {}, {}}}));
  EXPECT_EQ(wakes_of(*reader, 1).size(), 1U);
  EXPECT_TRUE(server.run({"XPENDING", "berth:wake", "s1"}).starts_with("0 "));
}

}  // namespace
}  // namespace berth::test
