// One seed: a whole installation with its clients, what goes wrong in it, and what must hold.
#pragma once
#include "simulation/invariants.h"
#include "simulation/process.h"

namespace berth::sim {

struct Wish {
  std::uint64_t seed = 1;
  Broken broken;
  std::uint64_t transitions = 500;  // at least; then the faults stop and all must come to rest
  std::uint64_t faults = 50;        // at least
  std::size_t lines = 0;            // of the trace to keep
};

struct Outcome {
  std::uint64_t seed = 0;
  std::string broken;  // the invariant; empty: all held
  std::uint64_t hash = 0, steps = 0, transitions = 0, events = 0, requests = 0;
  double seconds = 0;  // simulated
  FaultCounts faults{};
  std::map<std::string, std::uint64_t> kinds;
  std::deque<std::string> lines;
};

[[nodiscard]] Outcome run(const Wish& wish);

}  // namespace berth::sim
