#include "wire.h"

namespace berth::net {
namespace {

using wire::eventually;
using wire::Gate;
using wire::milliseconds;
using wire::Raw;
using wire::seconds;
using wire::Server;
using wire::statuses;

constexpr std::string_view plain_get = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n";

// The head of an answer without its date, which changes.
std::string without_date(std::string text) {
  const auto at = text.find("Date: ");
  if (at != std::string::npos) text.erase(at, text.find("\r\n", at) + 2 - at);
  return text;
}

TEST(Server, AnswersWithLengthDateAndNothingElse) {
  Server server;
  auto raw = server.connect();
  raw.send(plain_get);
  const auto answer = raw.receive_until("GET /x ");
  EXPECT_EQ(without_date(answer), "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nGET /x ");
  const auto at = answer.find("Date: ");
  ASSERT_NE(at, std::string::npos);
  EXPECT_EQ(answer.substr(at).find(" GMT\r\n"), 31u);
}

TEST(Server, SaysWhetherTheConnectionStays) {
  Server server;
  EXPECT_EQ(without_date(server.say("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")),
            "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nGET / ");
  EXPECT_EQ(without_date(server.say("GET / HTTP/1.0\r\n\r\n")),
            "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nGET / ");
  EXPECT_EQ(without_date(server.say("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")),
            "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: keep-alive\r\n\r\nGET / ");
}

TEST(Server, HeadIsGetWithoutTheBody) {
  Server server({{"/stream",
                  [](Request) -> Task<Response> {
                    Response response;
                    response.stream = [](BodySink&) -> Task<void> { co_return; };
                    co_return response;
                  }},
                 {"/proxied", [](Request) -> Task<Response> {
                    Response response;
                    response.headers.push_back({"Content-Length", "123"});
                    co_return response;
                  }}});
  EXPECT_EQ(without_date(server.say("HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n")),
            "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n");
  EXPECT_EQ(without_date(server.say("HEAD /stream HTTP/1.1\r\nHost: a\r\n\r\n")),
            "HTTP/1.1 200 OK\r\n\r\n");
  EXPECT_EQ(without_date(server.say("HEAD /proxied HTTP/1.1\r\nHost: a\r\n\r\n")),
            "HTTP/1.1 200 OK\r\nContent-Length: 123\r\n\r\n");
}

TEST(Server, HeadersThatItSaysItselfOrThatSplitAreLeftOut) {
  Server server({{"/", [](Request) -> Task<Response> {
                    Response response;
                    response.status = 204;
                    response.headers = {{"Content-Length", "9"}, {"connection", "x"},
                                        {"Date", "x"},           {"Transfer-Encoding", "x"},
                                        {"X", "a\r\nY: b"},      {"A B", "c"},
                                        {"Good", "yes"}};
                    co_return response;
                  }}});
  EXPECT_EQ(without_date(server.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n")),
            "HTTP/1.1 204 No Content\r\nGood: yes\r\n\r\n");
}

TEST(Server, GivesTheHandlerWhatWasSent) {
  Server server({{"/see", [](Request request) -> Task<Response> {
                    Response response;
                    response.body = fmt::format(
                        "{}|{}|{}|{}|{}|{}", request.method, request.path(), request.query(),
                        find_header(request.headers, "x-a"), request.body, request.peer);
                    co_return response;
                  }}});
  EXPECT_TRUE(
      server.say("PUT /see?a=b HTTP/1.1\r\nHost: a\r\nX-A:  b c \r\nContent-Length: 3\r\n\r\nabc")
          .ends_with("\r\n\r\nPUT|/see|a=b|b c|abc|127.0.0.1"));
  EXPECT_TRUE(server
                  .say("PUT /see HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                       "1\r\na\r\n2\r\nbc\r\n0\r\n\r\n")
                  .ends_with("\r\n\r\nPUT|/see|||abc|127.0.0.1"));
}

TEST(Server, AThousandPipelinedRequestsAreAnsweredInOrder) {
  Server server;
  std::string requests;
  std::string bodies;
  for (int i = 0; i < 1000; ++i) {
    requests +=
        "POST /" + std::to_string(i) + " HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
    bodies += "POST /" + std::to_string(i) + " hi";
  }
  auto raw = server.connect();
  raw.send(requests);
  raw.finish_sending();
  std::string got;
  std::string_view answers;
  const auto text = raw.receive_all();
  answers = text;
  while (!answers.empty()) {
    const auto body = answers.find("\r\n\r\n") + 4;
    const auto next = answers.find("HTTP/1.1", body);
    got += answers.substr(body, next == std::string_view::npos ? next : next - body);
    answers.remove_prefix(std::min(next, answers.size()));
  }
  EXPECT_EQ(got, bodies);
  EXPECT_EQ(statuses(text), std::vector<int>(1000, 200));
}

TEST(Server, AnyCutOfTheBytesIsTheSameRequest) {
  Server server;
  const std::string request =
      "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
      "3\r\nabc\r\n4;x\r\ndefg\r\n0\r\n\r\n";
  auto slowly = server.connect();
  for (const char c : request) ASSERT_TRUE(slowly.send({&c, 1}));
  EXPECT_TRUE(slowly.receive_all().ends_with("\r\n\r\nPOST /a abcdefg"));
  for (std::size_t cut = 1; cut < request.size(); ++cut) {
    auto raw = server.connect();
    raw.send(std::string_view(request).substr(0, cut));
    raw.send(std::string_view(request).substr(cut));
    EXPECT_TRUE(raw.receive_all().ends_with("\r\n\r\nPOST /a abcdefg")) << cut;
  }
}

TEST(Server, LargeBodiesPassBothWays) {
  Limits limits;
  limits.body_bytes = 8 << 20;
  static const std::string page(4 << 20, 'p');
  Server server({{"/echo",
                  [](Request request) -> Task<Response> {
                    Response response;
                    response.body = std::move(request.body);
                    co_return response;
                  }},
                 {"/static",
                  [](Request) -> Task<Response> {
                    Response response;
                    response.static_body = page;
                    co_return response;
                  }},
                 {"/shared",
                  [](Request) -> Task<Response> {
                    Response response;
                    response.shared_body = std::make_shared<const std::string>(3 << 20, 's');
                    co_return response;
                  }}},
                limits);
  ClientRequest request;
  request.method = "POST";
  request.url = server.url("/echo");
  for (int i = 0; i < (5 << 20); ++i) request.body += static_cast<char>(i * 31 + i / 977);
  EXPECT_TRUE(fetch(request).value().body == request.body);
  request.method = "GET";
  request.body.clear();
  request.url = server.url("/static");
  EXPECT_TRUE(fetch(request).value().body == page);
  request.url = server.url("/shared");
  EXPECT_TRUE(fetch(request).value().body == std::string(3 << 20, 's'));
}

TEST(Server, SaysContinueOnceToWhoWaitsForIt) {
  Server server;
  auto raw = server.connect();
  raw.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(raw.receive_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  raw.send("h");
  raw.send("i");
  EXPECT_TRUE(raw.receive_until("hi").ends_with("\r\n\r\nPOST / hi"));
  // With the body already there nobody waits.
  raw.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\nho");
  EXPECT_EQ(statuses(raw.receive_until("ho")), std::vector{200});
}

TEST(Server, SlowHeadsAndBodiesGet408AndSilenceGetsNothing) {
  Limits limits;
  limits.head_timeout = limits.body_timeout = limits.idle_timeout = milliseconds(60);
  Server server({}, limits);
  const auto answer_to = [&](std::string_view bytes) {
    auto raw = server.connect();
    raw.send(bytes);
    return statuses(raw.receive_all());
  };
  EXPECT_EQ(answer_to(""), std::vector<int>{});
  EXPECT_EQ(answer_to("G"), std::vector{408});
  EXPECT_EQ(answer_to("GET / HTTP/1.1\r\nHost: a\r\n"), std::vector{408});
  EXPECT_EQ(answer_to("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc"),
            std::vector{408});
  EXPECT_EQ(answer_to("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc"),
            std::vector{408});
  EXPECT_EQ(answer_to(plain_get), std::vector{200});  // then idle too long
  EXPECT_EQ(answer_to(std::string(plain_get) + "GET"), (std::vector{200, 408}));
  EXPECT_TRUE(eventually([&] { return server.http.open_connections() == 0; }));
}

TEST(Server, ADrippingHeadIsCutAtTheDeadlineOfTheWhole) {
  Limits limits;
  limits.head_timeout = milliseconds(80);
  Server server({}, limits);
  auto raw = server.connect();
  raw.send("GET / HTTP/1.1\r\nHost: a\r\nX: ");
  const auto until = std::chrono::steady_clock::now() + milliseconds(wire::patience_ms);
  pollfd entry{raw.fd(), POLLIN, 0};
  while (std::chrono::steady_clock::now() < until) {
    if (!raw.send("x") || ::poll(&entry, 1, 10) > 0) break;
  }
  EXPECT_EQ(statuses(raw.receive_all()), std::vector{408});
}

TEST(Server, AReaderThatStopsIsClosed) {
  Limits limits;
  limits.write_timeout = milliseconds(60);
  static const std::string page(32 << 20, 'p');
  Server server({{"/",
                  [](Request) -> Task<Response> {
                    Response response;
                    response.static_body = page;
                    co_return response;
                  }}},
                limits);
  auto raw = server.connect();
  raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_TRUE(eventually([&] { return server.handler.handled == 1; }));
  EXPECT_TRUE(eventually([&] { return server.http.open_connections() == 0; }));
  EXPECT_LT(raw.receive_all().size(), page.size());
}

TEST(Server, BeyondItsConnectionsItSays503) {
  Limits limits;
  limits.connections = 2;
  Server server({}, limits);
  auto first = server.connect(), second = server.connect();
  for (auto* raw : {&first, &second}) {
    raw->send(plain_get);
    EXPECT_EQ(statuses(raw->receive_until("GET /x ")), std::vector{200});
  }
  auto third = server.connect();
  const auto answer = third.receive_all();
  EXPECT_EQ(statuses(answer), std::vector{503});
  EXPECT_TRUE(answer.contains("\r\nRetry-After: 1\r\n"));
  EXPECT_TRUE(answer.contains("\r\nConnection: close\r\n"));
  third.close();
  first.close();
  EXPECT_TRUE(eventually([&] { return server.http.open_connections() == 1; }));
  auto fourth = server.connect();
  fourth.send(plain_get);
  EXPECT_EQ(statuses(fourth.receive_until("GET /x ")), std::vector{200});
}

TEST(Server, AHandlersExceptionIsA500AndTheConnectionStays) {
  Server server({{"/throw", [](Request) -> Task<Response> {
                    throw std::runtime_error("expected by the test");
                    co_return Response{};
                  }}});
  auto raw = server.connect();
  raw.send("GET /throw HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(statuses(raw.receive_until("side.")), std::vector{500});
  raw.send(plain_get);
  EXPECT_EQ(statuses(raw.receive_until("GET /x ")), std::vector{200});
}

TEST(Server, StreamsInChunksAsTheyAreWritten) {
  Gate gate;
  Server server({{"/stream", [&](Request) -> Task<Response> {
                    Response response;
                    response.stream = [&](BodySink& sink) -> Task<void> {
                      EXPECT_TRUE(co_await sink.write("one"));
                      EXPECT_TRUE(co_await sink.write(""));
                      co_await gate.wait();
                      EXPECT_TRUE(co_await sink.write("and two"));
                    };
                    co_return response;
                  }}});
  auto raw = server.connect();
  raw.send("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(without_date(raw.receive_until("one\r\n")),
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
  gate.open();
  EXPECT_EQ(raw.receive_until("0\r\n\r\n"), "7\r\nand two\r\n0\r\n\r\n");
  raw.send(plain_get);
  EXPECT_EQ(statuses(raw.receive_until("GET /x ")), std::vector{200});
}

TEST(Server, StreamsRawWhenTheLengthIsKnownAndBreaksOffWhenItIsWrong) {
  const auto stream_of = [](std::string length, std::string text) -> wire::Serve {
    return [=](Request) -> Task<Response> {
      Response response;
      if (!length.empty()) response.headers.push_back({"Content-Length", length});
      response.stream = [=](BodySink& sink) -> Task<void> { (void)co_await sink.write(text); };
      co_return response;
    };
  };
  Server server({{"/right", stream_of("5", "right")},
                 {"/short", stream_of("9", "short")},
                 {"/long", stream_of("2", "long")},
                 {"/none", stream_of("", "none")},
                 {"/throw", [](Request) -> Task<Response> {
                    Response response;
                    response.stream = [](BodySink& sink) -> Task<void> {
                      (void)co_await sink.write("x");
                      throw std::runtime_error("expected by the test");
                    };
                    co_return response;
                  }}});
  const auto ask = [&](const char* target, const char* version) {
    return without_date(server.say(fmt::format(
        "GET {} HTTP/{}\r\nHost: a\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n", target, version)));
  };
  EXPECT_TRUE(ask("/right", "1.1")
                  .starts_with("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nrightHTTP/1.1 200 OK"));
  EXPECT_EQ(ask("/short", "1.1"), "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort");
  EXPECT_EQ(ask("/long", "1.1"), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
  EXPECT_EQ(ask("/none", "1.0"), "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nnone");
  EXPECT_EQ(ask("/throw", "1.1"),
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n");
}

// Full duplex: each piece of the request's body comes back before the next is sent.
TEST(Server, StreamsBothWaysAtOnce) {
  Limits limits;
  limits.body_bytes = 4;  // does not apply to streams
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
  auto raw = server.connect();
  raw.send(
      "POST /stream HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: "
      "100-continue\r\n\r\n");
  EXPECT_TRUE(raw.receive_until("100 Continue\r\n\r\n").contains("HTTP/1.1 200 OK"));
  for (const std::string piece : {"hello", "world", "again"}) {
    raw.send("5\r\n" + piece + "\r\n");
    EXPECT_EQ(raw.receive_until(piece + "\r\n"), "5\r\n" + piece + "\r\n");
  }
  raw.send("0\r\n\r\n");
  EXPECT_EQ(raw.receive_until("0\r\n\r\n"), "0\r\n\r\n");
}

TEST(Server, AStreamedBodyReadWholeKeepsTheConnectionAndAnUnreadOneClosesIt) {
  Server server(
      {{"/stream/read",
        [](Request request) -> Task<Response> {
          Response response;
          for (;;) {
            auto piece = co_await request.stream->read();
            if (!piece) co_return wire::with_status(400);
            if (piece->empty()) co_return response;
            response.body += *piece;
          }
        }},
       {"/stream/ignore", [](Request) -> Task<Response> { co_return wire::with_status(403); }}});
  auto raw = server.connect();
  raw.send("POST /stream/read HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc");
  raw.send("def");
  EXPECT_TRUE(raw.receive_until("abcdef").contains("\r\n\r\nabcdef"));
  // Ignored but already here: nothing is in doubt.
  raw.send("POST /stream/ignore HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
  EXPECT_FALSE(raw.receive_until("\r\n\r\n").contains("Connection: close"));
  // Ignored and still to come: closed, and what follows is never taken for a request.
  raw.send("POST /stream/ignore HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc");
  EXPECT_TRUE(raw.receive_until("\r\n\r\n").contains("Connection: close"));
  raw.send(plain_get);
  raw.finish_sending();
  EXPECT_EQ(raw.receive_all(), "");
  // A malformed stream is an error for its reader.
  EXPECT_EQ(
      statuses(server.say(
          "POST /stream/read HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")),
      std::vector{400});
}

TEST(Server, AStreamIsCancelledWhenItsReaderLeaves) {
  struct Mark {
    std::atomic<int>& count;
    ~Mark() { ++count; }
  };
  std::atomic<int> started = 0, ended = 0;
  Limits limits;
  limits.head_timeout = milliseconds(100);
  Server server({{"/stream",
                  [&](Request) -> Task<Response> {
                    Response response;
                    response.stream = [&](BodySink& sink) -> Task<void> {
                      const Mark mark{ended};
                      (void)co_await sink.write("x");
                      ++started;
                      co_await wire::pause(std::chrono::hours(1));
                    };
                    co_return response;
                  }}},
                limits);
  auto closed = server.connect(), reset = server.connect(), with_more = server.connect();
  for (auto* raw : {&closed, &reset, &with_more}) {
    raw->send("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
    raw->receive_until("x\r\n");
  }
  EXPECT_TRUE(eventually([&] { return started == 3; }));
  with_more.send(plain_get);  // unread input must not hide the end
  closed.close();
  reset.reset();
  with_more.close();
  EXPECT_TRUE(eventually([&] { return ended == 3; }));
  EXPECT_TRUE(eventually([&] { return server.http.open_connections() == 0; }));
}

TEST(Server, AHandlerIsCancelledByAResetButNotByTheEndOfSending) {
  Gate gate;
  std::atomic<int> running = 0, cancelled = 0;
  Limits limits;
  limits.head_timeout = milliseconds(100);
  Server server({{"/slow",
                  [&](Request) -> Task<Response> {
                    ++running;
                    try {
                      co_await gate.wait();
                    } catch (...) {
                      ++cancelled;
                      throw;
                    }
                    co_return Response{};
                  }}},
                limits);
  auto finished = server.connect(), reset = server.connect();
  for (auto* raw : {&finished, &reset}) raw->send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
  finished.finish_sending();
  EXPECT_TRUE(eventually([&] { return running == 2; }));
  reset.reset();
  EXPECT_TRUE(eventually([&] { return cancelled == 1; }));
  gate.open();
  EXPECT_EQ(statuses(finished.receive_all()), std::vector{200});
}

TEST(Server, StopLetsRequestsFinishAndClosesTheIdle) {
  Gate gate;
  std::atomic<int> running = 0;
  Server server({{"/slow",
                  [&](Request) -> Task<Response> {
                    ++running;
                    co_await gate.wait();
                    co_return Response{};
                  }}},
                {}, 2);
  auto idle = server.connect(), busy = server.connect();
  idle.send(plain_get);
  idle.receive_until("GET /x ");
  busy.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_TRUE(eventually([&] { return running == 1; }));
  auto stopped = std::async(std::launch::async, [&] { server.http.stop(); });
  EXPECT_TRUE(idle.closed());
  gate.open();
  const auto answer = busy.receive_all();
  EXPECT_EQ(statuses(answer), std::vector{200});
  EXPECT_TRUE(answer.contains("Connection: close"));
  stopped.get();
  EXPECT_EQ(server.http.open_connections(), 0u);
}

TEST(Server, StopCancelsWhatDoesNotFinish) {
  std::atomic<int> running = 0, ended = 0;
  struct Mark {
    std::atomic<int>& count;
    ~Mark() { ++count; }
  };
  Limits limits;
  limits.drain = milliseconds(50);
  Server server(
      {{"/slow",
        [&](Request) -> Task<Response> {
          const Mark mark{ended};
          ++running;
          co_await wire::pause(std::chrono::hours(1));
          co_return Response{};
        }},
       {"/deaf",
        [&](Request) -> Task<Response> {  // takes no cancellation; destroyed with its context
          const Mark mark{ended};
          ++running;
          co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
          co_await wire::pause(std::chrono::hours(1));
          co_return Response{};
        }}},
      limits);
  auto slow = server.connect(), deaf = server.connect(), half = server.connect();
  slow.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
  deaf.send("GET /deaf HTTP/1.1\r\nHost: a\r\n\r\n");
  half.send("GET /");
  EXPECT_TRUE(eventually([&] { return running == 2; }));
  server.http.stop();
  EXPECT_EQ(ended, 2);
  EXPECT_EQ(slow.receive_all(), "");
  EXPECT_EQ(half.receive_all(), "");
  EXPECT_EQ(server.http.open_connections(), 0u);
}

TEST(Server, APortInUseIsNamedWithItsHolder) {
  Server first;
  for (const int threads : {1, 2}) {
    wire::Lambdas handler({});
    auto options = Server::options({}, threads);
    options.port = first.http.port();
    HttpServer second(options, handler);
    const auto started = second.start();
    ASSERT_FALSE(started);
    EXPECT_EQ(started.error().code, Code::already_exists);
    const auto wanted = fmt::format(
        "Port {} is already in use by process {} (net_server). Stop that "
        "process or choose another port with --listen.",
        first.http.port(), ::getpid());
    EXPECT_EQ(started.error().message, wanted);
  }
}

TEST(Server, APortSharedByItsThreadsIsStillFoundInUse) {
  Server first({}, {}, 2);
  wire::Lambdas handler({});
  auto options = Server::options({}, 2);
  options.port = first.http.port();
  EXPECT_EQ(HttpServer(options, handler).start().error().code, Code::already_exists);
}

TEST(Server, AnUnknownHostIsRefused) {
  wire::Lambdas handler({});
  auto options = Server::options({}, 1);
  options.host = "192.0.2.1";  // reserved for documentation, so not ours
  EXPECT_EQ(HttpServer(options, handler).start().error().code, Code::invalid_argument);
}

TEST(Server, ManyClientsOnTwoThreadsGetTheirOwnAnswers) {
  Server server({}, {}, 2);
  std::vector<std::future<int>> clients;
  for (int c = 0; c < 8; ++c) {
    clients.push_back(std::async(std::launch::async, [&, c] {
      int right = 0;
      auto raw = server.connect();
      for (int i = 0; i < 200; ++i) {
        const auto target = fmt::format("/c{}/{}.", c, i);
        raw.send("GET " + target + " HTTP/1.1\r\nHost: a\r\n\r\n");
        if (raw.receive_until("GET " + target + " ").ends_with("\r\n\r\nGET " + target + " "))
          ++right;
      }
      return right;
    }));
  }
  for (auto& client : clients) EXPECT_EQ(client.get(), 200);
}

}  // namespace
}  // namespace berth::net
