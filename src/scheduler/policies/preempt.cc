#include <algorithm>

#include "scheduler/policies/policies.h"
#include "scheduler/victims.h"

namespace berth::policies {
namespace {

struct NodeView {
  std::vector<const ActiveEntry*> displaceable;  // the youngest admission first
  std::vector<const ActiveEntry*> leaving;       // by themselves: what they hold counts as free
};

// What had waited up to the age bound keeps its place, or it would be put off without end.
bool is_protected(const Rules& rules, const ActiveEntry& entry) {
  return rules.age_bound && entry.started - entry.since >= *rules.age_bound;
}

std::vector<NodeView> views(const ClusterEngine::Impl& state) {
  std::vector<NodeView> by_node(state.nodes.size());
  for (const ActiveEntry& entry : state.active.entries()) {
    const NodeIndex node = entry.placement.node;
    if (state.nodes.frozen(node)) continue;
    if (entry.leaving) {
      by_node[node].leaving.push_back(&entry);
    } else if (entry.priority == Priority::low && !is_protected(state.rules, entry)) {
      by_node[node].displaceable.push_back(&entry);
    }
  }
  for (auto& view : by_node) {
    std::ranges::sort(view.displaceable, std::ranges::greater{},
                      [](const ActiveEntry* e) { return std::pair(e->order, e->id); });
  }
  return by_node;
}

}  // namespace

std::optional<Victims> choose_victims(const ClusterEngine::Impl& state, const Resources& demand) {
  const auto by_node = views(state);
  std::optional<Victims> best;
  std::vector<std::uint64_t> best_orders;
  std::size_t at_most = state.active.size();
  for (NodeIndex n = 0; n < by_node.size(); ++n) {
    const auto& candidates = by_node[n].displaceable;
    if (candidates.empty() && by_node[n].leaving.empty()) continue;
    NodeRoom room = state.room_of(n);
    for (const ActiveEntry* entry : by_node[n].leaving) room.give_back(*entry);
    const auto chosen = smallest_set(std::move(room), candidates, demand, at_most);
    if (!chosen) continue;
    Victims here{n, {}};
    std::vector<std::uint64_t> orders;
    for (const std::size_t i : *chosen) {
      here.ids.push_back(candidates[i]->id);
      orders.push_back(candidates[i]->order);
    }
    // Fewer first; of equally many the younger ones, which have larger admission numbers.
    if (best && (orders.size() > best_orders.size() ||
                 (orders.size() == best_orders.size() && orders <= best_orders))) {
      continue;
    }
    best = std::move(here);
    best_orders = std::move(orders);
    at_most = best_orders.size();
  }
  return best;
}

}  // namespace berth::policies

namespace berth {

// For each group of equal high demands the first one, in order. One that is being cleared for waits
// until that has happened; so does its group.
void ClusterEngine::Impl::preempt(std::vector<Evict>& evictions) {
  std::vector<DeploymentId> served;
  bool any_low = false;
  for (const ActiveEntry& entry : active.entries()) {
    if (!entry.leaving_for.is_nil()) served.push_back(entry.leaving_for);
    any_low = any_low || (entry.priority == Priority::low && entry.leaving_for.is_nil());
  }
  if (!any_low) return;
  const ShapeTable& high = waiting.band(Priority::high).shapes;
  std::vector<Head> first;
  for (const ShapeTable::Row row : high.rows()) {
    if (!high.feasible(row) || high.waiting(row).empty()) continue;
    first.push_back({high.waiting(row).first().key, row});
  }
  std::ranges::sort(first, {}, &Head::order);
  for (const Head& head : first) {
    const DeploymentId id = waiting.entry(high.waiting(head.row).first().value).id;
    if (std::ranges::find(served, id) != served.end()) continue;
    const auto victims = policies::choose_victims(*this, high.demand(head.row));
    if (!victims) continue;
    for (const DeploymentId& victim : victims->ids) {
      active.leave(victim, id);
      nodes.freeze(victims->node);
      evictions.push_back({victim, id});
    }
  }
}

}  // namespace berth
