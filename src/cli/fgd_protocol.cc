#include "cli/fgd_protocol.h"

#include <random>
#include <utility>

#include "scheduler/simulation.h"

namespace berth::cli {

FgdAllocation fgd_protocol(std::span<const Resources> pods, std::span<const Node> nodes,
                           std::uint64_t seed, bool fgd) {
  std::vector<Node> with_gpus;
  std::int64_t capacity = 0;
  for (const Node& node : nodes) {
    if (node.devices() == 0) continue;
    with_gpus.push_back(node);
    capacity += node.devices() * kGpuDevice;
  }
  Rules rules;
  if (fgd) rules.mix = TaskMix::of(pods);
  ClusterEngine engine(Policy::strict, with_gpus, false, std::move(rules));

  // Each pod once, in random order, then again from the list as long as it takes.
  std::mt19937_64 random(seed);
  std::vector<Resources> order(pods.begin(), pods.end());
  for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random() % i]);

  FgdAllocation out;
  std::int64_t arrived = 0;
  std::int64_t allocated = 0;
  const auto percent = [&] {
    return 100.0 * static_cast<double>(allocated) / static_cast<double>(capacity);
  };
  for (std::uint64_t n = 0; arrived * 100 < capacity * 130; ++n) {
    const Resources& demand = n < order.size() ? order[n] : order[random() % order.size()];
    arrived += demand.gpu_milli;
    if (!engine.never_fits(demand)) {
      const auto starts =
          engine.apply(Queued{simulated_id(n), Priority::low, n + 1, demand, false});
      if (!starts.empty()) allocated += demand.gpu_milli;
    }
    if (arrived * 100 <= capacity * 95) out.at_95 = percent();
    if (arrived <= capacity) out.at_100 = percent();
  }
  out.at_130 = percent();
  return out;
}

}  // namespace berth::cli
