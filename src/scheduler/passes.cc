// Who starts: both queues gone through after what has happened.
#include <algorithm>
#include <functional>
#include <queue>

#include "base/ensure.h"
#include "scheduler/engine_impl.h"
#include "scheduler/policies/policies.h"

namespace berth {
namespace {

// Beyond this many freed nodes a search over all nodes, which skips full blocks, is the cheaper
// one.
constexpr std::size_t kFewNodes = 8;

}  // namespace

void ClusterEngine::Impl::run(Decisions& out) {
  if (paused) return;
  settled = true;
  for (const Priority p : {Priority::high, Priority::low}) waiting.shapes(p).forget_tried();
  failed.clear();
  if (!start_overdue(out.starts) || !pass(Priority::high, out.starts)) {
    if (rules.preempt) preempt_for_overdue(out.evictions);
  } else if (low_is_blocked()) {
    if (rules.preempt) preempt(out.evictions);
    if (rules.backfill) backfill(out.starts);
  } else {
    if (!pass(Priority::low, out.starts) && rules.preempt) preempt_for_overdue(out.evictions);
  }
}

bool ClusterEngine::Impl::low_is_blocked() const {
  const ShapeTable& high = waiting.band(Priority::high).shapes;
  if (!tenants.has_quotas()) return high.feasible_waiting() > 0;
  Head any;
  for (std::uint32_t lane = 0; lane < high.lanes() && any.order == HeadIndex::kNever; ++lane) {
    const Resources headroom = tenants.headroom(lane);
    high.first_fit(lane, headroom, any,
                   [&](ShapeTable::Row row) { return within(high.shape(row), headroom); });
  }
  return any.order != HeadIndex::kNever;
}

Resources ClusterEngine::Impl::allowed(Priority priority, std::uint32_t lane) const {
  if (!tenants.has_quotas()) return kUnlimited;
  // A low one must not take the quota for which a high one of the same tenant waits.
  if (priority == Priority::low && waiting.band(Priority::high).shapes.rows_in(lane) > 0) {
    return {-1, -1, -1};
  }
  return tenants.headroom(lane);
}

// For each lane the heap of heads that the pass has to try: fresh rows, which must be compared with
// every node. Where much was freed also the others that fit into some of it; where little was
// freed, the index answers for each freed node which head comes first (next_in).
void ClusterEngine::Impl::collect_heads(Priority priority, bool few_freed) {
  const ShapeTable& shapes = waiting.band(priority).shapes;
  for (auto& lane : heads) lane.clear();
  if (heads.size() < shapes.lanes()) heads.resize(shapes.lanes());
  shapes.for_each_fresh([&](ShapeTable::Row row) {
    heads[shapes.lane_of(row)].push_back({shapes.waiting(row).first().key, row});
  });
  if (!few_freed) {
    Resources room{-1, -1, -1};
    for (const NodeIndex n : freed_for(priority).list) {
      room = elementwise_max(room, nodes.room(n));
    }
    for (std::uint32_t lane = 0; lane < shapes.lanes(); ++lane) {
      candidates.clear();
      shapes.collect(lane, elementwise_min(room, allowed(priority, lane)), candidates);
      for (const ShapeTable::Row row : candidates) {
        if (!shapes.is_fresh(row)) heads[lane].push_back({shapes.waiting(row).first().key, row});
      }
    }
  }
  for (auto& lane : heads) std::ranges::make_heap(lane, std::greater{}, &Head::order);
}

void ClusterEngine::Impl::push_head(std::uint32_t lane, const Head& head) {
  heads[lane].push_back(head);
  std::ranges::push_heap(heads[lane], std::greater{}, &Head::order);
}

// Takes it out of the heap, if it is there: it is the first.
void ClusterEngine::Impl::drop_head(std::uint32_t lane, const Head& head) {
  if (heads[lane].empty() || heads[lane].front().order != head.order) return;
  std::ranges::pop_heap(heads[lane], std::greater{}, &Head::order);
  heads[lane].pop_back();
}

// The first of the lane that is to be tried; its order is kNever when there is none.
ClusterEngine::Impl::Head ClusterEngine::Impl::next_in(std::uint32_t lane, Priority priority,
                                                       bool few_freed) {
  Head next;
  const ShapeTable& shapes = waiting.band(priority).shapes;
  const Resources most = allowed(priority, lane);
  if (few_freed) {
    for (const NodeIndex n : freed_for(priority).list) {
      const Resources room = elementwise_min(nodes.room(n), most);
      shapes.first_fit(lane, room, next, [&](ShapeTable::Row row) {
        return !shapes.is_tried(row) && constraints.allows(shapes.constraint(row), n) &&
               (shapes.replicas(row) == 1 || within(shapes.shape(row), most));
      });
    }
  }
  // What exceeds its quota exceeds it until the end of the pass.
  while (!heads[lane].empty() && !within(shapes.shape(heads[lane].front().row), most)) {
    drop_head(lane, heads[lane].front());
  }
  if (!heads[lane].empty() && heads[lane].front().order <= next.order) next = heads[lane].front();
  return next;
}

bool ClusterEngine::Impl::pass(Priority priority, std::vector<Start>& starts) {
  ShapeTable& shapes = waiting.shapes(priority);
  FreedNodes& new_room = freed_for(priority);
  if (tenants.has_quotas()) {
    for (std::uint32_t lane = 0; lane < shapes.lanes(); ++lane) {
      shapes.open(lane, allowed(priority, lane));
    }
  }
  if (shapes.feasible_waiting() > 0 && !(new_room.list.empty() && shapes.fresh() == 0)) {
    const bool few = new_room.list.size() <= kFewNodes;
    collect_heads(priority, few);
    const bool done = tenants.apart() ? go_through_lanes(priority, few, starts)
                                      : go_through(priority, few, starts);
    // What was freed stays to be looked at, and so do the fresh rows.
    if (!done) return start_overdue(starts) && pass(priority, starts);
  }
  // The last one to start may have left an overdue one at the front.
  if (any_overdue()) return start_overdue(starts) && pass(priority, starts);
  new_room.clear();
  shapes.forget_fresh();
  if (tenants.has_quotas()) {
    for (std::uint32_t lane = 0; lane < shapes.lanes(); ++lane) {
      shapes.remember_headroom(lane, allowed(priority, lane));
    }
  }
  return true;
}

bool ClusterEngine::Impl::any_overdue() const {
  return rules.age_bound && policies::overdue(*this, now);
}

// Both answer false when somebody is overdue, who comes before all others.
bool ClusterEngine::Impl::go_through(Priority priority, bool few_freed,
                                     std::vector<Start>& starts) {
  for (Head head = next_in(0, priority, few_freed); head.order != HeadIndex::kNever;
       head = next_in(0, priority, few_freed)) {
    if (!try_head(priority, head, few_freed, starts)) return false;
  }
  return true;
}

std::pair<std::uint64_t, std::uint64_t> ClusterEngine::Impl::turn(std::uint32_t lane,
                                                                  const Head& head) const {
  if (!rules.fair) return {0, head.order};
  return {policies::dominant_share(tenants.used(lane), tenants.quota(lane), nodes.total_capacity()),
          head.order};
}

// Within a pass the turn of a tenant only comes later: its share grows with its starts, and whoever
// was first and has failed or started is followed by later ones. So what is known of the turns is
// enough to find the next one, and only the one that is found has to be looked at again.
bool ClusterEngine::Impl::go_through_lanes(Priority priority, bool few_freed,
                                           std::vector<Start>& starts) {
  using Turn = std::pair<std::pair<std::uint64_t, std::uint64_t>, std::uint32_t>;
  std::priority_queue<Turn, std::vector<Turn>, std::greater<>> turns;
  const auto line_up = [&](std::uint32_t lane) {
    const Head head = next_in(lane, priority, few_freed);
    if (head.order != HeadIndex::kNever) turns.emplace(turn(lane, head), lane);
  };
  const ShapeTable& shapes = waiting.band(priority).shapes;
  for (std::uint32_t lane = 0; lane < shapes.lanes(); ++lane) {
    if (shapes.rows_in(lane) > 0) line_up(lane);
  }
  while (!turns.empty()) {
    const auto [known, lane] = turns.top();
    turns.pop();
    const Head head = next_in(lane, priority, few_freed);
    if (head.order != HeadIndex::kNever && turn(lane, head) == known &&
        !try_head(priority, head, few_freed, starts)) {
      return false;
    }
    line_up(lane);
  }
  return true;
}

// Counting how many replicas fit is a look at every node; who asks for no less than one that has
// failed need not be counted.
bool ClusterEngine::Impl::fails_like_another(const Shape& shape) const {
  return std::ranges::any_of(failed, [&](const Shape& other) {
    return other.replicas <= shape.replicas && fits_into(other.demand, shape.demand) &&
           (other.constraint == ConstraintTable::kNone || other.constraint == shape.constraint);
  });
}

bool ClusterEngine::Impl::try_head(Priority priority, const Head& head, bool few_freed,
                                   std::vector<Start>& starts) {
  if (any_overdue()) return false;
  ShapeTable& shapes = waiting.shapes(priority);
  const std::uint32_t lane = shapes.lane_of(head.row);
  drop_head(lane, head);
  const OrderedSequence& queue = shapes.waiting(head.row);
  const Shape shape = shapes.shape(head.row);
  const bool only_freed = few_freed && !shapes.is_fresh(head.row);
  const bool known_to_fail = shape.replicas > 1 && fails_like_another(shape);
  std::optional<Places> places;
  if (only_freed && shape.replicas == 1) {
    auto place = nodes.find_among(freed_for(priority).list, shape.demand,
                                  constraints.allowed(shape.constraint));
    if (place) places = {*std::move(place), {}};
  } else if (!known_to_fail) {
    places = find(shape);
  }
  if (!places) {
    if (shape.replicas == 1) return true;
    shapes.set_tried(head.row);
    constexpr std::size_t kRemembered = 32;
    if (!known_to_fail && failed.size() < kRemembered) failed.push_back(shape);
    return true;
  }
  start(queue.first().value, *std::move(places), starts);
  if (!only_freed && !queue.empty()) push_head(lane, {queue.first().key, head.row});
  return true;
}

std::optional<Places> ClusterEngine::Impl::find(const Shape& shape) {
  if (shape.replicas > 1) return find_several(shape);
  nodes.update_order();
  auto place = nodes.find(shape.demand, constraints.allowed(shape.constraint));
  return place ? std::optional(Places{*std::move(place), {}}) : std::nullopt;
}

// Each on the best node beside those before it. Counted first, so it never stops half way.
std::optional<Places> ClusterEngine::Impl::find_several(const Shape& shape) {
  const NodeSet* only = constraints.allowed(shape.constraint);
  if (!fits_into(repeated(shape.demand, shape.replicas), nodes.total_free()) ||
      nodes.copies(shape.demand, only, shape.replicas) < shape.replicas) {
    return std::nullopt;
  }
  std::vector<Placement> places;
  while (places.size() < shape.replicas) {
    nodes.update_order();
    auto place = nodes.find(shape.demand, only);
    ensure(place.has_value(), "replicas that were counted find no place");
    nodes.take(*place, shape.demand);
    places.push_back(*std::move(place));
  }
  for (const Placement& place : places) nodes.give(place, shape.demand);
  Places out{std::move(places.front()), {}};
  places.erase(places.begin());
  out.more = std::move(places);
  return out;
}

void ClusterEngine::Impl::leave_queue(WaitingQueues::Slot slot) {
  const ConstraintTable::Id constraint = waiting.shape(slot).constraint;
  waiting.remove(slot);
  constraints.release(constraint);
}

void ClusterEngine::Impl::start(WaitingQueues::Slot slot, Places places,
                                std::vector<Start>& starts) {
  const WaitingQueues::Entry& entry = waiting.entry(slot);
  const DeploymentId id = entry.id;
  const Shape shape = waiting.shape(slot);
  nodes.take(places.first, shape.demand);
  for (const Placement& place : places.more) nodes.take(place, shape.demand);
  tenants.take(shape.tenant, repeated(shape.demand, shape.replicas));
  active.add({id,
              shape.demand,
              places.first,
              entry.priority,
              entry.order,
              now,
              waiting.max_run(slot),
              {},
              false,
              std::max<EngineTime>(0, now - entry.since),
              constraints.constraint(shape.constraint),
              places.more,
              shape.tenant});
  leave_queue(slot);
  starts.push_back({id, std::move(places.first), std::move(places.more)});
}

bool ClusterEngine::Impl::start_overdue(std::vector<Start>& starts) {
  if (!rules.age_bound) return true;
  while (const auto slot = policies::overdue(*this, now)) {
    auto place = find(waiting.shape(*slot));
    if (!place) return false;
    start(*slot, *std::move(place), starts);
  }
  return true;
}

NodeRoom ClusterEngine::Impl::room_of(NodeIndex n) const {
  const Resources free = nodes.free(n);
  const auto devices = nodes.devices(n);
  return {free.cpu_milli, free.memory_bytes, {devices.begin(), devices.end()}, n};
}

SharedRoom ClusterEngine::Impl::shared_room(const Shape& shape) const {
  SharedRoom out(shape.demand);
  for (NodeIndex n = 0; n < nodes.size(); ++n) {
    out.add(room_of(n), constraints.allows(shape.constraint, n));
  }
  return out;
}

void ClusterEngine::Impl::free_everything() {
  for (FreedNodes& list : freed) list.add_all(nodes.size());
}

}  // namespace berth
