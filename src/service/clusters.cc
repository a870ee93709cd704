#include "service/clusters.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "scheduler/outlook.h"
#include "service/accounts.h"
#include "service/json_text.h"
#include "service/restore.h"

namespace berth {
namespace {

constexpr std::string_view kOnlyNode = "node-1";

Result<void> check_nodes(const std::vector<Node>& nodes, std::size_t most) {
  Error error{Code::invalid_argument, "invalid_request", "The nodes have mistakes."};
  if (nodes.empty())
    error.fields.push_back({"/nodes", "too_short", "A cluster has at least one node."});
  if (nodes.size() > most) {
    error.fields.push_back(
        {"/nodes", "too_many", fmt::format("A cluster has at most {} nodes.", most)});
  }
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < nodes.size() && error.fields.size() < 20; ++i) {
    const auto at = fmt::format("/nodes/{}", i);
    if (!is_name(nodes[i].name)) {
      error.fields.push_back({at + "/name", "invalid_format",
                              "A node's name has 1 to 63 letters, digits, '-', '_' or '.'."});
    } else if (!names.insert(nodes[i].name).second) {
      error.fields.push_back({at + "/name", "duplicate", "Two nodes have the same name."});
    }
    if (nodes[i].capacity.gpu_milli % kGpuDevice != 0) {
      error.fields.push_back(
          {at + "/resources/gpu", "invalid_quantity", "A node has a whole number of GPUs."});
    }
    if (nodes[i].capacity == Resources{}) {
      error.fields.push_back(
          {at + "/resources", "too_small", "A node has something to give: cpu, memory or gpu."});
    }
  }
  if (error.fields.empty()) return {};
  return std::unexpected(std::move(error));
}

std::string ids_text(const std::vector<DeploymentId>& ids) {
  std::string out;
  for (std::size_t i = 0; i < ids.size() && i < 10; ++i) out += (i == 0 ? "" : ", ") + ids[i].str();
  if (ids.size() > 10) out += fmt::format(" and {} more", ids.size() - 10);
  return out;
}

}  // namespace

Clusters::Clusters(ReadSide& reads, Committer& committer, Scheduling& scheduling, Runner& runner,
                   const Clock& clock, Random& random, ClusterRules rules)
    : reads_(reads),
      committer_(committer),
      scheduling_(scheduling),
      runner_(runner),
      clock_(clock),
      random_(random),
      rules_(std::move(rules)) {}

Task<Result<Once<Cluster>>> Clusters::create(Caller caller, ClusterWish wish,
                                             std::optional<IdempotencyKey> key,
                                             std::function<StoredReply(const Cluster&)> render) {
  const auto role =
      authorize(reads_, caller, wish.organization, Operation::cluster_create, "organization");
  if (!role) co_return std::unexpected(role.error());
  if (!is_name(wish.name)) {
    co_return fail_field("/name", "invalid_format",
                         "A name has 1 to 63 letters, digits, '-', '_' or '.'.");
  }
  if (std::find(rules_.runtimes.begin(), rules_.runtimes.end(), wish.runtime.kind) ==
      rules_.runtimes.end()) {
    std::string offered;
    for (const auto kind : rules_.runtimes)
      offered += fmt::format("{}{}", offered.empty() ? "" : ", ", to_text(kind));
    co_return fail_field("/runtime/kind", "not_offered",
                         fmt::format("This server does not offer the runtime {}; it offers: {}.",
                                     to_text(wish.runtime.kind), offered));
  }
  Cluster cluster;
  cluster.organization = wish.organization;
  cluster.name = wish.name;
  cluster.runtime = wish.runtime;
  cluster.policy = wish.policy;
  cluster.placement = wish.placement;
  cluster.age_bound = wish.age_bound;
  cluster.fair = wish.fair;
  cluster.nodes = std::move(wish.nodes);
  if (wish.totals) cluster.nodes = {Node{std::string(kOnlyNode), *wish.totals, ""}};
  if (cluster.nodes.empty()) {
    auto found = co_await runner_.capacity(cluster);
    if (!found) co_return std::unexpected(std::move(found.error()));
    for (auto& node : *found) cluster.nodes.push_back({node.name, node.resources, node.gpu_model});
  }
  if (auto fine = check_nodes(cluster.nodes, rules_.nodes); !fine) {
    co_return std::unexpected(std::move(fine.error()));
  }
  std::move_only_function<Result<Cluster>(Change&)> unit =
      [this, caller, cluster](Change& change) mutable -> Result<Cluster> {
    cluster.id = ClusterId::make(change.now, random_);
    cluster.created_at = change.now;
    JsonText data;
    data.add("name", cluster.name)
        .add("runtime", to_text(cluster.runtime.kind))
        .add("nodes", cluster.nodes.size());
    auto step = change.tx.insert(cluster);
    if (!step && step.error().reason == "name_taken")
      step.error().fields.push_back({"/name", "name_taken", step.error().message});
    if (step)
      step = change.record(caller.actor(), "cluster.created", cluster.organization, cluster.id,
                           data.str());
    if (!step) return std::unexpected(std::move(step.error()));
    return cluster;
  };
  co_return co_await committer_.write<Once<Cluster>>(
      once<Cluster>(std::move(key), std::move(render), std::move(unit)));
}

Result<std::vector<Cluster>> Clusters::list(const Caller& caller, std::optional<OrganizationId> org,
                                            std::optional<ClusterId> after, std::size_t limit) {
  std::vector<OrganizationId> organizations;
  if (org) {
    auto role = authorize(reads_, caller, *org, Operation::cluster_list, "organization");
    if (!role) return std::unexpected(std::move(role.error()));
    organizations.push_back(*org);
  } else {
    auto mine = reads_.memberships(caller.principal.user);
    if (!mine) return std::unexpected(std::move(mine.error()));
    for (const auto& [id, role] : **mine) organizations.push_back(id);
  }
  auto view = reads_.view();
  if (!view) return std::unexpected(std::move(view.error()));
  return (*view)->clusters(organizations, after, limit);
}

Result<std::shared_ptr<const Cluster>> Clusters::get(const Caller& caller, const ClusterId& id,
                                                     Operation operation) {
  auto cluster = reads_.cluster(id);
  if (!cluster) return cluster;
  if (!*cluster) return not_found("cluster");
  if (auto fine = authorize(reads_, caller, **cluster, operation); !fine)
    return std::unexpected(std::move(fine.error()));
  return cluster;
}

// What this cluster was asked for lately, for placement by fragmentation.
Result<void> Clusters::apply_rules(Change& change, Cluster& cluster, const ClusterPatch& patch) {
  constexpr std::size_t kLately = 1'000;
  constexpr int kPercent = 95;  // what is asked for rarely would cost more than it tells
  if (patch.policy) cluster.policy = *patch.policy;
  if (patch.age_bound) cluster.age_bound = *patch.age_bound;
  if (patch.fair) cluster.fair = *patch.fair;
  if (!patch.placement) return {};
  cluster.placement = *patch.placement;
  cluster.mix.clear();
  if (cluster.placement != PlacementRule::fgd) return {};
  DeploymentFilter lately;
  lately.organizations = {cluster.organization};
  for (const Share& share : cluster.shares) {
    if (share.tenant != 0) lately.organizations.push_back(share.organization);
  }
  lately.cluster = cluster.id;
  lately.limit = kLately;
  auto rows = change.tx.deployments(lately);
  if (!rows) return std::unexpected(std::move(rows.error()));
  std::vector<Resources> demands;
  for (const auto& d : *rows) demands.push_back(d.spec.resources);
  for (const auto& kind : TaskMix::of(demands, kPercent).kinds)
    cluster.mix.push_back({kind.demand, kind.weight});
  return {};
}

Result<void> Clusters::apply_patch(Change& change, Cluster& cluster, const ClusterPatch& patch) {
  if (patch.name) cluster.name = *patch.name;
  const Rules before = rules_of(cluster);
  if (auto done = apply_rules(change, cluster, patch); !done) return done;
  if (auto rules = rules_of(cluster); rules != before)
    change.tell(cluster.id, RulesChanged{std::move(rules)});
  std::optional<std::vector<Node>> nodes = patch.nodes;
  if (patch.totals) {
    if (cluster.nodes.size() != 1) {
      return fail_field("/resources", "several_nodes",
                        "This cluster has several nodes; give the list under 'nodes'.");
    }
    nodes = cluster.nodes;
    nodes->front().capacity = *patch.totals;
  }
  if (auto written = change.tx.update(cluster); !written) {
    if (written.error().reason == "name_taken") {
      written.error().fields.push_back({"/name", "name_taken", written.error().message});
    }
    return written;
  }
  if (!nodes) return {};
  if (auto fine = check_nodes(*nodes, rules_.nodes); !fine) return fine;
  auto active = change.tx.active(cluster.id);
  if (!active) return std::unexpected(std::move(active.error()));
  if (const auto used = used_beyond(cluster, *active, *nodes); !used.empty()) {
    return fail(Code::failed_precondition, "capacity_in_use",
                fmt::format("These run on what would go; stop them first: {}.", ids_text(used)));
  }
  cluster.nodes = *nodes;
  if (auto resized = change.tx.resize(cluster.id, *nodes); !resized) return resized;
  change.tell(cluster.id, Resized{*nodes});
  return {};
}

Task<Result<Cluster>> Clusters::update(Caller caller, ClusterId id, ClusterPatch patch) {
  auto seen = get(caller, id, Operation::cluster_update);
  if (!seen) co_return std::unexpected(std::move(seen.error()));
  if (patch.name && !is_name(*patch.name)) {
    co_return fail_field("/name", "invalid_format",
                         "A name has 1 to 63 letters, digits, '-', '_' or '.'.");
  }
  std::move_only_function<Result<Cluster>(Change&)> unit =
      [this, caller, id, patch](Change& change) -> Result<Cluster> {
    if (auto held = change.hold(id); !held) return std::unexpected(std::move(held.error()));
    auto row = change.tx.cluster(id);
    if (!row) return std::unexpected(std::move(row.error()));
    if (!*row) return not_found("cluster");
    Cluster cluster = std::move(**row);
    if (auto same = still_at(cluster.version, patch.if_version, "cluster"); !same)
      return std::unexpected(std::move(same.error()));
    cluster.version += 1;
    if (auto done = apply_patch(change, cluster, patch); !done)
      return std::unexpected(std::move(done.error()));
    Resources total;
    for (const auto& node : cluster.nodes) total += node.capacity;
    JsonText data;
    data.add("name", cluster.name)
        .add("nodes", cluster.nodes.size())
        .add_raw("capacity", resources_json(total));
    data.add("policy", to_text(cluster.policy)).add("placement", to_text(cluster.placement));
    data.add("fair", cluster.fair);
    if (cluster.age_bound) data.add("age_bound_ms", cluster.age_bound->count());
    auto noted =
        change.record(caller.actor(), "cluster.updated", cluster.organization, id, data.str());
    if (!noted) return std::unexpected(std::move(noted.error()));
    change.after([this, id] { reads_.changed(id); });
    return cluster;
  };
  co_return co_await committer_.write<Cluster>(std::move(unit), id);
}

Task<Result<Cluster>> Clusters::set_paused(Caller caller, ClusterId id, bool paused) {
  auto seen = get(caller, id, Operation::cluster_pause);
  if (!seen) co_return std::unexpected(std::move(seen.error()));
  std::move_only_function<Result<Cluster>(Change&)> unit =
      [this, caller, id, paused](Change& change) -> Result<Cluster> {
    if (auto held = change.hold(id); !held) return std::unexpected(std::move(held.error()));
    auto row = change.tx.cluster(id);
    if (!row) return std::unexpected(std::move(row.error()));
    if (!*row) return not_found("cluster");
    Cluster cluster = std::move(**row);
    if (cluster.paused == paused) return cluster;
    cluster.paused = paused;
    cluster.version += 1;
    auto step = change.tx.update(cluster);
    if (step) {
      step = change.record(caller.actor(), paused ? "cluster.paused" : "cluster.resumed",
                           cluster.organization, id, "{}");
    }
    if (!step) return std::unexpected(std::move(step.error()));
    change.tell(id, PauseChanged{paused});
    change.after([this, id] { reads_.changed(id); });
    return cluster;
  };
  co_return co_await committer_.write<Cluster>(std::move(unit), id);
}

Task<Result<void>> Clusters::remove(Caller caller, ClusterId id,
                                    std::optional<std::int64_t> if_version) {
  auto seen = get(caller, id, Operation::cluster_delete);
  if (!seen) co_return std::unexpected(std::move(seen.error()));
  std::move_only_function<Result<void>(Change&)> unit =
      [this, caller, id, if_version](Change& change) -> Result<void> {
    if (auto held = change.hold(id); !held) return std::unexpected(std::move(held.error()));
    auto row = change.tx.cluster(id);
    if (!row) return std::unexpected(std::move(row.error()));
    if (!*row) return not_found("cluster");
    if (auto same = still_at((*row)->version, if_version, "cluster"); !same) return same;
    std::vector<DeploymentId> inside;
    auto active = change.tx.active(id);
    if (!active) return std::unexpected(std::move(active.error()));
    for (const auto& d : *active) inside.push_back(d.id);
    auto waiting =
        change.tx.for_each_waiting(id, [&](const WaitingRow& w) { inside.push_back(w.id); });
    if (!waiting) return waiting;
    if (!inside.empty()) {
      return fail(Code::failed_precondition, "cluster_in_use",
                  fmt::format("{} deployments wait or run there; stop them first: {}.",
                              inside.size(), ids_text(inside)));
    }
    JsonText data;
    data.add("name", (*row)->name);
    auto step =
        change.record(caller.actor(), "cluster.deleted", (*row)->organization, id, data.str());
    if (step) step = change.tx.remove_cluster(id);
    if (!step) return step;
    scheduling_.drop(id);
    change.after([this, id] {
      reads_.changed(id);
      runner_.close(id);
    });
    return {};
  };
  co_return co_await committer_.write(std::move(unit), id);
}

Task<Result<EngineStatus>> Clusters::measure(ClusterId id) {
  std::move_only_function<Result<EngineStatus>()> look = [this, id]() -> Result<EngineStatus> {
    auto view = reads_.view();
    if (!view) return std::unexpected(std::move(view.error()));
    auto engine = scheduling_.engine(**view, id);
    if (!engine) return std::unexpected(std::move(engine.error()));
    return (*engine)->status();
  };
  co_return co_await committer_.inspect<Result<EngineStatus>>(std::move(look));
}

Task<Result<ClusterStatus>> Clusters::status(Caller caller, ClusterId id) {
  auto cluster = get(caller, id, Operation::cluster_status);
  if (!cluster) co_return std::unexpected(std::move(cluster.error()));
  struct Figures {
    EngineStatus status;
    std::vector<TenantNow> tenants;
    Timestamp at;
  };
  const bool shared = !(*cluster)->shares.empty();
  auto engine = co_await ask_engine<Figures>(
      reads_, committer_, scheduling_, id,
      [this, shared](ReadView&, const ClusterEngine& live) -> Result<Figures> {
        return Figures{live.status(), shared ? live.tenants() : std::vector<TenantNow>{},
                       clock_.now()};
      });
  if (!engine) co_return std::unexpected(std::move(engine.error()));
  std::vector<QuotaRow> quotas;
  if (shared) {
    auto view = reads_.view();
    if (!view) co_return std::unexpected(std::move(view.error()));
    auto rows = quota_rows(**view, **cluster, engine->value.tenants, false);
    if (!rows) co_return std::unexpected(std::move(rows.error()));
    quotas = std::move(*rows);
  }
  auto health = co_await runner_.health(id);
  co_return ClusterStatus{**cluster,         std::move(engine->value.status),
                          std::move(quotas), std::move(health),
                          engine->index,     engine->value.at};
}

QueuePlace place_of(const QueueEntry& entry) {
  const bool parked = entry.position == 0;
  return {(parked ? 2 : 0) + (entry.priority == Priority::low ? 1 : 0), entry.order};
}

namespace {

// The number, from 1 on, of the first entry behind a place: by halving, since the list is in that
// order.
std::size_t first_behind(const ClusterEngine& engine, const QueuePlace& place) {
  const auto status = engine.status();
  std::size_t low = 1, high = status.high_waiting + status.low_waiting + status.parked + 1;
  while (low < high) {
    const std::size_t middle = low + (high - low) / 2;
    const auto entry = engine.queue(middle, 1);
    if (!entry.empty() && place_of(entry.front()) <= place) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

}  // namespace

std::vector<QueueEntry> queue_behind(const ClusterEngine& engine,
                                     const std::optional<QueuePlace>& after, std::size_t limit) {
  return engine.queue(after ? first_behind(engine, *after) : 1, limit);
}

Task<Result<QueuePage>> Clusters::queue(Caller caller, ClusterId id,
                                        std::optional<QueuePlace> after, std::size_t limit) {
  auto cluster = get(caller, id, Operation::cluster_queue);
  if (!cluster) co_return std::unexpected(std::move(cluster.error()));
  struct Entries {
    std::vector<QueueEntry> list;
    Outlook::Starts starts;
    Timestamp at;
  };
  std::function<Result<Entries>(ReadView&, const ClusterEngine&)> look =
      [this, id, after, limit](ReadView&, const ClusterEngine& engine) -> Result<Entries> {
    const Timestamp at = clock_.now();
    return Entries{queue_behind(engine, after, limit),
                   scheduling_.outlook(id).promise(engine, engine_time(engine, at)), at};
  };
  auto seen = co_await ask_engine<Entries>(reads_, committer_, scheduling_, id, std::move(look));
  if (!seen) co_return std::unexpected(std::move(seen.error()));
  auto memberships = reads_.memberships(caller.principal.user);
  if (!memberships) co_return std::unexpected(std::move(memberships.error()));
  QueuePage out;
  out.index = seen->index;
  out.at = seen->value.at;
  for (auto& entry : seen->value.list) {
    auto row = reads_.deployment(entry.id);
    if (!row) co_return std::unexpected(std::move(row.error()));
    if (!*row) continue;  // deleted since
    const bool mine = is_member(**memberships, (*row)->organization);
    out.items.push_back({entry, mine ? (*row)->name : "", mine, (*row)->created_at,
                         (*row)->retry_at, seen->value.starts.of(entry.id), (*row)->spec.replicas});
  }
  co_return out;
}

Task<Result<Seen<Clusters::Copy>>> Clusters::copy_of_engine(Caller caller, ClusterId id) {
  auto cluster = get(caller, id, Operation::cluster_plan);
  if (!cluster) co_return std::unexpected(std::move(cluster.error()));
  std::function<Result<Copy>(ReadView&, const ClusterEngine&)> copy =
      [this](ReadView&, const ClusterEngine& engine) -> Result<Copy> {
    return Copy{engine.clone(), engine_time(engine, clock_.now())};
  };
  co_return co_await ask_engine<Copy>(reads_, committer_, scheduling_, id, std::move(copy));
}

Task<Result<Seen<Plan>>> Clusters::plan(Caller caller, ClusterId id,
                                        std::vector<PlanCommand> commands) {
  auto copy = co_await copy_of_engine(std::move(caller), id);
  if (!copy) co_return std::unexpected(std::move(copy.error()));
  co_return Seen<Plan>{berth::plan(copy->value.engine, commands, copy->value.now), copy->index};
}

Task<Result<Seen<Foresight>>> Clusters::simulate(Caller caller, ClusterId id,
                                                 std::vector<TimedCommand> commands,
                                                 std::chrono::milliseconds horizon) {
  auto copy = co_await copy_of_engine(std::move(caller), id);
  if (!copy) co_return std::unexpected(std::move(copy.error()));
  co_return Seen<Foresight>{foresee(copy->value.engine, commands, copy->value.now, horizon.count()),
                            copy->index};
}

Result<std::map<DeploymentId, std::string>> Clusters::names(const Caller& caller,
                                                            const std::set<DeploymentId>& ids) {
  auto mine = reads_.memberships(caller.principal.user);
  if (!mine) return std::unexpected(std::move(mine.error()));
  std::map<DeploymentId, std::string> out;
  for (const auto& id : ids) {
    auto row = reads_.deployment(id);
    if (!row) return std::unexpected(std::move(row.error()));
    if (*row && is_member(**mine, (*row)->organization)) out.emplace(id, (*row)->name);
  }
  return out;
}

Result<std::uint32_t> Clusters::tenant(const Caller& caller, const ClusterId& id,
                                       const std::optional<OrganizationId>& asked,
                                       const std::string& pointer) {
  auto cluster = get(caller, id, Operation::cluster_plan);
  if (!cluster) return std::unexpected(std::move(cluster.error()));
  auto whose = acting_for(reads_, caller, **cluster, asked, Operation::cluster_plan, pointer);
  if (!whose) return std::unexpected(std::move(whose.error()));
  return tenant_of(**cluster, *whose).value_or(0);
}

}  // namespace berth
