// When everything has come to rest: what must be true then.
#pragma once
#include "simulation/process.h"

namespace berth::sim {

struct AtRest {
  Simulator& simulator;
  const Database& database;
  const Workloads& workloads;
  memory::MemoryQueue& queue;
  const std::vector<std::unique_ptr<Process>>& processes;
};

// A sentence about what has not come to rest; empty: everything has.
[[nodiscard]] std::string what_moves(const AtRest& world);

}  // namespace berth::sim
