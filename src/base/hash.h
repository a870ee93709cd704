// SHA-256 for stored tokens and request fingerprints, and a comparison whose time does not depend
// on where the inputs differ.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace berth {

using Digest = std::array<std::uint8_t, 32>;

[[nodiscard]] Digest sha256(std::string_view text);
[[nodiscard]] std::string to_hex(std::string_view bytes);
[[nodiscard]] bool equal_in_constant_time(std::string_view a, std::string_view b);

struct DigestHash {
  std::size_t operator()(const Digest& d) const noexcept {
    std::size_t out = 0;
    for (std::size_t i = 0; i < sizeof out; ++i) out |= std::size_t{d[i]} << (8 * i);
    return out;
  }
};

}  // namespace berth
