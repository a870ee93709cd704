#include "simulation/rest.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "service/restore.h"
#include "simulation/invariants.h"

namespace berth::sim {
namespace {

using Waiting = std::vector<std::shared_ptr<const Deployment>>;

Waiting waiting_in(const Tables& tables, const ClusterId& cluster) {
  Waiting out;
  for (const auto& [id, d] : tables.deployments) {
    if (d->cluster == cluster && d->state == State::queued) out.push_back(d);
  }
  std::ranges::sort(out, {}, [](const auto& d) { return d->order; });
  return out;
}

Resources of_all_replicas(const Deployment& d) {
  Resources sum;
  for (std::int32_t i = 0; i < d.spec.replicas; ++i) sum += d.spec.resources;
  return sum;
}

// How much an organization may have in addition: the rule of quotas and borrowing, by hand.
class QuotasAtRest {
 public:
  QuotasAtRest(const Tables& tables, const ClusterId& cluster) {
    for (const auto& [key, row] : tables.shares) {
      if (key.first == cluster && row.shared && row.share.quota) quotas_[key.second] = row.share;
    }
    for (const auto& [id, d] : tables.deployments) {
      if (d->cluster == cluster && holds_resources(d->state))
        used_[d->organization] += of_all_replicas(*d);
    }
  }
  [[nodiscard]] bool allow(const Deployment& d) const {
    if (!quotas_.contains(d.organization)) return true;
    const Resources asked = of_all_replicas(d);
    for (const auto r : {&Resources::cpu_milli, &Resources::memory_bytes, &Resources::gpu_milli}) {
      if (asked.*r > left(d.organization, r)) return false;
    }
    return true;
  }

 private:
  [[nodiscard]] std::int64_t used(const OrganizationId& whose, std::int64_t Resources::* r) const {
    const auto found = used_.find(whose);
    return found == used_.end() ? 0 : found->second.*r;
  }
  [[nodiscard]] std::int64_t left(const OrganizationId& whose, std::int64_t Resources::* r) const {
    const Share& mine = quotas_.at(whose);
    if ((*mine.quota).*r == kNoQuota) return kNoQuota;
    std::int64_t unused = 0;  // of everybody's together
    for (const auto& [other, share] : quotas_) {
      if ((*share.quota).*r != kNoQuota) unused += (*share.quota).*r - used(other, r);
    }
    const std::int64_t own = (*mine.quota).*r - used(whose, r);
    if (mine.borrowing && (*mine.borrowing).*r != kNoQuota)
      unused = std::min(unused, own + (*mine.borrowing).*r);
    return std::max({own, unused, std::int64_t{0}});
  }

  std::map<OrganizationId, Share> quotas_;
  std::map<OrganizationId, Resources> used_;
};

// Nobody may start who fits: the rule itself, by hand.
std::string waits_in_vain(const Tables& tables, const Cluster& cluster) {
  // Behind one that is overdue others wait although they fit; the engine is judged elsewhere.
  if (cluster.paused || cluster.age_bound) return "";
  const QuotasAtRest quotas(tables, cluster.id);
  const auto room = [&](const Deployment& d, const auto& copies) {
    std::int64_t sum = 0;
    for (const auto& [key, node] : tables.nodes) {
      if (key.first == cluster.id) sum += copies(node, d.spec.resources);
    }
    return sum >= d.spec.replicas;
  };
  bool high_waits = false;
  std::set<OrganizationId> high_of;  // whose quota keeps a high one waiting
  const auto waiting = waiting_in(tables, cluster.id);
  for (const auto priority : {Priority::high, Priority::low}) {
    for (const auto& d : waiting) {
      if (d->priority != priority || d->is_parked()) continue;
      const bool possible = room(*d, [](const LedgerNode& node, const Resources& demand) {
        return copies_when_empty(node.node, demand);
      });
      if (!quotas.allow(*d)) {
        if (priority == Priority::high && possible) high_of.insert(d->organization);
        continue;
      }
      if (priority == Priority::low && high_of.contains(d->organization)) continue;
      if (room(*d, copies_now)) return fmt::format("{} waits and would fit", d->id.str());
      if (priority == Priority::high && possible) high_waits = true;
    }
    if (high_waits) return "";
  }
  return "";
}

std::string in_between(const AtRest& world) {
  const Timestamp now = world.database.now();
  for (const auto& [id, d] : world.database.tables().deployments) {
    if (d->is_ending()) return id.str() + " is being stopped";
    if (d->retry_at)
      return fmt::format("{} is in back-off ({} s)", id.str(),
                         static_cast<double>(d->retry_at->since(now).count()) / 1e6);
  }
  return "";
}

Phase recorded_phase(const Deployment& d, std::int32_t replica) {
  if (!d.is_gang()) return d.state == State::running ? Phase::running : Phase::starting;
  switch (d.gang.replicas.at(static_cast<std::size_t>(replica)).phase) {
    case ReplicaPhase::starting:
      return Phase::starting;
    case ReplicaPhase::running:
      return Phase::running;
    default:
      return Phase::exited;
  }
}

std::string runs_what_is_recorded(const AtRest& world) {
  std::size_t active = 0;
  for (const auto& [id, d] : world.database.tables().deployments) {
    if (!holds_resources(d->state)) continue;
    for (const auto& key : d->attempt_keys()) {
      ++active;
      const auto found = world.workloads.all().find(key);
      if (found == world.workloads.all().end()) return key.str() + " does not run";
      if (found->second.phase != recorded_phase(*d, key.replica))
        return fmt::format("{} is {} and runs otherwise", key.str(), to_text(d->state));
    }
  }
  // What has ended on a cluster that was deleted before it was cleaned up stays lying there.
  const auto there = std::ranges::count_if(world.workloads.all(), [&](const auto& one) {
    return one.second.phase != Phase::exited ||
           world.database.tables().clusters.contains(one.second.cluster);
  });
  if (active == static_cast<std::size_t>(there)) return "";
  return fmt::format("{} are recorded, {} there", active, there);
}

std::string queue_is_that_of_the_record(const AtRest& world, const ClusterId& cluster) {
  const auto content = world.queue.content(cluster);
  if (!content->seq) return "there is no queue of " + cluster.str();
  QueueContent expected;
  expected.seq = content->seq;
  for (const auto& d : waiting_in(world.database.tables(), cluster)) {
    if (d->is_parked()) continue;
    auto& list = d->priority == Priority::high ? expected.high : expected.low;
    list.push_back({d->id, d->priority, d->order, d->spec.resources});
  }
  return *content == expected ? "" : "the queue of " + cluster.str() + " is another one";
}

std::string engine_is_that_of_the_record(const AtRest& world, const Cluster& row) {
  const auto& tables = world.database.tables();
  const auto& lease = tables.leases.at(row.id);
  if (!lease.holder) return "nobody holds " + row.id.str();
  std::vector<std::pair<std::int64_t, Node>> nodes;
  for (const auto& [key, node] : tables.nodes) {
    if (key.first == row.id) nodes.emplace_back(node.ordinal, node.node);
  }
  std::ranges::sort(nodes, {}, [](const auto& one) { return one.first; });
  Cluster cluster = row;
  for (auto& [ordinal, node] : nodes) cluster.nodes.push_back(std::move(node));
  for (const auto& [key, share] : tables.shares) {
    if (key.first == row.id && share.shared) cluster.shares.push_back(share.share);
  }
  std::ranges::sort(cluster.shares, {}, &Share::tenant);
  std::size_t holders = 0;
  for (const auto& process : world.processes) {
    if (!process || !process->holds(row.id)) continue;
    ++holders;
    if (process->name() != lease.holder) return process->name() + " believes to hold a cluster";
    auto* engine = process->engine(row.id);
    if (engine == nullptr) return process->name() + " has not looked at " + row.id.str();
    engine->check();
    ClusterEngine fresh = empty_engine(cluster);
    for (const auto& [id, d] : tables.deployments) {
      if (d->cluster != row.id) continue;
      if (const auto entry = active_entry(cluster, *d)) fresh.restore_active(*entry);
    }
    for (const auto& d : waiting_in(tables, row.id)) {
      fresh.restore_waiting(queued_entry(*d, tenant_of(cluster, d->organization).value_or(0)));
    }
    if (fresh.settle(engine->now()) != Decisions{})
      return "the record of " + row.id.str() + " is not at a fixpoint";
    if (fresh.state_hash() != engine->state_hash())
      return process->name() + " has another engine of " + row.id.str();
  }
  return holders == 1 ? "" : fmt::format("{} hold {}", holders, row.id.str());
}

}  // namespace

std::string what_moves(const AtRest& world) {
  if (auto found = in_between(world); !found.empty()) return found;
  const auto& tables = world.database.tables();
  for (const auto& [id, row] : tables.clusters) {
    if (auto found = waits_in_vain(tables, row); !found.empty()) return found;
    if (auto found = queue_is_that_of_the_record(world, id); !found.empty()) return found;
    if (auto found = engine_is_that_of_the_record(world, row); !found.empty()) return found;
  }
  if (world.queue.clusters()->size() != tables.clusters.size()) return "a queue without a cluster";
  const auto last = static_cast<std::int64_t>(tables.events.size());
  if (tables.relayed.at(0) != last)
    return fmt::format("relayed up to {} of {}", tables.relayed.at(0), last);
  return runs_what_is_recorded(world);
}

}  // namespace berth::sim
