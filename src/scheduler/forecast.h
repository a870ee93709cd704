// When will those that wait start? A range for each of the first of a queue, with the method named.
//
// The engine itself is run forward on a copy that holds the first of each queue, several times:
// each attempt ends after a run time drawn from what recent ones did (recent_rate.h): of what it
// has declared where it has, of all that ran where not. The spread of the starts is the raw range.
// What no such run can know is made up for by what past forecasts got wrong (promises.h). The draws
// depend on ids alone: the same state and record give the same answer.
//
//   from_runtime_limits  everything that runs, and everything ahead, has declared how long at most
//   from_recent_rate     not so, but recent releases tell how long attempts run; or it stands
//                        further back than the copy reaches, and the pace of those in it is taken
//   unknown              neither, or: paused, in back-off, too large
//
// What is guaranteed. `guaranteed` holds a start time that no arrival can push back, whatever its
// size and priority. There are two kinds, both for rules without `preempt`:
//
// 1. Without an age bound, for a high one d. An attempt a *covers* d when what a holds suffices for
//    d by itself: as much CPU and memory, and as many whole devices or a share as large. When a has
//    been released, d fits on a's node whatever else runs there. The pass that follows goes through
//    the high queue in order, and back-filling comes after it; so either d starts in it or somebody
//    ahead of d has started on that node. Newcomers are behind d, and whoever is ahead starts only
//    once. With k ahead, d has started when covering attempts have left k + 1 different nodes. Not
//    k + 1 attempts: releases that are told together make one pass, and one who is ahead may take
//    the room of two attempts of one node. What a does not hold is not counted: it is free for a
//    moment and gone to a smaller one that came later. That is why most entries have no guarantee,
//    and why no low one has: a stream of high ones can hold it up for ever.
// 2. With an age bound, for the one that is not overtaken any more. Until it starts nothing starts,
//    so room only grows: it starts as soon as one node is free enough by the declared ends. It has
//    to stay the one: of the other queue nobody may have waited longer, who would come first when
//    those before him leave.
//
// Both take for granted that attempts are gone when their declared time is over, that the cluster
// is neither paused nor made smaller, and that nobody older enters the queue again (an attempt that
// failed and keeps its number, one that was held). These are acts or faults, not arrivals.
#pragma once
#include <cstddef>
#include <optional>
#include <vector>

#include "scheduler/engine.h"
#include "scheduler/promises.h"
#include "scheduler/recent_rate.h"

namespace berth {

struct StartForecast {
  DeploymentId id;
  Priority priority = Priority::low;
  ForecastMethod method = ForecastMethod::unknown;
  EngineTime earliest = 0;                // in the engine's time; of `unknown`: now
  std::optional<EngineTime> latest;       // absent: nothing can be said
  std::optional<WaitRange> raw;           // before the correction; for Promises::promised
  bool guaranteed = false;                // `latest` is guaranteed
  std::optional<EngineTime> never_later;  // the guarantee, also where a smaller `latest` is likely
  friend bool operator==(const StartForecast&, const StartForecast&) = default;
};

struct ForecastScope {
  std::size_t first = 256;           // of each queue; the others are not in the answer
  std::optional<DeploymentId> only;  // this one, however far back
};

// In the order of the queue. Costs a copy of the nodes and of `first` waiting, then at most a few
// times as many events as there are attempts and entries: about a microsecond each.
[[nodiscard]] std::vector<StartForecast> forecast(const ClusterEngine& engine,
                                                  const RecentRate& recent,
                                                  const Promises& promises, EngineTime now,
                                                  const ForecastScope& scope = {});

// The guarantees alone, for the first of each queue, by the declared run times.
struct Guarantee {
  DeploymentId id;
  EngineTime latest = 0;
};
[[nodiscard]] std::vector<Guarantee> guaranteed_starts(const ClusterEngine& engine, EngineTime now,
                                                       std::size_t first = 256);

}  // namespace berth
