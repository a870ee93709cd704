#include "scheduler/node_search.h"

#include <algorithm>
#include <numeric>

namespace berth {
namespace {

// Of what a node has free, what a demand of this kind can use (as NodeTable::room_for).
Resources usable(const Resources& free, const Resources& demand) {
  Resources out = free;
  if (demand.gpu_milli >= kGpuDevice) {
    out.gpu_milli = free.gpu_milli / kGpuDevice * kGpuDevice;
  } else {
    out.gpu_milli = demand.gpu_milli == 0 ? 0 : std::min(free.gpu_milli, kGpuDevice);
  }
  return out;
}

}  // namespace

NodeSearch::NodeSearch(const NodeTable& nodes, std::size_t questions) : nodes_(nodes) {
  if (questions < kFewQuestions || nodes.size() < kFewNodes) return;
  order_.resize(nodes.size());
  std::iota(order_.begin(), order_.end(), NodeIndex{0});
  build(0, static_cast<std::uint32_t>(order_.size()));
}

// Halves along the resource in which the nodes differ most, down to small leaves.
void NodeSearch::build(std::uint32_t begin, std::uint32_t end) {
  const auto here = static_cast<std::uint32_t>(parts_.size());
  Part part{nodes_.open(order_[begin]), order_[begin], begin, end, 0};
  Resources least = part.most;
  for (std::uint32_t i = begin; i < end; ++i) {
    const Resources free = nodes_.open(order_[i]);
    part.most = elementwise_max(part.most, free);
    least = elementwise_min(least, free);
    part.lowest = std::min(part.lowest, order_[i]);
  }
  parts_.push_back(part);
  if (end - begin <= kLeaf) return;
  const Resources width = shortage(part.most, least);
  const std::array weights{nodes_.weigh({width.cpu_milli, 0, 0}),
                           nodes_.weigh({0, width.memory_bytes, 0}),
                           nodes_.weigh({0, 0, width.gpu_milli})};
  const auto axis = std::ranges::max_element(weights) - weights.begin();
  const auto along = [&](NodeIndex n) {
    const Resources free = nodes_.open(n);
    return axis == 0 ? free.cpu_milli : axis == 1 ? free.memory_bytes : free.gpu_milli;
  };
  const std::uint32_t middle = begin + (end - begin) / 2;
  std::ranges::nth_element(order_.begin() + begin, order_.begin() + middle, order_.begin() + end,
                           {}, along);
  build(begin, middle);
  parts_[here].right = static_cast<std::uint32_t>(parts_.size());
  build(middle, end);
}

std::uint64_t NodeSearch::at_least(const Part& part, const Resources& demand) const {
  return nodes_.weigh(shortage(demand, usable(part.most, demand)));
}

void NodeSearch::nearest(std::uint32_t at, const Resources& demand, Nearest& best) const {
  const Part& part = parts_[at];
  if (part.right == 0) {
    for (std::uint32_t i = part.begin; i < part.end; ++i) {
      const NodeIndex n = order_[i];
      const auto weight = nodes_.weigh(shortage(demand, nodes_.room_for(n, demand)));
      if (std::pair(weight, n) < std::pair(best.weight, best.node)) best = {weight, n};
    }
    return;
  }
  std::array children{std::pair(at_least(parts_[at + 1], demand), at + 1),
                      std::pair(at_least(parts_[part.right], demand), part.right)};
  if (children[1].first < children[0].first) std::swap(children[0], children[1]);
  for (const auto& [weight, child] : children) {
    if (std::pair(weight, parts_[child].lowest) < std::pair(best.weight, best.node)) {
      nearest(child, demand, best);
    }
  }
}

NodeIndex NodeSearch::nearest(const Resources& demand) const {
  Nearest best;
  if (!parts_.empty()) {
    nearest(0, demand, best);
    return best.node;
  }
  for (NodeIndex n = 0; n < nodes_.size(); ++n) {
    const auto weight = nodes_.weigh(shortage(demand, nodes_.room_for(n, demand)));
    if (weight < best.weight) best = {weight, n};
  }
  return best.node;
}

bool NodeSearch::any_fits(std::uint32_t at, const Resources& demand) const {
  const Part& part = parts_[at];
  if (!fits_into(demand, part.most)) return false;
  if (part.right != 0) return any_fits(at + 1, demand) || any_fits(part.right, demand);
  return std::any_of(order_.begin() + part.begin, order_.begin() + part.end,
                     [&](NodeIndex n) { return fits_into(demand, nodes_.room(n)); });
}

std::optional<Placement> NodeSearch::find(const Resources& demand) const {
  if (!parts_.empty() && !any_fits(0, demand)) return std::nullopt;
  return nodes_.find(demand);
}

Resources NodeSearch::largest_hole(const Resources& demand) const {
  const std::size_t kind = demand.gpu_milli == 0 ? 0 : demand.gpu_milli < kGpuDevice ? 1 : 2;
  auto& hole = holes_[kind];
  if (!hole) {
    hole = Resources{};
    for (NodeIndex n = 0; n < nodes_.size(); ++n) {
      hole = elementwise_max(*hole, nodes_.room_for(n, demand));
    }
  }
  return *hole;
}

}  // namespace berth
