#include "service/sentences.h"

#include <fmt/format.h>

#include <algorithm>

#include "service/json_text.h"
#include "service/quotas.h"

namespace berth {
namespace {

std::string words_of(const Constraint& constraint) {
  std::string out;
  if (!constraint.gpu_model.empty()) out = "gpu_model " + constraint.gpu_model;
  for (const auto& [name, value] : constraint.labels)
    out += fmt::format("{}{}={}", out.empty() ? "" : ", ", name, value);
  return out;
}

// Of a constraint that no node satisfies.
std::unexpected<Error> no_such_node(const Constraint& unsatisfied, const std::string& cluster) {
  Error error{Code::invalid_argument, "exceeds_cluster",
              fmt::format("No node of cluster {} satisfies {}.", cluster, words_of(unsatisfied))};
  if (!unsatisfied.gpu_model.empty())
    error.fields.push_back({"/gpu_model", "exceeds_cluster", "No node has such a GPU."});
  for (const auto& [name, value] : unsatisfied.labels) {
    error.fields.push_back({"/node_labels/" + name, "exceeds_cluster",
                            fmt::format("No node has {}={}.", name, value)});
  }
  return std::unexpected(std::move(error));
}

// "3 replicas of 1 CPU", or without the replicas where there is one.
std::string demand_text(const Resources& demand, std::uint32_t replicas) {
  const std::string each = resources_text(demand);
  return replicas == 1 ? each : fmt::format("{} replicas of {} each", replicas, each);
}

std::unexpected<Error> too_many(const TooLarge& t, const std::string& cluster) {
  const std::string at_most = fmt::format("At most {} fit.", t.replicas_fit);
  return std::unexpected(
      Error{Code::invalid_argument,
            "exceeds_cluster",
            fmt::format("The nodes of cluster {} could never hold {} at once. {}", cluster,
                        demand_text(t.asked, t.replicas), at_most),
            {{"/replicas", "exceeds_cluster", at_most}}});
}

std::string missing_text(const Explanation& e) {
  if (e.replicas > 1) {
    return fmt::format("{} fit now, and the next one misses {} on node {}", e.replicas_fit,
                       resources_text(e.missing), e.nearest_node);
  }
  return fmt::format("{} more on node {}, which misses least (it has {} free)",
                     resources_text(e.missing), e.nearest_node,
                     resources_text(e.free_there, e.demand));
}

std::string among_text(const Explanation& e) {
  if (e.constraint.empty()) return "";
  return fmt::format(" ({} of the nodes have {}.)", e.allowed_nodes, words_of(e.constraint));
}

std::string ahead_text(const Explanation& e) {
  if (e.ahead_high == 0 && e.ahead_low == 0) return "It is next.";
  if (e.ahead_low == 0) return fmt::format("Ahead of it: {} high.", e.ahead_high);
  return fmt::format("Ahead of it: {} high, {} low.", e.ahead_high, e.ahead_low);
}

}  // namespace

std::unexpected<Error> too_large(const TooLarge& t, const std::string& cluster) {
  if (!t.unsatisfied.empty()) return no_such_node(t.unsatisfied, cluster);
  if (t.replicas_fit > 0) return too_many(t, cluster);
  Error error{
      Code::invalid_argument, "exceeds_cluster",
      fmt::format(
          "No node of cluster {} could ever hold {}. The largest that would fit is {} (node {}).",
          cluster, resources_text(t.asked), resources_text(t.largest), t.node)};
  const auto name = [&](std::int64_t asked, std::int64_t most, const char* pointer,
                        std::string amount) {
    if (asked > most)
      error.fields.push_back({pointer, "exceeds_cluster", fmt::format("At most {} fits.", amount)});
  };
  name(t.asked.cpu_milli, t.largest.cpu_milli, "/resources/cpu", cpu_text(t.largest.cpu_milli));
  name(t.asked.memory_bytes, t.largest.memory_bytes, "/resources/memory",
       memory_text(t.largest.memory_bytes));
  name(t.asked.gpu_milli, t.largest.gpu_milli, "/resources/gpu", gpu_text(t.largest.gpu_milli));
  if (error.fields.empty())
    error.fields.push_back({"/resources", "exceeds_cluster", error.message});
  return std::unexpected(std::move(error));
}

std::string explain_sentence(const Deployment& d, const Explanation& e, const std::string& cluster,
                             Timestamp now) {
  switch (e.reason) {
    case Reason::exceeds_cluster:
      if (e.too_large && !e.too_large->unsatisfied.empty()) {
        return fmt::format("No node of cluster {} satisfies {} any more.", cluster,
                           words_of(e.too_large->unsatisfied));
      }
      if (e.too_large && e.too_large->replicas_fit > 0) {
        return fmt::format(
            "Cluster {} has become too small: its nodes could never hold {} at once, but at most "
            "{}. Grow the cluster, or stop this one and submit one with fewer replicas.",
            cluster, demand_text(e.demand, e.replicas), e.too_large->replicas_fit);
      }
      return fmt::format(
          "Cluster {} has become too small: no node could ever hold {}. The largest that would fit "
          "is {} (node {}). Grow the cluster, or stop this one and submit a smaller one.",
          cluster, resources_text(e.demand),
          e.too_large ? resources_text(e.too_large->largest) : "nothing",
          e.too_large ? e.too_large->node : "none");
    case Reason::exceeds_quota:
      if (e.quota) return quota_sentence(*e.quota, cluster);
      return "The quota of its organization is used up.";
    case Reason::cluster_paused:
      return fmt::format("Cluster {} is paused: nothing starts until somebody resumes it.",
                         cluster);
    case Reason::waiting_for_capacity:
      return fmt::format("It needs {}: {}. {}{}", demand_text(e.demand, e.replicas),
                         missing_text(e), ahead_text(e), among_text(e));
    case Reason::fragmented:
      if (e.replicas > 1) {
        return fmt::format(
            "It needs {}. The cluster has {} free in total, but its nodes have no room for all of "
            "them: {}. {}{}",
            demand_text(e.demand, e.replicas), resources_text(e.free_total, e.demand),
            missing_text(e), ahead_text(e), among_text(e));
      }
      return fmt::format(
          "It needs {}. The cluster has {} free in total, but no single node: the largest hole is "
          "{}; {}. {}{}",
          resources_text(e.demand), resources_text(e.free_total, e.demand),
          resources_text(e.largest_hole, e.demand), missing_text(e), ahead_text(e), among_text(e));
    case Reason::preempting:
      return fmt::format(
          "{} less urgent {} for it: it starts when {} gone. See 'displaced' for which.",
          e.displaced.size(), e.displaced.size() == 1 ? "deployment ends" : "deployments end",
          e.displaced.size() == 1 ? "that is" : "they are");
    case Reason::behind_higher_priority:
      return fmt::format(
          "Low-priority deployments start only when no high-priority one waits; {} high wait now. "
          "It is number {} in the queue.",
          e.ahead_high, e.position);
    case Reason::backoff_after_failure: {
      const auto wait = d.retry_at ? d.retry_at->since(now) : std::chrono::microseconds(0);
      const std::string when = wait.count() > 0 ? "in " + humane(wait) : "due now";
      return fmt::format("Attempt {} of {} failed: {} The next try is {}.", d.attempt,
                         d.spec.restart.max_attempts, d.message, when);
    }
    default:
      return fmt::format("It was submitted {} ago and is about to be considered.",
                         humane(now.since(d.created_at)));
  }
}

std::string progress_sentence(const Deployment& d, Timestamp now) {
  if (d.state != State::starting || !d.admitted_at || !d.message.empty()) {
    return fmt::format("It does not wait: it is {}.{}{}", to_text(d.state),
                       d.message.empty() ? "" : " ", d.message);
  }
  const auto since = now.since(*d.admitted_at);
  if (d.is_gang()) {
    const auto ready = std::ranges::count_if(d.gang.replicas, [](const auto& replica) {
      return replica.phase != ReplicaPhase::starting;
    });
    return fmt::format("It got its places {} ago: {} of {} replicas are ready.", humane(since),
                       ready, d.spec.replicas);
  }
  if (!d.spec.port)
    return fmt::format("It got its place {} ago and is being started.", humane(since));
  const auto awaited = d.spec.readiness.path.empty()
                           ? std::string("nothing listens on its port (PORT) yet")
                           : fmt::format("GET {} on its port (PORT) has not answered 2xx yet",
                                         d.spec.readiness.path);
  return fmt::format("It got its place {} ago and is not ready: {}. After {} it counts as failed.",
                     humane(since), awaited, humane(d.spec.readiness.timeout));
}

}  // namespace berth
