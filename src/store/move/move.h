// Moves an installation from SQLite to PostgreSQL: all rows in one transaction, counted and
// compared on both sides before it is committed.
#pragma once
#include <string>
#include <vector>

#include "base/hash.h"
#include "base/result.h"

namespace berth::move {

struct MovedTable {
  std::string name;
  std::int64_t rows = 0;
  Digest content;  // the same on both sides: of all rows in the order of the key
};

struct MoveReport {
  std::vector<MovedTable> tables;
  // Texts that were no UTF-8, which PostgreSQL does not take: their wrong bytes are U+FFFD now.
  std::int64_t repaired_texts = 0;
};

// `file` is read as it is at this moment, so nothing should be writing it any more: what comes
// later stays behind. The target gets its schema when it has none; it is refused when it has any
// rows.
[[nodiscard]] Result<MoveReport> move_all(const std::string& file, const std::string& url);

}  // namespace berth::move
