#include <algorithm>

#include "scheduler/policies/policies.h"
#include "scheduler/victims.h"

namespace berth::policies {
namespace {

// The low attempts that may be displaced, by node, the youngest admission first.
std::vector<std::vector<const ActiveEntry*>> displaceable(const ClusterEngine::Impl& state) {
  std::vector<std::vector<const ActiveEntry*>> by_node(state.nodes.size());
  for (const ActiveEntry& entry : state.active.entries()) {
    const NodeIndex node = entry.placement.node;
    const bool was_overdue = state.rules.age_bound && entry.waited >= *state.rules.age_bound;
    if (entry.priority == Priority::low && !was_overdue && !state.nodes.frozen(node)) {
      by_node[node].push_back(&entry);
    }
  }
  for (auto& list : by_node) {
    std::ranges::sort(list, std::ranges::greater{},
                      [](const ActiveEntry* e) { return std::pair(e->order, e->id); });
  }
  return by_node;
}

}  // namespace

std::optional<Victims> choose_victims(const ClusterEngine::Impl& state, const Resources& demand) {
  const auto by_node = displaceable(state);
  std::optional<Victims> best;
  std::vector<std::uint64_t> best_orders;
  std::size_t at_most = state.active.size();
  for (NodeIndex n = 0; n < by_node.size(); ++n) {
    if (by_node[n].empty()) continue;
    const auto chosen = smallest_set(state.room_of(n), by_node[n], demand, at_most);
    if (!chosen) continue;
    Victims here{n, {}};
    std::vector<std::uint64_t> orders;
    for (const std::size_t i : *chosen) {
      here.ids.push_back(by_node[n][i]->id);
      orders.push_back(by_node[n][i]->order);
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
