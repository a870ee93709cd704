// Debit and credit: each active attempt holds exactly one reservation, and what is free plus what
// is reserved is the capacity, per node and per GPU device.
#include <fmt/format.h>

#include <map>

#include "store/sqlite/session.h"
#include "store/sqlite/spec_codec.h"

namespace berth::sqlite {
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
      db_.query(kTake)
          .with(cluster, grant.node, grant.resources.cpu_milli, grant.resources.memory_bytes)
          .run();
  if (!taken) return std::unexpected(taken.error());
  if (*taken != 1) return over_commit(grant);
  std::int64_t shares = 0;
  for (const auto& share : grant.gpus) {
    const auto device =
        db_.query(kTakeGpu).with(cluster, grant.node, share.device, share.milli).run();
    if (!device) return std::unexpected(device.error());
    if (*device != 1) return over_commit(grant);
    shares += share.milli;
  }
  if (shares != grant.resources.gpu_milli) return over_commit(grant);
  return done(db_.query("INSERT INTO reservations (deployment_id, attempt, cluster_id, node, cpu, "
                        "memory, gpu_grant) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")
                  .with(attempt.deployment, attempt.number, cluster, grant.node,
                        grant.resources.cpu_milli, grant.resources.memory_bytes,
                        encode_gpus(grant.gpus))
                  .run());
}

Result<void> Session::release(const ClusterId& cluster, const AttemptKey& attempt) {
  Grant grant;
  {
    auto q = db_.query(
        "DELETE FROM reservations WHERE deployment_id = ?1 AND attempt = ?2 "
        "AND cluster_id = ?3 RETURNING node, cpu, memory, gpu_grant");
    auto rows = all<Grant>(q.with(attempt.deployment, attempt.number, cluster), [](Query& row) {
      Grant g;
      g.node = row.text();
      g.resources.cpu_milli = row.integer();
      g.resources.memory_bytes = row.integer();
      g.gpus = decode_gpus(row.text_view());
      return g;
    });
    if (!rows) return std::unexpected(std::move(rows.error()));
    if (rows->size() != 1) {
      return fail(Code::failed_precondition, "no_reservation",
                  fmt::format("Attempt {} holds no reservation.", attempt.str()));
    }
    grant = std::move(rows->front());
  }
  auto given =
      done(db_.query("UPDATE nodes SET free_cpu = free_cpu + ?3, free_memory = free_memory + ?4 "
                     "WHERE cluster_id = ?1 AND name = ?2")
               .with(cluster, grant.node, grant.resources.cpu_milli, grant.resources.memory_bytes)
               .run());
  for (const auto& share : grant.gpus) {
    if (!given) return given;
    given = done(db_.query("UPDATE gpus SET free = free + ?4 WHERE cluster_id = ?1 AND node = ?2 "
                           "AND device = ?3")
                     .with(cluster, grant.node, share.device, share.milli)
                     .run());
  }
  return given;
}

Result<std::vector<LedgerFinding>> Session::audit_ledger() {
  if (db_.in_transaction()) return audit_now();
  // Several statements: without this, a change between two of them would look like a fault.
  if (auto frozen = freeze(); !frozen) return std::unexpected(std::move(frozen.error()));
  auto findings = audit_now();
  (void)db_.execute("COMMIT");
  return findings;
}

Result<std::vector<std::string>> Session::check_integrity() {
  auto q = db_.query("PRAGMA integrity_check(20)");
  auto rows = all<std::string>(q, [](Query& row) { return row.text(); });
  if (rows) std::erase(*rows, "ok");
  return rows;
}

Result<std::vector<LedgerFinding>> Session::audit_now() {
  std::vector<LedgerFinding> findings;
  const auto look = [&](const char* sql, std::string invariant) -> Result<void> {
    auto q = db_.query(sql);
    auto rows = all<std::string>(q, [](Query& row) { return row.text(); });
    if (!rows) return std::unexpected(std::move(rows.error()));
    for (auto& detail : *rows) findings.push_back({invariant, std::move(detail)});
    return {};
  };
  auto step = look(
      "SELECT 'node ' || n.name || ': cpu ' || n.cpu || ' <> free ' || n.free_cpu || ' + reserved "
      "' || "
      "coalesce(sum(r.cpu), 0) || ', memory ' || n.memory || ' <> free ' || n.free_memory || "
      "' + reserved ' || coalesce(sum(r.memory), 0) FROM nodes n LEFT JOIN reservations r ON "
      "r.cluster_id = n.cluster_id AND r.node = n.name GROUP BY n.cluster_id, n.name HAVING "
      "n.free_cpu + coalesce(sum(r.cpu), 0) <> n.cpu OR n.free_memory + coalesce(sum(r.memory), 0) "
      "<> "
      "n.memory",
      "conservation");
  if (step) {
    step = look(
        "SELECT 'deployment ' || lower(hex(d.id)) || ' is ' || d.state || ' with attempt ' || "
        "d.attempt "
        "|| ' but holds no reservation' FROM deployments d LEFT JOIN reservations r ON "
        "r.deployment_id = d.id AND r.attempt = d.attempt WHERE r.deployment_id IS NULL AND "
        "d.state IN "
        "('starting', 'running', 'stopping', 'preempting')",
        "one_reservation_per_active_attempt");
  }
  if (step) {
    step = look(
        "SELECT 'reservation of ' || lower(hex(r.deployment_id)) || ' attempt ' || r.attempt || ' "
        "has "
        "no active attempt' FROM reservations r LEFT JOIN deployments d ON d.id = r.deployment_id "
        "AND "
        "d.attempt = r.attempt AND d.state IN ('starting', 'running', 'stopping', 'preempting') "
        "WHERE d.id IS NULL",
        "no_reservation_without_attempt");
  }
  if (step) {
    step = look(
        "SELECT 'event ' || (seq - 1) || ' is missing' FROM events e WHERE seq > (SELECT min(seq) "
        "FROM "
        "events) AND NOT EXISTS (SELECT 1 FROM events p WHERE p.seq = e.seq - 1) LIMIT 10",
        "no_gaps_in_history");
  }
  if (!step) return std::unexpected(std::move(step.error()));

  // Devices: shares are text, so they are added up here.
  std::map<std::tuple<std::string, std::string, std::int64_t>, std::int64_t> reserved;
  {
    auto q = db_.query(
        "SELECT hex(cluster_id), node, gpu_grant FROM reservations WHERE gpu_grant <> ''");
    for (;;) {
      const auto more = q.step();
      if (!more) return std::unexpected(more.error());
      if (!*more) break;
      const std::string cluster = q.text(), node = q.text();
      for (const auto& share : decode_gpus(q.text_view())) {
        reserved[{cluster, node, share.device}] += share.milli;
      }
    }
  }
  auto q = db_.query("SELECT hex(cluster_id), node, device, free FROM gpus");
  for (;;) {
    const auto more = q.step();
    if (!more) return std::unexpected(more.error());
    if (!*more) break;
    const std::string cluster = q.text(), node = q.text();
    const std::int64_t device = q.integer(), free = q.integer();
    const auto held = reserved[{cluster, node, device}];
    reserved.erase({cluster, node, device});
    if (free + held != kGpuDevice) {
      findings.push_back(
          {"conservation",
           fmt::format("node {} gpu {}: free {} + reserved {} <> 1000", node, device, free, held)});
    }
  }
  for (const auto& [key, milli] : reserved) {
    findings.push_back(
        {"conservation", fmt::format("node {} gpu {} does not exist but {} is reserved",
                                     std::get<1>(key), std::get<2>(key), milli)});
  }
  return findings;
}

}  // namespace berth::sqlite
