// Opaque random tokens with a prefix that people and secret scanners recognise. 256 bits; only the
// SHA-256 is stored.
#pragma once
#include <string>
#include <string_view>

#include "base/hash.h"
#include "base/random.h"

namespace berth {

inline constexpr std::string_view kAccessPrefix = "berth_at_";
inline constexpr std::string_view kRefreshPrefix = "berth_rt_";
inline constexpr std::string_view kKeyPrefix = "berth_key_";
inline constexpr std::string_view kInvitePrefix = "berth_inv_";
inline constexpr std::string_view kSetupPrefix = "berth_setup_";

struct Token {
  std::string text;    // shown once
  Digest digest;       // stored
  std::string prefix;  // stored, to recognise it by
};

[[nodiscard]] Token make_token(std::string_view prefix, Random& random);

}  // namespace berth
