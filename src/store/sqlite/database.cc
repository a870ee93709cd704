#include "store/sqlite/database.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <cstring>
#include <stdexcept>

#include "base/ensure.h"

namespace berth::sqlite {
namespace {

struct UniqueRule {
  std::string_view columns;  // as SQLite names them in its message
  const char* reason;
  const char* message;
};
constexpr UniqueRule kUniqueRules[] = {
    {"users.username", "username_taken", "This username is taken; choose another."},
    {"users.email", "email_taken", "An account with this email exists; log in instead."},
    {"organizations.name", "name_taken", "An organization with this name exists; choose another."},
    {"members.org_id", "already_member", "This user is a member of the organization already."},
    {"clusters.org_id", "name_taken", "A cluster with this name exists in the organization."},
    {"deployments.org_id", "name_taken",
     "An unfinished deployment with this name exists in the organization; stop it or choose "
     "another "
     "name."},
};

Error constraint_error(int extended, std::string_view text) {
  if (extended == SQLITE_CONSTRAINT_UNIQUE || extended == SQLITE_CONSTRAINT_PRIMARYKEY) {
    for (const auto& rule : kUniqueRules) {
      if (text.find(rule.columns) != std::string_view::npos) {
        return {Code::already_exists, rule.reason, rule.message};
      }
    }
    return {Code::already_exists, "already_exists", "It exists already."};
  }
  if (extended == SQLITE_CONSTRAINT_CHECK) {
    return {Code::failed_precondition, "ledger_refused",
            fmt::format("The database refused the change: {}.", text)};
  }
  return {Code::failed_precondition, "constraint",
          fmt::format("The database refused the change: {}.", text)};
}

}  // namespace

Error error_of(sqlite3* db) {
  const int extended = sqlite3_extended_errcode(db);
  const std::string text = sqlite3_errmsg(db);
  switch (extended & 0xFF) {
    case SQLITE_CONSTRAINT:
      return constraint_error(extended, text);
    case SQLITE_FULL:
      return {
          Code::unavailable, "storage_full",
          "The disk is full: nothing was changed. Reading and stopping go on; free some space."};
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

Query::~Query() {
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

Query& Query::bind(std::int64_t value) {
  sqlite3_bind_int64(statement_, parameter_++, value);
  return *this;
}
Query& Query::bind(double value) {
  sqlite3_bind_double(statement_, parameter_++, value);
  return *this;
}
Query& Query::bind(std::string_view value) {
  // Transient: callers may pass temporaries.
  sqlite3_bind_text64(statement_, parameter_++, value.data() == nullptr ? "" : value.data(),
                      value.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
  return *this;
}
Query& Query::bind_blob(const void* data, std::size_t size) {
  sqlite3_bind_blob64(statement_, parameter_++, data, size, SQLITE_TRANSIENT);
  return *this;
}
Query& Query::bind_null() {
  sqlite3_bind_null(statement_, parameter_++);
  return *this;
}

Result<bool> Query::step() {
  column_ = 0;
  switch (sqlite3_step(statement_)) {
    case SQLITE_ROW:
      return true;
    case SQLITE_DONE:
      return false;
    default:
      return std::unexpected(error_of(db_));
  }
}

Result<std::int64_t> Query::run() {
  auto more = step();
  if (!more) return std::unexpected(std::move(more.error()));
  return sqlite3_changes64(db_);
}

std::int64_t Query::integer() { return sqlite3_column_int64(statement_, column_++); }
double Query::real() { return sqlite3_column_double(statement_, column_++); }
std::string_view Query::text_view() {
  const auto* bytes = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column_));
  const auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement_, column_));
  ++column_;
  return bytes == nullptr ? std::string_view{} : std::string_view(bytes, size);
}
std::string Query::text() { return std::string(text_view()); }
bool Query::is_null() const { return sqlite3_column_type(statement_, column_) == SQLITE_NULL; }
std::optional<std::int64_t> Query::maybe_integer() {
  if (is_null()) return ++column_, std::nullopt;
  return integer();
}
std::optional<Timestamp> Query::maybe_time() {
  const auto micros = maybe_integer();
  return micros ? std::optional(Timestamp{*micros}) : std::nullopt;
}
void Query::copy_blob(void* out, std::size_t size) {
  const void* bytes = sqlite3_column_blob(statement_, column_);
  const auto have = static_cast<std::size_t>(sqlite3_column_bytes(statement_, column_));
  if (bytes != nullptr && have == size) std::memcpy(out, bytes, size);
  ++column_;
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
  for (auto& [text, statement] : statements_) sqlite3_finalize(statement);
  sqlite3_close(db_);
}

Query Connection::query(const char* sql) {
  auto& statement = statements_[sql];
  if (statement == nullptr) {
    const int rc = sqlite3_prepare_v3(db_, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
    if (rc != SQLITE_OK) {
      die(fmt::format("statement compiles: {} in {}", sqlite3_errmsg(db_), sql).c_str(),
          std::source_location::current());
    }
  }
  return Query(db_, statement);
}

Result<void> Connection::execute(const std::string& script) {
  if (sqlite3_exec(db_, script.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) {
    return std::unexpected(error_of(db_));
  }
  return {};
}

bool Connection::in_transaction() const { return sqlite3_get_autocommit(db_) == 0; }

std::int64_t Connection::last_row() const { return sqlite3_last_insert_rowid(db_); }

}  // namespace berth::sqlite
