#include <algorithm>

#include "scheduler/policies/policies.h"
#include "scheduler/victims.h"

namespace berth::policies {
namespace {

using ByNode = std::vector<std::vector<const ActiveEntry*>>;

EngineTime declared_end(const ActiveEntry& entry, EngineTime now) {
  if (entry.max_run == 0) return kNoEnd;
  return std::max(now, entry.started + entry.max_run);
}

// When the demand fits on the node, if everything there ends when it has declared to.
EngineTime earliest_on(NodeRoom room, std::vector<const ActiveEntry*> running,
                       const Resources& demand, EngineTime now) {
  std::ranges::sort(running, {},
                    [&](const ActiveEntry* e) { return std::pair(declared_end(*e, now), e->id); });
  EngineTime at = now;
  for (const ActiveEntry* entry : running) {
    if (room.holds(demand)) return at;
    at = declared_end(*entry, now);
    if (at == kNoEnd) return kNoEnd;
    room.give_back(*entry);
  }
  return room.holds(demand) ? at : kNoEnd;
}

ByNode running_by_node(const ClusterEngine::Impl& state) {
  ByNode out(state.nodes.size());
  for (const ActiveEntry& entry : state.active.entries()) {
    out[entry.placement.node].push_back(&entry);
  }
  return out;
}

}  // namespace

std::optional<EngineTime> earliest_start(const ClusterEngine::Impl& state, const Resources& demand,
                                         EngineTime now, const ActiveEntry* also_running) {
  const ByNode running = running_by_node(state);
  EngineTime best = kNoEnd;
  for (NodeIndex n = 0; n < running.size(); ++n) {
    if (!fits_into(demand, NodeTable::usable_capacity(state.nodes.node(n)))) continue;
    NodeRoom room = state.room_of(n);
    auto list = running[n];
    if (also_running != nullptr && also_running->placement.node == n) {
      room.take_again(*also_running);
      list.push_back(also_running);
    }
    best = std::min(best, earliest_on(std::move(room), std::move(list), demand, now));
  }
  return best == kNoEnd ? std::nullopt : std::optional(best);
}

bool delays_nobody(const ClusterEngine::Impl& state, NodeIndex node, const Resources& demand,
                   EngineTime now, EngineTime end) {
  const auto place = state.nodes.find_among(std::span(&node, 1), demand);
  if (!place) return false;
  const ActiveEntry candidate{.id = {},
                              .demand = demand,
                              .placement = *place,
                              .priority = Priority::low,
                              .order = 0,
                              .started = now,
                              .max_run = end - now,
                              .leaving_for = {},
                              .leaving = false,
                              .since = now};
  const ShapeTable& high = state.waiting.band(Priority::high).shapes;
  for (const ShapeTable::Row row : high.rows()) {
    if (!high.feasible(row) || high.waiting(row).empty()) continue;
    const Resources& waits = high.demand(row);
    const auto without = earliest_start(state, waits, now, nullptr);
    const auto with = earliest_start(state, waits, now, &candidate);
    // Nothing is known about when it could start: then only what leaves all nodes that could hold
    // it as they are is harmless.
    if (!without) {
      if (fits_into(waits, NodeTable::usable_capacity(state.nodes.node(node)))) return false;
    } else if (!with || *with > *without) {
      return false;
    }
  }
  return true;
}

}  // namespace berth::policies

namespace berth {

void ClusterEngine::Impl::backfill(std::vector<Start>& starts) {
  constexpr std::size_t kLookAt = 256;
  const OrderedSequence& low = waiting.band(Priority::low).considered;
  std::vector<WaitingQueues::Slot> slots;
  for (std::size_t rank = 0; rank < low.size() && slots.size() < kLookAt;) {
    const auto run = low.run(rank);
    slots.insert(slots.end(), run.values.begin(), run.values.end());
    rank += run.values.size();
  }
  for (const WaitingQueues::Slot slot : slots) {
    const EngineTime max_run = waiting.entry(slot).max_run;
    if (max_run == 0) continue;
    const Resources demand = waiting.demand(slot);
    auto place = find(demand);
    if (place && policies::delays_nobody(*this, place->node, demand, now, now + max_run)) {
      start(slot, *std::move(place), starts);
    }
  }
}

}  // namespace berth
