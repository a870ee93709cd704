// The nodes of a cluster and what is free on them; finds the best place for a demand.
//
// A demand fits a node when three numbers suffice: free CPU, free memory and the GPU `reach`, which
// is the number of fully free devices in thousandths, or the largest free share where no device is
// fully free. Nodes lie in blocks with the maxima of these three numbers, so a search passes over a
// block in which nothing can fit.
//
// Where several nodes fit, the choice keeps large holes whole:
//   CPU only        the node with the fewest free GPU thousandths,
//   a GPU share     the node whose smallest sufficient device share is smallest (so a device that
//   is
//                   shared already comes before a fully free one),
//   whole devices   the node with the fewest fully free devices;
// then the node with the least free overall, each resource measured against the largest node; then
// the lowest index. On the node: the smallest sufficient share, or the first fully free devices.
#pragma once
#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "core/cluster.h"
#include "scheduler/engine.h"

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

class NodeTable {
 public:
  NodeTable() = default;
  explicit NodeTable(std::vector<Node> nodes);  // names must differ

  [[nodiscard]] std::size_t size() const { return nodes_.size(); }
  [[nodiscard]] const Node& node(NodeIndex n) const { return nodes_[n]; }
  [[nodiscard]] std::span<const Node> nodes() const { return nodes_; }
  [[nodiscard]] std::uint32_t active(NodeIndex n) const { return active_[n]; }
  [[nodiscard]] Resources free(NodeIndex n) const;
  [[nodiscard]] std::span<const std::int32_t> devices(NodeIndex n) const;  // free per device
  // CPU, memory and GPU reach: what fits_into() compares a demand with.
  [[nodiscard]] Resources room(NodeIndex n) const {
    return {free_cpu_[n], free_memory_[n], reach_[n]};
  }
  // The most that one demand of this kind (none, share, whole devices) could get on the node.
  [[nodiscard]] Resources room_for(NodeIndex n, const Resources& demand) const;

  // Whether the empty node could hold it; whether any could.
  [[nodiscard]] bool could_hold(const Resources& demand) const;
  [[nodiscard]] static Resources usable_capacity(const Node& node);
  // A weight for a shortage, to compare nodes: each resource relative to the largest node's.
  [[nodiscard]] std::uint64_t weigh(const Resources& amount) const;

  // The best place now, over all nodes or over some.
  [[nodiscard]] std::optional<Placement> find(const Resources& demand) const;
  [[nodiscard]] std::optional<Placement> find_among(std::span<const NodeIndex> nodes,
                                                    const Resources& demand) const;

  void take(const Placement& place, const Resources& demand);  // it must fit
  void give(const Placement& place, const Resources& demand);

  void check() const;  // of what is derived from the free amounts; throws std::logic_error

 private:
  static constexpr std::size_t kBlock = 32;
  struct Best;
  void consider(NodeIndex n, const Resources& demand, Best& best) const;
  [[nodiscard]] Placement place(const Best& best, const Resources& demand) const;
  [[nodiscard]] std::int32_t smallest_share(NodeIndex n, std::int64_t at_least) const;
  void refresh(NodeIndex n, const Resources& before);  // `before`: its room until now
  void refresh_block(std::size_t block);

  // Constant until the node list changes.
  std::vector<Node> nodes_;
  std::vector<std::uint32_t> first_device_;  // of node n; one more at the end
  Resources largest_;                        // the largest capacity per resource
  std::vector<Resources> capacity_kinds_;    // those that no other node exceeds in everything

  // What is free, one array per number. A search reads them in a row.
  std::vector<std::int64_t> free_cpu_;
  std::vector<std::int64_t> free_memory_;
  std::vector<std::int64_t> reach_;
  std::vector<std::int64_t> free_gpu_;  // thousandths over all devices
  std::vector<std::uint64_t> slack_;    // weigh(free)
  std::vector<std::int32_t> device_free_;
  std::vector<std::uint32_t> active_;
  std::vector<Resources> block_room_;  // maxima of room() over a block
};

}  // namespace berth
