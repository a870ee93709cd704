// The experiment of "Beware of Fragmentation" (USENIX ATC 2023): pods arrive in random order and
// never leave, until they have asked for 130 % of all GPUs; how much is allocated?
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "core/cluster.h"

namespace berth::cli {

struct FgdAllocation {  // percent of all GPUs, when pods worth so much have arrived
  double at_95 = 0, at_100 = 0, at_130 = 0;
};

// Nodes without GPUs are left out. `fgd`: placed by fragmentation, else best fit.
[[nodiscard]] FgdAllocation fgd_protocol(std::span<const Resources> pods,
                                         std::span<const Node> nodes, std::uint64_t seed, bool fgd);

}  // namespace berth::cli
