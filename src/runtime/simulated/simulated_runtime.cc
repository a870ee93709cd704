#include "runtime/simulated/simulated_runtime.h"

#include <fmt/format.h>

namespace berth::simulated {

SimulatedRuntime::SimulatedRuntime(Executor executor, const Clock& clock, Options options)
    : executor_(executor), clock_(clock), options_(std::move(options)), timer_(executor) {}

Observation SimulatedRuntime::observation(const AttemptKey& key, const Attempt& attempt) const {
  Observation out;
  out.key = key;
  out.phase = attempt.exited ? Phase::exited : Phase::running;
  out.run_timeout = attempt.exited && attempt.limited;
  if (attempt.exited && !attempt.limited) out.exit_code = attempt.exit_code;
  return out;
}

void SimulatedRuntime::tell(const AttemptKey& key, const Attempt& attempt) {
  if (!listener_) return;
  // In a turn of its own: the caller of ensure_running gets its answer first.
  asio::post(executor_,
             [listener = listener_, seen = observation(key, attempt)] { listener(seen); });
}

Task<Result<void>> SimulatedRuntime::ensure_running(Launch launch) {
  const auto [at, fresh] = attempts_.try_emplace(launch.key);
  Attempt& attempt = at->second;
  if (attempt.gone) {
    co_return fail(Code::invalid_argument, "attempt_over",
                   fmt::format("Attempt {} is over.", launch.key.str()));
  }
  if (!fresh) co_return Result<void>{};
  attempt.admitted_at = launch.admitted_at;
  attempt.replicas = launch.spec.replicas;
  const Simulation work = launch.spec.simulation.value_or(Simulation{});
  attempt.exit_code = work.exit_code;
  std::optional<std::chrono::milliseconds> lasts;
  if (work.duration.count() > 0) lasts = work.duration;
  if (const auto& most = launch.spec.max_run_time; most && (!lasts || *most < *lasts)) {
    lasts = most;
    attempt.limited = true;
  }
  if (lasts) {
    const auto micros =
        static_cast<std::int64_t>(static_cast<double>(lasts->count()) * 1000.0 / options_.speed);
    attempt.ends_at = launch.admitted_at.plus(std::chrono::microseconds(micros));
    ends_.push({*attempt.ends_at, launch.key});
  }
  tell(launch.key, attempt);
  arm();
  co_return Result<void>{};
}

Task<Result<void>> SimulatedRuntime::ensure_gone(AttemptKey key, std::chrono::milliseconds) {
  // The mark stays, so that a late start of this attempt is refused; forget() removes it.
  attempts_[key].gone = true;
  co_return Result<void>{};
}

Task<Result<std::vector<Observation>>> SimulatedRuntime::list() {
  std::vector<Observation> out;
  for (const auto& [key, attempt] : attempts_) {
    if (!attempt.gone) out.push_back(observation(key, attempt));
  }
  co_return out;
}

Task<Result<LogChunk>> SimulatedRuntime::logs(AttemptKey key, LogQuery query) {
  const auto found = attempts_.find(key);
  if (found == attempts_.end()) co_return fail(Code::not_found, "not_found", "No such attempt.");
  const Attempt& attempt = found->second;
  std::string text =
      fmt::format("simulated: holds its resources since {}\n", to_rfc3339(attempt.admitted_at));
  if (attempt.replicas > 1)
    text += fmt::format("simulated: is replica {} of {}\n", key.replica, attempt.replicas);
  const bool over = attempt.exited || attempt.gone;
  if (attempt.exited && attempt.limited) {
    text += "simulated: stopped at its max_run_time\n";
  } else if (attempt.exited) {
    text += fmt::format("simulated: ended with exit status {}\n", attempt.exit_code);
  }
  const auto size = static_cast<std::int64_t>(text.size());
  LogChunk out;
  out.offset = query.offset < 0 ? std::max<std::int64_t>(0, size + query.offset)
                                : std::min(query.offset, size);
  out.bytes = text.substr(static_cast<std::size_t>(out.offset), query.max_bytes);
  out.next_offset = out.offset + static_cast<std::int64_t>(out.bytes.size());
  out.end = over && out.next_offset == size;
  co_return out;
}

Task<Result<void>> SimulatedRuntime::forget(DeploymentId deployment) {
  std::erase_if(attempts_, [&](const auto& entry) { return entry.first.deployment == deployment; });
  co_return Result<void>{};
}

Task<Result<std::vector<NodeCapacity>>> SimulatedRuntime::capacity() { co_return options_.nodes; }

Task<Health> SimulatedRuntime::health() {
  co_return Health{true, "simulated", "none: nothing runs"};
}

void SimulatedRuntime::advance() {
  const Timestamp now = clock_.now();
  while (!ends_.empty() && ends_.top().when <= now) {
    const AttemptKey key = ends_.top().key;
    ends_.pop();
    const auto found = attempts_.find(key);
    if (found == attempts_.end() || found->second.gone || found->second.exited) continue;
    found->second.exited = true;
    tell(key, found->second);
  }
}

void SimulatedRuntime::arm() {
  if (!options_.own_timer || ends_.empty()) return;
  const auto in = std::max(ends_.top().when.since(clock_.now()), std::chrono::microseconds(0));
  timer_.expires_after(in);
  timer_.async_wait([this](const boost::system::error_code& ec) {
    if (ec) return;
    advance();
    arm();
  });
}

}  // namespace berth::simulated
