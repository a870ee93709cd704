#include "scheduler/forecast.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <queue>
#include <tuple>
#include <unordered_map>
#include <unordered_set>

#include "scheduler/active_set.h"

namespace berth {
namespace {

constexpr std::size_t kRuns = 8;  // forward runs; the second and the last but one are the raw range
constexpr std::size_t kEnoughArrivals = 8;
constexpr EngineTime kNoEnd = std::numeric_limits<EngineTime>::max();

using Starts = std::unordered_map<DeploymentId, EngineTime, IdHash<DeploymentTag>>;

// A number from 0 to 1 that depends on nothing but the deployment and the run.
double draw(const DeploymentId& id, std::size_t run) {
  return static_cast<double>(mix(hash_of_id(id) + run * 0x9E3779B97F4A7C15ULL) >> 12) * 0x1p-52;
}

struct Ending {
  EngineTime when = 0;
  DeploymentId id;
  EngineTime started = 0;  // an eviction makes the ending of the attempt void
  friend bool operator>(const Ending& a, const Ending& b) {
    return std::tie(a.when, a.id) > std::tie(b.when, b.id);
  }
};

// What a run says: who started when, and how far it came.
struct Outcome {
  Starts starts;
  EngineTime until = 0;
};

// The engine forward from now on: attempts end after run times that are drawn from the record. For
// `from_recent_rate` newcomers arrive as they did lately; with declared run times it was measured
// to make the ranges wider and no truer.
class Forward {
 public:
  Forward(ClusterEngine engine, const RecentRate& recent, ForecastMethod method, EngineTime now,
          std::size_t run)
      : engine_(std::move(engine)), recent_(recent), now_(now), run_(run) {
    for (const Queued& entry : engine_.front(~std::size_t{0})) {
      expect(entry);
      if (!entry.parked) asked_for_.insert(entry.id);
    }
    for (const ActiveEntry& entry : engine_.active()) {
      next_order_ = std::max(next_order_, entry.order + 1);
      // One that is being cleared away is gone soon, whatever it had left.
      ends_at(entry, entry.leaving_for.is_nil() ? run_time(entry) : now - entry.started + 1);
    }
    if (method == ForecastMethod::from_recent_rate) lately_ = recent.arrivals();
    plan_arrival();
  }

  // Until all that were asked for or the wanted one have started, or nothing moves any more.
  Outcome run(std::size_t most_events, const std::optional<DeploymentId>& only) {
    while (!endings_.empty() && most_events-- > 0) {
      if (only ? starts_.contains(*only) : asked_started_ == asked_for_.size()) break;
      if (arrives_at_ < endings_.top().when) {
        now_ = arrives_at_;
        arrive();
      } else {
        end(endings_.top());
      }
    }
    return {std::move(starts_), now_};
  }

 private:
  [[nodiscard]] EngineTime run_time(const ActiveEntry& entry) const {
    const EngineTime elapsed = now_ - entry.started;
    const double part = draw(entry.id, run_);
    if (entry.max_run > 0) return recent_.run_time_within(entry.max_run, elapsed, part);
    return recent_.run_time(entry.priority, elapsed, part);
  }

  void expect(const Queued& entry) {
    waiting_.insert_or_assign(entry.id, entry);
    next_order_ = std::max(next_order_, entry.order + 1);
  }

  void ends_at(const ActiveEntry& entry, EngineTime run_time) {
    running_.insert_or_assign(entry.id, entry);
    endings_.push({std::max(now_, entry.started + run_time), entry.id, entry.started});
  }

  void end(Ending ending) {
    endings_.pop();
    const auto running = running_.find(ending.id);
    if (running == running_.end() || running->second.started != ending.started) return;
    now_ = std::max(now_, ending.when);
    running_.erase(running);
    apply(Released{ending.id});
  }

  // The next newcomer is one of those that came lately, after the gap that it came with.
  void plan_arrival() {
    arrives_at_ = kNoEnd;
    if (lately_.size() < kEnoughArrivals) return;
    next_ = &lately_[mix(newcomers_ * kRuns + run_) % lately_.size()];
    arrives_at_ = now_ + next_->gap;
  }

  void arrive() {
    IdBytes bytes{};  // no one else's: the version bits of a real id are never all set
    bytes.fill(0xFF);
    for (std::size_t i = 0; i < 6; ++i) {
      bytes[15 - i] = static_cast<std::uint8_t>(newcomers_ >> (8 * i));
    }
    ++newcomers_;
    Queued entry = next_->entry;
    entry.id = DeploymentId(bytes);
    entry.order = next_order_;
    entry.parked = false;
    entry.since = now_;
    expect(entry);
    plan_arrival();
    if (!engine_.never_fits(entry.demand)) apply(entry);
  }

  void apply(const EngineEvent& event) {
    std::vector<EngineEvent> events{event};
    for (std::size_t i = 0; i < events.size(); ++i) {
      const Decisions decisions = engine_.decide(events[i], now_);
      for (const Start& start : decisions.starts) began(start);
      for (const Evict& evict : decisions.evictions) {
        const ActiveEntry gone = running_.at(evict.id);
        running_.erase(evict.id);
        const Queued again{gone.id, gone.priority, gone.order,  gone.demand,
                           false,   now_,          gone.max_run};
        expect(again);
        events.emplace_back(Released{evict.id});
        events.emplace_back(again);
      }
    }
  }

  void began(const Start& start) {
    const Queued& entry = waiting_.at(start.id);
    if (starts_.emplace(start.id, now_).second && asked_for_.contains(start.id)) ++asked_started_;
    const ActiveEntry active{entry.id,    entry.demand, start.placement, entry.priority,
                             entry.order, now_,         entry.max_run,   {}};
    ends_at(active, run_time(active));
  }

  ClusterEngine engine_;
  const RecentRate& recent_;
  EngineTime now_;
  std::size_t run_;
  Starts starts_;
  std::unordered_set<DeploymentId, IdHash<DeploymentTag>> asked_for_;
  std::size_t asked_started_ = 0;
  std::unordered_map<DeploymentId, Queued, IdHash<DeploymentTag>> waiting_;
  std::unordered_map<DeploymentId, ActiveEntry, IdHash<DeploymentTag>> running_;
  std::priority_queue<Ending, std::vector<Ending>, std::greater<>> endings_;
  std::uint64_t next_order_ = 1;
  std::uint64_t newcomers_ = 0;
  std::span<const RecentRate::Arrival> lately_;
  const RecentRate::Arrival* next_ = nullptr;
  EngineTime arrives_at_ = 0;
};

ForecastMethod method_for(std::span<const ActiveEntry> active, std::span<const Queued> waiting,
                          const RecentRate& recent) {
  const auto declared = [](const auto& entry) { return entry.max_run > 0; };
  if (std::ranges::all_of(active, declared) && std::ranges::all_of(waiting, declared)) {
    return ForecastMethod::from_runtime_limits;
  }
  return recent.known() ? ForecastMethod::from_recent_rate : ForecastMethod::unknown;
}

// The raw range of waits: without the extremes of the runs. A run that did not reach it has at
// least shown how long it takes. Absent where no run moved at all.
std::optional<WaitRange> raw_range(std::span<const Outcome> runs, const DeploymentId& id,
                                   EngineTime now) {
  std::vector<EngineTime> waits;
  bool any = false;
  for (const Outcome& run : runs) {
    const auto found = run.starts.find(id);
    any = any || found != run.starts.end() || run.until > now;
    waits.push_back((found != run.starts.end() ? found->second : run.until) - now);
  }
  if (!any) return std::nullopt;
  std::ranges::sort(waits);
  return WaitRange{waits[1], waits[waits.size() - 2]};
}

// One that waits further back than the copy reaches: as the last of its queue in the copy, and on
// at the same pace.
std::optional<Queued> stand_in(const ClusterEngine& engine, std::span<const Queued> waiting,
                               const DeploymentId& id) {
  const auto state = engine.waiting_as(id);
  if (!state || state->parked) return std::nullopt;
  std::optional<Queued> last;
  for (const Queued& entry : waiting) {
    if (entry.priority == state->priority && !entry.parked) last = entry;
  }
  return last && last->order < state->order ? last : std::nullopt;
}

WaitRange stretched(const ClusterEngine& engine, WaitRange raw, const DeploymentId& from,
                    const DeploymentId& to) {
  const auto place = [&](const DeploymentId& id) {
    return static_cast<double>(std::max<std::size_t>(engine.explain(id)->position, 1));
  };
  const double by = place(to) / place(from);
  return {static_cast<EngineTime>(static_cast<double>(raw.earliest) * by),
          static_cast<EngineTime>(static_cast<double>(raw.latest) * by)};
}

StartForecast told(const Queued& entry, ForecastMethod method, const Promises& promises,
                   EngineTime now, const std::optional<WaitRange>& raw) {
  StartForecast out{.id = entry.id, .priority = entry.priority, .earliest = now};
  if (!raw) return out;
  const WaitRange range = promises.corrected(method, entry.priority, *raw);
  out.method = method;
  out.raw = raw;
  out.earliest = now + range.earliest;
  out.latest = now + range.latest;
  return out;
}

void add_guarantees(std::vector<StartForecast>& out, std::span<const Guarantee> guarantees) {
  for (const Guarantee& sure : guarantees) {
    const auto found = std::ranges::find(out, sure.id, &StartForecast::id);
    if (found == out.end()) continue;
    found->never_later = sure.latest;
    if (found->latest && *found->latest < sure.latest) continue;
    found->method = ForecastMethod::from_runtime_limits;
    found->latest = sure.latest;
    found->earliest = std::min(found->earliest, sure.latest);
    found->guaranteed = true;
  }
}

}  // namespace

std::vector<StartForecast> forecast(const ClusterEngine& engine, const RecentRate& recent,
                                    const Promises& promises, EngineTime now,
                                    const ForecastScope& scope) {
  const ClusterEngine front = engine.clone_front(scope.first);
  const auto active = front.active();
  const auto waiting = front.front(scope.first);
  ForecastMethod method =
      engine.paused() ? ForecastMethod::unknown : method_for(active, waiting, recent);
  std::optional<Queued> instead;
  if (scope.only && !front.is_waiting(*scope.only)) {
    instead = stand_in(engine, waiting, *scope.only);
    if (!instead) return {};
  }
  const auto only = instead ? std::optional(instead->id) : scope.only;

  std::vector<Outcome> runs;
  for (std::size_t run = 0; method != ForecastMethod::unknown && run < kRuns; ++run) {
    runs.push_back(Forward(front.clone(), recent, method, now, run)
                       .run(active.size() + 8 * waiting.size(), only));
  }
  if (instead && method != ForecastMethod::unknown) method = ForecastMethod::from_recent_rate;
  std::vector<StartForecast> out;
  for (const Queued& entry : waiting) {
    if (only && entry.id != *only) continue;
    const bool can_start = !entry.parked && !engine.never_fits(entry.demand);
    auto raw = can_start ? raw_range(runs, entry.id, now) : std::nullopt;
    if (raw && instead) raw = stretched(engine, *raw, entry.id, *scope.only);
    out.push_back(told(entry, method, promises, now, raw));
    if (instead) out.back().id = *scope.only;
  }
  add_guarantees(out, guaranteed_starts(engine, now, scope.first));
  return out;
}

}  // namespace berth
