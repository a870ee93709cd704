#include "scheduler/constraint_table.h"

#include <stdexcept>

#include "base/ensure.h"

namespace berth {

ConstraintTable::Id ConstraintTable::acquire(const Constraint& constraint, const NodeTable& nodes) {
  if (constraint.empty()) return kNone;
  const auto known = ids_.find(constraint);
  if (known != ids_.end()) {
    ++entries_[known->second].users;
    return known->second;
  }
  Id id = static_cast<Id>(entries_.size());
  if (unused_.empty()) {
    entries_.emplace_back();
  } else {
    id = unused_.back();
    unused_.pop_back();
  }
  entries_[id] = {constraint, nodes.allowed_by(constraint), 1};
  ids_.emplace(constraint, id);
  return id;
}

void ConstraintTable::release(Id id) {
  if (id == kNone) return;
  Entry& entry = entries_[id];
  ensure(entry.users > 0, "a constraint is released too often");
  if (--entry.users > 0) return;
  ids_.erase(entry.constraint);
  entry = {};
  unused_.push_back(id);
}

void ConstraintTable::nodes_changed(const NodeTable& nodes) {
  for (const auto& [constraint, id] : ids_) entries_[id].allowed = nodes.allowed_by(constraint);
}

void ConstraintTable::check(const NodeTable& nodes) const {
  const auto must = [](bool ok, const char* sentence) {
    if (!ok) throw std::logic_error(sentence);
  };
  must(ids_.size() + unused_.size() + 1 == entries_.size(), "constraints are lost");
  for (const auto& [constraint, id] : ids_) {
    const Entry& entry = entries_[id];
    must(entry.constraint == constraint && entry.users > 0, "a constraint has a wrong number");
    std::size_t allowed = 0;
    for (NodeIndex n = 0; n < nodes.size(); ++n) {
      const bool here = berth::allows(constraint, nodes.node(n));
      must(here == entry.allowed.contains(n), "a constraint allows other nodes than is known");
      allowed += here ? 1 : 0;
    }
    must(allowed == entry.allowed.size(), "the nodes that a constraint allows are miscounted");
  }
}

}  // namespace berth
