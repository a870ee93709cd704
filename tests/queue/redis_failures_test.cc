// What a Redis can do to us: be away, forget, forget half, stand still, hold what others wrote.
// The queue may be gone then, and say so; it is never wrong.
#include <future>

#include "queue/redis/settings.h"
#include "redis_server.h"

namespace berth::test {
namespace {

class RedisFailures : public ::testing::Test {
 protected:
  void fill() {
    must(queue.rebuild(pool, std::vector{a, b}, 10));
    ASSERT_EQ(must(queue.content(pool)), whole);
  }
  void expect_absent(const std::string& why) {
    EXPECT_EQ(must(queue.content(pool)), QueueContent{}) << why;
    EXPECT_EQ(must(queue.marks(std::vector{pool})), std::vector<QueueMark>(1)) << why;
  }
  [[nodiscard]] std::string key(const std::string& part) const {
    return "berth:{" + pool.str() + "}:" + part;
  }
  template <class T>
  static void expect_unavailable(const Result<T>& result) {
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, Code::unavailable);
    EXPECT_EQ(result.error().reason, "queue_unavailable");
  }
  std::vector<QueueChange> a_wake(std::int64_t seq) {
    return {{seq, pool, WakeKind::released, {}, {}}};
  }

  RedisServer server;
  redis::RedisQueue queue{server.options()};
  QueueNames names;
  const ClusterId pool = names.cluster();
  const WaitingEntry a = names.entry(Priority::high, 1), b = names.entry(Priority::low, 2);
  const QueueContent whole{10, {a}, {b}};
};

TEST_F(RedisFailures, ARestartWithoutMemory) {
  fill();
  auto reader = must(queue.reader("s1"));
  auto nudges = must(queue.nudges());
  server.crash();
  expect_unavailable(queue.content(pool));
  expect_unavailable(queue.publish(a_wake(11)));
  expect_unavailable(queue.rebuild(pool, {}, 11));
  expect_unavailable(queue.reader("s2"));
  expect_unavailable(reader->wait(milliseconds(50)));
  expect_unavailable(nudges->wait(milliseconds(50)));
  expect_unavailable(nudges->wait(milliseconds(50)));

  server.start();
  expect_absent("nothing was kept");
  must(queue.publish(a_wake(12)));
  expect_absent("a part of a queue is never made");
  EXPECT_EQ(wakes_of(*reader, 1), (std::vector<Wake>{{12, WakeKind::released, pool}}));
  EXPECT_TRUE(must(nudges->wait(milliseconds(0)))) << "something may have been missed";
  EXPECT_FALSE(must(nudges->wait(milliseconds(0))));
  fill();
}

TEST_F(RedisFailures, AFlushInTheMiddle) {
  fill();
  auto reader = must(queue.reader("s1"));
  must(queue.publish(a_wake(11)));
  EXPECT_EQ(wakes_of(*reader, 1).size(), 1U);
  auto waits = std::async(std::launch::async, [&] { return reader->wait(milliseconds(10'000)); });
  server.run({"FLUSHALL"});
  must(queue.publish(std::vector{enters(12, pool, names.entry(Priority::low, 3))}));
  expect_absent("who came after the flush is not all");
  auto seen = must(waits.get());
  for (const auto& wake : wakes_of(*reader, seen.empty() ? 1 : 0)) seen.push_back(wake);
  EXPECT_EQ(seen, (std::vector<Wake>{{12, WakeKind::queued, pool}}));
  fill();
}

// Within a millisecond a new stream has the places of the old one.
TEST_F(RedisFailures, PlacesThatComeAgainHideNothing) {
  auto reader = must(queue.reader("s1"));
  const auto add = [&](const char* place, const char* seq) {
    server.run({"XADD", "berth:wake", place, "seq", seq, "kind", "queued", "cluster", pool.str()});
  };
  const auto wake = [&](std::int64_t seq) { return Wake{seq, WakeKind::queued, pool}; };
  add("1000-5", "11");
  EXPECT_EQ(wakes_of(*reader, 1), (std::vector{wake(11)}));
  server.run({"FLUSHALL"});
  add("1000-0", "12");
  add("1000-5", "13");
  add("1001-0", "14");
  EXPECT_EQ(wakes_of(*reader, 3), (std::vector{wake(12), wake(13), wake(14)}));

  server.run({"XGROUP", "DESTROY", "berth:wake", "s1"});  // and only that
  add("1001-1", "15");
  EXPECT_EQ(wakes_of(*reader, 1), (std::vector{wake(15)}));
}

TEST_F(RedisFailures, ForgottenScriptsAreLoadedAgain) {
  fill();
  server.run({"SCRIPT", "FLUSH"});
  must(queue.publish(std::vector{leaves(11, pool, a.id)}));
  EXPECT_EQ(must(queue.content(pool)), (QueueContent{11, {}, {b}}));
  server.run({"SCRIPT", "FLUSH"});
  EXPECT_EQ(must(queue.marks(std::vector{pool})), (std::vector<QueueMark>{{11, 0, 1}}));
  server.run({"SCRIPT", "FLUSH"});
  must(queue.rebuild(pool, {}, 12));
}

TEST_F(RedisFailures, AMissingKeyShows) {
  for (const auto* part : {"state", "high", "low", "demand"}) {
    fill();
    server.run({"DEL", key(part)});
    expect_absent(part);
    must(queue.publish(std::vector{enters(11, pool, names.entry(Priority::high, 3))}));
    must(queue.publish(std::vector{enters(12, pool, names.entry(Priority::low, 4))}));
    expect_absent(std::string(part) + ", and then changes");
  }
  fill();
}

TEST_F(RedisFailures, WhatOthersPutUnderOurNamesShowsAndIsReplaced) {
  const std::vector<std::vector<std::string>> intrusions{
      {"SET", key("state"), "x"},
      {"SET", key("high"), "x"},
      {"SET", key("low"), "x"},
      {"SET", key("demand"), "x"},
      {"HSET", key("state"), "seq", "many"},
      {"HSET", key("state"), "high", "2"},
      {"HDEL", key("state"), "low"},
      {"ZADD", key("high"), "5", "somebody"},
      {"HSET", key("demand"), "somebody", "cpu=1 memory=1 gpu=1"}};
  for (const auto& words : intrusions) {
    fill();
    redis::Connection connection(server.options());
    redis::Pipeline commands;
    commands.add(std::vector<std::string_view>(words.begin(), words.end()));
    ASSERT_NE(must(connection.exchange(commands)).front()->type, REDIS_REPLY_ERROR);
    expect_absent(words[0] + " " + words[1] + " " + words[2]);
    must(queue.publish(std::vector{enters(11, pool, names.entry(Priority::low, 3))}));
    expect_absent(words[0] + " " + words[1] + " " + words[2] + ", and then a change");
  }
  // These keep the numbers as they are; only who reads everything can see them.
  for (const auto& demand : {"", "cpu=1 memory=1", "cpu=1 memory=x gpu=1", "cpu=-1 memory=1 gpu=1",
                             "cpu=1 memory=1 gpu=1 disk=1"}) {
    fill();
    server.run({"HSET", key("demand"), a.id.str(), demand});
    EXPECT_EQ(must(queue.content(pool)), QueueContent{}) << demand;
  }
  fill();
  server.run({"ZADD", key("high"), "1.5", a.id.str()});
  EXPECT_EQ(must(queue.content(pool)), QueueContent{});
  fill();
}

TEST_F(RedisFailures, SharedKeysOfAnotherKindAreReplaced) {
  server.run({"SET", "berth:wake", "x"});
  server.run({"SET", "berth:clusters", "x"});
  EXPECT_TRUE(must(queue.clusters()).empty());
  fill();
  must(queue.publish(a_wake(11)));
  server.run({"SET", "berth:wake", "x"});
  auto reader = must(queue.reader("s1"));
  server.run({"SET", "berth:wake", "x"});
  EXPECT_TRUE(must(reader->wait(milliseconds(0))).empty());
  must(queue.publish(a_wake(12)));
  server.run({"XADD", "berth:wake", "*", "what", "ever"});
  server.run({"XADD", "berth:wake", "*", "seq", "1", "kind", "odd", "cluster", pool.str()});
  must(queue.publish(a_wake(13)));
  EXPECT_EQ(wakes_of(*reader, 2),
            (std::vector<Wake>{{12, WakeKind::released, pool}, {13, WakeKind::released, pool}}));
  server.run({"SET", "berth:clusters", "x"});
  must(queue.remove(pool));
}

TEST_F(RedisFailures, ConnectionsThatTheServerClosedAreOpenedAgain) {
  fill();
  auto reader = must(queue.reader("s1"));
  auto nudges = must(queue.nudges());
  server.run({"CLIENT", "KILL", "TYPE", "normal"});
  server.run({"CLIENT", "KILL", "TYPE", "pubsub"});
  EXPECT_EQ(must(queue.content(pool)), whole);
  must(queue.publish(a_wake(11)));
  EXPECT_EQ(wakes_of(*reader, 1), (std::vector<Wake>{{11, WakeKind::released, pool}}));
  expect_unavailable(nudges->wait(milliseconds(1000)));
  EXPECT_TRUE(must(nudges->wait(milliseconds(0))));
}

// What the server counts as delivered may have been lost on the way to us.
TEST_F(RedisFailures, WakesThatNeverArrivedComeAgain) {
  auto reader = must(queue.reader("s1"));
  must(queue.publish(a_wake(11)));
  server.run({"XREADGROUP", "GROUP", "s1", "reader", "STREAMS", "berth:wake", ">"});
  server.run({"CLIENT", "KILL", "TYPE", "normal"});
  must(queue.publish(a_wake(12)));
  EXPECT_EQ(wakes_of(*reader, 2).size(), 2U);
  EXPECT_TRUE(server.run({"XPENDING", "berth:wake", "s1"}).starts_with("0 "));
}

TEST_F(RedisFailures, AFrozenServerIsGivenUpAndComesBack) {
  fill();
  auto reader = must(queue.reader("s1"));
  server.freeze();
  const auto began = std::chrono::steady_clock::now();
  std::vector<std::future<Result<void>>> callers;
  for (int i = 0; i < 4; ++i) {
    callers.push_back(std::async(std::launch::async, [&] { return queue.publish(a_wake(11)); }));
  }
  for (auto& caller : callers) expect_unavailable(caller.get());
  expect_unavailable(reader->wait(milliseconds(100)));
  expect_unavailable(queue.content(pool));
  // Five calls of two seconds each, some of them at the same time; without a bound it is for ever.
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(30));
  server.thaw();
  const auto back = must(queue.content(pool));
  EXPECT_EQ(back.high, whole.high);
  must(queue.publish(a_wake(12)));
  EXPECT_EQ(wakes_of(*reader, 1).back().cluster, pool);
}

// After a failover the old primary refuses to be written; the next call looks for the new one.
TEST_F(RedisFailures, AServerThatIsNoPrimaryAnyMoreIsLeft) {
  fill();
  auto reader = must(queue.reader("s1"));
  server.run({"REPLICAOF", "127.0.0.1", "1"});
  expect_unavailable(queue.publish(a_wake(11)));
  expect_unavailable(reader->wait(milliseconds(10)));
  const auto connected = server.run({"INFO", "clients"});
  EXPECT_EQ(redis::info_value(connected, "connected_clients"), "1") << "nobody but who asks this";
  server.run({"REPLICAOF", "NO", "ONE"});
  must(queue.publish(a_wake(12)));
  EXPECT_EQ(wakes_of(*reader, 1), (std::vector<Wake>{{12, WakeKind::released, pool}}));
}

// Every key may vanish at every moment; what can be read is right nevertheless.
TEST_F(RedisFailures, AServerThatEvictsIsNeverWrongAndHeals) {
  server.run({"CONFIG", "SET", "maxmemory-policy", "allkeys-random"});
  server.run({"CONFIG", "SET", "maxmemory", "2mb"});
  std::vector<ClusterId> clusters;
  std::map<ClusterId, QueueContent> truth;
  std::int64_t seq = 0;
  for (int i = 0; i < 12; ++i) {
    clusters.push_back(names.cluster());
    QueueContent& content = truth[clusters.back()];
    for (std::uint64_t n = 0; n < 300; ++n) content.low.push_back(names.entry(Priority::low, n));
    content.high.push_back(names.entry(Priority::high, 1));
  }
  int absent = 0;
  for (int round = 0; round < 30; ++round) {
    for (const auto& cluster : clusters) {
      QueueContent& content = truth[cluster];
      content.seq = ++seq;
      if (round % 3 == 0) {
        auto all = content.high;
        all.insert(all.end(), content.low.begin(), content.low.end());
        (void)queue.rebuild(cluster, all, seq);  // may find no room
      } else if (!content.low.empty()) {
        const auto gone = content.low.front().id;
        content.low.erase(content.low.begin());
        must(queue.publish(std::vector{leaves(seq, cluster, gone)}));
      }
    }
    for (const auto& cluster : clusters) {
      const auto content = must(queue.content(cluster));
      absent += content.seq ? 0 : 1;
      if (content.seq == truth[cluster].seq) EXPECT_EQ(content, truth[cluster]);
    }
  }
  EXPECT_GT(absent, 0);
  const auto evicted = redis::info_value(server.run({"INFO", "stats"}), "evicted_keys");
  EXPECT_GT(std::stoi(evicted), 0) << "nothing was evicted: the test shows nothing";

  server.run({"CONFIG", "SET", "maxmemory", "0"});
  for (const auto& cluster : clusters) {
    QueueContent& content = truth[cluster];
    content.seq = ++seq;
    auto all = content.high;
    all.insert(all.end(), content.low.begin(), content.low.end());
    must(queue.rebuild(cluster, all, seq));
    EXPECT_EQ(must(queue.content(cluster)), content);
  }
}

// The old queue stands until the new one is complete, and what is left over goes by itself.
TEST_F(RedisFailures, ARebuildWithoutRoomChangesNothing) {
  fill();
  server.run({"CONFIG", "SET", "maxmemory", "4mb"});
  std::vector<WaitingEntry> many;
  for (std::uint64_t i = 0; i < 60'000; ++i) many.push_back(names.entry(Priority::low, i));
  expect_unavailable(queue.rebuild(pool, many, 11));
  EXPECT_EQ(must(queue.content(pool)), whole);
  EXPECT_EQ(server.run({"EVAL",
                        "local n = 0 for _, k in ipairs(redis.call('KEYS', '*:new-*')) do "
                        "if redis.call('TTL', k) < 1 then n = n + 1 end end return n",
                        "0"}),
            "0");
  server.run({"CONFIG", "SET", "maxmemory", "0"});
  must(queue.rebuild(pool, many, 12));
  EXPECT_EQ(must(queue.marks(std::vector{pool})), (std::vector<QueueMark>{{12, 0, 60'000}}));
}

}  // namespace
}  // namespace berth::test
