// Identifiers: 16 bytes of UUIDv7 (RFC 9562, section 5.7), so they sort by creation time, with a
// type per kind of thing. As text: a prefix and 26 letters of Crockford's base 32, for example
// dep_01jd4qz3kfe8mv0c9x7r2t5w6y; text order equals byte order.
#pragma once
#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "base/random.h"
#include "base/time.h"

namespace berth {

using IdBytes = std::array<std::uint8_t, 16>;

[[nodiscard]] IdBytes make_id_bytes(Timestamp now, Random& random);
[[nodiscard]] std::string id_text(std::string_view prefix, const IdBytes& bytes);
[[nodiscard]] std::optional<IdBytes> id_from_text(std::string_view prefix, std::string_view text);

template <class Tag>
class Id {
 public:
  static constexpr std::string_view prefix = Tag::prefix;

  constexpr Id() = default;  // the nil id, older than every other
  explicit constexpr Id(const IdBytes& bytes) : bytes_(bytes) {}
  [[nodiscard]] static Id make(Timestamp now, Random& random) {
    return Id(make_id_bytes(now, random));
  }
  [[nodiscard]] static std::optional<Id> parse(std::string_view text) {
    const auto bytes = id_from_text(prefix, text);
    return bytes ? std::optional(Id(*bytes)) : std::nullopt;
  }
  [[nodiscard]] std::string str() const { return id_text(prefix, bytes_); }
  [[nodiscard]] const IdBytes& bytes() const { return bytes_; }
  // When it was made, to the millisecond.
  [[nodiscard]] Timestamp made_at() const {
    std::int64_t millis = 0;
    for (std::size_t i = 0; i < 6; ++i) millis = millis << 8 | bytes_[i];
    return {millis * 1000};
  }
  [[nodiscard]] bool is_nil() const { return bytes_ == IdBytes{}; }
  friend constexpr auto operator<=>(const Id&, const Id&) = default;

 private:
  IdBytes bytes_{};
};

template <class Tag>
struct IdHash {
  std::size_t operator()(const Id<Tag>& id) const noexcept {
    std::size_t low = 0, high = 0;
    std::memcpy(&high, id.bytes().data(), 8);
    std::memcpy(&low, id.bytes().data() + 8, 8);  // the random half
    return low ^ (high * 0x9E3779B97F4A7C15ULL);
  }
};

}  // namespace berth

template <class Tag>
struct std::hash<berth::Id<Tag>> : berth::IdHash<Tag> {};
