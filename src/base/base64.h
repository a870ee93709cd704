// Bytes as text: base 64 with the standard alphabet and padding (RFC 4648, section 4).
#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace berth {

[[nodiscard]] std::string to_base64(std::string_view bytes);
// Empty when it is no such text, padding included.
[[nodiscard]] std::optional<std::string> from_base64(std::string_view text);

}  // namespace berth
