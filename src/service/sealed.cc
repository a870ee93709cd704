#include "service/sealed.h"

#include <sodium.h>

#include <vector>

#include "base/ensure.h"
#include "base/hash.h"

namespace berth {
namespace {

constexpr std::size_t kNonce = crypto_secretbox_NONCEBYTES;
constexpr std::size_t kMac = crypto_secretbox_MACBYTES;
static_assert(sizeof(Digest) == crypto_secretbox_KEYBYTES);

Digest key_of(std::string_view phrase) {
  return sha256("berth sealed text " + std::string(phrase));
}

}  // namespace

std::string seal(std::string_view text, std::string_view phrase) {
  ensure(sodium_init() >= 0, "libsodium starts");
  std::vector<unsigned char> bytes(kNonce + kMac + text.size());
  randombytes_buf(bytes.data(), kNonce);
  const Digest key = key_of(phrase);
  crypto_secretbox_easy(bytes.data() + kNonce, reinterpret_cast<const unsigned char*>(text.data()),
                        text.size(), bytes.data(), key.data());
  return to_hex({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

std::optional<std::string> unseal(std::string_view sealed, std::string_view phrase) {
  ensure(sodium_init() >= 0, "libsodium starts");
  if (sealed.size() < 2 * (kNonce + kMac)) return std::nullopt;
  std::vector<unsigned char> bytes(sealed.size() / 2);
  std::size_t used = 0;
  if (sodium_hex2bin(bytes.data(), bytes.size(), sealed.data(), sealed.size(), nullptr, &used,
                     nullptr) != 0 ||
      used != bytes.size() || used * 2 != sealed.size()) {
    return std::nullopt;
  }
  std::string text(used - kNonce - kMac, '\0');
  const Digest key = key_of(phrase);
  if (crypto_secretbox_open_easy(reinterpret_cast<unsigned char*>(text.data()),
                                 bytes.data() + kNonce, used - kNonce, bytes.data(),
                                 key.data()) != 0) {
    return std::nullopt;
  }
  return text;
}

}  // namespace berth
