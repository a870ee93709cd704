// Debit and credit: each replica of an active attempt holds exactly one reservation, and what is
// free plus what is reserved is the capacity, per node and per GPU device.
#include <fmt/format.h>

#include <map>

#include "store/sql/session.h"
#include "store/sql/spec_codec.h"

namespace berth::sql {
namespace {

constexpr const char* kTake =
    "UPDATE nodes SET free_cpu = free_cpu - ?3, free_memory = free_memory - ?4 "
    "WHERE cluster_id = ?1 AND name = ?2 AND free_cpu >= ?3 AND free_memory >= ?4";
constexpr const char* kTakeGpu =
    "UPDATE gpus SET free = free - ?4 WHERE cluster_id = ?1 AND node = ?2 AND device = ?3 "
    "AND free >= ?4";

std::unexpected<Error> over_commit(const Grant& grant) {
  return fail(Code::failed_precondition, "over_commit",
              fmt::format("Node {} has not enough free for {}.", grant.node,
                          resources_text(grant.resources)));
}

}  // namespace

Result<void> Session::reserve(const ClusterId& cluster, const AttemptKey& attempt,
                              const Grant& grant) {
  const auto taken =
      db_->query(kTake)
          .with(cluster, grant.node, grant.resources.cpu_milli, grant.resources.memory_bytes)
          .run();
  if (!taken) return std::unexpected(taken.error());
  if (*taken != 1) return over_commit(grant);
  std::int64_t shares = 0;
  for (const auto& share : grant.gpus) {
    const auto device =
        db_->query(kTakeGpu).with(cluster, grant.node, share.device, share.milli).run();
    if (!device) return std::unexpected(device.error());
    if (*device != 1) return over_commit(grant);
    shares += share.milli;
  }
  if (shares != grant.resources.gpu_milli) return over_commit(grant);
  return done(db_->query("INSERT INTO reservations (deployment_id, attempt, replica, cluster_id, "
                         "node, cpu, memory, gpu_grant) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")
                  .with(attempt.deployment, attempt.number, attempt.replica, cluster, grant.node,
                        grant.resources.cpu_milli, grant.resources.memory_bytes,
                        encode_gpus(grant.gpus))
                  .run());
}

namespace {

Result<void> give_back(Connection& db, const ClusterId& cluster, const Grant& grant) {
  auto given =
      done(db.query("UPDATE nodes SET free_cpu = free_cpu + ?3, free_memory = free_memory + ?4 "
                    "WHERE cluster_id = ?1 AND name = ?2")
               .with(cluster, grant.node, grant.resources.cpu_milli, grant.resources.memory_bytes)
               .run());
  for (const auto& share : grant.gpus) {
    if (!given) return given;
    given = done(db.query("UPDATE gpus SET free = free + ?4 WHERE cluster_id = ?1 AND node = ?2 "
                          "AND device = ?3")
                     .with(cluster, grant.node, share.device, share.milli)
                     .run());
  }
  return given;
}

}  // namespace

Result<void> Session::release(const ClusterId& cluster, const AttemptKey& attempt) {
  auto q = db_->query(
      "DELETE FROM reservations WHERE deployment_id = ?1 AND attempt = ?2 "
      "AND cluster_id = ?3 RETURNING node, cpu, memory, gpu_grant");
  const auto grants =
      all<Grant>(q.with(attempt.deployment, attempt.number, cluster), [](Query& row) {
        Grant g;
        g.node = row.text();
        g.resources.cpu_milli = row.integer();
        g.resources.memory_bytes = row.integer();
        g.gpus = decode_gpus(row.text_view());
        return g;
      });
  if (!grants) return std::unexpected(grants.error());
  if (grants->empty()) {
    return fail(Code::failed_precondition, "no_reservation",
                fmt::format("Attempt {} holds no reservation.", attempt.str()));
  }
  for (const Grant& grant : *grants) {
    if (auto given = give_back(*db_, cluster, grant); !given) return given;
  }
  return {};
}

namespace {

// One statement, so that all of it sees one state on either database, whatever is written
// meanwhile. Shares of devices are text, so they come as they are and are added up below.
constexpr const char* kAudit =
    "SELECT 'conservation', '', '', 'node ' || n.name || ': cpu ' || n.cpu || ' <> free ' || "
    "n.free_cpu || ' + reserved ' || coalesce(sum(r.cpu), 0) || ', memory ' || n.memory || "
    "' <> free ' || n.free_memory || ' + reserved ' || coalesce(sum(r.memory), 0), 0, 0 "
    "FROM nodes n LEFT JOIN reservations r ON r.cluster_id = n.cluster_id AND r.node = n.name "
    "GROUP BY n.cluster_id, n.name HAVING n.free_cpu + coalesce(sum(r.cpu), 0) <> n.cpu OR "
    "n.free_memory + coalesce(sum(r.memory), 0) <> n.memory "
    "UNION ALL "
    "SELECT 'one_reservation_per_active_attempt', '', '', 'deployment ' || {hex d.id} || ' is ' || "
    "d.state || ' with ' || d.replicas || ' replicas in attempt ' || d.attempt || ', which holds ' "
    "|| count(r.replica) || ' reservations', 0, 0 "
    "FROM deployments d LEFT JOIN reservations r ON r.deployment_id = d.id AND "
    "r.attempt = d.attempt AND r.replica < d.replicas WHERE "
    "d.state IN ('starting', 'running', 'stopping', 'preempting') "
    "GROUP BY d.id, d.state, d.replicas, d.attempt HAVING count(r.replica) <> d.replicas "
    "UNION ALL "
    "SELECT 'no_reservation_without_attempt', '', '', 'reservation of ' || {hex r.deployment_id} "
    "|| ' attempt ' || r.attempt || ' replica ' || r.replica || ' has no active attempt', 0, 0 "
    "FROM reservations r LEFT JOIN deployments d ON d.id = r.deployment_id AND "
    "d.attempt = r.attempt AND r.replica < d.replicas AND "
    "d.state IN ('starting', 'running', 'stopping', 'preempting') "
    "WHERE d.id IS NULL "
    "UNION ALL "
    "SELECT 'no_gaps_in_history', '', '', 'event ' || (g.seq - 1) || ' is missing', 0, 0 FROM ("
    "SELECT e.seq FROM events e WHERE e.seq > (SELECT min(seq) FROM events) AND NOT EXISTS ("
    "SELECT 1 FROM events p WHERE p.seq = e.seq - 1) LIMIT 10) g "
    "UNION ALL "
    "SELECT 'reserved', {hex cluster_id}, node, gpu_grant, 0, 0 FROM reservations "
    "WHERE gpu_grant <> '' "
    "UNION ALL "
    "SELECT 'device', {hex cluster_id}, node, '', device, free FROM gpus";

using DeviceKey = std::tuple<std::string, std::string, std::int64_t>;  // cluster, node, device

void compare_devices(const std::map<DeviceKey, std::int64_t>& free,
                     std::map<DeviceKey, std::int64_t> reserved,
                     std::vector<LedgerFinding>& findings) {
  for (const auto& [key, left] : free) {
    const auto held = reserved[key];
    reserved.erase(key);
    if (left + held != kGpuDevice) {
      findings.push_back(
          {"conservation", fmt::format("node {} gpu {}: free {} + reserved {} <> 1000",
                                       std::get<1>(key), std::get<2>(key), left, held)});
    }
  }
  for (const auto& [key, milli] : reserved) {
    findings.push_back(
        {"conservation", fmt::format("node {} gpu {} does not exist but {} is reserved",
                                     std::get<1>(key), std::get<2>(key), milli)});
  }
}

}  // namespace

Result<std::vector<LedgerFinding>> Session::audit_ledger() {
  std::vector<LedgerFinding> findings;
  std::map<DeviceKey, std::int64_t> reserved, free;
  auto q = db_->query(kAudit);
  for (;;) {
    const auto more = q.step();
    if (!more) return std::unexpected(more.error());
    if (!*more) break;
    const std::string what = q.text(), cluster = q.text(), node = q.text(), detail = q.text();
    const std::int64_t device = q.integer(), left = q.integer();
    if (what == "reserved") {
      for (const auto& share : decode_gpus(detail)) {
        reserved[{cluster, node, share.device}] += share.milli;
      }
    } else if (what == "device") {
      free[{cluster, node, device}] = left;
    } else {
      findings.push_back({what, detail});
    }
  }
  compare_devices(free, std::move(reserved), findings);
  return findings;
}

Result<std::vector<std::string>> Session::check_integrity() { return db_->check_integrity(); }

}  // namespace berth::sql
