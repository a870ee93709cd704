#include "store/sqlite/connection.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <stdexcept>

#include "base/ensure.h"
#include "store/sql/dialect.h"
#include "store/sql/errors.h"

namespace berth::sqlite {
namespace {

// Columns that compare in any case are declared so. There is one writer: nothing needs a lock.
constexpr sql::Dialect kDialect{
    // To the millisecond.
    .now = "(CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER) * 1000)",
    .nocase = "@",
    .hex = "lower(hex(@))",
    .for_update = "",
    .for_share_of = "",
    .parameter = '?',
};

// "UNIQUE constraint failed: users.username, ..." names the columns of the rule.
std::string_view first_column(std::string_view text) {
  const auto colon = text.find(": ");
  if (colon == std::string_view::npos) return {};
  text.remove_prefix(colon + 2);
  return text.substr(0, text.find(','));
}

Error constraint_error(int extended, std::string_view text) {
  if (extended == SQLITE_CONSTRAINT_UNIQUE || extended == SQLITE_CONSTRAINT_PRIMARYKEY) {
    return sql::taken(first_column(text));
  }
  if (extended == SQLITE_CONSTRAINT_CHECK) return sql::refused_by_check(text);
  return sql::refused_by_constraint(text);
}

}  // namespace

Error error_of(sqlite3* db) {
  const int extended = sqlite3_extended_errcode(db);
  const std::string text = sqlite3_errmsg(db);
  switch (extended & 0xFF) {
    case SQLITE_CONSTRAINT:
      return constraint_error(extended, text);
    case SQLITE_FULL:
      return sql::disk_full();
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return {Code::unavailable,
              "storage_busy",
              "The database is busy; repeat the request.",
              {},
              std::chrono::seconds(1)};
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
      return {Code::unavailable, "storage_failed", fmt::format("The disk failed: {}.", text)};
    default:
      return {Code::internal, "storage_error", fmt::format("The database failed: {}.", text)};
  }
}

Statement::Statement(sqlite3* db, const char* sql) : db_(db) {
  const std::string text = sql::expand(sql, kDialect);
  const int rc =
      sqlite3_prepare_v3(db, text.c_str(), -1, SQLITE_PREPARE_PERSISTENT, &statement_, nullptr);
  if (rc != SQLITE_OK) {
    die(fmt::format("statement compiles: {} in {}", sqlite3_errmsg(db), text).c_str(),
        std::source_location::current());
  }
}
Statement::~Statement() { sqlite3_finalize(statement_); }

void Statement::bind_integer(int index, std::int64_t value) {
  sqlite3_bind_int64(statement_, index, value);
}
void Statement::bind_real(int index, double value) {
  sqlite3_bind_double(statement_, index, value);
}
void Statement::bind_flag(int index, bool value) {
  sqlite3_bind_int64(statement_, index, value ? 1 : 0);
}
void Statement::bind_text(int index, std::string_view value) {
  // Transient: callers may pass temporaries.
  sqlite3_bind_text64(statement_, index, value.data() == nullptr ? "" : value.data(), value.size(),
                      SQLITE_TRANSIENT, SQLITE_UTF8);
}
void Statement::bind_bytes(int index, std::string_view value) {
  sqlite3_bind_blob64(statement_, index, value.data(), value.size(), SQLITE_TRANSIENT);
}
void Statement::bind_null(int index, sql::Kind) { sqlite3_bind_null(statement_, index); }

Result<bool> Statement::step() {
  switch (sqlite3_step(statement_)) {
    case SQLITE_ROW:
      return true;
    case SQLITE_DONE:
      return false;
    default:
      return std::unexpected(error_of(db_));
  }
}
Result<std::int64_t> Statement::run() {
  auto more = step();
  if (!more) return std::unexpected(std::move(more.error()));
  return sqlite3_changes64(db_);
}
void Statement::reset() {
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

bool Statement::is_null(int column) {
  return sqlite3_column_type(statement_, column) == SQLITE_NULL;
}
std::int64_t Statement::integer(int column) { return sqlite3_column_int64(statement_, column); }
double Statement::real(int column) { return sqlite3_column_double(statement_, column); }
std::string_view Statement::text(int column) {
  const auto* bytes = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
  const auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement_, column));
  return bytes == nullptr ? std::string_view{} : std::string_view(bytes, size);
}
std::string_view Statement::bytes(int column) {
  const auto* bytes = static_cast<const char*>(sqlite3_column_blob(statement_, column));
  const auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement_, column));
  return bytes == nullptr ? std::string_view{} : std::string_view(bytes, size);
}

Connection::Connection(const std::string& file, bool read_only, int cache_kib) {
  const int flags =
      (read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE) |
      SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_URI;
  if (sqlite3_open_v2(file.c_str(), &db_, flags, nullptr) != SQLITE_OK) {
    const std::string why = db_ == nullptr ? "out of memory" : sqlite3_errmsg(db_);
    sqlite3_close(db_);
    throw std::runtime_error(fmt::format("cannot open the database {}: {}", file, why));
  }
  sqlite3_extended_result_codes(db_, 1);
  sqlite3_busy_timeout(db_, 5000);
  // FULL: a commit is on the disk before it is answered. WAL: readers never wait for the writer.
  const auto ready = execute(
      fmt::format("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; "
                  "PRAGMA temp_store=MEMORY; PRAGMA trusted_schema=OFF; PRAGMA cache_size=-{};",
                  cache_kib));
  if (!ready) {
    sqlite3_close(db_);
    throw std::runtime_error(
        fmt::format("cannot use the database {}: {}", file, ready.error().message));
  }
}

Connection::~Connection() {
  statements_.clear();
  sqlite3_close(db_);
}

sql::Statement& Connection::statement(const char* sql) {
  const auto found = statements_.find(sql);
  if (found != statements_.end()) return found->second;
  return statements_.try_emplace(sql, db_, sql).first->second;
}

Result<void> Connection::begin() { return sql::done(query("BEGIN IMMEDIATE").run()); }
void Connection::rollback() {
  // Refused only where there is nothing to undo.
  [[maybe_unused]] const auto undone = execute("ROLLBACK");
}
Result<void> Connection::mark() { return sql::done(query("SAVEPOINT unit").run()); }
Result<void> Connection::undo() {
  if (auto back = sql::done(query("ROLLBACK TO unit").run()); !back) return back;
  return keep();
}
Result<void> Connection::keep() { return sql::done(query("RELEASE unit").run()); }

Result<std::int64_t> Connection::commit(std::span<const Event> events) {
  // The primary key is max + 1: one writer, so the sequence has no gaps even after an undo.
  std::int64_t first = 0;
  for (const auto& e : events) {
    auto inserted =
        query(
            "INSERT INTO events (at, org_id, cluster_id, deployment_id, kind, actor, actor_name, "
            "request_id, data) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")
            .with(e.at, e.organization, e.cluster, e.deployment, e.kind, e.actor, e.actor_name,
                  e.request_id, e.data)
            .run();
    if (!inserted) return inserted;
    if (first == 0) first = sqlite3_last_insert_rowid(db_);
  }
  auto committed = query("COMMIT").run();
  if (!committed) return committed;
  return first;
}

Result<void> Connection::freeze() {
  // BEGIN alone takes the state of the first read, so one follows at once.
  if (auto begun = execute("BEGIN"); !begun) return begun;
  return execute("SELECT count(*) FROM sqlite_schema");
}

Result<std::vector<std::string>> Connection::check_integrity() {
  auto q = query("PRAGMA integrity_check(20)");
  auto rows = sql::all<std::string>(q, [](sql::Query& row) { return row.text(); });
  if (rows) std::erase(*rows, "ok");
  return rows;
}

Result<void> Connection::execute(const std::string& script) {
  if (sqlite3_exec(db_, script.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) {
    return std::unexpected(error_of(db_));
  }
  return {};
}

}  // namespace berth::sqlite
