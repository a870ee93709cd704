// HTTP/1.1 client over TCP. Two uses: the endpoint proxy (streaming both ways, on an io_context) and
// the command line (whole bodies, TLS by the URL's scheme, blocking).
#pragma once
#include <chrono>
#include <string>

#include "net/http.h"

namespace berth::net {

// One exchange with an upstream on "host:port"; connections are pooled per thread and upstream.
class UpstreamResponse {
 public:
  virtual ~UpstreamResponse() = default;
  [[nodiscard]] virtual int status() const = 0;
  [[nodiscard]] virtual const Headers& headers() const = 0;
  virtual Task<Result<std::string>> read() = 0;  // next piece, empty at the end
};

struct UpstreamRequest {
  std::string address;  // host:port
  std::string method;
  std::string target;
  Headers headers;      // hop-by-hop headers already removed by the caller
  std::string body;
  BodySource* stream = nullptr;  // sent chunked (or with the given Content-Length) instead of body
  std::chrono::milliseconds connect_timeout{2000};
  std::chrono::milliseconds head_timeout{60'000};  // until the response head is there
};

// Errors: unavailable (cannot connect, peer closed), resource_exhausted (timeout).
Task<Result<std::unique_ptr<UpstreamResponse>>> exchange(UpstreamRequest request);

// Blocking, for the command line and tests. Follows no redirects.
struct ClientRequest {
  std::string method = "GET";
  std::string url;
  Headers headers;
  std::string body;
  std::chrono::seconds timeout{60};
  std::string ca_file;
  // When set, the body is handed over piece by piece; return false to end the exchange early.
  std::function<bool(std::string_view)> on_body;
};
struct ClientResponse {
  int status = 0;
  Headers headers;
  std::string body;
};
[[nodiscard]] Result<ClientResponse> fetch(const ClientRequest& request);

}  // namespace berth::net
