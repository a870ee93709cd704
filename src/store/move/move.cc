#include "store/move/move.h"

#include <fmt/format.h>

#include <set>
#include <stdexcept>

#include "store/move/tables.h"
#include "store/postgres/encoding.h"
#include "store/postgres/link.h"
#include "store/postgres/postgres_store.h"
#include "store/sqlite/connection.h"
#include "store/sqlite/sqlite_store.h"

namespace berth::move {
namespace {

using postgres::Link;
using Columns = std::set<std::string>;  // "table.column"

std::unexpected<Error> refuse(std::string reason, std::string message) {
  return fail(Code::failed_precondition, std::move(reason), std::move(message));
}

// Rows in the order of their key, one after the other: a digest of the digest before and the row.
class Tally {
 public:
  void add(std::string_view row) {
    ++rows_;
    std::string bytes(reinterpret_cast<const char*>(content_.data()), content_.size());
    bytes += row;
    content_ = sha256(bytes);
  }
  [[nodiscard]] MovedTable of(const Table& table) const {
    return {std::string(table.name), rows_, content_};
  }

 private:
  std::int64_t rows_ = 0;
  Digest content_{};
};

// A value as PostgreSQL has it in binary, with its length before it.
void put_value(std::string& out, std::string_view value) {
  postgres::put_number(out, static_cast<std::int32_t>(value.size()));
  out += value;
}
void put_null(std::string& out) { postgres::put_number(out, std::int32_t{-1}); }

std::string read_row(sql::Query& row, const Table& table, std::int64_t& repaired) {
  std::string out;
  for (const auto& column : table.columns) {
    if (row.skip_null()) {
      put_null(out);
      continue;
    }
    std::string value;
    switch (column.kind) {
      case sql::Kind::integer:
        postgres::put_number(value, row.integer());
        break;
      case sql::Kind::real:
        postgres::put_number(value, postgres::bits_of(row.real()));
        break;
      case sql::Kind::flag:
        value.assign(1, row.flag() ? '\1' : '\0');
        break;
      case sql::Kind::text:
        value = row.text();
        if (!postgres::is_clean(value)) {
          value = postgres::cleaned(value);
          ++repaired;
        }
        break;
      case sql::Kind::bytes:
        value = row.bytes();
        break;
    }
    put_value(out, value);
  }
  return out;
}

class Mover {
 public:
  Mover(sqlite::Connection& from, Link& to) : from_(from), to_(to) {}

  Result<MoveReport> run() {
    auto step = from_.freeze();
    if (step) step = same_columns();
    if (step) step = script("BEGIN");
    if (step) step = target_is_empty();
    // A new database has these of its own; ours replace them.
    if (step) step = script("DELETE FROM installation");
    for (const auto& table : tables()) {
      if (step && table.name == "leases") step = script("DELETE FROM leases");
      if (step) step = copy(table);
    }
    if (step) {
      step = script(
          "UPDATE event_counter SET value = (SELECT coalesce(max(seq), 0) FROM events); "
          "SET CONSTRAINTS ALL IMMEDIATE");
    }
    for (std::size_t i = 0; step && i < tables().size(); ++i) {
      step = compare(tables()[i], report_.tables[i]);
    }
    if (step) step = script("COMMIT");
    if (!step) return std::unexpected(std::move(step.error()));
    return std::move(report_);
  }

 private:
  Result<void> script(const std::string& sql) {
    auto done = to_.run(sql);
    if (!done) return std::unexpected(std::move(done.error()));
    return {};
  }

  Result<void> same_columns() {
    Columns known, source, target;
    for (const auto& table : tables()) {
      for (const auto& column : table.columns) {
        known.insert(fmt::format("{}.{}", table.name, column.name));
      }
    }
    auto q = from_.query(
        "SELECT t.name || '.' || c.name FROM sqlite_schema t JOIN pragma_table_info(t.name) c "
        "WHERE t.type = 'table' AND t.name NOT IN ('schema_migrations') "
        "AND t.name NOT LIKE 'sqlite%'");
    auto rows = sql::all<std::string>(q, [](sql::Query& row) { return row.text(); });
    if (!rows) return std::unexpected(std::move(rows.error()));
    source.insert(rows->begin(), rows->end());
    auto read = to_.each_row(
        "SELECT table_name || '.' || column_name FROM information_schema.columns "
        "WHERE table_schema = current_schema() "
        "AND table_name NOT IN ('schema_migrations', 'event_counter')",
        [&](const PGresult& row, int at) { target.insert(PQgetvalue(&row, at, 0)); });
    if (!read) return read;
    if (source != known || target != known) {
      return refuse("schema_unknown",
                    "The databases have tables or columns that this program does not know how to "
                    "move; nothing was changed.");
    }
    return {};
  }

  Result<void> target_is_empty() {
    std::string locked;
    for (const auto& table : tables()) {
      locked += fmt::format("{}{}", locked.empty() ? "" : ", ", table.name);
    }
    if (auto got = script(fmt::format("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", locked)); !got) {
      return got;
    }
    for (const auto& table : tables()) {
      if (table.name == "installation") continue;
      const auto any = to_.run(fmt::format("SELECT 1 FROM {} LIMIT 1", table.name));
      if (!any) return std::unexpected(any.error());
      if (PQntuples(any->get()) > 0) {
        return refuse("target_not_empty",
                      fmt::format("The target has rows already (in {}); give an empty database. "
                                  "Nothing was changed.",
                                  table.name));
      }
    }
    return {};
  }

  Result<void> copy(const Table& table) {
    auto started = to_.run(
        fmt::format("COPY {} ({}) FROM STDIN (FORMAT binary)", table.name, table.column_list()));
    if (!started) return std::unexpected(std::move(started.error()));
    using namespace std::string_literals;
    std::string buffer = "PGCOPY\n\xFF\r\n\0"s + std::string(8, '\0');
    const auto send = [&] {
      const bool sent =
          PQputCopyData(to_.get(), buffer.data(), static_cast<int>(buffer.size())) == 1;
      buffer.clear();
      return sent;
    };
    constexpr std::size_t kEnough = 1 << 18;
    Tally tally;
    auto rows = from_.query(table.select.c_str());
    for (;;) {
      const auto more = rows.step();
      if (!more) return std::unexpected(more.error());
      if (!*more) break;
      const auto row = read_row(rows, table, report_.repaired_texts);
      tally.add(row);
      postgres::put_number(buffer, static_cast<std::int16_t>(table.columns.size()));
      buffer += row;
      if (buffer.size() > kEnough && !send()) return std::unexpected(postgres::lost());
    }
    postgres::put_number(buffer, std::int16_t{-1});
    if (!send() || PQputCopyEnd(to_.get(), nullptr) != 1) {
      return std::unexpected(postgres::lost());
    }
    report_.tables.push_back(tally.of(table));
    return copied();
  }

  Result<void> copied() {
    Result<void> outcome;
    while (const postgres::ResultPtr result{PQgetResult(to_.get())}) {
      if (PQresultStatus(result.get()) != PGRES_COMMAND_OK) {
        outcome = std::unexpected(postgres::error_of(result.get()));
      }
    }
    return outcome;
  }

  Result<void> compare(const Table& table, const MovedTable& moved) {
    Tally tally;
    auto read = to_.each_row(table.select, [&](const PGresult& row, int at) {
      std::string bytes;
      for (int column = 0; column < PQnfields(&row); ++column) {
        if (PQgetisnull(&row, at, column) == 1) {
          put_null(bytes);
        } else {
          put_value(bytes, {PQgetvalue(&row, at, column),
                            static_cast<std::size_t>(PQgetlength(&row, at, column))});
        }
      }
      tally.add(bytes);
    });
    if (!read) return read;
    const auto there = tally.of(table);
    if (there.rows == moved.rows && there.content == moved.content) return {};
    return fail(Code::internal, "move_differs",
                fmt::format("After copying, table {} differs: {} rows here, {} there; nothing was "
                            "kept in the target.",
                            table.name, moved.rows, there.rows));
  }

  sqlite::Connection& from_;
  Link& to_;
  MoveReport report_;
};

}  // namespace

Result<MoveReport> move_all(const std::string& file, const std::string& url) {
  const auto source = sqlite::migration_status(file);
  if (!source) return std::unexpected(source.error());
  if (const auto why = sql::objection(*source)) return refuse("schema_unknown", *why);
  if (!sql::is_current(*source)) {
    return refuse("schema_old",
                  "The SQLite database is of an older version; start this version on it once.");
  }
  if (auto migrated = postgres::migrate(url); !migrated) {
    return std::unexpected(std::move(migrated.error()));
  }
  postgres::Options patient{url};
  patient.statement_timeout = patient.idle_in_transaction_timeout = {};  // none
  auto link = Link::open(patient, false);
  if (!link) return std::unexpected(std::move(link.error()));
  try {
    sqlite::Connection from(file, true, 4096);
    return Mover(from, **link).run();
  } catch (const std::runtime_error& e) {
    return fail(Code::unavailable, "storage_failed", e.what());
  }
}

}  // namespace berth::move
