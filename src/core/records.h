// What is kept: clusters, deployments, attempts and the append-only history.
#pragma once
#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/time.h"
#include "core/cluster.h"
#include "core/deployment.h"

namespace berth {

struct RuntimeConfig {
  RuntimeKind kind = RuntimeKind::process;
  double speed = 1.0;  // simulated: how many times faster than real time
  friend bool operator==(const RuntimeConfig&, const RuntimeConfig&) = default;
};

// An organization that may use a cluster beside others.
struct Share {
  OrganizationId organization;
  // What the scheduler knows it by: never another organization's in the same cluster, and the same
  // again when it comes back. 0 is the cluster's own organization.
  std::uint32_t tenant = 0;
  std::optional<Resources> quota;      // components may be kNoQuota; absent: not limited
  std::optional<Resources> borrowing;  // so much beyond it at most; absent: no limit
  friend bool operator==(const Share&, const Share&) = default;
};

struct Cluster {
  ClusterId id;
  OrganizationId organization;
  std::string name;
  RuntimeConfig runtime;
  Policy policy = Policy::strict;
  PlacementRule placement = PlacementRule::best_fit;
  std::vector<DemandShare> mix;  // for placement by fragmentation
  std::optional<std::chrono::milliseconds> age_bound;
  bool fair = false;  // among the organizations in one queue
  bool paused = false;
  std::vector<Node> nodes;
  // By tenant. Its own organization is among them only when it has a quota.
  std::vector<Share> shares;
  std::uint64_t next_order = 1;  // the admission number the next deployment gets
  Timestamp created_at;
  std::int64_t version = 1;

  [[nodiscard]] const Share* share_of(const OrganizationId& whose) const {
    const auto found = std::ranges::find(shares, whose, &Share::organization);
    return found == shares.end() ? nullptr : &*found;
  }
  // Whether deployments of the organization may be there.
  [[nodiscard]] bool serves(const OrganizationId& whose) const {
    return whose == organization || share_of(whose) != nullptr;
  }
};

struct Deployment {
  DeploymentId id;
  OrganizationId organization;
  ClusterId cluster;
  std::string name;
  DeploymentSpec spec;
  Priority priority = Priority::low;
  State state = State::queued;
  std::uint64_t order = 0;            // admission number within the cluster
  std::int32_t attempt = 0;           // number of the latest attempt; 0 before the first
  std::int32_t failures = 0;          // in a row
  std::optional<Timestamp> retry_at;  // queued, in back-off until then
  std::optional<Grant> grant;         // while it holds resources; of a gang, the first replica's
  Gang gang;                          // empty unless it has several replicas
  std::string endpoint;               // host:port while running, if it serves
  std::optional<std::int32_t> exit_code;
  std::string message;  // the last thing worth telling: why it failed, what is awaited
  UserId created_by;
  Timestamp created_at;
  Timestamp queued_at;  // waits since then, or did before the latest attempt
  Timestamp updated_at;
  std::optional<Timestamp> admitted_at;       // of the latest attempt
  std::optional<Timestamp> started_at;        // ready since, of the latest attempt
  std::optional<Timestamp> ended_at;          // terminal since
  std::optional<DeploymentId> displaced_for;  // the latest attempt has to go for this one
  std::int32_t unmet = 0;  // of what it depends on, so many have not come far enough
  bool awaited = false;    // some depend on it
  std::int64_t version = 1;

  // Waits, and is not considered.
  [[nodiscard]] bool is_parked() const { return retry_at.has_value() || unmet > 0; }
  [[nodiscard]] bool is_gang() const { return spec.replicas > 1; }
  // Of the latest attempt; of a gang, its first replica.
  [[nodiscard]] AttemptKey attempt_key() const { return {id, attempt}; }
  // Of all its replicas.
  [[nodiscard]] std::vector<AttemptKey> attempt_keys() const;
  // Of those replicas that may still run.
  [[nodiscard]] std::vector<AttemptKey> living_keys() const;
  [[nodiscard]] bool is_over(std::int32_t replica) const;
  // Was told to end, or one of its replicas failed and the others were.
  [[nodiscard]] bool is_ending() const {
    return state == State::stopping || state == State::preempting ||
           (holds_resources(state) && gang.failed.has_value());
  }
  // While it holds resources.
  [[nodiscard]] const Grant& grant_of(std::int32_t replica) const {
    return replica == 0 ? *grant : gang.more.at(static_cast<std::size_t>(replica) - 1);
  }
  // Where requests may go, while it runs.
  [[nodiscard]] std::vector<std::string> endpoints() const;
};

// The columns that rebuilding the queues needs, without the rest.
struct WaitingRow {
  DeploymentId id;
  OrganizationId organization;
  Priority priority = Priority::low;
  std::uint64_t order = 0;
  Resources demand;
  std::optional<Timestamp> retry_at;
  Timestamp queued_at;
  std::chrono::milliseconds max_run{0};  // declared, with the grace to end; 0: not declared
  std::int32_t unmet = 0;
  Constraint constraint;
  std::int32_t replicas = 1;
  [[nodiscard]] bool is_parked() const { return retry_at.has_value() || unmet > 0; }
};

// One entry of the history. `seq` has no gaps; order per deployment is the order of its changes.
struct Event {
  std::int64_t seq = 0;
  Timestamp at;
  std::optional<OrganizationId> organization;  // empty: of the installation
  std::optional<ClusterId> cluster;
  std::optional<DeploymentId> deployment;
  std::string kind;        // "deployment.queued", "member.added", ...
  std::string actor;       // user id, or "scheduler", "runtime", "setup"
  std::string actor_name;  // for people
  std::string request_id;
  std::string data;  // a JSON object
};

}  // namespace berth
