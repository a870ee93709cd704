// Bytes to and from the server, over TCP, TLS or a unix socket, blocking but never longer than
// told. For one thread at a time.
#pragma once
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "queue/redis/redis_url.h"

namespace berth::redis {

using Deadline = std::chrono::steady_clock::time_point;

[[nodiscard]] std::unexpected<Error> unavailable(std::string message);

class Socket {
 public:
  explicit Socket(const Options& options) : options_(options) {}

  [[nodiscard]] bool is_open() const { return plain_.is_open(); }
  // Connected, and with TLS: the server has proved that it is the host of the URL.
  Result<void> open(Deadline until);
  void close();

  Result<void> write(std::string_view bytes, Deadline until);
  // Some bytes; empty: none came in time, which leaves the socket as it was. An end is an error.
  Result<std::optional<std::size_t>> read(std::span<char> into, Deadline until);

 private:
  using Plain = boost::asio::generic::stream_protocol::socket;
  using Endpoint = boost::asio::generic::stream_protocol::endpoint;
  struct Outcome {
    bool done = false;  // false: the time was over first
    boost::system::error_code problem{};
    std::size_t bytes = 0;
  };

  // Starts an operation and runs it until it is done or its time is over.
  template <class Start>
  Outcome run(Deadline until, Start start);
  Result<std::vector<Endpoint>> resolve(Deadline until);
  void tune();
  Result<void> secure(Deadline until);

  const Options options_;
  boost::asio::io_context context_{1};
  boost::asio::ip::tcp::resolver resolver_{context_};
  Plain plain_{context_};
  std::unique_ptr<boost::asio::ssl::context> trust_;
  std::unique_ptr<boost::asio::ssl::stream<Plain&>> tls_;
};

}  // namespace berth::redis
