// Deployments: one row each, with the columns that the queues need beside the specification.
#include "store/sql/session.h"
#include "store/sql/spec_codec.h"

namespace berth::sql {
namespace {

constexpr const char* kById =
    "SELECT id, org_id, cluster_id, name, priority, state, ord, cpu, memory, gpu, spec, attempt, "
    "failures, retry_at, node, gpu_grant, endpoint, exit_code, message, created_by, created_at, "
    "updated_at, admitted_at, started_at, ended_at, queued_at, displaced_for, unmet, awaited, "
    "replicas, gang, version FROM deployments WHERE id = ?1";
constexpr const char* kByName =
    "SELECT id, org_id, cluster_id, name, priority, state, ord, cpu, memory, gpu, spec, attempt, "
    "failures, retry_at, node, gpu_grant, endpoint, exit_code, message, created_by, created_at, "
    "updated_at, admitted_at, started_at, ended_at, queued_at, displaced_for, unmet, awaited, "
    "replicas, gang, version FROM deployments "
    "WHERE org_id = ?1 AND name = ?2 AND state IN ('queued', 'starting', 'running', 'stopping', "
    "'preempting')";
constexpr const char* kByNameEver =
    "SELECT id, org_id, cluster_id, name, priority, state, ord, cpu, memory, gpu, spec, attempt, "
    "failures, retry_at, node, gpu_grant, endpoint, exit_code, message, created_by, created_at, "
    "updated_at, admitted_at, started_at, ended_at, queued_at, displaced_for, unmet, awaited, "
    "replicas, gang, version FROM deployments "
    "WHERE org_id = ?1 AND name = ?2 ORDER BY id DESC LIMIT 1";
constexpr const char* kActive =
    "SELECT id, org_id, cluster_id, name, priority, state, ord, cpu, memory, gpu, spec, attempt, "
    "failures, retry_at, node, gpu_grant, endpoint, exit_code, message, created_by, created_at, "
    "updated_at, admitted_at, started_at, ended_at, queued_at, displaced_for, unmet, awaited, "
    "replicas, gang, version FROM deployments "
    "WHERE cluster_id = ?1 AND state IN ('starting', 'running', 'stopping', 'preempting') "
    "ORDER BY id";
// What events speak of, whether it is there or not.
constexpr const char* kTouched =
    "SELECT e.seq, e.deployment_id, d.id IS NOT NULL, d.id, d.org_id, d.cluster_id, d.name, "
    "d.priority, d.state, d.ord, d.cpu, d.memory, d.gpu, d.spec, d.attempt, d.failures, "
    "d.retry_at, d.node, d.gpu_grant, d.endpoint, d.exit_code, d.message, d.created_by, "
    "d.created_at, d.updated_at, d.admitted_at, d.started_at, d.ended_at, d.queued_at, "
    "d.displaced_for, d.unmet, d.awaited, d.replicas, d.gang, d.version FROM "
    "(SELECT deployment_id, max(seq) AS seq FROM events WHERE seq > ?1 AND seq <= ?2 "
    "AND deployment_id IS NOT NULL GROUP BY deployment_id) e "
    "LEFT JOIN deployments d ON d.id = e.deployment_id ORDER BY e.seq";
constexpr const char* kTouchedOfCluster =
    "SELECT e.seq, e.deployment_id, d.id IS NOT NULL, d.id, d.org_id, d.cluster_id, d.name, "
    "d.priority, d.state, d.ord, d.cpu, d.memory, d.gpu, d.spec, d.attempt, d.failures, "
    "d.retry_at, d.node, d.gpu_grant, d.endpoint, d.exit_code, d.message, d.created_by, "
    "d.created_at, d.updated_at, d.admitted_at, d.started_at, d.ended_at, d.queued_at, "
    "d.displaced_for, d.unmet, d.awaited, d.replicas, d.gang, d.version FROM "
    "(SELECT deployment_id, max(seq) AS seq FROM events WHERE cluster_id = ?3 AND seq > ?1 "
    "AND seq <= ?2 AND deployment_id IS NOT NULL GROUP BY deployment_id) e "
    "LEFT JOIN deployments d ON d.id = e.deployment_id ORDER BY e.seq";
// Absent filters are NULL. The index follows the leading equality.
constexpr const char* kPageOfOrganization =
    "SELECT id, org_id, cluster_id, name, priority, state, ord, cpu, memory, gpu, spec, attempt, "
    "failures, retry_at, node, gpu_grant, endpoint, exit_code, message, created_by, created_at, "
    "updated_at, admitted_at, started_at, ended_at, queued_at, displaced_for, unmet, awaited, "
    "replicas, gang, version FROM deployments "
    "WHERE org_id = ?1 AND id < ?2 AND (?3 IS NULL OR state = ?3) AND (?4 IS NULL OR priority = "
    "?4) "
    "AND (?5 IS NULL OR name = ?5) ORDER BY id DESC LIMIT ?6";
constexpr const char* kPageOfCluster =
    "SELECT id, org_id, cluster_id, name, priority, state, ord, cpu, memory, gpu, spec, attempt, "
    "failures, retry_at, node, gpu_grant, endpoint, exit_code, message, created_by, created_at, "
    "updated_at, admitted_at, started_at, ended_at, queued_at, displaced_for, unmet, awaited, "
    "replicas, gang, version FROM deployments "
    "WHERE cluster_id = ?1 AND id < ?2 AND (?3 IS NULL OR state = ?3) "
    "AND (?4 IS NULL OR priority = ?4) AND (?5 IS NULL OR name = ?5) AND org_id = ?7 "
    "ORDER BY id DESC LIMIT ?6";

Deployment read_deployment(Query& q) {
  Deployment d;
  d.id = q.id<DeploymentId>();
  d.organization = q.id<OrganizationId>();
  d.cluster = q.id<ClusterId>();
  d.name = q.text();
  d.priority = from_text<Priority>(q.text_view()).value_or(Priority::low);
  d.state = from_text<State>(q.text_view()).value_or(State::failed);
  d.order = static_cast<std::uint64_t>(q.integer());
  Resources resources;
  resources.cpu_milli = q.integer();
  resources.memory_bytes = q.integer();
  resources.gpu_milli = q.integer();
  d.spec = decode_spec(q.text_view(), resources);
  d.attempt = static_cast<std::int32_t>(q.integer());
  d.failures = static_cast<std::int32_t>(q.integer());
  d.retry_at = q.maybe_time();
  const std::string node = q.text();
  const std::string gpus = q.text();
  if (holds_resources(d.state)) d.grant = Grant{node, resources, decode_gpus(gpus)};
  d.endpoint = q.text();
  if (const auto code = q.maybe_integer()) d.exit_code = static_cast<std::int32_t>(*code);
  d.message = q.text();
  d.created_by = q.id<UserId>();
  d.created_at = q.time();
  d.updated_at = q.time();
  d.admitted_at = q.maybe_time();
  d.started_at = q.maybe_time();
  d.ended_at = q.maybe_time();
  d.queued_at = q.time();
  d.displaced_for = q.maybe_id<DeploymentId>();
  d.unmet = static_cast<std::int32_t>(q.integer());
  d.awaited = q.flag();
  d.spec.replicas = static_cast<std::int32_t>(q.integer());
  d.gang = decode_gang(q.text_view(), resources);
  if (!holds_resources(d.state)) d.gang.more.clear();
  d.version = q.integer();
  return d;
}

constexpr IdBytes kLastId = [] {
  IdBytes out{};
  for (auto& byte : out) byte = 0xFF;
  return out;
}();

template <class E>
std::optional<std::string_view> word(const std::optional<E>& value) {
  return value ? std::optional(to_text(*value)) : std::nullopt;
}

}  // namespace

Result<std::optional<Deployment>> Session::deployment(const DeploymentId& id) {
  auto q = db_->query(kById);
  return one<Deployment>(q.with(id), read_deployment);
}

Result<std::optional<Deployment>> Session::deployment_by_name(const OrganizationId& org,
                                                              std::string_view name) {
  {
    auto q = db_->query(kByName);
    auto living = one<Deployment>(q.with(org, name), read_deployment);
    if (!living || *living) return living;
  }
  auto q = db_->query(kByNameEver);
  return one<Deployment>(q.with(org, name), read_deployment);
}

Result<std::vector<Deployment>> Session::deployments(const DeploymentFilter& f) {
  const DeploymentId before = f.before.value_or(DeploymentId(kLastId));
  const auto state = word(f.state);
  const auto priority = word(f.priority);
  std::vector<Deployment> merged;
  for (const auto& org : f.organizations) {
    auto q = db_->query(f.cluster ? kPageOfCluster : kPageOfOrganization);
    if (f.cluster) {
      q.with(*f.cluster, before, state, priority, f.name, f.limit, org);
    } else {
      q.with(org, before, state, priority, f.name, f.limit);
    }
    auto rows = all<Deployment>(q, read_deployment);
    if (!rows) return rows;
    if (f.organizations.size() == 1) return rows;
    std::move(rows->begin(), rows->end(), std::back_inserter(merged));
  }
  std::sort(merged.begin(), merged.end(),
            [](const Deployment& a, const Deployment& b) { return a.id > b.id; });
  if (merged.size() > f.limit) merged.resize(f.limit);
  return merged;
}

Result<void> Session::for_each_waiting(const ClusterId& cluster,
                                       const std::function<void(const WaitingRow&)>& use) {
  auto q = db_->query(
      "SELECT id, org_id, priority, ord, cpu, memory, gpu, retry_at, queued_at, max_run, unmet, "
      "needs, replicas FROM deployments "
      "WHERE cluster_id = ?1 AND state = 'queued' ORDER BY ord");
  q.with(cluster).streamed();
  for (;;) {
    const auto more = q.step();
    if (!more) return std::unexpected(more.error());
    if (!*more) return {};
    WaitingRow row;
    row.id = q.id<DeploymentId>();
    row.organization = q.id<OrganizationId>();
    row.priority = from_text<Priority>(q.text_view()).value_or(Priority::low);
    row.order = static_cast<std::uint64_t>(q.integer());
    row.demand.cpu_milli = q.integer();
    row.demand.memory_bytes = q.integer();
    row.demand.gpu_milli = q.integer();
    row.retry_at = q.maybe_time();
    row.queued_at = q.time();
    row.max_run = std::chrono::milliseconds(q.integer());
    row.unmet = static_cast<std::int32_t>(q.integer());
    row.constraint = decode_needs(q.text_view());
    row.replicas = static_cast<std::int32_t>(q.integer());
    use(row);
  }
}

Result<std::vector<Deployment>> Session::active(const ClusterId& cluster) {
  auto q = db_->query(kActive);
  return all<Deployment>(q.with(cluster), read_deployment);
}

Result<std::vector<Touched>> Session::touched(std::optional<ClusterId> cluster, std::int64_t after,
                                              std::int64_t until) {
  auto q = db_->query(cluster ? kTouchedOfCluster : kTouched);
  q.with(after, until);
  if (cluster) q.with(*cluster);
  return all<Touched>(q, [](Query& row) {
    Touched out;
    out.seq = row.integer();
    out.id = row.id<DeploymentId>();
    if (row.flag()) out.row = read_deployment(row);
    return out;
  });
}

Result<void> Session::insert(const Deployment& d) {
  const auto& r = d.spec.resources;
  return done(
      db_->query(
             "INSERT INTO deployments (id, org_id, cluster_id, name, priority, state, ord, cpu, "
             "memory, gpu, spec, created_by, created_at, updated_at, version, queued_at, max_run, "
             "unmet, needs, replicas) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, "
             "?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)")
          .with(d.id, d.organization, d.cluster, d.name, to_text(d.priority), to_text(d.state),
                d.order, r.cpu_milli, r.memory_bytes, r.gpu_milli, encode_spec(d.spec),
                d.created_by, d.created_at, d.updated_at, d.version, d.queued_at,
                longest_run(d.spec).count(), d.unmet, encode_needs(d.spec.constraint),
                std::int64_t{d.spec.replicas})
          .run());
}

Result<void> Session::update(const Deployment& d, State from) {
  std::optional<std::string> node, gpus, gang;
  if (d.gang != Gang{}) gang = encode_gang(d.gang);
  if (d.grant) {
    node = d.grant->node;
    gpus = encode_gpus(d.grant->gpus);
  }
  const auto changed =
      db_->query(
             "UPDATE deployments SET priority = ?4, state = ?5, attempt = ?6, failures = ?7, "
             "retry_at = ?8, node = ?9, gpu_grant = ?10, endpoint = ?11, exit_code = ?12, "
             "message = ?13, updated_at = ?14, admitted_at = ?15, started_at = ?16, "
             "ended_at = ?17, queued_at = ?18, displaced_for = ?19, unmet = ?20, awaited = ?21, "
             "gang = ?22, version = ?3 WHERE id = ?1 AND state = ?2 AND version = ?3 - 1")
          .with(d.id, to_text(from), d.version, to_text(d.priority), to_text(d.state), d.attempt,
                d.failures, d.retry_at, node, gpus, d.endpoint, d.exit_code, d.message,
                d.updated_at, d.admitted_at, d.started_at, d.ended_at, d.queued_at, d.displaced_for,
                d.unmet, d.awaited, gang)
          .run();
  if (!changed) return std::unexpected(changed.error());
  if (*changed != 1) {
    return fail(Code::aborted, "version_mismatch",
                "The deployment was changed meanwhile; read it again and repeat.");
  }
  return {};
}

Result<void> Session::remove_deployment(const DeploymentId& id) {
  return done(db_->query("DELETE FROM deployments WHERE id = ?1").with(id).run());
}

Result<void> Session::add_dependency(const DeploymentId& id, const Dependency& dependency) {
  return done(
      db_->query("INSERT INTO dependencies (deployment_id, on_id, until) VALUES (?1, ?2, ?3)")
          .with(id, dependency.on, to_text(dependency.until))
          .run());
}

Result<std::vector<DeploymentId>> Session::reach(const DeploymentId& on, Milestone milestone) {
  // Who has succeeded has also run.
  auto q = db_->query(
      "DELETE FROM dependencies WHERE on_id = ?1 AND until IN ('running', ?2) "
      "RETURNING deployment_id");
  auto ids = all<DeploymentId>(q.with(on, to_text(milestone)),
                               [](Query& row) { return row.id<DeploymentId>(); });
  if (ids) std::ranges::sort(*ids);
  return ids;
}

Result<std::vector<Dependency>> Session::dependencies(const DeploymentId& id) {
  auto q =
      db_->query("SELECT on_id, until FROM dependencies WHERE deployment_id = ?1 ORDER BY on_id");
  return all<Dependency>(q.with(id), [](Query& row) {
    Dependency out;
    out.on = row.id<DeploymentId>();
    out.until = from_text<Milestone>(row.text_view()).value_or(Milestone::succeeded);
    return out;
  });
}

}  // namespace berth::sql
