#include "scheduler/engine.h"

#include <algorithm>
#include <map>
#include <string_view>
#include <unordered_map>

#include "base/ensure.h"
#include "scheduler/engine_impl.h"

namespace berth {
namespace {

Resources held_by(const ActiveEntry& entry) {
  return repeated(entry.demand, static_cast<std::uint32_t>(1 + entry.more.size()));
}

void hold_places(NodeTable& table, const ActiveEntry& entry) {
  for_each_place(entry, [&](const Placement& place) {
    table.take(place, entry.demand);
    if (!entry.leaving_for.is_nil()) table.freeze(place.node);
  });
}

bool well_formed(const Resources& demand) {
  return demand.cpu_milli >= 0 && demand.memory_bytes >= 0 && demand.gpu_milli >= 0 &&
         (demand.gpu_milli < kGpuDevice || demand.gpu_milli % kGpuDevice == 0);
}

}  // namespace

// --- events -----------------------------------------------------------------------------------

WaitingQueues::Slot ClusterEngine::Impl::waiting_slot(const DeploymentId& id) const {
  const WaitingQueues::Slot slot = waiting.find(id);
  ensure(slot != WaitingQueues::kNone, "an event names a deployment that does not wait");
  return slot;
}

void ClusterEngine::Impl::on(const Queued& event) {
  waiting.prefetch(event.id);
  ensure(well_formed(event.demand), "a demand is negative or asks for whole and shared devices");
  ensure(!active.contains(event.id), "a deployment that is active is queued");
  ensure(event.replicas > 0, "a deployment without replicas is queued");
  const Shape shape{event.demand, constraints.acquire(event.constraint, nodes), event.replicas,
                    event.tenant};
  const ShapeTable& shapes = waiting.band(event.priority).shapes;
  // Whether the nodes could hold it is asked once for a row.
  const ShapeTable::Row row = shapes.find(shape);
  waiting.add(event, shape, row == SlotIndex::kNone ? could_hold(shape) : shapes.feasible(row));
}

void ClusterEngine::Impl::on(const Unparked& event) { waiting.unpark(waiting_slot(event.id)); }

void ClusterEngine::Impl::on(const Withdrawn& event) {
  const WaitingQueues::Slot slot = waiting.find(event.id);
  if (slot != WaitingQueues::kNone) leave_queue(slot);
}

void ClusterEngine::Impl::on(const Reprioritized& event) {
  waiting.change_priority(waiting_slot(event.id), event.priority);
}

void ClusterEngine::Impl::on(const Released& event) {
  const auto entry = active.remove(event.id);
  if (!entry) return;
  tenants.give(entry->tenant, held_by(*entry));
  for_each_place(*entry, [&](const Placement& place) {
    nodes.give(place, entry->demand);
    // A node that is being cleared for somebody stays closed until the last one has left it.
    if (!entry->leaving_for.is_nil()) nodes.thaw(place.node);
    for (FreedNodes& list : freed) list.add(place.node);
  });
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
    for_each_place(entry, [&](const Placement& place) {
      ensure(place.node != kGone, "the new node list lacks a node that holds reservations");
    });
  }
  occupy(next);
  nodes = std::move(next);
  constraints.nodes_changed(nodes);
  for (const Priority p : {Priority::high, Priority::low}) {
    waiting.shapes(p).judge_again([&](const Shape& shape) { return could_hold(shape); });
  }
  free_everything();
}

void ClusterEngine::Impl::on(const PauseChanged& event) { paused = event.paused; }

void ClusterEngine::Impl::on(const Leaving& event) { active.set_leaving(event.id); }

// Rare: built anew from what runs and what waits.
void ClusterEngine::Impl::on(const RulesChanged& event) {
  ClusterEngine next(Policy::strict, {nodes.nodes().begin(), nodes.nodes().end()}, paused,
                     event.rules);
  for (const ActiveEntry& entry : active.entries()) next.restore_active(entry);
  for (const Queued& entry : front(waiting.size())) next.restore_waiting(entry);
  next.impl_->now = now;
  *this = std::move(*next.impl_);
}

// What it was queued as.
Queued ClusterEngine::Impl::queued(WaitingQueues::Slot slot) const {
  const WaitingQueues::Entry& entry = waiting.entry(slot);
  const Shape shape = waiting.shape(slot);
  return {entry.id,
          entry.priority,
          entry.order,
          shape.demand,
          entry.parked,
          entry.since,
          waiting.max_run(slot),
          entry.awaits,
          constraints.constraint(shape.constraint),
          shape.replicas,
          shape.tenant};
}

std::vector<Queued> ClusterEngine::Impl::front(std::size_t first) const {
  std::vector<Queued> out;
  out.reserve(std::min(4 * first, waiting.size()));
  for (const bool parked : {false, true}) {
    for (const Priority priority : {Priority::high, Priority::low}) {
      const WaitingQueues::Band& band = waiting.band(priority);
      const OrderedSequence& queue = parked ? band.parked : band.considered;
      const std::size_t end = std::min(first, queue.size());
      for (std::size_t rank = 0; rank < end;) {
        const auto run = queue.run(rank);
        for (std::size_t i = 0; i < run.values.size() && rank < end; ++i, ++rank) {
          out.push_back(queued(run.values[i]));
        }
      }
    }
  }
  return out;
}

// What runs, on a table of nodes that holds nothing yet.
void ClusterEngine::Impl::occupy(NodeTable& table) const {
  for (const ActiveEntry& entry : active.entries()) hold_places(table, entry);
}

// --- the interface ----------------------------------------------------------------------------

ClusterEngine::ClusterEngine(Policy policy, std::vector<Node> nodes, bool paused, Rules rules)
    : impl_(std::make_unique<Impl>()) {
  impl_->paused = paused;
  impl_->nodes = NodeTable(std::move(nodes), rules.mix);
  rules.backfill = rules.backfill || backfills(policy);
  rules.preempt = rules.preempt || preempts(policy);
  rules.mix.reset();
  impl_->tenants = Tenants(rules);
  if (impl_->tenants.apart()) impl_->waiting.keep_tenants_apart();
  impl_->rules = std::move(rules);
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

std::vector<Queued> ClusterEngine::front(std::size_t first) const { return impl_->front(first); }

ClusterEngine ClusterEngine::clone_front(std::size_t first) const {
  ClusterEngine out(Policy::strict, {}, impl_->paused, impl_->rules);
  Impl& copy = *out.impl_;
  copy.now = impl_->now;
  copy.settled = impl_->settled;
  copy.nodes = impl_->nodes;
  copy.active = impl_->active;
  copy.tenants = impl_->tenants;
  copy.freed = impl_->freed;
  copy.constraints.nodes_changed(copy.nodes);
  for (const Queued& entry : front(first)) copy.on(entry);
  return out;
}

void ClusterEngine::restore_active(const ActiveEntry& entry) {
  ensure(!is_active(entry.id) && !is_waiting(entry.id), "a deployment is restored twice");
  impl_->tenants.take(entry.tenant, held_by(entry));
  hold_places(impl_->nodes, entry);
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
    bool stays = true;
    for_each_place(entry, [&](const Placement& place) { stays = stays && !refused[place.node]; });
    if (!stays) out.push_back(entry.id);
  }
  std::ranges::sort(out);
  return out;
}

EngineStatus ClusterEngine::status() const {
  EngineStatus out;
  const NodeTable& nodes = impl_->nodes;
  for (NodeIndex n = 0; n < nodes.size(); ++n) {
    out.nodes.push_back(node_state(n));
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
  for (std::uint32_t tenant = 0; tenant < impl_->tenants.size(); ++tenant) {
    const auto& quota = impl_->tenants.quota(tenant);
    if (quota) out.tenants.push_back({*quota, impl_->tenants.used(tenant)});
  }
  return out;
}

std::vector<TenantNow> ClusterEngine::tenants() const {
  std::map<std::uint32_t, TenantNow> out;
  for (const ActiveEntry& entry : impl_->active.entries())
    for_each_place(entry, [&](const Placement&) { out[entry.tenant].used += entry.demand; });
  for (const Priority priority : {Priority::high, Priority::low}) {
    const ShapeTable& shapes = impl_->waiting.band(priority).shapes;
    for (const ShapeTable::Row row : shapes.rows())
      out[shapes.shape(row).tenant].waiting += shapes.waiting(row).size();
  }
  for (const Quota& quota : impl_->rules.quotas) out[quota.tenant].quota = quota;
  std::vector<TenantNow> list;
  for (auto& [tenant, now] : out) {
    now.tenant = tenant;
    list.push_back(std::move(now));
  }
  return list;
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
bool ClusterEngine::paused() const { return impl_->paused; }
std::size_t ClusterEngine::waiting() const { return impl_->waiting.size(); }
std::size_t ClusterEngine::active_count() const { return impl_->active.size(); }
const Node& ClusterEngine::node(std::uint32_t index) const { return impl_->nodes.node(index); }
NodeState ClusterEngine::node_state(std::uint32_t index) const {
  const NodeTable& nodes = impl_->nodes;
  const auto devices = nodes.devices(index);
  return {
      nodes.node(index), nodes.free(index), {devices.begin(), devices.end()}, nodes.active(index)};
}
EngineTime ClusterEngine::now() const { return impl_->now; }
bool ClusterEngine::follows_plain_rules() const {
  const Rules& rules = impl_->rules;
  return !rules.backfill && !rules.preempt && !rules.age_bound;
}
Rules ClusterEngine::rules() const {
  Rules out = impl_->rules;
  out.mix = impl_->nodes.mix();
  return out;
}
std::size_t ClusterEngine::memory_bytes() const { return impl_->waiting.memory_bytes(); }

}  // namespace berth
