#include "service/scheduling.h"

#include <algorithm>

#include "base/ensure.h"
#include "service/json_text.h"

namespace berth {
namespace {

const Actor kScheduler{"scheduler", "scheduler", ""};

// Finds the engine's place for a recorded grant. The record is the truth: a node that is not there
// any more cannot happen, the database refuses to remove it.
std::optional<ActiveEntry> active_entry(const Cluster& cluster, const Deployment& d) {
  for (std::uint32_t i = 0; i < cluster.nodes.size(); ++i) {
    if (cluster.nodes[i].name == d.grant->node) {
      return ActiveEntry{d.id, d.spec.resources, {i, d.grant->gpus}};
    }
  }
  return std::nullopt;
}

}  // namespace

Result<ClusterEngine*> Scheduling::engine(ReadView& view, const ClusterId& id) {
  if (const auto found = engines_.find(id); found != engines_.end()) return &found->second;
  auto cluster = view.cluster(id);
  if (!cluster) return std::unexpected(std::move(cluster.error()));
  if (!*cluster) return fail(Code::not_found, "not_found", "No such cluster.");
  ClusterEngine engine((*cluster)->policy, (*cluster)->nodes, (*cluster)->paused);
  auto active = view.active(id);
  if (!active) return std::unexpected(std::move(active.error()));
  for (const auto& deployment : *active) {
    const auto entry = active_entry(**cluster, deployment);
    ensure(entry.has_value(), "an active attempt's node exists");
    engine.restore_active(*entry);
  }
  auto waiting = view.for_each_waiting(id, [&](const WaitingRow& row) {
    // In back-off until the wake-up has been recorded, even when its time has passed.
    if (row.retry_at) dispatch_.wake_at(id, row.id, *row.retry_at);
    engine.restore_waiting({row.id, row.priority, row.order, row.demand, row.retry_at.has_value()});
  });
  if (!waiting) return std::unexpected(std::move(waiting.error()));
  return &engines_.emplace(id, std::move(engine)).first->second;
}

Result<void> Scheduling::follow(Change& change, std::span<const Told> told) {
  // An engine loaded now has read all that the unit wrote: it only has to settle, once.
  std::vector<ClusterId> loaded;
  for (const auto& one : told) {
    if (std::find(loaded.begin(), loaded.end(), one.cluster) != loaded.end()) continue;
    const bool known = engines_.contains(one.cluster);
    auto engine = this->engine(change.tx, one.cluster);
    if (!engine) return std::unexpected(std::move(engine.error()));
    if (!known) loaded.push_back(one.cluster);
    const auto starts = known ? (*engine)->apply(one.event) : (*engine)->settle();
    if (auto done = admit_all(change, one.cluster, starts); !done) return done;
  }
  return {};
}

Result<void> Scheduling::admit_all(Change& change, const ClusterId& cluster,
                                   const std::vector<Start>& starts) {
  if (starts.empty()) return {};
  auto row = change.tx.cluster(cluster);
  if (!row) return std::unexpected(std::move(row.error()));
  for (const auto& start : starts) {
    auto done = admit(change, cluster, (*row)->nodes.at(start.placement.node), start);
    if (!done) return done;
  }
  return {};
}

Result<void> Scheduling::admit(Change& change, const ClusterId& cluster, const Node& node,
                               const Start& start) {
  auto row = change.tx.deployment(start.id);
  if (!row) return std::unexpected(std::move(row.error()));
  if (!*row) return fail(Code::aborted, "stale_decision", "The deployment is gone.");
  Deployment d = std::move(**row);
  const State from = d.state;
  const auto to = next_state(from, Cause::admitted);
  if (!to) return fail(Code::aborted, "stale_decision", "The deployment does not wait any more.");
  d.state = *to;
  d.attempt += 1;
  d.version += 1;
  d.updated_at = change.now;
  d.admitted_at = change.now;
  d.started_at.reset();
  d.exit_code.reset();
  d.retry_at.reset();
  d.message.clear();
  d.grant = Grant{node.name, d.spec.resources, start.placement.gpus};
  if (auto written = change.tx.update(d, from); !written) return written;
  if (auto held = change.tx.reserve(cluster, d.attempt_key(), *d.grant); !held) return held;
  JsonText data;
  data.add("attempt", d.attempt).add("node", node.name);
  if (!d.grant->gpus.empty()) data.add_raw("gpus", gpus_json(d.grant->gpus));
  if (auto noted = change.record(kScheduler, "deployment.starting", d, data.str()); !noted)
    return noted;
  change.after([this, cluster, d] {
    changed_(d);
    dispatch_.launch(
        cluster, Launch{d.attempt_key(), d.organization, d.name, d.spec, *d.grant, *d.admitted_at});
  });
  return {};
}

void Scheduling::forget(const std::vector<ClusterId>& clusters) {
  for (const auto& id : clusters) engines_.erase(id);
}

}  // namespace berth
