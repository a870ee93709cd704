#include "api/cursor.h"

#include <algorithm>
#include <cstdint>

#include "base/hash.h"

namespace berth::api {
namespace {

constexpr std::string_view kLetters =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr std::size_t kCheckBytes = 6;
constexpr std::size_t kLongest = 256;

std::string check_of(std::string_view place) {
  const Digest digest = sha256("cursor " + std::string(place));
  return {reinterpret_cast<const char*>(digest.data()), kCheckBytes};
}

// Base 64 for URLs, without padding.
std::string encode(std::string_view bytes) {
  std::string out;
  std::uint32_t bits = 0;
  int held = 0;
  for (const char c : bytes) {
    bits = bits << 8 | static_cast<unsigned char>(c);
    for (held += 8; held >= 6; held -= 6) out += kLetters[bits >> (held - 6) & 63];
  }
  if (held > 0) out += kLetters[bits << (6 - held) & 63];
  return out;
}

std::optional<std::string> decode(std::string_view text) {
  std::string out;
  std::uint32_t bits = 0;
  int held = 0;
  for (const char c : text) {
    const auto letter = kLetters.find(c);
    if (letter == std::string_view::npos) return std::nullopt;
    bits = bits << 6 | static_cast<std::uint32_t>(letter);
    held += 6;
    if (held >= 8) out += static_cast<char>(bits >> (held -= 8) & 255);
  }
  return out;
}

}  // namespace

std::string seal_cursor(std::string_view place) {
  return encode(check_of(place) + std::string(place));
}

std::optional<std::string> open_cursor(std::string_view cursor) {
  if (cursor.size() > kLongest) return std::nullopt;
  const auto bytes = decode(cursor);
  if (!bytes || bytes->size() <= kCheckBytes) return std::nullopt;
  std::string place = bytes->substr(kCheckBytes);
  // The same text again, so that there is one cursor a place.
  if (check_of(place) + place != *bytes || encode(*bytes) != cursor) return std::nullopt;
  return place;
}

}  // namespace berth::api
