// Clusters and the capacity side of the ledger.
#include <map>

#include "store/sql/session.h"
#include "store/sql/spec_codec.h"

namespace berth::sql {
namespace {

Cluster read_cluster(Query& q) {
  Cluster c;
  c.id = q.id<ClusterId>();
  c.organization = q.id<OrganizationId>();
  c.name = q.text();
  c.runtime.kind = from_text<RuntimeKind>(q.text_view()).value_or(RuntimeKind::process);
  c.runtime.speed = q.real();
  c.policy = from_text<Policy>(q.text_view()).value_or(Policy::strict);
  c.placement = from_text<PlacementRule>(q.text_view()).value_or(PlacementRule::best_fit);
  if (const auto bound = q.maybe_integer()) c.age_bound = std::chrono::milliseconds(*bound);
  c.mix = decode_mix(q.text_view());
  c.paused = q.flag();
  c.next_order = static_cast<std::uint64_t>(q.integer());
  c.created_at = q.time();
  c.version = q.integer();
  return c;
}

Node read_node(Query& row) {
  Node node;
  node.name = row.text();
  node.gpu_model = row.text();
  node.capacity.cpu_milli = row.integer();
  node.capacity.memory_bytes = row.integer();
  node.capacity.gpu_milli = row.integer() * kGpuDevice;
  return node;
}

std::optional<std::int64_t> millis(const std::optional<std::chrono::milliseconds>& d) {
  return d ? std::optional(std::int64_t{d->count()}) : std::nullopt;
}

Error changed_meanwhile() {
  return {Code::aborted, "version_mismatch", "It was changed meanwhile; read it again and repeat."};
}

}  // namespace

Result<void> Session::load_nodes(Cluster& cluster) {
  auto q = db_->query(
      "SELECT name, gpu_model, cpu, memory, gpus FROM nodes WHERE cluster_id = ?1 ORDER BY "
      "ordinal");
  auto nodes = all<Node>(q.with(cluster.id), read_node);
  if (!nodes) return std::unexpected(std::move(nodes.error()));
  cluster.nodes = std::move(*nodes);
  return {};
}

Result<std::optional<Cluster>> Session::cluster(const ClusterId& id) {
  std::optional<Cluster> found;
  {
    auto q = db_->query(
        "SELECT id, org_id, name, runtime, speed, policy, placement, age_bound, mix, paused, "
        "next_order, created_at, version "
        "FROM clusters WHERE id = ?1");
    auto row = one<Cluster>(q.with(id), read_cluster);
    if (!row || !*row) return row;
    found = std::move(*row);
  }
  if (!found) return found;
  if (auto loaded = load_nodes(*found); !loaded) return std::unexpected(std::move(loaded.error()));
  return found;
}

Result<std::optional<Cluster>> Session::cluster_by_name(const OrganizationId& org,
                                                        std::string_view name) {
  std::optional<ClusterId> id;
  {
    auto q =
        db_->query("SELECT id FROM clusters WHERE org_id = ?1 AND {nocase name} = {nocase ?2}");
    auto row = one<ClusterId>(q.with(org, name), [](Query& r) { return r.id<ClusterId>(); });
    if (!row) return std::unexpected(std::move(row.error()));
    id = *row;
  }
  if (!id) return std::optional<Cluster>{};
  return cluster(*id);
}

Result<std::vector<Cluster>> Session::clusters(const std::vector<OrganizationId>& organizations,
                                               std::optional<ClusterId> after, std::size_t limit) {
  // One index scan per organization, merged: a page never reads more than it shows of each.
  std::map<ClusterId, Cluster> merged;
  for (const auto& org : organizations) {
    auto q = db_->query(
        "SELECT id, org_id, name, runtime, speed, policy, placement, age_bound, mix, paused, "
        "next_order, created_at, version "
        "FROM clusters WHERE org_id = ?1 AND id > ?2 ORDER BY id LIMIT ?3");
    auto rows = all<Cluster>(q.with(org, after.value_or(ClusterId{}), limit), read_cluster);
    if (!rows) return rows;
    for (auto& row : *rows) merged.emplace(row.id, std::move(row));
  }
  std::vector<Cluster> out;
  for (auto& [id, cluster] : merged) {
    if (out.size() == limit) break;
    if (auto loaded = load_nodes(cluster); !loaded) return std::unexpected(loaded.error());
    out.push_back(std::move(cluster));
  }
  return out;
}

Result<std::vector<Cluster>> Session::all_clusters() {
  std::vector<Cluster> out;
  {
    auto q = db_->query(
        "SELECT id, org_id, name, runtime, speed, policy, placement, age_bound, mix, paused, "
        "next_order, created_at, version "
        "FROM clusters ORDER BY id");
    auto rows = all<Cluster>(q, read_cluster);
    if (!rows) return rows;
    out = std::move(*rows);
  }
  // In the order of the clusters, so that each node finds its own by going on from the last.
  auto q = db_->query(
      "SELECT name, gpu_model, cpu, memory, gpus, cluster_id FROM nodes ORDER BY cluster_id, "
      "ordinal");
  auto cluster = out.begin();
  for (;;) {
    const auto more = q.step();
    if (!more) return std::unexpected(more.error());
    if (!*more) return out;
    Node node = read_node(q);
    const auto id = q.id<ClusterId>();
    while (cluster != out.end() && cluster->id < id) ++cluster;
    if (cluster != out.end() && cluster->id == id) cluster->nodes.push_back(std::move(node));
  }
}

Result<void> Session::insert(const Cluster& c) {
  auto inserted =
      done(db_->query("INSERT INTO clusters (id, org_id, name, runtime, speed, policy, "
                      "paused, next_order, created_at, version, placement, age_bound, mix) "
                      "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)")
               .with(c.id, c.organization, c.name, to_text(c.runtime.kind), c.runtime.speed,
                     to_text(c.policy), c.paused, c.next_order, c.created_at, c.version,
                     to_text(c.placement), millis(c.age_bound), encode_mix(c.mix))
               .run());
  return inserted ? resize(c.id, c.nodes) : inserted;
}

Result<void> Session::update(const Cluster& c) {
  const auto changed =
      db_->query(
             "UPDATE clusters SET name = ?2, policy = ?3, paused = ?4, version = ?5, "
             "placement = ?6, age_bound = ?7, mix = ?8 "
             "WHERE id = ?1 AND version = ?5 - 1")
          .with(c.id, c.name, to_text(c.policy), c.paused, c.version, to_text(c.placement),
                millis(c.age_bound), encode_mix(c.mix))
          .run();
  if (!changed) return std::unexpected(changed.error());
  if (*changed != 1) return std::unexpected(changed_meanwhile());
  return {};
}

Result<void> Session::resize(const ClusterId& cluster, const std::vector<Node>& nodes) {
  // Nodes that stay keep what is taken of them: free moves by the difference, and the CHECK refuses
  // a node that would become smaller than its reservations.
  auto forget =
      done(db_->query("UPDATE nodes SET ordinal = -1 WHERE cluster_id = ?1").with(cluster).run());
  if (!forget) return forget;
  std::int64_t ordinal = 0;
  for (const auto& node : nodes) {
    auto put = done(
        db_->query("INSERT INTO nodes (cluster_id, name, ordinal, gpu_model, cpu, memory, "
                   "gpus, free_cpu, free_memory) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?5, ?6) "
                   "ON CONFLICT (cluster_id, name) DO UPDATE SET ordinal = ?3, gpu_model = ?4, "
                   "free_cpu = nodes.free_cpu + ?5 - nodes.cpu, "
                   "free_memory = nodes.free_memory + ?6 - nodes.memory, "
                   "cpu = ?5, memory = ?6, gpus = ?7")
            .with(cluster, node.name, ordinal++, node.gpu_model, node.capacity.cpu_milli,
                  node.capacity.memory_bytes, node.devices())
            .run());
    if (!put) return put;
    put =
        done(db_->query("DELETE FROM gpus WHERE cluster_id = ?1 AND node = ?2 AND device >= ?3 AND "
                        "free = 1000")
                 .with(cluster, node.name, node.devices())
                 .run());
    if (!put) return put;
    for (std::int32_t device = 0; device < node.devices(); ++device) {
      put = done(
          db_->query("INSERT INTO gpus (cluster_id, node, device, free) VALUES (?1, ?2, ?3, 1000) "
                     "ON CONFLICT DO NOTHING")
              .with(cluster, node.name, device)
              .run());
      if (!put) return put;
    }
  }
  auto gone =
      done(db_->query("DELETE FROM nodes WHERE cluster_id = ?1 AND ordinal = -1 AND free_cpu = cpu "
                      "AND free_memory = memory")
               .with(cluster)
               .run());
  if (!gone) return gone;
  auto left = db_->query(
      "SELECT (SELECT count(*) FROM nodes WHERE cluster_id = ?1 AND ordinal = -1) + "
      "(SELECT count(*) FROM gpus g JOIN nodes n ON n.cluster_id = g.cluster_id AND "
      "n.name = g.node WHERE g.cluster_id = ?1 AND g.device >= n.gpus) + "
      "(SELECT count(*) FROM reservations r WHERE r.cluster_id = ?1 AND NOT EXISTS "
      "(SELECT 1 FROM nodes n WHERE n.cluster_id = ?1 AND n.name = r.node))");
  const auto row = left.with(cluster).step();
  if (!row) return std::unexpected(row.error());
  if (left.integer() != 0) {
    return fail(Code::failed_precondition, "capacity_in_use",
                "A node or GPU that would go is in use; stop what runs there first.");
  }
  return {};
}

Result<void> Session::remove_cluster(const ClusterId& cluster) {
  return done(db_->query("DELETE FROM clusters WHERE id = ?1").with(cluster).run());
}

Result<std::uint64_t> Session::take_orders(const ClusterId& cluster, std::uint64_t count) {
  auto q = db_->query(
      "UPDATE clusters SET next_order = next_order + ?2 WHERE id = ?1 RETURNING next_order");
  auto rows = all<std::uint64_t>(q.with(cluster, count), [&](Query& row) {
    return static_cast<std::uint64_t>(row.integer()) - count;
  });
  if (!rows) return std::unexpected(std::move(rows.error()));
  if (rows->empty()) return fail(Code::not_found, "not_found", "No such cluster.");
  return rows->front();
}

Result<std::optional<std::int64_t>> Session::hold(const ClusterId& cluster) {
  auto q = db_->query("SELECT version FROM clusters WHERE id = ?1 {for update}");
  return one<std::int64_t>(q.with(cluster), [](Query& row) { return row.integer(); });
}

}  // namespace berth::sql
