#include "api/schema_rules.h"

#include <algorithm>

namespace berth::json::rule {

bool is_env_name(std::string_view text) {
  const auto letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  };
  return !text.empty() && text.size() <= 255 && letter(text.front()) &&
         std::all_of(text.begin(), text.end(),
                     [&](char c) { return letter(c) || (c >= '0' && c <= '9'); });
}
bool is_path(std::string_view text) {
  return text.starts_with('/') &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7F; });
}
bool is_label(std::string_view text) { return text.size() <= 255 && has_no_nul(text); }
bool has_no_nul(std::string_view text) { return text.find('\0') == std::string_view::npos; }

}  // namespace berth::json::rule
