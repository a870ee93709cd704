#pragma once
#include <cstddef>
#include <string>
#include <string_view>

namespace berth::json {

// Length of the well-formed UTF-8 sequence that `text` begins with, 1 to 4; 0 when there is none.
[[nodiscard]] std::size_t utf8_length(std::string_view text);

// "line 3, column 7" of a byte offset; columns count characters from 1.
[[nodiscard]] std::string position_text(std::string_view text, std::size_t offset);

}  // namespace berth::json
