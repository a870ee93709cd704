// What a simulation says: waiting by priority and by size, use of the cluster over time, a picture.
#pragma once
#include <array>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "scheduler/simulation.h"

namespace berth::cli {

struct WaitSummary {
  std::size_t jobs = 0;
  double mean_s = 0, p50_s = 0, p99_s = 0, longest_s = 0;  // quantiles by nearest rank
};

struct Curve {                   // means over equal slices of the whole time
  std::vector<double> cpu, gpu;  // shares of the capacity, 0 to 1
  std::vector<double> unusable;  // of the GPU capacity: free, and too scattered for the mix
  std::vector<double> waiting;   // how many
};

// How the forecasts of one method turned out.
struct ForecastSummary {
  std::size_t cases = 0, inside = 0, before = 0, after = 0;
  std::size_t guaranteed = 0, guarantees_broken = 0;  // the second must be none
  double median_wait_s = 0;
  double median_width_s = 0;
  double median_relative_width = 0;  // (latest - earliest) / the wait that came
};

struct SimulationReport {
  std::string policy;
  std::size_t jobs = 0, refused = 0, finished = 0;
  std::map<Priority, WaitSummary> by_priority;
  std::map<std::string, WaitSummary> by_size;  // see size_class
  std::map<std::uint32_t, WaitSummary> by_tenant;
  double span_s = 0;
  double cpu = 0, memory = 0, gpu = 0;  // mean utilization over the span, 0 to 1
  // Mean share of the GPU capacity that the mix could not use, 0 to 1; empty: not measured.
  std::optional<double> fragmentation;
  double bounded_slowdown = 0;  // mean of max(1, (wait + run) / max(run, 10 s))
  std::size_t evictions = 0;
  double wasted_s = 0;  // run time that evictions threw away
  std::uint64_t events = 0;
  std::map<std::string, ForecastSummary> forecasts;  // by method and priority
  Curve curve;
};

[[nodiscard]] SimulationReport report_on(std::string policy, std::span<const SimulatedJob> jobs,
                                         const SimulationResult& result, const Resources& capacity,
                                         std::size_t slices = 240);
[[nodiscard]] std::string size_class(const Resources& demand);
[[nodiscard]] std::string svg_of(const SimulationReport& report);

}  // namespace berth::cli
