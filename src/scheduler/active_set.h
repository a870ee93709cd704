// The attempts that hold resources, by deployment.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "scheduler/engine.h"
#include "scheduler/slot_index.h"

namespace berth {

[[nodiscard]] inline std::uint64_t hash_of_id(const DeploymentId& id) {
  return mix(IdHash<DeploymentTag>{}(id));
}

class ActiveSet {
 public:
  [[nodiscard]] std::size_t size() const { return entries_.size(); }
  [[nodiscard]] std::span<const ActiveEntry> entries() const { return entries_; }
  [[nodiscard]] bool contains(const DeploymentId& id) const { return find(id) != SlotIndex::kNone; }
  [[nodiscard]] const ActiveEntry* entry(const DeploymentId& id) const {  // null: not there
    const std::uint32_t slot = find(id);
    return slot == SlotIndex::kNone ? nullptr : &entries_[slot];
  }

  const ActiveEntry& leave(const DeploymentId& id, const DeploymentId& for_whom) {
    ActiveEntry& entry = entries_[find(id)];  // it must be there
    entry.leaving_for = for_whom;
    return entry;
  }

  void set_leaving(const DeploymentId& id) {  // nothing when it is not there
    const std::uint32_t slot = find(id);
    if (slot != SlotIndex::kNone) entries_[slot].leaving = true;
  }

  void add(ActiveEntry entry) {  // its id must be new
    const std::uint64_t hash = hash_of_id(entry.id);
    ids_.push_back(entry.id);
    entries_.push_back(std::move(entry));
    index_.insert(hash, static_cast<std::uint32_t>(entries_.size() - 1));
  }

  // Takes the entry out; absent when the id is not active.
  std::optional<ActiveEntry> remove(const DeploymentId& id) {
    const std::uint32_t slot = find(id);
    if (slot == SlotIndex::kNone) return std::nullopt;
    const auto last = static_cast<std::uint32_t>(entries_.size() - 1);
    index_.erase(hash_of_id(id), slot);
    ActiveEntry out = std::move(entries_[slot]);
    if (slot != last) {  // the last entry fills the gap
      entries_[slot] = std::move(entries_[last]);
      ids_[slot] = ids_[last];
      index_.move(hash_of_id(ids_[slot]), last, slot);
    }
    entries_.pop_back();
    ids_.pop_back();
    return out;
  }

  // After a change of the node list: new_index[old] is where each node went.
  void renumber_nodes(std::span<const std::uint32_t> new_index) {
    for (ActiveEntry& entry : entries_) {
      entry.placement.node = new_index[entry.placement.node];
      for (Placement& place : entry.more) place.node = new_index[place.node];
    }
  }

 private:
  [[nodiscard]] std::uint32_t find(const DeploymentId& id) const {
    return index_.find(hash_of_id(id), [&](std::uint32_t slot) { return ids_[slot] == id; });
  }

  std::vector<ActiveEntry> entries_;  // dense, in no particular order
  std::vector<DeploymentId> ids_;     // of the entries: a search need not look at these
  SlotIndex index_;
};

}  // namespace berth
