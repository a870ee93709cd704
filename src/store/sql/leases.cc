// Schedulers and leases with epochs. On SQLite nobody competes, for it serves one process; on
// PostgreSQL the locks said in braces matter.
#include "store/sql/session.h"

namespace berth::sql {
namespace {

constexpr const char* kLiving =
    "SELECT id, address, deadline FROM schedulers WHERE deadline > "
    "{now} ORDER BY id";
constexpr const char* kLeases =
    "SELECT l.cluster_id, l.holder, l.epoch, coalesce(s.deadline > "
    "{now}, FALSE) "
    "FROM leases l LEFT JOIN schedulers s ON s.id = l.holder ORDER BY l.cluster_id";
constexpr const char* kLease =
    "SELECT l.cluster_id, l.holder, l.epoch, coalesce(s.deadline > "
    "{now}, FALSE) "
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
  auto q = db_->query(kLiving);
  return all<SchedulerRow>(q, [](Query& row) {
    SchedulerRow out;
    out.id = row.text();
    out.address = row.text();
    out.deadline = row.time();
    return out;
  });
}

Result<std::vector<LeaseRow>> Session::leases() {
  auto q = db_->query(kLeases);
  return all<LeaseRow>(q, read_lease);
}

Result<std::optional<LeaseRow>> Session::lease(const ClusterId& cluster) {
  auto q = db_->query(kLease);
  return one<LeaseRow>(q.with(cluster), read_lease);
}

Result<std::vector<LeaseCount>> Session::lease_counts() {
  auto q = db_->query(
      "SELECT l.holder, coalesce(s.deadline > {now}, FALSE), count(*) FROM leases l "
      "LEFT JOIN schedulers s ON s.id = l.holder GROUP BY l.holder, s.deadline "
      "ORDER BY l.holder");
  return all<LeaseCount>(q, [](Query& row) {
    LeaseCount out;
    if (auto holder = row.text(); !holder.empty()) out.holder = std::move(holder);
    out.alive = row.flag();
    out.clusters = static_cast<std::size_t>(row.integer());
    return out;
  });
}

Result<std::vector<ClusterId>> Session::free_leases(std::size_t limit) {
  auto q = db_->query(
      "SELECT l.cluster_id FROM leases l LEFT JOIN schedulers s ON s.id = l.holder "
      "WHERE NOT coalesce(s.deadline > {now}, FALSE) ORDER BY l.cluster_id LIMIT ?1");
  return all<ClusterId>(q.with(limit), [](Query& row) { return row.id<ClusterId>(); });
}

Result<std::int64_t> Session::relayed() { return scalar("SELECT relayed FROM installation"); }

Result<std::string> Session::installation_secret() {
  auto q = db_->query("SELECT secret FROM installation");
  const auto row = q.step();
  if (!row) return std::unexpected(row.error());
  if (!*row) return fail(Code::internal, "no_secret", "The database has no installation row.");
  return q.text();
}

Result<void> Session::keep_alive(const std::string& scheduler, const std::string& address,
                                 std::chrono::milliseconds lasts) {
  return done(db_->query("INSERT INTO schedulers (id, address, deadline) VALUES (?1, ?2, "
                         "{now} + ?3 * 1000) "
                         "ON CONFLICT (id) DO UPDATE SET address = excluded.address, "
                         "deadline = excluded.deadline")
                  .with(scheduler, address, std::int64_t{lasts.count()})
                  .run());
}

Result<void> Session::retire(const std::string& scheduler) {
  auto step =
      done(db_->query("UPDATE leases SET holder = NULL WHERE holder = ?1").with(scheduler).run());
  if (!step) return step;
  // An hour: whoever is dead that long comes back as somebody new.
  return done(db_->query("DELETE FROM schedulers WHERE id = ?1 OR deadline < "
                         "{now} - 3600000000")
                  .with(scheduler)
                  .run());
}

Result<std::optional<std::int64_t>> Session::take_lease(const ClusterId& cluster,
                                                        const std::string& scheduler) {
  // Locked first, in a statement of its own: the second one then begins after whoever held the row
  // has committed, and sees that holder's row of `schedulers` as it is now.
  auto locked = done(db_->query("SELECT epoch FROM leases WHERE cluster_id = ?1 {for update}")
                         .with(cluster)
                         .run());
  if (!locked) return std::unexpected(std::move(locked.error()));
  auto q = db_->query(
      "UPDATE leases SET holder = ?2, epoch = epoch + 1 WHERE cluster_id = ?1 AND NOT EXISTS ("
      "SELECT 1 FROM schedulers s WHERE s.id = leases.holder AND s.deadline > "
      "{now}) RETURNING epoch");
  auto rows =
      all<std::int64_t>(q.with(cluster, scheduler), [](Query& row) { return row.integer(); });
  if (!rows) return std::unexpected(std::move(rows.error()));
  return rows->empty() ? std::nullopt : std::optional(rows->front());
}

Result<void> Session::give_up_lease(const ClusterId& cluster, const std::string& scheduler,
                                    std::int64_t epoch) {
  return done(
      db_->query(
             "UPDATE leases SET holder = NULL WHERE cluster_id = ?1 AND holder = ?2 AND epoch = ?3")
          .with(cluster, scheduler, epoch)
          .run());
}

Result<bool> Session::fence(const ClusterId& cluster, const std::string& scheduler,
                            std::int64_t epoch) {
  auto q = db_->query(
      "SELECT l.epoch FROM leases l JOIN schedulers s ON s.id = l.holder WHERE l.cluster_id = ?1 "
      "AND l.holder = ?2 AND l.epoch = ?3 AND s.deadline > {now} {for share of l}");
  return q.with(cluster, scheduler, epoch).step();
}

Result<bool> Session::advance_relay(std::int64_t from, std::int64_t to) {
  auto moved =
      db_->query("UPDATE installation SET relayed = ?2 WHERE relayed = ?1").with(from, to).run();
  if (!moved) return std::unexpected(std::move(moved.error()));
  return *moved == 1;
}

}  // namespace berth::sql
