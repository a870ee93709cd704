// Where the Redis is:
//   redis://[user[:password]@]host[:port][/db]      rediss://... the same over TLS
//   redis+unix:///path/of/socket?db=0               a socket of this machine
// with ?prefix=NAME for the names of the keys, and ?ca=FILE for the certificate that signed the
// server's. What a URL must not hold as it is, is percent-encoded.
#pragma once
#include <chrono>
#include <string>
#include <string_view>

#include "base/result.h"

namespace berth::redis {

struct Options {
  std::string socket;  // path of a unix socket; empty: host and port count
  std::string host;
  std::string port = "6379";
  bool tls = false;
  std::string ca_file;  // empty: the system's store
  std::string user, password;
  int db = 0;
  std::string prefix = "berth";
  std::chrono::milliseconds timeout{2000};  // to connect, and without a byte from the server

  [[nodiscard]] bool on_this_machine() const;
  friend bool operator==(const Options&, const Options&) = default;
};

// Refusals are invalid_argument and never repeat the URL, which may hold a password.
[[nodiscard]] Result<Options> parse_redis_url(std::string_view text);

}  // namespace berth::redis
