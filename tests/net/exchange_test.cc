// The streaming client, against our own server and against sockets on which the test plays a server
// that behaves badly.
#include "wire.h"

namespace berth::net {
namespace {

using wire::eventually;
using wire::Listener;
using wire::milliseconds;
using wire::Raw;
using wire::Server;

UpstreamRequest get(const std::string& address, std::string target = "/x") {
  UpstreamRequest out;
  out.address = address;
  out.method = "GET";
  out.target = std::move(target);
  return out;
}

// "200 body" or "code reason".
std::string text_of(const Error& error) {
  return fmt::format("{} {}", static_cast<int>(error.code), error.reason);
}

Task<std::string> whole(UpstreamRequest request) {
  auto response = co_await exchange(std::move(request));
  if (!response) co_return "error " + response.error().reason;
  std::string out = std::to_string((*response)->status()) + " ";
  for (;;) {
    auto piece = co_await (*response)->read();
    if (!piece) co_return out + " error " + piece.error().reason;
    if (piece->empty()) co_return out;
    out += *piece;
  }
}

// Answers one connection after the other with fixed bytes, each after a whole head has come.
class Script {
 public:
  explicit Script(std::vector<std::string> answers)
      : thread_([this, answers = std::move(answers)] {
          for (const auto& answer : answers) {
            auto raw = listener_.accept();
            seen += raw.receive_until("\r\n\r\n");
            raw.send(answer);
          }
        }) {}
  ~Script() { join(); }
  void join() {
    if (thread_.joinable()) thread_.join();
  }
  std::string address() const { return listener_.address(); }

  std::string seen;  // valid after join()

 private:
  Listener listener_;
  std::thread thread_;
};

std::string answer_to(std::string bytes) {
  Script script({std::move(bytes)});
  return wire::run(whole(get(script.address())));
}

TEST(Exchange, ReadsEveryFramingOfABody) {
  EXPECT_EQ(answer_to("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"), "200 abc");
  EXPECT_EQ(answer_to("HTTP/1.1 200 OK\r\nTransfer-Encoding: "
                      "chunked\r\n\r\n1\r\na\r\n2;x=y\r\nbc\r\n0\r\n\r\n"),
            "200 abc");
  EXPECT_EQ(
      answer_to("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX: y\r\n\r\n"),
      "200 a");
  EXPECT_EQ(answer_to("HTTP/1.1 200 OK\r\n\r\nuntil close"), "200 until close");
  EXPECT_EQ(answer_to("HTTP/1.0 200 OK\r\n\r\nold"), "200 old");
  EXPECT_EQ(answer_to("HTTP/1.1 204 No Content\r\n\r\n"), "204 ");
  EXPECT_EQ(answer_to("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"), "304 ");
  EXPECT_EQ(answer_to("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), "200 ");
  EXPECT_EQ(answer_to("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
                      "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na"),
            "200 a");
}

TEST(Exchange, BrokenAnswersAreErrors) {
  for (const std::string bytes :
       {"", "HTTP", "garbage\r\n\r\n", "HTTP/1.1 abc\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nNo colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\n",
        "\x15\x03\x01\x02"}) {
    EXPECT_EQ(answer_to(bytes), "error upstream_broken") << bytes;
  }
  EXPECT_EQ(answer_to("HTTP/1.1 200 OK\r\nX: " + std::string(70'000, 'a') + "\r\n\r\n"),
            "error upstream_broken");
  EXPECT_EQ(answer_to("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"),
            "200 ab error upstream_broken");
  EXPECT_EQ(answer_to("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n"),
            "200 ab error upstream_broken");
  EXPECT_EQ(answer_to("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
            "error upstream_broken");
}

TEST(Exchange, HandsOverHeadersWithoutThoseOfTheHop) {
  Script script(
      {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nX-A: b\r\nKeep-Alive: timeout=5\r\n"
       "Connection: close, X-Hop\r\nX-Hop: c\r\n\r\na"});
  const auto seen = wire::run([](std::string address) -> Task<std::string> {
    auto response = co_await exchange(get(address));
    std::string out;
    for (const auto& header : (*response)->headers()) out += header.name + "=" + header.value + ";";
    co_return out;
  }(script.address()));
  EXPECT_EQ(seen, "Content-Length=1;X-A=b;");
}

TEST(Exchange, SaysWhatTheUpstreamNeedsAndNothingOfTheHop) {
  Script script({"HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n"});
  auto request = get(script.address(), "/a?b=c");
  request.method = "POST";
  request.headers = {{"X-A", "b"}, {"Connection", "x"}, {"Content-Length", "77"}};
  request.body = "hello";
  EXPECT_EQ(wire::run(whole(request)), "204 ");
  request.method = "GET";
  request.body.clear();
  request.headers = {{"Host", "model.example"}};
  EXPECT_EQ(wire::run(whole(request)), "204 ");
  script.join();
  EXPECT_EQ(script.seen, "POST /a?b=c HTTP/1.1\r\nX-A: b\r\nHost: " + script.address() +
                             "\r\nContent-Length: 5\r\n\r\nhello"
                             "GET /a?b=c HTTP/1.1\r\nHost: model.example\r\n\r\n");
}

TEST(Exchange, RefusesToSendWhatWouldSplitTheRequest) {
  auto request = get("127.0.0.1:1");
  request.headers = {{"X", "a\r\nY: b"}};
  EXPECT_EQ(wire::run(whole(request)), "error bad_upstream_request");
  request.headers = {{"X Y", "a"}};
  EXPECT_EQ(wire::run(whole(request)), "error bad_upstream_request");
  EXPECT_EQ(wire::run(whole(get("127.0.0.1:1", "/a b"))), "error bad_upstream_request");
  EXPECT_EQ(wire::run(whole(get("127.0.0.1:1", "/a\r\n"))), "error bad_upstream_request");
  for (const auto* address : {"", "host", ":80", "host:", "127.0.0.1:x", "127.0.0.1:70000"}) {
    EXPECT_EQ(wire::run(whole(get(address))), "error bad_address") << address;
  }
}

TEST(Exchange, KeepsConnectionsAndUsesThemAgain) {
  Server server;
  const auto opened = wire::run([](Server& server) -> Task<std::size_t> {
    for (int i = 0; i < 20; ++i) {
      EXPECT_EQ(co_await whole(get(server.address())), "200 GET /x ");
    }
    co_return server.http.open_connections();
  }(server));
  EXPECT_EQ(opened, 1u);
}

TEST(Exchange, AnUnreadAnswerDoesNotGoBackToThePool) {
  Server server;
  wire::run([](Server& server) -> Task<int> {
    {
      auto response = co_await exchange(get(server.address(), "/" + std::string(7000, 'a')));
    }
    EXPECT_EQ(co_await whole(get(server.address())), "200 GET /x ");
    co_return 0;
  }(server));
}

TEST(Exchange, AHeadAnswerHasNoBodyWhateverItsLengthSays) {
  Server server;
  wire::run([](Server& server) -> Task<int> {
    for (int i = 0; i < 3; ++i) {
      auto request = get(server.address());
      request.method = "HEAD";
      EXPECT_EQ(co_await whole(request), "200 ");
    }
    EXPECT_EQ(server.http.open_connections(), 1u);
    co_return 0;
  }(server));
}

// The upstream closes after its answer, so the kept connection is closed by the time it is wanted,
// or closes just as the request is written.
TEST(Exchange, AStaleConnectionIsReplaced) {
  const std::string answer = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na";
  Script script({answer, answer, answer});
  wire::run([](std::string address) -> Task<int> {
    for (int i = 0; i < 3; ++i) EXPECT_EQ(co_await whole(get(address)), "200 a");
    co_return 0;
  }(script.address()));
}

TEST(Exchange, AConnectionThatClosesUnderTheRequestIsReplacedOnce) {
  Listener listener;
  std::thread upstream([&] {
    auto first = listener.accept();
    first.receive_until("\r\n\r\n");
    first.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na");
    first.receive_until("\r\n\r\n");  // the second request arrives on the kept connection
    first.close();
    auto second = listener.accept();
    second.receive_until("\r\n\r\n");
    second.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb");
  });
  wire::run([](std::string address) -> Task<int> {
    EXPECT_EQ(co_await whole(get(address)), "200 a");
    EXPECT_EQ(co_await whole(get(address)), "200 b");
    co_return 0;
  }(listener.address()));
  upstream.join();
}

TEST(Exchange, AClosedPortIsUnavailable) {
  std::string address;
  {
    address = Listener().address();
  }
  const auto error = wire::run([](std::string to) -> Task<std::string> {
    auto response = co_await exchange(get(to));
    co_return response ? "answered" : text_of(response.error());
  }(address));
  EXPECT_EQ(error, fmt::format("{} upstream_unreachable", static_cast<int>(Code::unavailable)));
}

TEST(Exchange, SilenceRunsIntoTheTimeout) {
  Listener silent;  // the kernel accepts for it
  auto request = get(silent.address());
  request.head_timeout = milliseconds(50);
  const auto error = wire::run([](UpstreamRequest asked) -> Task<std::string> {
    auto response = co_await exchange(std::move(asked));
    co_return response ? "answered" : text_of(response.error());
  }(request));
  EXPECT_EQ(error, fmt::format("{} upstream_timeout", static_cast<int>(Code::resource_exhausted)));
}

// A source that gives its pieces when the test opens the gate.
class Pieces final : public BodySource {
 public:
  explicit Pieces(std::vector<std::string> pieces, wire::Gate* gate = nullptr)
      : pieces_(std::move(pieces)), gate_(gate) {}
  Task<Result<std::string>> read() override {
    if (gate_ && next_ == 1) co_await gate_->wait();
    if (next_ == pieces_.size()) co_return std::string();
    co_return pieces_[next_++];
  }

 private:
  std::vector<std::string> pieces_;
  wire::Gate* gate_;
  std::size_t next_ = 0;
};

class Failing final : public BodySource {
 public:
  Task<Result<std::string>> read() override {
    co_return fail(Code::too_large, "body_too_large", "The body is too large.");
  }
};

TEST(Exchange, ForwardsAStreamChunkedOrWithItsLength) {
  Server server;
  for (const bool counted : {false, true}) {
    Pieces pieces({"one", " ", "two"});
    auto request = get(server.address());
    request.method = "POST";
    request.stream = &pieces;
    if (counted) request.headers.push_back({"Content-Length", "7"});
    EXPECT_EQ(wire::run(whole(request)), "200 POST /x one two");
  }
  Pieces pieces({"one", " ", "two"});
  auto request = get(server.address());
  request.method = "POST";
  request.stream = &pieces;
  request.headers.push_back({"Content-Length", "5"});
  EXPECT_EQ(wire::run(whole(request)), "error bad_length");
}

TEST(Exchange, AStreamsOwnErrorIsReported) {
  Server server;
  Failing source;
  auto request = get(server.address());
  request.method = "POST";
  request.stream = &source;
  EXPECT_EQ(wire::run(whole(request)), "error body_too_large");
}

TEST(Exchange, AnAnswerMayComeBeforeTheBodyIsSent) {
  wire::Gate never;
  Server server({{"/stream", [](Request) -> Task<Response> { co_return wire::with_status(413); }}});
  Pieces pieces({"one", "two"}, &never);
  auto request = get(server.address(), "/stream");
  request.method = "POST";
  request.stream = &pieces;
  EXPECT_EQ(wire::run(whole(request)), "413 ");
}

TEST(Exchange, ALargeBodyPassesThroughBothWays) {
  Limits limits;
  limits.body_bytes = 16 << 20;
  Server server({{"/stream",
                  [](Request request) -> Task<Response> {
                    Response response;
                    response.stream = [source = std::shared_ptr(std::move(request.stream))](
                                          BodySink& sink) -> Task<void> {
                      for (;;) {
                        auto piece = co_await source->read();
                        if (!piece || piece->empty()) co_return;
                        if (!co_await sink.write(*piece)) co_return;
                      }
                    };
                    co_return response;
                  }}},
                limits);
  auto request = get(server.address(), "/stream");
  request.method = "POST";
  for (int i = 0; i < (6 << 20); ++i)
    request.body += static_cast<char>('a' + (i * 7 + i / 1001) % 26);
  EXPECT_TRUE(wire::run(whole(request)) == "200 " + request.body);
}

// What the endpoint proxy does: a request that streams in is sent on, and the answer streams back.
TEST(Exchange, AProxyMadeOfServerAndClientPassesStreamsOn) {
  Server upstream({{"/stream", [](Request request) -> Task<Response> {
                      Response response;
                      response.stream = [source = std::shared_ptr(std::move(request.stream))](
                                            BodySink& sink) -> Task<void> {
                        for (;;) {
                          auto piece = co_await source->read();
                          if (!piece || piece->empty()) co_return;
                          if (!co_await sink.write("<" + *piece + ">")) co_return;
                        }
                      };
                      co_return response;
                    }}});
  Server proxy({{"/stream", [&](Request request) -> Task<Response> {
                   auto source = std::shared_ptr(std::move(request.stream));
                   UpstreamRequest forward = get(upstream.address(), request.target);
                   forward.method = request.method;
                   forward.stream = source.get();
                   auto answered = co_await exchange(std::move(forward));
                   Response response;
                   if (!answered) co_return wire::with_status(502);
                   response.status = (*answered)->status();
                   // The answer is declared last, so it ends before the source it may still read.
                   response.stream = [source, from = std::shared_ptr(std::move(*answered))](
                                         BodySink& sink) -> Task<void> {
                     for (;;) {
                       auto piece = co_await from->read();
                       if (!piece) throw std::runtime_error(piece.error().message);
                       if (piece->empty()) co_return;
                       if (!co_await sink.write(*piece)) co_return;
                     }
                   };
                   co_return response;
                 }}});
  auto raw = proxy.connect();
  raw.send("POST /stream HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
  for (const std::string piece : {"hello", "world", "again"}) {
    raw.send("5\r\n" + piece + "\r\n");
    EXPECT_TRUE(raw.receive_until("<" + piece + ">\r\n").ends_with("7\r\n<" + piece + ">\r\n"));
  }
  // The reader leaves: both ends notice.
  raw.close();
  EXPECT_TRUE(eventually([&] { return proxy.http.open_connections() == 0; }));
  EXPECT_TRUE(eventually([&] { return upstream.http.open_connections() == 0; }));

  auto refused = proxy.connect();
  upstream.http.stop();
  refused.send("POST /stream HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
  EXPECT_EQ(wire::statuses(refused.receive_until("\r\n\r\n")), std::vector{502});
}

}  // namespace
}  // namespace berth::net
