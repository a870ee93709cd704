// YAML as another way to write the same documents as JSON.
#pragma once
#include <string>
#include <string_view>

#include "json/value.h"

namespace berth::json {

// One document of YAML 1.2, core schema: true, null, 12 and 1.5 without quotes are not strings;
// everything quoted is. At most 1 MiB, 32 levels and 10,000 nodes. Refused: aliases, tags other
// than
// !!str, keys that are not scalars, duplicate keys, numbers that JSON does not have.
// Errors: invalid_argument with one field, invalid_yaml or duplicate_key; the message begins with
// line and column.
[[nodiscard]] Result<Value> from_yaml(std::string_view text);

// Block style, two blanks a level, ending in a newline. from_yaml reads it back as the same value.
[[nodiscard]] std::string to_yaml(const Value& value);

}  // namespace berth::json
