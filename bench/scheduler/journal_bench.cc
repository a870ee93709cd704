// What the decision journal costs: writing a step, writing and reading a whole state, replaying.
#include <benchmark/benchmark.h>

#include "scheduler/journal.h"
#include "workload.h"

namespace berth::bench {
namespace {

const Inputs& inputs() {
  static const Inputs read = read_inputs(BERTH_TRACES);
  return read;
}

// Arrivals that start and their ends, on 100 nodes, an entry for each eight events.
struct Recorded {
  std::vector<std::string> entries;
  std::size_t events = 0;
  std::size_t bytes = 0;
};

Recorded recorded(std::size_t deployments) {
  ClusterEngine engine(Policy::strict, openb_nodes(inputs(), 100), false);
  const Demands demands = openb_demands(inputs());
  Recorded out;
  std::string inside;
  EngineTime now = 1'700'000'000'000;
  journal::put_checkpoint(inside, engine, true);
  const auto step = [&](const EngineEvent& event) {
    const Decisions decided = engine.decide(event, ++now);
    journal::put_step(inside, now, std::span(&event, 1), decided);
    if (++out.events % 8 != 0) return;
    out.entries.push_back(journal::seal(inside));
    out.bytes += out.entries.back().size();
    inside.clear();
  };
  for (std::uint64_t n = 0; n < deployments; ++n) {
    step(Queued{id_of(n), Priority::low, n + 1, demands(n), false, now});
    if (n >= 200) {
      const DeploymentId old = id_of(n - 200);
      if (engine.is_active(old)) step(Released{old});
      if (engine.is_waiting(old)) step(Withdrawn{old});
    }
  }
  return out;
}

void write_a_step(benchmark::State& state) {
  const EngineEvent event = Queued{id_of(1), Priority::low, 70'000, {4000, 16LL << 30, 1000}};
  const Decisions decided{{{id_of(1), {3, {{2, 1000}}}}}, {}};
  for (auto _ : state) {
    std::string bytes;
    journal::put_step(bytes, 1'700'000'000'000, std::span(&event, 1), decided);
    benchmark::DoNotOptimize(bytes);
  }
}
BENCHMARK(write_a_step);

void replay(benchmark::State& state) {
  const Recorded journal = recorded(100'000);
  const auto mode = state.range(0) == 0 ? journal::Mode::compare : journal::Mode::follow;
  for (auto _ : state) {
    journal::Replay replay(mode);
    std::int64_t index = 0;
    for (const auto& entry : journal.entries) {
      if (!replay.take(++index, entry)) state.SkipWithError("it differs");
    }
  }
  state.counters["events"] = benchmark::Counter(static_cast<double>(journal.events),
                                                benchmark::Counter::kIsIterationInvariantRate);
  state.counters["bytes/event"] =
      static_cast<double>(journal.bytes) / static_cast<double>(journal.events);
}
BENCHMARK(replay)->ArgName("follow")->Arg(0)->Arg(1)->Unit(benchmark::kMillisecond);

void write_a_state(benchmark::State& state) {
  const FullCluster cluster(openb_nodes(inputs(), 100), openb_demands(inputs()),
                            static_cast<std::size_t>(state.range(0)));
  std::size_t bytes = 0;
  for (auto _ : state) {
    std::string inside;
    journal::put_checkpoint(inside, cluster.engine(), false);
    bytes = journal::seal(inside).size();
  }
  state.counters["MB"] = static_cast<double>(bytes) / 1e6;
}
BENCHMARK(write_a_state)
    ->ArgName("waiting")
    ->Arg(1'000)
    ->Arg(100'000)
    ->Arg(1'000'000)
    ->Unit(benchmark::kMillisecond);

void read_a_state(benchmark::State& state) {
  const FullCluster cluster(openb_nodes(inputs(), 100), openb_demands(inputs()),
                            static_cast<std::size_t>(state.range(0)));
  std::string inside;
  journal::put_checkpoint(inside, cluster.engine(), true);
  const std::string entry = journal::seal(inside);
  for (auto _ : state) {
    journal::Replay replay(journal::Mode::follow);
    if (!replay.take(1, entry)) state.SkipWithError("it cannot be read");
  }
}
BENCHMARK(read_a_state)
    ->ArgName("waiting")
    ->Arg(1'000)
    ->Arg(100'000)
    ->Arg(1'000'000)
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace berth::bench

BENCHMARK_MAIN();
