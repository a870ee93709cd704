// The nodes of a cluster and what is free on them; finds the best place for a demand.
//
// A demand fits a node when three numbers suffice: free CPU, free memory and the GPU `reach`, which
// is the number of fully free devices in thousandths, or the largest free share where no device is
// fully free. Few nodes are simply all looked at. Many are kept in the order of preference below,
// once for each of the three kinds of demand, so that the first that has enough is the best one;
// the orders are brought up to date when somebody asks, not with each change, because a stop alone
// only asks about its own node.
//
// Where several nodes fit, the choice keeps large holes whole:
//   CPU only        the node with the fewest free GPU thousandths,
//   a GPU share     the node whose smallest sufficient device share is smallest (so a device that
//                   is shared already comes before a fully free one),
//   whole devices   the node with the fewest fully free devices;
// then the node with the least free overall, each resource measured against the largest node; then
// the lowest index. On the node: the smallest sufficient share, or the first fully free devices.
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "core/cluster.h"
#include "core/constraint.h"
#include "scheduler/engine.h"
#include "scheduler/fragmentation.h"
#include "scheduler/node_order.h"
#include "scheduler/node_set.h"

namespace berth {

using NodeIndex = std::uint32_t;

[[nodiscard]] constexpr bool fits_into(const Resources& demand, const Resources& room) {
  return demand.cpu_milli <= room.cpu_milli && demand.memory_bytes <= room.memory_bytes &&
         demand.gpu_milli <= room.gpu_milli;
}
[[nodiscard]] constexpr Resources elementwise_min(const Resources& a, const Resources& b) {
  return {std::min(a.cpu_milli, b.cpu_milli), std::min(a.memory_bytes, b.memory_bytes),
          std::min(a.gpu_milli, b.gpu_milli)};
}
[[nodiscard]] constexpr Resources elementwise_max(const Resources& a, const Resources& b) {
  return {std::max(a.cpu_milli, b.cpu_milli), std::max(a.memory_bytes, b.memory_bytes),
          std::max(a.gpu_milli, b.gpu_milli)};
}
// What is asked beyond `room`, per resource.
[[nodiscard]] constexpr Resources shortage(const Resources& asked, const Resources& room) {
  return elementwise_max({asked.cpu_milli - room.cpu_milli, asked.memory_bytes - room.memory_bytes,
                          asked.gpu_milli - room.gpu_milli},
                         {});
}

// `times` over, at most the largest number there is.
[[nodiscard]] constexpr Resources repeated(const Resources& demand, std::uint32_t times) {
  const auto of = [times](std::int64_t amount) {
    constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
    return amount > kMost / std::max<std::int64_t>(times, 1) ? kMost : amount * times;
  };
  return {of(demand.cpu_milli), of(demand.memory_bytes), of(demand.gpu_milli)};
}
// How many equal demands fit side by side into so much, up to the largest number there is. They can
// be placed one by one in any way: each takes one from the number of those that still fit.
[[nodiscard]] std::uint32_t copies_in(const Resources& demand, std::int64_t cpu,
                                      std::int64_t memory, std::span<const std::int32_t> devices);

class NodeTable {
 public:
  NodeTable() = default;
  // Names must differ. With a mix, the place is the one that leaves the least GPU capacity unusable
  // for it, and only then the best fit.
  explicit NodeTable(std::vector<Node> nodes, std::optional<TaskMix> mix = std::nullopt);
  [[nodiscard]] const std::optional<TaskMix>& mix() const { return mix_; }

  [[nodiscard]] std::size_t size() const { return nodes_.size(); }
  [[nodiscard]] const Node& node(NodeIndex n) const { return nodes_[n]; }
  [[nodiscard]] std::span<const Node> nodes() const { return nodes_; }
  [[nodiscard]] std::uint32_t active(NodeIndex n) const { return active_[n]; }
  [[nodiscard]] Resources free(NodeIndex n) const;
  [[nodiscard]] std::span<const std::int32_t> devices(NodeIndex n) const;  // free per device
  [[nodiscard]] const Resources& total_free() const { return total_free_; }
  [[nodiscard]] const Resources& total_capacity() const { return total_capacity_; }
  // CPU, memory and GPU reach: what fits_into() compares a demand with.
  [[nodiscard]] Resources room(NodeIndex n) const {
    if (frozen_[n] > 0) return {-1, -1, -1};
    return {free_cpu_[n], free_memory_[n], reach_[n]};
  }
  // The same of a node that is being cleared, too.
  [[nodiscard]] Resources open(NodeIndex n) const {
    return {free_cpu_[n], free_memory_[n], reach_[n]};
  }
  // The most that one demand of this kind (none, share, whole devices) could get on the node.
  [[nodiscard]] Resources room_for(NodeIndex n, const Resources& demand) const;

  // Whether any node could hold it while it is empty; with `only`, any of these.
  [[nodiscard]] bool could_hold(const Resources& demand, const NodeSet* only = nullptr) const;
  // How many the nodes could hold at once while they are empty, and how many they can hold now;
  // counted up to `enough`.
  [[nodiscard]] std::uint32_t copies_when_empty(const Resources& demand, const NodeSet* only,
                                                std::uint32_t enough) const;
  [[nodiscard]] std::uint32_t copies(const Resources& demand, const NodeSet* only,
                                     std::uint32_t enough) const;
  [[nodiscard]] std::uint32_t copies_on(NodeIndex n, const Resources& demand) const;
  // room_for() once so many as fit there have been placed on the node.
  [[nodiscard]] Resources room_beside_copies(NodeIndex n, const Resources& demand) const;
  [[nodiscard]] static Resources usable_capacity(const Node& node);
  // A weight for a shortage, to compare nodes: each resource relative to the largest node's.
  [[nodiscard]] std::uint64_t weigh(const Resources& amount) const;

  // Makes find() fast again after changes; it answers the same without.
  void update_order();
  // The best place now, over all nodes or over some; with `only`, of these.
  [[nodiscard]] std::optional<Placement> find(const Resources& demand,
                                              const NodeSet* only = nullptr) const;
  [[nodiscard]] std::optional<Placement> find_among(std::span<const NodeIndex> nodes,
                                                    const Resources& demand,
                                                    const NodeSet* only = nullptr) const;
  [[nodiscard]] NodeSet allowed_by(const Constraint& constraint) const;

  void take(const Placement& place, const Resources& demand);  // it must fit
  void give(const Placement& place, const Resources& demand);

  // A frozen node takes nothing, however much is free on it, until it was thawed as often.
  void freeze(NodeIndex n);
  void thaw(NodeIndex n);
  [[nodiscard]] bool frozen(NodeIndex n) const { return frozen_[n] > 0; }

  void check() const;  // of what is derived from the free amounts; throws std::logic_error

 private:
  static constexpr std::size_t kFewNodes = 64;
  struct Best;
  void consider(NodeIndex n, const Resources& demand, Best& best) const;
  [[nodiscard]] Placement place(const Best& best, const Resources& demand) const;
  [[nodiscard]] std::int32_t smallest_share(NodeIndex n, std::int64_t at_least) const;
  void refresh(NodeIndex n);
  [[nodiscard]] bool ordered() const { return !mix_ && nodes_.size() > kFewNodes; }
  [[nodiscard]] Fragmenting fragmenting(NodeIndex n, const Resources& demand) const;
  void enter(NodeIndex n);
  [[nodiscard]] Best first_in_order(const Resources& demand, const NodeSet* only) const;

  // Constant until the node list changes.
  std::vector<Node> nodes_;
  std::vector<std::uint32_t> first_device_;  // of node n; one more at the end
  Resources largest_;                        // the largest capacity per resource
  std::vector<Resources> capacity_kinds_;    // those that no other node exceeds in everything
  std::vector<NodeIndex> first_alike_;       // of node n: the first with its GPU model and labels

  Resources total_capacity_;
  Resources total_free_;

  // What is free, one array per number. A search reads them in a row.
  std::vector<std::int64_t> free_cpu_;
  std::vector<std::int64_t> free_memory_;
  std::vector<std::int64_t> reach_;
  std::vector<std::int64_t> free_gpu_;  // thousandths over all devices
  std::vector<std::uint64_t> slack_;    // weigh(free)
  std::vector<std::int32_t> device_free_;
  std::vector<std::uint32_t> active_;
  std::vector<std::uint32_t> frozen_;

  // Only with a mix. The growth of fragmentation by demand and node is remembered until the node
  // changes: one placement changes one node. A memory of results, nothing depends on it.
  std::optional<TaskMix> mix_;
  struct Remembered {
    std::uint32_t version = 0;
    Fragmenting value;
  };
  std::vector<std::uint32_t> version_;  // of node n, from 1 on
  mutable std::map<std::array<std::int64_t, 3>, std::vector<Remembered>> remembered_;

  // Only with many nodes.
  NodeOrder by_free_gpu_;  // for demands without a GPU: first is what is free of all devices
  NodeOrder by_share_;     // for shares: an entry for each different share that a node has free
  NodeOrder by_reach_;     // for whole devices: nodes with a fully free device
  struct Entered {
    NodeOrder::Entry plain;
    std::vector<std::int32_t> shares;
    std::int64_t reach = 0;
    bool known = false;
  };
  std::vector<Entered> entered_;    // what the orders hold about node n
  std::vector<NodeIndex> changed_;  // since update_order()
  std::vector<bool> is_changed_;
};

}  // namespace berth
