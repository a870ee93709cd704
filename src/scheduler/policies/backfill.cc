#include <algorithm>

#include "scheduler/policies/policies.h"
#include "scheduler/victims.h"

namespace berth::policies {
namespace {

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

// Whether the node could hold it while nothing else runs there.
bool could_run(const ClusterEngine::Impl& state, const Shape& shape, NodeIndex n) {
  return state.constraints.allows(shape.constraint, n) &&
         fits_into(shape.demand, NodeTable::usable_capacity(state.nodes.node(n)));
}

bool stands_on(const ActiveEntry& entry, NodeIndex n) {
  bool out = false;
  for_each_place(entry, [&](const Placement& place) { out = out || place.node == n; });
  return out;
}

// The same for several replicas, which may stand on several nodes.
EngineTime earliest_together(const ClusterEngine::Impl& state, const Shape& shape, EngineTime now,
                             const ActiveEntry* also_running) {
  SharedRoom room = state.shared_room(shape);
  std::vector<const ActiveEntry*> running;
  for (const ActiveEntry& entry : state.active.entries()) running.push_back(&entry);
  if (also_running != nullptr) {
    room.take_again(*also_running);
    running.push_back(also_running);
  }
  std::ranges::sort(running, {},
                    [&](const ActiveEntry* e) { return std::pair(declared_end(*e, now), e->id); });
  EngineTime at = now;
  for (const ActiveEntry* entry : running) {
    if (room.copies() >= shape.replicas) return at;
    at = declared_end(*entry, now);
    if (at == kNoEnd) return kNoEnd;
    room.give_back(*entry);
  }
  return room.copies() >= shape.replicas ? at : kNoEnd;
}

}  // namespace

std::optional<EngineTime> earliest_start(const ClusterEngine::Impl& state, const Shape& shape,
                                         EngineTime now, const ActiveEntry* also_running) {
  EngineTime best = kNoEnd;
  if (shape.replicas > 1) {
    best = earliest_together(state, shape, now, also_running);
    return best == kNoEnd ? std::nullopt : std::optional(best);
  }
  const auto running = by_node(state.active.entries(), state.nodes.size());
  for (NodeIndex n = 0; n < running.size(); ++n) {
    if (!could_run(state, shape, n)) continue;
    NodeRoom room = state.room_of(n);
    auto list = running[n];
    if (also_running != nullptr && stands_on(*also_running, n)) {
      room.take_again(*also_running);
      list.push_back(also_running);
    }
    best = std::min(best, earliest_on(std::move(room), std::move(list), shape.demand, now));
  }
  return best == kNoEnd ? std::nullopt : std::optional(best);
}

bool delays_nobody(const ClusterEngine::Impl& state, const Places& places, const Resources& demand,
                   EngineTime now, EngineTime end) {
  const ActiveEntry candidate{.id = {},
                              .demand = demand,
                              .placement = places.first,
                              .priority = Priority::low,
                              .order = 0,
                              .started = now,
                              .max_run = end - now,
                              .leaving_for = {},
                              .leaving = false,
                              .waited = 0,
                              .constraint = {},
                              .more = places.more};
  const ShapeTable& high = state.waiting.band(Priority::high).shapes;
  for (const ShapeTable::Row row : high.rows()) {
    if (!high.feasible(row) || high.waiting(row).empty()) continue;
    const Shape waits = high.shape(row);
    const auto without = earliest_start(state, waits, now, nullptr);
    const auto with = earliest_start(state, waits, now, &candidate);
    // Nothing is known about when it could start: then only what leaves all nodes that could hold
    // it as they are is harmless.
    if (!without) {
      bool in_the_way = false;
      for_each_place(candidate, [&](const Placement& place) {
        in_the_way = in_the_way || could_run(state, waits, place.node);
      });
      if (in_the_way) return false;
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
  slots.resize(std::min(slots.size(), kLookAt));
  for (const WaitingQueues::Slot slot : slots) {
    // A start may have left an overdue one at the front; starting that one uses up its slot.
    if (!start_overdue(starts)) return;
    if (!waiting.entry(slot).used) continue;
    const EngineTime max_run = waiting.max_run(slot);
    if (max_run == 0) continue;
    const Shape shape = waiting.shape(slot);
    if (!within(shape, allowed(Priority::low, shape.tenant)) ||
        !policies::leaves_quota_for_high(*this, shape)) {
      continue;
    }
    auto places = find(shape);
    if (!places) continue;
    if (policies::delays_nobody(*this, *places, shape.demand, now, now + max_run)) {
      start(slot, *std::move(places), starts);
    }
  }
}

}  // namespace berth
