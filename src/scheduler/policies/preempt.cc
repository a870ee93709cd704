#include <algorithm>

#include "scheduler/policies/policies.h"
#include "scheduler/victims.h"

namespace berth::policies {
namespace {

// High ones stay, and so does what has started because it had waited so long.
bool may_be_displaced(const ClusterEngine::Impl& state, const ActiveEntry& entry) {
  const bool was_overdue = state.rules.age_bound && entry.waited >= *state.rules.age_bound;
  return entry.priority == Priority::low && !was_overdue && entry.leaving_for.is_nil();
}

void sort_youngest_first(std::vector<const ActiveEntry*>& entries) {
  std::ranges::sort(entries, std::ranges::greater{},
                    [](const ActiveEntry* e) { return std::pair(e->order, e->id); });
}

struct NodeView {
  std::vector<const ActiveEntry*> displaceable;  // the youngest admission first
  std::vector<const ActiveEntry*> leaving;       // by themselves: what they hold counts as free
};

std::vector<NodeView> views(const ClusterEngine::Impl& state) {
  std::vector<NodeView> out(state.nodes.size());
  const auto entries = by_node(state.active.entries(), state.nodes.size());
  for (NodeIndex n = 0; n < out.size(); ++n) {
    if (state.nodes.frozen(n)) continue;
    for (const ActiveEntry* entry : entries[n]) {
      if (entry->leaving) {
        out[n].leaving.push_back(entry);
      } else if (may_be_displaced(state, *entry)) {
        out[n].displaceable.push_back(entry);
      }
    }
    sort_youngest_first(out[n].displaceable);
  }
  return out;
}

std::optional<Victims> victims_on_one_node(const ClusterEngine::Impl& state, const Shape& shape) {
  const auto by_node = views(state);
  std::optional<Victims> best;
  std::vector<std::uint64_t> best_orders;
  std::size_t at_most = state.active.size();
  for (NodeIndex n = 0; n < by_node.size(); ++n) {
    const auto& candidates = by_node[n].displaceable;
    if (candidates.empty() && by_node[n].leaving.empty()) continue;
    if (!state.constraints.allows(shape.constraint, n)) continue;
    NodeRoom room = state.room_of(n);
    for (const ActiveEntry* entry : by_node[n].leaving) room.give_back(*entry);
    const auto chosen = smallest_set(std::move(room), candidates, shape.demand, at_most);
    if (!chosen) continue;
    Victims here;
    std::vector<std::uint64_t> orders;
    for (const std::size_t i : *chosen) {
      here.push_back(candidates[i]->id);
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

// Beside what is free already. A node that is being cleared for somebody else counts as full.
std::optional<Victims> victims_over_nodes(const ClusterEngine::Impl& state, const Shape& shape) {
  SharedRoom room(shape.demand);
  for (NodeIndex n = 0; n < state.nodes.size(); ++n) {
    room.add(state.room_of(n),
             !state.nodes.frozen(n) && state.constraints.allows(shape.constraint, n));
  }
  std::vector<const ActiveEntry*> candidates;
  for (const ActiveEntry& entry : state.active.entries()) {
    if (entry.leaving) {
      room.give_back(entry);
    } else if (may_be_displaced(state, entry)) {
      candidates.push_back(&entry);
    }
  }
  sort_youngest_first(candidates);
  const auto chosen = smallest_set(std::move(room), candidates, shape.replicas);
  if (!chosen) return std::nullopt;
  Victims out;
  for (const std::size_t i : *chosen) out.push_back(candidates[i]->id);
  return out;
}

}  // namespace

std::optional<Victims> choose_victims(const ClusterEngine::Impl& state, const Shape& shape) {
  return shape.replicas > 1 ? victims_over_nodes(state, shape) : victims_on_one_node(state, shape);
}

}  // namespace berth::policies

namespace berth {

// For each group of equal high demands the first one, in order.
void ClusterEngine::Impl::preempt(std::vector<Evict>& evictions) {
  const ShapeTable& high = waiting.band(Priority::high).shapes;
  std::vector<Head> first;
  for (const ShapeTable::Row row : high.rows()) {
    if (!high.feasible(row) || high.waiting(row).empty()) continue;
    first.push_back({high.waiting(row).first().key, row});
  }
  std::ranges::sort(first, {}, &Head::order);
  displace(first, evictions);
}

// While an overdue one waits nobody else starts, so there is nobody else to make room for.
void ClusterEngine::Impl::preempt_for_overdue(std::vector<Evict>& evictions) {
  const auto slot = policies::overdue(*this, now);
  if (!slot || waiting.entry(*slot).priority == Priority::low) return;
  displace({{waiting.entry(*slot).order, waiting.entry(*slot).row}}, evictions);
}

// One that is being cleared for waits until that has happened; so does its group.
void ClusterEngine::Impl::displace(const std::vector<Head>& for_whom,
                                   std::vector<Evict>& evictions) {
  std::vector<DeploymentId> served;
  bool any_low = false;
  for (const ActiveEntry& entry : active.entries()) {
    if (!entry.leaving_for.is_nil()) served.push_back(entry.leaving_for);
    any_low = any_low || (entry.priority == Priority::low && entry.leaving_for.is_nil());
  }
  if (!any_low) return;
  const ShapeTable& high = waiting.band(Priority::high).shapes;
  for (const Head& head : for_whom) {
    const DeploymentId id = waiting.entry(high.waiting(head.row).first().value).id;
    if (std::ranges::find(served, id) != served.end()) continue;
    const Shape shape = high.shape(head.row);
    if (!within(shape, tenants.headroom(shape.tenant))) continue;
    const auto victims = policies::choose_victims(*this, shape);
    if (!victims) continue;
    for (const DeploymentId& victim : *victims) {
      for_each_place(active.leave(victim, id),
                     [&](const Placement& place) { nodes.freeze(place.node); });
      evictions.push_back({victim, id});
    }
  }
}

}  // namespace berth
