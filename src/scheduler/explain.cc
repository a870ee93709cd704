// Why a deployment waits, and who waits in which order. Reads the state, changes nothing.
#include <algorithm>
#include <functional>
#include <unordered_map>

#include "scheduler/engine_impl.h"

namespace berth {
namespace {

template <class Do>
void for_each_node(const NodeTable& nodes, const NodeSet* only, Do&& act) {
  if (only != nullptr && only->is_listed()) {
    for (const NodeIndex n : only->list()) act(n);
    return;
  }
  for (NodeIndex n = 0; n < nodes.size(); ++n) {
    if (only == nullptr || only->contains(n)) act(n);
  }
}

// The node where the shortage of `asked` against room(node) weighs least; the first of equals.
// Absent when there is no node.
template <class Room>
std::optional<NodeIndex> nearest_node(const NodeTable& nodes, const NodeSet* only,
                                      const Resources& asked, Room&& room) {
  std::optional<NodeIndex> nearest;
  std::uint64_t least = ~std::uint64_t{0};
  for_each_node(nodes, only, [&](NodeIndex n) {
    const std::uint64_t weight = nodes.weigh(shortage(asked, room(n)));
    if (nearest && weight >= least) return;
    least = weight;
    nearest = n;
  });
  return nearest;
}

Resources free_over(const NodeTable& nodes, const NodeSet* only) {
  if (only == nullptr) return nodes.total_free();
  Resources sum;
  for_each_node(nodes, only, [&](NodeIndex n) { sum += nodes.free(n); });
  return sum;
}

std::uint32_t replicas_fit(const NodeTable& nodes, const Shape& shape, const NodeSet* only) {
  if (shape.replicas > 1) return nodes.copies(shape.demand, only, shape.replicas);
  return nodes.find(shape.demand, only) ? 1 : 0;
}

// What no node satisfies of a constraint that none satisfies as a whole.
Constraint unsatisfied_part(const NodeTable& nodes, const Constraint& constraint) {
  const auto nobody = [&](const Constraint& part) { return nodes.allowed_by(part).size() == 0; };
  Constraint out;
  if (!constraint.gpu_model.empty() && nobody({constraint.gpu_model, {}})) {
    out.gpu_model = constraint.gpu_model;
  }
  for (const auto& label : constraint.labels) {
    if (nobody({{}, {label}})) out.labels.insert(label);
  }
  return out.empty() ? constraint : out;
}

// Smaller, but still some of everything that was asked for.
bool same_shape(const Resources& asked, const Resources& smaller) {
  return (asked.cpu_milli == 0) == (smaller.cpu_milli == 0) &&
         (asked.memory_bytes == 0) == (smaller.memory_bytes == 0) &&
         (asked.gpu_milli == 0) == (smaller.gpu_milli == 0) && asked != smaller;
}

struct Asking {
  Shape shape;
  const NodeSet* only = nullptr;  // null: all nodes
  Priority priority = Priority::low;
  bool parked = false;
  bool awaits = false;       // parked because of others
  bool cleared_for = false;  // some are being displaced for it
};

// Whom the evicted make room for, with those that do.
std::unordered_map<DeploymentId, std::vector<DeploymentId>, IdHash<DeploymentTag>> clearings(
    const ClusterEngine::Impl& state) {
  std::unordered_map<DeploymentId, std::vector<DeploymentId>, IdHash<DeploymentTag>> out;
  if (!state.rules.preempt) return out;
  for (const ActiveEntry& entry : state.active.entries()) {
    if (!entry.leaving_for.is_nil()) out[entry.leaving_for].push_back(entry.id);
  }
  return out;
}

// Behind a high one that may start when there is room, or one of the same tenant that waits for its
// quota.
bool low_must_wait(const ClusterEngine::Impl& state, const Shape& shape) {
  return state.low_is_blocked() ||
         (state.tenants.has_quotas() &&
          state.waiting.band(Priority::high).shapes.rows_in(shape.tenant) > 0);
}

// Every reason that applies, in the order of precedence of core/reason.h.
std::vector<Reason> reasons(const ClusterEngine::Impl& state, const Asking& asking, bool fits_now) {
  std::vector<Reason> out;
  const bool feasible = state.could_hold(asking.shape);
  if (!feasible) out.push_back(Reason::exceeds_cluster);
  if (!within(asking.shape, state.tenants.headroom(asking.shape.tenant))) {
    out.push_back(Reason::exceeds_quota);
  }
  if (state.paused) out.push_back(Reason::cluster_paused);
  if (asking.awaits) out.push_back(Reason::waiting_for_dependency);
  if (asking.cleared_for) {
    out.push_back(Reason::preempting);
  } else if (feasible && !fits_now) {
    const Resources all = repeated(asking.shape.demand, asking.shape.replicas);
    out.push_back(fits_into(all, free_over(state.nodes, asking.only))
                      ? Reason::fragmented
                      : Reason::waiting_for_capacity);
  }
  if (asking.priority == Priority::low && low_must_wait(state, asking.shape)) {
    out.push_back(Reason::behind_higher_priority);
  }
  if (asking.parked && !asking.awaits) out.push_back(Reason::backoff_after_failure);
  if (out.empty()) out.push_back(Reason::pending_evaluation);  // restored, not settled yet
  return out;
}

// The node that misses least, what it has, and what of it would start at once.
void describe_nearest(const ClusterEngine::Impl& state, const Asking& asking,
                      const std::optional<Placement>& best, Explanation& out) {
  const NodeTable& nodes = state.nodes;
  const Resources& demand = asking.shape.demand;
  const bool some_fit = asking.shape.replicas > 1 && out.replicas_fit < asking.shape.replicas;
  const auto room = [&](NodeIndex n) {
    return some_fit ? nodes.room_beside_copies(n, demand) : nodes.room_for(n, demand);
  };
  const auto nearest =
      best ? std::optional(best->node) : nearest_node(nodes, asking.only, demand, room);
  if (!nearest) return;
  out.nearest_node = nodes.node(*nearest).name;
  out.free_there = room(*nearest);
  out.missing = shortage(demand, out.free_there);
  for_each_node(nodes, asking.only, [&](NodeIndex n) {
    out.largest_hole = elementwise_max(out.largest_hole, room(n));
  });
  const bool considered =
      !state.paused && !asking.parked &&
      (asking.priority == Priority::high || !low_must_wait(state, asking.shape));
  const Resources smaller = elementwise_min(demand, out.free_there);
  const bool alone = asking.shape.replicas == 1;
  if (alone && considered && same_shape(demand, smaller) && !out.quota) out.would_fit = smaller;
}

}  // namespace

std::optional<TooLarge> ClusterEngine::never_fits(const Resources& demand) const {
  if (impl_->nodes.could_hold(demand)) return std::nullopt;
  return never_fits(demand, {});
}

std::optional<TooLarge> ClusterEngine::never_fits(const Resources& demand,
                                                  const Constraint& constraint,
                                                  std::uint32_t replicas) const {
  const NodeTable& nodes = impl_->nodes;
  std::optional<NodeSet> allowed;
  if (!constraint.empty()) allowed = nodes.allowed_by(constraint);
  const NodeSet* only = allowed ? &*allowed : nullptr;
  TooLarge out{demand, {}, {}};
  out.replicas = replicas;
  if (nodes.could_hold(demand, only)) {
    out.replicas_fit = replicas == 1 ? 1 : nodes.copies_when_empty(demand, only, replicas);
    if (out.replicas_fit == replicas) return std::nullopt;
  }
  const auto capacity = [&](NodeIndex n) { return NodeTable::usable_capacity(nodes.node(n)); };
  if (const auto nearest = nearest_node(nodes, only, demand, capacity)) {
    out.largest = elementwise_min(demand, capacity(*nearest));
    out.node = nodes.node(*nearest).name;
  } else if (only != nullptr) {
    out.unsatisfied = unsatisfied_part(nodes, constraint);
  }
  return out;
}

std::optional<Explanation> ClusterEngine::explain(const DeploymentId& id) const {
  const WaitingQueues& waiting = impl_->waiting;
  const WaitingQueues::Slot slot = waiting.find(id);
  if (slot == WaitingQueues::kNone) return std::nullopt;
  const WaitingQueues::Entry& entry = waiting.entry(slot);
  const Shape& shape = waiting.shape(slot);
  const NodeSet* only = impl_->constraints.allowed(shape.constraint);
  Explanation out;
  auto clearing = clearings(*impl_);
  if (const auto found = clearing.find(id); found != clearing.end()) {
    out.displaced = std::move(found->second);
    std::ranges::sort(out.displaced);
  }
  const Asking asking{shape,        only,         entry.priority,
                      entry.parked, entry.awaits, !out.displaced.empty()};
  out.id = id;
  out.priority = asking.priority;
  out.demand = shape.demand;
  out.free_total = free_over(impl_->nodes, only);
  out.constraint = impl_->constraints.constraint(shape.constraint);
  out.allowed_nodes = only == nullptr ? impl_->nodes.size() : only->size();
  const auto best = impl_->nodes.find(shape.demand, only);
  out.replicas = shape.replicas;
  const Resources headroom = impl_->tenants.headroom(shape.tenant);
  if (!within(shape, headroom)) {
    out.quota =
        QuotaExcess{*impl_->tenants.quota(shape.tenant), repeated(shape.demand, shape.replicas),
                    impl_->tenants.used(shape.tenant), headroom};
  }
  out.replicas_fit = replicas_fit(impl_->nodes, shape, only);
  out.all = reasons(*impl_, asking, out.replicas_fit == out.replicas);
  out.reason = out.all.front();
  out.too_large = never_fits(shape.demand, out.constraint, shape.replicas);
  describe_nearest(*impl_, asking, out.replicas_fit == out.replicas ? best : std::nullopt, out);
  if (!entry.parked) {
    const OrderedSequence& high = waiting.band(Priority::high).considered;
    if (entry.priority == Priority::high) {
      out.ahead_high = high.rank(entry.order);
    } else {
      out.ahead_high = high.size();
      out.ahead_low = waiting.band(Priority::low).considered.rank(entry.order);
    }
    out.position = out.ahead_high + out.ahead_low + 1;
  }
  return out;
}

namespace {

// The answer must not depend on the layout of the table.
constexpr auto kById = [](const ActiveEntry* e) { return e->id; };

std::vector<DeploymentId> blockers_on_one_node(const ClusterEngine::Impl& state,
                                               const Shape& shape) {
  auto running = by_node(state.active.entries(), state.nodes.size());
  std::vector<DeploymentId> best;
  std::size_t at_most = state.active.size();
  for (NodeIndex n = 0; n < running.size() && at_most > 0; ++n) {
    if (!state.constraints.allows(shape.constraint, n)) continue;
    std::ranges::sort(running[n], {}, kById);
    const auto chosen = smallest_set(state.room_of(n), running[n], shape.demand, at_most);
    if (!chosen) continue;
    best.clear();
    for (const std::size_t i : *chosen) best.push_back(running[n][i]->id);
    at_most = best.size() - std::min<std::size_t>(best.size(), 1);  // the next must be smaller
  }
  return best;
}

// The largest first until it is enough; then whoever turns out not to be needed is spared.
std::vector<DeploymentId> blockers_over_nodes(const ClusterEngine::Impl& state,
                                              const Shape& shape) {
  std::vector<const ActiveEntry*> running;
  for (const ActiveEntry& entry : state.active.entries()) running.push_back(&entry);
  const auto rank = [&](const ActiveEntry* e) {
    const auto replicas = static_cast<std::uint32_t>(1 + e->more.size());
    return std::pair(~state.nodes.weigh(repeated(e->demand, replicas)), e->id);
  };
  std::ranges::sort(running, {}, rank);
  SharedRoom room = state.shared_room(shape);
  std::vector<const ActiveEntry*> chosen;
  for (const ActiveEntry* entry : running) {
    if (room.copies() >= shape.replicas) break;
    room.give_back(*entry);
    chosen.push_back(entry);
  }
  if (room.copies() < shape.replicas) return {};
  for (std::size_t i = chosen.size(); i-- > 0;) {
    room.take_again(*chosen[i]);
    if (room.copies() >= shape.replicas) {
      chosen.erase(chosen.begin() + static_cast<std::ptrdiff_t>(i));
    } else {
      room.give_back(*chosen[i]);
    }
  }
  std::ranges::sort(chosen, {}, kById);
  std::vector<DeploymentId> out;
  for (const ActiveEntry* entry : chosen) out.push_back(entry->id);
  return out;
}

}  // namespace

std::vector<DeploymentId> ClusterEngine::blockers(const DeploymentId& id) const {
  const Impl& state = *impl_;
  const WaitingQueues::Slot slot = state.waiting.find(id);
  if (slot == WaitingQueues::kNone) return {};
  const Shape& shape = state.waiting.shape(slot);
  const NodeSet* only = state.constraints.allowed(shape.constraint);
  if (replicas_fit(state.nodes, shape, only) == shape.replicas) return {};
  return shape.replicas > 1 ? blockers_over_nodes(state, shape)
                            : blockers_on_one_node(state, shape);
}

std::vector<QueueEntry> ClusterEngine::queue(std::size_t position, std::size_t limit) const {
  const WaitingQueues& waiting = impl_->waiting;
  std::vector<QueueEntry> out;
  std::size_t skip = position > 0 ? position - 1 : 0;
  std::size_t before = 0;  // all positions of the sequences that came before
  const auto clearing = clearings(*impl_);

  const auto list = [&](Priority priority, bool parked) {
    const WaitingQueues::Band& band = waiting.band(priority);
    const OrderedSequence& sequence = parked ? band.parked : band.considered;
    std::unordered_map<ShapeTable::Row, Reason> known;  // equal demands wait for the same reason
    std::size_t rank = std::min(skip, sequence.size());
    skip -= rank;
    while (out.size() < limit && rank < sequence.size()) {
      const auto run = sequence.run(rank);
      for (std::size_t i = 0; i < run.values.size() && out.size() < limit; ++i, ++rank) {
        const WaitingQueues::Entry& entry = waiting.entry(run.values[i]);
        const Resources& demand = band.shapes.demand(entry.row);
        const Shape& shape = band.shapes.shape(entry.row);
        const NodeSet* only = impl_->constraints.allowed(shape.constraint);
        auto reason = known.find(entry.row);
        if (reason == known.end()) {
          const Asking asking{shape, only, priority, parked, false, false};
          const bool fits_now = replicas_fit(impl_->nodes, shape, only) == shape.replicas;
          reason = known.emplace(entry.row, reasons(*impl_, asking, fits_now).front()).first;
        }
        const std::size_t place = parked ? 0 : before + rank + 1;
        const bool cleared_for = clearing.contains(entry.id);
        const Reason why =
            cleared_for || entry.awaits
                ? reasons(*impl_, {shape, only, priority, parked, entry.awaits, cleared_for}, false)
                      .front()
                : reason->second;
        out.push_back({entry.id, priority, entry.order, demand, place, why});
      }
    }
    before += sequence.size();
  };
  for (const bool parked : {false, true}) {
    for (const Priority priority : {Priority::high, Priority::low}) list(priority, parked);
  }
  return out;
}

}  // namespace berth
