// The command line of the simulation, and how a seed is run again.
#pragma once
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "simulation/world.h"

namespace berth::sim {

inline constexpr const char* kUsage =
    "simulation [--first SEED] [--seeds COUNT] [--jobs COUNT] [--lines COUNT] [--go-on]\n"
    "           [--every-fault] [--broken blind_reservation|no_fence|no_hold|effects_first|\n"
    "                                     stop_by_name|no_tombstone] ...\n";

struct Options {
  std::uint64_t first = 1, seeds = 1;
  int jobs = 1;
  std::size_t lines = 40;
  bool go_on = false;        // after a failure
  bool every_fault = false;  // each kind must have struck, and each seed done enough
  std::vector<std::string> broken;
};

[[nodiscard]] std::optional<Options> parse(std::span<char* const> words);
[[nodiscard]] Wish wish_of(const Options& options, std::uint64_t seed);
// The seed once more, with its trace: what broke, the last lines, and the command to repeat it.
[[nodiscard]] std::string replay(const Options& options, std::uint64_t seed);

}  // namespace berth::sim
