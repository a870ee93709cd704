// What the declarations of the API say again and again about a field.
#pragma once
#include <algorithm>
#include <array>

#include "api/types.h"
#include "json/rules.h"
#include "service/accounts.h"

namespace berth::json {

namespace rule {
using namespace std::string_view_literals;

inline constexpr std::string_view kNamePattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$";
constexpr Rules name(std::string_view doc, std::string_view example, bool required = true) {
  return {.doc = doc,
          .example = example,
          .min_len = 1,
          .max_len = 63,
          .pattern = kNamePattern,
          .check = is_name,
          .expected = "1 to 63 letters, digits, '-', '_' or '.', beginning with a letter or digit",
          .required = required};
}
constexpr Rules doc(std::string_view text, std::string_view example = {}) {
  return {.doc = text, .example = example};
}
constexpr Rules must(std::string_view text, std::string_view example = {}) {
  return {.doc = text, .example = example, .required = true};
}
constexpr Rules range(std::string_view text, std::int64_t min, std::int64_t max,
                      std::string_view example = {}) {
  return {.doc = text, .example = example, .min = min, .max = max};
}
constexpr Rules text(std::string_view doc, std::size_t max_len, std::string_view example = {}) {
  return {.doc = doc, .example = example, .max_len = max_len};
}

constexpr Rules gpu_model(std::string_view doc) {
  return {.doc = doc, .example = "\"A100|H100\"", .min_len = 1, .max_len = 255};
}

// A variable's name as POSIX has it.
bool is_env_name(std::string_view text);
bool is_path(std::string_view text);
bool is_label(std::string_view text);
bool has_no_nul(std::string_view text);
constexpr Rules labels(std::string_view doc) {
  return {.doc = doc,
          .max_len = 100,
          .check = is_label,
          .key_check = is_name,
          .expected = "a value of up to 255 characters",
          .key_expected = "a name of up to 63 letters, digits, '-', '_' or '.'"};
}
}  // namespace rule

}  // namespace berth::json
