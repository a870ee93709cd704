#include "service/restore.h"

#include <algorithm>

namespace berth {

std::optional<ActiveEntry> active_entry(const Cluster& cluster, const Deployment& d) {
  if (!d.grant) return std::nullopt;
  for (std::uint32_t i = 0; i < cluster.nodes.size(); ++i) {
    if (cluster.nodes[i].name == d.grant->node) {
      return ActiveEntry{d.id, d.spec.resources, {i, d.grant->gpus}};
    }
  }
  return std::nullopt;
}

std::optional<TooLarge> never_fits(const Cluster& cluster, const Resources& demand) {
  const auto holds = [&](const Node& node) {
    const auto& has = node.capacity;
    return demand.cpu_milli <= has.cpu_milli && demand.memory_bytes <= has.memory_bytes &&
           demand.gpu_milli <= node.devices() * kGpuDevice;
  };
  if (std::ranges::any_of(cluster.nodes, holds)) return std::nullopt;
  return ClusterEngine(cluster.policy, cluster.nodes, cluster.paused).never_fits(demand);
}

std::vector<DeploymentId> used_beyond(const Cluster& cluster, const std::vector<Deployment>& active,
                                      const std::vector<Node>& nodes) {
  ClusterEngine engine(cluster.policy, cluster.nodes, cluster.paused);
  for (const auto& d : active) {
    if (const auto entry = active_entry(cluster, d)) engine.restore_active(*entry);
  }
  return engine.can_resize(nodes);
}

Result<std::vector<EngineEvent>> events_to_reach(const ClusterEngine& engine,
                                                 const DeploymentId& id,
                                                 const std::optional<Deployment>& row) {
  std::vector<EngineEvent> out;
  const auto waiting = engine.waiting_as(id);
  const bool active = engine.is_active(id);
  if (row && holds_resources(row->state)) {
    if (active) return out;
    return fail(Code::internal, "engine_behind", "It was started by somebody else.");
  }
  if (!row || row->state != State::queued) {
    if (waiting) out.emplace_back(Withdrawn{id});
    if (active) out.emplace_back(Released{id});
    return out;
  }
  const bool parked = row->retry_at.has_value();
  const Queued queued{id, row->priority, row->order, row->spec.resources, parked};
  if (active) out.emplace_back(Released{id});
  if (!waiting) {
    out.emplace_back(queued);
    return out;
  }
  if (parked && !waiting->parked) {
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
  if (status.paused != cluster.paused) out.emplace_back(PauseChanged{cluster.paused});
  return out;
}

}  // namespace berth
