// The engine's invariants, computed a second time from the attempts and the queues alone, and the
// hash of its state. Slow on purpose: it shares no index with what it checks.
#include <algorithm>
#include <set>
#include <stdexcept>

#include "scheduler/engine_impl.h"

namespace berth {
namespace {

void must(bool ok, const std::string& sentence) {
  if (!ok) throw std::logic_error(sentence);
}

struct PlainNode {
  std::int64_t cpu = 0;
  std::int64_t memory = 0;
  std::vector<std::int64_t> devices;
  std::uint32_t active = 0;
  std::uint32_t leaving = 0;  // while some leave for somebody, nothing starts there

  [[nodiscard]] bool holds(const Resources& demand) const {
    if (leaving > 0) return false;
    const auto enough = [&](std::int64_t at_least) {
      return std::ranges::count_if(devices, [&](std::int64_t free) { return free >= at_least; });
    };
    if (demand.cpu_milli > cpu || demand.memory_bytes > memory) return false;
    if (demand.gpu_milli >= kGpuDevice) return enough(kGpuDevice) >= demand.gpu_milli / kGpuDevice;
    return demand.gpu_milli == 0 || enough(demand.gpu_milli) > 0;
  }
  void take(const Resources& demand) {  // it must hold it
    cpu -= demand.cpu_milli;
    memory -= demand.memory_bytes;
    std::int64_t gpu = demand.gpu_milli;
    for (std::int64_t& free : devices) {
      const std::int64_t part = std::min(gpu, kGpuDevice);
      if (part == 0 || free < part) continue;
      free -= part;
      gpu -= part;
    }
  }
};

std::vector<PlainNode> empty_nodes(const NodeTable& nodes) {
  std::vector<PlainNode> out;
  for (const Node& node : nodes.nodes()) {
    const auto devices = static_cast<std::size_t>(node.devices());
    out.push_back({node.capacity.cpu_milli, node.capacity.memory_bytes,
                   std::vector<std::int64_t>(devices, kGpuDevice), 0, 0});
  }
  return out;
}

// What one replica of an attempt holds.
void hold(std::vector<PlainNode>& plain, const ActiveEntry& entry, const Placement& place) {
  must(place.node < plain.size(), "an attempt runs on a node that does not exist");
  PlainNode& node = plain[place.node];
  node.cpu -= entry.demand.cpu_milli;
  node.memory -= entry.demand.memory_bytes;
  ++node.active;
  if (!entry.leaving_for.is_nil()) ++node.leaving;
  std::int64_t gpu = 0;
  for (const GpuShare& share : place.gpus) {
    must(static_cast<std::size_t>(share.device) < node.devices.size(),
         "an attempt holds a device that does not exist");
    node.devices[static_cast<std::size_t>(share.device)] -= share.milli;
    gpu += share.milli;
  }
  must(gpu == entry.demand.gpu_milli, "an attempt holds another GPU amount than it asked for");
  must(entry.demand.gpu_milli >= kGpuDevice || place.gpus.size() <= 1,
       "a share of one device is spread over several");
}

// Conservation: what is free is the capacity without what the attempts hold, and never negative.
std::vector<PlainNode> check_nodes(const ClusterEngine::Impl& state) {
  std::vector<PlainNode> plain = empty_nodes(state.nodes);
  for (const ActiveEntry& entry : state.active.entries()) {
    for_each_place(entry, [&](const Placement& place) { hold(plain, entry, place); });
  }
  for (NodeIndex n = 0; n < plain.size(); ++n) {
    const PlainNode& node = plain[n];
    const std::string& name = state.nodes.node(n).name;
    must(node.cpu >= 0 && node.memory >= 0 &&
             std::ranges::all_of(node.devices, [](std::int64_t free) { return free >= 0; }),
         "node " + name + " is over-committed");
    const Resources free = state.nodes.free(n);
    must(free.cpu_milli == node.cpu && free.memory_bytes == node.memory &&
             std::ranges::equal(state.nodes.devices(n), node.devices),
         "what is free on node " + name + " is not what its attempts leave");
    must(state.nodes.active(n) == node.active, "attempts on node " + name + " are miscounted");
  }
  state.nodes.check();
  return plain;
}

// Whether the nodes that the constraint allows hold all replicas, one placed after the other.
bool all_held(const ClusterEngine::Impl& state, const std::vector<PlainNode>& nodes,
              const Shape& shape) {
  const Constraint& constraint = state.constraints.constraint(shape.constraint);
  std::uint32_t placed = 0;
  for (NodeIndex n = 0; n < nodes.size() && placed < shape.replicas; ++n) {
    if (!allows(constraint, state.nodes.node(n))) continue;
    PlainNode left = nodes[n];
    for (; placed < shape.replicas && left.holds(shape.demand); ++placed) left.take(shape.demand);
  }
  return placed == shape.replicas;
}

// What each tenant holds, and what its quota leaves it, counted again.
void check_tenants(const ClusterEngine::Impl& state) {
  std::vector<Resources> used(state.tenants.size());
  for (const ActiveEntry& entry : state.active.entries()) {
    if (!state.tenants.apart()) break;
    must(entry.tenant < used.size(), "a tenant holds something and is not known");
    for_each_place(entry, [&](const Placement&) { used[entry.tenant] += entry.demand; });
  }
  Resources nominal;
  Resources counted;
  for (std::uint32_t t = 0; t < used.size(); ++t) {
    must(state.tenants.used(t) == used[t], "what a tenant holds is miscounted");
    const auto& quota = state.tenants.quota(t);
    if (!quota) continue;
    for (const auto resource :
         {&Resources::cpu_milli, &Resources::memory_bytes, &Resources::gpu_milli}) {
      if (quota->nominal.*resource == kNoQuota) continue;
      nominal.*resource += quota->nominal.*resource;
      counted.*resource += used[t].*resource;
    }
  }
  const Resources unused = state.tenants.unused_nominal();
  must(nominal == counted + unused, "what the tenants leave unused is miscounted");
}

// By the words of the rule: within the own quota, or within the limit and what others leave.
bool quota_allows(const ClusterEngine::Impl& state, const Shape& shape) {
  const auto& quota = state.tenants.quota(shape.tenant);
  if (!quota) return true;
  const Resources asked = repeated(shape.demand, shape.replicas);
  for (const auto resource :
       {&Resources::cpu_milli, &Resources::memory_bytes, &Resources::gpu_milli}) {
    const std::int64_t nominal = quota->nominal.*resource;
    if (nominal == kNoQuota || asked.*resource == 0) continue;
    const std::int64_t then = state.tenants.used(shape.tenant).*resource + asked.*resource;
    if (then <= nominal) continue;
    if (quota->borrowing && (*quota->borrowing).*resource != kNoQuota &&
        then > nominal + (*quota->borrowing).*resource) {
      return false;
    }
    if (asked.*resource > state.tenants.unused_nominal().*resource) return false;
  }
  return true;
}

// Work conservation: what the policy and the quotas allow to start fits nowhere.
void check_fixpoint(const ClusterEngine::Impl& state, const std::vector<PlainNode>& now) {
  const std::vector<PlainNode> empty = empty_nodes(state.nodes);
  bool high_waits = false;
  std::set<std::uint32_t> high_tenants;  // with a high one that waits, perhaps only for its quota
  for (const Priority priority : {Priority::high, Priority::low}) {
    const ShapeTable& shapes = state.waiting.band(priority).shapes;
    for (const ShapeTable::Row row : shapes.rows()) {
      const bool feasible = all_held(state, empty, shapes.shape(row));
      must(shapes.feasible(row) == feasible, "a demand is judged wrongly against the capacity");
      if (!feasible || shapes.waiting(row).empty()) continue;
      const Shape shape = shapes.shape(row);
      const bool in_quota = quota_allows(state, shape);
      if (priority == Priority::high) {
        high_waits = high_waits || in_quota;
        if (state.tenants.has_quotas()) high_tenants.insert(shape.tenant);
      }
      const bool open =
          priority == Priority::high || (!high_waits && !high_tenants.contains(shape.tenant));
      const bool may_start = !state.paused && in_quota && open;
      // An overdue one holds up everybody behind it.
      must(!may_start || !state.settled || state.rules.age_bound ||
               !all_held(state, now, shapes.shape(row)),
           "a deployment waits that may start and fits");
    }
  }
  must(high_waits == state.low_is_blocked(), "whether the low queue is blocked is not known");
}

// --- hashing ----------------------------------------------------------------------------------

class Hasher {
 public:
  Hasher& add(std::uint64_t value) {
    state_ = mix(state_ * 0x9E3779B97F4A7C15ULL + value + 1);
    return *this;
  }
  Hasher& add(std::string_view text) {
    for (const char c : text) add(static_cast<unsigned char>(c));
    return add(text.size());
  }
  Hasher& add(const Resources& r) {
    add(static_cast<std::uint64_t>(r.cpu_milli)).add(static_cast<std::uint64_t>(r.memory_bytes));
    return add(static_cast<std::uint64_t>(r.gpu_milli));
  }
  Hasher& add(const std::map<std::string, std::string>& labels) {
    for (const auto& [name, value] : labels) add(name).add(value);
    return add(labels.size());
  }
  // Nothing where there is none, so that plain histories keep their hashes.
  Hasher& add(const Constraint& constraint) {
    if (!constraint.empty()) add(constraint.gpu_model).add(constraint.labels);
    return *this;
  }
  Hasher& add(const DeploymentId& id) {
    for (const std::uint8_t byte : id.bytes()) add(std::uint64_t{byte});
    return *this;
  }
  [[nodiscard]] std::uint64_t value() const { return state_; }

 private:
  std::uint64_t state_ = 0;
};

// Only policies beyond the strict rules look at times, and at who is what among those that run.
std::uint64_t hash_of(const ActiveEntry& entry, bool with_times) {
  Hasher hash;
  hash.add(entry.id).add(entry.demand).add(std::uint64_t{entry.placement.node});
  if (with_times) {
    hash.add(static_cast<std::uint64_t>(entry.priority)).add(entry.order).add(entry.leaving_for);
    hash.add(std::uint64_t{entry.leaving}).add(static_cast<std::uint64_t>(entry.started));
    hash.add(static_cast<std::uint64_t>(entry.waited));
    hash.add(static_cast<std::uint64_t>(entry.max_run));
  }
  const auto add_gpus = [&](const Placement& place) {
    for (const GpuShare& share : place.gpus) {
      hash.add(static_cast<std::uint64_t>(share.device));
      hash.add(static_cast<std::uint64_t>(share.milli));
    }
  };
  add_gpus(entry.placement);
  hash.add(entry.constraint);
  if (entry.tenant > 0) hash.add(std::uint64_t{entry.tenant});
  for (const Placement& place : entry.more) {
    hash.add(std::uint64_t{place.node});
    add_gpus(place);
  }
  return hash.value();
}

}  // namespace

void ClusterEngine::check() const {
  const std::vector<PlainNode> plain = check_nodes(*impl_);
  impl_->waiting.check();
  impl_->constraints.check(impl_->nodes);
  std::set<std::uint64_t> orders;
  for (const Priority priority : {Priority::high, Priority::low}) {
    const WaitingQueues::Band& band = impl_->waiting.band(priority);
    for (const OrderedSequence* queue : {&band.considered, &band.parked}) {
      for (std::size_t rank = 0; rank < queue->size();) {
        const auto run = queue->run(rank);
        for (const std::uint64_t order : run.keys) {
          must(orders.insert(order).second, "two waiting deployments have the same order");
        }
        rank += run.keys.size();
      }
    }
  }
  for (const ActiveEntry& entry : impl_->active.entries()) {
    must(is_active(entry.id), "the index by id does not lead to an active attempt");
    must(!is_waiting(entry.id), "a deployment waits and is active");
  }
  check_tenants(*impl_);
  check_fixpoint(*impl_, plain);
}

// Nodes count in their order, which breaks ties between them; attempts and waiting deployments are
// sets, so their hashes are summed and the layout of the tables does not matter.
std::uint64_t ClusterEngine::state_hash() const {
  Hasher hash;
  const Rules& rules = impl_->rules;
  const bool with_times = rules.backfill || rules.preempt || rules.age_bound;
  if (with_times) {
    hash.add(std::uint64_t{rules.backfill}).add(std::uint64_t{rules.preempt});
    hash.add(static_cast<std::uint64_t>(rules.age_bound.value_or(-1)));
  }
  if (rules.fair) hash.add(std::uint64_t{1});
  for (const Quota& quota : rules.quotas) {
    hash.add(std::uint64_t{quota.tenant}).add(quota.nominal);
    if (quota.borrowing) hash.add(*quota.borrowing);
  }
  hash.add(std::uint64_t{impl_->paused});
  for (const Node& node : impl_->nodes.nodes()) {
    hash.add(node.name).add(node.capacity).add(node.gpu_model);
    if (!node.labels.empty()) hash.add(node.labels);
  }
  std::uint64_t active = 0;
  for (const ActiveEntry& entry : impl_->active.entries()) active += hash_of(entry, with_times);
  std::uint64_t waiting = 0;
  for (const Priority priority : {Priority::high, Priority::low}) {
    const WaitingQueues::Band& band = impl_->waiting.band(priority);
    for (const OrderedSequence* queue : {&band.considered, &band.parked}) {
      for (std::size_t rank = 0; rank < queue->size();) {
        const auto run = queue->run(rank);
        for (const WaitingQueues::Slot slot : run.values) {
          const WaitingQueues::Entry& e = impl_->waiting.entry(slot);
          Hasher one;
          one.add(e.id).add(e.order).add(impl_->waiting.demand(slot));
          if (with_times) {
            one.add(static_cast<std::uint64_t>(e.since))
                .add(static_cast<std::uint64_t>(impl_->waiting.max_run(slot)));
          }
          const Shape shape = impl_->waiting.shape(slot);
          one.add(impl_->constraints.constraint(shape.constraint));
          if (shape.replicas > 1) one.add(std::uint64_t{shape.replicas});
          if (shape.tenant > 0) one.add(~std::uint64_t{shape.tenant});
          one.add(static_cast<std::uint64_t>(priority)).add(std::uint64_t{e.parked});
          waiting += one.add(std::uint64_t{e.awaits}).value();
        }
        rank += run.keys.size();
      }
    }
  }
  return hash.add(active).add(waiting).value();
}

}  // namespace berth
