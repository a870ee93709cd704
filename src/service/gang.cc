#include "service/gang.h"

#include <fmt/format.h>

#include <algorithm>

namespace berth {
namespace {

std::string name_of(std::int32_t replica) { return fmt::format("Replica {}", replica); }

// Whether the report says anything that may still happen.
bool counts(const Deployment& d, const ReplicaProgress& known, const ReplicaProgress& report) {
  if (known.is_over()) return false;
  switch (report.phase) {
    case ReplicaPhase::starting:
      return false;
    case ReplicaPhase::running:
      return known.phase == ReplicaPhase::starting && !d.is_ending();
    case ReplicaPhase::exited:
      return true;
    case ReplicaPhase::refused:  // who is being stopped is refused, too; that it is gone comes
                                 // later
      return d.state == State::starting && !d.is_ending();
    case ReplicaPhase::gone:
      return d.is_ending();
  }
  return false;
}

}  // namespace

std::string how_it_ended(const Observation& seen, const std::string& who) {
  if (!seen.message.empty()) return who == "It" ? seen.message : who + ": " + seen.message;
  if (seen.out_of_memory) return who + " used more memory than it asked for and was killed.";
  if (seen.run_timeout) return who + " ran longer than its max_run_time and was stopped.";
  if (seen.ready_timeout) return who + " did not become ready in time and was stopped.";
  if (seen.signal) return fmt::format("{} was ended by signal {}.", who, *seen.signal);
  if (seen.exit_code) return fmt::format("{} ended with exit status {}.", who, *seen.exit_code);
  return who + " ended.";
}

ReplicaProgress report_of(const Deployment& d, const Observation& seen) {
  ReplicaProgress out;
  if (seen.phase == Phase::running) {
    out.phase = ReplicaPhase::running;
    out.endpoint = seen.endpoint.value_or("");
  }
  if (seen.phase != Phase::exited) return out;
  out.phase = ReplicaPhase::exited;
  out.exit_code = seen.exit_code;
  out.signal = seen.signal;
  out.out_of_memory = seen.out_of_memory;
  out.run_timeout = seen.run_timeout;
  const bool done =
      d.spec.kind == Kind::job && seen.exit_code == 0 && !seen.run_timeout && !seen.ready_timeout;
  if (!done) out.message = how_it_ended(seen, name_of(seen.key.replica));
  return out;
}

ReplicaProgress report_of_refusal(std::int32_t replica, const std::string& why) {
  ReplicaProgress out;
  out.phase = ReplicaPhase::refused;
  out.message = fmt::format("{} could not be started: {}", name_of(replica), why);
  return out;
}

std::string failing_sentence(const Deployment& d) {
  std::string out = d.gang.replicas.at(static_cast<std::size_t>(d.gang.failed.value())).message;
  if (out.ends_with('.')) out.pop_back();
  return out + "; the others are being stopped.";
}

GangNews take_report(Deployment& d, std::int32_t replica, ReplicaProgress report) {
  auto& replicas = d.gang.replicas;
  const auto index = static_cast<std::size_t>(replica);
  if (index >= replicas.size() || !counts(d, replicas[index], report)) return GangNews::nothing;
  const bool told_to_end = d.is_ending();
  if (told_to_end) {
    report.phase = ReplicaPhase::gone;
    report.message.clear();
  }
  const bool failed = report.is_over() && !report.message.empty();
  replicas[index] = std::move(report);
  if (failed) d.gang.failed = replica;
  if (std::ranges::all_of(replicas, &ReplicaProgress::is_over)) return GangNews::over;
  if (failed) return GangNews::failing;
  const bool awaited = std::ranges::any_of(
      replicas, [](const auto& one) { return one.phase == ReplicaPhase::starting; });
  return d.state == State::starting && !told_to_end && !awaited ? GangNews::ready : GangNews::noted;
}

}  // namespace berth
