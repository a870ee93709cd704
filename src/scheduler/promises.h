// The record of start forecasts: those that are open, how the past ones turned out, and how much
// wider or narrower the next ones have to be so that the wanted part of them comes true.
//
// The correction follows the errors alone, whatever causes them: each bound of the raw range
// carries a factor, which is compared with the one that would have been needed. It grows by a step
// when it would have been too small and shrinks by a small part of the step when not; in the long
// run the part of the starts that lie beyond is the ratio of the two, without any assumption about
// run times or arrivals (online quantile tracking, as in adaptive conformal inference). The ratio
// itself is tightened while too many of the ranges that were told turn out wrong: waits in one
// queue go wrong together, and what was learnt from the last does not cover the next. One that has
// not started when even the factor of now would not have covered it counts then, not when it starts
// at last; else long waits would be learnt too late.
//
// Deterministic; O(log n) for an event in the number n of open promises, which is bounded.
#pragma once
#include <array>
#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "core/names.h"
#include "scheduler/engine.h"
#include "scheduler/packing.h"

namespace berth {

enum class ForecastMethod { unknown, from_recent_rate, from_runtime_limits };
template <>
struct Names<ForecastMethod> {
  static constexpr std::array<std::pair<ForecastMethod, std::string_view>, 3> table{
      {{ForecastMethod::unknown, "unknown"},
       {ForecastMethod::from_recent_rate, "from_recent_rate"},
       {ForecastMethod::from_runtime_limits, "from_runtime_limits"}}};
};

// Between the moment of asking and the start.
struct WaitRange {
  EngineTime earliest = 0;
  EngineTime latest = 0;
  friend bool operator==(const WaitRange&, const WaitRange&) = default;
};

// One of each kind of range: they go wrong in different ways.
template <class T>
struct ByMethodAndPriority {
  std::array<std::array<T, 2>, 3> of_method;
  [[nodiscard]] const T& at(ForecastMethod method, Priority priority) const {
    return of_method[static_cast<std::size_t>(method)][static_cast<std::size_t>(priority)];
  }
  [[nodiscard]] T& at(ForecastMethod method, Priority priority) {
    return of_method[static_cast<std::size_t>(method)][static_cast<std::size_t>(priority)];
  }
  friend bool operator==(const ByMethodAndPriority&, const ByMethodAndPriority&) = default;
};

struct PromiseTally {
  std::uint64_t kept = 0;
  std::uint64_t too_early = 0;  // started before the range
  std::uint64_t too_late = 0;   // started after it, or has not started yet
  friend bool operator==(const PromiseTally&, const PromiseTally&) = default;
};

class Promises {
  // The wanted part of the starts beyond each bound. Too late is dearer to be sure of: a later
  // bound says less, an earlier one hardly.
  static constexpr double kBeforeEarly = 0.015;
  static constexpr double kAfterLate = 0.03;

 public:
  // What was learnt about the ranges of one method and priority.
  struct Correction {
    double early = 3;  // binary logarithms of the factors: at first nothing is known
    double late = 3;
    double beyond_early = kBeforeEarly;  // wanted part beyond the bounds
    double beyond_late = kAfterLate;
    std::uint64_t seen = 0;
    friend bool operator==(const Correction&, const Correction&) = default;
  };
  using Corrections = ByMethodAndPriority<Correction>;
  struct Lesson {
    ForecastMethod method = ForecastMethod::unknown;
    Priority priority = Priority::high;
    Correction correction;
    friend bool operator==(const Lesson&, const Lesson&) = default;
  };

  // `raw` as it came out of the method, made wider or narrower by what was learnt.
  [[nodiscard]] WaitRange corrected(ForecastMethod method, Priority priority, WaitRange raw) const;

  // A range was told at `now`: the raw one, and what was said. Of several open ones for the same
  // deployment the first counts; beyond a few thousand open ones nothing is kept. Asking teaches
  // nothing: that comes with what happens.
  void promised(const DeploymentId& id, ForecastMethod method, Priority priority, EngineTime now,
                WaitRange raw, WaitRange said);
  void started(const DeploymentId& id, EngineTime now);
  void dropped(const DeploymentId& id);  // it left the queue, or changed its priority
  void advance(EngineTime now);          // what has run out counts

  [[nodiscard]] const PromiseTally& tally(ForecastMethod method, Priority priority) const {
    return tally_.at(method, priority);
  }
  [[nodiscard]] std::size_t open() const { return open_.size(); }

  // To carry what was learnt elsewhere.
  [[nodiscard]] const Corrections& corrections() const { return learnt_; }
  [[nodiscard]] std::vector<Lesson> lessons_since(const Corrections& before) const;
  void learn(const Lesson& lesson);

 private:
  struct Open {
    ForecastMethod method = ForecastMethod::unknown;
    Priority priority = Priority::low;
    EngineTime asked = 0;
    WaitRange raw;
    WaitRange said;
    EngineTime look_again = 0;
    bool counted = false;  // as one that starts too late for the factor
  };

  Corrections learnt_;
  ByMethodAndPriority<PromiseTally> tally_{};
  std::map<DeploymentId, Open> open_;
  std::set<std::pair<EngineTime, DeploymentId>> to_look_at_;
};

// Lessons as bytes. Reading refuses what cannot have been learnt.
void put(Packer& out, std::span<const Promises::Lesson> lessons);
[[nodiscard]] std::vector<Promises::Lesson> get_lessons(Unpacker& in);

}  // namespace berth
