#include "app/migrations.h"

#include <fmt/format.h>

#include "app/data_dir.h"
#include "app/databases.h"
#include "cli/exit_code.h"
#include "cli/output.h"
#include "store/move/move.h"
#include "store/postgres/postgres_store.h"
#include "store/sqlite/sqlite_store.h"

namespace berth::app {
namespace {

int refused(const Error& error) {
  fmt::print(stderr, "berth: {}\n", error.message);
  return error.code == Code::invalid_argument ? cli::kUsage : cli::kUnexpected;
}

Result<std::vector<sql::MigrationState>> states_of(const ServeConfig& config) {
  const auto file = sqlite_file(config);
  if (file.empty()) return postgres::migration_status(config.database);
  if (!std::filesystem::exists(file)) {
    return fail(Code::not_found, "no_database",
                fmt::format("There is no database {} yet.", file.string()));
  }
  return sqlite::migration_status(file.string());
}

// Nobody else uses the file while this lives.
Result<DataDir> lock_file_of(const ServeConfig& config) {
  return DataDir::open(config.data_dir, config.separate_users, sqlite_file(config));
}

}  // namespace

int show_migrations(const ServeConfig& config, const cli::Global& global) {
  if (auto fine = check(config); !fine) return refused(fine.error());
  const auto states = states_of(config);
  if (!states) return refused(states.error());
  cli::Table table({"MIGRATION", "APPLIED"});
  boost::json::array rows;
  bool missing = false;
  for (const auto& state : *states) {
    const std::string at = state.applied_at ? to_rfc3339(*state.applied_at) : "";
    table.add({state.name, at.empty() ? "no" : at});
    rows.push_back(boost::json::object{
        {"name", state.name},
        {"applied_at", at.empty() ? boost::json::value() : boost::json::value(at)}});
    missing = missing || at.empty();
  }
  cli::print_value(global, boost::json::object{{"migrations", std::move(rows)}}, table);
  if (const auto why = sql::objection(*states)) return refused({Code::internal, "schema", *why});
  if (missing && !global.quiet)
    fmt::print(stderr, "Apply what is missing with: berth admin migrate up\n");
  return cli::kOk;
}

int apply_migrations(const ServeConfig& config, const cli::Global& global) {
  if (auto fine = check(config); !fine) return refused(fine.error());
  if (is_shared(config)) {
    if (auto done = postgres::migrate(config.database); !done) return refused(done.error());
  } else {
    const auto held = lock_file_of(config);
    if (!held) return refused(held.error());
    (void)open_store(config);  // migrates
  }
  if (!global.quiet) fmt::print(stderr, "The schema is up to date.\n");
  return show_migrations(config, global);
}

int move_installation(const ServeConfig& config, const std::string& target,
                      const cli::Global& global) {
  if (auto fine = check(config); !fine) return refused(fine.error());
  const auto file = sqlite_file(config);
  if (file.empty()) {
    return refused({Code::invalid_argument, "configuration",
                    "It is moved from SQLite: give --data-dir, or --database sqlite:///PATH."});
  }
  if (!std::filesystem::exists(file)) {
    return refused(
        {Code::not_found, "no_database", fmt::format("There is no database {}.", file.string())});
  }
  const auto held = lock_file_of(config);
  if (!held) return refused(held.error());
  const auto report = move::move_all(file.string(), target);
  if (!report) return refused(report.error());
  cli::Table table({"TABLE", "ROWS", "CONTENT"});
  boost::json::array rows;
  for (const auto& moved : report->tables) {
    const std::string content =
        to_hex({reinterpret_cast<const char*>(moved.content.data()), moved.content.size()});
    table.add({moved.name, std::to_string(moved.rows), content.substr(0, 16)});
    rows.push_back(
        boost::json::object{{"table", moved.name}, {"rows", moved.rows}, {"content", content}});
  }
  cli::print_value(
      global,
      boost::json::object{{"tables", std::move(rows)}, {"repaired_texts", report->repaired_texts}},
      table);
  if (!global.quiet) {
    fmt::print(stderr,
               "Moved, and the same on both sides. The file {} is as it was; start the processes "
               "with --database and the new URL.\n",
               file.string());
  }
  return cli::kOk;
}

}  // namespace berth::app
