#include "store/sql/migrations.h"

#include <fmt/format.h>

#include <algorithm>

namespace berth::sql {

std::vector<MigrationState> compare(std::span<const Migration> known,
                                    const std::vector<AppliedMigration>& applied) {
  std::vector<MigrationState> out;
  for (const auto& migration : known) {
    MigrationState state{std::string(migration.name), std::nullopt, true, false};
    const auto found = std::ranges::find(applied, state.name, &AppliedMigration::name);
    if (found != applied.end()) {
      state.applied_at = found->applied_at;
      state.changed = found->digest != sha256(migration.sql);
    }
    out.push_back(std::move(state));
  }
  for (const auto& row : applied) {
    if (std::ranges::find(known, row.name, &Migration::name) == known.end()) {
      out.push_back({row.name, row.applied_at, false, false});
    }
  }
  std::ranges::sort(out, {}, &MigrationState::name);
  return out;
}

std::optional<std::string> objection(const std::vector<MigrationState>& states) {
  for (const auto& state : states) {
    if (!state.known) {
      return fmt::format(
          "the database was written by a newer version of Berth (it has {}); use that version",
          state.name);
    }
    if (state.changed) {
      return fmt::format(
          "the database's schema {} differs from the one this version of Berth knows; use the "
          "version that made it",
          state.name);
    }
  }
  return std::nullopt;
}

bool is_current(const std::vector<MigrationState>& states) {
  return std::ranges::all_of(states,
                             [](const auto& state) { return state.applied_at.has_value(); });
}

}  // namespace berth::sql
