#include "service/forecast.h"

#include <algorithm>

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
      if (!queued->parked && !engine.is_active(queued->id)) recent_.queued(*queued, now);
    } else if (const auto* released = std::get_if<Released>(&event)) {
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

std::map<DeploymentId, StartForecast> Outlook::ask(const ClusterEngine& engine, EngineTime now,
                                                   std::optional<DeploymentId> only) {
  std::map<DeploymentId, StartForecast> out;
  if (engine.waiting() == 0 || engine.active_count() > kActive) return out;
  ForecastScope scope;
  scope.only = only;
  for (StartForecast& one : forecast(engine, recent_, promises_, now, scope)) {
    if (one.method == ForecastMethod::unknown && !one.never_later) continue;
    if (one.raw && one.latest) {
      promises_.promised(one.id, one.method, one.priority, now, *one.raw,
                         {one.earliest - now, *one.latest - now});
    }
    out.emplace(one.id, std::move(one));
  }
  return out;
}

}  // namespace berth
