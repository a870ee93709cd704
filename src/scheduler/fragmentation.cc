#include "scheduler/fragmentation.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <map>
#include <tuple>

namespace berth {
namespace {

// The paper asks whether one task fits. On top of it counts, with less weight, how much of the GPU
// capacity tasks of the kind could take together before CPU or memory ends: it tells nodes apart
// that look alike to a single task.
constexpr std::int64_t kForOne = 20;
constexpr std::int64_t kForMany = 1;

// What is free on a node, with the devices in order and the sums from the smallest up: the
// unusable part for any share is one look-up.
struct NodeView {
  explicit NodeView(const Resources& room, std::span<const std::int32_t> free)
      : cpu(room.cpu_milli), memory(room.memory_bytes), devices(free.begin(), free.end()) {
    std::ranges::sort(devices);
    for (const std::int32_t part : devices) {
      total += part;
      whole += part == kGpuDevice ? 1 : 0;
    }
  }

  [[nodiscard]] std::int64_t unusable_for(const Resources& demand) const {
    const std::int64_t usable = usable_devices(demand.gpu_milli);
    const bool runs = demand.cpu_milli <= cpu && demand.memory_bytes <= memory;
    if (!runs || usable < demand.gpu_milli) return total * (kForOne + kForMany);
    const std::int64_t together = std::min(usable, copies(demand) * demand.gpu_milli);
    return kForOne * (total - usable) + kForMany * (total - together);
  }

  // What lies free on the devices that such a demand can use.
  [[nodiscard]] std::int64_t usable_devices(std::int64_t gpu) const {
    if (gpu == 0) return 0;
    if (gpu >= kGpuDevice) return whole * kGpuDevice;
    std::int64_t usable = 0;
    for (auto it = devices.rbegin(); it != devices.rend() && *it >= gpu; ++it) usable += *it;
    return usable;
  }

  [[nodiscard]] std::int64_t copies(const Resources& demand) const {
    std::int64_t out = std::numeric_limits<std::int32_t>::max();
    if (demand.cpu_milli > 0) out = std::min(out, cpu / demand.cpu_milli);
    if (demand.memory_bytes > 0) out = std::min(out, memory / demand.memory_bytes);
    return out;
  }

  std::int64_t cpu;
  std::int64_t memory;
  std::vector<std::int32_t> devices;
  std::int64_t total = 0;
  std::int64_t whole = 0;
};

std::int64_t weighted(const TaskMix& mix, const NodeView& node) {
  std::int64_t sum = 0;
  for (const TaskMix::Kind& kind : mix.kinds) sum += kind.weight * node.unusable_for(kind.demand);
  return sum;
}

}  // namespace

TaskMix TaskMix::of(std::span<const Resources> demands, int percent) {
  std::map<std::tuple<std::int64_t, std::int64_t, std::int64_t>, std::int64_t> counts;
  for (const Resources& d : demands) ++counts[{d.cpu_milli, d.memory_bytes, d.gpu_milli}];
  TaskMix out;
  for (const auto& [key, count] : counts) {
    const auto [cpu, memory, gpu] = key;
    out.kinds.push_back({{cpu, memory, gpu}, count});
  }
  // Equally frequent ones stay in the order of the map, which is the same everywhere.
  const auto rank = [](const Kind& kind) {
    const Resources& d = kind.demand;
    return std::tuple(-kind.weight, d.cpu_milli, d.memory_bytes, d.gpu_milli);
  };
  std::ranges::sort(out.kinds, {}, rank);
  const std::int64_t enough = std::ssize(demands) * percent / 100;
  std::int64_t sum = 0;
  std::size_t keep = 0;
  while (keep < out.kinds.size() && sum < enough) sum += out.kinds[keep++].weight;
  out.kinds.resize(keep);
  return out;
}

double unusable_gpu(const TaskMix& mix, const Resources& free,
                    std::span<const std::int32_t> devices) {
  const NodeView node(free, devices);
  std::int64_t sum = 0;
  std::int64_t weights = 0;
  for (const TaskMix::Kind& kind : mix.kinds) {
    const std::int64_t usable = node.usable_devices(kind.demand.gpu_milli);
    const bool runs = kind.demand.cpu_milli <= node.cpu && kind.demand.memory_bytes <= node.memory;
    const bool fits = runs && usable >= kind.demand.gpu_milli;
    sum += kind.weight * (fits ? node.total - usable : node.total);
    weights += kind.weight;
  }
  return weights == 0 ? 0 : static_cast<double>(sum) / static_cast<double>(weights);
}

std::int64_t fragmentation(const TaskMix& mix, const Resources& free,
                           std::span<const std::int32_t> devices) {
  return weighted(mix, NodeView(free, devices));
}

Fragmenting least_fragmenting(const TaskMix& mix, const Resources& demand, const Resources& free,
                              std::span<const std::int32_t> devices) {
  const std::int64_t before = fragmentation(mix, free, devices);
  const Resources left{free.cpu_milli - demand.cpu_milli, free.memory_bytes - demand.memory_bytes,
                       0};
  std::vector<std::int32_t> after(devices.begin(), devices.end());
  if (demand.gpu_milli == 0 || demand.gpu_milli >= kGpuDevice) {
    std::int64_t whole = demand.gpu_milli / kGpuDevice;
    for (std::int32_t& part : after) {
      if (whole == 0) break;
      if (part != kGpuDevice) continue;
      part = 0;
      --whole;
    }
    return {fragmentation(mix, left, after) - before, 0};
  }
  Fragmenting best;
  std::vector<std::int32_t> tried;
  for (std::size_t d = 0; d < after.size(); ++d) {
    const std::int32_t part = devices[d];
    if (part < demand.gpu_milli || std::ranges::find(tried, part) != tried.end()) continue;
    after[d] = part - static_cast<std::int32_t>(demand.gpu_milli);
    const Fragmenting here{fragmentation(mix, left, after) - before, part};
    after[d] = part;
    const bool better =
        std::tuple(here.growth, here.share_of) < std::tuple(best.growth, best.share_of);
    if (tried.empty() || better) best = here;
    tried.push_back(part);
  }
  return best;
}

}  // namespace berth
