#include "api/problem.h"

#include "api/schemas.h"
#include "json/writer.h"

namespace berth::api {
namespace {

std::string_view title_of(int status) {
  switch (status) {
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 410:
      return "Gone";
    case 412:
      return "Precondition Failed";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 415:
      return "Unsupported Media Type";
    case 422:
      return "Unprocessable Content";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Internal Server Error";
  }
}

net::Response render(const Problem& body, std::optional<std::chrono::seconds> retry_after) {
  net::Response out;
  out.status = body.status;
  out.headers.push_back({"Content-Type", "application/problem+json"});
  if (body.status == 401) out.headers.push_back({"WWW-Authenticate", "Bearer realm=\"berth\""});
  if (retry_after) out.headers.push_back({"Retry-After", std::to_string(retry_after->count())});
  json::write(out.body, body);
  return out;
}

}  // namespace

int status_of(const Error& error) {
  switch (error.code) {
    case Code::invalid_argument:
      return error.reason == "unsupported_media_type" ? 415 : 400;
    case Code::unauthenticated:
      return 401;
    case Code::permission_denied:
      return 403;
    case Code::not_found:
      return 404;
    case Code::already_exists:
      return 409;
    case Code::failed_precondition:
      return error.reason == "idempotency_key_reused" ? 422 : 409;
    case Code::aborted:
      return 412;
    case Code::resource_exhausted:
      return 429;
    case Code::too_large:
      return 413;
    case Code::unavailable:
      return 503;
    case Code::internal:
      return 500;
  }
  return 500;
}

net::Response problem(const Error& error, std::string_view instance, std::string_view request_id) {
  Problem body;
  body.status = status_of(error);
  body.code = error.reason.empty() ? "internal" : error.reason;
  body.type = "/problems#" + body.code;
  body.title = title_of(body.status);
  // What broke inside is for the log, not for the caller.
  body.detail = error.code == Code::internal
                    ? "Something broke on our side; the log has the request id."
                    : error.message;
  body.instance = instance;
  body.request_id = request_id;
  for (const auto& f : error.fields) body.errors.push_back({f.pointer, f.code, f.message});
  auto retry = error.retry_after;
  if (!retry && (body.status == 503 || body.status == 429)) retry = std::chrono::seconds(1);
  return render(body, retry);
}

net::Response problem(int status, std::string reason, std::string detail, std::string_view instance,
                      std::string_view request_id) {
  Problem body;
  body.status = status;
  body.type = "/problems#" + reason;
  body.code = std::move(reason);
  body.title = title_of(status);
  body.detail = std::move(detail);
  body.instance = instance;
  body.request_id = request_id;
  return render(
      body, status == 503 || status == 429 ? std::optional(std::chrono::seconds(1)) : std::nullopt);
}

}  // namespace berth::api
