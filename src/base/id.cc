#include "base/id.h"

namespace berth {
namespace {

constexpr std::string_view kAlphabet = "0123456789abcdefghjkmnpqrstvwxyz";
constexpr std::size_t kLetters = 26;  // 130 bits for 128: the first letter is 0..7

constexpr std::array<std::int8_t, 256> reverse_alphabet() {
  std::array<std::int8_t, 256> out{};
  for (auto& v : out) v = -1;
  for (std::size_t i = 0; i < kAlphabet.size(); ++i) {
    out[static_cast<unsigned char>(kAlphabet[i])] = static_cast<std::int8_t>(i);
  }
  return out;
}
constexpr auto kReverse = reverse_alphabet();

}  // namespace

IdBytes make_id_bytes(Timestamp now, Random& random) {
  IdBytes out;
  random.fill(out);
  // 48 bits of milliseconds, then the version; the 12 bits that follow hold the microseconds of the
  // millisecond (RFC 9562, 6.2, method 3), so that ids of one thread sort finer than a millisecond.
  const auto millis = static_cast<std::uint64_t>(now.micros / 1000);
  for (int i = 0; i < 6; ++i) out[i] = static_cast<std::uint8_t>(millis >> (40 - 8 * i));
  const auto fraction = static_cast<std::uint32_t>(now.micros % 1000 * 4096 / 1000);
  out[6] = static_cast<std::uint8_t>(0x70 | (fraction >> 8));
  out[7] = static_cast<std::uint8_t>(fraction);
  out[8] = static_cast<std::uint8_t>(0x80 | (out[8] & 0x3F));
  return out;
}

std::string id_text(std::string_view prefix, const IdBytes& bytes) {
  std::string out;
  out.resize(prefix.size() + 1 + kLetters);
  prefix.copy(out.data(), prefix.size());
  out[prefix.size()] = '_';
  std::uint64_t high = 0, low = 0;
  for (int i = 0; i < 8; ++i) high = high << 8 | bytes[i];
  for (int i = 8; i < 16; ++i) low = low << 8 | bytes[i];
  for (std::size_t i = 0; i < kLetters; ++i) {
    out[out.size() - 1 - i] = kAlphabet[low & 31];
    low = low >> 5 | high << 59;
    high >>= 5;
  }
  return out;
}

std::optional<IdBytes> id_from_text(std::string_view prefix, std::string_view text) {
  if (text.size() != prefix.size() + 1 + kLetters || !text.starts_with(prefix) ||
      text[prefix.size()] != '_') {
    return std::nullopt;
  }
  std::uint64_t high = 0, low = 0;
  for (std::size_t i = prefix.size() + 1; i < text.size(); ++i) {
    const int value = kReverse[static_cast<unsigned char>(text[i])];
    if (value < 0 || (i == prefix.size() + 1 && value > 7)) return std::nullopt;
    high = high << 5 | low >> 59;
    low = low << 5 | static_cast<std::uint64_t>(value);
  }
  IdBytes out;
  for (int i = 0; i < 8; ++i) out[i] = static_cast<std::uint8_t>(high >> (56 - 8 * i));
  for (int i = 0; i < 8; ++i) out[8 + i] = static_cast<std::uint8_t>(low >> (56 - 8 * i));
  return out;
}

}  // namespace berth
