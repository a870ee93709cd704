#include "cli/client.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdlib>

#include "net/http_client.h"
#include "net/url.h"

namespace berth::cli {
namespace {

int exit_code_of(int status) {
  switch (status) {
    case 401:
      return kNotAuthenticated;
    case 403:
    case 404:
      return kForbidden;
    case 409:
    case 412:
    case 422:
      return kConflict;
    case 400:
    case 413:
    case 415:
      return kRejected;
    case 429:
    case 503:
      return kTryAgain;
    default:
      return kUnexpected;
  }
}

Failure failure_of(int status, const std::string& body) {
  Failure out;
  out.exit_code = exit_code_of(status);
  const auto problem = json::parse(body);
  if (!problem || !problem->is_object()) {
    out.message = fmt::format("The server answered {}.", status);
    return out;
  }
  out.code = text_at(*problem, "code");
  out.message = text_at(*problem, "detail");
  if (const auto& errors = at(*problem, "errors"); errors.is_array()) {
    for (const auto& e : errors.as_array())
      out.fields.emplace_back(text_at(e, "pointer"), text_at(e, "message"));
  }
  if (out.code == "missing_token") out.message = "You are not logged in.";
  if (status == 401 && out.code != "wrong_credentials") out.message += " Run: berth login";
  const auto id = text_at(*problem, "request_id");
  if (status >= 500) out.message += fmt::format(" (request {})", id);
  return out;
}

std::string from_env(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace

const Value& at(const Value& value, std::string_view key) {
  static const Value kNull;
  if (!value.is_object()) return kNull;
  const auto* found = value.as_object().if_contains(key);
  return found == nullptr ? kNull : *found;
}

std::string text_at(const Value& value, std::string_view key) {
  const auto& found = at(value, key);
  if (found.is_string()) return std::string(found.as_string());
  if (found.is_null()) return {};
  return json::to_text(found);
}

double number_at(const Value& value, std::string_view key) {
  const auto& found = at(value, key);
  return found.is_number() ? found.to_number<double>() : 0.0;
}

Failure file_failure(const Error& error) {
  return {error.reason == "no_nodes" ? kUsage : kRejected, error.message, error.reason, {}};
}

Client::Client(const Global& global) {
  auto loaded = load_contexts();
  if (!loaded) throw Failure{kUsage, loaded.error().message, "", {}};
  contexts_ = std::move(*loaded);
  name_ = !global.context.empty() ? global.context : from_env("BERTH_CONTEXT");
  if (name_.empty()) name_ = contexts_.current.empty() ? "default" : contexts_.current;
  if (!global.context.empty() && !contexts_.all.contains(name_) && global.server.empty()) {
    throw Failure{kUsage,
                  fmt::format("There is no context '{}'; 'berth context list' shows them.", name_),
                  "",
                  {}};
  }
  const std::string server = !global.server.empty() ? global.server : from_env("BERTH_SERVER");
  if (!server.empty() && server != context().server)
    context() = Context{server, "", "", "", "", ""};
  if (const auto token = from_env("BERTH_TOKEN"); !token.empty()) context().access_token = token;
  while (context().server.ends_with('/')) context().server.pop_back();
}

void Client::save() {
  contexts_.current = contexts_.current.empty() ? name_ : contexts_.current;
  if (auto saved = save_contexts(contexts_); !saved)
    throw Failure{kUnexpected, saved.error().message, "", {}};
}

bool Client::refresh() {
  if (context().refresh_token.empty()) return false;
  net::ClientRequest request;
  request.method = "POST";
  request.url = context().server + "/api/v1/auth/refresh";
  request.headers = {{"Content-Type", "application/json"}};
  request.body =
      json::to_text(Value(boost::json::object{{"refresh_token", context().refresh_token}}));
  request.ca_file = context().ca_file;
  const auto reply = net::fetch(request);
  if (!reply || reply->status != 200) return false;
  const auto tokens = json::parse(reply->body);
  if (!tokens) return false;
  context().access_token = text_at(*tokens, "access_token");
  context().refresh_token = text_at(*tokens, "refresh_token");
  save();
  return true;
}

Value Client::request(const std::string& method, const std::string& path, const Value* body) {
  for (int round = 0;; ++round) {
    net::ClientRequest request;
    request.method = method;
    request.url = context().server + path;
    request.ca_file = context().ca_file;
    request.headers = {{"User-Agent", fmt::format("berth/{}", BERTH_VERSION)},
                       {"Accept", "application/json"}};
    if (!context().access_token.empty())
      request.headers.push_back({"Authorization", "Bearer " + context().access_token});
    if (body != nullptr) {
      request.headers.push_back({"Content-Type", "application/json"});
      request.body = json::to_text(*body);
    }
    const auto reply = net::fetch(request);
    if (!reply) {
      throw Failure{kUnreachable,
                    fmt::format("{} Is the server running? Another address: --server URL.",
                                reply.error().message),
                    "",
                    {}};
    }
    if (reply->status == 401 && round == 0 && path != "/api/v1/auth/login" && refresh()) continue;
    if (reply->status >= 400) throw failure_of(reply->status, reply->body);
    if (reply->body.empty()) return {};
    auto value = json::parse(reply->body);
    if (!value) throw Failure{kUnexpected, "The server's answer is not JSON. Is it Berth?", "", {}};
    return std::move(*value);
  }
}

Value Client::post(const std::string& path, const Value& body) {
  return request("POST", path, &body);
}
Value Client::post(const std::string& path) { return request("POST", path, nullptr); }
Value Client::patch(const std::string& path, const Value& body) {
  return request("PATCH", path, &body);
}
Value Client::put(const std::string& path, const Value& body) {
  return request("PUT", path, &body);
}
void Client::remove(const std::string& path) { request("DELETE", path, nullptr); }

std::vector<Value> Client::list(const std::string& path, std::size_t most) {
  std::vector<Value> out;
  const char separator = path.find('?') == std::string::npos ? '?' : '&';
  std::string cursor;
  do {
    const auto page =
        get(fmt::format("{}{}limit={}{}{}", path, separator, std::min<std::size_t>(200, most),
                        cursor.empty() ? "" : "&cursor=", net::percent_encode(cursor)));
    for (const auto& item : at(page, "items").as_array()) {
      if (out.size() < most) out.push_back(item);
    }
    cursor = text_at(page, "next");
  } while (!cursor.empty() && out.size() < most);
  return out;
}

void Client::stream(const std::string& path, const std::function<bool(std::string_view)>& use) {
  net::ClientRequest request;
  request.url = context().server + path;
  request.ca_file = context().ca_file;
  request.timeout = std::chrono::hours(24 * 365);
  request.headers = {{"Authorization", "Bearer " + context().access_token}};
  request.on_body = use;
  const auto reply = net::fetch(request);
  if (!reply)
    throw Failure{
        kUnreachable,
        fmt::format("The connection to {} broke: {}", context().server, reply.error().message),
        "",
        {}};
  if (reply->status >= 400) throw failure_of(reply->status, reply->body);
}

std::string Client::organization_id(const std::string& name_or_id) {
  const std::string wanted = name_or_id.empty() ? context().organization : name_or_id;
  const auto mine = get("/api/v1/organizations");
  const auto& items = at(mine, "items").as_array();
  std::string names;
  for (const auto& o : items) {
    if (text_at(o, "id") == wanted || text_at(o, "name") == wanted) return text_at(o, "id");
    names += (names.empty() ? "" : ", ") + text_at(o, "name");
  }
  if (wanted.empty() && items.size() == 1) return text_at(items.front(), "id");
  if (items.empty()) {
    throw Failure{kForbidden,
                  "You are in no organization. Create one (berth org create NAME) or redeem an "
                  "invite (berth invite redeem CODE).",
                  "",
                  {}};
  }
  if (wanted.empty())
    throw Failure{
        kUsage,
        fmt::format("Say which organization: --org NAME ({}), or 'berth org use NAME'.", names),
        "",
        {}};
  throw Failure{kForbidden,
                fmt::format("You are in no organization '{}'; yours: {}.", wanted, names),
                "",
                {}};
}

std::string Client::cluster_id(const std::string& name_or_id) {
  const auto all = list("/api/v1/clusters");
  std::string names;
  std::vector<std::string> found;
  for (const auto& c : all) {
    if (text_at(c, "id") == name_or_id) return name_or_id;
    if (text_at(c, "name") == name_or_id) found.push_back(text_at(c, "id"));
    names += (names.empty() ? "" : ", ") + text_at(c, "name");
  }
  if (found.size() == 1) return found.front();
  if (found.size() > 1) {
    throw Failure{kUsage,
                  fmt::format("Several clusters are called {}; say which by its id: {}.",
                              name_or_id, fmt::join(found, ", ")),
                  "",
                  {}};
  }
  if (name_or_id.empty() && all.size() == 1) return text_at(all.front(), "id");
  if (all.empty())
    throw Failure{kForbidden, "There is no cluster yet: berth cluster create NAME", "", {}};
  if (name_or_id.empty())
    throw Failure{kUsage, fmt::format("Say which cluster: {}.", names), "", {}};
  throw Failure{
      kForbidden, fmt::format("No such cluster '{}'; there are: {}.", name_or_id, names), "", {}};
}

std::string Client::deployment_id(const std::string& name_or_id) {
  if (name_or_id.starts_with("dep_") && name_or_id.size() == 30) return name_or_id;
  const auto found = list("/api/v1/deployments?name=" + net::percent_encode(name_or_id), 200);
  // The one that has not ended, else the newest.
  for (const auto& d : found) {
    const auto state = text_at(d, "state");
    if (state != "stopped" && state != "succeeded" && state != "failed" && state != "cancelled")
      return text_at(d, "id");
  }
  if (!found.empty()) return text_at(found.front(), "id");
  throw Failure{kForbidden,
                fmt::format("No deployment '{}'; 'berth ps --all' lists them.", name_or_id),
                "",
                {}};
}

}  // namespace berth::cli
