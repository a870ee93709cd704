#include "scheduler/journal.h"

#include <algorithm>
#include <limits>
#include <map>

#include "base/hash.h"
#include "scheduler/packing.h"

namespace berth::journal {
namespace {

constexpr char kVersion = 1;
constexpr std::size_t kChecksum = 8;
constexpr std::uint64_t kAnyInt32 = std::uint64_t{1} << 31;

enum class RecordKind : std::uint8_t { step = 1, checkpoint = 2 };
enum class EventKind : std::uint8_t {
  queued = 1,
  unparked,
  withdrawn,
  reprioritized,
  released,
  resized,
  pause_changed,
  leaving,
  rules_changed
};

// Which fields follow. Reading refuses flags that it does not know: they are of a newer version.
class Flags {
 public:
  explicit Flags(std::uint64_t value = 0) : value_(value) {}
  Flags& set(std::uint64_t flag, bool on) {
    if (on) value_ |= flag;
    return *this;
  }
  [[nodiscard]] bool has(std::uint64_t flag) const { return (value_ & flag) != 0; }
  [[nodiscard]] std::uint64_t value() const { return value_; }

 private:
  std::uint64_t value_;
};
Flags flags_of(Unpacker& in, std::uint64_t known) {
  const std::uint64_t value = in.natural();
  if ((value & ~known) != 0) in.refuse();
  return Flags(value);
}

// Times stand relative to the step's or the state's own. With wrapping, so that any value survives.
std::int64_t before(EngineTime now, EngineTime then) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(now) -
                                   static_cast<std::uint64_t>(then));
}

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

constexpr std::uint64_t kAnyUint32 = std::uint64_t{1} << 32;

// --- what waits, runs, and is there
// ---------------------------------------------------------------

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

enum NodeFlag : std::uint64_t { kGpuModel = 1, kLabels = 2, kNodeFlags = 3 };

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

enum RulesFlag : std::uint64_t {
  kMix = 1,
  kBackfill = 2,
  kPreempt = 4,
  kAgeBound = 8,
  kQuotas = 16,
  kFair = 32,
  kRulesFlags = 63
};

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

// --- events and decisions
// -------------------------------------------------------------------------

class EventPutter {
 public:
  EventPutter(Packer& out, EngineTime now) : out_(out), now_(now) {}
  void operator()(const Queued& e) const {
    kind(EventKind::queued);
    put(out_, e, now_);
  }
  void operator()(const Unparked& e) const { about(EventKind::unparked, e.id); }
  void operator()(const Withdrawn& e) const { about(EventKind::withdrawn, e.id); }
  void operator()(const Reprioritized& e) const {
    about(EventKind::reprioritized, e.id);
    out_.natural(e.priority == Priority::low ? 1 : 0);
  }
  void operator()(const Released& e) const { about(EventKind::released, e.id); }
  void operator()(const Resized& e) const {
    kind(EventKind::resized);
    put(out_, e.nodes);
  }
  void operator()(const PauseChanged& e) const {
    kind(EventKind::pause_changed);
    out_.natural(e.paused ? 1 : 0);
  }
  void operator()(const Leaving& e) const { about(EventKind::leaving, e.id); }
  void operator()(const RulesChanged& e) const {
    kind(EventKind::rules_changed);
    put(out_, e.rules);
  }

 private:
  void kind(EventKind kind) const { out_.natural(static_cast<std::uint64_t>(kind)); }
  void about(EventKind what, const DeploymentId& id) const {
    kind(what);
    out_.id(id);
  }
  Packer& out_;
  EngineTime now_;
};

EngineEvent get_event(Unpacker& in, EngineTime now) {
  switch (static_cast<EventKind>(in.number<std::uint8_t>(256))) {
    case EventKind::queued:
      return get_queued(in, now);
    case EventKind::unparked:
      return Unparked{in.id()};
    case EventKind::withdrawn:
      return Withdrawn{in.id()};
    case EventKind::reprioritized: {
      const DeploymentId id = in.id();
      return Reprioritized{id, in.number<int>(2) == 1 ? Priority::low : Priority::high};
    }
    case EventKind::released:
      return Released{in.id()};
    case EventKind::resized:
      return Resized{get_nodes(in)};
    case EventKind::pause_changed:
      return PauseChanged{in.number<int>(2) == 1};
    case EventKind::leaving:
      return Leaving{in.id()};
    case EventKind::rules_changed:
      return RulesChanged{get_rules(in)};
  }
  in.refuse();
  return PauseChanged{};
}

const DeploymentId* about(const EngineEvent& event) {
  return std::visit(
      [](const auto& e) -> const DeploymentId* {
        if constexpr (requires { e.id; }) return &e.id;
        return nullptr;
      },
      event);
}

// Most that starts was just queued: then its number in the step stands for the id. 0: the id
// follows.
constexpr std::size_t kNear = 8;

void put_id(Packer& out, const DeploymentId& id, std::span<const EngineEvent> events) {
  for (std::size_t i = 0; i < std::min(events.size(), kNear); ++i) {
    if (const DeploymentId* there = about(events[i]); there != nullptr && *there == id) {
      out.natural(i + 1);
      return;
    }
  }
  out.natural(0);
  out.id(id);
}
DeploymentId get_id(Unpacker& in, std::span<const EngineEvent> events) {
  const std::uint64_t number = in.natural();
  if (number == 0) return in.id();
  const DeploymentId* there = number <= events.size() ? about(events[number - 1]) : nullptr;
  if (there != nullptr) return *there;
  in.refuse();
  return {};
}

Step get_step(Unpacker& in) {
  Step out;
  out.now = in.integer();
  const std::size_t events = in.count(2);
  for (std::size_t i = 0; i < events && in.ok(); ++i) out.events.push_back(get_event(in, out.now));
  const std::size_t starts = in.count(3);
  for (std::size_t i = 0; i < starts && in.ok(); ++i) {
    const DeploymentId id = get_id(in, out.events);
    Placement first = get_placement(in);
    out.decided.starts.push_back({id, std::move(first), get_placements(in)});
  }
  const std::size_t evictions = in.count(2);
  for (std::size_t i = 0; i < evictions && in.ok(); ++i) {
    const DeploymentId id = get_id(in, out.events);
    out.decided.evictions.push_back({id, get_id(in, out.events)});
  }
  return out;
}

enum CheckpointFlag : std::uint64_t { kAnew = 1, kPaused = 2, kCheckpointFlags = 3 };

Checkpoint get_checkpoint(Unpacker& in) {
  const Flags flags = flags_of(in, kCheckpointFlags);
  Checkpoint out;
  out.anew = flags.has(kAnew);
  EngineState& state = out.state;
  state.paused = flags.has(kPaused);
  state.now = in.integer();
  state.rules = get_rules(in);
  state.nodes = get_nodes(in);
  const std::size_t active = in.count(22);
  state.active.reserve(active);
  for (std::size_t i = 0; i < active && in.ok(); ++i)
    state.active.push_back(get_active(in, state.now));
  const std::size_t waiting = in.count(21);
  state.waiting.reserve(waiting);
  for (std::size_t i = 0; i < waiting && in.ok(); ++i)
    state.waiting.push_back(get_queued(in, state.now));
  out.hash = in.fixed();
  return out;
}

std::string checksum(std::string_view bytes) {
  const Digest digest = sha256(bytes);
  return {reinterpret_cast<const char*>(digest.data()), kChecksum};
}

std::unexpected<Error> damaged(std::string what) {
  return fail(Code::internal, "journal_damaged", std::move(what));
}

}  // namespace

void put_step(std::string& bytes, EngineTime now, std::span<const EngineEvent> events,
              const Decisions& decided) {
  Packer out(bytes);
  out.natural(static_cast<std::uint64_t>(RecordKind::step));
  out.integer(now);
  out.natural(events.size());
  for (const EngineEvent& event : events) std::visit(EventPutter(out, now), event);
  out.natural(decided.starts.size());
  for (const Start& start : decided.starts) {
    put_id(out, start.id, events);
    put(out, start.placement);
    put(out, start.more);
  }
  out.natural(decided.evictions.size());
  for (const Evict& evict : decided.evictions) {
    put_id(out, evict.id, events);
    put_id(out, evict.for_whom, events);
  }
}

void put_checkpoint(std::string& bytes, const ClusterEngine& engine, bool anew) {
  const EngineState state = state_of(engine);
  bytes.reserve(bytes.size() + 64 + 48 * (state.waiting.size() + state.active.size()));
  Packer out(bytes);
  out.natural(static_cast<std::uint64_t>(RecordKind::checkpoint));
  out.natural(Flags().set(kAnew, anew).set(kPaused, state.paused).value());
  out.integer(state.now);
  put(out, state.rules);
  put(out, state.nodes);
  out.natural(state.active.size());
  for (const ActiveEntry& entry : state.active) put(out, entry, state.now);
  out.natural(state.waiting.size());
  for (const Queued& entry : state.waiting) put(out, entry, state.now);
  out.fixed(engine.state_hash());
}

std::string seal(std::string_view inside) {
  std::string out;
  out.reserve(inside.size() + 1 + kChecksum);
  out += kVersion;
  out += inside;
  out += checksum(out);
  return out;
}

Result<std::vector<Record>> open(std::string_view entry) {
  if (entry.size() < 1 + kChecksum) return damaged("It is too short.");
  const std::string_view content = entry.substr(0, entry.size() - kChecksum);
  if (checksum(content) != entry.substr(content.size()))
    return damaged("Its bytes do not belong to its checksum.");
  if (content.front() != kVersion) return damaged("It is of a version that is not known here.");
  Unpacker in(content.substr(1));
  std::vector<Record> out;
  while (in.ok() && !in.at_end()) {
    switch (static_cast<RecordKind>(in.number<std::uint8_t>(256))) {
      case RecordKind::step:
        out.emplace_back(get_step(in));
        break;
      case RecordKind::checkpoint:
        out.emplace_back(get_checkpoint(in));
        break;
      default:
        in.refuse();
    }
  }
  if (!in.ok()) return damaged("Its bytes make no sense.");
  return out;
}

}  // namespace berth::journal
