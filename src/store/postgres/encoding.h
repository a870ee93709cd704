// Values in PostgreSQL's binary form: numbers in network order, arrays with a header.
#pragma once
#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "store/sql/connection.h"

namespace berth::postgres {

// Type numbers, the same in every PostgreSQL.
inline constexpr unsigned kBool = 16, kBytes = 17, kInt8 = 20, kText = 25, kFloat8 = 701;
inline constexpr unsigned kBytesArray = 1001, kTextArray = 1009, kInt8Array = 1016;

[[nodiscard]] unsigned type_of(sql::Kind kind);

template <class Number>
void put_number(std::string& out, Number value) {
  if constexpr (std::endian::native == std::endian::little) value = std::byteswap(value);
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}
[[nodiscard]] std::int64_t number_of(std::string_view bytes);  // of 1, 2, 4 or 8 bytes
[[nodiscard]] std::uint64_t bits_of(double value);
[[nodiscard]] double real_of(std::string_view bytes);

// PostgreSQL takes no text that is not UTF-8, and no zero bytes. What is wrong becomes U+FFFD.
[[nodiscard]] bool is_clean(std::string_view text);
[[nodiscard]] std::string cleaned(std::string_view text);

// One array of one dimension, element by element.
class Array {
 public:
  explicit Array(unsigned element) : element_(element) {}
  void add(std::int64_t value);
  void add_text(std::string_view value);
  void add_bytes(const std::optional<std::string_view>& value);
  [[nodiscard]] std::string finish() const;

 private:
  unsigned element_;
  std::int32_t count_ = 0;
  bool has_null_ = false;
  std::string items_;
};

}  // namespace berth::postgres
