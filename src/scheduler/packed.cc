#include "scheduler/packed.h"

#include <map>

namespace berth::journal {
namespace {

constexpr std::uint64_t kAnyInt32 = std::uint64_t{1} << 31;

enum QueuedFlag : std::uint64_t {
  kLow = 1,
  kParked = 2,
  kSince = 4,
  kMaxRun = 8,
  kAwaits = 16,
  kConstraint = 32,
  kReplicas = 64,
  kTenant = 128,
  kQueuedFlags = 255
};

enum ActiveFlag : std::uint64_t {
  kActiveLow = 1,
  kStarted = 2,
  kActiveMaxRun = 4,
  kLeavingFor = 8,
  kLeaving = 16,
  kWaited = 32,
  kActiveConstraint = 64,
  kMore = 128,
  kActiveTenant = 256,
  kActiveFlags = 511
};

enum NodeFlag : std::uint64_t { kGpuModel = 1, kLabels = 2, kNodeFlags = 3 };

enum RulesFlag : std::uint64_t {
  kMix = 1,
  kBackfill = 2,
  kPreempt = 4,
  kAgeBound = 8,
  kQuotas = 16,
  kFair = 32,
  kRulesFlags = 63
};

// With wrapping, so that any value survives.
std::int64_t before(EngineTime now, EngineTime then) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(now) -
                                   static_cast<std::uint64_t>(then));
}

}  // namespace

void put(Packer& out, const Resources& r) {
  out.integer(r.cpu_milli);
  out.integer(r.memory_bytes);
  out.integer(r.gpu_milli);
}
Resources get_resources(Unpacker& in) {
  Resources out;
  out.cpu_milli = in.integer();
  out.memory_bytes = in.integer();
  out.gpu_milli = in.integer();
  return out;
}

namespace {

void put(Packer& out, const std::map<std::string, std::string>& labels) {
  out.natural(labels.size());
  for (const auto& [key, value] : labels) {
    out.text(key);
    out.text(value);
  }
}
std::map<std::string, std::string> get_labels(Unpacker& in) {
  std::map<std::string, std::string> out;
  const std::size_t count = in.count(2);
  for (std::size_t i = 0; i < count && in.ok(); ++i) {
    std::string key = in.text();
    if (!out.emplace(std::move(key), in.text()).second) in.refuse();
  }
  return out;
}

void put(Packer& out, const Constraint& constraint) {
  out.text(constraint.gpu_model);
  put(out, constraint.labels);
}
Constraint get_constraint(Unpacker& in) {
  Constraint out;
  out.gpu_model = in.text();
  out.labels = get_labels(in);
  return out;
}

}  // namespace

void put(Packer& out, const Queued& q, EngineTime now) {
  const auto flags = Flags()
                         .set(kLow, q.priority == Priority::low)
                         .set(kParked, q.parked)
                         .set(kSince, q.since != now)
                         .set(kMaxRun, q.max_run != 0)
                         .set(kAwaits, q.awaits)
                         .set(kConstraint, !q.constraint.empty())
                         .set(kReplicas, q.replicas != 1)
                         .set(kTenant, q.tenant != 0);
  out.natural(flags.value());
  out.id(q.id);
  out.natural(q.order);
  put(out, q.demand);
  if (flags.has(kSince)) out.integer(before(now, q.since));
  if (flags.has(kMaxRun)) out.integer(q.max_run);
  if (flags.has(kConstraint)) put(out, q.constraint);
  if (flags.has(kReplicas)) out.natural(q.replicas);
  if (flags.has(kTenant)) out.natural(q.tenant);
}
Queued get_queued(Unpacker& in, EngineTime now) {
  const Flags flags = flags_of(in, kQueuedFlags);
  Queued out;
  out.priority = flags.has(kLow) ? Priority::low : Priority::high;
  out.parked = flags.has(kParked);
  out.id = in.id();
  out.order = in.natural();
  out.demand = get_resources(in);
  out.since = flags.has(kSince) ? before(now, in.integer()) : now;
  if (flags.has(kMaxRun)) out.max_run = in.integer();
  out.awaits = flags.has(kAwaits);
  if (flags.has(kConstraint)) out.constraint = get_constraint(in);
  if (flags.has(kReplicas)) out.replicas = in.number<std::uint32_t>(kAnyUint32);
  if (flags.has(kTenant)) out.tenant = in.number<std::uint32_t>(kAnyUint32);
  return out;
}

void put(Packer& out, const Placement& place) {
  out.natural(place.node);
  out.natural(place.gpus.size());
  for (const GpuShare& share : place.gpus) {
    out.natural(static_cast<std::uint32_t>(share.device));
    out.natural(static_cast<std::uint32_t>(share.milli));
  }
}
Placement get_placement(Unpacker& in) {
  Placement out;
  out.node = in.number<std::uint32_t>(kAnyUint32);
  const std::size_t gpus = in.count(2);
  out.gpus.reserve(gpus);
  for (std::size_t i = 0; i < gpus && in.ok(); ++i) {
    const auto device = in.number<std::int32_t>(kAnyInt32);
    out.gpus.push_back({device, in.number<std::int32_t>(kAnyInt32)});
  }
  return out;
}

void put(Packer& out, const std::vector<Placement>& places) {
  out.natural(places.size());
  for (const Placement& place : places) put(out, place);
}
std::vector<Placement> get_placements(Unpacker& in) {
  std::vector<Placement> out;
  const std::size_t count = in.count(2);
  for (std::size_t i = 0; i < count && in.ok(); ++i) out.push_back(get_placement(in));
  return out;
}

void put(Packer& out, const ActiveEntry& e, EngineTime now) {
  const auto flags = Flags()
                         .set(kActiveLow, e.priority == Priority::low)
                         .set(kStarted, e.started != now)
                         .set(kActiveMaxRun, e.max_run != 0)
                         .set(kLeavingFor, !e.leaving_for.is_nil())
                         .set(kLeaving, e.leaving)
                         .set(kWaited, e.waited != 0)
                         .set(kActiveConstraint, !e.constraint.empty())
                         .set(kMore, !e.more.empty())
                         .set(kActiveTenant, e.tenant != 0);
  out.natural(flags.value());
  out.id(e.id);
  put(out, e.demand);
  put(out, e.placement);
  out.natural(e.order);
  if (flags.has(kStarted)) out.integer(before(now, e.started));
  if (flags.has(kActiveMaxRun)) out.integer(e.max_run);
  if (flags.has(kLeavingFor)) out.id(e.leaving_for);
  if (flags.has(kWaited)) out.integer(e.waited);
  if (flags.has(kActiveConstraint)) put(out, e.constraint);
  if (flags.has(kMore)) put(out, e.more);
  if (flags.has(kActiveTenant)) out.natural(e.tenant);
}
ActiveEntry get_active(Unpacker& in, EngineTime now) {
  const Flags flags = flags_of(in, kActiveFlags);
  ActiveEntry out;
  out.id = in.id();
  out.demand = get_resources(in);
  out.placement = get_placement(in);
  out.priority = flags.has(kActiveLow) ? Priority::low : Priority::high;
  out.order = in.natural();
  out.started = flags.has(kStarted) ? before(now, in.integer()) : now;
  if (flags.has(kActiveMaxRun)) out.max_run = in.integer();
  if (flags.has(kLeavingFor)) out.leaving_for = in.id();
  out.leaving = flags.has(kLeaving);
  if (flags.has(kWaited)) out.waited = in.integer();
  if (flags.has(kActiveConstraint)) out.constraint = get_constraint(in);
  if (flags.has(kMore)) out.more = get_placements(in);
  if (flags.has(kActiveTenant)) out.tenant = in.number<std::uint32_t>(kAnyUint32);
  return out;
}

void put(Packer& out, const std::vector<Node>& nodes) {
  out.natural(nodes.size());
  for (const Node& node : nodes) {
    const auto flags =
        Flags().set(kGpuModel, !node.gpu_model.empty()).set(kLabels, !node.labels.empty());
    out.natural(flags.value());
    out.text(node.name);
    put(out, node.capacity);
    if (flags.has(kGpuModel)) out.text(node.gpu_model);
    if (flags.has(kLabels)) put(out, node.labels);
  }
}
std::vector<Node> get_nodes(Unpacker& in) {
  std::vector<Node> out(in.count(5));
  for (Node& node : out) {
    const Flags flags = flags_of(in, kNodeFlags);
    node.name = in.text();
    node.capacity = get_resources(in);
    if (flags.has(kGpuModel)) node.gpu_model = in.text();
    if (flags.has(kLabels)) node.labels = get_labels(in);
    if (!in.ok()) break;
  }
  return out;
}

void put(Packer& out, const Rules& rules) {
  const auto flags = Flags()
                         .set(kMix, rules.mix.has_value())
                         .set(kBackfill, rules.backfill)
                         .set(kPreempt, rules.preempt)
                         .set(kAgeBound, rules.age_bound.has_value())
                         .set(kQuotas, !rules.quotas.empty())
                         .set(kFair, rules.fair);
  out.natural(flags.value());
  if (rules.mix) {
    out.natural(rules.mix->kinds.size());
    for (const TaskMix::Kind& kind : rules.mix->kinds) {
      put(out, kind.demand);
      out.integer(kind.weight);
    }
  }
  if (rules.age_bound) out.integer(*rules.age_bound);
  if (!flags.has(kQuotas)) return;
  out.natural(rules.quotas.size());
  for (const Quota& quota : rules.quotas) {
    out.natural(quota.tenant);
    put(out, quota.nominal);
    out.natural(quota.borrowing ? 1 : 0);
    if (quota.borrowing) put(out, *quota.borrowing);
  }
}
Rules get_rules(Unpacker& in) {
  const Flags flags = flags_of(in, kRulesFlags);
  Rules out;
  out.backfill = flags.has(kBackfill);
  out.preempt = flags.has(kPreempt);
  if (flags.has(kMix)) {
    out.mix.emplace();
    out.mix->kinds.resize(in.count(4));
    for (TaskMix::Kind& kind : out.mix->kinds) {
      kind.demand = get_resources(in);
      kind.weight = in.integer();
    }
  }
  if (flags.has(kAgeBound)) out.age_bound = in.integer();
  out.fair = flags.has(kFair);
  const std::size_t quotas = flags.has(kQuotas) ? in.count(5) : 0;
  for (std::size_t i = 0; i < quotas && in.ok(); ++i) {
    Quota quota;
    quota.tenant = in.number<std::uint32_t>(kAnyUint32);
    quota.nominal = get_resources(in);
    if (in.number<int>(2) == 1) quota.borrowing = get_resources(in);
    out.quotas.push_back(std::move(quota));
  }
  return out;
}

}  // namespace berth::journal
