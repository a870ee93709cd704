#include "scheduler/engine_state.h"

#include <algorithm>
#include <set>

#include "scheduler/engine_impl.h"

namespace berth {
namespace {

constexpr std::int64_t kMost = std::int64_t{1} << 53;  // of any one amount
constexpr std::int64_t kMostDevices = 100'000;
constexpr std::uint32_t kMostReplicas = 1'000'000;
constexpr std::uint32_t kMostTenants = 1 << 20;

Result<void> impossible(std::string what) {
  return fail(Code::internal, "impossible", std::move(what));
}
Result<void> must(bool ok, const char* what) { return ok ? Result<void>{} : impossible(what); }

bool is_amount(std::int64_t value) { return value >= 0 && value <= kMost; }
bool is_demand(const Resources& r) {
  return is_amount(r.cpu_milli) && is_amount(r.memory_bytes) && is_amount(r.gpu_milli) &&
         (r.gpu_milli < kGpuDevice || r.gpu_milli % kGpuDevice == 0);
}

Result<void> check_nodes(std::span<const Node> nodes) {
  std::set<std::string_view> names;
  for (const Node& node : nodes) {
    if (!names.insert(node.name).second) return impossible("Two nodes have the same name.");
    if (!is_demand(node.capacity) || node.capacity.gpu_milli % kGpuDevice != 0 ||
        node.capacity.gpu_milli / kGpuDevice > kMostDevices)
      return impossible("A node has an impossible capacity.");
  }
  return {};
}

// Whether what is free holds it exactly there.
bool holds(const NodeTable& nodes, const Placement& place, const Resources& demand) {
  if (place.node >= nodes.size()) return false;
  const Resources free = nodes.free(place.node);
  if (demand.cpu_milli > free.cpu_milli || demand.memory_bytes > free.memory_bytes) return false;
  const auto devices = nodes.devices(place.node);
  std::set<std::int32_t> used;
  std::int64_t gpu = 0;
  for (const GpuShare& share : place.gpus) {
    if (share.device < 0 || static_cast<std::size_t>(share.device) >= devices.size()) return false;
    if (share.milli <= 0 || share.milli > devices[static_cast<std::size_t>(share.device)])
      return false;
    if (!used.insert(share.device).second) return false;
    gpu += share.milli;
  }
  return gpu == demand.gpu_milli;
}

// A place for each replica, and all of them at once.
template <class Placed>
bool holds_all(NodeTable& nodes, const Placed& placed, const Resources& demand) {
  std::vector<const Placement*> taken;
  bool fine = true;
  for_each_place(placed, [&](const Placement& place) {
    fine = fine && holds(nodes, place, demand);
    if (!fine) return;
    nodes.take(place, demand);
    taken.push_back(&place);
  });
  for (const Placement* place : taken) nodes.give(*place, demand);
  return fine;
}

Result<void> check_rules(const Rules& rules) {
  const auto is_quota = [](const Resources& r) {
    return r.cpu_milli >= 0 && r.memory_bytes >= 0 && r.gpu_milli >= 0;
  };
  std::set<std::uint32_t> tenants;
  for (const Quota& quota : rules.quotas) {
    if (quota.tenant >= kMostTenants || !tenants.insert(quota.tenant).second ||
        !is_quota(quota.nominal) || (quota.borrowing && !is_quota(*quota.borrowing)))
      return impossible("A quota is impossible.");
  }
  return {};
}

bool is_order_taken(const WaitingQueues& waiting, std::uint64_t order) {
  for (const Priority priority : {Priority::high, Priority::low}) {
    const WaitingQueues::Band& band = waiting.band(priority);
    for (const OrderedSequence* queue : {&band.considered, &band.parked}) {
      const auto there = queue->run(queue->rank(order));
      if (!there.keys.empty() && there.keys.front() == order) return true;
    }
  }
  return false;
}

}  // namespace

// With access to the state that the interface does not show.
class StateAccess {
 public:
  static const ClusterEngine::Impl& of(const ClusterEngine& engine) { return *engine.impl_; }
  static ClusterEngine::Impl& of(ClusterEngine& engine) { return *engine.impl_; }
};

namespace {

using Impl = ClusterEngine::Impl;

Result<void> check_waits(const Impl& state, const DeploymentId& id) {
  return must(state.waiting.find(id) != WaitingQueues::kNone,
              "An event is about a deployment that does not wait.");
}

Result<void> check(const Impl& state, const Queued& event) {
  if (!is_demand(event.demand) || event.replicas == 0 || event.replicas > kMostReplicas ||
      event.tenant >= kMostTenants)
    return impossible("A demand is impossible.");
  if (state.active.contains(event.id) || state.waiting.find(event.id) != WaitingQueues::kNone)
    return impossible("A deployment is queued that waits or runs already.");
  return must(!is_order_taken(state.waiting, event.order),
              "Two waiting deployments have the same order.");
}
Result<void> check(const Impl& state, const Unparked& event) {
  return check_waits(state, event.id);
}
Result<void> check(const Impl& state, const Reprioritized& event) {
  return check_waits(state, event.id);
}
Result<void> check(const Impl& state, const Resized& event) {
  if (auto fine = check_nodes(event.nodes); !fine) return fine;
  NodeTable next(event.nodes);
  std::map<std::string_view, NodeIndex> by_name;
  for (NodeIndex n = 0; n < next.size(); ++n) by_name.emplace(next.node(n).name, n);
  for (const ActiveEntry& entry : state.active.entries()) {
    bool fine = true;
    for_each_place(entry, [&](const Placement& place) {
      const auto found = by_name.find(state.nodes.node(place.node).name);
      if (found == by_name.end()) fine = false;
      if (!fine) return;
      const Placement there{found->second, place.gpus};
      fine = holds(next, there, entry.demand);
      if (fine) next.take(there, entry.demand);
    });
    if (!fine) return impossible("A node goes, or becomes too small, on which something runs.");
  }
  return {};
}
Result<void> check(const Impl&, const RulesChanged& event) { return check_rules(event.rules); }
template <class Event>
Result<void> check(const Impl&, const Event&) {
  return {};
}

Result<void> take_in(Impl& state, std::span<const EngineEvent> events, EngineTime now) {
  if (now < state.now) return impossible("The time goes back.");
  state.now = now;
  for (const EngineEvent& event : events) {
    auto done = std::visit(
        [&](const auto& e) {
          auto fine = check(state, e);
          if (fine) state.on(e);
          return fine;
        },
        event);
    if (!done) return done;
  }
  return {};
}

Result<void> start_as_decided(Impl& state, const Start& start) {
  const WaitingQueues::Slot slot = state.waiting.find(start.id);
  if (slot == WaitingQueues::kNone) return impossible("Something started that did not wait.");
  const Shape shape = state.waiting.shape(slot);
  if (start.more.size() + 1 != shape.replicas || !holds_all(state.nodes, start, shape.demand))
    return impossible("Something started where it had no room.");
  std::vector<Start> ignored;
  state.start(slot, {start.placement, start.more}, ignored);
  return {};
}

Result<void> evict_as_decided(Impl& state, const Evict& evict) {
  const auto found = std::ranges::find(state.active.entries(), evict.id, &ActiveEntry::id);
  if (found == state.active.entries().end() || !found->leaving_for.is_nil())
    return impossible("Something was displaced that did not run, or was before.");
  if (evict.for_whom.is_nil()) return impossible("Something was displaced for nobody.");
  for_each_place(state.active.leave(evict.id, evict.for_whom),
                 [&](const Placement& place) { state.nodes.freeze(place.node); });
  return {};
}

}  // namespace

EngineState state_of(const ClusterEngine& engine) {
  const Impl& state = StateAccess::of(engine);
  EngineState out{
      engine.rules(), state.paused, state.now, {}, engine.active(), engine.front(engine.waiting())};
  out.nodes.assign(state.nodes.nodes().begin(), state.nodes.nodes().end());
  return out;
}

Result<ClusterEngine> engine_of(EngineState from) {
  if (auto fine = check_nodes(from.nodes); !fine) return std::unexpected(fine.error());
  if (auto fine = check_rules(from.rules); !fine) return std::unexpected(fine.error());
  ClusterEngine engine(Policy::strict, std::move(from.nodes), from.paused, std::move(from.rules));
  Impl& state = StateAccess::of(engine);
  state.now = from.now;
  for (const ActiveEntry& entry : from.active) {
    if (state.active.contains(entry.id) || !is_demand(entry.demand) ||
        entry.tenant >= kMostTenants || !holds_all(state.nodes, entry, entry.demand)) {
      return std::unexpected(impossible("Something runs twice, or where it has no room.").error());
    }
    engine.restore_active(entry);
  }
  for (const Queued& entry : from.waiting) {
    if (auto fine = check(state, entry); !fine) return std::unexpected(std::move(fine.error()));
    engine.restore_waiting(entry);
  }
  return engine;
}

Result<Decisions> decide_again(ClusterEngine& engine, std::span<const EngineEvent> events,
                               EngineTime now) {
  Impl& state = StateAccess::of(engine);
  if (auto taken = take_in(state, events, now); !taken) return std::unexpected(taken.error());
  if (events.empty()) return engine.settle(now);
  Decisions out;
  state.run(out);
  return out;
}

Result<void> follow(ClusterEngine& engine, std::span<const EngineEvent> events,
                    const Decisions& decided, EngineTime now) {
  Impl& state = StateAccess::of(engine);
  if (auto taken = take_in(state, events, now); !taken) return taken;
  for (const Start& start : decided.starts) {
    if (auto done = start_as_decided(state, start); !done) return done;
  }
  for (const Evict& evict : decided.evictions) {
    if (auto done = evict_as_decided(state, evict); !done) return done;
  }
  if (!state.paused) state.settled = true;
  return {};
}

}  // namespace berth
