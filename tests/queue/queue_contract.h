// What every adapter of the queue port must do. A fixture has queue(), a WorkQueue with nothing
// in it, and other(), the same queues as another process has them.
#pragma once
#include <future>
#include <set>
#include <thread>

#include "support.h"

namespace berth::test {

template <class Fixture>
class QueueContract : public ::testing::Test {
 protected:
  Fixture world;
  QueueNames names;
  WorkQueue& queue = world.queue();
  const ClusterId pool = names.cluster();
};
TYPED_TEST_SUITE_P(QueueContract);

TYPED_TEST_P(QueueContract, WhatWasNeverWrittenIsNotThere) {
  EXPECT_EQ(must(this->queue.content(this->pool)), QueueContent{});
  const std::vector<ClusterId> asked{this->pool, this->names.cluster()};
  EXPECT_EQ(must(this->queue.marks(asked)), (std::vector<QueueMark>{{}, {}}));
  EXPECT_EQ(must(this->queue.marks({})), std::vector<QueueMark>{});
  EXPECT_TRUE(must(this->queue.clusters()).empty());
}

TYPED_TEST_P(QueueContract, ARebuiltQueueHasExactlyTheseInOrder) {
  const auto a = this->names.entry(Priority::low, 9, {500, 1 << 30, 250});
  const auto b = this->names.entry(Priority::low, 3, {0, 0, 0});
  const auto c = this->names.entry(Priority::high, kOrderLimit - 1);
  const auto d = this->names.entry(Priority::high, kOrderLimit - 2);
  must(this->queue.rebuild(this->pool, std::vector{a, b, c, d}, 12));
  EXPECT_EQ(must(this->world.other().content(this->pool)), (QueueContent{12, {d, c}, {b, a}}));
  EXPECT_EQ(must(this->queue.marks(std::vector{this->pool})), (std::vector<QueueMark>{{12, 2, 2}}));
  EXPECT_EQ(must(this->queue.clusters()), std::vector{this->pool});

  must(this->queue.rebuild(this->pool, std::vector{a}, 13));
  EXPECT_EQ(must(this->queue.content(this->pool)), (QueueContent{13, {}, {a}}));
  must(this->queue.rebuild(this->pool, {}, 13));
  EXPECT_EQ(must(this->queue.content(this->pool)), (QueueContent{13, {}, {}}));
}

TYPED_TEST_P(QueueContract, ARebuildFromThePastIsIgnored) {
  const auto a = this->names.entry(Priority::low, 1);
  must(this->queue.rebuild(this->pool, std::vector{a}, 20));
  must(this->queue.rebuild(this->pool, {}, 19));
  EXPECT_EQ(must(this->queue.content(this->pool)), (QueueContent{20, {}, {a}}));
  must(this->queue.remove(this->pool));
  must(this->queue.rebuild(this->pool, {}, 19));
  EXPECT_EQ(must(this->queue.content(this->pool)), (QueueContent{19, {}, {}}));
}

TYPED_TEST_P(QueueContract, ChangesAddReplaceAndTakeAway) {
  const auto a = this->names.entry(Priority::low, 1), b = this->names.entry(Priority::low, 2);
  const auto c = this->names.entry(Priority::high, 3);
  must(this->queue.rebuild(this->pool, {}, 5));
  must(this->queue.publish(
      std::vector{enters(6, this->pool, b), enters(7, this->pool, c), enters(8, this->pool, a)}));
  EXPECT_EQ(must(this->queue.content(this->pool)), (QueueContent{8, {c}, {a, b}}));

  auto raised = b;
  raised.priority = Priority::high;
  raised.demand = {1, 2, 3};
  auto renumbered = a;
  renumbered.order = 7;
  must(this->queue.publish(std::vector{enters(9, this->pool, raised), leaves(10, this->pool, c.id),
                                       enters(12, this->pool, renumbered)}));
  EXPECT_EQ(must(this->world.other().content(this->pool)),
            (QueueContent{12, {raised}, {renumbered}}));

  // One out and another in, and one that is not there: nothing to do is fine.
  QueueChange both = enters(13, this->pool, c);
  both.leave = raised.id;
  must(this->queue.publish(std::vector{
      both, leaves(14, this->pool, raised.id), {15, this->pool, WakeKind::changed, {}, {}}}));
  EXPECT_EQ(must(this->queue.content(this->pool)), (QueueContent{15, {c}, {renumbered}}));
  EXPECT_EQ(must(this->queue.marks(std::vector{this->pool})), (std::vector<QueueMark>{{15, 1, 1}}));
}

TYPED_TEST_P(QueueContract, ChangesThatAQueueHasAlreadyAreIgnored) {
  const auto a = this->names.entry(Priority::low, 1), b = this->names.entry(Priority::low, 2);
  const auto other = this->names.cluster();
  must(this->queue.rebuild(this->pool, std::vector{a}, 10));
  must(this->queue.rebuild(other, {}, 3));
  const std::vector changes{leaves(9, this->pool, a.id), leaves(10, this->pool, a.id),
                            enters(4, other, b)};
  for (int twice = 0; twice < 2; ++twice) {
    must(this->queue.publish(changes));
    EXPECT_EQ(must(this->queue.content(this->pool)), (QueueContent{10, {}, {a}}));
    EXPECT_EQ(must(this->queue.content(other)), (QueueContent{4, {}, {b}}));
  }
}

// Somebody who waits must not look like all who wait.
TYPED_TEST_P(QueueContract, ChangesOfAQueueThatIsNotThereMakeNone) {
  auto reader = must(this->queue.reader("s1"));
  const auto a = this->names.entry(Priority::low, 1);
  must(this->queue.publish(std::vector{enters(6, this->pool, a)}));
  EXPECT_EQ(must(this->queue.content(this->pool)), QueueContent{});
  EXPECT_EQ(wakes_of(*reader, 1), (std::vector<Wake>{{6, WakeKind::queued, this->pool}}));
}

// What lies between is lost: the queue is not that of the change's event, nor ever will be.
TYPED_TEST_P(QueueContract, AChangeThatDoesNotFollowTakesTheQueueAway) {
  const auto a = this->names.entry(Priority::low, 1), b = this->names.entry(Priority::low, 2);
  const auto other = this->names.cluster();
  must(this->queue.rebuild(this->pool, std::vector{a}, 10));
  must(this->queue.rebuild(other, std::vector{a}, 10));
  auto follows = enters(14, this->pool, b);
  follows.after = 10;
  must(this->queue.publish(std::vector{follows}));
  EXPECT_EQ(must(this->queue.content(this->pool)), (QueueContent{14, {}, {a, b}}));
  must(this->queue.publish(std::vector{follows}));
  EXPECT_EQ(must(this->queue.content(this->pool)), (QueueContent{14, {}, {a, b}}));

  auto later = leaves(18, this->pool, a.id);
  later.after = 15;
  auto then = leaves(19, this->pool, b.id);
  then.after = 18;
  must(this->queue.publish(std::vector{later, then, leaves(20, other, a.id)}));
  EXPECT_EQ(must(this->queue.content(this->pool)), QueueContent{});
  EXPECT_EQ(must(this->queue.content(other)), (QueueContent{20, {}, {}}));
  must(this->queue.rebuild(this->pool, std::vector{b}, 17));
  EXPECT_EQ(must(this->queue.content(this->pool)), (QueueContent{17, {}, {b}}));
}

TYPED_TEST_P(QueueContract, ARemovedQueueIsGone) {
  const auto a = this->names.entry(Priority::high, 1);
  const auto other = this->names.cluster();
  must(this->queue.rebuild(this->pool, std::vector{a}, 2));
  must(this->queue.rebuild(other, std::vector{a}, 2));
  must(this->queue.remove(this->pool));
  must(this->queue.remove(this->pool));
  EXPECT_EQ(must(this->queue.content(this->pool)), QueueContent{});
  EXPECT_EQ(must(this->queue.clusters()), std::vector{other});
  must(this->queue.publish(std::vector{leaves(7, this->pool, a.id)}));
  EXPECT_EQ(must(this->queue.content(this->pool)), QueueContent{});
}

TYPED_TEST_P(QueueContract, EachReaderSeesEachWakeFromItsBeginningOn) {
  must(this->queue.publish(std::vector{leaves(1, this->pool, {})}));
  auto one = must(this->queue.reader("one"));
  auto two = must(this->world.other().reader("two"));
  must(this->queue.publish(std::vector<QueueChange>{{2, this->pool, WakeKind::queued, {}, {}},
                                                    {3, this->pool, WakeKind::released, {}, {}}}));
  const std::vector<Wake> first{{2, WakeKind::queued, this->pool},
                                {3, WakeKind::released, this->pool}};
  EXPECT_EQ(wakes_of(*one, 2), first);
  EXPECT_EQ(wakes_of(*two, 2), first);
  EXPECT_TRUE(must(one->wait(milliseconds(0))).empty());

  auto again = must(this->queue.reader("one"));  // a new start under an old name
  must(this->queue.publish(std::vector<QueueChange>{{4, this->pool, WakeKind::changed, {}, {}}}));
  const std::vector<Wake> next{{4, WakeKind::changed, this->pool}};
  EXPECT_EQ(wakes_of(*again, 1), next);
  EXPECT_EQ(wakes_of(*two, 1), next);
}

TYPED_TEST_P(QueueContract, ManyWakesComeInOrder) {
  auto reader = must(this->queue.reader("s1"));
  must(this->queue.rebuild(this->pool, {}, 0));
  std::vector<QueueChange> changes;
  std::vector<Wake> expected;
  for (std::int64_t seq = 1; seq <= 4321; ++seq) {
    changes.push_back(
        enters(seq, this->pool, this->names.entry(Priority::low, static_cast<std::uint64_t>(seq))));
    expected.push_back({seq, WakeKind::queued, this->pool});
  }
  must(this->queue.publish(changes));
  EXPECT_EQ(wakes_of(*reader, expected.size()), expected);
  EXPECT_EQ(must(this->queue.marks(std::vector{this->pool})),
            (std::vector<QueueMark>{{4321, 0, 4321}}));
}

TYPED_TEST_P(QueueContract, AWaitingReaderIsWoken) {
  auto reader = must(this->queue.reader("s1"));
  auto waits = std::async(std::launch::async, [&] { return reader->wait(milliseconds(10'000)); });
  must(this->world.other().publish(
      std::vector<QueueChange>{{7, this->pool, WakeKind::released, {}, {}}}));
  EXPECT_EQ(must(waits.get()), (std::vector<Wake>{{7, WakeKind::released, this->pool}}));
}

TYPED_TEST_P(QueueContract, ForgettingTheDeadLeavesTheLiving) {
  auto living = must(this->queue.reader("living"));
  auto dead = must(this->queue.reader("dead"));
  must(this->queue.forget_readers(std::vector<std::string>{"living", "unknown"}));
  must(this->queue.publish(std::vector<QueueChange>{{1, this->pool, WakeKind::queued, {}, {}}}));
  EXPECT_EQ(wakes_of(*living, 1), (std::vector<Wake>{{1, WakeKind::queued, this->pool}}));
  // It was not dead after all: it goes on.
  EXPECT_TRUE(dead->wait(milliseconds(0)));
  must(this->queue.publish(std::vector<QueueChange>{{2, this->pool, WakeKind::queued, {}, {}}}));
  EXPECT_EQ(wakes_of(*dead, 1).back(), (Wake{2, WakeKind::queued, this->pool}));
}

TYPED_TEST_P(QueueContract, ANudgeWakesEverybodyOnce) {
  must(this->queue.nudge());
  auto one = must(this->queue.nudges());
  auto two = must(this->world.other().nudges());
  EXPECT_FALSE(must(one->wait(milliseconds(0)))) << "that was before";
  auto waits = std::async(std::launch::async, [&] { return one->wait(milliseconds(10'000)); });
  must(this->world.other().nudge());
  EXPECT_TRUE(must(waits.get()));
  EXPECT_TRUE(must(two->wait(milliseconds(10'000))));
  EXPECT_FALSE(must(two->wait(milliseconds(20))));
  must(this->queue.nudge());
  EXPECT_TRUE(must(two->wait(milliseconds(10'000)))) << "waiting in vain does no harm";
}

TYPED_TEST_P(QueueContract, TheFirstProposalNamesTheGeneration) {
  EXPECT_EQ(must(this->queue.generation("one")), "one");
  EXPECT_EQ(must(this->world.other().generation("two")), "one");
  EXPECT_EQ(must(this->queue.generation("three")), "one");
}

TYPED_TEST_P(QueueContract, ManyThreadsAtOnceAreServed) {
  std::vector<ClusterId> clusters;
  for (int i = 0; i < 4; ++i) clusters.push_back(this->names.cluster());
  for (const auto& cluster : clusters) must(this->queue.rebuild(cluster, {}, 0));
  std::vector<std::vector<QueueChange>> work(4);
  for (std::size_t t = 0; t < 4; ++t) {
    for (std::int64_t seq = 1; seq <= 100; ++seq) {
      work[t].push_back(enters(seq, clusters[t],
                               this->names.entry(Priority::high, static_cast<std::uint64_t>(seq))));
    }
  }
  std::vector<std::future<Result<void>>> done;
  for (const auto& changes : work) {
    done.push_back(std::async(std::launch::async, [&]() -> Result<void> {
      for (const auto& change : changes) {
        if (auto step = this->queue.publish(std::span(&change, 1)); !step) return step;
      }
      return {};
    }));
  }
  for (auto& each : done) must(each.get());
  EXPECT_EQ(must(this->queue.marks(clusters)), (std::vector<QueueMark>(4, {100, 100, 0})));
}

// A queue is replaced as a whole: whoever looks sees all of the one or all of the other.
TYPED_TEST_P(QueueContract, ReadersNeverSeeHalfOfARebuild) {
  std::vector<WaitingEntry> odd, even;
  for (std::uint64_t i = 0; i < 700; ++i) {
    (i % 2 == 0 ? even : odd).push_back(this->names.entry(Priority::low, i));
  }
  must(this->queue.rebuild(this->pool, even, 1));
  auto writes = std::async(std::launch::async, [&]() -> Result<void> {
    for (std::int64_t seq = 2; seq < 40; ++seq) {
      auto done = this->world.other().rebuild(this->pool, seq % 2 == 0 ? odd : even, seq);
      if (!done) return done;
    }
    return {};
  });
  std::set<std::int64_t> seen;
  while (seen.empty() || *seen.rbegin() != 39) {
    const auto content = must(this->queue.content(this->pool));
    ASSERT_TRUE(content.seq);
    seen.insert(*content.seq);
    ASSERT_EQ(content.low, *content.seq % 2 == 0 ? odd : even) << *content.seq;
    if (content.seq == 1 && writes.wait_for(milliseconds(0)) == std::future_status::ready) break;
  }
  must(writes.get());
}

REGISTER_TYPED_TEST_SUITE_P(QueueContract, TheFirstProposalNamesTheGeneration,
                            WhatWasNeverWrittenIsNotThere, ARebuiltQueueHasExactlyTheseInOrder,
                            ARebuildFromThePastIsIgnored, ChangesAddReplaceAndTakeAway,
                            ChangesThatAQueueHasAlreadyAreIgnored,
                            ChangesOfAQueueThatIsNotThereMakeNone,
                            AChangeThatDoesNotFollowTakesTheQueueAway, ARemovedQueueIsGone,
                            EachReaderSeesEachWakeFromItsBeginningOn, ManyWakesComeInOrder,
                            AWaitingReaderIsWoken, ForgettingTheDeadLeavesTheLiving,
                            ANudgeWakesEverybodyOnce, ManyThreadsAtOnceAreServed,
                            ReadersNeverSeeHalfOfARebuild);

}  // namespace berth::test
