// HTTP/1.1 server: one io_context per thread, each with its own listening socket (SO_REUSEPORT),
// one sweeper timer per thread for all deadlines, strict framing, bounded everything.
#pragma once
#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "net/http.h"

namespace berth::net {

struct Limits {
  std::size_t head_bytes = 16 << 10;   // request line and headers: 431 above
  std::size_t header_count = 100;      // 431 above
  std::size_t target_bytes = 8 << 10;  // 414 above
  std::size_t body_bytes = 1 << 20;    // 413 above
  std::size_t connections = 10'000;    // per server: 503 and close above
  std::chrono::milliseconds head_timeout{
      10'000};  // from the first byte (or accept) to a whole head: 408
  std::chrono::milliseconds body_timeout{30'000};   // a whole body: 408
  std::chrono::milliseconds write_timeout{30'000};  // no progress in writing for this long: close
  std::chrono::milliseconds idle_timeout{60'000};   // keep-alive between requests: close
  std::chrono::milliseconds drain{10'000};          // stop(): requests in flight may finish
};

struct ServerOptions {
  std::string host = "127.0.0.1";
  std::uint16_t port = 8000;  // 0: any free port
  int threads = 1;
  Limits limits;
};

// How a request's body is wanted; asked once the head is known, if there is a body. body_bytes does
// not apply to a stream.
enum class BodyPolicy { whole, stream };

class Handler {
 public:
  virtual ~Handler() = default;
  [[nodiscard]] virtual BodyPolicy body_policy(const Request& head) = 0;
  // Runs on the connection's thread. Must not throw; an exception is logged and answered 500. It is
  // cancelled when the peer has reset the connection and when stop() has waited long enough.
  virtual Task<Response> handle(Request request) = 0;
  // The reply for requests that never became a Request (malformed, oversize, too slow).
  [[nodiscard]] virtual Response refuse(int status, std::string_view why) = 0;
};

class HttpServer {
 public:
  HttpServer(ServerOptions options, Handler& handler);
  ~HttpServer();  // stops

  // Binds and starts the threads. Errors: already_exists (port in use; names it and its holder),
  // permission_denied, invalid_argument (no such host).
  [[nodiscard]] Result<void> start();
  [[nodiscard]] std::uint16_t port() const;
  // Stops accepting, lets requests in flight finish within limits.drain, closes, joins. Not from a
  // handler. The event loops stay: threads that answer into them may still be at it.
  void drain();
  // The same, and cancels what did not finish. Nobody may answer into the loops any more.
  void stop();
  [[nodiscard]] std::size_t open_connections() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace berth::net
