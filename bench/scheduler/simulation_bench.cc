// Simulated events a second: a whole trace on one vector, and on all nodes with their devices.
#include <benchmark/benchmark.h>

#include <cmath>
#include <cstdlib>

#include "cli/trace.h"
#include "scheduler/simulation.h"
#include "workload.h"

namespace berth::bench {
namespace {

std::string folder() {
  const char* said = std::getenv("BERTH_TRACES_FOLDER");
  return said == nullptr ? BERTH_TRACES : said;
}

std::vector<SimulatedJob> jobs() {
  const std::string whole = folder() + "/openb_pods.csv";
  auto trace = cli::read_trace(whole);
  if (!trace) trace = cli::read_trace(folder() + "/openb_pods_slice.csv");
  std::vector<SimulatedJob> out;
  for (const auto& job : *trace) {
    out.push_back({job.demand, job.priority, std::llround(job.submit_s * 1000),
                   std::llround(job.duration_s * 1000)});
  }
  return out;
}

void simulate_trace(benchmark::State& state, const std::vector<Node>& nodes, Rules rules) {
  const auto input = jobs();
  std::uint64_t events = 0;
  for (auto _ : state) {
    const auto result = simulate(ClusterEngine(Policy::strict, nodes, false, rules), input);
    events += result.events;
    benchmark::DoNotOptimize(result.end);
  }
  state.counters["events"] =
      benchmark::Counter(static_cast<double>(events), benchmark::Counter::kIsRate);
}

void one_vector_of_64_gpus(benchmark::State& state) { simulate_trace(state, one_vector(64), {}); }
BENCHMARK(one_vector_of_64_gpus)->Unit(benchmark::kMillisecond);

void all_nodes(benchmark::State& state) { simulate_trace(state, read_inputs(folder()).nodes, {}); }
BENCHMARK(all_nodes)->Unit(benchmark::kMillisecond);

void all_nodes_by_fragmentation(benchmark::State& state) {
  const Inputs inputs = read_inputs(folder());
  simulate_trace(state, inputs.nodes, {.mix = TaskMix::of(inputs.pods)});
}
BENCHMARK(all_nodes_by_fragmentation)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace berth::bench

BENCHMARK_MAIN();
