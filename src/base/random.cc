#include "base/random.h"

#include <sodium.h>

#include "base/ensure.h"

namespace berth {

SystemRandom::SystemRandom() { ensure(sodium_init() >= 0, "libsodium starts"); }

void SystemRandom::fill(std::span<std::uint8_t> out) { randombytes_buf(out.data(), out.size()); }

void SeededRandom::fill(std::span<std::uint8_t> out) {
  for (auto& byte : out) byte = static_cast<std::uint8_t>(engine_());
}

}  // namespace berth
