// Policies beyond the strict rules, by hand-made cases, against brute force, and their promises on
// random histories.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "scheduler/victims.h"
#include "support.h"

namespace berth {
namespace {

ClusterEngine engine_with(Rules rules, std::vector<Node> nodes) {
  return {Policy::strict, std::move(nodes), false, std::move(rules)};
}

std::vector<std::pair<std::uint64_t, std::uint64_t>> numbers(const std::vector<Evict>& evictions) {
  std::vector<std::pair<std::uint64_t, std::uint64_t>> out;
  for (const Evict& e : evictions) out.emplace_back(number_of(e.id), number_of(e.for_whom));
  return out;
}
using Pairs = std::vector<std::pair<std::uint64_t, std::uint64_t>>;

// --- the smallest set ---------------------------------------------------------------------------

struct RandomNode {
  std::vector<ActiveEntry> entries;
  std::vector<const ActiveEntry*> pointers;
  NodeRoom room;

  RandomNode(std::mt19937_64& random, std::size_t count) {
    const auto below = [&](std::uint64_t n) { return static_cast<std::int64_t>(random() % n); };
    room = {below(3) * 1000, below(3) * kGiB, std::vector<std::int32_t>(4, 0)};
    for (std::size_t i = 0; i < count; ++i) {
      ActiveEntry entry{dep(i + 1), {below(4) * 1000, below(4) * kGiB, 0}, {0, {}}};
      if (below(2) == 0) {
        const auto milli = static_cast<std::int32_t>(below(2) == 0 ? 1000 : 100 * (1 + below(9)));
        entry.demand.gpu_milli = milli;
        entry.placement.gpus.push_back({static_cast<std::int32_t>(below(4)), milli});
      }
      entries.push_back(entry);
    }
    for (const ActiveEntry& entry : entries) pointers.push_back(&entry);
  }

  [[nodiscard]] bool enough(std::size_t mask, const Resources& demand) const {
    NodeRoom left = room;
    for (std::size_t i = 0; i < entries.size(); ++i) {
      if ((mask >> i & 1) != 0) left.give_back(entries[i]);
    }
    return left.holds(demand);
  }
};

TEST(SmallestSet, IsEnoughAndNoSmallerOneIs) {
  std::mt19937_64 random(11);
  int found = 0;
  int larger_than_three = 0;
  for (int round = 0; round < 4'000; ++round) {
    const RandomNode node(random, 1 + random() % 10);
    const Resources demand{
        static_cast<std::int64_t>(random() % 12) * 1000,
        static_cast<std::int64_t>(random() % 12) * kGiB,
        random() % 2 == 0 ? static_cast<std::int64_t>(random() % 3) * 1000 : 400};
    std::size_t fewest = 99;
    for (std::size_t mask = 0; mask < std::size_t{1} << node.entries.size(); ++mask) {
      const auto size = static_cast<std::size_t>(std::popcount(mask));
      if (size < fewest && node.enough(mask, demand)) fewest = size;
    }
    const auto set = smallest_set(node.room, node.pointers, demand, 99);
    ASSERT_EQ(set.has_value(), fewest != 99);
    if (!set) continue;
    ++found;
    std::size_t mask = 0;
    for (const std::size_t i : *set) mask |= std::size_t{1} << i;
    ASSERT_TRUE(node.enough(mask, demand));
    if (fewest <= 3) {
      ASSERT_EQ(set->size(), fewest);
    } else {
      ++larger_than_three;
    }
    for (const std::size_t i : *set) {
      ASSERT_FALSE(node.enough(mask & ~(std::size_t{1} << i), demand)) << "one is not needed";
    }
    if (!set->empty()) {
      ASSERT_EQ(smallest_set(node.room, node.pointers, demand, fewest - 1), std::nullopt);
    }
  }
  EXPECT_GT(found, 1'000);
  EXPECT_GT(larger_than_three, 50);
}

// --- blockers -----------------------------------------------------------------------------------

TEST(Blockers, TheirEndStartsItAndNoPartOfThemDoes) {
  std::mt19937_64 random(5);
  int seen = 0;
  for (int round = 0; round < 150; ++round) {
    ClusterEngine engine =
        engine_with({}, {machine("a", 8, 16, 2), machine("b", 16, 16), machine("c", 4, 32, 4)});
    std::vector<std::uint64_t> waiting;
    for (std::uint64_t n = 1; n <= 40; ++n) {
      Resources demand{static_cast<std::int64_t>(1 + random() % 6) * 1000,
                       static_cast<std::int64_t>(random() % 6) * kGiB, 0};
      if (random() % 3 == 0) demand.gpu_milli = random() % 2 == 0 ? 300 : 1000;
      const auto starts = engine.apply(queued(n, Priority::high, demand));
      if (starts.empty()) waiting.push_back(n);
    }
    for (const std::uint64_t n : waiting) {
      if (engine.never_fits(engine.explain(dep(n))->demand)) continue;
      const auto blockers = engine.blockers(dep(n));
      ASSERT_FALSE(blockers.empty());
      const auto fits_without = [&](std::size_t spared) {
        ClusterEngine twin = engine.clone();
        EXPECT_TRUE(twin.apply(PauseChanged{true}).empty());
        for (std::size_t i = 0; i < blockers.size(); ++i) {
          if (i != spared) EXPECT_TRUE(twin.apply(Released{blockers[i]}).empty());
        }
        return twin.explain(dep(n))->missing == Resources{};
      };
      ASSERT_TRUE(fits_without(blockers.size()));
      for (std::size_t i = 0; i < blockers.size(); ++i) ASSERT_FALSE(fits_without(i));
      ++seen;
    }
  }
  EXPECT_GT(seen, 500);
}

TEST(Blockers, NoneWhereItFitsOrNeverCould) {
  ClusterEngine engine = engine_with({}, {machine("a", 4, 4)});
  EXPECT_TRUE(engine.blockers(dep(1)).empty());
  (void)engine.apply(queued(1, Priority::high, res(99)));
  EXPECT_TRUE(engine.blockers(dep(1)).empty());
}

// --- preempt ------------------------------------------------------------------------------------

TEST(Preempt, TheFewestThenTheYoungest) {
  ClusterEngine engine = engine_with({.preempt = true}, {machine("a", 4, 8), machine("b", 4, 8)});
  // a: 1 and 2 with two cores each; b: 3 with four.
  EXPECT_EQ(engine.decide(queued(1, Priority::low, res(2)), 0).starts.size(), 1U);
  EXPECT_EQ(engine.decide(queued(2, Priority::low, res(2)), 0).starts.size(), 1U);
  EXPECT_EQ(engine.decide(queued(3, Priority::low, res(4)), 0).starts.size(), 1U);
  // One victim is enough for two cores: 3 and 2 and 1 all would do; 3 is the youngest.
  auto twin = engine.clone();
  EXPECT_EQ(numbers(twin.decide(queued(9, Priority::high, res(2)), 0).evictions), (Pairs{{3, 9}}));
  // Four cores: one victim on b, not two on a.
  EXPECT_EQ(numbers(engine.decide(queued(9, Priority::high, res(4)), 0).evictions),
            (Pairs{{3, 9}}));
}

TEST(Preempt, NobodyElseGetsTheRoomAndTheVictimReturnsToItsPlace) {
  ClusterEngine engine = engine_with({.preempt = true}, {machine("a", 4, 8)});
  (void)engine.decide(queued(1, Priority::low, res(2)), 0);
  (void)engine.decide(queued(2, Priority::low, res(2)), 0);
  (void)engine.decide(queued(3, Priority::low, res(1)), 0);  // waits
  EXPECT_EQ(numbers(engine.decide(queued(10, Priority::high, res(4)), 1).evictions),
            (Pairs{{2, 10}, {1, 10}}));
  // A small high one that would fit into the room of the first to leave has to wait for 10.
  EXPECT_EQ(engine.decide(Released{dep(2)}, 2), Decisions{});
  EXPECT_EQ(engine.decide(queued(11, Priority::high, res(1)), 2), Decisions{});
  EXPECT_EQ(engine.decide(queued(2, Priority::low, res(2)), 2), Decisions{});
  EXPECT_EQ(berth::numbers(engine.decide(Released{dep(1)}, 3).starts), (Numbers{10}));
  EXPECT_EQ(engine.decide(queued(1, Priority::low, res(2)), 3), Decisions{});
  engine.check();
  EXPECT_EQ(berth::numbers(engine.decide(Released{dep(10)}, 4).starts), (Numbers{11, 1, 3}));
}

TEST(Preempt, GoesOnAfterARestart) {
  ClusterEngine engine = engine_with({.preempt = true}, {machine("a", 4, 8)});
  (void)engine.decide(queued(1, Priority::low, res(2)), 0);
  (void)engine.decide(queued(2, Priority::low, res(2)), 0);
  EXPECT_EQ(numbers(engine.decide(queued(10, Priority::high, res(4)), 1).evictions),
            (Pairs{{2, 10}, {1, 10}}));
  ClusterEngine again = engine_with({.preempt = true}, {machine("a", 4, 8)});
  for (const ActiveEntry& entry : engine.active()) again.restore_active(entry);
  again.restore_waiting(queued(10, Priority::high, res(4)));
  EXPECT_EQ(again.settle(1), Decisions{}) << "nobody is evicted twice";
  EXPECT_EQ(again.state_hash(), engine.state_hash());
  EXPECT_EQ(again.decide(Released{dep(2)}, 2), Decisions{});
  EXPECT_EQ(berth::numbers(again.decide(Released{dep(1)}, 3).starts), (Numbers{10}));
  // One that was restored with a high one still without room evicts at once.
  ClusterEngine fresh = engine_with({.preempt = true}, {machine("a", 4, 8)});
  fresh.restore_active({dep(1), res(4), {0, {}}, Priority::low, 1});
  fresh.restore_waiting(queued(10, Priority::high, res(4)));
  EXPECT_EQ(numbers(fresh.settle(5).evictions), (Pairs{{1, 10}}));
}

TEST(Preempt, HighOnesAreNeverDisplacedAndLowOnesDisplaceNobody) {
  ClusterEngine engine = engine_with({.preempt = true}, {machine("a", 4, 8)});
  (void)engine.decide(queued(1, Priority::high, res(3)), 0);
  EXPECT_EQ(engine.decide(queued(2, Priority::high, res(2)), 0), Decisions{});
  EXPECT_EQ(engine.decide(queued(3, Priority::low, res(1)), 0), Decisions{});
}

// Victims leave after a while and come back with their place, as a caller would do it.
void preempt_history(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  ClusterEngine engine = engine_with(
      {.preempt = true}, {machine("a", 8, 16, 2), machine("b", 6, 16), machine("c", 8, 8, 1)});
  std::map<std::uint64_t, Queued> known;
  std::vector<std::uint64_t> leaving;
  std::size_t evictions = 0;
  std::uint64_t counter = 0;
  for (int step = 0; step < 1'500; ++step) {
    EngineEvent event = PauseChanged{false};
    const auto active = engine.active();
    if (!leaving.empty() && random() % 3 == 0) {
      const std::uint64_t gone = leaving.back();
      leaving.pop_back();
      const Decisions now = engine.decide(Released{dep(gone)}, step);
      for (const Evict& e : now.evictions) leaving.push_back(number_of(e.id));
      event = known.at(gone);
    } else if (random() % 2 == 0 && !active.empty()) {
      const ActiveEntry& one = active[random() % active.size()];
      std::erase(leaving, number_of(one.id));
      event = Released{one.id};
    } else {
      Resources demand{static_cast<std::int64_t>(1 + random() % 5) * 1000,
                       static_cast<std::int64_t>(random() % 5) * kGiB, 0};
      if (random() % 4 == 0) demand.gpu_milli = random() % 2 == 0 ? 500 : 1000;
      const auto priority = random() % 3 == 0 ? Priority::high : Priority::low;
      ++counter;
      known[counter] = queued(counter, priority, demand);
      event = known[counter];
    }
    const Decisions out = engine.decide(event, step);
    engine.check();
    std::map<DeploymentId, std::vector<DeploymentId>> sets;
    for (const Evict& e : out.evictions) {
      ++evictions;
      ASSERT_EQ(known.at(number_of(e.id)).priority, Priority::low);
      ASSERT_EQ(known.at(number_of(e.for_whom)).priority, Priority::high);
      ASSERT_TRUE(engine.is_waiting(e.for_whom));
      ASSERT_TRUE(std::ranges::find(leaving, number_of(e.id)) == leaving.end()) << "twice";
      leaving.push_back(number_of(e.id));
      sets[e.for_whom].push_back(e.id);
    }
    // No low one starts while a high one waits that could run at all.
    for (const Start& start : out.starts) {
      if (known.at(number_of(start.id)).priority == Priority::high) continue;
      for (const QueueEntry& entry : engine.queue(1, 1'000)) {
        ASSERT_TRUE(entry.priority == Priority::low || engine.never_fits(entry.demand));
      }
    }
    // A set is enough, and no part of it is.
    for (const auto& [whom, victims] : sets) {
      const Resources demand = known.at(number_of(whom)).demand;
      const auto fits = [&](std::size_t spared) {
        NodeRoom room;
        for (const ActiveEntry& entry : engine.active()) {
          if (entry.id != victims[0]) continue;
          const NodeState node = engine.status().nodes[entry.placement.node];
          room = {node.free.cpu_milli, node.free.memory_bytes, node.gpu_free_milli};
        }
        for (const ActiveEntry& entry : engine.active()) {
          const auto at = std::ranges::find(victims, entry.id);
          if (at == victims.end() || at - victims.begin() == static_cast<std::ptrdiff_t>(spared))
            continue;
          room.give_back(entry);
        }
        return room.holds(demand);
      };
      ASSERT_TRUE(fits(victims.size()));
      for (std::size_t i = 0; i < victims.size(); ++i) ASSERT_FALSE(fits(i));
    }
  }
  EXPECT_GT(evictions, 20U) << "seed " << seed;
}

TEST(Preempt, KeepsItsPromisesOnRandomHistories) {
  for (std::uint64_t seed = 1; seed <= 12; ++seed) preempt_history(seed);
}

TEST(Preempt, SaysWhomItDisplacesUntilTheyAreGone) {
  ClusterEngine engine = engine_with({.preempt = true}, {machine("a", 2, 8)});
  (void)engine.decide(queued(1, Priority::low, res(2)), 0);
  const Decisions out = engine.decide(queued(2, Priority::high, res(2)), 10);
  EXPECT_EQ(out.evictions, (std::vector<Evict>{{dep(1), dep(2)}}));
  const auto why = engine.explain(dep(2));
  ASSERT_TRUE(why.has_value());
  EXPECT_EQ(why->reason, Reason::preempting);
  EXPECT_EQ(why->displaced, (std::vector<DeploymentId>{dep(1)}));
  EXPECT_EQ(engine.queue(1, 10).front().reason, Reason::preempting);
  (void)engine.decide(PauseChanged{true}, 11);
  EXPECT_EQ(engine.queue(1, 10).front().reason, Reason::cluster_paused);
  (void)engine.decide(PauseChanged{false}, 12);
  const std::vector<EngineEvent> gone{Released{dep(1)}, queued(1, Priority::low, res(2))};
  EXPECT_EQ(berth::numbers(engine.decide(gone, 20).starts), (Numbers{2}));
}

TEST(Preempt, NobodyIsDisplacedForWhatLeavesAnyway) {
  ClusterEngine engine = engine_with({.preempt = true}, {machine("a", 2, 8), machine("b", 2, 8)});
  (void)engine.decide(queued(1, Priority::low, res(2)), 0);
  (void)engine.decide(queued(2, Priority::low, res(2)), 0);
  EXPECT_EQ(engine.decide(Leaving{dep(1)}, 5), Decisions{});
  EXPECT_EQ(engine.decide(queued(3, Priority::high, res(2)), 6), Decisions{}) << "1 leaves for it";
  // One more has no such luck: the place of the one that leaves is taken into account for both,
  // until it is taken.
  EXPECT_EQ(berth::numbers(engine.decide(Released{dep(1)}, 7).starts), (Numbers{3}));
  EXPECT_EQ(engine.decide(queued(4, Priority::high, res(2)), 8).evictions,
            (std::vector<Evict>{{dep(2), dep(4)}}));
}

TEST(Preempt, NeedsOnlyWhatIsMissingBesideWhatLeaves) {
  ClusterEngine engine = engine_with({.preempt = true}, {machine("a", 3, 8)});
  for (std::uint64_t n = 1; n <= 3; ++n) (void)engine.decide(queued(n, Priority::low, res(1)), 0);
  (void)engine.decide(Leaving{dep(3)}, 1);
  EXPECT_EQ(engine.decide(queued(4, Priority::high, res(2)), 2).evictions,
            (std::vector<Evict>{{dep(2), dep(4)}}));
}

TEST(RulesChanged, TakeEffectAtOnce) {
  ClusterEngine engine = engine_with({}, {machine("a", 2, 8)});
  (void)engine.decide(queued(1, Priority::low, res(2)), 0);
  EXPECT_EQ(engine.decide(queued(2, Priority::high, res(2)), 1), Decisions{});
  Rules rules{.preempt = true, .age_bound = 50};
  EXPECT_EQ(engine.decide(RulesChanged{rules}, 2).evictions,
            (std::vector<Evict>{{dep(1), dep(2)}}));
  EXPECT_EQ(engine.rules(), rules);
  rules.mix = TaskMix::of(std::vector<Resources>{res(1)});
  EXPECT_EQ(engine.decide(RulesChanged{rules}, 3), Decisions{});
  EXPECT_EQ(engine.rules(), rules);
  engine.check();
  // What is being cleared stays closed, whatever the rules are now.
  EXPECT_EQ(engine.decide(RulesChanged{{}}, 4), Decisions{});
  EXPECT_EQ(engine.decide(queued(3, Priority::high, res(1)), 5), Decisions{});
  EXPECT_EQ(berth::numbers(engine.decide(Released{dep(1)}, 6).starts), (Numbers{2}));
}

TEST(SeveralAtOnce, NothingIsDecidedBySomeOfThem) {
  ClusterEngine engine = engine_with({}, {machine("a", 2, 8)});
  const std::vector<EngineEvent> both{queued(1, Priority::low, res(2)),
                                      queued(2, Priority::high, res(2))};
  EXPECT_EQ(berth::numbers(engine.decide(both, 0).starts), (Numbers{2}));
}

// --- backfill -----------------------------------------------------------------------------------

Queued limited(std::uint64_t number, Priority priority, Resources demand, EngineTime max_run) {
  Queued out = queued(number, priority, demand);
  out.max_run = max_run;
  return out;
}

TEST(Backfill, OnlyWhatEndsBeforeTheHighOneCouldStart) {
  ClusterEngine engine = engine_with({.backfill = true}, {machine("a", 4, 8)});
  EXPECT_EQ(engine.decide(limited(1, Priority::high, res(3), 100), 0).starts.size(), 1U);
  EXPECT_EQ(engine.decide(limited(2, Priority::high, res(4), 50), 0), Decisions{});
  // 2 can start at 100. Until then one core is free.
  EXPECT_EQ(engine.decide(limited(3, Priority::low, res(1), 0), 0), Decisions{}) << "no limit";
  EXPECT_EQ(engine.decide(limited(4, Priority::low, res(1), 101), 0), Decisions{});
  EXPECT_EQ(berth::numbers(engine.decide(limited(5, Priority::low, res(1), 60), 40).starts),
            (Numbers{5}));
  EXPECT_EQ(engine.decide(limited(6, Priority::low, res(1), 1), 41), Decisions{}) << "no room";
}

TEST(Backfill, BesideTheHighOneThereIsRoomForLong) {
  ClusterEngine engine = engine_with({.backfill = true}, {machine("a", 4, 8)});
  (void)engine.decide(limited(1, Priority::high, res(3), 100), 0);
  (void)engine.decide(limited(2, Priority::high, res(3), 50), 0);
  EXPECT_EQ(berth::numbers(engine.decide(limited(3, Priority::low, res(1), 5'000), 0).starts),
            (Numbers{3}));
}

TEST(Backfill, NothingWhereNobodySaysHowLong) {
  ClusterEngine engine = engine_with({.backfill = true}, {machine("a", 4, 8)});
  (void)engine.decide(limited(1, Priority::high, res(3), 0), 0);
  (void)engine.decide(limited(2, Priority::high, res(4), 50), 0);
  EXPECT_EQ(engine.decide(limited(3, Priority::low, res(1), 1), 0), Decisions{});
}

// When `demand` fits by the declared ends, found by trying every end there is.
EngineTime plain_earliest(const ClusterEngine& engine, const Resources& demand, EngineTime now,
                          const DeploymentId& without) {
  std::vector<EngineTime> moments{now};
  const auto active = engine.active();
  for (const ActiveEntry& entry : active) moments.push_back(entry.started + entry.max_run);
  std::ranges::sort(moments);
  const auto nodes = engine.status().nodes;
  for (const EngineTime moment : moments) {
    if (moment < now) continue;
    for (std::uint32_t n = 0; n < nodes.size(); ++n) {
      NodeRoom room{nodes[n].free.cpu_milli, nodes[n].free.memory_bytes, nodes[n].gpu_free_milli};
      for (const ActiveEntry& entry : active) {
        const bool over = entry.id == without || entry.started + entry.max_run <= moment;
        if (entry.placement.node == n && over) room.give_back(entry);
      }
      if (room.holds(demand)) return moment;
    }
  }
  return -1;
}

TEST(Backfill, DelaysNoHighOneByTheDeclaredTimes) {
  std::size_t filled = 0;
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    std::mt19937_64 random(seed);
    ClusterEngine engine = engine_with(
        {.backfill = true}, {machine("a", 8, 16, 2), machine("b", 6, 16), machine("c", 8, 8, 1)});
    std::map<std::uint64_t, Queued> known;
    std::uint64_t counter = 0;
    for (EngineTime now = 0; now < 800; ++now) {
      EngineEvent event = PauseChanged{false};
      // What has reached its declared end ends; some end earlier.
      for (const ActiveEntry& entry : engine.active()) {
        if (entry.started + entry.max_run <= now || random() % 40 == 0) {
          event = Released{entry.id};
          break;
        }
      }
      if (std::holds_alternative<PauseChanged>(event)) {
        Resources demand{static_cast<std::int64_t>(1 + random() % 6) * 1000,
                         static_cast<std::int64_t>(random() % 6) * kGiB, 0};
        if (random() % 4 == 0) demand.gpu_milli = random() % 2 == 0 ? 500 : 1000;
        ++counter;
        known[counter] = limited(counter, random() % 2 == 0 ? Priority::high : Priority::low,
                                 demand, 1 + static_cast<EngineTime>(random() % 60));
        event = known[counter];
      }
      const Decisions out = engine.decide(event, now);
      engine.check();
      const auto waiting = engine.queue(1, 10'000);
      for (const Start& start : out.starts) {
        if (known.at(number_of(start.id)).priority == Priority::high) continue;
        for (const QueueEntry& high : waiting) {
          if (high.priority == Priority::low || engine.never_fits(high.demand)) continue;
          ++filled;
          // Several may have been filled in at once, each harmless beside those before it.
          ASSERT_EQ(plain_earliest(engine, high.demand, now, DeploymentId()),
                    plain_earliest(engine, high.demand, now, start.id))
              << "seed " << seed << " at " << now;
        }
      }
    }
  }
  EXPECT_GT(filled, 200U);
}

// --- the age bound ------------------------------------------------------------------------------

Queued since(std::uint64_t number, Priority priority, Resources demand, EngineTime when) {
  Queued out = queued(number, priority, demand);
  out.since = when;
  return out;
}

TEST(AgeBound, WhoIsOverdueIsNotOvertakenAnyMore) {
  ClusterEngine engine = engine_with({.age_bound = 100}, {machine("a", 4, 8)});
  (void)engine.decide(since(1, Priority::high, res(2), 0), 0);
  (void)engine.decide(since(2, Priority::high, res(2), 0), 0);
  EXPECT_EQ(engine.decide(since(3, Priority::high, res(4), 0), 0), Decisions{});
  EXPECT_EQ(engine.decide(since(4, Priority::high, res(2), 10), 10), Decisions{});
  // Young, 3 is overtaken; overdue, it is not.
  auto young = engine.clone();
  EXPECT_EQ(berth::numbers(young.decide(Released{dep(1)}, 99).starts), (Numbers{4}));
  EXPECT_EQ(engine.decide(Released{dep(1)}, 100), Decisions{});
  EXPECT_EQ(berth::numbers(engine.decide(Released{dep(2)}, 200).starts), (Numbers{3}));
  EXPECT_EQ(berth::numbers(engine.decide(Released{dep(3)}, 300).starts), (Numbers{4}));
}

TEST(AgeBound, ALowOneIsNotStarvedByHighOnes) {
  ClusterEngine engine = engine_with({.age_bound = 100}, {machine("a", 2, 8)});
  (void)engine.decide(since(1, Priority::high, res(2), 0), 0);
  (void)engine.decide(since(2, Priority::low, res(2), 0), 0);
  (void)engine.decide(since(3, Priority::high, res(1), 50), 50);
  EXPECT_EQ(berth::numbers(engine.decide(Released{dep(1)}, 100).starts), (Numbers{2}));
}

TEST(AgeBound, NoStreamOfArrivalsKeepsOneWaitingForever) {
  // Small high ones arrive all the time and would always fit before the large low one.
  ClusterEngine engine = engine_with({.age_bound = 500}, {machine("a", 4, 8)});
  (void)engine.decide(since(1, Priority::high, res(1), 0), 0);
  (void)engine.decide(since(2, Priority::low, res(4), 0), 0);
  std::vector<std::pair<EngineTime, std::uint64_t>> ends{{20, 1}};
  std::uint64_t counter = 2;
  EngineTime started = -1;
  for (EngineTime now = 1; now < 2'000 && started < 0; ++now) {
    std::vector<Start> starts;
    const auto keep = [&](const Decisions& d) {
      starts.insert(starts.end(), d.starts.begin(), d.starts.end());
    };
    for (std::size_t i = 0; i < ends.size(); ++i) {
      if (ends[i].first == now) keep(engine.decide(Released{dep(ends[i].second)}, now));
    }
    if (now % 6 == 0) keep(engine.decide(since(++counter, Priority::high, res(1), now), now));
    for (const Start& start : starts) {
      if (number_of(start.id) == 2) started = now;
      ends.emplace_back(now + 20, number_of(start.id));
    }
  }
  // At 500 nothing else starts any more; what runs then ends within 20.
  EXPECT_GE(started, 500);
  EXPECT_LE(started, 520);
}

TEST(AgeBound, OneThatIsOverdueAtTheEndOfAPassHoldsUpTheRest) {
  ClusterEngine engine = engine_with({.backfill = true, .age_bound = 100}, {machine("a", 4, 8)});
  (void)engine.decide(limited(1, Priority::high, res(4), 100), 0);
  Queued young = limited(2, Priority::high, res(3), 10);
  young.since = 90;
  (void)engine.decide(young, 90);
  // It was held for long, and comes after 2 in the order; it has waited longer than the bound.
  (void)engine.decide(limited(3, Priority::high, res(4), 10), 90);
  Queued small = limited(4, Priority::low, res(1), 5);
  small.since = 90;
  (void)engine.decide(small, 90);
  EXPECT_EQ(berth::numbers(engine.decide(Released{dep(1)}, 100).starts), (Numbers{2}))
      << "4 would fit beside 2, but 3 is overdue";
  EXPECT_EQ(berth::numbers(engine.decide(Released{dep(2)}, 110).starts), (Numbers{3}));
}

TEST(AgeBound, AnOverdueHighOneStillDisplaces) {
  ClusterEngine engine = engine_with({.preempt = true, .age_bound = 100}, {machine("a", 4, 8)});
  (void)engine.decide(since(1, Priority::low, res(4), 0), 0);
  (void)engine.decide(PauseChanged{true}, 1);
  (void)engine.decide(since(2, Priority::high, res(4), 1), 1);
  EXPECT_EQ(numbers(engine.decide(PauseChanged{false}, 200).evictions), (Pairs{{1, 2}}));
  EXPECT_EQ(berth::numbers(engine.decide(Released{dep(1)}, 201).starts), (Numbers{2}));
}

TEST(AgeBound, WhoWasOverdueIsNotDisplaced) {
  ClusterEngine engine = engine_with({.preempt = true, .age_bound = 100}, {machine("a", 4, 8)});
  (void)engine.decide(since(1, Priority::high, res(4), 0), 0);
  (void)engine.decide(since(2, Priority::low, res(4), 0), 0);
  (void)engine.decide(since(3, Priority::high, res(4), 150), 150);
  const Decisions out = engine.decide(Released{dep(1)}, 200);
  EXPECT_EQ(berth::numbers(out.starts), (Numbers{2}));
  EXPECT_EQ(numbers(out.evictions), Pairs{}) << "2 and 3 would take turns";
  EXPECT_EQ(berth::numbers(engine.decide(Released{dep(2)}, 300).starts), (Numbers{3}));
}

TEST(Backfill, LooksAtTheFirst256) {
  for (const std::uint64_t in_front : {255U, 256U}) {
    ClusterEngine engine = engine_with({.backfill = true}, {machine("a", 4, 8)});
    (void)engine.decide(limited(1, Priority::high, res(3), 100), 0);
    (void)engine.decide(limited(2, Priority::high, res(4), 100), 0);
    for (std::uint64_t n = 0; n < in_front; ++n) {
      (void)engine.decide(limited(10 + n, Priority::low, res(2), 0), 0);
    }
    const auto starts = engine.decide(limited(1'000, Priority::low, res(1), 10), 0).starts;
    EXPECT_EQ(starts.size(), in_front == 255 ? 1U : 0U);
  }
}

}  // namespace
}  // namespace berth
