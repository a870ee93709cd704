// The server. One worker per thread owns an io_context, a listening socket, a list of its
// connections and one sweeper timer. A connection is one coroutine that reads a head, then a body,
// runs the handler and writes the answer, in a loop; requests that were pipelined wait in its
// buffer. Deadlines are plain fields: each phase writes one, the sweeper compares. That costs a few
// stores per request where a timer per operation costs a quarter of the throughput.
#include "net/http_server.h"

#include <poll.h>
#include <sys/socket.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/status.hpp>
#include <boost/intrusive/list.hpp>
#include <charconv>
#include <cstdio>

#include "base/ensure.h"
#include "net/framing.h"
#include "net/message_parser.h"
#include "net/port_owner.h"

namespace berth::net {
namespace {

using asio::ip::tcp;
using boost::system::error_code;
using boost::system::system_error;
using Socket = asio::basic_stream_socket<tcp, Executor>;
using Acceptor = asio::basic_socket_acceptor<tcp, Executor>;
using Steady = std::chrono::steady_clock;
using Timer = asio::basic_waitable_timer<Steady, asio::wait_traits<Steady>, Executor>;
using RequestParser = MessageParser<true>;

constexpr std::size_t head_read = 4 << 10;
constexpr std::size_t body_read = 64 << 10;
constexpr std::size_t kept_buffer = 16 << 10;  // an idle connection keeps no more
constexpr std::size_t copied_body = 16 << 10;  // larger bodies are written from where they are
constexpr std::size_t chunk_header_max = 4 << 10;
constexpr std::size_t linger_bytes = 8 << 20;
constexpr std::chrono::milliseconds linger_time{1000};
constexpr std::chrono::milliseconds cancel_grace{1000};
// Beyond the limit of connections this many may be told so at a time; more are just closed.
constexpr std::size_t told_at_a_time = 64;

constexpr auto never = Steady::time_point::max();

std::string http_date(std::chrono::system_clock::time_point now) {
  static constexpr std::array days{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr std::array months{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const auto day = std::chrono::floor<std::chrono::days>(now);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss time(std::chrono::floor<std::chrono::seconds>(now - day));
  return fmt::format("{}, {:02} {} {:04} {:02}:{:02}:{:02} GMT",
                     days[std::chrono::weekday(day).c_encoding()],
                     static_cast<unsigned>(date.day()),
                     months[static_cast<unsigned>(date.month()) - 1], static_cast<int>(date.year()),
                     time.hours().count(), time.minutes().count(), time.seconds().count());
}

std::string_view reason_phrase(int status) {
  const auto text = http::obsolete_reason(http::int_to_status(static_cast<unsigned>(status)));
  return {text.data(), text.size()};
}

// The server says these itself, and never what could split the answer in two.
bool may_be_sent(const Header& header) {
  return is_token(header.name) && is_value(header.value) &&
         !equal_ignoring_case(header.name, "connection") &&
         !equal_ignoring_case(header.name, "date") &&
         !equal_ignoring_case(header.name, "content-length") &&
         !equal_ignoring_case(header.name, "transfer-encoding");
}

bool has_no_body(int status) { return status == 204 || status == 304; }

void log(std::string_view what) { fmt::print(stderr, "http: {}\n", what); }

std::string describe(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& e) {
    return e.what();
  } catch (...) {
    return "an exception of unknown type";
  }
}

// Up to three pieces written as one; shrinks from the front as the kernel takes bytes.
struct Gather {
  std::array<asio::const_buffer, 3> parts;

  [[nodiscard]] std::size_t size() const {
    return parts[0].size() + parts[1].size() + parts[2].size();
  }
  void advance(std::size_t n) {
    for (auto& part : parts) {
      const auto step = std::min(n, part.size());
      part += step;
      n -= step;
    }
  }
};

class Worker;

// Two owners: the coroutine that serves it, and a BodySource that a handler may hold on to.
class Connection : public std::enable_shared_from_this<Connection>,
                   public boost::intrusive::list_base_hook<> {
 public:
  enum class Phase { waiting, reading, handling, streaming, writing, closing };

  Connection(Worker& worker, Socket socket, bool turned_away);

  Task<void> run();
  void close();  // aborts whatever waits on the socket

  // --- for the worker's sweeper and drain ---
  [[nodiscard]] bool expired(Steady::time_point now) const {
    return now > read_due_ || now > write_due_;
  }
  // Makes the operation that is late fail; its coroutine then does what its phase asks for.
  void expire();
  [[nodiscard]] pollfd watched();  // fd -1: not a phase in which the peer's leaving matters
  void cancel();
  void drain();
  asio::cancellation_signal& signal() { return signal_; }

  // --- for the request's body source ---
  Task<Result<std::string>> read_piece(std::uint64_t request);

 private:
  class Sink;

  std::string_view received() const {
    const auto data = buffer_.data();
    return {static_cast<const char*>(data.data()), data.size()};
  }
  Task<bool> read_head(HeadCheck& check);
  Task<error_code> receive(std::size_t at_most);
  // Decodes what has been received; a refusal if it is wrong.
  std::optional<Refusal> decode_body();
  Task<bool> read_whole_body();
  Task<bool> say_continue();
  bool settle_unread_body();
  Response answer(const std::exception_ptr& error);

  void write_head(const Response& response, std::optional<std::uint64_t> length);
  bool write_now(Gather& gather);  // false: the peer is gone
  Task<bool> write_rest(Gather gather);
  Gather lay_out(const Response& response);  // an answer that is sent whole
  Task<bool> send_stream(const Response& response);
  Task<void> refuse(Refusal refusal);
  Task<void> close_gently();

  Worker& worker_;
  Socket socket_;
  asio::cancellation_signal signal_;
  const std::string peer_;
  const bool turned_away_;

  Phase phase_ = Phase::reading;
  Steady::time_point read_due_ = never;
  Steady::time_point write_due_ = never;
  bool late_ = false;       // the sweeper ended an operation of this connection
  bool cancelled_ = false;  // the peer is gone, or stop() ran out of patience
  bool reading_ = false;    // someone waits for bytes of a body

  boost::beast::flat_buffer buffer_;
  std::optional<RequestParser> parser_;  // of the request at hand
  std::string out_;                      // head of the answer, with the body if small
  std::uint64_t requests_ = 0;
  bool keep_ = false;  // the connection outlives this request
  bool http_1_0_ = false;
  bool head_only_ = false;
  bool owes_continue_ = false;  // the peer waits for 100 before it sends the body
  bool streamed_body_ = false;
};

using ConnectionList = boost::intrusive::list<Connection>;

class Worker {
 public:
  Worker(const Limits& limits, Handler& handler, std::atomic<std::size_t>& open);

  [[nodiscard]] error_code listen(const tcp::endpoint& at, bool shared);
  [[nodiscard]] std::uint16_t port() const { return acceptor_.local_endpoint().port(); }
  void start();
  void stop();  // from another thread
  void join() {
    if (thread_.joinable()) thread_.join();
  }

  const Limits& limits;
  Handler& handler;
  // Owned by the thread: refreshed by the sweeper, so up to one tick old.
  Steady::time_point now = Steady::now();
  std::string date;
  bool draining = false;
  const std::chrono::milliseconds tick;

  // Never early: the clock above may be a tick behind.
  [[nodiscard]] Steady::time_point due_in(std::chrono::milliseconds d) const {
    return now + tick + d;
  }

 private:
  Task<void> accept();
  void admit(Socket socket);
  void forget(Connection& connection);
  void arm();
  void sweep();
  void begin_drain();

  std::atomic<std::size_t>& open_;  // shared by all workers
  ConnectionList connections_;
  Steady::time_point drain_due_ = never;
  bool cut_ = false;
  std::vector<pollfd> polled_;
  std::vector<std::shared_ptr<Connection>> touched_;

  // Destroyed in this order, from the last: what uses the context, then the context with every
  // coroutine still in it (they leave connections_), then the rest.
  asio::io_context context_{1};
  Timer timer_{context_.get_executor()};
  Acceptor acceptor_{context_.get_executor()};
  std::thread thread_;
};

// ---------------------------------------------------------------------------------- body source

class SocketBody final : public BodySource {
 public:
  SocketBody(std::shared_ptr<Connection> connection, std::uint64_t request)
      : connection_(std::move(connection)), request_(request) {}
  Task<Result<std::string>> read() override { return read_from(connection_, request_); }

 private:
  // Holds the connection by itself: the source may be destroyed while this waits.
  static Task<Result<std::string>> read_from(std::shared_ptr<Connection> connection,
                                             std::uint64_t request) {
    co_return co_await connection->read_piece(request);
  }

  std::shared_ptr<Connection> connection_;
  std::uint64_t request_;
};

// ------------------------------------------------------------------------------------ body sink

class Connection::Sink final : public BodySink {
 public:
  enum class Framing { chunked, counted, until_close };

  Sink(Connection& connection, Framing framing, std::uint64_t length)
      : connection_(connection), framing_(framing), left_(length) {}

  Task<Result<void>> write(std::string_view piece) override {
    if (piece.empty()) co_return Result<void>{};
    Gather gather{{asio::buffer(piece)}};
    std::array<char, 24> size_line;
    if (framing_ == Framing::chunked) {
      const auto end = fmt::format_to(size_line.data(), "{:x}\r\n", piece.size());
      gather.parts = {
          asio::buffer(size_line.data(), static_cast<std::size_t>(end - size_line.data())),
          asio::buffer(piece), asio::buffer("\r\n", 2)};
    } else if (framing_ == Framing::counted) {
      if (piece.size() > left_) {
        broken_ = true;
        co_return fail(Code::too_large, "body_too_long", "The body exceeds its Content-Length.");
      }
      left_ -= piece.size();
    }
    if (!broken_ && !connection_.cancelled_) {
      broken_ = !connection_.write_now(gather);
      if (!broken_ && gather.size() > 0) broken_ = !co_await connection_.write_rest(gather);
    }
    if (broken_ || connection_.cancelled_) {
      broken_ = true;
      co_return fail(Code::unavailable, "peer_gone", "The client has closed the connection.");
    }
    co_return Result<void>{};
  }

  // What the framing asks for at the end; false if the body was not sent as announced.
  Task<bool> finish() {
    if (broken_ || connection_.cancelled_) co_return false;
    if (framing_ == Framing::counted) co_return left_ == 0;
    if (framing_ == Framing::until_close) co_return true;
    Gather gather{{asio::buffer("0\r\n\r\n", 5)}};
    if (!connection_.write_now(gather)) co_return false;
    if (gather.size() == 0) co_return true;
    co_return co_await connection_.write_rest(gather);
  }

 private:
  Connection& connection_;
  const Framing framing_;
  std::uint64_t left_;
  bool broken_ = false;
};

// ----------------------------------------------------------------------------------- connection

std::string peer_address(const Socket& socket) {
  error_code ec;
  const auto endpoint = socket.remote_endpoint(ec);
  return ec ? std::string() : endpoint.address().to_string();
}

Connection::Connection(Worker& worker, Socket socket, bool turned_away)
    : worker_(worker),
      socket_(std::move(socket)),
      peer_(peer_address(socket_)),
      turned_away_(turned_away) {}

Task<void> Connection::run() {
  if (turned_away_) {
    co_await refuse({503, "The server has as many connections as it may; try again soon."});
    co_return;
  }
  for (;;) {
    HeadCheck check(
        {worker_.limits.head_bytes, worker_.limits.header_count, worker_.limits.target_bytes});
    if (!received().empty() && check.feed(received()) == HeadCheck::State::refused) {
      co_await refuse(check.refusal());
      co_return;
    }
    if (check.facts().size == 0 && !co_await read_head(check)) co_return;
    read_due_ = never;
    const auto& facts = check.facts();

    error_code ec;
    parser_.emplace(worker_.limits.head_bytes);
    parser_->put(asio::buffer(received().substr(facts.skip, facts.size)), ec);
    buffer_.consume(facts.skip + facts.size);
    if (ec) {
      co_await refuse({400, "The request head is malformed."});
      co_return;
    }
    ++requests_;
    http_1_0_ = facts.http_1_0;
    keep_ = facts.keep_alive && !worker_.draining;
    owes_continue_ = facts.expects_continue;
    head_only_ = parser_->method == "HEAD";
    streamed_body_ = false;

    Request request;
    request.method = std::move(parser_->method);
    request.target = std::move(parser_->target);
    request.headers = std::move(parser_->headers);
    request.peer = peer_;
    request.keep_alive = keep_;
    if (!parser_->is_done()) {
      parser_->eager(true);
      if (worker_.handler.body_policy(request) == BodyPolicy::stream) {
        streamed_body_ = true;
        request.stream = std::make_unique<SocketBody>(shared_from_this(), requests_);
      } else {
        parser_->body_max = worker_.limits.body_bytes;
        if (facts.content_length.value_or(0) > worker_.limits.body_bytes) {
          co_await refuse({413, "The request body is too large."});
          co_return;
        }
        if (!co_await read_whole_body()) co_return;
        request.body = std::move(parser_->body);
      }
    }

    Response response;
    std::exception_ptr error;
    phase_ = Phase::handling;
    try {
      response = co_await worker_.handler.handle(std::move(request));
    } catch (...) {
      error = std::current_exception();
    }
    if (cancelled_) co_return;
    if (error) response = answer(error);
    const bool at_next_request = settle_unread_body();
    keep_ = keep_ && at_next_request && !worker_.draining;

    if (response.stream && !head_only_ && !has_no_body(response.status)) {
      if (!co_await send_stream(response)) co_return;
    } else {
      auto gather = lay_out(response);
      if (!write_now(gather)) co_return;
      if (gather.size() > 0 && !co_await write_rest(gather)) co_return;
    }
    if (!keep_) {
      // Closing with unread input would reset the connection and could take the answer with it.
      if (!parser_->is_done() || !received().empty()) co_await close_gently();
      co_return;
    }
    if (streamed_body_ || parser_->body_total > 0) {
      streamed_body_ = false;
      if (buffer_.size() == 0 && buffer_.capacity() > kept_buffer) buffer_ = {};
    }
  }
}

Task<bool> Connection::read_head(HeadCheck& check) {
  bool started = requests_ == 0 || buffer_.size() > 0;
  read_due_ = worker_.due_in(started ? worker_.limits.head_timeout : worker_.limits.idle_timeout);
  for (;;) {
    phase_ = buffer_.size() == 0 ? Phase::waiting : Phase::reading;
    if (phase_ == Phase::waiting && worker_.draining) co_return false;
    error_code ec;
    const auto n = co_await socket_.async_read_some(buffer_.prepare(head_read),
                                                    asio::redirect_error(use_task, ec));
    if (ec) {
      // Silence is no request, so it gets no answer.
      if (late_ && buffer_.size() > 0) co_await refuse({408, "The request head came too slowly."});
      co_return false;
    }
    buffer_.commit(n);
    if (!started) {
      started = true;
      read_due_ = worker_.due_in(worker_.limits.head_timeout);
    }
    switch (check.feed(received())) {
      case HeadCheck::State::more:
        break;
      case HeadCheck::State::done:
        co_return true;
      case HeadCheck::State::refused:
        co_await refuse(check.refusal());
        co_return false;
    }
  }
}

Task<error_code> Connection::receive(std::size_t at_most) {
  error_code ec;
  const auto n = co_await socket_.async_read_some(buffer_.prepare(at_most),
                                                  asio::redirect_error(use_task, ec));
  if (!ec) buffer_.commit(n);
  co_return ec;
}

std::optional<Refusal> Connection::decode_body() {
  while (buffer_.size() > 0 && !parser_->is_done()) {
    error_code ec;
    const auto n = parser_->put(buffer_.data(), ec);
    buffer_.consume(n);
    if (ec == http::error::need_more) {
      if (n > 0) continue;
      // Only a chunk's header or the end of the body can be waiting here.
      if (received().size() > chunk_header_max || !may_be_chunk_header(received())) {
        return Refusal{400, "The chunked body is malformed."};
      }
      break;
    }
    if (ec == http::error::body_limit) return Refusal{413, "The request body is too large."};
    if (ec) return Refusal{400, "The chunked body is malformed."};
  }
  return std::nullopt;
}

Task<bool> Connection::read_whole_body() {
  phase_ = Phase::reading;
  read_due_ = worker_.due_in(worker_.limits.body_timeout);
  for (;;) {
    if (const auto refusal = decode_body()) {
      co_await refuse(*refusal);
      co_return false;
    }
    if (parser_->is_done()) break;
    if (owes_continue_ && !co_await say_continue()) co_return false;
    const auto ec = co_await receive(body_read);
    if (ec) {
      if (late_) co_await refuse({408, "The request body came too slowly."});
      co_return false;
    }
  }
  read_due_ = never;
  owes_continue_ = false;
  co_return true;
}

Task<bool> Connection::say_continue() {
  owes_continue_ = false;
  if (buffer_.size() > 0) co_return true;  // it did not wait
  Gather gather{{asio::buffer("HTTP/1.1 100 Continue\r\n\r\n", 25)}};
  if (!write_now(gather)) co_return false;
  if (gather.size() == 0) co_return true;
  co_return co_await write_rest(gather);
}

Task<Result<std::string>> Connection::read_piece(std::uint64_t request) {
  const auto gone = [] {
    return fail(Code::unavailable, "peer_gone", "The client has closed the connection.");
  };
  if (request != requests_ || !streamed_body_ || cancelled_ || reading_) co_return gone();
  for (;;) {
    if (const auto refusal = decode_body()) {
      keep_ = false;
      streamed_body_ = false;
      co_return fail(Code::invalid_argument, "bad_body", std::string(refusal->why));
    }
    if (!parser_->body.empty()) co_return std::exchange(parser_->body, {});
    if (parser_->is_done()) co_return std::string();
    if (owes_continue_ && !co_await say_continue()) co_return gone();
    reading_ = true;
    read_due_ = worker_.due_in(worker_.limits.body_timeout);
    error_code ec;
    const auto n = co_await socket_.async_read_some(buffer_.prepare(body_read),
                                                    asio::redirect_error(use_task, ec));
    reading_ = false;
    if (phase_ == Phase::closing) co_return gone();
    read_due_ = never;
    if (ec || request != requests_ || !streamed_body_) {
      keep_ = false;
      streamed_body_ = false;
      co_return gone();
    }
    buffer_.commit(n);
  }
}

// After the handler: a streamed body that nobody reads on. What has already arrived may complete
// it; otherwise the connection cannot be used again, for where the next request starts is unknown.
bool Connection::settle_unread_body() {
  if (!streamed_body_ || parser_->is_done()) return true;
  if (owes_continue_ || reading_ || decode_body()) return false;
  return parser_->is_done();
}

Response Connection::answer(const std::exception_ptr& error) {
  log(fmt::format("a handler failed: {}", describe(error)));
  return worker_.handler.refuse(500, "Something went wrong on our side.");
}

void Connection::write_head(const Response& response, std::optional<std::uint64_t> length) {
  ensure(response.status >= 200 && response.status <= 599, "final status");
  out_.clear();
  const auto to = std::back_inserter(out_);
  fmt::format_to(to, "HTTP/1.1 {} ", response.status);
  out_ += reason_phrase(response.status);
  out_ += "\r\n";
  for (const auto& header : response.headers) {
    if (!may_be_sent(header)) continue;
    out_.append(header.name).append(": ").append(header.value).append("\r\n");
  }
  if (length) {
    out_ += "Content-Length: ";
    fmt::format_to(to, "{}\r\n", *length);
  }
  out_.append("Date: ").append(worker_.date).append("\r\n");
  if (!keep_) {
    out_ += "Connection: close\r\n";
  } else if (http_1_0_) {
    out_ += "Connection: keep-alive\r\n";
  }
}

bool Connection::write_now(Gather& gather) {
  // The socket does not block, so this takes what fits into the kernel's buffer and returns.
  error_code ec;
  const auto n = gather.parts[1].size() == 0 ? socket_.write_some(gather.parts[0], ec)
                                             : socket_.write_some(gather.parts, ec);
  if (ec == asio::error::would_block || ec == asio::error::try_again) return true;
  if (ec) return false;
  gather.advance(n);
  return true;
}

Task<bool> Connection::write_rest(Gather gather) {
  while (gather.size() > 0) {
    write_due_ = worker_.due_in(worker_.limits.write_timeout);
    error_code ec;
    const auto n =
        co_await socket_.async_write_some(gather.parts, asio::redirect_error(use_task, ec));
    write_due_ = never;
    if (ec) co_return false;
    gather.advance(n);
  }
  co_return true;
}

std::optional<std::uint64_t> given_length(const Response& response) {
  const auto text = find_header(response.headers, "content-length");
  if (text.empty()) return std::nullopt;
  std::uint64_t length = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), length);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return length;
}

Gather Connection::lay_out(const Response& response) {
  phase_ = Phase::writing;
  std::string_view body = response.static_body   ? *response.static_body
                          : response.shared_body ? std::string_view(*response.shared_body)
                                                 : std::string_view(response.body);
  std::optional<std::uint64_t> length = body.size();
  if (head_only_) {
    // The length a GET would have; unknown for a stream that gives none.
    const auto given = given_length(response);
    if (given || response.stream) length = given;
    body = {};
  }
  if (has_no_body(response.status)) {
    length = std::nullopt;
    body = {};
  }
  write_head(response, length);
  out_ += "\r\n";
  Gather gather;
  if (body.size() <= copied_body) {
    out_ += body;
  } else {
    gather.parts[1] = asio::buffer(body);
  }
  gather.parts[0] = asio::buffer(out_);
  return gather;
}

Task<bool> Connection::send_stream(const Response& response) {
  phase_ = Phase::streaming;
  const auto length = given_length(response);
  const auto framing = length      ? Sink::Framing::counted
                       : http_1_0_ ? Sink::Framing::until_close
                                   : Sink::Framing::chunked;
  if (framing == Sink::Framing::until_close) keep_ = false;
  write_head(response, length);
  out_ += framing == Sink::Framing::chunked ? "Transfer-Encoding: chunked\r\n\r\n" : "\r\n";
  Gather gather{{asio::buffer(out_)}};
  if (!write_now(gather)) co_return false;
  if (gather.size() > 0 && !co_await write_rest(gather)) co_return false;

  Sink sink(*this, framing, length.value_or(0));
  std::exception_ptr error;
  try {
    co_await response.stream(sink);
  } catch (...) {
    error = std::current_exception();
  }
  if (cancelled_) co_return false;
  if (error) {
    log(fmt::format("a stream failed: {}", describe(error)));
    co_return false;
  }
  co_return co_await sink.finish();
}

Task<void> Connection::refuse(Refusal refusal) {
  late_ = false;
  read_due_ = never;
  keep_ = false;
  http_1_0_ = false;
  head_only_ = false;
  auto response = worker_.handler.refuse(refusal.status, refusal.why);
  response.status = refusal.status;
  response.stream = nullptr;
  if (refusal.status == 503) response.headers.push_back({"Retry-After", "1"});
  if (refusal.status == 405) {
    response.headers.push_back({"Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"});
  }
  auto gather = lay_out(response);
  if (!write_now(gather)) co_return;
  if (gather.size() > 0 && !co_await write_rest(gather)) co_return;
  co_await close_gently();
}

// The peer may still be sending. Reading on for a moment lets it see the answer, which a reset
// would discard.
Task<void> Connection::close_gently() {
  phase_ = Phase::closing;
  error_code ec;
  socket_.shutdown(Socket::shutdown_send, ec);
  if (ec) co_return;
  if (reading_) {
    // Whoever forwarded the body has just given up, and its read is ending. Two readers would write
    // into one buffer.
    socket_.cancel(ec);
    for (int i = 0; i < 8 && reading_; ++i) co_await asio::post(use_task);
    if (reading_) co_return;
  }
  read_due_ = worker_.due_in(linger_time);
  std::size_t discarded = 0;
  while (!ec && discarded < linger_bytes) {
    buffer_.clear();
    ec = co_await receive(body_read);
    discarded += buffer_.size();
  }
}

void Connection::close() {
  error_code ec;
  socket_.close(ec);
}

void Connection::expire() {
  // The deadline stays: should the operation have ended well just now, the next one is late too.
  late_ = true;
  error_code ec;
  socket_.cancel(ec);
}

pollfd Connection::watched() {
  if (cancelled_) return {-1, 0, 0};
  // While an answer is being made a peer that only finished sending still waits for it; one that
  // was sent a stream for a while and closes is taken to be gone.
  if (phase_ == Phase::handling) return {socket_.native_handle(), 0, 0};
  if (phase_ == Phase::streaming) return {socket_.native_handle(), POLLRDHUP, 0};
  return {-1, 0, 0};
}

void Connection::cancel() {
  cancelled_ = true;
  signal_.emit(asio::cancellation_type::terminal);
}

void Connection::drain() {
  error_code ec;
  if (phase_ == Phase::waiting) socket_.cancel(ec);
}

// --------------------------------------------------------------------------------------- worker

std::chrono::milliseconds tick_for(const Limits& limits) {
  const auto shortest = std::min({limits.head_timeout, limits.body_timeout, limits.write_timeout,
                                  limits.idle_timeout, limits.drain});
  return std::clamp(shortest / 4, std::chrono::milliseconds(5), std::chrono::milliseconds(250));
}

Worker::Worker(const Limits& limits_in, Handler& handler_in, std::atomic<std::size_t>& open)
    : limits(limits_in),
      handler(handler_in),
      date(http_date(std::chrono::system_clock::now())),
      tick(tick_for(limits_in)),
      open_(open) {}

error_code Worker::listen(const tcp::endpoint& at, bool shared) {
  error_code ec;
  acceptor_.open(at.protocol(), ec);
  if (!ec) acceptor_.set_option(tcp::acceptor::reuse_address(true), ec);
  const int on = 1;
  if (!ec && shared &&
      ::setsockopt(acceptor_.native_handle(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0) {
    ec.assign(errno, boost::system::system_category());
  }
  if (!ec) acceptor_.bind(at, ec);
  if (!ec) acceptor_.listen(asio::socket_base::max_listen_connections, ec);
  return ec;
}

void Worker::start() {
  asio::co_spawn(context_.get_executor(), accept(), [this](const std::exception_ptr& error) {
    if (error && !draining) log(fmt::format("accepting ended: {}", describe(error)));
  });
  arm();
  thread_ = std::thread([this] { context_.run(); });
}

Task<void> Worker::accept() {
  while (!draining) {
    auto [ec, socket] = co_await acceptor_.async_accept(asio::as_tuple(use_task));
    if (!ec) {
      admit(std::move(socket));
    } else if (draining || ec == asio::error::operation_aborted) {
      co_return;
    } else if (ec != asio::error::connection_aborted) {
      // Out of descriptors or memory. The connection stays in the queue; without a pause this
      // would spin until something is closed.
      log(fmt::format("cannot accept: {}", ec.message()));
      Timer pause(context_.get_executor(), std::chrono::milliseconds(100));
      error_code ignored;
      co_await pause.async_wait(asio::redirect_error(use_task, ignored));
    }
  }
}

void Worker::admit(Socket socket) {
  const auto before = open_.fetch_add(1, std::memory_order_relaxed);
  if (before >= limits.connections + told_at_a_time) {
    open_.fetch_sub(1, std::memory_order_relaxed);
    return;
  }
  error_code ec;
  socket.non_blocking(true, ec);
  socket.set_option(tcp::no_delay(true), ec);
  auto connection =
      std::make_shared<Connection>(*this, std::move(socket), before >= limits.connections);
  connections_.push_back(*connection);
  // However the coroutine ends, also by destruction of the context, the connection leaves the list.
  auto leave = [this](Connection* c) { forget(*c); };
  std::unique_ptr<Connection, decltype(leave)> member(connection.get(), leave);
  auto& slot_owner = *connection;
  asio::co_spawn(
      context_.get_executor(), slot_owner.run(),
      asio::bind_cancellation_slot(slot_owner.signal().slot(),
                                   [connection = std::move(connection),
                                    member = std::move(member)](const std::exception_ptr& error) {
                                     if (!error) return;
                                     try {
                                       std::rethrow_exception(error);
                                     } catch (const system_error& e) {
                                       if (e.code() == asio::error::operation_aborted) return;
                                     } catch (...) {
                                     }
                                     log(fmt::format("a connection failed: {}", describe(error)));
                                   }));
}

void Worker::forget(Connection& connection) {
  connections_.erase(connections_.iterator_to(connection));
  connection.close();
  open_.fetch_sub(1, std::memory_order_relaxed);
  // Nothing else that runs here is waited for: idle upstream connections, for example.
  if (draining && connections_.empty()) context_.stop();
}

void Worker::arm() {
  timer_.expires_after(tick);
  timer_.async_wait([this](error_code ec) {
    if (ec) return;
    sweep();
    arm();
  });
}

void Worker::sweep() {
  now = Steady::now();
  date = http_date(std::chrono::system_clock::now());

  // Acting on a connection may run its coroutine, so first look, then act.
  for (auto& connection : connections_) {
    if (connection.expired(now)) touched_.push_back(connection.shared_from_this());
  }
  for (const auto& connection : touched_) connection->expire();
  touched_.clear();

  for (auto& connection : connections_) {
    const auto entry = connection.watched();
    if (entry.fd < 0) continue;
    polled_.push_back(entry);
    touched_.push_back(connection.shared_from_this());
  }
  if (!polled_.empty() && ::poll(polled_.data(), polled_.size(), 0) > 0) {
    for (std::size_t i = 0; i < polled_.size(); ++i) {
      if (polled_[i].revents != 0) touched_[i]->cancel();
    }
  }
  polled_.clear();
  touched_.clear();

  if (now <= drain_due_) return;
  if (cut_) {
    context_.stop();  // what ignores cancellation is destroyed with the context
    return;
  }
  cut_ = true;
  drain_due_ = now + cancel_grace;
  for (auto& connection : connections_) touched_.push_back(connection.shared_from_this());
  for (const auto& connection : touched_) {
    connection->cancel();
    connection->close();
  }
  touched_.clear();
}

void Worker::stop() {
  asio::post(context_.get_executor(), [this] { begin_drain(); });
}

void Worker::begin_drain() {
  draining = true;
  now = Steady::now();
  drain_due_ = now + limits.drain;
  error_code ec;
  acceptor_.close(ec);
  for (auto& connection : connections_) connection.drain();
  if (connections_.empty()) context_.stop();
}

Error listen_error(const std::string& host, std::uint16_t port, error_code ec) {
  if (ec == asio::error::address_in_use) {
    const auto owner = port_owner(port);
    return {Code::already_exists, "port_in_use",
            fmt::format("Port {} is already in use{}. Stop that process or choose another port "
                        "with --listen.",
                        port, owner ? " by " + *owner : "")};
  }
  if (ec == asio::error::access_denied) {
    return {Code::permission_denied, "port_denied",
            fmt::format("The system does not let us listen on port {}. Ports below 1024 need "
                        "privileges; choose another with --listen.",
                        port)};
  }
  return {Code::invalid_argument, "cannot_listen",
          fmt::format("Cannot listen on {}:{}: {}.", host, port, ec.message())};
}

Result<tcp::endpoint> resolve(const std::string& host, std::uint16_t port) {
  error_code ec;
  const auto address = asio::ip::make_address(host, ec);
  if (!ec) return tcp::endpoint(address, port);
  asio::io_context context(1);
  asio::ip::basic_resolver<tcp, Executor> resolver(context.get_executor());
  const auto found = resolver.resolve(host, std::to_string(port), ec);
  if (ec || found.empty()) {
    return fail(Code::invalid_argument, "unknown_host",
                fmt::format("{} is neither an address nor a name of this machine.", host));
  }
  return found.begin()->endpoint();
}

}  // namespace

struct HttpServer::Impl {
  // Constant after construction.
  ServerOptions options;
  Handler& handler;
  // Shared by the workers.
  std::atomic<std::size_t> open{0};
  // Touched by the thread that starts and stops.
  std::vector<std::unique_ptr<Worker>> workers;
  std::uint16_t port = 0;
};

HttpServer::HttpServer(ServerOptions options, Handler& handler)
    : impl_(std::make_unique<Impl>(std::move(options), handler)) {
  ensure(impl_->options.threads > 0, "a server has threads");
}

HttpServer::~HttpServer() { stop(); }

Result<void> HttpServer::start() {
  ensure(impl_->workers.empty(), "a server starts once");
  const auto& options = impl_->options;
  auto endpoint = resolve(options.host, options.port);
  if (!endpoint) return pass(std::move(endpoint.error()));

  const bool shared = options.threads > 1;
  if (shared) {
    // A shared port can be bound although another server of ours holds it, and requests would then
    // go to either. So look first, without sharing.
    Worker probe(options.limits, impl_->handler, impl_->open);
    if (const auto ec = probe.listen(*endpoint, false)) {
      return pass(listen_error(options.host, options.port, ec));
    }
    endpoint->port(probe.port());
  }
  std::vector<std::unique_ptr<Worker>> workers;
  for (int i = 0; i < options.threads; ++i) {
    auto worker = std::make_unique<Worker>(options.limits, impl_->handler, impl_->open);
    if (const auto ec = worker->listen(*endpoint, shared)) {
      return pass(listen_error(options.host, endpoint->port(), ec));
    }
    endpoint->port(worker->port());
    workers.push_back(std::move(worker));
  }
  impl_->port = endpoint->port();
  impl_->workers = std::move(workers);
  for (auto& worker : impl_->workers) worker->start();
  return {};
}

std::uint16_t HttpServer::port() const { return impl_->port; }

void HttpServer::drain() {
  for (auto& worker : impl_->workers) worker->stop();
  for (auto& worker : impl_->workers) worker->join();
}

void HttpServer::stop() {
  drain();
  impl_->workers.clear();
}

std::size_t HttpServer::open_connections() const {
  return impl_->open.load(std::memory_order_relaxed);
}

}  // namespace berth::net
