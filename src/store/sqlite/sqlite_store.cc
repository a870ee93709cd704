#include "store/sqlite/sqlite_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <stdexcept>

#include "base/ensure.h"
#include "store/sql/session.h"
#include "store/sqlite/connection.h"
#include "store/sqlite/migrations.h"

namespace berth::sqlite {
namespace {

[[noreturn]] void stop(const std::string& what, const Error& error) {
  throw std::runtime_error(fmt::format("{}: {}", what, error.message));
}

Connection& sqlite_of(sql::Session& session) {
  return static_cast<Connection&>(session.connection());
}

Result<std::vector<sql::AppliedMigration>> applied_migrations(Connection& db) {
  auto q = db.query("SELECT name, digest, applied_at FROM schema_migrations");
  return sql::all<sql::AppliedMigration>(q, [](sql::Query& row) {
    sql::AppliedMigration out;
    out.name = row.text();
    out.digest = row.digest();
    out.applied_at = row.time();
    return out;
  });
}

// Each migration is one transaction together with its mark, so one that is killed half-way leaves
// nothing behind and is run again at the next start.
void bring_up_to_date(Connection& db) {
  if (auto made =
          db.execute("CREATE TABLE IF NOT EXISTS schema_migrations ("
                     "name TEXT PRIMARY KEY, digest BLOB NOT NULL, applied_at INTEGER NOT NULL"
                     ") STRICT");
      !made) {
    stop("cannot prepare the database", made.error());
  }
  const auto applied = applied_migrations(db);
  if (!applied) stop("cannot read the database's version", applied.error());
  const auto states = sql::compare(migrations(), *applied);
  if (const auto why = sql::objection(states)) throw std::runtime_error(*why);
  for (const auto& migration : migrations()) {
    const auto state = std::ranges::find(states, migration.name, &sql::MigrationState::name);
    if (state->applied_at) continue;
    auto step = db.begin();
    if (step) step = db.execute(std::string(migration.sql));
    if (step) {
      step = sql::done(db.query("INSERT INTO schema_migrations VALUES (?1, ?2, ?3)")
                           .with(migration.name, sha256(migration.sql), SystemClock().now())
                           .run());
    }
    if (step) {
      if (auto committed = db.commit({}); !committed) step = std::unexpected(committed.error());
    }
    if (!step) stop(fmt::format("migration {} failed", migration.name), step.error());
  }
}

std::unique_ptr<sql::Session> open(const std::string& file, bool read_only, int cache_kib) {
  return std::make_unique<sql::Session>(std::make_unique<Connection>(file, read_only, cache_kib));
}

// A view whose every read is of the state at this moment.
Result<std::unique_ptr<ReadView>> open_frozen(const std::string& file, int cache_kib) {
  try {
    auto session = open(file, true, cache_kib);
    if (auto frozen = session->freeze(); !frozen) return std::unexpected(std::move(frozen.error()));
    return session;
  } catch (const std::runtime_error& e) {
    return fail(Code::unavailable, "storage_failed", e.what());
  }
}

}  // namespace

Result<std::vector<sql::MigrationState>> migration_status(const std::string& file) {
  try {
    Connection db(file, true, Options{}.reader_cache_kib);
    auto q = db.query("SELECT 1 FROM sqlite_schema WHERE name = 'schema_migrations'");
    const auto any = q.step();
    if (!any) return std::unexpected(any.error());
    if (!*any) return sql::compare(migrations(), {});
    const auto applied = applied_migrations(db);
    if (!applied) return std::unexpected(applied.error());
    return sql::compare(migrations(), *applied);
  } catch (const std::runtime_error& e) {
    return fail(Code::unavailable, "storage_failed", e.what());
  }
}

struct SqliteStore::Impl {
  explicit Impl(Options o)
      : options(std::move(o)),
        writer(std::make_unique<Connection>(options.file, false, options.writer_cache_kib)) {
    bring_up_to_date(sqlite_of(writer));
  }
  Options options;
  std::mutex writing;  // one transaction at a time
  sql::Session writer;
};

SqliteStore::SqliteStore(Options options) : impl_(std::make_unique<Impl>(std::move(options))) {}
SqliteStore::~SqliteStore() = default;

Result<std::unique_ptr<ReadView>> SqliteStore::open_view() {
  try {
    return open(impl_->options.file, true, impl_->options.reader_cache_kib);
  } catch (const std::runtime_error& e) {
    return fail(Code::unavailable, "storage_failed", e.what());
  }
}

Result<std::unique_ptr<ReadView>> SqliteStore::open_snapshot() {
  return open_frozen(impl_->options.file, impl_->options.reader_cache_kib);
}

Result<std::unique_ptr<ReadView>> SqliteStore::open_read_only(const std::string& file) {
  return open_frozen(file, Options{}.reader_cache_kib);
}

Result<TransactionPtr> SqliteStore::begin() {
  impl_->writing.lock();
  TransactionPtr lent(&impl_->writer, [impl = impl_.get()](Transaction*) {
    if (impl->writer.is_open()) impl->writer.rollback();
    impl->writing.unlock();
  });
  if (auto begun = impl_->writer.begin(); !begun) return std::unexpected(std::move(begun.error()));
  return lent;
}

void SqliteStore::limit_pages(std::int64_t pages) {
  const std::lock_guard lock(impl_->writing);
  const auto set = sqlite_of(impl_->writer).execute(fmt::format("PRAGMA max_page_count={}", pages));
  ensure(set.has_value(), "a page limit can be set");
}

}  // namespace berth::sqlite
