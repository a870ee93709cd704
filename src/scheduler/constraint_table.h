// The constraints of those that wait, each once, under a small number; and which nodes each allows.
// Nearly all deployments have none: that is number 0, which costs nothing.
#pragma once
#include <cstdint>
#include <map>
#include <vector>

#include "core/constraint.h"
#include "scheduler/node_set.h"
#include "scheduler/node_table.h"

namespace berth {

class ConstraintTable {
 public:
  using Id = std::uint32_t;
  static constexpr Id kNone = 0;

  // Counts its users; the number of one without users is given to another.
  [[nodiscard]] Id acquire(const Constraint& constraint, const NodeTable& nodes);
  void release(Id id);
  [[nodiscard]] const Constraint& constraint(Id id) const { return entries_[id].constraint; }
  // Null: all nodes.
  [[nodiscard]] const NodeSet* allowed(Id id) const {
    return id == kNone ? nullptr : &entries_[id].allowed;
  }
  [[nodiscard]] bool allows(Id id, NodeIndex n) const {
    return id == kNone || entries_[id].allowed.contains(n);
  }
  void nodes_changed(const NodeTable& nodes);

  [[nodiscard]] std::size_t in_use() const { return ids_.size(); }
  // Throws std::logic_error where what is known differs from what the nodes say.
  void check(const NodeTable& nodes) const;

 private:
  struct Entry {
    Constraint constraint;
    NodeSet allowed;
    std::uint32_t users = 0;
  };
  std::vector<Entry> entries_ = std::vector<Entry>(1);  // the first stands for no constraint
  std::map<Constraint, Id> ids_;
  std::vector<Id> unused_;
};

}  // namespace berth
