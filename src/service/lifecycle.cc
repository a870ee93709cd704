#include "service/lifecycle.h"

#include <fmt/format.h>

#include "base/ensure.h"
#include "service/json_text.h"
#include "service/restore.h"

namespace berth {
namespace {

const Actor kRuntime{"runtime", "runtime", ""};
constexpr auto kLongestBackoff = std::chrono::minutes(5);
// A service that ran this long was healthy: its failures are counted from zero again.
constexpr auto kHealthyAfter = std::chrono::minutes(1);

// Those that had waited for this one to come so far.
Result<void> let_go_on(Change& change, const LifecycleContext& context, const Deployment& d,
                       Milestone milestone) {
  auto waiting = change.tx.reach(d.id, milestone);
  if (!waiting) return std::unexpected(std::move(waiting.error()));
  for (const auto& id : *waiting) {
    auto row = change.tx.deployment(id);
    if (!row) return std::unexpected(std::move(row.error()));
    if (!*row || (*row)->state != State::queued || (*row)->unmet == 0) continue;  // cancelled
    Deployment& other = **row;
    other.unmet -= 1;
    other.version += 1;
    other.updated_at = change.now;
    if (other.unmet == 0) other.queued_at = change.now;
    if (auto written = change.tx.update(other, State::queued); !written) return written;
    JsonText data;
    data.add("on", d.id.str()).add("on_name", d.name).add("is", to_text(d.state));
    data.add("left", other.unmet);
    auto noted = change.record(kRuntime, "deployment.dependency_met", other, data.str());
    if (!noted) return noted;
    // It begins to wait now, as the record has it.
    if (other.unmet == 0) {
      change.tell(other.cluster, Withdrawn{other.id});
      if (auto told = tell_queued(change, other); !told) return told;
    }
    change.after([&context, copy = other] { context.changed(copy); });
  }
  return {};
}

// Moves along the table and writes; the caller has set the other columns.
Result<void> move(Change& change, const LifecycleContext& context, const Actor& actor,
                  Deployment& d, Cause cause, const std::string& data) {
  const State from = d.state;
  const auto to = next_state(from, cause);
  if (!to) {
    return fail(
        Code::failed_precondition, "wrong_state",
        fmt::format("A deployment that is {} cannot take '{}'.", to_text(from), to_text(cause)));
  }
  d.state = *to;
  d.version += 1;
  d.updated_at = change.now;
  if (is_terminal(d.state)) d.ended_at = change.now;
  if (auto written = change.tx.update(d, from); !written) return written;
  auto noted = change.record(actor, fmt::format("deployment.{}", to_text(d.state)), d, data);
  if (!noted) return noted;
  change.after([&context, copy = d] { context.changed(copy); });
  if (d.awaited && d.state == State::running)
    return let_go_on(change, context, d, Milestone::running);
  if (d.awaited && d.state == State::succeeded)
    return let_go_on(change, context, d, Milestone::succeeded);
  return {};
}

// The place is free again: the ledger is credited and the scheduler told, in this transaction.
Result<void> release(Change& change, const LifecycleContext& context, Deployment& d) {
  if (auto released = change.tx.release(d.cluster, d.attempt_key()); !released) return released;
  d.grant.reset();
  d.displaced_for.reset();
  d.endpoint.clear();
  change.tell(d.cluster, Released{d.id});
  change.after([&context, cluster = d.cluster, key = d.attempt_key()] {
    context.dispatch.clean(cluster, key);
  });
  return {};
}

std::string how_it_ended(const Observation& seen) {
  if (!seen.message.empty()) return seen.message;
  if (seen.out_of_memory) return "It used more memory than it asked for and was killed.";
  if (seen.run_timeout) return "It ran longer than its max_run_time and was stopped.";
  if (seen.ready_timeout) return "It did not become ready in time and was stopped.";
  if (seen.signal) return fmt::format("It was ended by signal {}.", *seen.signal);
  if (seen.exit_code) return fmt::format("It ended with exit status {}.", *seen.exit_code);
  return "It ended.";
}

std::chrono::milliseconds backoff(const Deployment& d) {
  auto pause = d.spec.restart.backoff;
  for (std::int32_t i = 1; i < d.failures && pause < kLongestBackoff; ++i) pause *= 2;
  return std::min<std::chrono::milliseconds>(pause, kLongestBackoff);
}

std::string end_data(const Deployment& d, const Observation& seen) {
  JsonText data;
  data.add("attempt", d.attempt);
  if (seen.exit_code) data.add("exit_code", *seen.exit_code);
  if (seen.signal) data.add("signal", *seen.signal);
  if (seen.out_of_memory) data.add("out_of_memory", true);
  data.add("message", d.message);
  return data.str();
}

Result<void> retry(Change& change, const LifecycleContext& context, Deployment& d,
                   const Observation& seen) {
  d.queued_at = change.now;
  d.retry_at = change.now.plus(backoff(d));
  const auto key = d.attempt_key();
  JsonText data;
  data.add("attempt", key.number).add("of", d.spec.restart.max_attempts).add("message", d.message);
  data.add("retry_at", to_rfc3339(*d.retry_at));
  if (seen.exit_code) data.add("exit_code", *seen.exit_code);
  if (auto released = release(change, context, d); !released) return released;
  if (auto moved = move(change, context, kRuntime, d, Cause::retry, data.str()); !moved)
    return moved;
  if (auto told = tell_queued(change, d); !told) return told;
  change.after([&context, cluster = d.cluster, id = d.id, at = *d.retry_at] {
    context.dispatch.wake_at(cluster, id, at);
  });
  return {};
}

Result<void> ended(Change& change, const LifecycleContext& context, Deployment& d,
                   const Observation& seen) {
  if (seen.exit_code) d.exit_code = *seen.exit_code;
  const bool good = seen.exit_code == 0 && !seen.run_timeout && !seen.ready_timeout;
  const bool finished_job = good && d.spec.kind == Kind::job;
  d.message = good ? "" : how_it_ended(seen);
  if (!finished_job && !seen.run_timeout) {
    const bool healthy = d.started_at && change.now.since(*d.started_at) >= kHealthyAfter;
    d.failures = healthy ? 1 : d.failures + 1;
    if (good) d.message = "The service ended by itself with exit status 0.";
    if (d.failures < d.spec.restart.max_attempts) return retry(change, context, d, seen);
  }
  const std::string data = end_data(d, seen);
  if (auto released = release(change, context, d); !released) return released;
  return move(change, context, kRuntime, d, good ? Cause::exited_zero : Cause::exited_nonzero,
              data);
}

Result<void> is_ready(Change& change, const LifecycleContext& context, Deployment& d,
                      const Observation& seen) {
  d.started_at = change.now;
  d.endpoint = seen.endpoint.value_or("");
  d.message.clear();
  JsonText data;
  data.add("attempt", d.attempt).add("node", d.grant->node);
  if (!d.endpoint.empty()) data.add("endpoint", d.endpoint);
  return move(change, context, kRuntime, d, Cause::ready, data.str());
}

// The deployment, if this attempt is its latest and holds resources.
Result<std::optional<Deployment>> current(Change& change, const AttemptKey& key) {
  auto row = change.tx.deployment(key.deployment);
  if (!row) return row;
  if (!*row || (*row)->attempt != key.number || !holds_resources((*row)->state)) {
    return std::optional<Deployment>{};
  }
  return row;
}

}  // namespace

Result<void> apply_observation(Change& change, const LifecycleContext& context,
                               const Observation& seen) {
  auto row = current(change, seen.key);
  if (!row) return std::unexpected(std::move(row.error()));
  if (!*row) return {};
  Deployment& d = **row;
  switch (seen.phase) {
    case Phase::starting:
      return {};
    case Phase::running:
      return d.state == State::starting ? is_ready(change, context, d, seen) : Result<void>{};
    case Phase::exited:
      if (d.state == State::starting || d.state == State::running) {
        return ended(change, context, d, seen);
      }
      return apply_gone(change, context, seen.key);
  }
  return {};
}

Result<void> apply_start_failure(Change& change, const LifecycleContext& context,
                                 const AttemptKey& attempt, const std::string& why) {
  auto row = current(change, attempt);
  if (!row) return std::unexpected(std::move(row.error()));
  if (!*row || (*row)->state != State::starting) return {};
  Deployment& d = **row;
  d.message = why;
  JsonText data;
  data.add("attempt", d.attempt).add("message", why);
  if (auto released = release(change, context, d); !released) return released;
  return move(change, context, kRuntime, d, Cause::start_failed, data.str());
}

Result<void> apply_gone(Change& change, const LifecycleContext& context,
                        const AttemptKey& attempt) {
  auto row = current(change, attempt);
  if (!row) return std::unexpected(std::move(row.error()));
  if (!*row) return {};
  Deployment& d = **row;
  if (d.state != State::stopping && d.state != State::preempting) return {};
  const bool comes_back = d.state == State::preempting;
  if (comes_back) d.queued_at = change.now;
  JsonText data;
  data.add("attempt", d.attempt);
  d.message.clear();
  if (auto released = release(change, context, d); !released) return released;
  if (auto moved = move(change, context, kRuntime, d, Cause::gone, data.str()); !moved)
    return moved;
  return comes_back ? tell_queued(change, d) : Result<void>{};
}

Result<void> apply_stop(Change& change, const LifecycleContext& context, const Actor& actor,
                        Deployment& d) {
  const bool waited = d.state == State::queued;
  JsonText data;
  data.add("by", actor.name);
  d.message.clear();
  d.retry_at.reset();
  if (auto moved = move(change, context, actor, d, Cause::stop_requested, data.str()); !moved) {
    return moved;
  }
  if (waited) {
    change.tell(d.cluster, Withdrawn{d.id});
    return {};
  }
  change.tell(d.cluster, Leaving{d.id});
  change.after([&context, cluster = d.cluster, key = d.attempt_key(), grace = d.spec.stop_grace] {
    context.dispatch.stop(cluster, key, grace);
  });
  return {};
}

Result<void> apply_wake(Change& change, const LifecycleContext& context, const DeploymentId& id) {
  auto row = change.tx.deployment(id);
  if (!row) return std::unexpected(std::move(row.error()));
  if (!*row || (*row)->state != State::queued || !(*row)->retry_at) return {};
  Deployment& d = **row;
  d.retry_at.reset();
  d.version += 1;
  d.updated_at = change.now;
  if (auto written = change.tx.update(d, State::queued); !written) return written;
  JsonText data;
  data.add("attempt", d.attempt + 1).add("of", d.spec.restart.max_attempts);
  auto noted = change.record(kRuntime, "deployment.retrying", d, data.str());
  if (!noted) return noted;
  change.tell(d.cluster, Unparked{d.id});
  change.after([&context, copy = d] { context.changed(copy); });
  return {};
}

Result<void> apply_note(Change& change, const LifecycleContext& context, const DeploymentId& id,
                        const std::string& message) {
  auto row = change.tx.deployment(id);
  if (!row) return std::unexpected(std::move(row.error()));
  if (!*row || !holds_resources((*row)->state) || (*row)->message == message) return {};
  Deployment& d = **row;
  d.message = message;
  d.version += 1;
  d.updated_at = change.now;
  if (auto written = change.tx.update(d, d.state); !written) return written;
  JsonText data;
  data.add("message", message);
  if (auto noted = change.record(kRuntime, "deployment.noted", d, data.str()); !noted) return noted;
  change.after([&context, copy = d] { context.changed(copy); });
  return {};
}

}  // namespace berth
