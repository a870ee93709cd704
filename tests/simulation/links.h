// How one simulated process reaches the others, and what a call costs.
#pragma once
#include "simulation/faults.h"
#include "simulation/simulator.h"

namespace berth::sim {

// The seed's dice, the counts, and whether anything may go wrong at all.
struct Weather {
  Simulator& simulator;
  FaultCounts counts{};
  bool fair = false;  // from now on nothing goes wrong
  double rate = 1;    // of the small faults

  [[nodiscard]] bool strikes(Fault fault, double chance) {
    if (fair || !simulator.chance(chance * rate)) return false;
    hit(fault);
    return true;
  }
  void hit(Fault fault) {
    ++counts[static_cast<std::size_t>(fault)];
    simulator.note(kFaultNames[static_cast<std::size_t>(fault)]);
  }
};

// A process as the world sees it.
class Machine : public Owner {
 public:
  using Owner::Owner;
  bool database_cut = false, queue_cut = false, runtime_cut = false;
  std::int64_t clock_offset = 0;  // of its wall clock
  Bell stirred;                   // its loops may have something to do
};

}  // namespace berth::sim
