#include "service/restore.h"

#include <algorithm>

namespace berth {

namespace {

EngineTime millis(Timestamp t) { return t.micros / 1000; }

// Frees its place soon, and nobody was displaced for it.
bool leaves_unasked(const Deployment& d) { return d.is_ending() && d.state != State::preempting; }

}  // namespace

std::optional<std::uint32_t> tenant_of(const Cluster& cluster, const OrganizationId& organization) {
  if (organization == cluster.organization) return 0;
  const Share* share = cluster.share_of(organization);
  return share == nullptr ? std::nullopt : std::optional(share->tenant);
}

Queued queued_entry(const Deployment& d, std::uint32_t tenant) {
  return {d.id,
          d.priority,
          d.order,
          d.spec.resources,
          d.is_parked(),
          millis(d.queued_at),
          longest_run(d.spec).count(),
          d.unmet > 0,
          d.spec.constraint,
          static_cast<std::uint32_t>(d.spec.replicas),
          tenant};
}

Queued queued_entry(const WaitingRow& row, std::uint32_t tenant) {
  return {row.id,
          row.priority,
          row.order,
          row.demand,
          row.is_parked(),
          millis(row.queued_at),
          row.max_run.count(),
          row.unmet > 0,
          row.constraint,
          static_cast<std::uint32_t>(row.replicas),
          tenant};
}

Result<void> tell_queued(Change& change, const Deployment& d) {
  std::uint32_t tenant = 0;
  if (!change.shared()) {
    const auto found = change.tx.tenant(d.cluster, d.organization);
    if (!found) return std::unexpected(found.error());
    tenant = found->value_or(0);
  }
  change.tell(d.cluster, queued_entry(d, tenant));
  return {};
}

Rules rules_of(const Cluster& cluster) {
  Rules out;
  out.backfill = backfills(cluster.policy);
  out.preempt = preempts(cluster.policy);
  if (cluster.age_bound) out.age_bound = cluster.age_bound->count();
  if (cluster.placement == PlacementRule::fgd) {
    out.mix.emplace();
    for (const auto& [demand, weight] : cluster.mix) out.mix->kinds.push_back({demand, weight});
  }
  for (const Share& share : cluster.shares) {
    if (share.quota) out.quotas.push_back({share.tenant, *share.quota, share.borrowing});
    // One alone has nobody to be fair to.
    if (share.tenant != 0) out.fair = cluster.fair;
  }
  return out;
}

ClusterEngine empty_engine(const Cluster& cluster) {
  return {cluster.policy, cluster.nodes, cluster.paused, rules_of(cluster)};
}

EngineTime engine_time(const ClusterEngine& engine, Timestamp now) {
  return std::max(engine.now(), millis(now));
}

Timestamp admission_time(const ClusterEngine& engine, Timestamp now) {
  return std::max(now, Timestamp{engine.now() * 1000});
}

namespace {

std::optional<Placement> placement_of(const Cluster& cluster, const Grant& grant) {
  for (std::uint32_t i = 0; i < cluster.nodes.size(); ++i) {
    if (cluster.nodes[i].name == grant.node) return Placement{i, grant.gpus};
  }
  return std::nullopt;
}

}  // namespace

std::optional<ActiveEntry> active_entry(const Cluster& cluster, const Deployment& d) {
  if (!d.grant) return std::nullopt;
  std::vector<Placement> more;
  for (const Grant& grant : d.gang.more) {
    auto place = placement_of(cluster, grant);
    if (!place) return std::nullopt;
    more.push_back(std::move(*place));
  }
  auto place = placement_of(cluster, *d.grant);
  if (!place) return std::nullopt;
  const EngineTime started = millis(d.admitted_at.value_or(d.updated_at));
  return ActiveEntry{d.id,
                     d.spec.resources,
                     std::move(*place),
                     d.priority,
                     d.order,
                     started,
                     longest_run(d.spec).count(),
                     d.displaced_for.value_or(DeploymentId{}),
                     leaves_unasked(d),
                     std::max<EngineTime>(0, started - millis(d.queued_at)),
                     d.spec.constraint,
                     std::move(more),
                     tenant_of(cluster, d.organization).value_or(0)};
}

std::optional<TooLarge> never_fits(const Cluster& cluster, const Resources& demand,
                                   const Constraint& constraint, std::int32_t replicas) {
  const auto holds = [&](const Node& node) {
    const auto& has = node.capacity;
    return allows(constraint, node) && demand.cpu_milli <= has.cpu_milli &&
           demand.memory_bytes <= has.memory_bytes &&
           demand.gpu_milli <= node.devices() * kGpuDevice;
  };
  if (replicas == 1 && std::ranges::any_of(cluster.nodes, holds)) return std::nullopt;
  return empty_engine(cluster).never_fits(demand, constraint, static_cast<std::uint32_t>(replicas));
}

std::vector<DeploymentId> used_beyond(const Cluster& cluster, const std::vector<Deployment>& active,
                                      const std::vector<Node>& nodes) {
  ClusterEngine engine = empty_engine(cluster);
  for (const auto& d : active) {
    if (const auto entry = active_entry(cluster, d)) engine.restore_active(*entry);
  }
  return engine.can_resize(nodes);
}

Result<std::vector<EngineEvent>> events_to_reach(const ClusterEngine& engine,
                                                 const DeploymentId& id,
                                                 const std::optional<Deployment>& row,
                                                 std::uint32_t tenant) {
  std::vector<EngineEvent> out;
  const auto waiting = engine.waiting_as(id);
  const auto active = engine.active_as(id);
  if (row && holds_resources(row->state)) {
    const bool same = active && active->leaving_for == row->displaced_for.value_or(DeploymentId{});
    if (same && leaves_unasked(*row) && !active->leaving) out.emplace_back(Leaving{id});
    if (same) return out;
    return fail(Code::internal, "engine_behind", "It was started or displaced by somebody else.");
  }
  if (!row || row->state != State::queued) {
    if (waiting) out.emplace_back(Withdrawn{id});
    if (active) out.emplace_back(Released{id});
    return out;
  }
  const bool parked = row->is_parked();
  const Queued queued = queued_entry(*row, tenant);
  if (active) out.emplace_back(Released{id});
  if (!waiting) {
    out.emplace_back(queued);
    return out;
  }
  // Who depended on others begins to wait when they have come far enough.
  if ((parked && !waiting->parked) || waiting->awaits != (row->unmet > 0)) {
    out.emplace_back(Withdrawn{id});
    out.emplace_back(queued);
    return out;
  }
  if (waiting->priority != row->priority) out.emplace_back(Reprioritized{id, row->priority});
  if (waiting->parked && !parked) out.emplace_back(Unparked{id});
  return out;
}

std::vector<EngineEvent> events_to_reach(const ClusterEngine& engine, const Cluster& cluster) {
  std::vector<EngineEvent> out;
  const auto status = engine.status();
  bool same = status.nodes.size() == cluster.nodes.size();
  for (std::size_t i = 0; same && i < cluster.nodes.size(); ++i) {
    same = status.nodes[i].node == cluster.nodes[i];
  }
  if (!same) out.emplace_back(Resized{cluster.nodes});
  if (auto rules = rules_of(cluster); rules != engine.rules())
    out.emplace_back(RulesChanged{std::move(rules)});
  if (status.paused != cluster.paused) out.emplace_back(PauseChanged{cluster.paused});
  return out;
}

}  // namespace berth
