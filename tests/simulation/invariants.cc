#include "simulation/invariants.h"

#include <fmt/format.h>

#include <algorithm>

namespace berth::sim {
namespace {

// From the state (empty: none yet) to those that may follow.
const std::map<std::string, std::set<std::string>> kMayFollow{
    {"", {"queued"}},
    {"queued", {"starting", "cancelled"}},
    {"starting", {"running", "stopping", "preempting", "queued", "succeeded", "failed"}},
    {"running", {"stopping", "preempting", "queued", "succeeded", "failed"}},
    {"preempting", {"queued", "stopping"}},
    {"stopping", {"stopped"}},
    {"stopped", {}},
    {"succeeded", {}},
    {"failed", {}},
    {"cancelled", {}}};

bool is_active(const std::string& state) {
  return state == "starting" || state == "running" || state == "stopping" || state == "preempting";
}

// Low ones may start although high ones wait.
bool fills_in(const Tables& now, const ClusterId& cluster) {
  const auto found = now.clusters.find(cluster);
  return found != now.clusters.end() &&
         (backfills(found->second.policy) || found->second.age_bound.has_value());
}

struct Use {
  std::int64_t cpu = 0, memory = 0;
  std::map<std::int32_t, std::int64_t> devices;
  void add(const Grant& grant) {
    cpu += grant.resources.cpu_milli;
    memory += grant.resources.memory_bytes;
    for (const auto& share : grant.gpus) devices[share.device] += share.milli;
  }
};

}  // namespace

std::int64_t copies_now(const LedgerNode& node, const Resources& demand) {
  std::int64_t out = kMostReplicas;
  if (demand.cpu_milli > 0) out = std::min(out, node.free_cpu / demand.cpu_milli);
  if (demand.memory_bytes > 0) out = std::min(out, node.free_memory / demand.memory_bytes);
  if (demand.gpu_milli == 0) return out;
  std::int64_t devices = 0;
  for (const std::int64_t free : node.device_free)
    devices += demand.gpu_milli < 1000 ? free / demand.gpu_milli : free / 1000;
  return std::min(out, demand.gpu_milli < 1000 ? devices : devices * 1000 / demand.gpu_milli);
}

std::int64_t copies_when_empty(const Node& node, const Resources& demand) {
  const auto& has = node.capacity;
  return copies_now({node, 0, has.cpu_milli, has.memory_bytes,
                     std::vector<std::int64_t>(static_cast<std::size_t>(node.devices()), 1000)},
                    demand);
}

void Invariants::breaks(const std::string& invariant, const std::string& detail) {
  if (!broken_.empty()) return;
  broken_ = invariant + ": " + detail;
  simulator_.tell("BROKEN", [&] { return broken_; });
}

void Invariants::committed(const Session& session, const Tables& now, std::int64_t first_event) {
  for (auto i = static_cast<std::size_t>(first_event) - 1; i < now.events.size(); ++i)
    take_event(session, now, now.events[i]);
  check_rows(session);
  check_ledger(now);
  check_leases(session);
  check_journal(session, now, first_event);
}

void Invariants::take_event(const Session& session, const Tables& now, const Event& event) {
  if (event.seq != last_seq_ + 1)
    breaks("no gaps in the history", fmt::format("{} follows {}", event.seq, last_seq_));
  last_seq_ = event.seq;
  ++kinds_[event.kind];
  simulator_.tell("event", [&] {
    return fmt::format("{} {} {} by {}", event.seq, event.kind,
                       event.deployment ? event.deployment->str() : "", session.who);
  });
  if (!event.deployment) return;
  auto& told = told_[*event.deployment];
  const std::string what = event.kind.substr(std::string("deployment.").size());
  if (what == "retrying") {
    told.parked = false;
  } else if (what == "priority_changed") {
    told.priority = event.data.contains(R"("to":"high")") ? Priority::high : Priority::low;
  } else if (what == "deleted") {
    if (!kMayFollow.at(told.state).empty())
      breaks("only what has ended is deleted", event.deployment->str() + " is " + told.state);
    told.deleted = true;
  } else if (what == "dependency_met") {
    if (--told.unmet < 0)
      breaks("each dependency is met once", event.deployment->str() + " hears of one too many");
  } else if (what != "noted" && what != "awaited" && !what.starts_with("replica_")) {
    move(now, event, what);
    if (what == "starting") check_start(session, now, event, told);
    if (what == "preempting") check_eviction(now, event, told);
  }
}

void Invariants::move(const Tables& now, const Event& event, const std::string& to) {
  auto& told = told_[*event.deployment];
  const auto row = kMayFollow.find(told.state);
  if (row == kMayFollow.end() || !row->second.contains(to)) {
    breaks("states move along the table",
           fmt::format("{}: {} -> {}", event.deployment->str(), told.state, to));
  }
  if (told.state.empty()) {
    const auto found = now.deployments.find(*event.deployment);
    if (found == now.deployments.end())
      return breaks("an event has its row", event.deployment->str());
    const auto& d = *found->second;
    told.cluster = d.cluster;
    told.priority = d.priority;
    told.demand = d.spec.resources;
    told.unmet = static_cast<std::int32_t>(std::ranges::count_if(
        now.dependencies, [&](const auto& one) { return one.first.first == *event.deployment; }));
    told.replicas = d.spec.replicas;
  }
  told.state = to;
  told.parked = to == "queued" && event.data.contains("\"retry_at\"");
  if (to == "starting") ++told.attempt;
  ++transitions_;
}

void Invariants::check_start(const Session& session, const Tables& now, const Event& event,
                             const Story& started) {
  const auto lease = now.leases.find(started.cluster);
  if (lease == now.leases.end() || lease->second.holder != session.who) {
    breaks("only the current epoch decides",
           fmt::format(
               "{} starts {}, but {} holds the cluster", session.who, event.deployment->str(),
               lease == now.leases.end() ? "nobody" : lease->second.holder.value_or("nobody")));
  }
  const auto row = now.deployments.find(*event.deployment);
  if (row != now.deployments.end() && row->second->grant &&
      row->second->attempt == started.attempt) {
    if (row->second->gang.more.size() + 1 != static_cast<std::size_t>(started.replicas))
      breaks("all replicas start together or none", event.deployment->str());
    for (const auto& key : row->second->attempt_keys())
      granted_[key] = row->second->grant_of(key.replica);
  }
  if (started.unmet > 0)
    breaks("nothing starts before what it depends on", event.deployment->str());
  if (started.priority == Priority::high || fills_in(now, started.cluster)) return;
  // Where there are quotas, high ones that wait for theirs hold up nobody; whether they did at that
  // moment the committed rows do not tell. The check at rest does, and so does the replay.
  const auto has_quotas = [&](const auto& share) { return share.first.first == started.cluster; };
  if (std::ranges::any_of(now.shares, has_quotas)) return;
  const auto feasible = [&](const Story& other) {
    std::int64_t copies = 0;
    for (const auto& [key, node] : now.nodes) {
      if (key.first == other.cluster) copies += copies_when_empty(node.node, other.demand);
    }
    return copies >= other.replicas;
  };
  for (const auto& [id, other] : told_) {
    if (other.cluster == started.cluster && other.state == "queued" && !other.deleted &&
        !other.parked && other.unmet == 0 && other.priority == Priority::high && feasible(other)) {
      breaks("nothing low starts while a high one waits",
             fmt::format("{} starts while {} waits", event.deployment->str(), id.str()));
    }
  }
}

// Who goes is low, runs on a cluster that displaces, and goes for a high one that waits there.
void Invariants::check_eviction(const Tables& now, const Event& event, const Story& evicted) {
  const auto row = now.deployments.find(*event.deployment);
  if (row == now.deployments.end() || !row->second->displaced_for) return;  // has come further
  const auto whom = told_.find(*row->second->displaced_for);
  const auto cluster = now.clusters.find(evicted.cluster);
  const bool rightly = cluster != now.clusters.end() && preempts(cluster->second.policy) &&
                       evicted.priority == Priority::low && whom != told_.end() &&
                       whom->second.priority == Priority::high &&
                       whom->second.cluster == evicted.cluster;
  if (!rightly) {
    breaks(
        "only a high one displaces a low one, where the policy says so",
        fmt::format("{} goes for {}", event.deployment->str(), row->second->displaced_for->str()));
  }
}

void Invariants::check_rows(const Session& session) {
  for (const auto& [id, row] : session.changes.deployments) {
    auto& told = told_[id];
    if (!row) {
      if (!told.deleted) breaks("rows and history agree", id.str() + " is gone without an event");
      continue;
    }
    const Deployment& d = **row;
    if (to_text(d.state) != told.state || d.attempt != told.attempt ||
        d.retry_at.has_value() != told.parked || d.unmet != told.unmet ||
        d.priority != told.priority) {
      breaks("rows and history agree",
             fmt::format("{} is {} with attempt {}, told {} with {}", id.str(), to_text(d.state),
                         d.attempt, told.state, told.attempt));
    }
    if (d.version <= told.version)
      breaks("versions grow", fmt::format("{}: {}", id.str(), d.version));
    told.version = d.version;
  }
}

void Invariants::check_ledger(const Tables& now) {
  std::map<NodeKey, Use> reserved;
  std::size_t active = 0;
  for (const auto& [id, d] : now.deployments) {
    if (!is_active(std::string(to_text(d->state)))) continue;
    active += static_cast<std::size_t>(d->spec.replicas);
    for (const auto& key : d->attempt_keys()) {
      const auto found = now.reservations.find({id, key.replica});
      if (found == now.reservations.end() || found->second.attempt != d->attempt || !d->grant ||
          found->second.grant != d->grant_of(key.replica))
        breaks("each replica of an active attempt has one reservation", key.str());
    }
  }
  if (active != now.reservations.size())
    breaks("each reservation has an active attempt",
           fmt::format("{} active, {} reservations", active, now.reservations.size()));
  for (const auto& [key, r] : now.reservations) reserved[{r.cluster, r.grant.node}].add(r.grant);
  for (const auto& [key, use] : reserved) {
    if (!now.nodes.contains(key)) breaks("conservation", "a reservation on no node " + key.second);
  }
  for (const auto& [key, node] : now.nodes) {
    auto& use = reserved[key];
    const auto& has = node.node.capacity;
    if (node.free_cpu < 0 || node.free_memory < 0 || node.free_cpu + use.cpu != has.cpu_milli ||
        node.free_memory + use.memory != has.memory_bytes) {
      breaks("conservation", fmt::format("node {}: cpu {} + {} of {}", key.second, node.free_cpu,
                                         use.cpu, has.cpu_milli));
    }
    for (std::size_t i = 0; i < node.device_free.size(); ++i) {
      const auto taken = use.devices[static_cast<std::int32_t>(i)];
      if (node.device_free[i] < 0 || node.device_free[i] + taken != 1000)
        breaks("conservation", fmt::format("node {} device {}", key.second, i));
    }
  }
}

void Invariants::check_leases(const Session& session) {
  for (const auto& [cluster, lease] : session.changes.leases) {
    if (!lease) continue;
    auto& epoch = epochs_[cluster];
    if (lease->epoch < epoch) breaks("epochs never shrink", cluster.str());
    epoch = lease->epoch;
  }
}

// Each entry follows the one before, by whoever decides; replayed it comes out the same; and what
// started in the commit is what it says.
void Invariants::check_journal(const Session& session, const Tables& now,
                               std::int64_t first_event) {
  std::map<ClusterId, std::size_t> starts;
  for (auto i = static_cast<std::size_t>(first_event) - 1; i < now.events.size(); ++i) {
    const Event& event = now.events[i];
    if (event.kind == "deployment.starting" && event.cluster) ++starts[*event.cluster];
  }
  for (const auto& [key, entry] : session.changes.journal) {
    const auto& [cluster, index] = key;
    if (!entry) continue;  // deleted with its cluster
    const auto lease = now.leases.find(cluster);
    if (lease == now.leases.end() || lease->second.holder != session.who)
      breaks("only who decides writes the journal", session.who + " writes " + cluster.str());
    auto& replay = replays_.try_emplace(cluster, journal::Mode::compare).first->second;
    if (index != replay.index() + 1)
      breaks("the journal has no gaps", fmt::format("{} after {}", index, replay.index()));
    const std::size_t before = replay.counts().starts;
    if (const auto done = replay.take(index, entry->payload); !done)
      return breaks("the journal explains every decision", done.error().message);
    const std::size_t said = replay.counts().starts - before;
    if (said != starts[cluster]) {
      breaks("the journal has every start",
             fmt::format("entry {} has {} starts, {} events say so", index, said, starts[cluster]));
    }
    starts.erase(cluster);
  }
  for (const auto& [cluster, count] : starts) {
    if (count > 0) breaks("the journal has every start", cluster.str() + " has no entry");
  }
}

void Invariants::started(const ClusterId& cluster, const Launch& launch) {
  const auto granted = granted_.find(launch.key);
  if (granted == granted_.end())
    return breaks("what starts was decided in a commit", launch.key.str());
  if (granted->second != launch.grant)
    return breaks("an attempt is started with its own grant", launch.key.str());
  Use use;
  for (const auto& [key, other] : workloads_->all()) {
    if (other.phase == Phase::exited) continue;
    if (key.deployment == launch.key.deployment && key.number != launch.key.number)
      breaks("two attempts of a deployment never run at once",
             launch.key.str() + " beside " + key.str());
    if (other.cluster == cluster && other.launch.grant.node == launch.grant.node)
      use.add(other.launch.grant);
  }
  const auto& nodes = database_.tables().nodes;
  const auto node = nodes.find({cluster, launch.grant.node});
  if (node == nodes.end()) return breaks("what runs has its node", launch.key.str());
  const auto& has = node->second.node.capacity;
  const bool devices = std::ranges::all_of(use.devices, [&](const auto& device) {
    return device.second <= 1000 && device.first * 1000 < has.gpu_milli;
  });
  if (use.cpu > has.cpu_milli || use.memory > has.memory_bytes || !devices) {
    breaks("what runs fits its node", fmt::format("{} on {}: cpu {} of {}", launch.key.str(),
                                                  launch.grant.node, use.cpu, has.cpu_milli));
  }
}

void Invariants::stopped(const AttemptKey& asked, const AttemptKey& hit) {
  if (asked != hit) breaks("a stop hits its own attempt", asked.str() + " hit " + hit.str());
  const auto& rows = database_.tables().deployments;
  const auto found = rows.find(hit.deployment);
  if (found == rows.end()) return;
  const auto& d = *found->second;
  if (d.attempt == hit.number && holds_resources(d.state) && !d.is_ending() &&
      !d.is_over(hit.replica))
    breaks("nobody is stopped unasked", fmt::format("{} is {}", hit.str(), to_text(d.state)));
}

void Invariants::acknowledged(const Deployment& d) {
  const auto found = told_.find(d.id);
  if (found == told_.end() || found->second.state.empty()) {
    breaks("what was answered exists", d.id.str());
  } else if (!found->second.deleted && found->second.version < d.version) {
    breaks("what was answered exists", fmt::format("{} version {}", d.id.str(), d.version));
  }
}

}  // namespace berth::sim
