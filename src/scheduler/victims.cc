#include "scheduler/victims.h"

#include <algorithm>

namespace berth {
namespace {

constexpr std::size_t kTriples = 48;  // up to so many candidates all sets of three are tried

using Candidates = std::span<const ActiveEntry* const>;

// Tries all sets of `size` more members from `from` on; true when `chosen` has become enough.
bool complete(NodeRoom& room, Candidates candidates, const Resources& demand, std::size_t from,
              std::size_t size, std::vector<std::size_t>& chosen) {
  if (size == 0) return room.holds(demand);
  for (std::size_t i = from; i + size <= candidates.size(); ++i) {
    room.give_back(*candidates[i]);
    chosen.push_back(i);
    if (complete(room, candidates, demand, i + 1, size - 1, chosen)) return true;
    chosen.pop_back();
    room.take_again(*candidates[i]);
  }
  return false;
}

// From the front as many as it takes; then whoever turns out not to be needed is spared, those who
// should end last first.
std::optional<std::vector<std::size_t>> minimal_set(NodeRoom room, Candidates candidates,
                                                    const Resources& demand) {
  std::vector<std::size_t> chosen;
  for (std::size_t i = 0; i < candidates.size() && !room.holds(demand); ++i) {
    room.give_back(*candidates[i]);
    chosen.push_back(i);
  }
  if (!room.holds(demand)) return std::nullopt;
  for (std::size_t i = chosen.size(); i-- > 0;) {
    const ActiveEntry& spared = *candidates[chosen[i]];
    room.take_again(spared);
    if (room.holds(demand)) {
      chosen.erase(chosen.begin() + static_cast<std::ptrdiff_t>(i));
    } else {
      room.give_back(spared);
    }
  }
  return chosen;
}

}  // namespace

bool NodeRoom::holds(const Resources& demand) const {
  if (demand.cpu_milli > cpu || demand.memory_bytes > memory) return false;
  if (demand.gpu_milli == 0) return true;
  const std::int64_t part = std::min(demand.gpu_milli, kGpuDevice);
  const std::int64_t needed = std::max<std::int64_t>(1, demand.gpu_milli / kGpuDevice);
  return std::ranges::count_if(devices, [&](std::int64_t free) { return free >= part; }) >= needed;
}

void NodeRoom::give_back(const ActiveEntry& entry) {
  cpu += entry.demand.cpu_milli;
  memory += entry.demand.memory_bytes;
  for (const GpuShare& share : entry.placement.gpus) {
    devices[static_cast<std::size_t>(share.device)] += share.milli;
  }
}

void NodeRoom::take_again(const ActiveEntry& entry) {
  cpu -= entry.demand.cpu_milli;
  memory -= entry.demand.memory_bytes;
  for (const GpuShare& share : entry.placement.gpus) {
    devices[static_cast<std::size_t>(share.device)] -= share.milli;
  }
}

std::optional<std::vector<std::size_t>> smallest_set(NodeRoom room, Candidates candidates,
                                                     const Resources& demand, std::size_t at_most) {
  NodeRoom all = room;
  for (const ActiveEntry* entry : candidates) all.give_back(*entry);
  if (!all.holds(demand)) return std::nullopt;
  const std::size_t exact = candidates.size() <= kTriples ? 3 : 2;
  for (std::size_t size = 0; size <= std::min(exact, at_most); ++size) {
    std::vector<std::size_t> chosen;
    if (complete(room, candidates, demand, 0, size, chosen)) return chosen;
  }
  if (at_most <= exact) return std::nullopt;
  auto chosen = minimal_set(std::move(room), candidates, demand);
  if (chosen && chosen->size() > at_most) return std::nullopt;
  return chosen;
}

}  // namespace berth
