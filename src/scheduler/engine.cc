#include "scheduler/engine.h"

#include <algorithm>
#include <functional>
#include <string_view>
#include <unordered_map>

#include "base/ensure.h"
#include "scheduler/engine_impl.h"
#include "scheduler/policies/policies.h"

namespace berth {
namespace {

// Beyond this many freed nodes a search over all nodes, which skips full blocks, is the cheaper
// one.
constexpr std::size_t kFewNodes = 8;

bool well_formed(const Resources& demand) {
  return demand.cpu_milli >= 0 && demand.memory_bytes >= 0 && demand.gpu_milli >= 0 &&
         (demand.gpu_milli < kGpuDevice || demand.gpu_milli % kGpuDevice == 0);
}

}  // namespace

// --- passes -----------------------------------------------------------------------------------

void ClusterEngine::Impl::run(Decisions& out) {
  if (paused) return;
  settled = true;
  if (!start_overdue(out.starts)) return;
  if (!pass(Priority::high, out.starts)) return;
  if (low_is_blocked()) {
    if (rules.preempt) preempt(out.evictions);
    if (rules.backfill) backfill(out.starts);
  } else {
    pass(Priority::low, out.starts);
  }
}

// The heap of heads that the pass has to try: fresh rows, which must be compared with every node.
// Where much was freed also the others that fit into some of it; where little was freed, the index
// answers for each freed node which head comes first (next_head).
void ClusterEngine::Impl::collect_heads(Priority priority, bool few_freed) {
  const ShapeTable& shapes = waiting.band(priority).shapes;
  heads.clear();
  for (const ShapeTable::Row row : shapes.fresh()) {
    heads.push_back({shapes.waiting(row).first().key, row});
  }
  if (!few_freed) {
    Resources room{-1, -1, -1};
    for (const NodeIndex n : freed_for(priority).list) {
      room = elementwise_max(room, nodes.room(n));
    }
    candidates.clear();
    shapes.collect(room, candidates);
    for (const ShapeTable::Row row : candidates) {
      if (!shapes.is_fresh(row)) heads.push_back({shapes.waiting(row).first().key, row});
    }
  }
  std::ranges::make_heap(heads, std::greater{}, &Head::order);
}

ClusterEngine::Impl::Head ClusterEngine::Impl::next_head(Priority priority, bool few_freed) {
  Head next;
  if (few_freed) {
    const ShapeTable& shapes = waiting.band(priority).shapes;
    for (const NodeIndex n : freed_for(priority).list) shapes.first_fit(nodes.room(n), next);
  }
  if (heads.empty() || heads.front().order > next.order) return next;
  std::ranges::pop_heap(heads, std::greater{}, &Head::order);
  next = heads.back();
  heads.pop_back();
  return next;
}

bool ClusterEngine::Impl::pass(Priority priority, std::vector<Start>& starts) {
  ShapeTable& shapes = waiting.shapes(priority);
  FreedNodes& new_room = freed_for(priority);
  if (shapes.feasible_waiting() > 0 && !(new_room.list.empty() && shapes.fresh().empty())) {
    const bool few = new_room.list.size() <= kFewNodes;
    collect_heads(priority, few);
    for (Head head = next_head(priority, few); head.order != HeadIndex::kNever;
         head = next_head(priority, few)) {
      if (rules.age_bound && policies::overdue(*this, now)) {
        // What was freed stays to be looked at, and so do the fresh rows.
        return start_overdue(starts) && pass(priority, starts);
      }
      const OrderedSequence& queue = shapes.waiting(head.row);
      const Resources demand = shapes.demand(head.row);
      const bool only_freed = few && !shapes.is_fresh(head.row);
      auto place = only_freed ? nodes.find_among(new_room.list, demand) : find(demand);
      if (!place) continue;
      start(queue.first().value, *std::move(place), starts);
      if (only_freed || queue.empty()) continue;
      heads.push_back({queue.first().key, head.row});
      std::ranges::push_heap(heads, std::greater{}, &Head::order);
    }
  }
  new_room.clear();
  shapes.forget_fresh();
  return true;
}

std::optional<Placement> ClusterEngine::Impl::find(const Resources& demand) {
  nodes.update_order();
  return nodes.find(demand);
}

void ClusterEngine::Impl::start(WaitingQueues::Slot slot, Placement placement,
                                std::vector<Start>& starts) {
  const WaitingQueues::Entry& entry = waiting.entry(slot);
  const DeploymentId id = entry.id;
  const Resources demand = waiting.demand(slot);
  nodes.take(placement, demand);
  active.add({id,
              demand,
              placement,
              entry.priority,
              entry.order,
              now,
              entry.max_run,
              {},
              false,
              entry.since});
  waiting.remove(slot);
  starts.push_back({id, std::move(placement)});
}

bool ClusterEngine::Impl::start_overdue(std::vector<Start>& starts) {
  if (!rules.age_bound) return true;
  while (const auto slot = policies::overdue(*this, now)) {
    auto place = find(waiting.demand(*slot));
    if (!place) return false;
    start(*slot, *std::move(place), starts);
  }
  return true;
}

NodeRoom ClusterEngine::Impl::room_of(NodeIndex n) const {
  const Resources free = nodes.free(n);
  const auto devices = nodes.devices(n);
  return {free.cpu_milli, free.memory_bytes, {devices.begin(), devices.end()}};
}

void ClusterEngine::Impl::free_everything() {
  for (FreedNodes& list : freed) list.add_all(nodes.size());
}

// --- events -----------------------------------------------------------------------------------

WaitingQueues::Slot ClusterEngine::Impl::waiting_slot(const DeploymentId& id) const {
  const WaitingQueues::Slot slot = waiting.find(id);
  ensure(slot != WaitingQueues::kNone, "an event names a deployment that does not wait");
  return slot;
}

void ClusterEngine::Impl::on(const Queued& event) {
  ensure(well_formed(event.demand), "a demand is negative or asks for whole and shared devices");
  ensure(!active.contains(event.id), "a deployment that is active is queued");
  waiting.add(event, nodes.could_hold(event.demand));
}

void ClusterEngine::Impl::on(const Unparked& event) { waiting.unpark(waiting_slot(event.id)); }

void ClusterEngine::Impl::on(const Withdrawn& event) {
  const WaitingQueues::Slot slot = waiting.find(event.id);
  if (slot != WaitingQueues::kNone) waiting.remove(slot);
}

void ClusterEngine::Impl::on(const Reprioritized& event) {
  waiting.change_priority(waiting_slot(event.id), event.priority);
}

void ClusterEngine::Impl::on(const Released& event) {
  const auto entry = active.remove(event.id);
  if (!entry) return;
  const NodeIndex node = entry->placement.node;
  nodes.give(entry->placement, entry->demand);
  // A node that is being cleared for somebody stays closed until the last one has left it.
  if (!entry->leaving_for.is_nil()) nodes.thaw(node);
  for (FreedNodes& list : freed) list.add(node);
}

void ClusterEngine::Impl::on(const Resized& event) {
  NodeTable next(event.nodes, nodes.mix());
  std::unordered_map<std::string_view, NodeIndex> by_name;
  for (NodeIndex n = 0; n < next.size(); ++n) by_name.emplace(next.node(n).name, n);
  constexpr NodeIndex kGone = ~NodeIndex{0};
  std::vector<NodeIndex> new_index(nodes.size(), kGone);
  for (NodeIndex n = 0; n < nodes.size(); ++n) {
    const auto found = by_name.find(nodes.node(n).name);
    if (found != by_name.end()) new_index[n] = found->second;
  }
  active.renumber_nodes(new_index);
  for (const ActiveEntry& entry : active.entries()) {
    ensure(entry.placement.node != kGone, "the new node list lacks a node that holds reservations");
  }
  occupy(next);
  nodes = std::move(next);
  for (const Priority p : {Priority::high, Priority::low}) {
    waiting.shapes(p).judge_again(
        [&](const Resources& demand) { return nodes.could_hold(demand); });
  }
  free_everything();
}

void ClusterEngine::Impl::on(const PauseChanged& event) { paused = event.paused; }

void ClusterEngine::Impl::on(const Leaving& event) { active.set_leaving(event.id); }

void ClusterEngine::Impl::on(const RulesChanged& event) {
  if (event.rules.mix != nodes.mix()) {
    NodeTable next({nodes.nodes().begin(), nodes.nodes().end()}, event.rules.mix);
    occupy(next);
    nodes = std::move(next);
  }
  use(event.rules);
  free_everything();
}

void ClusterEngine::Impl::use(Rules next) {
  next.mix.reset();
  rules = std::move(next);
}

// What runs, on a table of nodes that holds nothing yet.
void ClusterEngine::Impl::occupy(NodeTable& table) const {
  for (const ActiveEntry& entry : active.entries()) {
    table.take(entry.placement, entry.demand);
    if (!entry.leaving_for.is_nil()) table.freeze(entry.placement.node);
  }
}

// --- the interface ----------------------------------------------------------------------------

ClusterEngine::ClusterEngine(Policy policy, std::vector<Node> nodes, bool paused, Rules rules)
    : impl_(std::make_unique<Impl>()) {
  impl_->paused = paused;
  impl_->nodes = NodeTable(std::move(nodes), rules.mix);
  rules.backfill = rules.backfill || backfills(policy);
  rules.preempt = rules.preempt || preempts(policy);
  impl_->use(std::move(rules));
  impl_->free_everything();
}

ClusterEngine::~ClusterEngine() = default;
ClusterEngine::ClusterEngine(ClusterEngine&&) noexcept = default;
ClusterEngine& ClusterEngine::operator=(ClusterEngine&&) noexcept = default;

ClusterEngine ClusterEngine::clone() const {
  ClusterEngine out(Policy::strict, {}, impl_->paused);
  *out.impl_ = Impl(*impl_);
  return out;
}

void ClusterEngine::restore_active(const ActiveEntry& entry) {
  ensure(!is_active(entry.id) && !is_waiting(entry.id), "a deployment is restored twice");
  impl_->nodes.take(entry.placement, entry.demand);
  if (!entry.leaving_for.is_nil()) impl_->nodes.freeze(entry.placement.node);
  impl_->active.add(entry);
  impl_->settled = false;
}

void ClusterEngine::restore_waiting(const Queued& entry) {
  impl_->on(entry);
  impl_->settled = false;
}

Decisions ClusterEngine::settle(EngineTime now) {
  ensure(now >= impl_->now, "the time of the engine goes back");
  impl_->now = now;
  Decisions out;
  impl_->free_everything();
  impl_->run(out);
  return out;
}

std::vector<Start> ClusterEngine::settle() {
  Decisions out = settle(impl_->now);
  ensure(out.evictions.empty(), "an engine that evicts is asked with decide()");
  return std::move(out.starts);
}

Decisions ClusterEngine::decide(const EngineEvent& event, EngineTime now) {
  return decide(std::span(&event, 1), now);
}

Decisions ClusterEngine::decide(std::span<const EngineEvent> events, EngineTime now) {
  ensure(now >= impl_->now, "the time of the engine goes back");
  impl_->now = now;
  Decisions out;
  for (const EngineEvent& event : events) {
    std::visit([&](const auto& e) { impl_->on(e); }, event);
  }
  impl_->run(out);
  return out;
}

std::vector<Start> ClusterEngine::apply(const EngineEvent& event) {
  Decisions out = decide(event, impl_->now);
  ensure(out.evictions.empty(), "an engine that evicts is asked with decide()");
  return std::move(out.starts);
}

std::vector<DeploymentId> ClusterEngine::can_resize(std::span<const Node> nodes) const {
  const NodeTable& now = impl_->nodes;
  std::unordered_map<std::string_view, const Node*> by_name;
  for (const Node& node : nodes) by_name.emplace(node.name, &node);
  std::vector<bool> refused(now.size(), false);
  for (NodeIndex n = 0; n < now.size(); ++n) {
    const auto found = by_name.find(now.node(n).name);
    const Resources after =
        found == by_name.end() ? Resources{-1, -1, -1} : found->second->capacity;
    const Resources used = shortage(now.node(n).capacity, now.free(n));
    // Shares stay on their devices, so the highest device in use must remain.
    std::int64_t devices = 0;
    const auto free = now.devices(n);
    for (std::size_t d = 0; d < free.size(); ++d) {
      if (free[d] < kGpuDevice) devices = static_cast<std::int64_t>(d) + 1;
    }
    refused[n] = !fits_into({used.cpu_milli, used.memory_bytes, devices * kGpuDevice}, after);
  }
  std::vector<DeploymentId> out;
  for (const ActiveEntry& entry : impl_->active.entries()) {
    if (refused[entry.placement.node]) out.push_back(entry.id);
  }
  std::ranges::sort(out);
  return out;
}

EngineStatus ClusterEngine::status() const {
  EngineStatus out;
  const NodeTable& nodes = impl_->nodes;
  for (NodeIndex n = 0; n < nodes.size(); ++n) {
    const auto devices = nodes.devices(n);
    out.nodes.push_back(
        {nodes.node(n), nodes.free(n), {devices.begin(), devices.end()}, nodes.active(n)});
    out.capacity += nodes.node(n).capacity;
    out.free += nodes.free(n);
  }
  const auto& high = impl_->waiting.band(Priority::high);
  const auto& low = impl_->waiting.band(Priority::low);
  out.high_waiting = high.considered.size();
  out.low_waiting = low.considered.size();
  out.parked = high.parked.size() + low.parked.size();
  out.active = impl_->active.size();
  out.paused = impl_->paused;
  return out;
}

std::vector<ActiveEntry> ClusterEngine::active() const {
  std::vector<ActiveEntry> out(impl_->active.entries().begin(), impl_->active.entries().end());
  std::ranges::sort(out, {}, &ActiveEntry::id);
  return out;
}

bool ClusterEngine::is_waiting(const DeploymentId& id) const {
  return impl_->waiting.find(id) != WaitingQueues::kNone;
}
std::optional<WaitingState> ClusterEngine::waiting_as(const DeploymentId& id) const {
  const auto slot = impl_->waiting.find(id);
  if (slot == WaitingQueues::kNone) return std::nullopt;
  const auto& entry = impl_->waiting.entry(slot);
  return WaitingState{entry.priority, entry.order, entry.parked, entry.awaits};
}
bool ClusterEngine::fits_now(const Resources& demand) const {
  return impl_->nodes.find(demand).has_value();
}
bool ClusterEngine::is_active(const DeploymentId& id) const { return impl_->active.contains(id); }
std::optional<ActiveEntry> ClusterEngine::active_as(const DeploymentId& id) const {
  const ActiveEntry* entry = impl_->active.entry(id);
  return entry == nullptr ? std::nullopt : std::optional(*entry);
}
std::size_t ClusterEngine::waiting() const { return impl_->waiting.size(); }
std::size_t ClusterEngine::active_count() const { return impl_->active.size(); }
const Node& ClusterEngine::node(std::uint32_t index) const { return impl_->nodes.node(index); }
EngineTime ClusterEngine::now() const { return impl_->now; }
Rules ClusterEngine::rules() const {
  Rules out = impl_->rules;
  out.mix = impl_->nodes.mix();
  return out;
}
std::size_t ClusterEngine::memory_bytes() const { return impl_->waiting.memory_bytes(); }

}  // namespace berth
