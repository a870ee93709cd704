// Which running attempts of one node would have to end so that a demand fits there.
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

  [[nodiscard]] bool holds(const Resources& demand) const;
  void give_back(const ActiveEntry& entry);
  void take_again(const ActiveEntry& entry);
};

// The smallest set of `candidates` whose end makes the demand fit, as indices in rising order; of
// equally small ones the one that comes first, so put first what should end first. Exact up to
// three members (with many candidates: up to two); a larger set is minimal by inclusion: no part of
// it suffices. Absent when not even all of them do, or when more than `at_most` would have to end.
[[nodiscard]] std::optional<std::vector<std::size_t>> smallest_set(
    NodeRoom room, std::span<const ActiveEntry* const> candidates, const Resources& demand,
    std::size_t at_most);

}  // namespace berth
