#include "scheduler/journal.h"

#include <algorithm>

#include "base/hash.h"
#include "scheduler/packed.h"

namespace berth::journal {
namespace {

constexpr char kVersion = 1;
constexpr std::size_t kChecksum = 8;

enum class RecordKind : std::uint8_t { step = 1, checkpoint, lessons, learnt };
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

Learnt get_learnt(Unpacker& in) {
  auto outlook = std::make_shared<Outlook>();
  outlook->get(in);
  return {std::move(outlook)};
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

void put_checkpoint(std::string& bytes, const ClusterEngine& engine, bool anew,
                    const Outlook* learnt) {
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
  if (learnt == nullptr) return;
  out.natural(static_cast<std::uint64_t>(RecordKind::learnt));
  learnt->put(out);
}

void put_lessons(std::string& bytes, std::span<const Promises::Lesson> lessons) {
  Packer out(bytes);
  out.natural(static_cast<std::uint64_t>(RecordKind::lessons));
  berth::put(out, lessons);
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
      case RecordKind::lessons:
        out.emplace_back(Lessons{berth::get_lessons(in)});
        break;
      case RecordKind::learnt:
        out.emplace_back(get_learnt(in));
        break;
      default:
        in.refuse();
    }
  }
  if (!in.ok()) return damaged("Its bytes make no sense.");
  return out;
}

}  // namespace berth::journal
