// Errors that both databases report in the same words.
#pragma once
#include <string_view>

#include "base/result.h"

namespace berth::sql {

// A name that exists. `rule` is what the database calls the broken rule: in SQLite "table.column"
// of its first column, in PostgreSQL the name of the constraint or index.
[[nodiscard]] Error taken(std::string_view rule);
[[nodiscard]] Error refused_by_check(std::string_view text);
[[nodiscard]] Error refused_by_constraint(std::string_view text);
[[nodiscard]] Error disk_full();

}  // namespace berth::sql
