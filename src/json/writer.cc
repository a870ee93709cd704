#include "json/writer.h"

#include <bit>
#include <cmath>
#include <cstring>

#include "json/utf8.h"

namespace berth::json::detail {
namespace {

constexpr std::uint64_t each(std::uint64_t byte) { return byte * 0x0101010101010101ULL; }

// How many leading bytes can be copied as they are: printable ASCII, no quote, no backslash.
std::size_t plain_length(std::string_view text) {
  std::size_t at = 0;
  // Eight bytes at a time; a set high bit marks a byte that is not plain. The lowest mark is always
  // right, and a borrow can only add marks above a right one.
  if constexpr (std::endian::native == std::endian::little) {
    for (; at + 8 <= text.size(); at += 8) {
      std::uint64_t word = 0;
      std::memcpy(&word, text.data() + at, 8);
      const std::uint64_t quote = word ^ each('"');
      const std::uint64_t slash = word ^ each('\\');
      const std::uint64_t marks = (word | ((word - each(0x20)) & ~word) |
                                   ((quote - each(1)) & ~quote) | ((slash - each(1)) & ~slash)) &
                                  each(0x80);
      if (marks != 0) return at + static_cast<std::size_t>(std::countr_zero(marks)) / 8;
    }
  }
  for (; at < text.size(); ++at) {
    const auto c = static_cast<unsigned char>(text[at]);
    if (c < 0x20 || c >= 0x80 || c == '"' || c == '\\') break;
  }
  return at;
}

void write_control(std::string& out, unsigned char c) {
  constexpr std::string_view kHex = "0123456789abcdef";
  switch (c) {
    case '\n':
      out += "\\n";
      return;
    case '\t':
      out += "\\t";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\b':
      out += "\\b";
      return;
    case '\f':
      out += "\\f";
      return;
    default:
      break;
  }
  out += "\\u00";
  out += kHex[c >> 4];
  out += kHex[c & 15];
}

}  // namespace

void write_string(std::string& out, std::string_view text) {
  out += '"';
  while (true) {
    const std::size_t plain = plain_length(text);
    out.append(text.data(), plain);
    text.remove_prefix(plain);
    if (text.empty()) break;
    const auto c = static_cast<unsigned char>(text.front());
    std::size_t used = 1;
    if (c < 0x20) {
      write_control(out, c);
    } else if (c < 0x80) {
      out += '\\';
      out += text.front();
    } else if (used = utf8_length(text); used != 0) {
      out.append(text.data(), used);
    } else {
      out += "\xEF\xBF\xBD";
      used = 1;
    }
    text.remove_prefix(used);
  }
  out += '"';
}

void write_double(std::string& out, double value) {
  if (!std::isfinite(value)) {
    out += "null";
    return;
  }
  write_integer(out, value);
}

}  // namespace berth::json::detail
