// Start forecasts: small cases written out, the guarantee against everything that random arrivals
// can do to it, and the record of promises.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "scheduler/forecast.h"
#include "support.h"

namespace berth {
namespace {

Queued declared(std::uint64_t number, Priority priority, Resources demand, EngineTime max_run,
                EngineTime since = 0) {
  Queued out = queued(number, priority, demand);
  out.max_run = max_run;
  out.since = since;
  return out;
}

ClusterEngine engine_with(Rules rules, std::vector<Node> nodes) {
  return {Policy::strict, std::move(nodes), false, std::move(rules)};
}

std::map<std::uint64_t, EngineTime> guaranteed(const ClusterEngine& engine, EngineTime now) {
  std::map<std::uint64_t, EngineTime> out;
  for (const Guarantee& one : guaranteed_starts(engine, now)) {
    out[number_of(one.id)] = one.latest;
  }
  return out;
}
using Guarantees = std::map<std::uint64_t, EngineTime>;

// --- what a forecast says -----------------------------------------------------------------------

TEST(Forecast, ByDeclaredRunTimes) {
  ClusterEngine engine = engine_with({}, {machine("a", 4, 8)});
  (void)engine.decide(declared(1, Priority::high, res(4), 10'000), 0);
  (void)engine.decide(declared(2, Priority::high, res(4), 5'000), 0);
  (void)engine.decide(declared(3, Priority::low, res(4), 5'000), 0);
  const auto out = forecast(engine, {}, {}, 2'000);
  ASSERT_EQ(out.size(), 2U);
  EXPECT_EQ(out[0].id, dep(2));
  EXPECT_EQ(out[0].method, ForecastMethod::from_runtime_limits);
  EXPECT_EQ(out[0].raw, (WaitRange{8'000, 8'000}));
  EXPECT_EQ(out[0].latest, 10'000);  // not later, whatever the correction would say
  EXPECT_TRUE(out[0].guaranteed);
  EXPECT_EQ(out[0].never_later, 10'000);
  EXPECT_EQ(out[1].raw, (WaitRange{13'000, 13'000}));
  EXPECT_FALSE(out[1].guaranteed);
  EXPECT_LT(out[1].earliest, 15'000);
  EXPECT_GT(out[1].latest, 15'000);
}

TEST(Forecast, ByWhatRanLately) {
  ClusterEngine engine = engine_with({}, {machine("a", 4, 8)});
  (void)engine.decide(queued(1, Priority::low, res(4)), 0);
  (void)engine.decide(queued(2, Priority::low, res(4)), 0);
  RecentRate recent;
  EXPECT_EQ(forecast(engine, recent, {}, 0)[0].method, ForecastMethod::unknown);
  EXPECT_EQ(forecast(engine, recent, {}, 0)[0].latest, std::nullopt);
  for (int i = 0; i < 50; ++i) recent.released({dep(9), {}, {}, Priority::low, 9, 0}, 60'000);
  const auto out = forecast(engine, recent, {}, 10'000);
  ASSERT_EQ(out.size(), 1U);
  EXPECT_EQ(out[0].method, ForecastMethod::from_recent_rate);
  EXPECT_FALSE(out[0].never_later);
  ASSERT_TRUE(out[0].raw);
  // All ran a minute, which is known to a quarter of an octave; ten seconds have passed.
  EXPECT_GE(out[0].raw->earliest, 47'000);
  EXPECT_LE(out[0].raw->latest, 56'000);
}

TEST(Forecast, SaysNothingWherePausedParkedOrTooLarge) {
  ClusterEngine engine = engine_with({}, {machine("a", 4, 8)});
  (void)engine.decide(declared(1, Priority::high, res(4), 10'000), 0);
  (void)engine.decide(declared(2, Priority::high, res(9), 10'000), 0);
  Queued parked = declared(3, Priority::high, res(1), 10);
  parked.parked = true;
  (void)engine.decide(parked, 0);
  for (const StartForecast& one : forecast(engine, {}, {}, 0)) {
    EXPECT_EQ(one.latest.has_value(), false) << number_of(one.id);
  }
  (void)engine.decide(declared(4, Priority::high, res(1), 10), 0);
  (void)engine.decide(PauseChanged{true}, 0);
  for (const StartForecast& one : forecast(engine, {}, {}, 0)) {
    EXPECT_EQ(one.method, ForecastMethod::unknown);
  }
}

TEST(Forecast, OneFarBackIsReckonedAtThePaceOfTheFirst) {
  ClusterEngine engine = engine_with({}, {machine("a", 1, 8)});
  for (std::uint64_t n = 1; n <= 101; ++n) {
    (void)engine.decide(declared(n, Priority::low, res(1), 1'000), 0);
  }
  const auto out = forecast(engine, {}, {}, 0, {.first = 10, .only = dep(101)});
  ASSERT_EQ(out.size(), 1U);
  EXPECT_EQ(out[0].id, dep(101));
  EXPECT_EQ(out[0].raw, (WaitRange{100'000, 100'000}));
  EXPECT_EQ(forecast(engine, {}, {}, 0, {.first = 10}).size(), 10U);
  EXPECT_TRUE(forecast(engine, {}, {}, 0, {.only = dep(999)}).empty());
}

TEST(Forecast, TheSameStateGivesTheSameAnswerAndIsNotTouched) {
  std::mt19937_64 random(4);
  ClusterEngine engine =
      engine_with({.preempt = true}, {machine("a", 8, 16, 2), machine("b", 6, 16)});
  RecentRate recent;
  for (std::uint64_t n = 1; n <= 60; ++n) {
    Queued entry = queued(n, random() % 3 == 0 ? Priority::high : Priority::low,
                          res(1 + static_cast<std::int64_t>(random() % 5)));
    recent.queued(entry, static_cast<EngineTime>(n * 100));
    (void)engine.decide(entry, static_cast<EngineTime>(n * 100));
    recent.released({entry.id, {}, {}, entry.priority, n, 0},
                    1'000 + static_cast<EngineTime>(random() % 100'000));
  }
  const auto hash = engine.state_hash();
  const auto one = forecast(engine, recent, {}, 7'000);
  EXPECT_EQ(forecast(engine.clone(), recent, {}, 7'000), one);
  EXPECT_EQ(engine.state_hash(), hash);
  EXPECT_GT(one.size(), 20U);
  for (const StartForecast& f : one) {
    EXPECT_TRUE(f.latest && f.earliest <= *f.latest && f.earliest >= 7'000);
    EXPECT_FALSE(f.never_later) << "an engine that displaces guarantees nothing";
  }
}

TEST(CloneFront, HoldsTheFirstOfEachQueueAndDecidesAlike) {
  ClusterEngine engine = engine_with({}, {machine("a", 2, 8)});
  (void)engine.decide(queued(1, Priority::high, res(2)), 0);
  for (std::uint64_t n = 2; n < 12; ++n) {
    (void)engine.decide(queued(n, n % 2 == 0 ? Priority::high : Priority::low, res(2)), 0);
  }
  ClusterEngine front = engine.clone_front(2);
  front.check();
  Numbers waiting;
  for (const Queued& entry : front.front(99)) waiting.push_back(entry.order);
  EXPECT_EQ(waiting, (Numbers{2, 4, 3, 5}));
  EXPECT_EQ(numbers(front.apply(Released{dep(1)})), (Numbers{2}));
  EXPECT_EQ(engine.clone_front(99).state_hash(), engine.state_hash());
}

// --- guarantees ---------------------------------------------------------------------------------

TEST(Guarantee, WhereOneAttemptHoldsEnoughForTheFirst) {
  ClusterEngine engine = engine_with({}, {machine("a", 4, 8), machine("b", 4, 8)});
  (void)engine.decide(declared(1, Priority::high, res(4), 100), 0);  // on a
  (void)engine.decide(declared(2, Priority::high, res(2), 50), 0);   // on b
  (void)engine.decide(declared(3, Priority::high, res(2), 60), 0);   // on b
  (void)engine.decide(declared(4, Priority::high, res(3), 10), 0);
  (void)engine.decide(declared(5, Priority::high, res(2), 10), 0);
  (void)engine.decide(declared(6, Priority::high, res(2), 10), 0);
  (void)engine.decide(declared(7, Priority::low, res(1), 10), 0);
  // 4 could start at 60 on b, but smaller ones may come and take the room of 2 at 50. 5 has one
  // ahead, which may take one of the two nodes. 6 has two ahead, who may take both.
  EXPECT_EQ(guaranteed(engine, 10), (Guarantees{{4, 100}, {5, 100}}));
}

TEST(Guarantee, NoneWithoutDeclaredTimesOrWhenTheyAreOver) {
  ClusterEngine engine = engine_with({}, {machine("a", 4, 8), machine("b", 4, 8)});
  (void)engine.decide(declared(1, Priority::high, res(4), 0), 0);
  (void)engine.decide(declared(2, Priority::high, res(4), 50), 0);
  (void)engine.decide(declared(3, Priority::high, res(4), 10), 0);
  EXPECT_EQ(guaranteed(engine, 50), (Guarantees{{3, 50}}));
  EXPECT_EQ(guaranteed(engine, 51), Guarantees{});
}

TEST(Guarantee, OneInBackOffMayComeBackAheadOfIt) {
  ClusterEngine engine = engine_with({}, {machine("a", 4, 8), machine("b", 4, 8)});
  (void)engine.decide(declared(1, Priority::high, res(4), 30), 0);
  (void)engine.decide(declared(2, Priority::high, res(4), 50), 0);
  Queued parked = declared(3, Priority::high, res(1), 10);
  parked.parked = true;
  (void)engine.decide(parked, 0);
  (void)engine.decide(declared(4, Priority::high, res(4), 10), 0);
  EXPECT_EQ(guaranteed(engine, 0), (Guarantees{{4, 50}}));
}

TEST(Guarantee, TheOverdueOneWaitsForRoomThatOnlyGrows) {
  ClusterEngine engine = engine_with({.age_bound = 100}, {machine("a", 4, 8)});
  (void)engine.decide(declared(1, Priority::high, res(2), 300), 0);
  (void)engine.decide(declared(2, Priority::high, res(2), 200), 0);
  (void)engine.decide(declared(3, Priority::low, res(3), 10), 0);
  EXPECT_EQ(guaranteed(engine, 99), Guarantees{});
  EXPECT_EQ(guaranteed(engine, 100), (Guarantees{{3, 300}}));
  // Of the other queue one has waited longer and would come first.
  (void)engine.decide(declared(4, Priority::high, res(3), 10, -1), 100);
  EXPECT_EQ(guaranteed(engine, 100), (Guarantees{{4, 300}}));
}

// A history in which everybody leaves in time, some earlier, and anybody may arrive or give up.
struct History {
  std::uint64_t seed = 1;
  Rules rules;
  bool naive = false;  // takes the forward run for a guarantee, which it is not

  struct Tally {
    std::size_t given = 0;
    std::size_t waited = 0;  // those that were kept by a start after the moment of asking
    std::string broken;
  };

  Tally run(int steps) const {
    std::mt19937_64 random(seed);
    ClusterEngine engine =
        engine_with(rules, {machine("a", 8, 16, 2), machine("b", 6, 16), machine("c", 4, 8, 1)});
    std::map<DeploymentId, EngineTime> promised;
    Tally out;
    EngineTime now = 0;
    std::uint64_t counter = 0;
    const auto take = [&](const EngineEvent& event) {
      for (const Start& start : engine.decide(event, now).starts) {
        const auto promise = promised.find(start.id);
        if (promise == promised.end()) continue;
        ++out.waited;
        if (now > promise->second) out.broken = start.id.str() + " started too late";
        promised.erase(promise);
      }
    };
    for (int step = 0; step < steps && out.broken.empty(); ++step) {
      ++now;
      // What has reached its declared end is gone, in any order; some end earlier.
      auto active = engine.active();
      std::shuffle(active.begin(), active.end(), random);
      for (const ActiveEntry& entry : active) {
        if (entry.started + entry.max_run <= now || random() % 60 == 0) take(Released{entry.id});
      }
      for (const auto& [id, latest] : promised) {
        if (latest < now && engine.is_waiting(id)) out.broken = id.str() + " has not started";
      }
      const auto waiting = engine.front(1'000);
      if (!waiting.empty() && random() % 8 == 0) {
        const DeploymentId id = waiting[random() % waiting.size()].id;
        promised.erase(id);
        take(Withdrawn{id});
      }
      if (waiting.size() < 12 || random() % 3 == 0) {
        Resources demand{static_cast<std::int64_t>(1 + random() % 6) * 1000,
                         static_cast<std::int64_t>(random() % 6) * kGiB, 0};
        if (random() % 3 == 0) demand.gpu_milli = random() % 2 == 0 ? 400 : 1000;
        const auto priority = random() % 3 == 0 ? Priority::low : Priority::high;
        ++counter;
        take(declared(counter, priority, demand, 1 + static_cast<EngineTime>(random() % 50), now));
      }
      for (const auto& [id, latest] : foretold(engine, now)) {
        out.given += promised.emplace(id, latest).second ? 1 : 0;
      }
    }
    return out;
  }

  [[nodiscard]] std::map<DeploymentId, EngineTime> foretold(const ClusterEngine& engine,
                                                            EngineTime now) const {
    std::map<DeploymentId, EngineTime> out;
    if (!naive) {
      for (const Guarantee& one : guaranteed_starts(engine, now)) out.emplace(one.id, one.latest);
      return out;
    }
    for (const StartForecast& one : forecast(engine, {}, {}, now)) {
      if (one.raw && one.priority == Priority::high) out.emplace(one.id, now + one.raw->latest);
    }
    return out;
  }
};

TEST(Guarantee, NoArrivalBreaksIt) {
  for (const Rules& rules : {Rules{}, Rules{.backfill = true}, Rules{.age_bound = 40},
                             Rules{.backfill = true, .age_bound = 25}}) {
    std::size_t waited = 0;
    for (std::uint64_t seed = 1; seed <= 40; ++seed) {
      const auto out = History{seed, rules}.run(1'500);
      ASSERT_EQ(out.broken, "") << "seed " << seed;
      waited += out.waited;
    }
    EXPECT_GT(waited, 500U) << "too few guarantees to say much";
  }
}

TEST(Guarantee, TheForwardRunAloneIsNone) {
  std::size_t broken = 0;
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    broken += History{seed, {}, true}.run(300).broken.empty() ? 0 : 1;
  }
  EXPECT_GE(broken, 8U) << "the arrivals do not try hard enough";
}

TEST(Guarantee, IsNeverEarlierThanTheRunWithoutArrivals) {
  std::size_t compared = 0;
  std::mt19937_64 random(3);
  for (int round = 0; round < 60; ++round) {
    ClusterEngine engine = engine_with({}, {machine("a", 8, 16, 2), machine("b", 6, 16)});
    for (std::uint64_t n = 1; n <= 25; ++n) {
      Resources demand = res(1 + static_cast<std::int64_t>(random() % 6));
      if (random() % 3 == 0) demand.gpu_milli = 1000;
      (void)engine.decide(
          declared(n, Priority::high, demand, 1 + static_cast<EngineTime>(random() % 50)), 0);
    }
    for (const StartForecast& one : forecast(engine, {}, {}, 0)) {
      if (!one.never_later || !one.raw) continue;
      ++compared;
      EXPECT_LE(one.raw->latest, *one.never_later);
    }
  }
  EXPECT_GT(compared, 40U);
}

// --- the records --------------------------------------------------------------------------------

TEST(RecentRate, AnswersWithinAQuarterOfAnOctave) {
  RecentRate recent;
  std::mt19937_64 random(2);
  for (int i = 0; i < 2'000; ++i) {
    recent.released({dep(1), {}, {}, Priority::low, 1, 0},
                    1 + static_cast<EngineTime>(random() % 100'000));
  }
  // Even between 0 and 100 s: half below 50 s; of those that ran 60 s, half below 80 s.
  EXPECT_NEAR(static_cast<double>(recent.run_time(Priority::low, 0, 0.5)), 50'000, 6'000);
  EXPECT_NEAR(static_cast<double>(recent.run_time(Priority::low, 60'000, 0.5)), 80'000, 6'000);
  EXPECT_EQ(recent.run_time(Priority::low, 1'000'000, 0.5), 2'000'000);  // nobody ran so long
  EXPECT_GT(recent.run_time(Priority::high, 100, 0.0), 100);
}

TEST(RecentRate, ThePastFades) {
  RecentRate recent;
  for (int i = 0; i < 2'000; ++i) recent.released({dep(1), {}, {}, Priority::low, 1, 0}, 1'000);
  for (int i = 0; i < 1'000; ++i) recent.released({dep(1), {}, {}, Priority::low, 1, 0}, 64'000);
  EXPECT_GE(recent.run_time(Priority::low, 0, 0.1), 57'000);
}

TEST(RecentRate, KnowsHowMuchOfWhatIsDeclaredIsUsed) {
  RecentRate recent;
  EXPECT_EQ(recent.run_time_within(1'000, 0, 0.5), 1'000) << "nothing known: all of it";
  for (int i = 0; i < 100; ++i) {
    recent.released({dep(1), {}, {}, Priority::low, 1, 0, 100'000}, 21'000);
  }
  EXPECT_NEAR(static_cast<double>(recent.run_time_within(1'000, 0, 0.5)), 225, 1);
  EXPECT_EQ(recent.run_time_within(1'000, 600, 0.5), 1'000) << "longer than any: all of it";
  EXPECT_EQ(recent.run_time_within(1'000, 1'200, 0.5), 1'201) << "over already";
}

TEST(Promises, TheWantedPartComesTrueWhateverTheError) {
  // Raw forecasts that are wrong by a factor between 1/4 and 16, and change their bias halfway.
  std::mt19937_64 random(8);
  Promises promises;
  const auto method = ForecastMethod::from_recent_rate;
  std::size_t inside = 0;
  double width = 0;
  EngineTime now = 0;
  for (std::uint64_t n = 1; n <= 4'000; ++n) {
    const EngineTime wait = 60'000;
    const double factor =
        std::exp2(static_cast<double>(random() % 1000) / 500 * (n < 2'000 ? 1 : 2));
    const auto raw =
        static_cast<EngineTime>(static_cast<double>(wait) * factor / (n < 2'000 ? 4 : 1));
    const WaitRange said = promises.corrected(method, Priority::low, {raw, raw});
    promises.promised(dep(n), method, Priority::low, now, {raw, raw}, said);
    now += wait;
    promises.started(dep(n), now);
    inside += said.earliest <= wait && wait <= said.latest ? 1 : 0;
    width += std::log2(static_cast<double>(said.latest) / static_cast<double>(said.earliest));
  }
  EXPECT_GE(inside, 4'000 * 85 / 100);
  EXPECT_LT(width / 4'000, 5) << "wider than what varies needs";
  EXPECT_EQ(promises.tally(method, Priority::low).kept, inside);
  EXPECT_EQ(promises.open(), 0U);
}

TEST(Promises, WhatIsOverdueIsLearntBeforeItStarts) {
  Promises promises;
  const auto method = ForecastMethod::from_recent_rate;
  const WaitRange raw{60'000, 60'000};
  const WaitRange before = promises.corrected(method, Priority::high, raw);
  for (std::uint64_t n = 1; n <= 5; ++n) {
    promises.promised(dep(n), method, Priority::high, 0, raw, before);
  }
  promises.advance(100'000'000);
  EXPECT_GT(promises.corrected(method, Priority::high, raw).latest, before.latest);
  EXPECT_EQ(promises.corrected(method, Priority::low, raw).latest, before.latest);
  EXPECT_EQ(promises.open(), 5U);
  promises.dropped(dep(1));
  for (std::uint64_t n = 2; n <= 5; ++n) promises.started(dep(n), 100'000'000);
  EXPECT_EQ(promises.tally(method, Priority::high), (PromiseTally{0, 0, 4}));
  EXPECT_EQ(promises.open(), 0U);
}

}  // namespace
}  // namespace berth
