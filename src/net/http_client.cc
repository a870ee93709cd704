// The streaming client of the endpoint proxy. One exchange is: take or open a connection, write the
// head, send the body, read the head of the answer; the answer's body is read by whoever holds the
// response. A body that is a stream, or too large for the socket to swallow at once, is sent by a
// second coroutine (the pump), so that an upstream that answers early is heard.
#include "net/http_client.h"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <charconv>

#include "net/framing.h"
#include "net/message_parser.h"

namespace berth::net {
namespace {

using asio::ip::tcp;
using boost::system::error_code;
using Socket = asio::basic_stream_socket<tcp, Executor>;
using Resolver = asio::ip::basic_resolver<tcp, Executor>;
using Steady = std::chrono::steady_clock;
using Timer = asio::basic_waitable_timer<Steady, asio::wait_traits<Steady>, Executor>;
using ResponseParser = MessageParser<false>;

constexpr std::size_t head_max = 64 << 10;
constexpr std::size_t read_size = 32 << 10;
constexpr std::size_t sent_at_once = 64 << 10;  // larger bodies go through the pump
constexpr std::size_t idle_per_address = 32;
constexpr std::size_t idle_in_all = 256;
constexpr std::chrono::seconds idle_time{10};
constexpr auto never = Steady::time_point::max();

// Connections between exchanges. A service of the io_context, so it lives and dies with it and
// needs no lock.
class Pool final : public asio::execution_context::service {
 public:
  using key_type = Pool;
  static inline asio::execution_context::id id;

  explicit Pool(asio::execution_context& context)
      : service(context),
        timer_(std::in_place, static_cast<asio::io_context&>(context).get_executor()) {}

  // A connection that the upstream has not closed as far as the kernel knows.
  std::optional<Socket> take(const std::string& address) {
    const auto found = idle_.find(address);
    if (found == idle_.end()) return std::nullopt;
    auto& line = found->second;
    std::optional<Socket> out;
    while (!line.empty() && !out) {
      // The youngest first: the rest may then grow old and be closed.
      Socket socket = std::move(line.back().socket);
      line.pop_back();
      --count_;
      if (is_quiet(socket)) out.emplace(std::move(socket));
    }
    if (line.empty()) idle_.erase(found);
    return out;
  }

  void give(const std::string& address, Socket socket) {
    if (!timer_ || count_ >= idle_in_all) return;
    auto& line = idle_[address];
    if (line.size() >= idle_per_address) return;
    line.push_back({std::move(socket), Steady::now()});
    if (++count_ == 1) arm();
  }

 private:
  struct Idle {
    Socket socket;
    Steady::time_point since;
  };

  // Bytes or an end that nobody asked for: the upstream has closed it or has lost its place.
  static bool is_quiet(Socket& socket) {
    error_code ec;
    socket.non_blocking(true, ec);
    char byte = 0;
    if (!ec) socket.receive(asio::buffer(&byte, 1), Socket::message_peek, ec);
    return ec == asio::error::would_block;
  }

  void arm() {
    timer_->expires_after(std::chrono::seconds(1));
    timer_->async_wait([this](error_code ec) {
      if (ec) return;
      const auto old = Steady::now() - idle_time;
      for (auto it = idle_.begin(); it != idle_.end();) {
        std::erase_if(it->second, [&](Idle& idle) {
          const bool drop = idle.since < old || !is_quiet(idle.socket);
          if (drop) --count_;
          return drop;
        });
        it = it->second.empty() ? idle_.erase(it) : std::next(it);
      }
      if (count_ > 0) arm();
    });
  }

  void shutdown() noexcept override {
    idle_.clear();
    count_ = 0;
    timer_.reset();
  }

  std::map<std::string, std::vector<Idle>> idle_;
  std::size_t count_ = 0;
  std::optional<Timer> timer_;
};

// One exchange. Owned together by the caller's coroutine or its response, the pump and the timer.
struct Exchange : std::enable_shared_from_this<Exchange> {
  Exchange(UpstreamRequest asked, const Executor& ex)
      : request(std::move(asked)), executor(ex), socket(ex), resolver(ex), timer(ex) {}

  UpstreamRequest request;
  Executor executor;
  Socket socket;
  Resolver resolver;
  boost::beast::flat_buffer buffer;
  std::optional<ResponseParser> parser;
  bool heard = false;  // a byte of the answer has come

  // The deadline of the current wait; the timer looks again when it has moved.
  Timer timer;
  Steady::time_point due = never;
  bool late = false;

  // The body on its way.
  asio::cancellation_signal pump_signal;
  bool pumping = false;
  bool body_sent = true;
  bool over = false;             // nobody wants the answer any more
  std::optional<Error> failure;  // what the request's stream ended with

  void wait_until(Steady::time_point when) {
    due = when;
    timer.expires_at(when);
    timer.async_wait([self = shared_from_this()](error_code ec) { self->on_timer(ec); });
  }
  void on_timer(error_code ec) {
    if (ec || due == never) return;
    if (Steady::now() < due) {
      wait_until(due);
      return;
    }
    late = true;
    resolver.cancel();
    abort();
  }
  void stop_waiting() {
    due = never;
    timer.cancel();
  }
  void abort() {
    error_code ignored;
    socket.close(ignored);
  }
  void end() {
    over = true;
    stop_waiting();
    if (pumping) pump_signal.emit(asio::cancellation_type::terminal);
    abort();
  }
  // Keeps the connection if the exchange is complete in both directions.
  void settle() {
    if (over || !parser->is_done()) return;
    if (!pumping && body_sent && buffer.size() == 0 && parser->keep_alive()) {
      asio::use_service<Pool>(executor.context()).give(request.address, std::move(socket));
      over = true;
    } else {
      end();
    }
  }
};
using ExchangePtr = std::shared_ptr<Exchange>;

Error unreachable(const Exchange& x, std::string_view why) {
  return {Code::unavailable, "upstream_unreachable",
          fmt::format("Cannot connect to {}: {}.", x.request.address, why)};
}
Error broken(const Exchange& x, std::string_view why) {
  if (x.failure) return *x.failure;
  if (x.late) {
    return {Code::resource_exhausted, "upstream_timeout",
            fmt::format("{} did not answer in time.", x.request.address)};
  }
  return {Code::unavailable, "upstream_broken", fmt::format("{}: {}.", x.request.address, why)};
}

bool is_hop_by_hop(std::string_view name) {
  for (const std::string_view hop : {"connection", "keep-alive", "proxy-connection", "te",
                                     "trailer", "transfer-encoding", "upgrade"}) {
    if (equal_ignoring_case(name, hop)) return true;
  }
  return false;
}

void drop_hop_by_hop(Headers& headers) {
  std::string named;
  for (const auto& header : headers) {
    if (equal_ignoring_case(header.name, "connection")) named.append(header.value).append(",");
  }
  std::erase_if(headers, [&](const Header& header) {
    return is_hop_by_hop(header.name) || list_has(named, header.name);
  });
}

// "host:port", "[::1]:port".
std::optional<std::pair<std::string, std::string>> split_address(std::string_view address) {
  const auto colon = address.rfind(':');
  if (colon == std::string_view::npos || colon == 0 || colon + 1 == address.size()) {
    return std::nullopt;
  }
  auto host = address.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  return std::pair{std::string(host), std::string(address.substr(colon + 1))};
}

std::optional<std::uint64_t> given_length(const Headers& headers) {
  const auto text = find_header(headers, "content-length");
  std::uint64_t length = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), length);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return length;
}

Result<std::string> head_text(const UpstreamRequest& request) {
  const auto refuse = [](std::string what) {
    return fail(Code::invalid_argument, "bad_upstream_request", std::move(what));
  };
  if (!is_token(request.method)) return refuse("The method is not a word.");
  for (const char c : request.target) {
    if (c <= ' ' || c == 0x7f) return refuse("The target holds a blank or a control character.");
  }
  std::string out = fmt::format("{} {} HTTP/1.1\r\n", request.method, request.target);
  for (const auto& header : request.headers) {
    if (!is_token(header.name) || !is_value(header.value)) {
      return refuse("The header " + header.name + " holds a character that is not allowed.");
    }
    if (equal_ignoring_case(header.name, "content-length") || is_hop_by_hop(header.name)) continue;
    out.append(header.name).append(": ").append(header.value).append("\r\n");
  }
  if (!has_header(request.headers, "host")) {
    out.append("Host: ").append(request.address).append("\r\n");
  }
  const bool expects_body =
      request.method == "POST" || request.method == "PUT" || request.method == "PATCH";
  if (request.stream) {
    const auto length = given_length(request.headers);
    out +=
        length ? fmt::format("Content-Length: {}\r\n", *length) : "Transfer-Encoding: chunked\r\n";
  } else if (!request.body.empty() || expects_body) {
    out += fmt::format("Content-Length: {}\r\n", request.body.size());
  }
  out += "\r\n";
  return out;
}

Task<Result<void>> connect(ExchangePtr x) {
  const auto parts = split_address(x->request.address);
  if (!parts) {
    co_return fail(Code::invalid_argument, "bad_address",
                   "An upstream's address has the form host:port.");
  }
  x->wait_until(Steady::now() + x->request.connect_timeout);
  error_code ec;
  std::vector<tcp::endpoint> endpoints;
  const auto literal = asio::ip::make_address(parts->first, ec);
  if (!ec) {
    std::uint16_t port = 0;
    const auto& digits = parts->second;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    if (error != std::errc{} || end != digits.data() + digits.size()) {
      co_return fail(Code::invalid_argument, "bad_address", "The upstream's port is not a number.");
    }
    endpoints.emplace_back(literal, port);
  } else {
    const auto found = co_await x->resolver.async_resolve(parts->first, parts->second,
                                                          asio::redirect_error(use_task, ec));
    for (const auto& entry : found) endpoints.push_back(entry.endpoint());
    if (endpoints.empty() && !x->late) co_return pass(unreachable(*x, ec.message()));
  }
  ec = asio::error::host_unreachable;
  for (const auto& endpoint : endpoints) {
    if (x->late) break;
    error_code ignored;
    x->socket.close(ignored);
    co_await x->socket.async_connect(endpoint, asio::redirect_error(use_task, ec));
    if (!ec) break;
  }
  x->stop_waiting();
  if (x->late) {
    co_return fail(Code::resource_exhausted, "upstream_timeout",
                   fmt::format("Connecting to {} took too long.", x->request.address));
  }
  if (ec) co_return pass(unreachable(*x, ec.message()));
  error_code ignored;
  x->socket.set_option(tcp::no_delay(true), ignored);
  co_return Result<void>{};
}

// A body sent while the answer may already be coming. Writing may fail because the upstream has
// answered and closed, so a failed write ends the body and leaves the verdict to the reader.
Task<void> pump(ExchangePtr x) {
  error_code ec;
  if (!x->request.stream) {
    co_await asio::async_write(x->socket, asio::buffer(x->request.body),
                               asio::redirect_error(use_task, ec));
    x->body_sent = !ec;
    co_return;
  }
  auto left = given_length(x->request.headers);
  for (;;) {
    auto piece = co_await x->request.stream->read();
    if (x->over) co_return;
    if (!piece) {
      x->failure = std::move(piece.error());
      x->abort();
      co_return;
    }
    if (x->due != never) x->due = Steady::now() + x->request.head_timeout;
    if (left && (piece->size() > *left || (piece->empty() && *left > 0))) {
      x->failure = Error{Code::invalid_argument, "bad_length",
                         "The body is not as long as its Content-Length says."};
      x->abort();
      co_return;
    }
    if (left) *left -= piece->size();
    if (left && piece->empty()) break;
    std::array<char, 24> size_line;
    std::array<asio::const_buffer, 3> parts{asio::buffer(*piece)};
    if (!left) {
      const auto end = fmt::format_to(size_line.data(), "{:x}\r\n", piece->size());
      parts = {asio::buffer(size_line.data(), static_cast<std::size_t>(end - size_line.data())),
               asio::buffer(*piece), asio::buffer("\r\n", 2)};
    }
    co_await asio::async_write(x->socket, parts, asio::redirect_error(use_task, ec));
    if (ec || x->over) co_return;
    if (piece->empty()) break;
  }
  x->body_sent = true;
}

void start_pump(const ExchangePtr& x) {
  x->pumping = true;
  x->body_sent = false;
  asio::co_spawn(
      x->executor, pump(x),
      asio::bind_cancellation_slot(x->pump_signal.slot(), [x](const std::exception_ptr& error) {
        x->pumping = false;
        if (!error || x->over) return;
        x->failure =
            Error{Code::internal, "body_source_failed", "The source of the request's body failed."};
        x->abort();
      }));
}

// Reads and decodes some, at least one byte.
Task<Result<void>> advance(ExchangePtr x) {
  error_code ec;
  if (x->buffer.size() == 0) {
    const auto n = co_await x->socket.async_read_some(x->buffer.prepare(read_size),
                                                      asio::redirect_error(use_task, ec));
    if (ec == asio::error::eof && x->heard && x->parser->is_header_done()) {
      ec = {};
      x->parser->put_eof(ec);  // the end, where the body has no length; else it broke off
      if (ec) co_return pass(broken(*x, "the answer broke off"));
      co_return Result<void>{};
    }
    if (ec) co_return pass(broken(*x, "closed the connection before it answered"));
    x->buffer.commit(n);
    x->heard = true;
  }
  for (;;) {
    const auto n = x->parser->put(x->buffer.data(), ec);
    x->buffer.consume(n);
    if (ec != http::error::need_more) break;
    ec = {};
    if (n > 0) break;  // there may be something for the caller already
    // A head, or a chunk's header, that is not there yet.
    if (x->buffer.size() > head_max) {
      ec = http::error::header_limit;
      break;
    }
    const auto more = co_await x->socket.async_read_some(x->buffer.prepare(read_size),
                                                         asio::redirect_error(use_task, ec));
    if (ec) co_return pass(broken(*x, "the answer broke off"));
    x->buffer.commit(more);
  }
  if (ec) co_return pass(broken(*x, "the answer is not proper HTTP (" + ec.message() + ")"));
  co_return Result<void>{};
}

Result<void> check_framing(const Exchange& x) {
  std::size_t codings = 0;
  for (const auto& header : x.parser->headers) {
    if (!equal_ignoring_case(header.name, "transfer-encoding")) continue;
    if (++codings > 1 || !equal_ignoring_case(trim_blanks(header.value), "chunked")) {
      return pass(broken(x, "the answer has a transfer encoding other than chunked"));
    }
  }
  if (x.parser->status == 101) return pass(broken(x, "the answer switches protocols"));
  return {};
}

Task<Result<void>> converse(ExchangePtr x, const std::string& head) {
  x->wait_until(Steady::now() + x->request.head_timeout);
  const bool pumped = x->request.stream || x->request.body.size() > sent_at_once;
  error_code ec;
  std::array<asio::const_buffer, 2> parts{asio::buffer(head)};
  if (!pumped) parts[1] = asio::buffer(x->request.body);
  co_await asio::async_write(x->socket, parts, asio::redirect_error(use_task, ec));
  if (ec) co_return pass(broken(*x, ec.message()));
  if (pumped) start_pump(x);

  for (;;) {
    x->parser.emplace(head_max);
    x->parser->skip(x->request.method == "HEAD");
    x->parser->eager(true);
    // Interim answers are dropped; the final one may already stand behind them.
    while (!x->parser->is_header_done()) {
      auto step = co_await advance(x);
      if (!step) co_return pass(std::move(step.error()));
    }
    if (x->parser->status / 100 != 1 || x->parser->status == 101) break;
  }
  x->stop_waiting();
  co_return check_framing(*x);
}

class Answer final : public UpstreamResponse {
 public:
  explicit Answer(ExchangePtr x) : x_(std::move(x)), headers_(std::move(x_->parser->headers)) {
    drop_hop_by_hop(headers_);
    x_->settle();
  }
  ~Answer() override {
    if (!x_->over) x_->end();
  }
  Answer(const Answer&) = delete;
  Answer& operator=(const Answer&) = delete;

  int status() const override { return x_->parser->status; }
  const Headers& headers() const override { return headers_; }
  Task<Result<std::string>> read() override { return read_from(x_); }

 private:
  static Task<Result<std::string>> read_from(ExchangePtr x) {
    while (x->parser->body.empty() && !x->parser->is_done()) {
      if (x->over) co_return pass(broken(*x, "the answer was given up"));
      auto step = co_await advance(x);
      if (!step) {
        x->end();
        co_return pass(std::move(step.error()));
      }
    }
    x->settle();
    co_return std::exchange(x->parser->body, {});
  }

  ExchangePtr x_;
  Headers headers_;
};

// Ends the exchange if the coroutine that runs it is cancelled or fails.
struct EndUnlessKept {
  ExchangePtr x;
  ~EndUnlessKept() {
    if (x && !x->over) x->end();
  }
};

}  // namespace

Task<Result<std::unique_ptr<UpstreamResponse>>> exchange(UpstreamRequest request) {
  const Executor executor = co_await asio::this_coro::executor;
  const auto head = head_text(request);
  if (!head) co_return pass(head.error());
  auto& pool = asio::use_service<Pool>(executor.context());

  for (bool fresh = false;; fresh = true) {
    EndUnlessKept guard{std::make_shared<Exchange>(std::move(request), executor)};
    auto& x = guard.x;
    std::optional<Socket> kept;
    if (!fresh) kept = pool.take(x->request.address);
    if (kept) {
      x->socket = std::move(*kept);
    } else {
      auto connected = co_await connect(x);
      if (!connected) co_return pass(std::move(connected.error()));
    }
    auto answered = co_await converse(x, *head);
    if (answered) {
      auto response = std::make_unique<Answer>(std::move(guard.x));
      co_return std::unique_ptr<UpstreamResponse>(std::move(response));
    }
    // The upstream may have closed a kept connection just as we wrote. Once, and never with a
    // stream, of which a part may be gone.
    const bool again = kept && !x->heard && !x->late && !x->request.stream;
    if (!again) co_return pass(std::move(answered.error()));
    // The pump may still hold the body's bytes, so it is copied and not moved.
    request = x->request;
  }
}

}  // namespace berth::net
