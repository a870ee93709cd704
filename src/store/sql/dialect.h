// The few places where the databases' languages differ. A shared statement writes them in braces,
// and they are replaced once, when the statement is prepared:
//   {now}             microseconds since the Unix epoch on the database's clock
//   {nocase X}        X, as it is compared and unique in any case of its ASCII letters
//   {hex X}           bytes as small hexadecimal letters
//   {for update}      locks the rows found until the end of the transaction
//   {for share of T}  keeps others from changing the rows of T, likewise
//   ?1                the first parameter
#pragma once
#include <string>
#include <string_view>

namespace berth::sql {

struct Dialect {
  // Where X stands in them is written @.
  std::string_view now, nocase, hex, for_update, for_share_of;
  char parameter = '?';
};

[[nodiscard]] std::string expand(std::string_view sql, const Dialect& dialect);

}  // namespace berth::sql
