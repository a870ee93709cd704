// Single operations of the decision engine, for Google Benchmark.
#include <benchmark/benchmark.h>

#include "workload.h"

namespace berth::bench {
namespace {

const Inputs& inputs() {
  static const Inputs read = read_inputs(BERTH_TRACES);
  return read;
}

void stop_and_refill(benchmark::State& state) {
  FullCluster cluster(openb_nodes(inputs(), static_cast<std::size_t>(state.range(1))),
                      openb_demands(inputs()), static_cast<std::size_t>(state.range(0)));
  const std::uint64_t before = cluster.decisions();
  for (auto _ : state) benchmark::DoNotOptimize(cluster.stop_and_refill());
  state.counters["decisions"] = benchmark::Counter(
      static_cast<double>(cluster.decisions() - before), benchmark::Counter::kIsRate);
}
BENCHMARK(stop_and_refill)
    ->ArgNames({"waiting", "nodes"})
    ->ArgsProduct({{1'000, 100'000, 1'000'000}, {1, 100, 10'000}});

void arrive_in_an_empty_cluster(benchmark::State& state) {
  ClusterEngine engine(Policy::strict,
                       openb_nodes(inputs(), static_cast<std::size_t>(state.range(0))), false);
  const Demands demands = openb_demands(inputs());
  std::uint64_t n = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        engine.apply(Queued{id_of(n), Priority::low, n + 1, demands(n), false}));
    if (engine.is_waiting(id_of(n))) {
      benchmark::DoNotOptimize(engine.apply(Withdrawn{id_of(n)}));
    }
    ++n;
    if (n > 2'000) benchmark::DoNotOptimize(engine.apply(Released{id_of(n - 2'000)}));
  }
}
BENCHMARK(arrive_in_an_empty_cluster)->ArgName("nodes")->Arg(10)->Arg(1'000)->Arg(10'000);

void explain_one(benchmark::State& state) {
  const FullCluster cluster(openb_nodes(inputs(), static_cast<std::size_t>(state.range(0))),
                            openb_demands(inputs()), 100'000);
  const auto queue = cluster.engine().queue(50'000, 1'000);
  std::size_t i = 0;
  for (auto _ : state) benchmark::DoNotOptimize(cluster.engine().explain(queue[++i % 1'000].id));
}
BENCHMARK(explain_one)->ArgName("nodes")->Arg(10)->Arg(1'000)->Arg(10'000);

}  // namespace
}  // namespace berth::bench

BENCHMARK_MAIN();
