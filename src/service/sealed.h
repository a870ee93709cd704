// Text that only whoever knows a phrase can read back: stored replies hold secrets that are shown
// once.
#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace berth {

// Printable; another text each time.
[[nodiscard]] std::string seal(std::string_view text, std::string_view phrase);
// Empty when the phrase is another one, or the text was changed.
[[nodiscard]] std::optional<std::string> unseal(std::string_view sealed, std::string_view phrase);

}  // namespace berth
