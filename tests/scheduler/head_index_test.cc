// The index over the heads of rows, against a scan.
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>
#include <tuple>

#include "scheduler/head_index.h"
#include "scheduler/node_table.h"
#include "support.h"

namespace berth {
namespace {

struct PlainHead {
  Resources demand;
  std::uint64_t order = 0;
};

HeadIndex::Head plain_first_fit(const std::map<std::uint32_t, PlainHead>& heads,
                                const Resources& room) {
  HeadIndex::Head best;
  for (const auto& [row, head] : heads) {
    if (fits_into(head.demand, room) && head.order < best.order) best = {head.order, row};
  }
  return best;
}

// `values` per resource: few make many demands alike in one resource, which is hard to halve.
void compare_heads(std::uint64_t seed, std::uint64_t values, std::uint32_t rows, int steps) {
  std::mt19937_64 random(seed);
  HeadIndex index;
  std::map<std::uint32_t, PlainHead> plain;
  std::vector<Resources> demands;  // of a row, always the same
  std::set<std::tuple<std::int64_t, std::int64_t, std::int64_t>> seen;
  const auto amount = [&] { return static_cast<std::int64_t>(random() % values); };
  while (demands.size() < rows) {
    const Resources demand{amount(), amount(), random() % 3 == 0 ? amount() : 0};
    if (seen.emplace(demand.cpu_milli, demand.memory_bytes, demand.gpu_milli).second) {
      demands.push_back(demand);
    }
  }
  for (int step = 0; step < steps; ++step) {
    const auto row = static_cast<std::uint32_t>(random() % rows);
    const bool growing = (step / (4 * static_cast<int>(rows))) % 2 == 0;
    if (random() % 4 < (growing ? 3 : 1)) {
      const std::uint64_t order = random() % 1'000'000 * rows + row;
      index.set(0, row, demands[row], order);
      plain[row] = {demands[row], order};
    } else {
      index.clear(row);
      plain.erase(row);
    }
    ASSERT_EQ(index.size(0), plain.size());
    const Resources room{amount(), amount(), amount()};
    HeadIndex::Head found;
    index.first_fit(0, room, found);
    const HeadIndex::Head expected = plain_first_fit(plain, room);
    ASSERT_EQ(found.order, expected.order) << "step " << step;
    if (found.order != HeadIndex::kNever) {
      ASSERT_EQ(found.row, expected.row);
    }
    if (step % 64 != 0) continue;
    index.check();
    std::vector<std::uint32_t> all;
    index.collect(0, room, all);
    std::ranges::sort(all);
    std::vector<std::uint32_t> expected_all;
    for (const auto& [r, head] : plain) {
      if (fits_into(head.demand, room)) expected_all.push_back(r);
    }
    ASSERT_EQ(all, expected_all);
  }
}

TEST(HeadIndex, FindsWhatAScanFinds) {
  for (std::uint64_t seed = 0; seed < 5; ++seed) {
    compare_heads(seed, 12, 60, 3'000);
    compare_heads(seed, 12, 400, 8'000);
    compare_heads(seed, 1'000'000, 1'500, 20'000);
  }
}

// Rows can differ in what else they ask for: nodes with certain labels, replicas.
TEST(HeadIndex, ManyRowsMayAskForTheSame) {
  for (const std::uint32_t others : {0U, 5U, 100U}) {
    HeadIndex index;
    constexpr std::uint32_t kRows = 3'000;
    for (std::uint32_t row = 0; row < kRows; ++row) {
      index.set(0, row, row % 300 < others ? res(2 + row % 7, 1 + row) : res(2), kRows - row);
    }
    index.check();
    std::vector<std::uint32_t> all;
    index.collect(0, res(2), all);
    EXPECT_EQ(all.size(), (300 - others) * 10);
    for (std::uint32_t row = kRows; row-- > 2'000;) {
      HeadIndex::Head found;
      index.first_fit(0, res(2), found);
      ASSERT_GE(found.row % 300, others);
      ASSERT_EQ(found.order, kRows - found.row);
      index.clear(found.row);
    }
    index.check();
  }
}

TEST(HeadIndex, LeavesGrowAndShrinkInSmallSteps) {
  HeadIndex index;
  std::mt19937_64 random(3);
  for (std::uint32_t row = 0; row < 20'000; ++row) {
    index.set(0, row, res(static_cast<std::int64_t>(random() % 1'000'000), 1), row);
  }
  EXPECT_LT(index.memory_bytes(), 20'000 * 44);  // 28 are the demand, the order and the row
  for (std::uint32_t row = 0; row < 20'000; ++row) {
    if (row % 4 != 0) index.clear(row);
  }
  index.check();
  EXPECT_LT(index.memory_bytes(), 20'000 * 44 / 2);
  const HeadIndex copy = index;
  index.clear(0);
  copy.check();
  EXPECT_EQ(copy.order_of(0), 0U);
  EXPECT_EQ(copy.size(0), 5'000U);
  EXPECT_EQ(index.size(0), 4'999U);
}

// CPU and GPU have four bytes in the leaves, which is not enough for these.
TEST(HeadIndex, VeryLargeDemandsAreComparedExactly) {
  constexpr std::int64_t kLarge = 0xFFFF'FFFF;
  HeadIndex index;
  std::map<std::uint32_t, PlainHead> plain;
  for (std::uint32_t row = 0; row < 400; ++row) {
    const std::int64_t by = static_cast<std::int64_t>(row % 20) - 10;
    const Resources demand{row % 3 == 0 ? 5 + row : kLarge + by, row,
                           row % 3 == 1 ? 0 : kLarge + by};
    index.set(0, row, demand, 1'000 - row);
    plain[row] = {demand, 1'000 - row};
  }
  const auto compare = [&] {
    index.check();
    for (std::int64_t by = -12; by < 12; ++by) {
      for (const Resources room :
           {Resources{kLarge + by, 500, kLarge}, Resources{500, 500, kLarge + by},
            Resources{kLarge + by, 300, kLarge - by}, Resources{600, 200, 0}}) {
        HeadIndex::Head found;
        index.first_fit(0, room, found);
        ASSERT_EQ(found.order, plain_first_fit(plain, room).order);
        std::vector<std::uint32_t> all;
        index.collect(0, room, all);
        ASSERT_EQ(all.size(), std::ranges::count_if(plain, [&](const auto& one) {
                    return fits_into(one.second.demand, room);
                  }));
      }
    }
  };
  compare();
  for (std::uint32_t row = 0; row < 400; row += 2) {
    index.clear(row);
    plain.erase(row);
  }
  compare();
}

TEST(HeadIndex, LanesAreApart) {
  HeadIndex index;
  for (std::uint32_t row = 0; row < 1'000; ++row) {
    index.set(row % 3 * 2, row, res(1 + row % 50, row), 2'000 - row);
  }
  index.check();
  for (std::uint32_t lane = 0; lane < 6; ++lane) {
    std::vector<std::uint32_t> all;
    index.collect(lane, res(50, 1'000), all);
    EXPECT_EQ(all.size(), index.size(lane));
    EXPECT_EQ(all.size(), lane % 2 == 1 ? 0U : lane == 0 ? 334U : 333U);
    for (const std::uint32_t row : all) EXPECT_EQ(row % 3 * 2, lane);
    HeadIndex::Head first;
    index.first_fit(lane, res(50, 1'000), first);
    EXPECT_EQ(first.row, lane % 2 == 1 ? 0U : lane == 0 ? 999U : lane == 2 ? 997U : 998U);
  }
  for (std::uint32_t row = 0; row < 1'000; ++row) {
    if (row % 3 == 1) index.clear(row);
  }
  index.check();
  EXPECT_EQ(index.size(0), 334U);
  EXPECT_EQ(index.size(2), 0U);
  EXPECT_EQ(index.size(9), 0U);
}

TEST(HeadIndex, AnEarlierBestIsKept) {
  HeadIndex index;
  index.set(0, 3, res(1), 10);
  HeadIndex::Head best{.order = 7, .row = 99};
  index.first_fit(0, res(4), best);
  EXPECT_EQ(best.row, 99U);
  index.set(0, 3, res(1), 6);
  index.first_fit(0, res(4), best);
  EXPECT_EQ(best.row, 3U);
  EXPECT_EQ(best.order, 6U);
}

}  // namespace
}  // namespace berth
