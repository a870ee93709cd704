// Every table with every column, in the order in which they can be filled: what one database has
// and the other must get. The mover refuses to run when a schema has anything else.
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "store/sql/connection.h"

namespace berth::move {

struct Column {
  std::string_view name;
  sql::Kind kind = sql::Kind::text;
};

struct Table {
  std::string_view name;
  std::vector<Column> columns;
  std::string_view key;  // what it is sorted by; byte by byte on both sides

  [[nodiscard]] std::string column_list() const;
  // Literals to the databases: they live as long as the program.
  std::string select;
};

[[nodiscard]] const std::vector<Table>& tables();

}  // namespace berth::move
