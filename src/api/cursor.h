// Cursors of lists: a place in the order of the list, wrapped so that nobody builds on what is
// inside. A cursor gives no rights (each page is authorized anew), so the check only tells garbage
// from cursors.
#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace berth::api {

[[nodiscard]] std::string seal_cursor(std::string_view place);
// Empty when this server cannot have made it.
[[nodiscard]] std::optional<std::string> open_cursor(std::string_view cursor);

}  // namespace berth::api
