// The statements that write, with the locks that they take.
#include <algorithm>

#include "simulation/statements.h"

namespace berth::sim {
namespace {

using K = Rows<Kept>;
using W = Rows<Written>;

template <class IdType>
std::string row_key(const char* table, const IdType& id) {
  return table + std::string(reinterpret_cast<const char*>(id.bytes().data()), id.bytes().size());
}
std::string node_key(const ClusterId& cluster, const std::string& name) {
  return row_key("n", cluster) + name;
}

Error changed_meanwhile() {
  return {Code::aborted, "version_mismatch", "It was changed meanwhile; read it again and repeat."};
}

bool is_unfinished(const Deployment& d) { return !is_terminal(d.state); }

}  // namespace

// --- writing: clusters --------------------------------------------------------------------------

Result<void> Statements::insert(const Cluster& c) {
  if (auto begun = begin_write("insert cluster"); !begun) return begun;
  Cluster row = c;
  row.nodes.clear();
  session_->changes.clusters[c.id] = std::move(row);
  session_->changes.leases[c.id] = Lease{};
  return resize(c.id, c.nodes);
}

Result<void> Statements::update(const Cluster& c) {
  if (auto begun = begin_write("update cluster"); !begun) return begun;
  const auto matches = [&] {
    const auto* row = find(&K::clusters, &W::clusters, c.id);
    return row != nullptr && row->version == c.version - 1;
  };
  if (!matches()) return pass(changed_meanwhile());
  if (auto locked = lock(row_key("c", c.id)); !locked) return locked;
  if (!matches()) return pass(changed_meanwhile());
  Cluster row = *find(&K::clusters, &W::clusters, c.id);
  row.name = c.name;
  row.policy = c.policy;
  row.placement = c.placement;
  row.mix = c.mix;
  row.age_bound = c.age_bound;
  row.fair = c.fair;
  row.paused = c.paused;
  row.version = c.version;
  session_->changes.clusters[c.id] = std::move(row);
  return {};
}

Result<std::uint32_t> Statements::put_share(const ClusterId& cluster, const Share& share) {
  if (auto begun = begin_write("put share"); !begun) return pass(begun.error());
  const auto* row = find(&K::clusters, &W::clusters, cluster);
  if (row == nullptr) return refuse({Code::not_found, "not_found", "No such cluster."});
  ShareRow put{share, true};
  put.share.tenant = 0;
  if (share.organization != row->organization) {
    std::uint32_t last = 0;
    each(&K::shares, &W::shares, [&](const ShareKey& key, const ShareRow& other) {
      if (key.first == cluster) last = std::max(last, other.share.tenant);
    });
    const auto* before = find(&K::shares, &W::shares, {cluster, share.organization});
    put.share.tenant = before == nullptr ? last + 1 : before->share.tenant;
  }
  session_->changes.shares[{cluster, share.organization}] = put;
  return put.share.tenant;
}

Result<void> Statements::remove_share(const ClusterId& cluster,
                                      const OrganizationId& organization) {
  if (auto begun = begin_write("remove share"); !begun) return begun;
  const auto* row = find(&K::shares, &W::shares, {cluster, organization});
  if (row == nullptr) return {};
  ShareRow ended = *row;
  ended.shared = false;
  session_->changes.shares[{cluster, organization}] = ended;
  return {};
}

Result<void> Statements::resize(const ClusterId& cluster, const std::vector<Node>& nodes) {
  if (auto begun = begin_write("resize"); !begun) return begun;
  std::vector<std::string> names;
  each(&K::nodes, &W::nodes, [&](const NodeKey& key, const LedgerNode&) {
    if (key.first == cluster) names.push_back(key.second);
  });
  for (const auto& name : names) {
    if (auto locked = lock(node_key(cluster, name)); !locked) return locked;
  }
  std::map<NodeKey, std::optional<LedgerNode>> fresh;
  for (const auto& name : names) fresh[{cluster, name}] = std::nullopt;
  std::int64_t ordinal = 0;
  bool in_use = false;
  for (const auto& node : nodes) {
    LedgerNode made{node, ordinal++, node.capacity.cpu_milli, node.capacity.memory_bytes,
                    std::vector<std::int64_t>(static_cast<std::size_t>(node.devices()), 1000)};
    if (const auto* old = find(&K::nodes, &W::nodes, NodeKey{cluster, node.name})) {
      made.free_cpu += old->free_cpu - old->node.capacity.cpu_milli;
      made.free_memory += old->free_memory - old->node.capacity.memory_bytes;
      for (std::size_t i = 0; i < old->device_free.size(); ++i) {
        if (i < made.device_free.size()) {
          made.device_free[i] = old->device_free[i];
        } else if (old->device_free[i] != 1000) {
          in_use = true;
        }
      }
    }
    if (made.free_cpu < 0 || made.free_memory < 0) {
      return refuse({Code::failed_precondition, "ledger_refused", "A node would be too small."});
    }
    fresh[{cluster, node.name}] = std::move(made);
  }
  each(&K::reservations, &W::reservations, [&](const ReplicaKey&, const Reservation& r) {
    if (r.cluster == cluster && !fresh[{cluster, r.grant.node}]) in_use = true;
  });
  if (in_use) return fail(Code::failed_precondition, "capacity_in_use", "What would go is in use.");
  for (auto& [key, value] : fresh) session_->changes.nodes[key] = std::move(value);
  return {};
}

Result<void> Statements::remove_cluster(const ClusterId& cluster) {
  if (auto begun = begin_write("remove cluster"); !begun) return begun;
  for (const auto* table : {"c", "l"}) {
    if (auto locked = lock(row_key(table, cluster)); !locked) return locked;
  }
  std::vector<NodeKey> nodes;
  each(&K::nodes, &W::nodes, [&](const NodeKey& key, const LedgerNode&) {
    if (key.first == cluster) nodes.push_back(key);
  });
  for (const auto& key : nodes) session_->changes.nodes[key] = std::nullopt;
  std::vector<ShareKey> shares;
  each(&K::shares, &W::shares, [&](const ShareKey& key, const ShareRow&) {
    if (key.first == cluster) shares.push_back(key);
  });
  for (const auto& key : shares) session_->changes.shares[key] = std::nullopt;
  std::vector<JournalKey> entries;
  each(&K::journal, &W::journal, [&](const JournalKey& key, const JournalEntry&) {
    if (key.first == cluster) entries.push_back(key);
  });
  for (const auto& key : entries) session_->changes.journal[key] = std::nullopt;
  session_->changes.clusters[cluster] = std::nullopt;
  session_->changes.leases[cluster] = std::nullopt;
  return {};
}

Result<std::uint64_t> Statements::take_orders(const ClusterId& cluster, std::uint64_t count) {
  if (auto begun = begin_write("take order"); !begun) return pass(begun.error());
  const auto gone = [] { return fail(Code::not_found, "not_found", "No such cluster."); };
  if (find(&K::clusters, &W::clusters, cluster) == nullptr) return gone();
  if (auto locked = lock(row_key("c", cluster)); !locked) return pass(locked.error());
  const auto* row = find(&K::clusters, &W::clusters, cluster);
  if (row == nullptr) return gone();
  Cluster next = *row;
  const auto order = next.next_order;
  next.next_order += count;
  session_->changes.clusters[cluster] = std::move(next);
  return order;
}

Result<std::optional<std::int64_t>> Statements::hold(const ClusterId& cluster) {
  if (auto begun = begin_write("hold"); !begun) return pass(begun.error());
  if (find(&K::clusters, &W::clusters, cluster) == nullptr) return std::optional<std::int64_t>{};
  if (!db_.broken().no_hold) {
    if (auto locked = lock(row_key("c", cluster)); !locked) return pass(locked.error());
  }
  const auto* row = find(&K::clusters, &W::clusters, cluster);
  return row == nullptr ? std::nullopt : std::optional(row->version);
}

// --- writing: deployments and the ledger
// ------------------------------------------------------------

std::optional<DeploymentId> Statements::named(const OrganizationId& org,
                                              const std::string& name) const {
  std::optional<DeploymentId> out;
  each_deployment([&](const Deployment& d) {
    if (d.organization == org && d.name == name && is_unfinished(d)) out = d.id;
  });
  return out;
}

Result<void> Statements::insert(const Deployment& d) {
  if (auto begun = begin_write("insert deployment"); !begun) return begun;
  // Two who insert the same name wait for each other at the index.
  if (auto locked = lock(row_key("i", d.organization) + d.name); !locked) return locked;
  if (const auto other = named(d.organization, d.name)) {
    // It may be about to end: then this waits for that.
    if (auto locked = lock(row_key("d", *other)); !locked) return locked;
  }
  if (named(d.organization, d.name))
    return refuse({Code::already_exists, "name_taken", "This name is taken."});
  if (auto locked = lock(row_key("d", d.id)); !locked) return locked;
  session_->changes.deployments[d.id] = std::make_shared<const Deployment>(d);
  return {};
}

Result<void> Statements::update(const Deployment& d, State from) {
  if (auto begun = begin_write("update deployment"); !begun) return begun;
  const auto matches = [&] {
    const auto* row = find_deployment(d.id);
    return row != nullptr && row->state == from && row->version == d.version - 1;
  };
  if (!matches()) return pass(changed_meanwhile());
  if (auto locked = lock(row_key("d", d.id)); !locked) return locked;
  if (!matches()) return pass(changed_meanwhile());
  session_->changes.deployments[d.id] = std::make_shared<const Deployment>(d);
  return {};
}

Result<void> Statements::remove_deployment(const DeploymentId& id) {
  if (auto begun = begin_write("remove deployment"); !begun) return begun;
  if (auto locked = lock(row_key("d", id)); !locked) return locked;
  session_->changes.deployments[id] = std::nullopt;
  for (const auto& [key, until] :
       dependencies_where([&](const DependencyKey& one) { return one.first == id; }))
    session_->changes.dependencies[key] = std::nullopt;
  return {};
}

std::map<DependencyKey, Milestone> Statements::dependencies_where(
    const std::function<bool(const DependencyKey&)>& which) const {
  std::map<DependencyKey, Milestone> out;
  each(&K::dependencies, &W::dependencies, [&](const DependencyKey& key, Milestone until) {
    if (which(key)) out.emplace(key, until);
  });
  return out;
}

Result<void> Statements::add_dependency(const DeploymentId& id, const Dependency& dependency) {
  if (auto begun = begin_write("add dependency"); !begun) return begun;
  session_->changes.dependencies[{id, dependency.on}] = dependency.until;
  return {};
}

Result<std::vector<DeploymentId>> Statements::reach(const DeploymentId& on, Milestone milestone) {
  if (auto begun = begin_write("reach"); !begun) return pass(begun.error());
  const auto mine = dependencies_where([&](const DependencyKey& one) { return one.second == on; });
  std::vector<DeploymentId> out;
  for (const auto& [key, until] : mine) {
    if (until != Milestone::running && until != milestone) continue;
    if (auto locked = lock(row_key("w", key.first) + row_key("", key.second)); !locked)
      return pass(locked.error());
    if (find(&K::dependencies, &W::dependencies, key) == nullptr) continue;
    session_->changes.dependencies[key] = std::nullopt;
    out.push_back(key.first);
  }
  return out;
}

Result<void> Statements::reserve(const ClusterId& cluster, const AttemptKey& attempt,
                                 const Grant& grant) {
  const auto over_commit = [] {
    return fail(Code::failed_precondition, "over_commit", "The node has not enough free.");
  };
  if (auto begun = begin_write("reserve"); !begun) return begun;
  const NodeKey key{cluster, grant.node};
  const auto fits = [&](const LedgerNode* row) {
    return row != nullptr && row->free_cpu >= grant.resources.cpu_milli &&
           row->free_memory >= grant.resources.memory_bytes;
  };
  const auto* seen = find(&K::nodes, &W::nodes, key);
  if (!fits(seen)) return over_commit();
  const std::int64_t cpu = seen->free_cpu, memory = seen->free_memory;
  if (db_.broken().blind_reservation) {
    auto& sim = db_.weather().simulator;
    sim.sleep(sim.between(0, 50 * kMilli));  // what it has read may grow old
    if (auto begun = begin_write("reserve blindly"); !begun) return begun;
  }
  if (auto locked = lock(node_key(cluster, grant.node)); !locked) return locked;
  const auto* now = find(&K::nodes, &W::nodes, key);
  if (now == nullptr) return over_commit();
  LedgerNode row = *now;
  if (db_.broken().blind_reservation) {
    row.free_cpu = cpu;
    row.free_memory = memory;
  } else if (!fits(now)) {
    return over_commit();
  }
  row.free_cpu -= grant.resources.cpu_milli;
  row.free_memory -= grant.resources.memory_bytes;
  std::int64_t shares = 0;
  for (const auto& share : grant.gpus) {
    const auto device = static_cast<std::size_t>(share.device);
    if (device >= row.device_free.size() || row.device_free[device] < share.milli)
      return over_commit();
    row.device_free[device] -= share.milli;
    shares += share.milli;
  }
  if (shares != grant.resources.gpu_milli) return over_commit();
  if (auto locked = lock(row_key("r", attempt.deployment)); !locked) return locked;
  const ReplicaKey replica{attempt.deployment, attempt.replica};
  if (find(&K::reservations, &W::reservations, replica) != nullptr)
    return refuse({Code::already_exists, "already_exists", "It exists already."});
  session_->changes.nodes[key] = std::move(row);
  session_->changes.reservations[replica] = Reservation{attempt.number, cluster, grant};
  return {};
}

Result<void> Statements::release(const ClusterId& cluster, const AttemptKey& attempt) {
  if (auto begun = begin_write("release"); !begun) return begun;
  const auto held = [&] {
    std::vector<std::pair<ReplicaKey, Grant>> out;
    each(&K::reservations, &W::reservations, [&](const ReplicaKey& key, const Reservation& row) {
      if (key.first == attempt.deployment && row.attempt == attempt.number &&
          row.cluster == cluster)
        out.emplace_back(key, row.grant);
    });
    return out;
  };
  const auto nothing = [] {
    return fail(Code::failed_precondition, "no_reservation", "It holds no reservation.");
  };
  if (held().empty()) return nothing();
  if (auto locked = lock(row_key("r", attempt.deployment)); !locked) return locked;
  const auto rows = held();
  if (rows.empty()) return nothing();
  for (const auto& [key, grant] : rows) {
    session_->changes.reservations[key] = std::nullopt;
    if (auto given = give_back(cluster, grant); !given) return given;
  }
  return {};
}

Result<void> Statements::give_back(const ClusterId& cluster, const Grant& grant) {
  if (auto locked = lock(node_key(cluster, grant.node)); !locked) return locked;
  const NodeKey key{cluster, grant.node};
  const auto* node = find(&K::nodes, &W::nodes, key);
  if (node == nullptr) return {};
  LedgerNode row = *node;
  row.free_cpu += grant.resources.cpu_milli;
  row.free_memory += grant.resources.memory_bytes;
  for (const auto& share : grant.gpus)
    row.device_free.at(static_cast<std::size_t>(share.device)) += share.milli;
  const auto& most = row.node.capacity;
  if (row.free_cpu > most.cpu_milli || row.free_memory > most.memory_bytes)
    return refuse(
        {Code::failed_precondition, "ledger_refused", "More would be free than is there."});
  session_->changes.nodes[key] = std::move(row);
  return {};
}

// --- writing: leases, replies, the relay
// ------------------------------------------------------------

Result<void> Statements::keep_alive(const std::string& scheduler, const std::string& address,
                                    std::chrono::milliseconds lasts) {
  if (auto begun = begin_write("keep alive"); !begun) return begun;
  if (auto locked = lock("s" + scheduler); !locked) return locked;
  session_->changes.schedulers[scheduler] = Scheduler{address, db_.now().plus(lasts)};
  return {};
}

Result<void> Statements::retire(const std::string& scheduler) {
  if (auto begun = begin_write("retire"); !begun) return begun;
  std::vector<std::pair<ClusterId, std::int64_t>> mine;
  each(&K::leases, &W::leases, [&](const ClusterId& id, const Lease& row) {
    if (row.holder == scheduler) mine.emplace_back(id, row.epoch);
  });
  for (const auto& [id, epoch] : mine) {
    if (auto locked = lock(row_key("l", id)); !locked) return locked;
    const auto* row = find(&K::leases, &W::leases, id);
    if (row != nullptr && row->holder == scheduler)
      session_->changes.leases[id] = Lease{std::nullopt, row->epoch};
  }
  if (auto locked = lock("s" + scheduler); !locked) return locked;
  session_->changes.schedulers[scheduler] = std::nullopt;
  return {};
}

Result<std::optional<std::int64_t>> Statements::take_lease(const ClusterId& cluster,
                                                           const std::string& scheduler) {
  using Answer = std::optional<std::int64_t>;
  if (auto begun = begin_write("lock lease"); !begun) return pass(begun.error());
  if (find(&K::leases, &W::leases, cluster) == nullptr) return Answer{};
  if (auto locked = lock(row_key("l", cluster)); !locked) return pass(locked.error());
  if (auto begun = begin_write("take lease"); !begun) return pass(begun.error());
  const auto* row = find(&K::leases, &W::leases, cluster);
  if (row == nullptr || lives(row->holder)) return Answer{};
  const auto epoch = row->epoch + 1;
  session_->changes.leases[cluster] = Lease{scheduler, epoch};
  return Answer(epoch);
}

Result<void> Statements::give_up_lease(const ClusterId& cluster, const std::string& scheduler,
                                       std::int64_t epoch) {
  if (auto begun = begin_write("give lease up"); !begun) return begun;
  const auto matches = [&] {
    const auto* row = find(&K::leases, &W::leases, cluster);
    return row != nullptr && row->holder == scheduler && row->epoch == epoch;
  };
  if (!matches()) return {};
  if (auto locked = lock(row_key("l", cluster)); !locked) return locked;
  if (matches()) session_->changes.leases[cluster] = Lease{std::nullopt, epoch};
  return {};
}

Result<bool> Statements::fence(const ClusterId& cluster, const std::string& scheduler,
                               std::int64_t epoch) {
  if (auto begun = begin_write("fence"); !begun) return pass(begun.error());
  if (db_.broken().no_fence) return true;
  // Of the scheduler's row, the statement sees what was there when it began.
  const auto* found = find(&K::schedulers, &W::schedulers, scheduler);
  if (found == nullptr) return false;
  const Timestamp deadline = found->deadline;
  const auto matches = [&] {
    const auto* row = find(&K::leases, &W::leases, cluster);
    return row != nullptr && row->holder == scheduler && row->epoch == epoch &&
           deadline > db_.now();
  };
  if (!matches()) return false;
  if (auto locked = db_.lock(*session_, row_key("l", cluster), false); !locked)
    return pass(locked.error());
  return matches();
}

Result<bool> Statements::advance_relay(std::int64_t from, std::int64_t to) {
  if (auto begun = begin_write("advance relay"); !begun) return pass(begun.error());
  const auto matches = [&] { return *find(&K::relayed, &W::relayed, 0) == from; };
  if (!matches()) return false;
  if (auto locked = lock("relay"); !locked) return pass(locked.error());
  if (!matches()) return false;
  session_->changes.relayed[0] = to;
  return true;
}

// Nothing is locked before the row itself: who writes without holding the cluster is refused when
// somebody else has taken the same index.
Result<std::optional<JournalMark>> Statements::append_journal(const ClusterId& cluster,
                                                              Timestamp at, bool checkpoint,
                                                              std::string_view payload) {
  using Answer = std::optional<JournalMark>;
  if (auto begun = begin_write("append to the journal"); !begun) return pass(begun.error());
  if (find(&K::clusters, &W::clusters, cluster) == nullptr) return Answer{};
  const JournalMark last = end_of_journal(cluster).value_or(JournalMark{0, at});
  const JournalMark next{last.index + 1, std::max(last.at, at)};
  const JournalKey key{cluster, next.index};
  if (auto locked = lock(row_key("j", cluster) + std::to_string(next.index)); !locked)
    return pass(locked.error());
  if (find(&K::journal, &W::journal, key) != nullptr)
    return refuse({Code::internal, "storage_failed", "A journal's index is taken."});
  session_->changes.journal[key] =
      JournalEntry{next.index, next.at, checkpoint, std::string(payload)};
  return Answer(next);
}

Result<bool> Statements::claim_reply(const std::string& scope, const std::string& key,
                                     const Digest& fingerprint, Timestamp) {
  if (auto begun = begin_write("claim reply"); !begun) return pass(begun.error());
  if (auto locked = lock("y" + scope + " " + key); !locked) return pass(locked.error());
  if (find(&K::replies, &W::replies, std::pair(scope, key)) != nullptr) return false;
  StoredReply reply;
  reply.fingerprint = fingerprint;
  session_->changes.replies[{scope, key}] = std::move(reply);
  return true;
}

Result<void> Statements::store_reply(const std::string& scope, const std::string& key,
                                     const StoredReply& reply, Timestamp) {
  if (auto begun = begin_write("store reply"); !begun) return begun;
  if (auto locked = lock("y" + scope + " " + key); !locked) return locked;
  session_->changes.replies[{scope, key}] = reply;
  return {};
}

}  // namespace berth::sim
