#include "store/postgres/encoding.h"

namespace berth::postgres {
namespace {

// The length of the well-formed UTF-8 sequence at the beginning of `text`, or 0.
std::size_t sequence(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto follows = [&](std::size_t i, unsigned low = 0x80, unsigned high = 0xBF) {
    return i < text.size() && byte(i) >= low && byte(i) <= high;
  };
  const unsigned first = byte(0);
  if (first == 0) return 0;
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return follows(1) ? 2 : 0;
  if (first >= 0xE0 && first <= 0xEF) {  // neither overlong nor half of a surrogate pair
    const bool second = follows(1, first == 0xE0 ? 0xA0 : 0x80, first == 0xED ? 0x9F : 0xBF);
    return second && follows(2) ? 3 : 0;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    const bool second = follows(1, first == 0xF0 ? 0x90 : 0x80, first == 0xF4 ? 0x8F : 0xBF);
    return second && follows(2) && follows(3) ? 4 : 0;
  }
  return 0;
}

}  // namespace

unsigned type_of(sql::Kind kind) {
  switch (kind) {
    case sql::Kind::integer:
      return kInt8;
    case sql::Kind::real:
      return kFloat8;
    case sql::Kind::flag:
      return kBool;
    case sql::Kind::text:
      return kText;
    case sql::Kind::bytes:
      return kBytes;
  }
  return kText;
}

std::int64_t number_of(std::string_view bytes) {
  if (bytes.empty()) return 0;
  // A bool is one byte; longer ones carry their sign in the first.
  std::uint64_t out = bytes.size() > 1 && (bytes[0] & 0x80) != 0 ? ~std::uint64_t{0} : 0;
  for (const char c : bytes) out = (out << 8) | static_cast<unsigned char>(c);
  return static_cast<std::int64_t>(out);
}
std::uint64_t bits_of(double value) { return std::bit_cast<std::uint64_t>(value); }
double real_of(std::string_view bytes) { return std::bit_cast<double>(number_of(bytes)); }

bool is_clean(std::string_view text) {
  while (!text.empty()) {
    const std::size_t length = sequence(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

std::string cleaned(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t length = sequence(text);
    if (length == 0) {
      out += "\xEF\xBF\xBD";
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return out;
}

void Array::add(std::int64_t value) {
  ++count_;
  put_number(items_, std::int32_t{8});
  put_number(items_, value);
}
void Array::add_text(std::string_view value) {
  if (!is_clean(value)) return add_bytes(cleaned(value));
  add_bytes(value);
}
void Array::add_bytes(const std::optional<std::string_view>& value) {
  ++count_;
  if (!value) {
    has_null_ = true;
    put_number(items_, std::int32_t{-1});
    return;
  }
  put_number(items_, static_cast<std::int32_t>(value->size()));
  items_ += *value;
}
std::string Array::finish() const {
  std::string out;
  put_number(out, std::int32_t{count_ == 0 ? 0 : 1});  // dimensions
  put_number(out, std::int32_t{has_null_ ? 1 : 0});
  put_number(out, static_cast<std::uint32_t>(element_));
  if (count_ == 0) return out;
  put_number(out, count_);
  put_number(out, std::int32_t{1});  // the first index
  return out + items_;
}

}  // namespace berth::postgres
