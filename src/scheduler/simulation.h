// A trace run through the decision engine on a virtual clock, as fast as it goes. Pure: the same
// jobs and nodes give the same outcome everywhere.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "scheduler/engine.h"
#include "scheduler/forecast.h"

namespace berth {

using SimulatedTime = std::int64_t;  // milliseconds from the first submission on

struct SimulatedJob {
  Resources demand;
  Priority priority = Priority::low;
  SimulatedTime submit = 0;    // never decreasing from one job to the next
  SimulatedTime duration = 1;  // at least 1
  SimulatedTime limit = 0;     // the declared longest run time; 0: none
  Constraint constraint = {};
  std::uint32_t replicas = 1;
  std::uint32_t tenant = 0;
};

struct SimulatedOutcome {
  static constexpr SimulatedTime kNever = -1;
  SimulatedTime start = kNever;  // of the attempt that ran to its end
  SimulatedTime end = kNever;
  std::uint32_t evictions = 0;  // attempts that were taken away from it
  SimulatedTime wasted = 0;     // run time of those attempts
  bool refused = false;         // no node could ever hold it
};

// What was foretold when a job had to wait, and what came.
struct SimulatedForecast {
  std::uint64_t job = 0;
  SimulatedTime asked = 0;
  SimulatedTime start = SimulatedOutcome::kNever;  // its first one
  StartForecast forecast;
};

// From then on so many thousandths of devices were free that the mix could not use.
struct SimulatedFragmentation {
  SimulatedTime when = 0;
  double unusable = 0;
};

struct SimulationOptions {
  std::size_t forecast_every = 0;  // asks for each so many-th job that has to wait; 0: never
  std::optional<TaskMix> mix;      // given: how much GPU capacity it cannot use is recorded
};

struct SimulationResult {
  std::vector<SimulatedOutcome> jobs;  // in the order of the input
  std::uint64_t events = 0;            // that the engine was asked about
  std::uint64_t decisions = 0;         // starts and evictions
  std::size_t left_waiting = 0;        // at the end; more than none is a fault of the policy
  SimulatedTime end = 0;               // when the last one ended
  std::vector<SimulatedForecast> forecasts;
  std::vector<SimulatedFragmentation> fragmentation;
};

// An evicted job is gone at once, loses what it has done and waits again at its old place. What
// ends at the same moment ends before anything is submitted; ties keep the order of the input.
[[nodiscard]] SimulationResult simulate(ClusterEngine engine, std::span<const SimulatedJob> jobs,
                                        const SimulationOptions& options = {});

// The id under which job `index` is known to the engine.
[[nodiscard]] DeploymentId simulated_id(std::uint64_t index);

}  // namespace berth
