#include <fmt/format.h>

#include <algorithm>

#include "store/postgres/encoding.h"
#include "store/postgres/migrations.h"
#include "store/postgres/postgres_store.h"

namespace berth::postgres {
namespace {

// Any number that nobody else uses: whoever migrates holds it.
constexpr std::int64_t kAdvisoryLock = 0x6265727468;

Options patient(const std::string& url) {
  Options out{url};
  out.statement_timeout = out.lock_timeout = out.idle_in_transaction_timeout = {};  // none
  return out;
}

Result<std::vector<sql::MigrationState>> states_of(Link& link) {
  std::vector<sql::AppliedMigration> applied;
  const auto any = link.run("SELECT to_regclass('schema_migrations') IS NOT NULL");
  if (!any) return std::unexpected(any.error());
  if (std::string_view(PQgetvalue(any->get(), 0, 0)) == "t") {
    auto read = link.each_row(
        "SELECT name, digest, applied_at FROM schema_migrations", [&](const PGresult& row, int at) {
          const auto column = [&](int i) {
            return std::string_view(PQgetvalue(&row, at, i),
                                    static_cast<std::size_t>(PQgetlength(&row, at, i)));
          };
          sql::AppliedMigration one;
          one.name = column(0);
          if (column(1).size() == one.digest.size()) {
            std::ranges::copy(column(1), one.digest.begin());
          }
          one.applied_at = {number_of(column(2))};
          applied.push_back(std::move(one));
        });
    if (!read) return std::unexpected(std::move(read.error()));
  }
  return sql::compare(migrations(), applied);
}

std::string marked(const sql::Migration& migration, Timestamp now) {
  const auto digest = sha256(migration.sql);
  const std::string_view bytes(reinterpret_cast<const char*>(digest.data()), digest.size());
  return fmt::format("BEGIN; {} INSERT INTO schema_migrations VALUES ('{}', '\\x{}', {}); COMMIT",
                     migration.sql, migration.name, to_hex(bytes), now.micros);
}

}  // namespace

Result<std::vector<sql::MigrationState>> migration_status(const std::string& url) {
  auto link = Link::open(Options{url}, true);
  if (!link) return std::unexpected(std::move(link.error()));
  return states_of(**link);
}

Result<void> migrate(const std::string& url) {
  auto link = Link::open(patient(url), false);
  if (!link) return std::unexpected(std::move(link.error()));
  // Held until the connection ends. After it, so that what another one did is seen.
  if (auto locked = (*link)->run(fmt::format("SELECT pg_advisory_lock({})", kAdvisoryLock));
      !locked) {
    return std::unexpected(std::move(locked.error()));
  }
  if (auto made = (*link)->run("CREATE TABLE IF NOT EXISTS schema_migrations (name text COLLATE "
                               "\"C\" PRIMARY KEY, digest bytea NOT NULL, applied_at bigint NOT "
                               "NULL)");
      !made) {
    return std::unexpected(std::move(made.error()));
  }
  const auto states = states_of(**link);
  if (!states) return std::unexpected(states.error());
  if (const auto why = sql::objection(*states)) {
    return fail(Code::failed_precondition, "schema_unknown", *why);
  }
  for (const auto& migration : migrations()) {
    const auto state = std::ranges::find(*states, migration.name, &sql::MigrationState::name);
    if (state->applied_at) continue;
    if (auto done = (*link)->run(marked(migration, SystemClock().now())); !done) {
      done.error().message =
          fmt::format("migration {} failed: {}", migration.name, done.error().message);
      return std::unexpected(std::move(done.error()));
    }
  }
  return {};
}

}  // namespace berth::postgres
