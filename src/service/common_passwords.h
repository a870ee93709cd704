// Passwords that anybody would try first. Rules instead of a list: each well-known word stands for
// the thousands of forms that people give it (capitals, digits for letters, a year or a mark behind
// it).
#pragma once
#include <string_view>

namespace berth {

[[nodiscard]] bool is_common_password(std::string_view password);

}  // namespace berth
