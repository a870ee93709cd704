// HTTP/1.1 client over TCP. Two uses: the endpoint proxy (streaming both ways, on an io_context)
// and the command line (whole bodies, TLS by the URL's scheme, blocking).
#pragma once
#include <chrono>
#include <string>

#include "net/http.h"

namespace berth::net {

// One exchange with an upstream on "host:port"; connections are pooled per io_context and upstream,
// and those idle for 10 s are closed. Destroying the response early closes its connection.
class UpstreamResponse {
 public:
  virtual ~UpstreamResponse() = default;
  [[nodiscard]] virtual int status() const = 0;
  // As received, without the hop-by-hop ones: the body is handed over decoded.
  [[nodiscard]] virtual const Headers& headers() const = 0;
  // The next piece, empty at the end. Errors: unavailable (the body broke off), or what the
  // request's stream ended with.
  virtual Task<Result<std::string>> read() = 0;
};

struct UpstreamRequest {
  std::string address;  // host:port
  std::string method;
  std::string target;
  Headers headers;  // hop-by-hop headers already removed by the caller
  std::string body;
  // Sent chunked (or with the given Content-Length) instead of body, also after the response has
  // started; must live as long as the response.
  BodySource* stream = nullptr;
  std::chrono::milliseconds connect_timeout{2000};
  // Until the response head is there, counted anew with each piece of a streamed body.
  std::chrono::milliseconds head_timeout{60'000};
};

// Runs on the current coroutine's io_context. A kept connection that turns out to be closed is
// replaced once, unless the body is a stream. Errors: unavailable (cannot connect, peer closed, not
// HTTP), resource_exhausted (timeout), invalid_argument (a header that would split the request), or
// what the request's stream ended with.
Task<Result<std::unique_ptr<UpstreamResponse>>> exchange(UpstreamRequest request);

// Blocking, for the command line and tests. Follows no redirects.
struct ClientRequest {
  std::string method = "GET";
  std::string url;
  Headers headers;
  std::string body;
  std::chrono::seconds timeout{60};
  std::string ca_file;
  // When set, the body of a success is handed over piece by piece (a refusal's is collected as
  // always); return false to end the exchange early, which
  // is no error. `timeout` then bounds silence, not the whole exchange.
  std::function<bool(std::string_view)> on_body;
};
struct ClientResponse {
  int status = 0;
  Headers headers;
  std::string body;
};
// Errors: unavailable (cannot connect, peer closed, certificate refused), resource_exhausted
// (timeout), too_large (more than 64 MiB without on_body), invalid_argument (URL, scheme, header).
[[nodiscard]] Result<ClientResponse> fetch(const ClientRequest& request);

}  // namespace berth::net
