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
  c.fair = q.flag();
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
  node.labels = decode_labels(row.text_view());
  return node;
}

std::optional<Resources> read_limit(Query& row) {
  const auto cpu = row.maybe_integer(), memory = row.maybe_integer(), gpu = row.maybe_integer();
  if (!cpu || !memory || !gpu) return std::nullopt;
  return Resources{*cpu, *memory, *gpu};
}

Share read_share(Query& row) {
  Share share;
  share.organization = row.id<OrganizationId>();
  share.tenant = static_cast<std::uint32_t>(row.integer());
  share.quota = read_limit(row);
  share.borrowing = read_limit(row);
  return share;
}

std::optional<std::int64_t> part_of(const std::optional<Resources>& limit,
                                    std::int64_t Resources::* resource) {
  return limit ? std::optional((*limit).*resource) : std::nullopt;
}

std::optional<std::int64_t> millis(const std::optional<std::chrono::milliseconds>& d) {
  return d ? std::optional(std::int64_t{d->count()}) : std::nullopt;
}

// Gives each cluster its rows; both come in the order of the clusters, so that each row finds its
// own by going on from the last.
template <class T, class Read>
Result<void> hand_out(Query q, Read read, std::vector<T> Cluster::* list,
                      std::vector<Cluster>& clusters) {
  auto cluster = clusters.begin();
  for (;;) {
    const auto more = q.step();
    if (!more) return std::unexpected(more.error());
    if (!*more) return {};
    T row = read(q);
    const auto id = q.id<ClusterId>();
    while (cluster != clusters.end() && cluster->id < id) ++cluster;
    if (cluster != clusters.end() && cluster->id == id)
      ((*cluster).*list).push_back(std::move(row));
  }
}

Error changed_meanwhile() {
  return {Code::aborted, "version_mismatch", "It was changed meanwhile; read it again and repeat."};
}

}  // namespace

Result<void> Session::load_nodes(Cluster& cluster) {
  auto q = db_->query(
      "SELECT name, gpu_model, cpu, memory, gpus, labels FROM nodes WHERE cluster_id = ?1 ORDER BY "
      "ordinal");
  auto nodes = all<Node>(q.with(cluster.id), read_node);
  if (!nodes) return std::unexpected(std::move(nodes.error()));
  cluster.nodes = std::move(*nodes);
  return {};
}

Result<void> Session::load_shares(Cluster& cluster) {
  auto q = db_->query(
      "SELECT org_id, tenant, cpu, memory, gpu, borrow_cpu, borrow_memory, borrow_gpu "
      "FROM cluster_shares WHERE cluster_id = ?1 AND shared ORDER BY tenant");
  auto shares = all<Share>(q.with(cluster.id), read_share);
  if (!shares) return std::unexpected(std::move(shares.error()));
  cluster.shares = std::move(*shares);
  return {};
}

Result<std::optional<Cluster>> Session::cluster(const ClusterId& id) {
  std::optional<Cluster> found;
  {
    auto q = db_->query(
        "SELECT id, org_id, name, runtime, speed, policy, placement, age_bound, mix, fair, paused, "
        "next_order, created_at, version "
        "FROM clusters WHERE id = ?1");
    auto row = one<Cluster>(q.with(id), read_cluster);
    if (!row || !*row) return row;
    found = std::move(*row);
  }
  if (!found) return found;
  if (auto loaded = load_nodes(*found); !loaded) return std::unexpected(std::move(loaded.error()));
  if (auto loaded = load_shares(*found); !loaded) return std::unexpected(std::move(loaded.error()));
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
  // Index scans for each organization, merged: a page never reads more than it shows of each.
  constexpr const char* kOwn =
      "SELECT id, org_id, name, runtime, speed, policy, placement, age_bound, mix, fair, paused, "
      "next_order, created_at, version "
      "FROM clusters WHERE org_id = ?1 AND id > ?2 ORDER BY id LIMIT ?3";
  constexpr const char* kShared =
      "SELECT c.id, c.org_id, c.name, c.runtime, c.speed, c.policy, c.placement, c.age_bound, "
      "c.mix, c.fair, c.paused, c.next_order, c.created_at, c.version "
      "FROM cluster_shares s JOIN clusters c ON c.id = s.cluster_id "
      "WHERE s.org_id = ?1 AND s.shared AND s.cluster_id > ?2 ORDER BY s.cluster_id LIMIT ?3";
  std::map<ClusterId, Cluster> merged;
  for (const auto& org : organizations) {
    for (const auto* statement : {kOwn, kShared}) {
      auto q = db_->query(statement);
      auto rows = all<Cluster>(q.with(org, after.value_or(ClusterId{}), limit), read_cluster);
      if (!rows) return rows;
      for (auto& row : *rows) merged.emplace(row.id, std::move(row));
    }
  }
  std::vector<Cluster> out;
  for (auto& [id, cluster] : merged) {
    if (out.size() == limit) break;
    if (auto loaded = load_nodes(cluster); !loaded) return std::unexpected(loaded.error());
    if (auto loaded = load_shares(cluster); !loaded) return std::unexpected(loaded.error());
    out.push_back(std::move(cluster));
  }
  return out;
}

Result<std::vector<Cluster>> Session::all_clusters() {
  std::vector<Cluster> out;
  {
    auto q = db_->query(
        "SELECT id, org_id, name, runtime, speed, policy, placement, age_bound, mix, fair, paused, "
        "next_order, created_at, version "
        "FROM clusters ORDER BY id");
    auto rows = all<Cluster>(q, read_cluster);
    if (!rows) return rows;
    out = std::move(*rows);
  }
  auto nodes = hand_out<Node>(
      db_->query("SELECT name, gpu_model, cpu, memory, gpus, labels, cluster_id FROM nodes "
                 "ORDER BY cluster_id, ordinal"),
      read_node, &Cluster::nodes, out);
  if (!nodes) return std::unexpected(std::move(nodes.error()));
  auto shares = hand_out<Share>(
      db_->query("SELECT org_id, tenant, cpu, memory, gpu, borrow_cpu, borrow_memory, borrow_gpu, "
                 "cluster_id FROM cluster_shares WHERE shared ORDER BY cluster_id, tenant"),
      read_share, &Cluster::shares, out);
  if (!shares) return std::unexpected(std::move(shares.error()));
  return out;
}

Result<std::optional<std::uint32_t>> Session::tenant(const ClusterId& cluster,
                                                     const OrganizationId& organization) {
  auto q = db_->query(
      "SELECT tenant FROM cluster_shares WHERE cluster_id = ?1 AND org_id = ?2 AND shared");
  return one<std::uint32_t>(q.with(cluster, organization),
                            [](Query& row) { return static_cast<std::uint32_t>(row.integer()); });
}

Result<void> Session::insert(const Cluster& c) {
  auto inserted =
      done(db_->query("INSERT INTO clusters (id, org_id, name, runtime, speed, policy, "
                      "paused, next_order, created_at, version, placement, age_bound, mix, fair) "
                      "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)")
               .with(c.id, c.organization, c.name, to_text(c.runtime.kind), c.runtime.speed,
                     to_text(c.policy), c.paused, c.next_order, c.created_at, c.version,
                     to_text(c.placement), millis(c.age_bound), encode_mix(c.mix), c.fair)
               .run());
  return inserted ? resize(c.id, c.nodes) : inserted;
}

Result<void> Session::update(const Cluster& c) {
  const auto changed =
      db_->query(
             "UPDATE clusters SET name = ?2, policy = ?3, paused = ?4, version = ?5, "
             "placement = ?6, age_bound = ?7, mix = ?8, fair = ?9 "
             "WHERE id = ?1 AND version = ?5 - 1")
          .with(c.id, c.name, to_text(c.policy), c.paused, c.version, to_text(c.placement),
                millis(c.age_bound), encode_mix(c.mix), c.fair)
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
    auto put =
        done(db_->query("INSERT INTO nodes (cluster_id, name, ordinal, gpu_model, cpu, memory, "
                        "gpus, labels, free_cpu, free_memory) "
                        "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?5, ?6) "
                        "ON CONFLICT (cluster_id, name) DO UPDATE SET ordinal = ?3, gpu_model = "
                        "?4, labels = ?8, "
                        "free_cpu = nodes.free_cpu + ?5 - nodes.cpu, "
                        "free_memory = nodes.free_memory + ?6 - nodes.memory, "
                        "cpu = ?5, memory = ?6, gpus = ?7")
                 .with(cluster, node.name, ordinal++, node.gpu_model, node.capacity.cpu_milli,
                       node.capacity.memory_bytes, node.devices(), encode_labels(node.labels))
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

Result<std::uint32_t> Session::put_share(const ClusterId& cluster, const Share& share) {
  std::optional<std::uint32_t> tenant;
  {
    auto q = db_->query(
        "SELECT CASE WHEN c.org_id = ?2 THEN 0 ELSE coalesce("
        "(SELECT tenant FROM cluster_shares WHERE cluster_id = ?1 AND org_id = ?2), "
        "(SELECT max(tenant) + 1 FROM cluster_shares WHERE cluster_id = ?1), 1) END "
        "FROM clusters c WHERE c.id = ?1");
    auto row = one<std::uint32_t>(q.with(cluster, share.organization),
                                  [](Query& r) { return static_cast<std::uint32_t>(r.integer()); });
    if (!row) return std::unexpected(std::move(row.error()));
    tenant = *row;
  }
  if (!tenant) return fail(Code::not_found, "not_found", "No such cluster.");
  const auto quota = [&](std::int64_t Resources::* r) { return part_of(share.quota, r); };
  const auto more = [&](std::int64_t Resources::* r) { return part_of(share.borrowing, r); };
  const auto put =
      db_->query(
             "INSERT INTO cluster_shares (cluster_id, org_id, tenant, shared, cpu, memory, gpu, "
             "borrow_cpu, borrow_memory, borrow_gpu) "
             "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) "
             "ON CONFLICT (cluster_id, org_id) DO UPDATE SET shared = ?4, cpu = ?5, memory = ?6, "
             "gpu = ?7, borrow_cpu = ?8, borrow_memory = ?9, borrow_gpu = ?10")
          .with(cluster, share.organization, *tenant, true, quota(&Resources::cpu_milli),
                quota(&Resources::memory_bytes), quota(&Resources::gpu_milli),
                more(&Resources::cpu_milli), more(&Resources::memory_bytes),
                more(&Resources::gpu_milli))
          .run();
  if (!put) return std::unexpected(put.error());
  return *tenant;
}

Result<void> Session::remove_share(const ClusterId& cluster, const OrganizationId& organization) {
  return done(
      db_->query("UPDATE cluster_shares SET shared = ?3 WHERE cluster_id = ?1 AND org_id = ?2")
          .with(cluster, organization, false)
          .run());
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
