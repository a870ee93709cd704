// Why a deployment waits, and who waits in which order. Reads the state, changes nothing.
#include <algorithm>
#include <array>
#include <functional>
#include <unordered_map>

#include "scheduler/engine_impl.h"
#include "scheduler/node_search.h"

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
};

// Every reason that applies, in the order of precedence of core/reason.h.
std::vector<Reason> reasons(const ClusterEngine::Impl& state, const Asking& asking, bool fits_now) {
  std::vector<Reason> out;
  const bool feasible = state.nodes.could_hold(asking.demand);
  if (!feasible) out.push_back(Reason::exceeds_cluster);
  if (state.paused) out.push_back(Reason::cluster_paused);
  if (feasible && !fits_now) {
    out.push_back(fits_into(asking.demand, state.nodes.total_free())
                      ? Reason::fragmented
                      : Reason::waiting_for_capacity);
  }
  if (asking.priority == Priority::low && state.low_is_blocked()) {
    out.push_back(Reason::behind_higher_priority);
  }
  if (asking.parked) out.push_back(Reason::backoff_after_failure);
  if (out.empty()) out.push_back(Reason::pending_evaluation);  // restored, not settled yet
  return out;
}

// What is the same for all that ask for the same.
struct Answer {
  std::optional<Placement> best;
  std::optional<TooLarge> too_large;
  NodeIndex nearest = 0;  // if there is a node
};

// The node that misses least, what it has, and what of it would start at once.
void describe_nearest(const ClusterEngine::Impl& state, const Asking& asking, const Answer& answer,
                      const NodeSearch& search, Explanation& out) {
  const NodeTable& nodes = state.nodes;
  if (nodes.size() == 0) return;
  out.nearest_node = nodes.node(answer.nearest).name;
  out.free_there = nodes.room_for(answer.nearest, asking.demand);
  out.missing = shortage(asking.demand, out.free_there);
  out.largest_hole = search.largest_hole(asking.demand);
  const bool considered = !state.paused && !asking.parked &&
                          (asking.priority == Priority::high || !state.low_is_blocked());
  const Resources smaller = elementwise_min(asking.demand, out.free_there);
  if (considered && same_shape(asking.demand, smaller)) out.would_fit = smaller;
}

// Explains one after the other of the same state; what equal demands share is found once.
class Explainer {
 public:
  Explainer(const ClusterEngine& engine, const ClusterEngine::Impl& state, std::size_t questions)
      : engine_(engine), state_(state), search_(state.nodes, questions) {}

  Explanation explain(WaitingQueues::Slot slot) {
    const WaitingQueues& waiting = state_.waiting;
    const WaitingQueues::Entry& entry = waiting.entry(slot);
    const Asking asking{waiting.demand(slot), entry.priority, entry.parked};
    const Answer& answer = answer_for(entry, asking.demand);
    Explanation out;
    out.id = entry.id;
    out.priority = asking.priority;
    out.demand = asking.demand;
    out.free_total = state_.nodes.total_free();
    out.all = reasons(state_, asking, answer.best.has_value());
    out.reason = out.all.front();
    out.too_large = answer.too_large;
    describe_nearest(state_, asking, answer, search_, out);
    if (entry.parked) return out;
    const OrderedSequence& high = waiting.band(Priority::high).considered;
    if (entry.priority == Priority::high) {
      out.ahead_high = high.rank(entry.order);
    } else {
      out.ahead_high = high.size();
      out.ahead_low = waiting.band(Priority::low).considered.rank(entry.order);
    }
    out.position = out.ahead_high + out.ahead_low + 1;
    return out;
  }

 private:
  const Answer& answer_for(const WaitingQueues::Entry& entry, const Resources& demand) {
    auto& known = answers_[static_cast<std::size_t>(entry.priority)];
    const auto [found, fresh] = known.try_emplace(entry.row);
    if (!fresh) return found->second;
    Answer& out = found->second;
    out.best = search_.find(demand);
    out.too_large = engine_.never_fits(demand);
    if (out.best) {
      out.nearest = out.best->node;
    } else if (state_.nodes.size() > 0) {
      out.nearest = search_.nearest(demand);
    }
    return out;
  }

  const ClusterEngine& engine_;
  const ClusterEngine::Impl& state_;
  NodeSearch search_;
  std::array<std::unordered_map<ShapeTable::Row, Answer>, 2> answers_;  // by priority
};

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
  const NodeSearch search(impl_->nodes, limit);
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
        auto reason = known.find(entry.row);
        if (reason == known.end()) {
          const Asking asking{demand, priority, parked};
          const bool fits_now = search.find(demand).has_value();
          reason = known.emplace(entry.row, reasons(*impl_, asking, fits_now).front()).first;
        }
        const std::size_t place = parked ? 0 : before + rank + 1;
        out.push_back({entry.id, priority, entry.order, demand, place, reason->second});
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
