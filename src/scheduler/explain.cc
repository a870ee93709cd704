// Why a deployment waits, and who waits in which order. Reads the state, changes nothing.
#include <algorithm>
#include <array>
#include <functional>
#include <unordered_map>

#include "scheduler/engine_impl.h"
#include "scheduler/node_search.h"

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
using Clearings = std::unordered_map<DeploymentId, std::vector<DeploymentId>>;
Clearings clearings(const ClusterEngine::Impl& state) {
  Clearings out;
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

// What is the same for all that ask for the same.
struct Answer {
  std::uint32_t replicas_fit = 0;
  std::optional<TooLarge> too_large;
  std::optional<NodeIndex> nearest;  // absent: there is no node
  Resources free_there;
  Resources free_total;
  Resources largest_hole;
  std::size_t allowed_nodes = 0;
  Constraint constraint;
  std::optional<QuotaExcess> quota;
};

// Explains one after the other of the same state; what equal demands share is found once.
class Explainer {
 public:
  Explainer(const ClusterEngine& engine, const ClusterEngine::Impl& state, std::size_t questions)
      : engine_(engine),
        state_(state),
        search_(state.nodes, questions),
        clearings_(clearings(state)) {}

  Explanation explain(WaitingQueues::Slot slot) {
    const WaitingQueues::Entry& entry = state_.waiting.entry(slot);
    const Shape shape = state_.waiting.shape(slot);
    const NodeSet* only = state_.constraints.allowed(shape.constraint);
    Explanation out;
    if (const auto found = clearings_.find(entry.id); found != clearings_.end()) {
      out.displaced = found->second;
      std::ranges::sort(out.displaced);
    }
    const Asking asking{shape,        only,         entry.priority,
                        entry.parked, entry.awaits, !out.displaced.empty()};
    describe(asking, answer_for(entry, shape, only), out);
    out.id = entry.id;
    place(entry, out);
    return out;
  }

  // All replicas at this moment.
  [[nodiscard]] bool fits(const Shape& shape, const NodeSet* only) const {
    if (only == nullptr && shape.replicas == 1) return search_.find(shape.demand).has_value();
    return replicas_fit(state_.nodes, shape, only) == shape.replicas;
  }
  [[nodiscard]] bool is_cleared_for(const DeploymentId& id) const {
    return clearings_.contains(id);
  }

 private:
  void describe(const Asking& asking, const Answer& answer, Explanation& out) const {
    const Shape& shape = asking.shape;
    out.priority = asking.priority;
    out.demand = shape.demand;
    out.replicas = shape.replicas;
    out.replicas_fit = answer.replicas_fit;
    out.constraint = answer.constraint;
    out.allowed_nodes = answer.allowed_nodes;
    out.quota = answer.quota;
    out.too_large = answer.too_large;
    out.free_total = answer.free_total;
    out.all = reasons(state_, asking, out.replicas_fit == out.replicas);
    out.reason = out.all.front();
    if (!answer.nearest) return;
    out.nearest_node = state_.nodes.node(*answer.nearest).name;
    out.free_there = answer.free_there;
    out.missing = shortage(shape.demand, answer.free_there);
    out.largest_hole = answer.largest_hole;
    const bool considered = !state_.paused && !asking.parked &&
                            (asking.priority == Priority::high || !low_must_wait(state_, shape));
    const Resources smaller = elementwise_min(shape.demand, answer.free_there);
    const bool alone = shape.replicas == 1;
    if (alone && considered && same_shape(shape.demand, smaller) && !out.quota)
      out.would_fit = smaller;
  }

  void place(const WaitingQueues::Entry& entry, Explanation& out) const {
    if (entry.parked) return;
    const OrderedSequence& high = state_.waiting.band(Priority::high).considered;
    if (entry.priority == Priority::high) {
      out.ahead_high = high.rank(entry.order);
    } else {
      out.ahead_high = high.size();
      out.ahead_low = state_.waiting.band(Priority::low).considered.rank(entry.order);
    }
    out.position = out.ahead_high + out.ahead_low + 1;
  }

  const Answer& answer_for(const WaitingQueues::Entry& entry, const Shape& shape,
                           const NodeSet* only) {
    auto& known = answers_[static_cast<std::size_t>(entry.priority)];
    const auto [found, fresh] = known.try_emplace(entry.row);
    if (!fresh) return found->second;
    Answer& out = found->second;
    out.constraint = state_.constraints.constraint(shape.constraint);
    out.allowed_nodes = only == nullptr ? state_.nodes.size() : only->size();
    out.free_total = free_over(state_.nodes, only);
    out.too_large = engine_.never_fits(shape.demand, out.constraint, shape.replicas);
    const Resources headroom = state_.tenants.headroom(shape.tenant);
    if (!within(shape, headroom)) {
      out.quota =
          QuotaExcess{*state_.tenants.quota(shape.tenant), repeated(shape.demand, shape.replicas),
                      state_.tenants.used(shape.tenant), headroom};
    }
    if (only == nullptr && shape.replicas == 1) {
      look_everywhere(shape.demand, out);
    } else {
      look_among(shape, only, out);
    }
    return out;
  }

  void look_everywhere(const Resources& demand, Answer& out) const {
    const auto best = search_.find(demand);
    out.replicas_fit = best ? 1 : 0;
    if (state_.nodes.size() == 0) return;
    out.nearest = best ? best->node : search_.nearest(demand);
    out.free_there = state_.nodes.room_for(*out.nearest, demand);
    out.largest_hole = search_.largest_hole(demand);
  }

  void look_among(const Shape& shape, const NodeSet* only, Answer& out) const {
    const NodeTable& nodes = state_.nodes;
    const Resources& demand = shape.demand;
    out.replicas_fit = replicas_fit(nodes, shape, only);
    // Of replicas some of which would fit, what the next one lacks beside them.
    const bool all_fit = out.replicas_fit == shape.replicas;
    const bool some_fit = shape.replicas > 1 && !all_fit;
    const auto room = [&](NodeIndex n) {
      return some_fit ? nodes.room_beside_copies(n, demand) : nodes.room_for(n, demand);
    };
    if (const auto best = nodes.find(demand, only); best && all_fit) {
      out.nearest = best->node;
    } else {
      out.nearest = nearest_node(nodes, only, demand, room);
    }
    if (!out.nearest) return;
    out.free_there = room(*out.nearest);
    for_each_node(nodes, only, [&](NodeIndex n) {
      out.largest_hole = elementwise_max(out.largest_hole, room(n));
    });
  }

  const ClusterEngine& engine_;
  const ClusterEngine::Impl& state_;
  NodeSearch search_;
  Clearings clearings_;
  std::array<std::unordered_map<ShapeTable::Row, Answer>, 2> answers_;  // by priority
};

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
  return explain(std::span(&id, 1)).front();
}

std::vector<std::optional<Explanation>> ClusterEngine::explain(
    std::span<const DeploymentId> ids) const {
  Explainer explainer(*this, *impl_, ids.size());
  std::vector<std::optional<Explanation>> out;
  out.reserve(ids.size());
  for (const DeploymentId& id : ids) {
    const WaitingQueues::Slot slot = impl_->waiting.find(id);
    out.push_back(slot == WaitingQueues::kNone ? std::nullopt
                                               : std::optional(explainer.explain(slot)));
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

// Of equally many the largest.
std::vector<DeploymentId> blockers_over_nodes(const ClusterEngine::Impl& state,
                                              const Shape& shape) {
  std::vector<const ActiveEntry*> running;
  for (const ActiveEntry& entry : state.active.entries()) running.push_back(&entry);
  const auto rank = [&](const ActiveEntry* e) {
    const auto replicas = static_cast<std::uint32_t>(1 + e->more.size());
    return std::pair(~state.nodes.weigh(repeated(e->demand, replicas)), e->id);
  };
  std::ranges::sort(running, {}, rank);
  const auto chosen = smallest_set(state.shared_room(shape), running, shape.replicas);
  std::vector<DeploymentId> out;
  if (!chosen) return out;
  for (const std::size_t i : *chosen) out.push_back(running[i]->id);
  std::ranges::sort(out);
  return out;
}

}  // namespace

std::vector<DeploymentId> ClusterEngine::blockers(const DeploymentId& id) const {
  const Impl& state = *impl_;
  const WaitingQueues::Slot slot = state.waiting.find(id);
  if (slot == WaitingQueues::kNone) return {};
  const Shape shape = state.waiting.shape(slot);
  const NodeSet* only = state.constraints.allowed(shape.constraint);
  if (replicas_fit(state.nodes, shape, only) == shape.replicas) return {};
  return shape.replicas > 1 ? blockers_over_nodes(state, shape)
                            : blockers_on_one_node(state, shape);
}

std::vector<QueueEntry> ClusterEngine::queue(std::size_t position, std::size_t limit) const {
  const WaitingQueues& waiting = impl_->waiting;
  std::vector<QueueEntry> out;
  const Explainer explainer(*this, *impl_, limit);
  std::size_t skip = position > 0 ? position - 1 : 0;
  std::size_t before = 0;  // all positions of the sequences that came before

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
        const Shape shape = band.shapes.shape(entry.row);
        const NodeSet* only = impl_->constraints.allowed(shape.constraint);
        auto reason = known.find(entry.row);
        if (reason == known.end()) {
          const Asking asking{shape, only, priority, parked, false, false};
          const bool fits_now = explainer.fits(shape, only);
          reason = known.emplace(entry.row, reasons(*impl_, asking, fits_now).front()).first;
        }
        const std::size_t place = parked ? 0 : before + rank + 1;
        const bool cleared_for = explainer.is_cleared_for(entry.id);
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
