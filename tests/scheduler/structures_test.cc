// The data structures that carry the queues, against the standard library's.
#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <random>
#include <set>

#include "scheduler/chunked.h"
#include "scheduler/node_search.h"
#include "scheduler/node_table.h"
#include "scheduler/ordered_sequence.h"
#include "scheduler/slot_index.h"
#include "scheduler/waiting_queues.h"
#include "support.h"

namespace berth {
namespace {

using Model = std::map<std::uint64_t, std::uint32_t>;

void expect_equal(const OrderedSequence& sequence, const Model& model) {
  sequence.check();
  ASSERT_EQ(sequence.size(), model.size());
  std::size_t rank = 0;
  auto it = model.begin();
  while (rank < sequence.size()) {
    const auto run = sequence.run(rank);
    ASSERT_FALSE(run.keys.empty());
    for (std::size_t i = 0; i < run.keys.size(); ++i, ++rank, ++it) {
      ASSERT_EQ(run.keys[i], it->first);
      ASSERT_EQ(run.values[i], it->second);
    }
  }
  EXPECT_TRUE(sequence.run(rank).keys.empty());
  if (!model.empty()) {
    EXPECT_EQ(sequence.first(),
              (OrderedSequence::Item{model.begin()->first, model.begin()->second}));
  }
}

// Grows to about `size`, then shrinks to nothing, several times over.
void grow_and_shrink(std::uint64_t seed, std::uint64_t keys, std::size_t size) {
  std::mt19937_64 random(seed);
  OrderedSequence sequence;
  Model model;
  bool growing = true;
  for (std::size_t step = 0; step < size * 8; ++step) {
    if (model.size() > size) growing = false;
    if (model.empty()) growing = true;
    const std::uint64_t key = random() % keys;
    if ((random() % 8 < 6) == growing) {
      const auto value = static_cast<std::uint32_t>(random());
      ASSERT_EQ(sequence.insert(key, value), model.emplace(key, value).second);
    } else {
      auto it = model.lower_bound(key);
      if (it == model.end()) it = model.begin();
      if (it == model.end()) continue;
      ASSERT_TRUE(sequence.erase(it->first));
      ASSERT_FALSE(sequence.erase(it->first));
      model.erase(it);
    }
    ASSERT_EQ(sequence.rank(key),
              static_cast<std::size_t>(std::distance(model.begin(), model.lower_bound(key))));
    if (step % (size / 4 + 1) == 0) expect_equal(sequence, model);
  }
  OrderedSequence copy = sequence;
  sequence = OrderedSequence();
  expect_equal(copy, model);
}

TEST(OrderedSequence, BehavesLikeAMapOnRandomKeys) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    grow_and_shrink(seed, 400, 150);
    grow_and_shrink(seed, 1'000'000, 600);
  }
  grow_and_shrink(99, 1'000'000, 4'000);
}

TEST(OrderedSequence, KeysInOrderFillTheirLeaves) {
  OrderedSequence sequence;
  constexpr std::uint32_t kCount = 200'000;
  for (std::uint32_t i = 0; i < kCount; ++i) ASSERT_TRUE(sequence.insert(i, i));
  sequence.check();
  EXPECT_LT(sequence.memory_bytes(), kCount * 13);  // 12 bytes are the key and the value
  for (std::uint32_t rank : {0U, 1U, 63U, 64U, 4'095U, 100'000U, kCount - 1}) {
    EXPECT_EQ(sequence.run(rank).keys[0], rank);
    EXPECT_EQ(sequence.rank(rank), rank);
  }
  EXPECT_EQ(sequence.rank(kCount + 5), kCount);
  for (std::uint32_t i = 0; i < kCount; ++i) {
    ASSERT_EQ(sequence.first().key, i);
    ASSERT_TRUE(sequence.erase(i));
  }
  EXPECT_EQ(sequence.memory_bytes(), 0U);
}

TEST(OrderedSequence, ThinnedOutEverywhereGivesMemoryBack) {
  OrderedSequence sequence;
  constexpr std::uint32_t kCount = 64'000;
  for (std::uint32_t i = 0; i < kCount; ++i) ASSERT_TRUE(sequence.insert(i, i));
  for (std::uint32_t i = 0; i < kCount; ++i) {
    if (i % 64 != 0) {
      ASSERT_TRUE(sequence.erase(i));
    }
  }
  sequence.check();
  EXPECT_EQ(sequence.size(), kCount / 64);
  EXPECT_LT(sequence.memory_bytes(), sequence.size() * 30);
}

TEST(OrderedSequence, OneItemNeedsNoMemoryOfItsOwn) {
  OrderedSequence sequence;
  sequence.prefetch(7);
  EXPECT_EQ(sequence.rank(8), 0U);
  EXPECT_FALSE(sequence.erase(0));  // what an unused place might look like
  ASSERT_TRUE(sequence.insert(7, 1));
  EXPECT_EQ(sequence.memory_bytes(), 0U);
  EXPECT_FALSE(sequence.insert(7, 2));
  EXPECT_EQ(sequence.first(), (OrderedSequence::Item{7, 1}));
  sequence.prefetch(7);
  EXPECT_EQ(sequence.rank(7), 0U);
  EXPECT_EQ(sequence.rank(8), 1U);
  ASSERT_EQ(sequence.run(0).keys.size(), 1U);
  EXPECT_EQ(sequence.run(0).keys[0], 7U);
  EXPECT_EQ(sequence.run(0).values[0], 1U);
  EXPECT_TRUE(sequence.run(1).keys.empty());
  EXPECT_FALSE(sequence.erase(6));
  ASSERT_TRUE(sequence.erase(7));
  EXPECT_TRUE(sequence.empty());
  EXPECT_FALSE(sequence.erase(7));
  EXPECT_TRUE(sequence.run(0).keys.empty());
}

TEST(OrderedSequence, FromOneItemToTwoAndBack) {
  for (const std::uint64_t second :
       {std::uint64_t{3}, std::uint64_t{9}}) {  // before and behind the first
    for (const std::uint64_t gone : {std::uint64_t{7}, second}) {
      OrderedSequence sequence;
      Model model{{7, 1}, {second, 2}};
      ASSERT_TRUE(sequence.insert(7, 1));
      ASSERT_TRUE(sequence.insert(second, 2));
      EXPECT_FALSE(sequence.insert(7, 3));
      expect_equal(sequence, model);
      EXPECT_LE(sequence.memory_bytes(), 40U);
      EXPECT_FALSE(sequence.erase(8));
      ASSERT_TRUE(sequence.erase(gone));
      model.erase(gone);
      expect_equal(sequence, model);
      EXPECT_EQ(sequence.memory_bytes(), 0U);
      ASSERT_TRUE(sequence.erase(model.begin()->first));
      expect_equal(sequence, {});
    }
  }
}

TEST(OrderedSequence, AnyNumberOfItemsIsCopiedAndMoved) {
  for (std::uint32_t count : {0U, 1U, 2U, 3U, 4U, 63U, 64U, 1'000U}) {
    OrderedSequence sequence;
    Model model;
    for (std::uint32_t i = 0; i < count; ++i) {
      ASSERT_TRUE(sequence.insert(i + 5, i));
      model.emplace(i + 5, i);
    }
    OrderedSequence copy = sequence;
    ASSERT_TRUE(copy.insert(2, 2));  // of its own
    expect_equal(sequence, model);
    OrderedSequence moved = std::move(sequence);
    expect_equal(moved, model);
    OrderedSequence other;
    ASSERT_TRUE(other.insert(1, 1));
    other = std::move(moved);
    expect_equal(other, model);
    other = OrderedSequence();
    expect_equal(other, {});
    model.emplace(2, 2);
    expect_equal(copy, model);
  }
}

TEST(OrderedSequence, AShortOneBecomesSmallAgain) {
  OrderedSequence sequence;
  for (std::uint32_t i = 0; i < 63; ++i) {
    ASSERT_TRUE(sequence.insert(i, i));
    EXPECT_LE(sequence.memory_bytes(), 4 + 12 * (i + 17));
  }
  for (std::uint32_t i = 0; i < 60; ++i) ASSERT_TRUE(sequence.erase(i));
  sequence.check();
  EXPECT_LE(sequence.memory_bytes(), 4U + 12 * 7);  // three items
  EXPECT_EQ(sequence.first(), (OrderedSequence::Item{60, 60}));
}

TEST(OrderedSequence, KeysFromTheBackAndExtremes) {
  OrderedSequence sequence;
  Model model;
  for (std::uint32_t i = 5'000; i > 0; --i) {
    ASSERT_TRUE(sequence.insert(i, i));
    model.emplace(i, i);
  }
  for (const std::uint64_t key : {std::uint64_t{0}, ~std::uint64_t{0}}) {
    ASSERT_TRUE(sequence.insert(key, 1));
    model.emplace(key, 1);
  }
  expect_equal(sequence, model);
}

TEST(SlotIndex, HasLittleRoomToSpareAndKeysThatMove) {
  SlotIndex index;
  EXPECT_EQ(index.find(5, [](std::uint32_t) { return true; }), SlotIndex::kNone);
  constexpr std::uint32_t kCount = 50'000;
  const auto hash_of = [](std::uint32_t key) { return mix(key + 1); };
  for (std::uint32_t key = 0; key < kCount; ++key) {
    index.insert(hash_of(key), key);
    if (key >= 100) {
      ASSERT_LT(index.memory_bytes(), key * 16);
    }
  }
  index.check();
  EXPECT_LT(index.memory_bytes(), kCount * 13);  // eight of them are the cell
  for (std::uint32_t key = 0; key < kCount; ++key) index.move(hash_of(key), key, key + kCount);
  index.check();
  for (std::uint32_t key = 0; key < kCount; ++key) {
    const auto is_it = [&](std::uint32_t slot) { return slot == key + kCount; };
    ASSERT_EQ(index.find(hash_of(key), is_it), key + kCount);
    if (key % 2 == 0) index.erase(hash_of(key), key + kCount);
  }
  index.check();
  EXPECT_EQ(index.size(), kCount / 2);
}

// All hashes that come last of all share the last home, so their cells lie behind it.
TEST(SlotIndex, CellsMayLieBehindTheLastHome) {
  SlotIndex index;
  constexpr std::uint64_t kLast = ~std::uint64_t{0};
  for (std::uint32_t slot = 0; slot < 100; ++slot) {
    index.insert(slot % 2 == 0 ? kLast : mix(slot), slot);
    index.check();
  }
  for (std::uint32_t slot = 0; slot < 100; slot += 2) {
    ASSERT_EQ(index.find(kLast, [&](std::uint32_t other) { return other == slot; }), slot);
    ASSERT_EQ(index.find(kLast, [](std::uint32_t other) { return other >= 100; }),
              SlotIndex::kNone);
  }
  for (std::uint32_t slot = 0; slot < 100; ++slot) {
    index.erase(slot % 2 == 0 ? kLast : mix(slot), slot);
    index.check();
  }
  EXPECT_EQ(index.size(), 0U);
}

TEST(Chunked, GrowsInSmallStepsAndCopies) {
  Chunked<std::uint32_t, 64, 4> table;
  for (std::uint32_t i = 0; i < 1'000; ++i) {
    table.emplace_back() = i;
    ASSERT_EQ(table.size(), i + 1);
    if (i % 37 != 0) continue;
    Chunked<std::uint32_t, 64, 4> copy = table;
    copy.emplace_back() = 7;
    for (std::uint32_t j = 0; j <= i; ++j) {
      ASSERT_EQ(table[j], j);
      ASSERT_EQ(copy[j], j);
    }
    ASSERT_EQ(copy[i + 1], 7U);
    table = std::move(copy);
    table[i] = i;
    table = [&] {
      Chunked<std::uint32_t, 64, 4> again;
      for (std::uint32_t j = 0; j <= i; ++j) again.emplace_back() = j;
      return again;
    }();
  }
  EXPECT_LT(table.memory_bytes(), 1'000 * 5);
}

TEST(SlotIndex, BehavesLikeASetUnderCollisions) {
  for (const std::uint64_t different_hashes : {3ULL, 50ULL, 1'000'000ULL}) {
    std::mt19937_64 random(different_hashes);
    std::vector<std::uint64_t> keys(600);
    for (std::uint64_t& key : keys) key = random();
    const auto hash_of = [&](std::uint32_t slot) {
      return mix(keys[slot] % different_hashes) | (keys[slot] % different_hashes) << 60;
    };
    SlotIndex index;
    std::set<std::uint32_t> model;
    for (int step = 0; step < 20'000; ++step) {
      const auto slot = static_cast<std::uint32_t>(random() % keys.size());
      const auto is_it = [&](std::uint32_t other) { return other == slot; };
      ASSERT_EQ(index.find(hash_of(slot), is_it) == slot, model.contains(slot));
      if (model.contains(slot)) {
        index.erase(hash_of(slot), slot);
        model.erase(slot);
      } else {
        index.insert(hash_of(slot), slot);
        model.insert(slot);
      }
      ASSERT_EQ(index.size(), model.size());
      if (step % 50 == 0) index.check();
    }
  }
}

// --- who waits ---------------------------------------------------------------------------------

TEST(WaitingQueues, AnyRunTimeIsKept) {
  constexpr EngineTime kSevenWeeks = 0xFFFF'FFFF;  // what an entry has no room for any more
  const std::vector<EngineTime> times{
      0, 1, kSevenWeeks - 1, kSevenWeeks, kSevenWeeks + 1, std::numeric_limits<EngineTime>::max()};
  WaitingQueues waiting;
  for (int round = 0; round < 2; ++round) {  // the second time in the places of the first
    for (std::uint64_t i = 0; i < times.size(); ++i) {
      Queued entry = queued(i + 1, Priority::low, res(1));
      entry.max_run = times[times.size() - 1 - i];
      waiting.add(entry, {.demand = res(1)}, true);
    }
    waiting.check();
    waiting.change_priority(waiting.find(dep(3)), Priority::high);
    WaitingQueues copy = waiting;
    for (std::uint64_t i = 0; i < times.size(); ++i) {
      const EngineTime expected = times[times.size() - 1 - i];
      EXPECT_EQ(waiting.max_run(waiting.find(dep(i + 1))), expected);
      EXPECT_EQ(copy.max_run(copy.find(dep(i + 1))), expected);
      waiting.remove(waiting.find(dep(i + 1)));
      waiting.check();
    }
    copy.check();
    EXPECT_EQ(waiting.size(), 0U);
    EXPECT_EQ(copy.size(), times.size());
  }
}

// The bytes that one waiting deployment costs, all told.
TEST(WaitingQueues, AreSmall) {
  const auto bytes_each = [](std::uint64_t count, std::uint64_t demands) {
    WaitingQueues waiting;
    for (std::uint64_t i = 0; i < count; ++i) {
      const Shape shape{.demand = res(1, 1 + static_cast<std::int64_t>(mix(i) % demands))};
      waiting.add(queued(i + 1, Priority::low, shape.demand), shape, true);
    }
    waiting.check();
    return waiting.memory_bytes() / count;
  };
  EXPECT_LT(bytes_each(1'000, 150), 115U);
  EXPECT_LT(bytes_each(20'000, 150), 85U);
  EXPECT_LT(bytes_each(20'000, 1'000'000'000), 195U);
}

// --- the order of many nodes --------------------------------------------------------------------

TEST(NodeTable, TheFirstInOrderIsTheBestOfAll) {
  for (std::uint64_t seed = 0; seed < 6; ++seed) {
    std::mt19937_64 random(seed);
    const auto below = [&](std::uint64_t n) { return static_cast<std::int64_t>(random() % n); };
    std::vector<Node> list;
    for (int n = 0; n < 300; ++n) {
      list.push_back(machine("n" + std::to_string(n), 4 + below(28), 8 + below(60), below(9)));
    }
    NodeTable nodes(list);
    std::vector<NodeIndex> everyone(list.size());
    for (NodeIndex n = 0; n < everyone.size(); ++n) everyone[n] = n;
    std::vector<std::pair<Placement, Resources>> taken;
    int placed = 0;
    for (int step = 0; step < 4'000; ++step) {
      Resources demand{below(9) * 500, below(17) * kGiB / 2, 0};
      if (below(3) > 0) demand.gpu_milli = below(2) == 0 ? 1 + below(999) : 1000 * (1 + below(8));
      if (below(8) > 0) nodes.update_order();  // it must be right without, too
      const auto best = nodes.find(demand);
      ASSERT_EQ(best, nodes.find_among(everyone, demand)) << "seed " << seed << " step " << step;
      if (best) {
        nodes.take(*best, demand);
        taken.emplace_back(*best, demand);
        ++placed;
      }
      while (!taken.empty() && below(5) < 2) {
        const auto which = static_cast<std::size_t>(below(taken.size()));
        nodes.give(taken[which].first, taken[which].second);
        taken[which] = taken.back();
        taken.pop_back();
      }
      if (step % 500 == 0) nodes.check();
    }
    EXPECT_GT(placed, 1'000);
  }
}

// --- questions about all nodes ------------------------------------------------------------------

TEST(NodeSearch, TheTreeAnswersAsAScanDoes) {
  std::mt19937_64 random(17);
  const auto below = [&](std::uint64_t n) { return static_cast<std::int64_t>(random() % n); };
  std::size_t fitting = 0;
  for (int round = 0; round < 20; ++round) {
    std::vector<Node> list;
    for (int n = 0; n < 300 + round; ++n) {
      list.push_back(machine("n" + std::to_string(n), 1 + below(round < 10 ? 4 : 64),
                             1 + below(round < 10 ? 4 : 256), below(9)));
    }
    NodeTable nodes(list);
    for (int i = 0; i < 600; ++i) {
      const Resources demand{below(8) * 1'000, below(16) * kGiB,
                             below(2) == 0 ? below(1'000) : below(4) * 1'000};
      if (const auto place = nodes.find(demand)) nodes.take(*place, demand);
    }
    for (int i = 0; i < 10; ++i) nodes.freeze(static_cast<NodeIndex>(random() % nodes.size()));
    const NodeSearch tree(nodes, 1'000);
    const NodeSearch scan(nodes, 1);
    for (int i = 0; i < 400; ++i) {
      const Resources demand{below(40) * 500, below(100) * kGiB,
                             below(2) == 0 ? below(1'000) : below(9) * 1'000};
      ASSERT_EQ(tree.find(demand), nodes.find(demand));
      ASSERT_EQ(tree.nearest(demand), scan.nearest(demand));
      ASSERT_EQ(tree.largest_hole(demand), scan.largest_hole(demand));
      fitting += nodes.find(demand) ? 1 : 0;
    }
  }
  EXPECT_GT(fitting, 500U);
  EXPECT_LT(fitting, 7'500U);
}

TEST(Explain, ManyAtOnceAreTheSameAsOneByOne) {
  std::mt19937_64 random(23);
  std::vector<Node> list;
  for (int n = 0; n < 300; ++n) {
    list.push_back(machine("n" + std::to_string(n), 2 + n % 7, 4 + n % 11, n % 5));
  }
  ClusterEngine engine(Policy::strict, list, false);
  std::vector<DeploymentId> ids{dep(0)};  // nobody
  for (std::uint64_t n = 1; n <= 1'500; ++n) {
    Queued entry = queued(n, random() % 2 == 0 ? Priority::high : Priority::low,
                          res(1 + static_cast<std::int64_t>(random() % 8), 1));
    if (random() % 2 == 0) entry.demand.gpu_milli = random() % 2 == 0 ? 300 : 2'000;
    if (n % 10 == 0) entry.demand.cpu_milli += static_cast<std::int64_t>(n);
    entry.parked = random() % 10 == 0;
    if (engine.apply(entry).empty()) ids.push_back(entry.id);
  }
  ASSERT_GT(ids.size(), 200U);
  const auto together = engine.explain(ids);
  ASSERT_EQ(together.size(), ids.size());
  EXPECT_FALSE(together[0]);
  for (std::size_t i = 1; i < ids.size(); ++i) {
    const auto alone = engine.explain(ids[i]);
    ASSERT_TRUE(alone && together[i]);
    ASSERT_EQ(together[i]->all, alone->all);
    ASSERT_EQ(together[i]->position, alone->position);
    ASSERT_EQ(together[i]->nearest_node, alone->nearest_node);
    ASSERT_EQ(together[i]->missing, alone->missing);
    ASSERT_EQ(together[i]->free_there, alone->free_there);
    ASSERT_EQ(together[i]->largest_hole, alone->largest_hole);
    ASSERT_EQ(together[i]->would_fit, alone->would_fit);
    ASSERT_EQ(together[i]->too_large.has_value(), alone->too_large.has_value());
  }
}

}  // namespace
}  // namespace berth
