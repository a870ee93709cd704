// The decision journal: rows that are only ever added.
#include "store/sql/session.h"

namespace berth::sql {
namespace {

JournalMark read_mark(Query& row) {
  JournalMark out;
  out.index = row.integer();
  out.at = row.time();
  return out;
}

constexpr const char* kMark = "SELECT idx, at FROM journal WHERE cluster_id = ?1 AND idx = ?2";

}  // namespace

Result<std::vector<JournalEntry>> Session::journal(const ClusterId& cluster, std::int64_t from,
                                                   std::size_t limit) {
  auto q = db_->query(
      "SELECT idx, at, checkpoint, payload FROM journal WHERE cluster_id = ?1 AND idx >= ?2 "
      "ORDER BY idx LIMIT ?3");
  return all<JournalEntry>(q.with(cluster, from, limit), [](Query& row) {
    JournalEntry out;
    out.index = row.integer();
    out.at = row.time();
    out.checkpoint = row.flag();
    out.payload = row.bytes();
    return out;
  });
}

Result<std::optional<JournalMark>> Session::journal_end(const ClusterId& cluster) {
  auto q =
      db_->query("SELECT idx, at FROM journal WHERE cluster_id = ?1 ORDER BY idx DESC LIMIT 1");
  return one<JournalMark>(q.with(cluster), read_mark);
}

// By halving: indices have no gaps and times never go back, so no index by time is needed.
Result<std::optional<JournalMark>> Session::journal_at(const ClusterId& cluster, Timestamp time) {
  auto found = journal_end(cluster);
  if (!found || !*found || (*found)->at <= time) return found;
  std::int64_t low = 0, high = (*found)->index;  // low: at or before the time, or none; high: after
  found->reset();
  while (high - low > 1) {
    const std::int64_t middle = low + (high - low) / 2;
    auto q = db_->query(kMark);
    auto mark = one<JournalMark>(q.with(cluster, middle), read_mark);
    if (!mark) return mark;
    if (!*mark) return std::optional<JournalMark>{};  // the cluster was deleted meanwhile
    if ((*mark)->at <= time) {
      low = middle;
      found = std::move(mark);
    } else {
      high = middle;
    }
  }
  return found;
}

Result<std::optional<std::int64_t>> Session::journal_checkpoint(const ClusterId& cluster,
                                                                std::int64_t until) {
  auto q = db_->query(
      "SELECT idx FROM journal WHERE cluster_id = ?1 AND idx <= ?2 AND checkpoint "
      "ORDER BY idx DESC LIMIT 1");
  return one<std::int64_t>(q.with(cluster, until), [](Query& row) { return row.integer(); });
}

Result<std::optional<JournalMark>> Session::append_journal(const ClusterId& cluster, Timestamp at,
                                                           bool checkpoint,
                                                           std::string_view payload) {
  auto q = db_->query(
      "INSERT INTO journal (cluster_id, idx, at, checkpoint, payload) "
      "SELECT c.id, coalesce(j.idx, 0) + 1, CASE WHEN j.at > ?2 THEN j.at ELSE ?2 END, ?3, ?4 "
      "FROM clusters c LEFT JOIN (SELECT idx, at FROM journal WHERE cluster_id = ?1 "
      "ORDER BY idx DESC LIMIT 1) j ON true WHERE c.id = ?1 RETURNING idx, at");
  auto rows = all<JournalMark>(q.with(cluster, at, checkpoint, Bytes{payload}), read_mark);
  if (!rows) return std::unexpected(std::move(rows.error()));
  return rows->empty() ? std::nullopt : std::optional(rows->front());
}

}  // namespace berth::sql
