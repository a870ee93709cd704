// The decision journal: what is written comes back, damage is named and never a crash, and a replay
// decides the same.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <limits>
#include <random>

#include "scheduler/journal.h"
#include "support.h"

namespace berth {
namespace {

using journal::Checkpoint;
using journal::Mode;
using journal::Record;
using journal::Replay;
using journal::Step;

// Any values at all, also such that no engine would take.
class AnyValues {
 public:
  explicit AnyValues(std::uint64_t seed) : random_(seed) {}

  std::uint64_t below(std::uint64_t n) { return random_() % n; }
  bool coin() { return below(2) == 0; }
  std::int64_t number() {
    switch (below(5)) {
      case 0:
        return 0;
      case 1:
        return static_cast<std::int64_t>(random_());
      case 2:
        return std::numeric_limits<std::int64_t>::min();
      case 3:
        return std::numeric_limits<std::int64_t>::max();
      default:
        return static_cast<std::int64_t>(below(100'000));
    }
  }
  std::int32_t small() { return static_cast<std::int32_t>(below(std::uint64_t{1} << 31)); }
  DeploymentId id() { return dep(random_()); }
  Priority priority() { return coin() ? Priority::high : Priority::low; }
  Resources resources() { return {number(), number(), number()}; }
  std::string text() {
    std::string out(below(20), '\0');
    for (char& c : out) c = static_cast<char>(below(256));
    return out;
  }
  Placement placement() {
    Placement out{static_cast<std::uint32_t>(random_()), {}};
    for (auto n = below(4); n > 0; --n) out.gpus.push_back({small(), small()});
    return out;
  }
  std::map<std::string, std::string> labels() {
    std::map<std::string, std::string> out;
    for (auto n = below(3); n > 0; --n) out.emplace(text(), text());
    return out;
  }
  Constraint constraint() { return {coin() ? text() : "", labels()}; }
  std::vector<Placement> more() {
    std::vector<Placement> out(coin() ? 0 : below(3));
    for (Placement& place : out) place = placement();
    return out;
  }
  std::uint32_t count() { return coin() ? 1 : static_cast<std::uint32_t>(random_()); }
  Queued queued() {
    return {id(),     priority(), random_(),    resources(), coin(), number(),
            number(), coin(),     constraint(), count(),     count()};
  }
  ActiveEntry active() {
    return {id(),      resources(), placement(),  priority(),
            random_(), number(),    number(),     coin() ? id() : DeploymentId{},
            coin(),    number(),    constraint(), more(),
            count()};
  }
  std::vector<Node> nodes() {
    std::vector<Node> out(below(4));
    for (Node& node : out) node = {text(), resources(), coin() ? text() : "", labels()};
    return out;
  }
  Rules rules() {
    Rules out;
    out.backfill = coin();
    out.preempt = coin();
    if (coin()) out.age_bound = number();
    out.fair = coin();
    for (auto n = below(3); n > 0; --n) {
      out.quotas.push_back(
          {count(), resources(), coin() ? std::nullopt : std::optional(resources())});
    }
    if (coin()) {
      out.mix.emplace();
      for (auto n = below(4); n > 0; --n) out.mix->kinds.push_back({resources(), number()});
    }
    return out;
  }
  EngineEvent event() {
    switch (below(9)) {
      case 0:
        return queued();
      case 1:
        return Unparked{id()};
      case 2:
        return Withdrawn{id()};
      case 3:
        return Reprioritized{id(), priority()};
      case 4:
        return Released{id()};
      case 5:
        return Resized{nodes()};
      case 6:
        return PauseChanged{coin()};
      case 7:
        return Leaving{id()};
      default:
        return RulesChanged{rules()};
    }
  }
  Step step() {
    Step out{number(), {}, {}};
    for (auto n = below(12); n > 0; --n) out.events.push_back(event());
    for (auto n = below(4); n > 0; --n)
      out.decided.starts.push_back({known(out), placement(), more()});
    for (auto n = below(3); n > 0; --n) out.decided.evictions.push_back({known(out), known(out)});
    return out;
  }

 private:
  DeploymentId known(const Step& step) {
    for (const EngineEvent& event : step.events) {
      if (const auto* q = std::get_if<Queued>(&event); q != nullptr && coin()) return q->id;
    }
    return id();
  }
  std::mt19937_64 random_;
};

std::string inside(const Step& step) {
  std::string out;
  journal::put_step(out, step.now, step.events, step.decided);
  return out;
}
std::vector<Record> opened(const std::string& entry) {
  auto records = journal::open(entry);
  EXPECT_TRUE(records) << records.error().message;
  return records ? std::move(*records) : std::vector<Record>{};
}
std::string reason(const Result<void>& r) { return r ? "fine" : r.error().reason; }

RC_GTEST_PROP(JournalBytes, AnyStepComesBack, (std::uint64_t seed)) {
  AnyValues any(seed);
  const Step a = any.step(), b = any.step();
  const auto records = opened(journal::seal(inside(a) + inside(b)));
  RC_ASSERT(records.size() == 2U);
  for (std::size_t i = 0; i < 2; ++i) {
    const Step& want = i == 0 ? a : b;
    const auto* got = std::get_if<Step>(&records[i]);
    RC_ASSERT(got != nullptr);
    RC_ASSERT(got->now == want.now);
    RC_ASSERT(got->events == want.events);
    RC_ASSERT(got->decided == want.decided);
  }
}

RC_GTEST_PROP(JournalBytes, GarbageIsAnErrorAndNeverACrash, (std::string noise)) {
  RC_ASSERT(!journal::open(noise).has_value());
  // Behind a true checksum, too, whatever it says.
  Replay replay(Mode::compare);
  (void)replay.take(1, journal::seal(noise));
}

constexpr EngineTime kNow = 1'700'000'000'000;

TEST(JournalBytes, AnArrivalThatStartsIsShort) {
  const std::vector<EngineEvent> events{
      Queued{dep(1), Priority::low, 70'000, res(4, 16, 1000), false, kNow}};
  const Decisions decided{{{dep(1), {3, {{2, 1000}}}, {}}}, {}};
  std::string out;
  journal::put_step(out, kNow, events, decided);
  EXPECT_EQ(out.size(), 48U);
}

TEST(JournalBytes, EveryFlippedBitIsNoticed) {
  AnyValues any(7);
  const std::string entry = journal::seal(inside(any.step()));
  for (std::size_t at = 0; at < entry.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string other = entry;
      other[at] = static_cast<char>(other[at] ^ (1 << bit));
      const auto read = journal::open(other);
      ASSERT_FALSE(read) << at;
      EXPECT_EQ(read.error().reason, "journal_damaged");
    }
  }
}

TEST(JournalBytes, AnotherVersionIsRefused) {
  std::string entry = journal::seal("");
  EXPECT_TRUE(journal::open(entry));
  EXPECT_EQ(entry.front(), '\1');
  // The checksum covers the version, so only a newer program can have written it.
  entry.front() = '\2';
  EXPECT_FALSE(journal::open(entry));
}

// --- a cluster that lives, and its journal
// ---------------------------------------------------------

struct Journal {
  std::vector<std::string> entries;
  std::string open;
  void close() {
    entries.push_back(journal::seal(open));
    open.clear();
  }
};

class Life {
 public:
  // One in so many transactions is followed by a question; 0: none is.
  Life(std::uint64_t seed, Rules rules, std::uint64_t questions = 0)
      : random_(seed),
        questions_(questions),
        engine_(Policy::strict, nodes(), false, std::move(rules)) {
    journal::put_checkpoint(journal_.open, engine_, true);
  }

  // Some transactions, each of some steps.
  void live(std::size_t transactions) {
    for (std::size_t t = 0; t < transactions; ++t) {
      for (auto steps = 1 + below(3); steps > 0; --steps) step();
      if (below(20) == 0) checkpoint(false);
      journal_.close();
      ask();
      if (below(25) == 0) reload();
    }
  }

  // What was told after an entry.
  struct Told {
    std::size_t entry;
    EngineTime now;
    Outlook::Starts starts;
  };
  [[nodiscard]] const std::vector<Told>& told() const { return told_; }

  [[nodiscard]] const Journal& journal() const { return journal_; }
  [[nodiscard]] const ClusterEngine& engine() const { return engine_; }
  [[nodiscard]] std::size_t starts() const { return starts_; }
  [[nodiscard]] std::size_t evictions() const { return evictions_; }

 private:
  std::uint64_t below(std::uint64_t n) { return random_() % n; }
  Priority priority() { return below(3) == 0 ? Priority::high : Priority::low; }
  std::vector<Node> nodes() {
    std::vector<Node> out;
    for (int i = 0; i < 3; ++i) {
      out.push_back(machine("n" + std::to_string(i), 4 + static_cast<std::int64_t>(below(8)), 32,
                            static_cast<std::int64_t>(below(4))));
      if (i > 0) out.back().labels = {{"zone", i == 1 ? "a" : "b"}};
    }
    return out;
  }
  Queued newcomer() {
    Resources demand = res(1 + static_cast<std::int64_t>(below(5)), 1);
    if (below(3) == 0) demand.gpu_milli = below(2) == 0 ? 300 : 1000;
    ++count_;
    Queued out{dep(count_), priority(), count_, demand, below(12) == 0, now_};
    if (below(2) == 0) out.max_run = 1000 + static_cast<EngineTime>(below(5000));
    if (below(8) == 0) out.constraint.labels = {{"zone", below(2) == 0 ? "a" : "b"}};
    if (below(6) == 0) out.replicas = 2 + static_cast<std::uint32_t>(below(3));
    out.tenant = static_cast<std::uint32_t>(below(3));
    return out;
  }
  // The evicted leave in the end, and come back.
  EngineEvent something() {
    const auto waiting = state_of(engine_).waiting;
    const auto active = engine_.active();
    switch (below(12)) {
      case 0:
        if (!waiting.empty()) return Withdrawn{waiting[below(waiting.size())].id};
        break;
      case 1:
        if (!waiting.empty()) return Reprioritized{waiting[below(waiting.size())].id, priority()};
        break;
      case 2:
        if (!waiting.empty()) return Unparked{waiting[below(waiting.size())].id};
        break;
      case 3:
        return PauseChanged{below(4) == 0};
      case 4: {
        auto next = nodes();
        if (engine_.can_resize(next).empty()) return Resized{std::move(next)};
        break;
      }
      case 5:
        if (!active.empty()) return Leaving{active[below(active.size())].id};
        break;
      case 6: {
        Rules rules = engine_.rules();
        if (rules.age_bound) rules.age_bound = 200 + static_cast<EngineTime>(below(2000));
        return RulesChanged{rules};
      }
      default:
        if (!active.empty() && below(2) == 0) return Released{active[below(active.size())].id};
    }
    return newcomer();
  }
  void step() {
    now_ += static_cast<EngineTime>(below(300));
    std::vector<EngineEvent> events;
    if (below(15) == 0) {
      // Nothing in particular: settle.
    } else if (below(6) == 0) {
      events = {newcomer(), newcomer()};
    } else {
      events = {something()};
    }
    outlook_.before(engine_, events, now_);
    const Decisions out = events.empty() ? engine_.settle(now_) : engine_.decide(events, now_);
    outlook_.after(out, now_);
    starts_ += out.starts.size();
    evictions_ += out.evictions.size();
    journal::put_step(journal_.open, now_, events, out);
    if (const auto lessons = outlook_.take_lessons(); !lessons.empty())
      journal::put_lessons(journal_.open, lessons);
    engine_.check();
  }
  // Somebody asks, which nobody writes down.
  void ask() {
    if (questions_ == 0 || below(questions_) != 0) return;
    told_.push_back({journal_.entries.size(), now_ + 7, outlook_.promise(engine_, now_ + 7)});
  }
  void checkpoint(bool anew) { journal::put_checkpoint(journal_.open, engine_, anew, &outlook_); }
  void reload() {
    auto again = engine_of(state_of(engine_));
    ASSERT_TRUE(again) << again.error().message;
    ASSERT_EQ(again->state_hash(), engine_.state_hash());
    engine_ = std::move(*again);
    checkpoint(true);
  }

  std::mt19937_64 random_;
  std::uint64_t questions_;
  ClusterEngine engine_;
  Outlook outlook_;
  std::vector<Told> told_;
  Journal journal_;
  EngineTime now_ = 1'700'000'000'000;
  std::uint64_t count_ = 0;
  std::size_t starts_ = 0, evictions_ = 0;
};

const std::vector<Rules>& all_rules() {
  static const std::vector<Rules> all{
      {},
      {.backfill = true},
      {.preempt = true},
      {.age_bound = 700},
      {.mix = TaskMix::of(std::vector<Resources>{res(1, 1, 300), res(2, 1, 1000)})},
      {.mix = TaskMix::of(std::vector<Resources>{res(3, 1)}),
       .backfill = true,
       .preempt = true,
       .age_bound = 2000},
      {.preempt = true, .quotas = {{1, res(8, 16, 2000), res(2)}, {2, res(6, 16, 1000)}}},
      {.quotas = {{0, res(8, 16, 2000)}}, .fair = true}};
  return all;
}

TEST(Replaying, DecidesTheSameUnderEveryRule) {
  for (std::size_t r = 0; r < all_rules().size(); ++r) {
    std::size_t starts = 0, evictions = 0;
    for (std::uint64_t seed = 1; seed <= 10; ++seed) {
      Life life(seed, all_rules()[r]);
      life.live(400);
      starts += life.starts();
      evictions += life.evictions();
      for (const Mode mode : {Mode::compare, Mode::follow}) {
        Replay replay(mode);
        std::int64_t index = 0;
        for (const auto& entry : life.journal().entries) {
          const auto done = replay.take(++index, entry);
          ASSERT_TRUE(done) << "rules " << r << " seed " << seed << ": " << done.error().message;
        }
        EXPECT_EQ(replay.engine()->state_hash(), life.engine().state_hash());
        EXPECT_EQ(state_of(*replay.engine()).waiting, state_of(life.engine()).waiting);
        EXPECT_EQ(state_of(*replay.engine()).active, state_of(life.engine()).active);
        EXPECT_EQ(replay.engine()->rules(), life.engine().rules());
        EXPECT_EQ(replay.counts().entries, 400U);
        EXPECT_EQ(replay.counts().starts, life.starts());
        EXPECT_EQ(replay.counts().evictions, life.evictions());
        EXPECT_GT(replay.counts().reloads, 0U);
        replay.engine()->check();
      }
    }
    EXPECT_GT(starts, 1'000U) << "too few starts to say much";
    EXPECT_EQ(evictions > 0, all_rules()[r].preempt);
  }
}

TEST(Replaying, AnyCheckpointIsABeginning) {
  Life life(5, all_rules()[5]);
  life.live(200);
  const auto& entries = life.journal().entries;
  std::size_t beginnings = 0;
  for (std::size_t from = 0; from < entries.size(); ++from) {
    const auto records = opened(entries[from]);
    const bool begins = std::ranges::any_of(
        records, [](const Record& record) { return std::holds_alternative<Checkpoint>(record); });
    Replay replay(Mode::compare);
    Result<void> done;
    for (std::size_t i = from; done && i < entries.size(); ++i)
      done = replay.take(static_cast<std::int64_t>(i) + 1, entries[i]);
    EXPECT_EQ(reason(done), begins ? "fine" : "journal_damaged");
    if (!begins) continue;
    ++beginnings;
    EXPECT_EQ(replay.engine()->state_hash(), life.engine().state_hash());
  }
  EXPECT_GT(beginnings, 3U);
}

// From wherever a replay begins, it tells at each entry what was told there.
TEST(Replaying, TellsTheSameForecasts) {
  std::size_t compared = 0, corrected = 0;
  for (const std::size_t r : {0, 3, 5}) {
    Life life(21, all_rules()[r], 10);
    life.live(400);
    const auto& entries = life.journal().entries;
    for (const std::size_t from : {std::size_t{0}, std::size_t{150}, std::size_t{300}}) {
      Replay replay(Mode::follow, journal::Learning::yes);
      std::size_t next = 0;
      for (std::size_t i = from; i < entries.size(); ++i) {
        const auto done = replay.take(static_cast<std::int64_t>(i) + 1, entries[i]);
        if (!done && !replay.engine()) {  // no state begins here
          replay = Replay(Mode::follow, journal::Learning::yes);
          continue;
        }
        if (!replay.engine()) continue;
        const auto& told = life.told();
        while (next < told.size() && told[next].entry < i + 1) ++next;
        if (next == told.size() || told[next].entry != i + 1) continue;
        EXPECT_EQ(replay.outlook()->tell(*replay.engine(), told[next].now), told[next].starts);
        compared += told[next].starts.size();
      }
      const EngineTime now = life.told().back().now + 100'000;
      const Outlook nothing;
      corrected +=
          replay.outlook()->tell(*replay.engine(), now) == nothing.tell(*replay.engine(), now) ? 0
                                                                                               : 1;
    }
  }
  EXPECT_GT(compared, 500U);
  EXPECT_GT(corrected, 0U) << "what was learnt makes a difference";
}

// Behind a checksum that is right: whatever was changed, nothing crashes.
TEST(Replaying, AChangedByteIsNamedOrHarmless) {
  Life life(9, all_rules()[5]);
  life.live(60);
  std::mt19937_64 random(3);
  std::size_t named = 0;
  for (int round = 0; round < 3'000; ++round) {
    auto entries = life.journal().entries;
    const std::size_t victim = random() % entries.size();
    std::string content = entries[victim].substr(1, entries[victim].size() - 9);
    content[random() % content.size()] = static_cast<char>(random());
    entries[victim] = journal::seal(content);
    Replay replay(round % 2 == 0 ? Mode::compare : Mode::follow, journal::Learning::yes);
    Result<void> done;
    std::int64_t index = 0;
    for (const auto& entry : entries) {
      if (done) done = replay.take(++index, entry);
    }
    if (done) {
      (void)replay.outlook()->tell(*replay.engine(), replay.engine()->now());
      continue;
    }
    ++named;
    EXPECT_GE(replay.index(), static_cast<std::int64_t>(victim) + 1);
    EXPECT_TRUE(done.error().message.starts_with("Entry " + std::to_string(replay.index()) + ": "));
  }
  EXPECT_GT(named, 1'500U);
}

TEST(Replaying, AnotherDecisionIsNamedWithBoth) {
  ClusterEngine engine(Policy::strict, {machine("a", 2, 8), machine("b", 4, 8)}, false);
  std::string first, second;
  journal::put_checkpoint(first, engine, true);
  const EngineEvent event = queued(1, Priority::high, res(1));
  const Decisions wrong{{{dep(1), {1, {}}, {}}}, {}};
  journal::put_step(second, 1'700'000'000'000, std::span(&event, 1), wrong);
  Replay replay(Mode::compare);
  ASSERT_TRUE(replay.take(1, journal::seal(first)));
  const auto done = replay.take(2, journal::seal(second));
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().reason, "diverged");
  EXPECT_EQ(done.error().message,
            "Entry 2: at 2023-11-14T22:13:20.000000Z came: queued dep_00000000000000000000000001 "
            "(high, number 1, cpu 1). Recorded was: start "
            "dep_00000000000000000000000001 on b. Decided now: start "
            "dep_00000000000000000000000001 on a.");
}

TEST(Replaying, AMissingEntryIsNamed) {
  Life life(4, {});
  life.live(10);
  Replay replay(Mode::compare);
  ASSERT_TRUE(replay.take(1, life.journal().entries[0]));
  const auto done = replay.take(3, life.journal().entries[2]);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().message, "Entry 3: entry 2 is missing.");
}

TEST(Replaying, AStateThatTheStepsDoNotLeadToIsNamed) {
  ClusterEngine engine(Policy::strict, {machine("a", 2, 8)}, false);
  std::string first, second;
  journal::put_checkpoint(first, engine, true);
  (void)engine.decide(PauseChanged{true}, 5);
  journal::put_checkpoint(second, engine, false);
  Replay replay(Mode::follow);
  ASSERT_TRUE(replay.take(1, journal::seal(first)));
  EXPECT_EQ(reason(replay.take(2, journal::seal(second))), "diverged");
}

}  // namespace
}  // namespace berth
