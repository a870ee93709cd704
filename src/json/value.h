// JSON documents that have no struct: parsed strictly, printed. Everything of ours has a struct and
// goes through reader.h and writer.h.
#pragma once
#include <boost/json/value.hpp>
#include <string>
#include <string_view>

#include "base/result.h"

namespace berth::json {

using Value = boost::json::value;

inline constexpr std::size_t kMaxDepth = 32;
inline constexpr std::size_t kMaxKeys = 1000;         // of one object
inline constexpr std::size_t kMaxItems = 10'000;      // of one array
inline constexpr std::size_t kMaxString = 64 * 1024;  // bytes
inline constexpr std::size_t kMaxKey = 1024;          // bytes
inline constexpr std::size_t kMaxNumber = 1024;       // characters

// RFC 8259 and nothing more: no comments, no trailing commas, UTF-8 and surrogate pairs checked. A
// number is an int64 where that is exact, a uint64 above it, otherwise the nearest double.
// Errors: invalid_argument with one field: invalid_json (at line and column), duplicate_key,
// too_many, too_long, out_of_range.
[[nodiscard]] Result<Value> parse(std::string_view text);
// The same in the memory of `storage`, which must outlive the value.
[[nodiscard]] Result<Value> parse(std::string_view text, boost::json::storage_ptr storage);

void write(std::string& out, const Value& value);
[[nodiscard]] std::string to_text(const Value& value);
// Two blanks a level, one member a line, no newline at the end.
[[nodiscard]] std::string pretty(const Value& value);

}  // namespace berth::json
