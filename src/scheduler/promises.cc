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
  const Correction& known = learnt_.at(method, priority);
  WaitRange out{scaled(raw.earliest, -known.early), scaled(raw.latest, known.late)};
  if (out.earliest > out.latest) {  // both were too careful: they meet
    out.earliest = out.latest = out.latest + (out.earliest - out.latest) / 2;
  }
  return out;
}

void Promises::promised(const DeploymentId& id, ForecastMethod method, Priority priority,
                        EngineTime now, WaitRange raw, WaitRange said) {
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
  Correction& known = learnt_.at(open.method, open.priority);
  const double by = step(known.seen++);
  tighten(known.beyond_early, kBeforeEarly, early);
  follow(known.early, -ratio(wait, open.raw.earliest), known.beyond_early, by);
  if (!late) tighten(known.beyond_late, kAfterLate, false);
  if (!open.counted) follow(known.late, ratio(wait, open.raw.latest), known.beyond_late, by);
  PromiseTally& tally = tally_.at(open.method, open.priority);
  tally.too_early += early ? 1 : 0;
  tally.too_late += late ? 1 : 0;
  tally.kept += early || late ? 0 : 1;
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
    Correction& known = learnt_.at(open.method, open.priority);
    if (open.look_again == open.asked + open.said.latest + 1) {
      tighten(known.beyond_late, kAfterLate, true);
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

std::vector<Promises::Lesson> Promises::lessons_since(const Corrections& before) const {
  std::vector<Lesson> out;
  for (const auto& [method, method_name] : Names<ForecastMethod>::table) {
    for (const auto& [priority, priority_name] : Names<Priority>::table) {
      const Correction& now = learnt_.at(method, priority);
      if (now != before.at(method, priority)) out.push_back({method, priority, now});
    }
  }
  return out;
}

void Promises::learn(const Lesson& lesson) {
  learnt_.at(lesson.method, lesson.priority) = lesson.correction;
}

namespace {

constexpr std::size_t kLessonBytes = 35;  // at least

void put_one(Packer& out, const Promises::Lesson& lesson) {
  out.natural(static_cast<std::uint64_t>(lesson.method));
  out.natural(static_cast<std::uint64_t>(lesson.priority));
  const auto& c = lesson.correction;
  for (const double value : {c.early, c.late, c.beyond_early, c.beyond_late}) out.real(value);
  out.natural(c.seen);
}

Promises::Lesson get_one(Unpacker& in) {
  Promises::Lesson out;
  out.method = in.number<ForecastMethod>(3);
  out.priority = in.number<Priority>(2);
  auto& c = out.correction;
  c.early = in.real(-kMostFactor, kMostFactor);
  c.late = in.real(-kMostFactor, kMostFactor);
  c.beyond_early = in.real(0, 1);
  c.beyond_late = in.real(0, 1);
  c.seen = in.natural();
  return out;
}

}  // namespace

void put(Packer& out, std::span<const Promises::Lesson> lessons) {
  out.natural(lessons.size());
  for (const Promises::Lesson& lesson : lessons) put_one(out, lesson);
}

std::vector<Promises::Lesson> get_lessons(Unpacker& in) {
  std::vector<Promises::Lesson> out;
  const std::size_t count = in.count(kLessonBytes);
  for (std::size_t i = 0; i < count && in.ok(); ++i) out.push_back(get_one(in));
  return out;
}

}  // namespace berth
