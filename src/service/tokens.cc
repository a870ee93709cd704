#include "service/tokens.h"

#include <array>

namespace berth {

Token make_token(std::string_view prefix, Random& random) {
  // 62 letters would need rejection; 64 do not, and these are safe in URLs and shells.
  static constexpr char kLetters[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::array<std::uint8_t, 43> bytes;  // 43 letters of 6 bits: 258 bits
  random.fill(bytes);
  Token token;
  token.text = prefix;
  for (const auto byte : bytes) token.text += kLetters[byte & 63];
  token.digest = sha256(token.text);
  token.prefix = token.text.substr(0, prefix.size() + 4);
  return token;
}

}  // namespace berth
