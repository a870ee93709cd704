// Why a deployment waits, and who waits in which order. Reads the state, changes nothing.
#include <algorithm>
#include <functional>
#include <unordered_map>

#include "scheduler/engine_impl.h"

namespace berth {
namespace {

// The node where the shortage of `asked` against room(node) weighs least; the first of equals.
// There must be a node.
template <class Room>
NodeIndex nearest_node(const NodeTable& nodes, const Resources& asked, Room&& room) {
  NodeIndex nearest = 0;
  std::uint64_t least = ~std::uint64_t{0};
  for (NodeIndex n = 0; n < nodes.size(); ++n) {
    const std::uint64_t weight = nodes.weigh(shortage(asked, room(n)));
    if (weight >= least) continue;
    least = weight;
    nearest = n;
  }
  return nearest;
}

// Smaller, but still some of everything that was asked for.
bool same_shape(const Resources& asked, const Resources& smaller) {
  return (asked.cpu_milli == 0) == (smaller.cpu_milli == 0) &&
         (asked.memory_bytes == 0) == (smaller.memory_bytes == 0) &&
         (asked.gpu_milli == 0) == (smaller.gpu_milli == 0) && asked != smaller;
}

struct Asking {
  Resources demand;
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

// Every reason that applies, in the order of precedence of core/reason.h.
std::vector<Reason> reasons(const ClusterEngine::Impl& state, const Asking& asking, bool fits_now) {
  std::vector<Reason> out;
  const bool feasible = state.nodes.could_hold(asking.demand);
  if (!feasible) out.push_back(Reason::exceeds_cluster);
  if (state.paused) out.push_back(Reason::cluster_paused);
  if (asking.awaits) out.push_back(Reason::waiting_for_dependency);
  if (asking.cleared_for) {
    out.push_back(Reason::preempting);
  } else if (feasible && !fits_now) {
    out.push_back(fits_into(asking.demand, state.nodes.total_free())
                      ? Reason::fragmented
                      : Reason::waiting_for_capacity);
  }
  if (asking.priority == Priority::low && state.low_is_blocked()) {
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
  if (nodes.size() == 0) return;
  const auto room = [&](NodeIndex n) { return nodes.room_for(n, asking.demand); };
  const NodeIndex nearest = best ? best->node : nearest_node(nodes, asking.demand, room);
  out.nearest_node = nodes.node(nearest).name;
  out.free_there = room(nearest);
  out.missing = shortage(asking.demand, out.free_there);
  for (NodeIndex n = 0; n < nodes.size(); ++n) {
    out.largest_hole = elementwise_max(out.largest_hole, room(n));
  }
  const bool considered = !state.paused && !asking.parked &&
                          (asking.priority == Priority::high || !state.low_is_blocked());
  const Resources smaller = elementwise_min(asking.demand, out.free_there);
  if (considered && same_shape(asking.demand, smaller)) out.would_fit = smaller;
}

}  // namespace

std::optional<TooLarge> ClusterEngine::never_fits(const Resources& demand) const {
  const NodeTable& nodes = impl_->nodes;
  if (nodes.could_hold(demand)) return std::nullopt;
  if (nodes.size() == 0) return TooLarge{demand, {}, {}};
  const auto capacity = [&](NodeIndex n) { return NodeTable::usable_capacity(nodes.node(n)); };
  const NodeIndex nearest = nearest_node(nodes, demand, capacity);
  return TooLarge{demand, elementwise_min(demand, capacity(nearest)), nodes.node(nearest).name};
}

std::optional<Explanation> ClusterEngine::explain(const DeploymentId& id) const {
  const WaitingQueues& waiting = impl_->waiting;
  const WaitingQueues::Slot slot = waiting.find(id);
  if (slot == WaitingQueues::kNone) return std::nullopt;
  const WaitingQueues::Entry& entry = waiting.entry(slot);
  Explanation out;
  auto clearing = clearings(*impl_);
  if (const auto found = clearing.find(id); found != clearing.end()) {
    out.displaced = std::move(found->second);
    std::ranges::sort(out.displaced);
  }
  const Asking asking{waiting.demand(slot), entry.priority, entry.parked, entry.awaits,
                      !out.displaced.empty()};
  out.id = id;
  out.priority = asking.priority;
  out.demand = asking.demand;
  out.free_total = impl_->nodes.total_free();
  const auto best = impl_->nodes.find(asking.demand);
  out.all = reasons(*impl_, asking, best.has_value());
  out.reason = out.all.front();
  out.too_large = never_fits(asking.demand);
  describe_nearest(*impl_, asking, best, out);
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

std::vector<DeploymentId> ClusterEngine::blockers(const DeploymentId& id) const {
  const Impl& state = *impl_;
  const WaitingQueues::Slot slot = state.waiting.find(id);
  if (slot == WaitingQueues::kNone) return {};
  const Resources demand = state.waiting.demand(slot);
  if (state.nodes.find(demand)) return {};
  std::vector<std::vector<const ActiveEntry*>> by_node(state.nodes.size());
  for (const ActiveEntry& entry : state.active.entries()) {
    by_node[entry.placement.node].push_back(&entry);
  }
  std::vector<DeploymentId> best;
  std::size_t at_most = state.active.size();
  for (NodeIndex n = 0; n < by_node.size() && at_most > 0; ++n) {
    // The answer must not depend on the layout of the table.
    std::ranges::sort(by_node[n], {}, [](const ActiveEntry* e) { return e->id; });
    const auto chosen = smallest_set(state.room_of(n), by_node[n], demand, at_most);
    if (!chosen) continue;
    best.clear();
    for (const std::size_t i : *chosen) best.push_back(by_node[n][i]->id);
    at_most = best.size() - std::min<std::size_t>(best.size(), 1);  // the next must be smaller
  }
  return best;
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
        auto reason = known.find(entry.row);
        if (reason == known.end()) {
          const Asking asking{demand, priority, parked, false, false};
          const bool fits_now = impl_->nodes.find(demand).has_value();
          reason = known.emplace(entry.row, reasons(*impl_, asking, fits_now).front()).first;
        }
        const std::size_t place = parked ? 0 : before + rank + 1;
        const bool cleared_for = clearing.contains(entry.id);
        const Reason why =
            cleared_for || entry.awaits
                ? reasons(*impl_, {demand, priority, parked, entry.awaits, cleared_for}, false)
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
