// Start times that no arrival can push back; the argument stands in forecast.h.
#include <algorithm>
#include <array>
#include <map>
#include <span>

#include "scheduler/forecast.h"
#include "scheduler/node_table.h"
#include "scheduler/victims.h"

namespace berth {
namespace {

// Absent where none was declared, or where it is over already.
std::optional<EngineTime> declared_end(const ActiveEntry& entry, EngineTime now) {
  if (entry.max_run == 0 || entry.started + entry.max_run < now) return std::nullopt;
  return entry.started + entry.max_run;
}

bool covers(const ActiveEntry& entry, const Resources& demand) {
  NodeRoom room{entry.demand.cpu_milli, entry.demand.memory_bytes, {}};
  for (const GpuShare& share : entry.placement.gpus) room.devices.push_back(share.milli);
  return room.holds(demand);
}

// The first kind: high ones, covered by what some attempts hold.
void covered(const ClusterEngine& engine, std::span<const Queued> waiting, EngineTime now,
             std::vector<Guarantee>& out) {
  const auto active = engine.active();
  const auto in_order = [](const Queued* a, const Queued* b) { return a->order < b->order; };
  std::vector<const Queued*> high;
  for (const Queued& entry : waiting) {
    if (entry.priority == Priority::high && !engine.never_fits(entry.demand)) {
      high.push_back(&entry);
    }
  }
  std::ranges::sort(high, in_order);  // parked ones among them may come back at any time
  for (std::size_t ahead = 0; ahead < high.size(); ++ahead) {
    if (high[ahead]->parked) continue;
    std::map<std::uint32_t, EngineTime> first_end;  // by node
    for (const ActiveEntry& entry : active) {
      const auto end = declared_end(entry, now);
      if (!end || !covers(entry, high[ahead]->demand)) continue;
      const auto [at, fresh] = first_end.try_emplace(entry.placement.node, *end);
      if (!fresh) at->second = std::min(at->second, *end);
    }
    if (first_end.size() <= ahead) continue;
    std::vector<EngineTime> ends;
    for (const auto& [node, end] : first_end) ends.push_back(end);
    std::ranges::sort(ends);
    out.push_back({high[ahead]->id, ends[ahead]});
  }
}

// When the demand fits somewhere, if nothing starts and everything ends when it has declared to.
std::optional<EngineTime> free_enough(const ClusterEngine& engine, const Resources& demand,
                                      EngineTime now) {
  const auto nodes = engine.status().nodes;
  std::vector<std::pair<EngineTime, ActiveEntry>> ends;
  for (const ActiveEntry& entry : engine.active()) {
    if (const auto end = declared_end(entry, now)) ends.emplace_back(*end, entry);
  }
  std::ranges::sort(ends, {}, [](const auto& one) { return std::pair(one.first, one.second.id); });
  std::vector<NodeRoom> rooms;
  for (const NodeState& n : nodes) {
    rooms.push_back({n.free.cpu_milli, n.free.memory_bytes, n.gpu_free_milli});
  }
  for (const auto& [end, entry] : ends) {
    NodeRoom& room = rooms[entry.placement.node];
    room.give_back(entry);
    if (room.holds(demand)) return end;
  }
  return std::nullopt;
}

// The second kind: the one that is overdue and stays the first of all that are.
void overdue(const ClusterEngine& engine, std::span<const Queued> waiting, bool all_seen,
             EngineTime now, std::vector<Guarantee>& out) {
  const EngineTime bound = *engine.rules().age_bound;
  std::array<const Queued*, 2> front{};
  for (const Queued& entry : waiting) {
    const Queued*& first = front[static_cast<std::size_t>(entry.priority)];
    if (entry.parked || engine.never_fits(entry.demand)) continue;
    if (first == nullptr || entry.order < first->order) first = &entry;
  }
  for (const Queued* entry : front) {
    if (entry == nullptr || now - entry->since < bound || !all_seen) continue;
    const bool stays = std::ranges::all_of(waiting, [&](const Queued& other) {
      const bool same_queue = other.priority == entry->priority;
      // A parked one that comes back in front of it, or the other queue's next in turn.
      return same_queue ? !other.parked || other.order > entry->order : other.since > entry->since;
    });
    if (!stays) continue;
    if (const auto at = free_enough(engine, entry->demand, now)) out.push_back({entry->id, *at});
  }
}

}  // namespace

std::vector<Guarantee> guaranteed_starts(const ClusterEngine& engine, EngineTime now,
                                         std::size_t first) {
  std::vector<Guarantee> out;
  const Rules& rules = engine.rules();
  if (engine.paused() || rules.preempt) return out;
  const auto waiting = engine.front(first);
  const EngineStatus status = engine.status();
  const bool all_seen = waiting.size() == status.high_waiting + status.low_waiting + status.parked;
  if (rules.age_bound) {
    overdue(engine, waiting, all_seen, now, out);
  } else if (all_seen || status.parked == 0) {  // else some that are parked may be ahead
    covered(engine, waiting, now, out);
  }
  return out;
}

}  // namespace berth
