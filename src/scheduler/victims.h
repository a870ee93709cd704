// Which running attempts would have to end so that a demand fits on a node, or its replicas on
// several.
#pragma once
#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "scheduler/engine.h"

namespace berth {

// What is free on one node.
struct NodeRoom {
  std::int64_t cpu = 0;
  std::int64_t memory = 0;
  std::vector<std::int32_t> devices;
  // Which node it is: of entries with replicas only what they hold there counts. Not said: the
  // first place of each entry is on it.
  std::optional<std::uint32_t> node = {};

  [[nodiscard]] std::uint32_t copies(const Resources& demand) const;  // that fit side by side
  [[nodiscard]] bool holds(const Resources& demand) const;
  void give_back(const ActiveEntry& entry);
  void take_again(const ActiveEntry& entry);
};

// What is free on the nodes on which replicas may run, and how many fit there side by side.
class SharedRoom {
 public:
  explicit SharedRoom(const Resources& demand) : demand_(demand) {}
  void add(NodeRoom room, bool allowed);  // of the next node

  void give_back(const ActiveEntry& entry);
  void take_again(const ActiveEntry& entry);
  [[nodiscard]] std::uint64_t copies() const { return copies_; }

 private:
  template <class Change>
  void change(const ActiveEntry& entry, const Change& change_room);

  Resources demand_;
  std::vector<NodeRoom> rooms_;
  std::vector<bool> allowed_;
  std::uint64_t copies_ = 0;
};

// The entries by the nodes on which they hold something, in their order.
[[nodiscard]] std::vector<std::vector<const ActiveEntry*>> by_node(
    std::span<const ActiveEntry> entries, std::size_t nodes);

// The smallest set of `candidates` whose end makes the demand fit, as indices in rising order; of
// equally small ones the one that comes first, so put first what should end first. Exact up to
// three members (with many candidates: up to two); a larger set is minimal by inclusion: no part of
// it suffices. Absent when not even all of them do, or when more than `at_most` would have to end.
[[nodiscard]] std::optional<std::vector<std::size_t>> smallest_set(
    NodeRoom room, std::span<const ActiveEntry* const> candidates, const Resources& demand,
    std::size_t at_most);
// The same so that many replicas fit on the nodes together; with many candidates exact for one.
[[nodiscard]] std::optional<std::vector<std::size_t>> smallest_set(
    SharedRoom room, std::span<const ActiveEntry* const> candidates, std::uint32_t replicas);

}  // namespace berth
