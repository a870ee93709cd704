// The schema's versions: each database has its own files schema/NNNN_name.sql, applied in order,
// each in one transaction together with its mark.
#pragma once
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/hash.h"
#include "base/result.h"
#include "base/time.h"

namespace berth::sql {

struct Migration {
  std::string_view name;  // "0001_initial"
  std::string_view sql;
};

struct MigrationState {
  std::string name;
  std::optional<Timestamp> applied_at;  // empty: not yet
  bool known = true;                    // false: of a newer version of Berth
  bool changed = false;  // applied from another text than the one that this version has
};

// A row of the table schema_migrations.
struct AppliedMigration {
  std::string name;
  Digest digest;
  Timestamp applied_at;
};

// What there is and what was applied, by name.
[[nodiscard]] std::vector<MigrationState> compare(std::span<const Migration> known,
                                                  const std::vector<AppliedMigration>& applied);
// Why this program must not touch that database, now or even with `migrate`; empty: it may.
[[nodiscard]] std::optional<std::string> objection(const std::vector<MigrationState>& states);
[[nodiscard]] bool is_current(const std::vector<MigrationState>& states);

}  // namespace berth::sql
