#include "store/sqlite/sqlite_store.h"

#include <fmt/format.h>

#include <set>
#include <stdexcept>

#include "base/ensure.h"
#include "store/sqlite/migrations.h"
#include "store/sqlite/session.h"

namespace berth::sqlite {
namespace {

[[noreturn]] void stop(const std::string& what, const Error& error) {
  throw std::runtime_error(fmt::format("{}: {}", what, error.message));
}

// Each migration is one transaction together with its mark, so one that is killed half-way leaves
// nothing behind and is run again at the next start.
void migrate(Session& session) {
  Connection& db = session.connection();
  if (auto made =
          db.execute("CREATE TABLE IF NOT EXISTS schema_migrations ("
                     "name TEXT PRIMARY KEY, digest BLOB NOT NULL, applied_at INTEGER NOT NULL"
                     ") STRICT");
      !made) {
    stop("cannot prepare the database", made.error());
  }
  std::set<std::string> applied;
  {
    auto query = db.query("SELECT name FROM schema_migrations");
    auto names = all<std::string>(query, [](Query& q) { return q.text(); });
    if (!names) stop("cannot read the database's version", names.error());
    applied.insert(names->begin(), names->end());
  }
  for (const auto& migration : migrations()) {
    if (applied.erase(std::string(migration.name)) > 0) continue;
    auto step = session.begin();
    if (step) step = db.execute(std::string(migration.sql));
    if (step) {
      step = done(db.query("INSERT INTO schema_migrations VALUES (?1, ?2, ?3)")
                      .with(migration.name, sha256(migration.sql), SystemClock().now())
                      .run());
    }
    if (step) {
      if (auto committed = session.commit(); !committed) step = std::unexpected(committed.error());
    }
    if (!step) stop(fmt::format("migration {} failed", migration.name), step.error());
  }
  if (!applied.empty()) {
    throw std::runtime_error(fmt::format(
        "the database was written by a newer version of Berth (it has {}); use that version",
        *applied.begin()));
  }
}

}  // namespace

struct SqliteStore::Impl {
  explicit Impl(Options o)
      : options(std::move(o)), writer(options.file, false, options.writer_cache_kib) {
    migrate(writer);
  }
  Options options;
  std::mutex writing;  // one transaction at a time
  Session writer;
};

SqliteStore::SqliteStore(Options options) : impl_(std::make_unique<Impl>(std::move(options))) {}
SqliteStore::~SqliteStore() = default;

Result<std::unique_ptr<ReadView>> SqliteStore::open_view() {
  try {
    return std::make_unique<Session>(impl_->options.file, true, impl_->options.reader_cache_kib);
  } catch (const std::runtime_error& e) {
    return fail(Code::unavailable, "storage_failed", e.what());
  }
}

Result<std::unique_ptr<ReadView>> SqliteStore::open_read_only(const std::string& file) {
  try {
    auto session = std::make_unique<Session>(file, true, Options{}.reader_cache_kib);
    if (auto frozen = session->freeze(); !frozen) return std::unexpected(std::move(frozen.error()));
    return session;
  } catch (const std::runtime_error& e) {
    return fail(Code::unavailable, "storage_failed", e.what());
  }
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
  const auto set =
      impl_->writer.connection().execute(fmt::format("PRAGMA max_page_count={}", pages));
  ensure(set.has_value(), "a page limit can be set");
}

}  // namespace berth::sqlite
