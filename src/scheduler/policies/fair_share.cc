#include <algorithm>
#include <limits>

#include "scheduler/policies/policies.h"

namespace berth::policies {
namespace {

constexpr std::uint64_t kAll = std::numeric_limits<std::uint64_t>::max();

// In millionths, rounded down.
std::uint64_t part_of(std::int64_t used, std::int64_t whole) {
  if (used <= 0) return 0;
  if (whole <= 0) return kAll;
  const __int128 millionths = static_cast<__int128>(used) * 1'000'000 / whole;
  return static_cast<std::uint64_t>(std::min(millionths, static_cast<__int128>(kAll)));
}

}  // namespace

std::uint64_t dominant_share(const Resources& used, const std::optional<Quota>& quota,
                             const Resources& capacity) {
  const auto of = [&](std::int64_t Resources::* resource) {
    const bool weighted = quota && quota->nominal.*resource != kNoQuota;
    return part_of(used.*resource, weighted ? quota->nominal.*resource : capacity.*resource);
  };
  return std::max(
      {of(&Resources::cpu_milli), of(&Resources::memory_bytes), of(&Resources::gpu_milli)});
}

}  // namespace berth::policies
