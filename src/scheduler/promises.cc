#include "scheduler/promises.h"

#include <algorithm>
#include <cmath>

namespace berth {
namespace {

constexpr std::size_t kMostOpen = 4'096;
constexpr double kMostFactor = 20;  // a million
constexpr double kUnit = 1'000;     // waits are compared as if each were a second longer
constexpr EngineTime kFar = EngineTime{1} << 50;

// The first errors count more.
double step(std::uint64_t seen) {
  return std::max(0.4, 2 / std::sqrt(static_cast<double>(seen) + 1));
}

void follow(double& factor, double needed, double beyond, double step) {
  factor += needed > factor ? step * (1 - beyond) : -step * beyond;
  factor = std::clamp(factor, -kMostFactor, kMostFactor);
}

// Nearer to none while more than wanted were told wrongly.
void tighten(double& beyond, double wanted, bool wrong) {
  constexpr double kStep = 0.03;
  beyond = std::clamp(beyond + kStep * (wanted - (wrong ? 1 : 0)), wanted / 16, wanted);
}

double ratio(EngineTime wait, EngineTime raw) {
  return std::log2((static_cast<double>(wait) + kUnit) / (static_cast<double>(raw) + kUnit));
}

EngineTime scaled(EngineTime wait, double factor) {
  const double out = (static_cast<double>(wait) + kUnit) * std::exp2(factor) - kUnit;
  return static_cast<EngineTime>(std::clamp(out, 0.0, static_cast<double>(kFar)));
}

}  // namespace

WaitRange Promises::corrected(ForecastMethod method, Priority priority, WaitRange raw) const {
  const Learnt& known = learnt(method, priority);
  WaitRange out{scaled(raw.earliest, -known.early), scaled(raw.latest, known.late)};
  if (out.earliest > out.latest) {  // both were too careful: they meet
    out.earliest = out.latest = out.latest + (out.earliest - out.latest) / 2;
  }
  return out;
}

void Promises::promised(const DeploymentId& id, ForecastMethod method, Priority priority,
                        EngineTime now, WaitRange raw, WaitRange said) {
  advance(now);
  if (open_.size() >= kMostOpen) return;
  const EngineTime look_again = now + said.latest + 1;
  const Open open{method, priority, now, raw, said, look_again, false};
  if (open_.try_emplace(id, open).second) to_look_at_.emplace(look_again, id);
}

void Promises::started(const DeploymentId& id, EngineTime now) {
  advance(now);
  const auto found = open_.find(id);
  if (found == open_.end()) return;
  const Open open = found->second;
  dropped(id);
  const EngineTime wait = now - open.asked;
  const bool early = wait < open.said.earliest;
  const bool late = wait > open.said.latest;
  Learnt& known = learnt(open);
  const double by = step(known.seen++);
  tighten(known.beyond_early, kBeyond, early);
  follow(known.early, -ratio(wait, open.raw.earliest), known.beyond_early, by);
  if (!late) tighten(known.beyond_late, kBeyond, false);
  if (!open.counted) follow(known.late, ratio(wait, open.raw.latest), known.beyond_late, by);
  known.tally.too_early += early ? 1 : 0;
  known.tally.too_late += late ? 1 : 0;
  known.tally.kept += early || late ? 0 : 1;
}

void Promises::dropped(const DeploymentId& id) {
  const auto found = open_.find(id);
  if (found == open_.end()) return;
  to_look_at_.erase({found->second.look_again, id});
  open_.erase(found);
}

void Promises::advance(EngineTime now) {
  while (!to_look_at_.empty() && to_look_at_.begin()->first <= now) {
    const auto [when, id] = *to_look_at_.begin();
    to_look_at_.erase(to_look_at_.begin());
    Open& open = open_.at(id);
    Learnt& known = learnt(open);
    if (open.look_again == open.asked + open.said.latest + 1) {
      tighten(known.beyond_late, kBeyond, true);
    }
    const EngineTime covered = open.asked + scaled(open.raw.latest, known.late) + 1;
    if (covered > when) {  // by now more has been learnt; it may still come in time
      open.look_again = covered;
      to_look_at_.emplace(covered, id);
      continue;
    }
    open.counted = true;
    follow(known.late, kMostFactor + 1, known.beyond_late, step(known.seen));
  }
}

}  // namespace berth
