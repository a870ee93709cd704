// Cursor pages: lists are asked for one entry more than shown, so it is known whether there is a
// next.
#pragma once
#include <string>
#include <vector>

#include "api/context.h"
#include "api/convert.h"
#include "api/cursor.h"

namespace berth::api {

inline const std::vector<QueryParam> kPageParams{
    {"limit", "Entries on a page.", R"({"type":"integer","minimum":1,"maximum":200,"default":50})"},
    {"cursor", "'next' of the page before."}};

inline const QueryParam kAtParam{
    "at",
    "A time in the past, or index:N for an entry of the cluster's record: what the answer was "
    "then.",
    R"({"type":"string","examples":["2026-01-02T03:04:05Z","index:812"]})"};

template <class View, class Row, class CursorOf>
Page<View> page_of(const std::vector<Row>& rows, std::size_t limit, CursorOf cursor) {
  Page<View> page;
  for (std::size_t i = 0; i < rows.size() && i < limit; ++i) page.items.push_back(view(rows[i]));
  if (rows.size() > limit) page.next = seal_cursor(cursor(rows[limit - 1]));
  return page;
}

}  // namespace berth::api
