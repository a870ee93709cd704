#include "queue/memory/memory_queue.h"

#include "queue_contract.h"

namespace berth::test {
namespace {

struct MemoryFixture {
  WorkQueue& queue() { return one; }
  WorkQueue& other() { return one; }
  memory::MemoryQueue one;
};

INSTANTIATE_TYPED_TEST_SUITE_P(Memory, QueueContract, MemoryFixture);

TEST(MemoryQueue, OldWakesAreNotKeptForSlowReaders) {
  memory::MemoryQueue queue;
  QueueNames names;
  const auto pool = names.cluster();
  auto slow = must(queue.reader("slow"));
  std::vector<QueueChange> changes(100'001, {0, pool, WakeKind::changed, {}, {}});
  for (std::size_t i = 0; i < changes.size(); ++i) changes[i].seq = static_cast<std::int64_t>(i);
  must(queue.publish(changes));
  const auto got = must(slow->wait(milliseconds(0)));
  ASSERT_EQ(got.size(), 100'000U);
  EXPECT_EQ(got.front().seq, 1);
  EXPECT_EQ(got.back().seq, 100'000);
}

TEST(MemoryQueue, ReadersMayOutliveIt) {
  auto queue = std::make_unique<memory::MemoryQueue>();
  auto wakes = must(queue->reader("s1"));
  auto nudges = must(queue->nudges());
  queue.reset();
  EXPECT_TRUE(must(wakes->wait(milliseconds(1))).empty());
  EXPECT_FALSE(must(nudges->wait(milliseconds(1))));
}

}  // namespace
}  // namespace berth::test
