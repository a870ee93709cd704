// simulation --first S --seeds N [--jobs J] [--lines L] [--broken NAME]: runs seeds and counts what
// happened. The first seed that fails is run again with its trace, and printed.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <mutex>
#include <numeric>
#include <thread>

#include "simulation/options.h"
#include "simulation/world.h"

namespace berth::sim {
namespace {

// A broken `ensure` ends the process: whose seed it was is the last that it says.
thread_local std::uint64_t running = 0;
extern "C" void say_seed(int) {
  fmt::print(stderr, "in seed {}: simulation --first {}\n", running, running);
  std::signal(SIGABRT, SIG_DFL);
}

struct Totals {
  std::uint64_t seeds = 0, transitions = 0, steps = 0, requests = 0, events = 0, faults = 0;
  std::uint64_t fewest_transitions = UINT64_MAX, fewest_faults = UINT64_MAX;
  double seconds = 0;
  FaultCounts counts{};
  std::map<std::string, std::uint64_t> kinds;

  void add(const Outcome& one) {
    ++seeds;
    transitions += one.transitions;
    steps += one.steps;
    requests += one.requests;
    events += one.events;
    seconds += one.seconds;
    const auto struck = std::accumulate(one.faults.begin(), one.faults.end(), std::uint64_t{0});
    faults += struck;
    fewest_transitions = std::min(fewest_transitions, one.transitions);
    fewest_faults = std::min(fewest_faults, struck);
    for (std::size_t i = 0; i < kFaults; ++i) counts[i] += one.faults[i];
    for (const auto& [kind, count] : one.kinds) kinds[kind] += count;
  }
};

void print(const Totals& t) {
  fmt::print(
      "{} seeds: {} transitions (at least {} each), {} faults (at least {} each), {} "
      "requests answered, {} events, {} steps, {:.0f} simulated seconds\n",
      t.seeds, t.transitions, t.fewest_transitions, t.faults, t.fewest_faults, t.requests, t.events,
      t.steps, t.seconds);
  for (std::size_t i = 0; i < kFaults; ++i)
    fmt::print("  {:<24} {:>10}\n", kFaultNames[i], t.counts[i]);
  for (const auto& [kind, count] : t.kinds) fmt::print("  {:<32} {:>10}\n", kind, count);
}

int simulate(const Options& options) {
  std::atomic<std::uint64_t> next = options.first;
  std::atomic<bool> failed = false;
  std::mutex mutex;
  Totals totals;
  std::vector<Outcome> failures;
  const auto work = [&] {
    while (!failed || options.go_on) {
      const auto seed = next++;
      if (seed >= options.first + options.seeds) return;
      running = seed;
      auto outcome = run(wish_of(options, seed));
      const std::lock_guard lock(mutex);
      totals.add(outcome);
      if (outcome.broken.empty()) continue;
      failed = true;
      failures.push_back(std::move(outcome));
    }
  };
  std::vector<std::thread> threads;
  for (int i = 1; i < options.jobs; ++i) threads.emplace_back(work);
  work();
  for (auto& thread : threads) thread.join();
  print(totals);
  std::ranges::sort(failures, {}, &Outcome::seed);
  for (const auto& one : failures) fmt::print("seed {}: {}\n", one.seed, one.broken);
  if (!failures.empty()) {
    fmt::print("\n{}", replay(options, failures.front().seed));
    return 1;
  }
  int missing = 0;
  if (options.every_fault) {
    for (std::size_t i = 0; i < kFaults; ++i) {
      if (totals.counts[i] > 0) continue;
      fmt::print("this fault never struck: {}\n", kFaultNames[i]);
      ++missing;
    }
    if (totals.fewest_transitions < 500 || totals.fewest_faults < 50) {
      fmt::print("a seed did too little\n");
      ++missing;
    }
  }
  return missing == 0 ? 0 : 1;
}

}  // namespace
}  // namespace berth::sim

int main(int argc, char** argv) {
  spdlog::set_level(spdlog::level::off);  // what fails on purpose would fill the screen
  std::signal(SIGABRT, berth::sim::say_seed);
  const auto options = berth::sim::parse({argv + 1, argv + argc});
  if (!options) {
    fmt::print(stderr, "{}", berth::sim::kUsage);
    return 2;
  }
  return berth::sim::simulate(*options);
}
