// The OpenAPI 3.1 document, made from the route table and the declarations of the types.
#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <map>

#include "api/api.h"
#include "api/schemas.h"

namespace berth::api {
namespace {

namespace js = boost::json;

struct TagDoc {
  const char* name;
  const char* text;
};
constexpr TagDoc kTags[] = {
    {"Auth", "Accounts, logins and API keys."},
    {"Organizations", "Who works together: members, roles, invites and the audit list."},
    {"Clusters", "Pools of nodes: capacity, status and the queue."},
    {"Deployments", "What runs, what waits and why."},
    {"Watch", "Events as they happen."},
    {"Operate", "Health, metrics and this description."},
};

std::string lower(std::string_view method) {
  std::string out(method);
  for (auto& c : out) c = static_cast<char>(c + ('a' - 'A'));
  return out;
}

js::object problem_response(std::string_view text) {
  return {
      {"description", text},
      {"content",
       {{"application/problem+json", {{"schema", {{"$ref", "#/components/schemas/Problem"}}}}}}}};
}

bool takes_idempotency_key(const Route& route) {
  return route.method == "POST" && route.success == 201 &&
         permission_of(route.operation).audience != Audience::everyone;
}
bool takes_if_match(const Route& route) {
  return (route.method == "PATCH" && route.operation != Operation::member_update) ||
         route.operation == Operation::cluster_delete ||
         route.operation == Operation::cluster_quota_update ||
         route.operation == Operation::deployment_delete;
}
bool has_etag(const Route& route) {
  return route.method == "GET" && (route.operation == Operation::organization_read ||
                                   route.operation == Operation::cluster_read ||
                                   route.operation == Operation::deployment_read);
}

js::array parameters_of(const Route& route) {
  js::array out;
  std::string_view rest = route.pattern;
  for (auto open = rest.find('{'); open != std::string_view::npos; open = rest.find('{')) {
    const auto close = rest.find('}', open);
    const auto name = rest.substr(open + 1, close - open - 1);
    out.push_back(js::object{{"name", name},
                             {"in", "path"},
                             {"required", true},
                             {"description", "Identifier."},
                             {"schema", {{"type", "string"}}}});
    rest.remove_prefix(close + 1);
  }
  for (const auto& q : route.query) {
    out.push_back(
        js::object{{"name", q.name},
                   {"in", "query"},
                   {"required", false},
                   {"description", q.doc},
                   {"schema", js::parse(js::string_view(q.schema.data(), q.schema.size()))}});
  }
  if (takes_idempotency_key(route)) {
    out.push_back(js::object{
        {"name", "Idempotency-Key"},
        {"in", "header"},
        {"required", false},
        {"description",
         "Repeating a request with the same key gives the same answer and no second effect."},
        {"schema", {{"type", "string"}, {"maxLength", 255}}}});
  }
  if (takes_if_match(route)) {
    out.push_back(
        js::object{{"name", "If-Match"},
                   {"in", "header"},
                   {"required", false},
                   {"description", "The ETag that you read: 412 when it has changed since."},
                   {"schema", {{"type", "string"}}}});
  }
  if (has_etag(route)) {
    out.push_back(
        js::object{{"name", "If-None-Match"},
                   {"in", "header"},
                   {"required", false},
                   {"description", "The ETag that you have: 304 while it has not changed."},
                   {"schema", {{"type", "string"}}}});
  }
  if (route.operation == Operation::event_watch) {
    out.push_back(js::object{{"name", "Last-Event-ID"},
                             {"in", "header"},
                             {"required", false},
                             {"description", "Resume after this event."},
                             {"schema", {{"type", "string"}}}});
  }
  return out;
}

// What else than its success an operation may answer.
std::map<int, const char*> problems_of(const Route& route) {
  const Operation operation = route.operation;
  const auto audience = permission_of(operation).audience;
  std::map<int, const char*> out{
      {400, "Something in the request is wrong; errors names each field."},
      {429, "Too many requests: slow down."},
      {503, "The server cannot do this now: repeat after Retry-After."}};
  const auto any = [&](std::initializer_list<Operation> list) {
    return std::ranges::find(list, operation) != list.end();
  };
  if (audience != Audience::everyone || any({Operation::login, Operation::refresh}))
    out[401] = "No valid credential.";
  if (audience == Audience::members) out[403] = "Your role is too small.";
  if (operation == Operation::register_user) out[403] = "Registration needs an invite code here.";
  if (audience == Audience::members || route.pattern.find('{') != std::string_view::npos ||
      any({Operation::invite_redeem, Operation::setup, Operation::register_user,
           Operation::event_watch})) {
    out[404] = "No such thing, or not yours.";
  }
  if (route.method != "GET") out[409] = "It is taken, or not in a state that allows this.";
  if (route.method != "GET") out[413] = "The body has more than 1 MiB.";
  if (takes_if_match(route)) out[412] = "It was changed since you read it.";
  if (route.has_body) out[415] = "The body is not application/json.";
  if (takes_idempotency_key(route)) out[422] = "The Idempotency-Key was used with another body.";
  if (operation == Operation::event_watch) out[410] = "The history does not reach back that far.";
  return out;
}

js::object responses_of(const Route& route, json::SchemaSet& set) {
  js::object out;
  js::object success{{"description", route.success == 201   ? "Made."
                                     : route.success == 204 ? "Done."
                                                            : "As asked."}};
  if (route.response_schema) {
    success["content"] = {{route.response_type, {{"schema", route.response_schema(set)}}}};
  } else if (route.success != 204) {
    const bool object = route.response_type == "application/json";
    success["content"] = {
        {route.response_type, {{"schema", {{"type", object ? "object" : "string"}}}}}};
  }
  out[std::to_string(route.success)] = std::move(success);
  if (has_etag(route)) out["304"] = js::object{{"description", "It is as you know it."}};
  for (const auto& [status, text] : problems_of(route))
    out[std::to_string(status)] = problem_response(text);
  return out;
}

js::object operation_of(const Route& route, json::SchemaSet& set) {
  const auto& permission = permission_of(route.operation);
  static constexpr const char* kAudience[] = {"everyone", "authenticated", "members"};
  js::object out{
      {"operationId", route.id}, {"summary", route.summary}, {"tags", js::array{route.tag}}};
  std::string text = fmt::format("{}.", route.summary);
  if (permission.audience == Audience::members)
    text += fmt::format(" Needs the role {} or higher.", to_text(permission.at_least));
  out["description"] = text;
  out["x-berth-audience"] = kAudience[static_cast<int>(permission.audience)];
  out["x-berth-operation"] = static_cast<int>(route.operation);
  if (permission.audience == Audience::members) out["x-berth-role"] = to_text(permission.at_least);
  out["security"] = permission.audience == Audience::everyone
                        ? js::array{}
                        : js::array{js::object{{"bearer", js::array{}}}};
  if (auto parameters = parameters_of(route); !parameters.empty())
    out["parameters"] = std::move(parameters);
  if (route.has_body) {
    js::object media{{"schema", route.request_schema(set)}};
    if (!route.request_example.empty()) {
      media["example"] =
          js::parse(js::string_view(route.request_example.data(), route.request_example.size()));
    }
    out["requestBody"] = {{"required", !route.body_optional},
                          {"content", {{"application/json", std::move(media)}}}};
  }
  out["responses"] = responses_of(route, set);
  return out;
}

}  // namespace

std::string make_openapi(const std::vector<Route>& routes) {
  json::SchemaSet set;
  json::describe<Problem>(set);
  js::object paths;
  for (const auto& route : routes) {
    if (route.id.empty()) continue;  // pages
    auto& path = paths[route.pattern];
    if (!path.is_object()) path = js::object();
    path.as_object()[lower(route.method)] = operation_of(route, set);
  }
  js::array tags;
  for (const auto& tag : kTags)
    tags.push_back(js::object{{"name", tag.name}, {"description", tag.text}});
  js::object document{
      {"openapi", "3.1.0"},
      {"info",
       {{"title", "Berth"},
        {"version", BERTH_VERSION},
        {"description",
         "A control plane for machine-learning deployments: it queues them per cluster, starts as "
         "many of the most "
         "urgent as fit, never more, really runs them, and says why each of the others waits."},
        {"license",
         {{"name", "Apache-2.0"}, {"url", "https://www.apache.org/licenses/LICENSE-2.0"}}},
        {"contact", {{"name", "Whoever runs this server"}, {"url", "https://www.example.org/"}}}}},
      {"servers", js::array{js::object{{"url", "/"}, {"description", "This server"}}}},
      {"tags", std::move(tags)},
      {"paths", std::move(paths)},
      {"components",
       {{"schemas", set.components()},
        {"securitySchemes",
         {{"bearer",
           {{"type", "http"},
            {"scheme", "bearer"},
            {"description", "An access token from /api/v1/auth/login, or an API key."}}}}}}},
  };
  return json::to_text(json::Value(std::move(document)));
}

}  // namespace berth::api
