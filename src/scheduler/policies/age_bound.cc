#include "scheduler/policies/policies.h"

namespace berth::policies {

std::optional<WaitingQueues::Slot> overdue(const ClusterEngine::Impl& state, EngineTime now) {
  std::optional<WaitingQueues::Slot> front;
  EngineTime since = 0;
  for (const Priority priority : {Priority::high, Priority::low}) {
    const ShapeTable& shapes = state.waiting.band(priority).shapes;
    HeadIndex::Head first;
    for (std::uint32_t lane = 0; lane < shapes.lanes(); ++lane) {
      const Resources headroom = state.tenants.headroom(lane);
      shapes.first_fit(lane, headroom, first,
                       [&](ShapeTable::Row row) { return within(shapes.shape(row), headroom); });
    }
    if (first.order == HeadIndex::kNever) continue;
    const WaitingQueues::Slot slot = shapes.waiting(first.row).first().value;
    const EngineTime queued = state.waiting.entry(slot).since;
    if (now - queued < *state.rules.age_bound || (front && since <= queued)) continue;
    front = slot;
    since = queued;
  }
  return front;
}

}  // namespace berth::policies
