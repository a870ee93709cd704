// The route table: method, pattern, operation, and a typed handler. Decoding the body, encoding the
// reply and the OpenAPI entry are derived from the handler's types, so they cannot drift apart.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "api/context.h"
#include "api/problem.h"
#include "core/permission.h"
#include "json/describe.h"
#include "json/reader.h"
#include "json/writer.h"

namespace berth::api {

struct NoBody {};     // request without a body
struct NoContent {};  // 204

template <class T>
struct Reply {
  std::variant<T, StoredReply> value;  // a stored reply is sent as it was
  int status = 200;
  std::string etag = {};
  std::string location = {};
};
template <class T>
Reply<T> reply(T value, int status = 200) {
  return Reply<T>{std::move(value), status};
}

struct Route {
  std::string_view method;
  std::string_view pattern;  // "/api/v1/clusters/{cluster_id}"
  Operation operation;
  std::string_view id;  // operationId
  std::string_view tag;
  std::string_view summary;
  std::vector<QueryParam> query = {};
  int success = 200;

  // Filled by typed() and raw().
  std::function<Task<net::Response>(Context&)> handle = {};
  bool has_body = false;
  bool body_optional = false;
  std::function<json::Value(json::SchemaSet&)> request_schema = {};
  std::function<json::Value(json::SchemaSet&)> response_schema = {};
  std::string_view response_type = "application/json";
  std::string_view request_example = {};
  bool streams_request = false;
};

// Encodes what a handler answers.
template <class T>
net::Response encode(const Reply<T>& answer) {
  net::Response out;
  out.status = answer.status;
  std::string etag = answer.etag, location = answer.location;
  if (const auto* stored = std::get_if<StoredReply>(&answer.value)) {
    out.status = stored->status;
    out.body = stored->body;
    etag = stored->etag;
    location = stored->location;
    out.headers.push_back({"Idempotent-Replayed", "true"});
  } else if constexpr (!std::is_same_v<T, NoContent>) {
    json::write(out.body, std::get<T>(answer.value));
  }
  if (!out.body.empty()) out.headers.push_back({"Content-Type", "application/json"});
  if (!etag.empty()) out.headers.push_back({"ETag", std::move(etag)});
  if (!location.empty()) out.headers.push_back({"Location", std::move(location)});
  return out;
}

// The same as bytes to be kept with the effect.
template <class T>
StoredReply stored(const Reply<T>& answer) {
  StoredReply out;
  out.status = answer.status;
  json::write(out.body, std::get<T>(answer.value));
  out.etag = answer.etag;
  out.location = answer.location;
  return out;
}

// "application/json" in any case of letters, with or without parameters.
[[nodiscard]] bool is_json(std::string_view content_type);

template <class Body>
Result<Body> decode(const Context& context, bool optional) {
  const auto& request = context.request;
  if (optional && request.body.empty()) {
    return json::read_text<Body>("{}");
  }
  const auto type = net::find_header(request.headers, "Content-Type");
  if (!is_json(type)) {
    Error error{Code::invalid_argument, "unsupported_media_type",
                "Send the body as JSON with 'Content-Type: application/json'."};
    return std::unexpected(std::move(error));
  }
  return json::read_text<Body>(request.body);
}

// handler: Task<Result<Reply<Res>>>(Context&, Body), or without Body for NoBody.
template <class Body, class Res, class Handler>
Route typed(Route route, Handler handler) {
  if constexpr (!std::is_same_v<Body, NoBody>) {
    route.has_body = true;
    route.request_schema = [](json::SchemaSet& set) { return json::schema_ref<Body>(set); };
  }
  if constexpr (!std::is_same_v<Res, NoContent>) {
    route.response_schema = [](json::SchemaSet& set) { return json::schema_ref<Res>(set); };
  } else {
    route.success = 204;
  }
  const bool optional = route.body_optional;
  route.handle = [handler, optional](Context& context) -> Task<net::Response> {
    Result<Reply<Res>> answer = std::unexpected(Error{});
    if constexpr (std::is_same_v<Body, NoBody>) {
      static_cast<void>(optional);
      answer = co_await handler(context);
    } else {
      auto body = decode<Body>(context, optional);
      if (!body) co_return problem(body.error(), context.request.path(), context.request_id);
      answer = co_await handler(context, std::move(*body));
    }
    if (!answer) co_return problem(answer.error(), context.request.path(), context.request_id);
    co_return encode(*answer);
  };
  return route;
}

inline Route raw(Route route, std::function<Task<net::Response>(Context&)> handler) {
  route.handle = std::move(handler);
  return route;
}

}  // namespace berth::api
