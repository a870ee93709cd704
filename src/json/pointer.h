// JSON pointers (RFC 6901), and how names from outside are quoted in messages.
#pragma once
#include <string>
#include <string_view>

#include "base/result.h"

namespace berth::json {

void append_token(std::string& pointer, std::string_view key);
inline void append_token(std::string& pointer, std::size_t index) {
  pointer += '/';
  pointer += std::to_string(index);
}

// In double quotes, escaped, and cut after 60 bytes: names come from whoever sent the document.
[[nodiscard]] std::string quoted(std::string_view name);

// The refusal of the value at `pointer`; `rest` completes a sentence that begins with its name.
[[nodiscard]] FieldError field_error(std::string pointer, std::string_view code,
                                     std::string_view rest);

}  // namespace berth::json
