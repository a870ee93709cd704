// From the record to an engine.
#pragma once
#include <optional>
#include <vector>

#include "core/records.h"
#include "scheduler/engine.h"
#include "service/change.h"

namespace berth {

// What the engine knows of one that holds resources; empty when a node of it is not there.
[[nodiscard]] std::optional<ActiveEntry> active_entry(const Cluster& cluster, const Deployment& d);

// As whose the engine knows a deployment of the organization; empty: the cluster is not shared with
// it.
[[nodiscard]] std::optional<std::uint32_t> tenant_of(const Cluster& cluster,
                                                     const OrganizationId& organization);

// What the engine is told of one that waits. Tenant 0 is the cluster's own organization.
[[nodiscard]] Queued queued_entry(const Deployment& d, std::uint32_t tenant = 0);
[[nodiscard]] Queued queued_entry(const WaitingRow& row, std::uint32_t tenant = 0);
// Tells the scheduler that it waits. Where others write, too, who decides looks for himself.
[[nodiscard]] Result<void> tell_queued(Change& change, const Deployment& d);
// How the cluster decides; an engine that knows its nodes and nothing else.
[[nodiscard]] Rules rules_of(const Cluster& cluster);
[[nodiscard]] ClusterEngine empty_engine(const Cluster& cluster);
// The engine's clock never goes back, whatever the machine's does.
[[nodiscard]] EngineTime engine_time(const ClusterEngine& engine, Timestamp now);

// When what the engine starts now has started: the record and the engine say the same, also after
// the machine's clock went back.
[[nodiscard]] Timestamp admission_time(const ClusterEngine& engine, Timestamp now);

// Rule 6 without an engine: empty when the nodes could hold all replicas while nothing else runs.
[[nodiscard]] std::optional<TooLarge> never_fits(const Cluster& cluster, const Resources& demand,
                                                 const Constraint& constraint = {},
                                                 std::int32_t replicas = 1);
// Deployments that run on what the new node list would not have any more.
[[nodiscard]] std::vector<DeploymentId> used_beyond(const Cluster& cluster,
                                                    const std::vector<Deployment>& active,
                                                    const std::vector<Node>& nodes);

// What an engine must be told so that it knows of this deployment what the record says; `row` is
// empty when there is none any more. Nothing, when it does. Error internal "engine_behind":
// somebody else has started it, and only loading anew helps.
[[nodiscard]] Result<std::vector<EngineEvent>> events_to_reach(const ClusterEngine& engine,
                                                               const DeploymentId& id,
                                                               const std::optional<Deployment>& row,
                                                               std::uint32_t tenant = 0);
// The same for the cluster itself.
[[nodiscard]] std::vector<EngineEvent> events_to_reach(const ClusterEngine& engine,
                                                       const Cluster& cluster);

}  // namespace berth
