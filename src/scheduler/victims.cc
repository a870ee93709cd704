#include "scheduler/victims.h"

#include <algorithm>

#include "scheduler/node_table.h"

namespace berth {
namespace {

constexpr std::size_t kTriples = 48;  // up to so many candidates all sets of three are tried

using Candidates = std::span<const ActiveEntry* const>;
using Chosen = std::vector<std::size_t>;

// Tries all sets of `size` more members from `from` on; true when `chosen` has become enough.
template <class Room, class Enough>
bool complete(Room& room, Candidates candidates, const Enough& enough, std::size_t from,
              std::size_t size, Chosen& chosen) {
  if (size == 0) return enough(room);
  for (std::size_t i = from; i + size <= candidates.size(); ++i) {
    room.give_back(*candidates[i]);
    chosen.push_back(i);
    if (complete(room, candidates, enough, i + 1, size - 1, chosen)) return true;
    chosen.pop_back();
    room.take_again(*candidates[i]);
  }
  return false;
}

// From the front as many as it takes, which all of them are; then whoever turns out not to be
// needed is spared, those who should end last first.
template <class Room, class Enough>
Chosen minimal_set(Room room, Candidates candidates, const Enough& enough) {
  Chosen chosen;
  for (std::size_t i = 0; !enough(room); ++i) {
    room.give_back(*candidates[i]);
    chosen.push_back(i);
  }
  for (std::size_t i = chosen.size(); i-- > 0;) {
    const ActiveEntry& spared = *candidates[chosen[i]];
    room.take_again(spared);
    if (enough(room)) {
      chosen.erase(chosen.begin() + static_cast<std::ptrdiff_t>(i));
    } else {
      room.give_back(spared);
    }
  }
  return chosen;
}

// Exact up to so many members.
template <class Room, class Enough>
std::optional<Chosen> smallest(Room room, Candidates candidates, const Enough& enough,
                               std::size_t exact, std::size_t at_most) {
  Room all = room;
  for (const ActiveEntry* entry : candidates) all.give_back(*entry);
  if (!enough(all)) return std::nullopt;
  for (std::size_t size = 0; size <= std::min(exact, at_most); ++size) {
    Chosen chosen;
    if (complete(room, candidates, enough, 0, size, chosen)) return chosen;
  }
  if (at_most <= exact) return std::nullopt;
  Chosen chosen = minimal_set(std::move(room), candidates, enough);
  return chosen.size() > at_most ? std::nullopt : std::optional(std::move(chosen));
}

// Gives back, or takes, what the entry holds on the node.
void change_room(NodeRoom& room, const ActiveEntry& entry, int sign) {
  const auto change = [&](const Placement& place) {
    room.cpu += sign * entry.demand.cpu_milli;
    room.memory += sign * entry.demand.memory_bytes;
    for (const GpuShare& share : place.gpus) {
      room.devices[static_cast<std::size_t>(share.device)] += sign * share.milli;
    }
  };
  if (!room.node) return change(entry.placement);
  for_each_place(entry, [&](const Placement& place) {
    if (place.node == *room.node) change(place);
  });
}

}  // namespace

bool NodeRoom::holds(const Resources& demand) const {
  if (demand.cpu_milli > cpu || demand.memory_bytes > memory) return false;
  if (demand.gpu_milli == 0) return true;
  const std::int64_t part = std::min(demand.gpu_milli, kGpuDevice);
  const std::int64_t needed = std::max<std::int64_t>(1, demand.gpu_milli / kGpuDevice);
  return std::ranges::count_if(devices, [&](std::int64_t free) { return free >= part; }) >= needed;
}

std::uint32_t NodeRoom::copies(const Resources& demand) const {
  return copies_in(demand, cpu, memory, devices);
}

void NodeRoom::give_back(const ActiveEntry& entry) { change_room(*this, entry, 1); }
void NodeRoom::take_again(const ActiveEntry& entry) { change_room(*this, entry, -1); }

void SharedRoom::add(NodeRoom room, bool allowed) {
  if (allowed) copies_ += room.copies(demand_);
  rooms_.push_back(std::move(room));
  allowed_.push_back(allowed);
}

template <class Change>
void SharedRoom::change(const ActiveEntry& entry, const Change& change_room) {
  std::vector<std::uint32_t> on;
  for_each_place(entry, [&](const Placement& place) { on.push_back(place.node); });
  std::ranges::sort(on);
  on.erase(std::ranges::unique(on).begin(), on.end());
  for (const std::uint32_t n : on) {
    if (!allowed_[n]) continue;
    copies_ -= rooms_[n].copies(demand_);
    change_room(rooms_[n]);
    copies_ += rooms_[n].copies(demand_);
  }
}

void SharedRoom::give_back(const ActiveEntry& entry) {
  change(entry, [&](NodeRoom& room) { room.give_back(entry); });
}
void SharedRoom::take_again(const ActiveEntry& entry) {
  change(entry, [&](NodeRoom& room) { room.take_again(entry); });
}

std::vector<std::vector<const ActiveEntry*>> by_node(std::span<const ActiveEntry> entries,
                                                     std::size_t nodes) {
  std::vector<std::vector<const ActiveEntry*>> out(nodes);
  for (const ActiveEntry& entry : entries) {
    for_each_place(entry, [&](const Placement& place) {
      auto& list = out[place.node];
      if (list.empty() || list.back() != &entry) list.push_back(&entry);
    });
  }
  return out;
}

std::optional<std::vector<std::size_t>> smallest_set(NodeRoom room, Candidates candidates,
                                                     const Resources& demand, std::size_t at_most) {
  return smallest(
      std::move(room), candidates, [&](const NodeRoom& then) { return then.holds(demand); },
      candidates.size() <= kTriples ? 3 : 2, at_most);
}

std::optional<std::vector<std::size_t>> smallest_set(SharedRoom room, Candidates candidates,
                                                     std::uint32_t replicas) {
  return smallest(
      std::move(room), candidates,
      [&](const SharedRoom& then) { return then.copies() >= replicas; },
      candidates.size() <= kTriples ? 3 : 1, candidates.size());
}

}  // namespace berth
