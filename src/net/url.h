// Targets of requests as decoded text. What decodes in two ways is refused: a path is split before
// it is decoded, and a segment that would change the path's shape is an error.
#pragma once
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace berth::net {

// Refuses a malformed escape, NUL and what is not UTF-8.
[[nodiscard]] Result<std::string> percent_decode(std::string_view text);
// Everything but letters, digits and "-._~" becomes an escape; fit for a segment or a query value.
[[nodiscard]] std::string percent_encode(std::string_view text);

// "a=1&b" gives {a,1} {b,}. A plus is a blank, as forms have it; names may repeat, order is kept.
using Query = std::vector<std::pair<std::string, std::string>>;
[[nodiscard]] Result<Query> parse_query(std::string_view query);

// "/v1/a%20b" gives {"v1", "a b"}, "/" nothing; "/v1/" ends with an empty segment. Refuses a path
// without leading slash, empty segments elsewhere, "." and "..", and slashes or backslashes inside
// a segment, escaped or not.
[[nodiscard]] Result<std::vector<std::string>> path_segments(std::string_view path);

}  // namespace berth::net
