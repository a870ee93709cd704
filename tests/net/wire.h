// What the tests of HTTP stand on: sockets without any HTTP in them, and a handler made of lambdas.
#pragma once
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <charconv>
#include <future>
#include <thread>

#include "net/http_client.h"
#include "net/http_server.h"

namespace berth::net::wire {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Longer than any test waits for something that does happen.
inline constexpr int patience_ms = 20'000;

class Raw {
 public:
  Raw() = default;
  explicit Raw(int fd) : fd_(fd) {}
  Raw(Raw&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Raw& operator=(Raw&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Raw() {
    if (fd_ >= 0) ::close(fd_);
  }

  static Raw connect(std::uint16_t port) {
    Raw raw(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const int on = 1;
    ::setsockopt(raw.fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(raw.fd_, reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
    return raw;
  }

  // False once the peer has reset the connection.
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const auto n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
  }
  void finish_sending() { ::shutdown(fd_, SHUT_WR); }
  // Closes so that the peer sees a reset.
  void reset() {
    const linger hard{1, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close();
  }
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }

  // Some bytes; empty at the end, after a reset, and when patience is over (which fails the test).
  std::string receive(int wait_ms = patience_ms) {
    pollfd entry{fd_, POLLIN, 0};
    if (::poll(&entry, 1, wait_ms) <= 0) {
      ADD_FAILURE() << "nothing received in " << wait_ms << " ms";
      return {};
    }
    std::string out(64 << 10, '\0');
    const auto n = ::recv(fd_, out.data(), out.size(), 0);
    out.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
    return out;
  }
  std::string receive_all() {
    std::string out;
    for (;;) {
      const auto piece = receive();
      if (piece.empty()) return out;
      out += piece;
    }
  }
  // Until the text has come; what came so far when the peer closed before.
  std::string receive_until(std::string_view text) {
    std::string out;
    while (!out.contains(text)) {
      const auto piece = receive();
      if (piece.empty()) break;
      out += piece;
    }
    return out;
  }
  bool closed() { return receive().empty(); }

  int fd() const { return fd_; }

 private:
  int fd_ = -1;
};

// Status lines in what a server sent: how many answers it gave, and which.
inline std::vector<int> statuses(std::string_view answers) {
  std::vector<int> out;
  constexpr std::string_view mark = "HTTP/1.1 ";
  for (auto at = answers.find(mark); at != std::string_view::npos;
       at = answers.find(mark, at + 1)) {
    int status = 0;
    const auto digits = answers.substr(at + mark.size(), 3);
    // A refusal may speak of HTTP/1.1 in its body.
    if (std::from_chars(digits.data(), digits.data() + digits.size(), status).ec == std::errc{}) {
      out.push_back(status);
    }
  }
  return out;
}

// Waits for a condition that another thread makes true.
template <class Condition>
bool eventually(Condition condition) {
  const auto until = std::chrono::steady_clock::now() + milliseconds(patience_ms);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::yield();
  }
  return true;
}

inline Task<void> pause(milliseconds d) {
  asio::steady_timer timer(co_await asio::this_coro::executor, d);
  co_await timer.async_wait(asio::use_awaitable_t<Executor>{});
}

// A door that opens from any thread.
class Gate {
 public:
  void open() { open_ = true; }
  bool is_open() const { return open_; }
  Task<void> wait() {
    while (!open_) co_await pause(milliseconds(2));
  }

 private:
  std::atomic<bool> open_ = false;
};

inline Response with_status(int status) {
  Response response;
  response.status = status;
  return response;
}

using Serve = std::function<Task<Response>(Request)>;

class Lambdas final : public Handler {
 public:
  explicit Lambdas(std::map<std::string, Serve> routes) : routes_(std::move(routes)) {}

  BodyPolicy body_policy(const Request& head) override {
    return head.path().starts_with("/stream") ? BodyPolicy::stream : BodyPolicy::whole;
  }
  Task<Response> handle(Request request) override {
    ++handled;
    const auto found = routes_.find(std::string(request.path()));
    if (found != routes_.end()) co_return co_await found->second(std::move(request));
    Response response;
    response.body = request.method + " " + request.target + " " + request.body;
    co_return response;
  }
  Response refuse(int status, std::string_view why) override {
    Response response;
    response.status = status;
    response.body = std::string(why);
    return response;
  }

  std::atomic<int> handled = 0;

 private:
  std::map<std::string, Serve> routes_;
};

struct Server {
  explicit Server(std::map<std::string, Serve> routes = {}, Limits limits = {}, int threads = 1)
      : handler(std::move(routes)), http(options(limits, threads), handler) {
    const auto started = http.start();
    EXPECT_TRUE(started) << (started ? "" : started.error().message);
  }
  static ServerOptions options(Limits limits, int threads) {
    ServerOptions out;
    out.port = 0;
    out.threads = threads;
    out.limits = limits;
    return out;
  }
  Raw connect() const { return Raw::connect(http.port()); }
  std::string address() const { return "127.0.0.1:" + std::to_string(http.port()); }
  std::string url(std::string_view target) const {
    return "http://" + address() + std::string(target);
  }
  // Everything the server says to these bytes, with the client done sending.
  std::string say(std::string_view bytes) const {
    auto raw = connect();
    raw.send(bytes);
    raw.finish_sending();
    return raw.receive_all();
  }

  Lambdas handler;
  HttpServer http;
};

// A plain listening socket: the test plays the server.
class Listener {
 public:
  Listener() : raw_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::bind(raw_.fd(), reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
    EXPECT_EQ(::listen(raw_.fd(), 16), 0);
    socklen_t size = sizeof at;
    ::getsockname(raw_.fd(), reinterpret_cast<sockaddr*>(&at), &size);
    port_ = ntohs(at.sin_port);
  }
  Raw accept() { return Raw(::accept4(raw_.fd(), nullptr, nullptr, SOCK_CLOEXEC)); }
  std::uint16_t port() const { return port_; }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

 private:
  Raw raw_;
  std::uint16_t port_ = 0;
};

// Runs a coroutine to its end on an io_context of its own.
template <class T>
T run(Task<T> task) {
  asio::io_context context(1);
  std::optional<T> out;
  asio::co_spawn(context.get_executor(), std::move(task),
                 [&](const std::exception_ptr& error, T value) {
                   if (error) std::rethrow_exception(error);
                   out.emplace(std::move(value));
                   context.stop();  // kept connections would hold it for their idle time
                 });
  context.run();
  return std::move(out).value();
}

}  // namespace berth::net::wire
