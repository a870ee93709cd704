// Leases with epochs. SQLite serves one process, so nobody competes; the rules are the same anyway,
// and the tests of the rules run on both databases.
#include "store/sqlite/session.h"

namespace berth::sqlite {
namespace {

// Microseconds since the epoch on the database's clock, to the millisecond.
constexpr const char* kLiving =
    "SELECT id, address, deadline FROM schedulers WHERE deadline > "
    "CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER) * 1000 ORDER BY id";
constexpr const char* kLeases =
    "SELECT l.cluster_id, l.holder, l.epoch, coalesce(s.deadline > "
    "CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER) * 1000, 0) "
    "FROM leases l LEFT JOIN schedulers s ON s.id = l.holder ORDER BY l.cluster_id";
constexpr const char* kLease =
    "SELECT l.cluster_id, l.holder, l.epoch, coalesce(s.deadline > "
    "CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER) * 1000, 0) "
    "FROM leases l LEFT JOIN schedulers s ON s.id = l.holder WHERE l.cluster_id = ?1";

LeaseRow read_lease(Query& q) {
  LeaseRow out;
  out.cluster = q.id<ClusterId>();
  if (auto holder = q.text(); !holder.empty()) out.holder = std::move(holder);
  out.epoch = q.integer();
  out.alive = q.flag();
  return out;
}

}  // namespace

Result<std::vector<SchedulerRow>> Session::living_schedulers() {
  auto q = db_.query(kLiving);
  return all<SchedulerRow>(q, [](Query& row) {
    SchedulerRow out;
    out.id = row.text();
    out.address = row.text();
    out.deadline = row.time();
    return out;
  });
}

Result<std::vector<LeaseRow>> Session::leases() {
  auto q = db_.query(kLeases);
  return all<LeaseRow>(q, read_lease);
}

Result<std::optional<LeaseRow>> Session::lease(const ClusterId& cluster) {
  auto q = db_.query(kLease);
  return one<LeaseRow>(q.with(cluster), read_lease);
}

Result<std::int64_t> Session::relayed() { return scalar("SELECT relayed FROM installation"); }

Result<std::string> Session::installation_secret() {
  auto q = db_.query("SELECT secret FROM installation");
  auto secret = one<std::string>(q, [](Query& row) { return row.text(); });
  if (!secret) return std::unexpected(std::move(secret.error()));
  if (!*secret) return fail(Code::internal, "no_secret", "The database has no installation row.");
  return std::move(**secret);
}

Result<void> Session::keep_alive(const std::string& scheduler, const std::string& address,
                                 std::chrono::milliseconds lasts) {
  return done(
      db_.query("INSERT INTO schedulers (id, address, deadline) VALUES (?1, ?2, "
                "(CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER) + ?3) * 1000) "
                "ON CONFLICT (id) DO UPDATE SET address = excluded.address, "
                "deadline = excluded.deadline")
          .with(scheduler, address, std::int64_t{lasts.count()})
          .run());
}

Result<void> Session::retire(const std::string& scheduler) {
  auto step =
      done(db_.query("UPDATE leases SET holder = NULL WHERE holder = ?1").with(scheduler).run());
  if (!step) return step;
  // An hour: whoever is dead that long comes back as somebody new.
  return done(
      db_.query("DELETE FROM schedulers WHERE id = ?1 OR deadline < "
                "(CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER) - 3600000) * 1000")
          .with(scheduler)
          .run());
}

Result<std::optional<std::int64_t>> Session::take_lease(const ClusterId& cluster,
                                                        const std::string& scheduler) {
  auto q = db_.query(
      "UPDATE leases SET holder = ?2, epoch = epoch + 1 WHERE cluster_id = ?1 AND NOT EXISTS ("
      "SELECT 1 FROM schedulers s WHERE s.id = leases.holder AND s.deadline > "
      "CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER) * 1000) RETURNING epoch");
  auto rows =
      all<std::int64_t>(q.with(cluster, scheduler), [](Query& row) { return row.integer(); });
  if (!rows) return std::unexpected(std::move(rows.error()));
  return rows->empty() ? std::nullopt : std::optional(rows->front());
}

Result<void> Session::give_up_lease(const ClusterId& cluster, const std::string& scheduler,
                                    std::int64_t epoch) {
  return done(
      db_.query(
             "UPDATE leases SET holder = NULL WHERE cluster_id = ?1 AND holder = ?2 AND epoch = ?3")
          .with(cluster, scheduler, epoch)
          .run());
}

Result<bool> Session::fence(const ClusterId& cluster, const std::string& scheduler,
                            std::int64_t epoch) {
  auto row = lease(cluster);
  if (!row) return std::unexpected(std::move(row.error()));
  return *row && (*row)->alive && (*row)->holder == scheduler && (*row)->epoch == epoch;
}

Result<bool> Session::advance_relay(std::int64_t from, std::int64_t to) {
  auto moved =
      db_.query("UPDATE installation SET relayed = ?2 WHERE relayed = ?1").with(from, to).run();
  if (!moved) return std::unexpected(std::move(moved.error()));
  return *moved == 1;
}

}  // namespace berth::sqlite
