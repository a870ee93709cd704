#include "queue/redis/socket.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/write.hpp>

namespace berth::redis {

namespace asio = boost::asio;
using boost::system::error_code;

std::unexpected<Error> unavailable(std::string message) {
  return fail(Code::unavailable, "queue_unavailable", std::move(message));
}

// The outcome is shared with the operation: looking a name up cannot be interrupted, it may end
// long after we have given up.
template <class Start>
Socket::Outcome Socket::run(Deadline until, Start start) {
  auto outcome = std::make_shared<Outcome>();
  start([outcome](error_code problem, std::size_t bytes) { *outcome = {true, problem, bytes}; });
  context_.restart();
  while (!outcome->done && context_.run_one_until(until) > 0) {
  }
  if (outcome->done || !plain_.is_open()) return *outcome;
  error_code ignored;
  plain_.cancel(ignored);
  context_.restart();
  while (!outcome->done && context_.run_one() > 0) {
  }
  if (outcome->problem == asio::error::operation_aborted) outcome->done = false;
  return *outcome;
}

Result<std::vector<Socket::Endpoint>> Socket::resolve(Deadline until) {
  if (!options_.socket.empty()) {
    if (options_.socket.size() > 107) return unavailable("The path of Redis's socket is too long.");
    return std::vector<Endpoint>{asio::local::stream_protocol::endpoint(options_.socket)};
  }
  auto found = std::make_shared<std::vector<Endpoint>>();
  const auto outcome = run(until, [&](auto then) {
    resolver_.async_resolve(
        options_.host, options_.port,
        [then, found](error_code problem, const asio::ip::tcp::resolver::results_type& results) {
          for (const auto& result : results) found->emplace_back(result.endpoint());
          then(problem, 0);
        });
  });
  if (!outcome.done) {
    return unavailable("The name of the Redis host could not be looked up in time.");
  }
  if (outcome.problem || found->empty()) {
    return unavailable("There is no Redis host '" + options_.host +
                       "': " + outcome.problem.message() + ".");
  }
  return *found;
}

Result<void> Socket::open(Deadline until) {
  close();
  const auto endpoints = resolve(until);
  if (!endpoints) return pass(endpoints.error());
  std::string why = "no address";
  for (const auto& endpoint : *endpoints) {
    error_code problem;
    plain_.open(endpoint.protocol(), problem);
    if (!problem) {
      const auto outcome = run(until, [&](auto then) {
        plain_.async_connect(endpoint, [then](error_code refused) { then(refused, 0); });
      });
      problem = outcome.done ? outcome.problem : error_code(asio::error::timed_out);
    }
    if (!problem) {
      if (options_.socket.empty()) tune();
      return options_.tls ? secure(until) : Result<void>{};
    }
    why = problem.message();
    close();
  }
  return unavailable("Redis cannot be reached: " + why + ".");
}

// A machine that vanished says nothing, and a subscriber asks nothing: the kernel asks for it.
void Socket::tune() {
  error_code ignored;
  plain_.set_option(asio::ip::tcp::no_delay(true), ignored);
  plain_.set_option(Plain::keep_alive(true), ignored);
  const auto set = [this](int name, int value) {
    ::setsockopt(plain_.native_handle(), IPPROTO_TCP, name, &value, sizeof value);
  };
  set(TCP_KEEPIDLE, 10);  // seconds
  set(TCP_KEEPINTVL, 5);
  set(TCP_KEEPCNT, 3);
}

Result<void> Socket::secure(Deadline until) {
  namespace ssl = asio::ssl;
  error_code problem;
  trust_ = std::make_unique<ssl::context>(ssl::context::tls_client);
  trust_->set_options(ssl::context::default_workarounds | ssl::context::no_tlsv1 |
                      ssl::context::no_tlsv1_1);
  if (options_.ca_file.empty()) {
    trust_->set_default_verify_paths(problem);
  } else {
    trust_->load_verify_file(options_.ca_file, problem);
  }
  if (problem) {
    close();
    return unavailable("The certificates to check Redis with cannot be read: " + problem.message() +
                       ".");
  }
  tls_ = std::make_unique<ssl::stream<Plain&>>(plain_, *trust_);
  tls_->set_verify_mode(ssl::verify_peer);
  tls_->set_verify_callback(ssl::host_name_verification(options_.host));
  asio::ip::make_address(options_.host, problem);
  if (problem) {  // a name, not an address: the server may have certificates for several
    SSL_ctrl(tls_->native_handle(), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
             const_cast<char*>(options_.host.c_str()));
  }
  const auto outcome = run(until, [&](auto then) {
    tls_->async_handshake(ssl::stream_base::client,
                          [then](error_code refused) { then(refused, 0); });
  });
  if (outcome.done && !outcome.problem) return {};
  close();
  return unavailable("No TLS connection with Redis: " +
                     (outcome.done ? outcome.problem.message() : "it did not answer in time") +
                     ".");
}

void Socket::close() {
  tls_.reset();
  error_code ignored;
  plain_.close(ignored);
}

Result<void> Socket::write(std::string_view bytes, Deadline until) {
  const auto outcome = run(until, [&](auto then) {
    const auto buffer = asio::buffer(bytes.data(), bytes.size());
    if (tls_) {
      asio::async_write(*tls_, buffer, then);
    } else {
      asio::async_write(plain_, buffer, then);
    }
  });
  if (!outcome.done) return unavailable("Redis did not take what was sent in time.");
  if (outcome.problem) {
    return unavailable("The connection to Redis was lost: " + outcome.problem.message() + ".");
  }
  return {};
}

Result<std::optional<std::size_t>> Socket::read(std::span<char> into, Deadline until) {
  const auto outcome = run(until, [&](auto then) {
    const auto buffer = asio::buffer(into.data(), into.size());
    if (tls_) {
      tls_->async_read_some(buffer, then);
    } else {
      plain_.async_read_some(buffer, then);
    }
  });
  if (!outcome.done) return std::optional<std::size_t>{};
  if (outcome.problem) {
    return unavailable("The connection to Redis was lost: " + outcome.problem.message() + ".");
  }
  return std::optional(outcome.bytes);
}

}  // namespace berth::redis
