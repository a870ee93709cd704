#include "scheduler/outlook.h"

namespace berth {
namespace {

// Beyond this the question costs the writer's thread more than the answer is worth.
constexpr std::size_t kActive = 2'000;

}  // namespace

void Outlook::before(const ClusterEngine& engine, std::span<const EngineEvent> events,
                     EngineTime now) {
  for (const EngineEvent& event : events) {
    if (const auto* queued = std::get_if<Queued>(&event)) {
      // One that comes back began to wait anew while it was active, or is in back-off.
      const bool is_new = !queued->parked && !engine.is_active(queued->id);
      if (learns_ && is_new) recent_.queued(*queued, now);
    } else if (const auto* released = std::get_if<Released>(&event)) {
      learns_ = true;
      // How long a displaced one ran says nothing about how long it runs.
      const auto entry = engine.active_as(released->id);
      if (entry && entry->leaving_for.is_nil()) recent_.released(*entry, now);
    } else if (const auto* withdrawn = std::get_if<Withdrawn>(&event)) {
      promises_.dropped(withdrawn->id);
    } else if (const auto* moved = std::get_if<Reprioritized>(&event)) {
      promises_.dropped(moved->id);
    }
  }
}

void Outlook::after(const Decisions& decided, EngineTime now) {
  promises_.advance(now);
  for (const Start& start : decided.starts) promises_.started(start.id, now);
}

Outlook::Starts Outlook::tell(const ClusterEngine& engine, EngineTime now,
                              std::optional<DeploymentId> only) const {
  Starts out;
  if (engine.waiting() == 0 || engine.active_count() > kActive) return out;
  ForecastScope scope;
  scope.only = only;
  for (StartForecast& one : forecast(engine, recent_, promises_, now, scope)) {
    if (one.method == ForecastMethod::unknown && !one.never_later) continue;
    out.add(std::move(one));
  }
  return out;
}

Outlook::Starts Outlook::promise(const ClusterEngine& engine, EngineTime now,
                                 std::optional<DeploymentId> only) {
  Starts out = tell(engine, now, only);
  for (const auto& [id, one] : out) {
    if (!one.raw || !one.latest) continue;
    promises_.promised(id, one.method, one.priority, now, *one.raw,
                       {one.earliest - now, *one.latest - now});
  }
  return out;
}

std::vector<Promises::Lesson> Outlook::take_lessons() {
  auto out = promises_.lessons_since(written_);
  if (!out.empty()) written_ = promises_.corrections();
  return out;
}

void Outlook::learn(const Promises::Lesson& lesson) {
  promises_.learn(lesson);
  written_ = promises_.corrections();
}

bool Outlook::blank() const { return !learns_ && promises_.lessons_since({}).empty(); }

void Outlook::put(Packer& out) const {
  out.natural(learns_ ? 1 : 0);
  if (learns_) recent_.put(out);
  berth::put(out, promises_.lessons_since({}));
}

void Outlook::get(Unpacker& in) {
  *this = {};
  learns_ = in.number<int>(2) == 1;
  if (learns_) recent_.get(in);
  for (const Promises::Lesson& lesson : get_lessons(in)) learn(lesson);
}

}  // namespace berth
