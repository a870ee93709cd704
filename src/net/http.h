// HTTP as values. This layer knows bytes, not deployments; Beast stays inside the .cc files.
#pragma once
#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "async/task.h"
#include "base/result.h"

namespace berth::net {

struct Header {
  std::string name;
  std::string value;
};
using Headers = std::vector<Header>;

// The value of the first header of that name, compared without regard to case; empty if absent.
[[nodiscard]] std::string_view find_header(const Headers& headers, std::string_view name);
[[nodiscard]] bool has_header(const Headers& headers, std::string_view name);

// Where a request body comes from when it is not read whole. One reader at a time. A source may be
// destroyed while a read waits (whoever forwards it gave up): the read then ends by cancellation
// and must not touch the source again.
class BodySource {
 public:
  virtual ~BodySource() = default;
  // The next piece, empty at the end. Errors: unavailable (peer gone), too_large, invalid_argument.
  virtual Task<Result<std::string>> read() = 0;
};

struct Request {
  std::string method;  // upper case
  std::string target;  // origin form as received, for example /api/v1/x?y=z
  std::string_view path() const {
    return std::string_view(target).substr(0, std::min(target.find('?'), target.size()));
  }
  std::string_view query() const {
    const auto at = target.find('?');
    return at == std::string::npos ? std::string_view{} : std::string_view(target).substr(at + 1);
  }
  Headers headers;
  std::string body;  // whole body, unless `stream` is set
  // Only where the handler's policy asked for it and the request has a body. It may be kept until
  // the response is sent, for example inside Response::stream.
  std::unique_ptr<BodySource> stream;
  std::string peer;  // address without port
  bool keep_alive = true;
};

// Where a response goes when it is not sent whole: chunked transfer, or raw when the response has a
// Content-Length (HTTP/1.0 clients: raw, ended by closing). Each write is sent at once.
class BodySink {
 public:
  virtual ~BodySink() = default;
  // Errors: unavailable: the peer is gone or too slow; stop writing.
  virtual Task<Result<void>> write(std::string_view piece) = 0;
};

struct Response {
  int status = 200;
  // Without Content-Length, Connection, Date, Transfer-Encoding: the server adds them.
  // Content-Length counts only with `stream`, and for HEAD, where it stands for the body that is
  // not sent.
  Headers headers;
  std::string body;
  // Bytes that outlive every request (embedded assets); sent instead of `body` when set.
  std::optional<std::string_view> static_body;
  // Shared immutable body (a cached page); sent instead of `body` when set.
  std::shared_ptr<const std::string> shared_body;
  // When set the head is sent, then this runs to the end. An exception ends the connection, so that
  // the peer sees a broken body and not a short one. It is cancelled once the peer is gone.
  std::function<Task<void>(BodySink&)> stream;
};

}  // namespace berth::net
