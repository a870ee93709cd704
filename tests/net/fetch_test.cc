#include "wire.h"

namespace berth::net {
namespace {

using wire::Server;

ClientRequest get(std::string url) {
  ClientRequest out;
  out.url = std::move(url);
  out.timeout = wire::seconds(10);
  return out;
}

TEST(Fetch, SendsAndReceives) {
  Server server({{"/see", [](Request request) -> Task<Response> {
                    Response response;
                    response.status = 201;
                    response.headers.push_back({"X-Answer", "yes"});
                    response.body = fmt::format(
                        "{}|{}|{}|{}", request.method, find_header(request.headers, "x-a"),
                        find_header(request.headers, "content-type"), request.body);
                    co_return response;
                  }}});
  for (const auto* method : {"GET", "POST", "PUT", "PATCH", "DELETE"}) {
    auto request = get(server.url("/see"));
    request.method = method;
    request.headers.push_back({"X-A", "b"});
    if (request.method != "GET") request.body = "body";
    const auto response = fetch(request);
    ASSERT_TRUE(response) << response.error().message;
    EXPECT_EQ(response->status, 201);
    EXPECT_EQ(find_header(response->headers, "x-answer"), "yes");
    EXPECT_EQ(response->body, fmt::format("{}|b||{}", method, request.body));
  }
  auto head = get(server.url("/see"));
  head.method = "HEAD";
  EXPECT_EQ(fetch(head).value().body, "");
}

TEST(Fetch, KeepsItsConnection) {
  Server server;
  for (int i = 0; i < 5; ++i) EXPECT_EQ(fetch(get(server.url("/x"))).value().body, "GET /x ");
  EXPECT_EQ(server.http.open_connections(), 1u);
}

TEST(Fetch, StreamsUntilToldToStop) {
  Server server({{"/stream", [](Request) -> Task<Response> {
                    Response response;
                    response.stream = [](BodySink& sink) -> Task<void> {
                      while (co_await sink.write("tick\n"))
                        co_await wire::pause(wire::milliseconds(1));
                    };
                    co_return response;
                  }}});
  auto request = get(server.url("/stream"));
  std::string seen;
  request.on_body = [&](std::string_view piece) {
    seen += piece;
    return seen.size() < 25;
  };
  const auto response = fetch(request);
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 200);
  EXPECT_TRUE(seen.starts_with("tick\ntick\ntick\ntick\ntick\n"));
  EXPECT_TRUE(wire::eventually([&] { return server.http.open_connections() == 0; }));
}

TEST(Fetch, NamesWhatWentWrong) {
  std::string gone;
  {
    gone = "http://" + wire::Listener().address() + "/";
  }
  EXPECT_EQ(fetch(get(gone)).error().code, Code::unavailable);
  EXPECT_EQ(fetch(get("file:///etc/passwd")).error().code, Code::invalid_argument);
  EXPECT_EQ(fetch(get("no url at all")).error().code, Code::invalid_argument);
  auto split = get(gone);
  split.headers.push_back({"X", "a\r\nY: b"});
  EXPECT_EQ(fetch(split).error().code, Code::invalid_argument);
  wire::Listener silent;
  auto slow = get("http://" + silent.address() + "/");
  slow.timeout = wire::seconds(1);
  EXPECT_EQ(fetch(slow).error().code, Code::resource_exhausted);
}

TEST(Fetch, FollowsNoRedirects) {
  Server server({{"/", [](Request) -> Task<Response> {
                    Response response;
                    response.status = 302;
                    response.headers.push_back({"Location", "/elsewhere"});
                    co_return response;
                  }}});
  EXPECT_EQ(fetch(get(server.url("/"))).value().status, 302);
}

// A plain server where TLS is expected: no handshake, and never a fall back to plain text.
TEST(Fetch, WantsTlsWhereTheUrlSaysSo) {
  Server server;
  EXPECT_EQ(fetch(get("https://" + server.address() + "/")).error().code, Code::unavailable);
  EXPECT_EQ(server.handler.handled, 0);
}

}  // namespace
}  // namespace berth::net
