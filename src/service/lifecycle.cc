#include "service/lifecycle.h"

#include <fmt/format.h>

#include "service/gang.h"
#include "service/json_text.h"
#include "service/restore.h"

namespace berth {
namespace {

const Actor kRuntime{"runtime", "runtime", ""};
constexpr auto kLongestBackoff = std::chrono::minutes(5);
// A service that ran this long was healthy: its failures are counted from zero again.
constexpr auto kHealthyAfter = std::chrono::minutes(1);

// The row has changed, and its state has not.
Result<void> note(Change& change, const LifecycleContext& context, Deployment& d, std::string kind,
                  const std::string& data) {
  d.version += 1;
  d.updated_at = change.now;
  if (auto written = change.tx.update(d, d.state); !written) return written;
  if (auto noted = change.record(kRuntime, std::move(kind), d, data); !noted) return noted;
  change.after([&context, copy = d] { context.changed(copy); });
  return {};
}

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
    if (other.unmet == 0) other.queued_at = change.now;
    JsonText data;
    data.add("on", d.id.str()).add("on_name", d.name).add("is", to_text(d.state));
    data.add("left", other.unmet);
    auto noted = note(change, context, other, "deployment.dependency_met", data.str());
    if (!noted) return noted;
    // It begins to wait now, as the record has it.
    if (other.unmet == 0) {
      change.tell(other.cluster, Withdrawn{other.id});
      if (auto told = tell_queued(change, other); !told) return told;
    }
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
  d.gang.more.clear();
  d.gang.failed.reset();
  for (auto& replica : d.gang.replicas) replica.endpoint.clear();
  d.displaced_for.reset();
  d.endpoint.clear();
  change.tell(d.cluster, Released{d.id});
  change.after([&context, cluster = d.cluster, keys = d.attempt_keys()] {
    for (const AttemptKey& key : keys) context.dispatch.clean(cluster, key);
  });
  return {};
}

// After the commit: those of its replicas that may still run.
void stop_after(Change& change, const LifecycleContext& context, const Deployment& d) {
  change.after([&context, copy = d] { stop_living(context.dispatch, copy); });
}

// How an attempt came to its end by itself.
struct Ending {
  std::optional<std::int32_t> exit_code, signal;
  bool out_of_memory = false;
  bool run_timeout = false;
  bool good = false;  // with exit status 0, and nobody had to end it
  std::string message;
};

Ending ending_of(const Deployment& d, const Observation& seen) {
  Ending out{seen.exit_code, seen.signal, seen.out_of_memory, seen.run_timeout, false, ""};
  out.good = seen.exit_code == 0 && !seen.run_timeout && !seen.ready_timeout;
  if (!out.good) {
    out.message = how_it_ended(seen);
  } else if (d.spec.kind == Kind::service) {
    out.message = "The service ended by itself with exit status 0.";
  }
  return out;
}

// Of a gang of which nothing runs any more: that of the first replica that failed, if one did.
Ending ending_of(const Gang& gang) {
  if (!gang.failed) return {.exit_code = 0, .good = true, .message = ""};
  const auto& first = gang.replicas.at(static_cast<std::size_t>(*gang.failed));
  return {first.exit_code,   first.signal, first.out_of_memory,
          first.run_timeout, false,        first.message};
}

std::chrono::milliseconds backoff(const Deployment& d) {
  auto pause = d.spec.restart.backoff;
  for (std::int32_t i = 1; i < d.failures && pause < kLongestBackoff; ++i) pause *= 2;
  return std::min<std::chrono::milliseconds>(pause, kLongestBackoff);
}

std::string end_data(const Deployment& d, const Ending& end) {
  JsonText data;
  data.add("attempt", d.attempt);
  if (end.exit_code) data.add("exit_code", *end.exit_code);
  if (end.signal) data.add("signal", *end.signal);
  if (end.out_of_memory) data.add("out_of_memory", true);
  data.add("message", d.message);
  return data.str();
}

Result<void> retry(Change& change, const LifecycleContext& context, Deployment& d,
                   const Ending& end) {
  d.queued_at = change.now;
  d.retry_at = change.now.plus(backoff(d));
  const auto key = d.attempt_key();
  JsonText data;
  data.add("attempt", key.number).add("of", d.spec.restart.max_attempts).add("message", d.message);
  data.add("retry_at", to_rfc3339(*d.retry_at));
  if (end.exit_code) data.add("exit_code", *end.exit_code);
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
                   const Ending& end) {
  if (end.exit_code) d.exit_code = *end.exit_code;
  const bool finished_job = end.good && d.spec.kind == Kind::job;
  d.message = end.message;
  if (!finished_job && !end.run_timeout) {
    const bool healthy = d.started_at && change.now.since(*d.started_at) >= kHealthyAfter;
    d.failures = healthy ? 1 : d.failures + 1;
    if (d.failures < d.spec.restart.max_attempts) return retry(change, context, d, end);
  }
  const std::string data = end_data(d, end);
  if (auto released = release(change, context, d); !released) return released;
  return move(change, context, kRuntime, d, end.good ? Cause::exited_zero : Cause::exited_nonzero,
              data);
}

Result<void> refused(Change& change, const LifecycleContext& context, Deployment& d,
                     const std::string& why) {
  d.message = why;
  JsonText data;
  data.add("attempt", d.attempt).add("message", why);
  if (auto released = release(change, context, d); !released) return released;
  return move(change, context, kRuntime, d, Cause::start_failed, data.str());
}

// Of one that was told to end.
Result<void> is_gone(Change& change, const LifecycleContext& context, Deployment& d) {
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

Result<void> is_ready(Change& change, const LifecycleContext& context, Deployment& d,
                      const std::string& endpoint) {
  d.started_at = change.now;
  d.endpoint = endpoint;
  d.message.clear();
  JsonText data;
  data.add("attempt", d.attempt).add("node", d.grant->node);
  if (!d.endpoint.empty()) data.add("endpoint", d.endpoint);
  return move(change, context, kRuntime, d, Cause::ready, data.str());
}

Result<void> note_replica(Change& change, const LifecycleContext& context, Deployment& d,
                          std::int32_t replica, std::string_view what) {
  if (d.gang.failed && d.state != State::stopping && d.state != State::preempting)
    d.message = failing_sentence(d);
  const auto& progress = d.gang.replicas.at(static_cast<std::size_t>(replica));
  JsonText data;
  data.add("attempt", d.attempt).add("replica", replica);
  if (progress.exit_code) data.add("exit_code", *progress.exit_code);
  if (progress.signal) data.add("signal", *progress.signal);
  if (!d.message.empty()) data.add("message", d.message);
  return note(change, context, d, fmt::format("deployment.replica_{}", what), data.str());
}

// Nothing of it runs any more.
Result<void> gang_is_over(Change& change, const LifecycleContext& context, Deployment& d) {
  if (d.state == State::stopping || d.state == State::preempting)
    return is_gone(change, context, d);
  if (d.gang.failed) {
    const auto& first = d.gang.replicas.at(static_cast<std::size_t>(*d.gang.failed));
    if (first.phase == ReplicaPhase::refused) {
      const std::string why = first.message;
      return refused(change, context, d, why);
    }
  }
  return ended(change, context, d, ending_of(d.gang));
}

Result<void> take(Change& change, const LifecycleContext& context, Deployment& d,
                  std::int32_t replica, ReplicaProgress report) {
  switch (take_report(d, replica, std::move(report))) {
    case GangNews::nothing:
      return {};
    case GangNews::noted: {
      const auto phase = d.gang.replicas.at(static_cast<std::size_t>(replica)).phase;
      return note_replica(change, context, d, replica, to_text(phase));
    }
    case GangNews::ready:
      return is_ready(change, context, d, "");
    case GangNews::failing:
      change.tell(d.cluster, Leaving{d.id});
      stop_after(change, context, d);
      return note_replica(change, context, d, replica, "failed");
    case GangNews::over:
      return gang_is_over(change, context, d);
  }
  return {};
}

// The deployment, if this attempt is its latest and holds resources.
Result<std::optional<Deployment>> current(Change& change, const AttemptKey& key) {
  auto row = change.tx.deployment(key.deployment);
  if (!row) return row;
  if (!*row || (*row)->attempt != key.number || key.replica >= (*row)->spec.replicas ||
      !holds_resources((*row)->state)) {
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
  if (d.is_gang()) return take(change, context, d, seen.key.replica, report_of(d, seen));
  switch (seen.phase) {
    case Phase::starting:
      return {};
    case Phase::running:
      return d.state == State::starting ? is_ready(change, context, d, seen.endpoint.value_or(""))
                                        : Result<void>{};
    case Phase::exited:
      if (d.state == State::starting || d.state == State::running) {
        return ended(change, context, d, ending_of(d, seen));
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
  if (!d.is_gang()) return refused(change, context, d, why);
  return take(change, context, d, attempt.replica, report_of_refusal(attempt.replica, why));
}

Result<void> apply_gone(Change& change, const LifecycleContext& context,
                        const AttemptKey& attempt) {
  auto row = current(change, attempt);
  if (!row) return std::unexpected(std::move(row.error()));
  if (!*row) return {};
  Deployment& d = **row;
  if (d.is_gang()) {
    ReplicaProgress gone;
    gone.phase = ReplicaPhase::gone;
    return take(change, context, d, attempt.replica, std::move(gone));
  }
  if (d.state != State::stopping && d.state != State::preempting) return {};
  return is_gone(change, context, d);
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
  stop_after(change, context, d);
  return {};
}

Result<void> apply_wake(Change& change, const LifecycleContext& context, const DeploymentId& id) {
  auto row = change.tx.deployment(id);
  if (!row) return std::unexpected(std::move(row.error()));
  if (!*row || (*row)->state != State::queued || !(*row)->retry_at) return {};
  Deployment& d = **row;
  d.retry_at.reset();
  JsonText data;
  data.add("attempt", d.attempt + 1).add("of", d.spec.restart.max_attempts);
  if (auto noted = note(change, context, d, "deployment.retrying", data.str()); !noted)
    return noted;
  change.tell(d.cluster, Unparked{d.id});
  return {};
}

Result<void> apply_note(Change& change, const LifecycleContext& context, const DeploymentId& id,
                        const std::string& message) {
  auto row = change.tx.deployment(id);
  if (!row) return std::unexpected(std::move(row.error()));
  if (!*row || !holds_resources((*row)->state) || (*row)->message == message) return {};
  Deployment& d = **row;
  d.message = message;
  JsonText data;
  data.add("message", message);
  return note(change, context, d, "deployment.noted", data.str());
}

}  // namespace berth
