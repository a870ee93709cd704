#include "api/api.h"

#include <fmt/format.h>

#include <algorithm>

#include "api/forward.h"
#include "api/router.h"
#include "net/url.h"
#include "service/log.h"

namespace berth::api {
namespace {

constexpr std::string_view kServe = "/serve/";
// A scheduler that is frozen must not freeze who asks it; a model may think.
constexpr auto kPatience = std::chrono::seconds(5);
constexpr auto kModelPatience = std::chrono::seconds(65);

// The stable word for what was refused before there was a request.
std::string_view reason_of(int status) {
  switch (status) {
    case 408:
      return "request_timeout";
    case 413:
      return "content_too_large";
    case 414:
      return "uri_too_long";
    case 431:
      return "headers_too_large";
    case 500:
      return "internal";
    case 503:
      return "overloaded";
    case 505:
      return "http_version_not_supported";
    default:
      return "malformed_request";
  }
}

// Which process answers, where several share the work.
enum class AnsweredBy { any, decider_of_cluster, decider_of_deployment, any_scheduler };

AnsweredBy answered_by(Operation operation) {
  switch (operation) {
    case Operation::cluster_status:
    case Operation::cluster_queue:
    case Operation::cluster_plan:
    case Operation::cluster_quota_list:
      return AnsweredBy::decider_of_cluster;
    case Operation::deployment_explain:
    case Operation::deployment_logs:
      return AnsweredBy::decider_of_deployment;
    case Operation::cluster_create:  // may ask the machine what it has
      return AnsweredBy::any_scheduler;
    default:
      return AnsweredBy::any;
  }
}

bool is_request_id(std::string_view text) {
  return !text.empty() && text.size() <= 64 && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
  });
}

// With 'at' the answer is in the database, and so any process has it.
bool answers_past(Operation operation) {
  return operation == Operation::cluster_status || operation == Operation::cluster_queue ||
         operation == Operation::deployment_explain;
}

}  // namespace

Api::Api(Services services, ApiOptions options)
    : services_(services),
      options_(std::move(options)),
      limiter_(options_.rate),
      metrics_(BERTH_VERSION) {
  std::array<std::uint8_t, 8> seed{};
  services_.random.fill(seed);
  std::uint64_t first = 0;
  for (const auto byte : seed) first = first << 8 | byte;
  next_request_ = first;
  add_account_routes(routes_, services_);
  add_organization_routes(routes_, services_);
  add_cluster_routes(routes_, services_);
  add_quota_routes(routes_, services_);
  add_plan_routes(routes_, services_);
  add_deployment_routes(routes_, services_);
  add_watch_routes(routes_, services_, options_.bookmark_every);
  add_operation_routes(routes_, services_, metrics_, draining_, openapi_, options_.shared);
  openapi_ = make_openapi(routes_);
  router_ = std::make_unique<Router>(routes_);
  std::vector<std::string> ids;
  for (const auto& route : routes_) ids.emplace_back(route.id);
  ids.emplace_back("other");
  metrics_.add_routes(ids);
}

Api::~Api() = default;

net::BodyPolicy Api::body_policy(const net::Request& head) {
  return head.path().starts_with(kServe) ? net::BodyPolicy::stream : net::BodyPolicy::whole;
}

net::Response Api::refuse(int status, std::string_view why) {
  Context context;
  context.request_id = request_id_of(context.request);
  net::Response out =
      problem(status, std::string(reason_of(status)), std::string(why), "", context.request_id);
  finish(out, context);
  return out;
}

std::string Api::request_id_of(const net::Request& request) {
  const auto given = net::find_header(request.headers, "X-Request-Id");
  if (is_request_id(given)) return std::string(given);
  // Unique and unguessable enough for a log; splitmix64 spreads a counter.
  std::uint64_t z = next_request_.fetch_add(0x9E3779B97F4A7C15ULL, std::memory_order_relaxed);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
  z ^= z >> 31;
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out = "req_0000000000000000";
  for (std::size_t i = 0; i < 16; ++i) out[4 + i] = kDigits[z >> (60 - 4 * i) & 15];
  return out;
}

Result<std::optional<Caller>> Api::caller_of(const Context& context) {
  const auto token = context.bearer();
  if (token.empty()) return std::optional<Caller>{};
  auto principal = services_.accounts.authenticate(token);
  if (!principal) {
    if (principal.error().code == Code::unauthenticated)
      metrics_.auth_failure(principal.error().reason);
    return std::unexpected(std::move(principal.error()));
  }
  return Caller{std::move(*principal), context.request_id, context.request.peer};
}

Result<void> Api::check_query(Context& context, const Route& route) {
  if (context.request.query().empty()) return {};
  auto parsed = net::parse_query(context.request.query());
  if (!parsed) return std::unexpected(std::move(parsed.error()));
  context.query = std::move(*parsed);
  for (std::size_t i = 0; i < context.query.size(); ++i) {
    const auto& name = context.query[i].first;
    const bool known = std::any_of(route.query.begin(), route.query.end(),
                                   [&](const auto& p) { return p.name == name; });
    if (!known)
      return fail_field(name, "unknown_parameter", "This route has no such query parameter.");
    for (std::size_t j = 0; j < i; ++j) {
      if (context.query[j].first == name) return fail_field(name, "duplicate", "Give it once.");
    }
  }
  return {};
}

bool Api::decides_here(const ClusterId& cluster) const {
  return options_.deciders == nullptr || options_.deciders->here(cluster);
}

Task<net::Response> Api::forward_to(Context& c, std::string address) {
  const bool serves = c.request.path().starts_with(kServe);
  auto answer = co_await forward(c, address, options_.secret, services_.clock.now(),
                                 serves ? kModelPatience : kPatience);
  if (!answer) {
    Error error{Code::unavailable,
                "scheduler_unreachable",
                "The scheduler that would know does not answer at the moment; ask again.",
                {},
                std::chrono::seconds(1)};
    log_error("asking a scheduler", fmt::format("{}: {}", address, answer.error().message));
    co_return problem(error, c.request.path(), c.request_id);
  }
  c.forwarded = true;
  co_return std::move(*answer);
}

Task<net::Response> Api::forward_to_decider(Context& c, ClusterId cluster) {
  // Asked by another process: it has old news, and asks again.
  auto address = c.internal ? fail(Code::unavailable, "not_held",
                                   "Another process decides about this cluster now; ask again.")
                            : options_.deciders->address_of(cluster);
  if (!address) co_return problem(address.error(), c.request.path(), c.request_id);
  auto answer = co_await forward_to(c, std::move(*address));
  if (answer.status == 503) options_.deciders->forget(cluster);
  co_return answer;
}

Task<std::optional<net::Response>> Api::ask_elsewhere(Context& c, const Route& route) {
  const auto by = answered_by(route.operation);
  if (options_.deciders == nullptr || by == AnsweredBy::any) co_return std::nullopt;
  if (answers_past(route.operation) && c.query_text("at")) co_return std::nullopt;
  if (by == AnsweredBy::any_scheduler) {
    auto address = c.internal ? fail(Code::unavailable, "", "") : options_.deciders->any();
    if (!address) co_return std::nullopt;  // then here, as far as it goes
    co_return co_await forward_to(c, std::move(*address));
  }
  // Unknown ones, and those of strangers, are refused here.
  std::optional<ClusterId> cluster;
  if (by == AnsweredBy::decider_of_cluster) {
    const auto id = c.id<ClusterId>("cluster_id", "cluster");
    if (id && services_.clusters.get(c.who(), *id, Operation::cluster_read)) cluster = *id;
  } else if (const auto id = c.id<DeploymentId>("deployment_id", "deployment")) {
    const auto row = services_.deployments.get(c.who(), *id, Operation::deployment_read);
    if (row) cluster = (*row)->cluster;
  }
  if (!cluster || options_.deciders->here(*cluster)) co_return std::nullopt;
  co_return co_await forward_to_decider(c, *cluster);
}

Result<void> Api::check_sender(Context& c) {
  if (options_.secret.empty()) return {};
  auto client = check_internal(options_.secret, services_.clock.now(), c.request);
  if (client) {
    c.internal = true;
    c.request.peer = std::move(*client);
    return {};
  }
  const auto path = c.request.path();
  const bool open =
      path == "/healthz" || path == "/livez" || path == "/readyz" || path == "/metrics";
  if (!options_.internal_only || open) return {};
  return fail(Code::permission_denied, "internal_only",
              "This address is for the API processes of the installation; ask one of these.");
}

Task<net::Response> Api::answer(Context& context, std::size_t& index) {
  const auto path = context.request.path();
  if (auto fine = check_sender(context); !fine)
    co_return problem(fine.error(), path, context.request_id);
  if (path.starts_with(kServe)) co_return co_await serve_endpoint(context);
  auto match = router_->find(context.request.method, path);
  if (!match.route) {
    if (!match.path_known) {
      co_return problem(404, "no_such_route",
                        "There is nothing here; /openapi.json lists every route.", path,
                        context.request_id);
    }
    auto refused = problem(405, "method_not_allowed", "This path takes: " + match.allow + ".", path,
                           context.request_id);
    refused.headers.push_back({"Allow", match.allow});
    co_return refused;
  }
  index = *match.route;
  const Route& route = routes_[index];
  for (const auto& [name, value] : match.params) {
    auto decoded = net::percent_decode(value);
    if (!decoded) co_return problem(decoded.error(), path, context.request_id);
    context.path.emplace(name, std::move(*decoded));
  }
  auto caller = caller_of(context);
  const bool open = permission_of(route.operation).audience == Audience::everyone;
  if (!caller && !open) co_return problem(caller.error(), path, context.request_id);
  if (caller) context.caller = std::move(*caller);
  if (!context.caller && !open) {
    metrics_.auth_failure("missing_token");
    co_return problem(services_.accounts.authenticate("").error(), path, context.request_id);
  }
  const auto key = context.caller ? std::hash<UserId>{}(context.caller->principal.user)
                                  : std::hash<std::string>{}(context.request.peer);
  // Whoever watches over the server is never turned away.
  const bool limited = route.operation != Operation::health_read || path.starts_with("/api/");
  const auto verdict =
      limited ? limiter_.take(key, std::chrono::steady_clock::now()) : RateLimiter::Verdict{};
  if (limited && limiter_.rules().per_second > 0) {
    context.rate_policy = fmt::format("\"default\";q={};w=1", limiter_.rules().per_second);
    context.rate_left =
        fmt::format("\"default\";r={};t={}", verdict.remaining, verdict.reset.count());
  }
  if (!verdict.allowed) {
    metrics_.rate_limited();
    Error error{Code::resource_exhausted,
                "quota_exceeded",
                "Too many requests; slow down.",
                {},
                std::chrono::seconds(1)};
    co_return problem(error, path, context.request_id);
  }
  if (auto fine = check_query(context, route); !fine)
    co_return problem(fine.error(), path, context.request_id);
  if (!route.has_body && !context.request.body.empty() && context.request.method != "GET" &&
      context.request.body != "{}") {
    co_return problem(400, "unexpected_body", "This route takes no body.", path,
                      context.request_id);
  }
  if (auto elsewhere = co_await ask_elsewhere(context, route)) co_return std::move(*elsewhere);
  auto response = co_await route.handle(context);
  const auto etag = net::find_header(response.headers, "ETag");
  const auto known = net::find_header(context.request.headers, "If-None-Match");
  if (route.method == "GET" && response.status == 200 && !etag.empty() && !known.empty() &&
      matches_any(known, etag)) {
    net::Response unchanged;
    unchanged.status = 304;
    unchanged.headers.push_back({"ETag", std::string(etag)});
    co_return unchanged;
  }
  co_return response;
}

void Api::finish(net::Response& response, const Context& context) const {
  auto& headers = response.headers;
  headers.push_back({"X-Request-Id", context.request_id});
  if (!context.rate_policy.empty()) {
    headers.push_back({"RateLimit-Policy", context.rate_policy});
    headers.push_back({"RateLimit", context.rate_left});
  }
  if (context.forwarded) return;
  headers.push_back({"X-Content-Type-Options", "nosniff"});
  headers.push_back({"Referrer-Policy", "no-referrer"});
  headers.push_back({"Cross-Origin-Opener-Policy", "same-origin"});
  headers.push_back({"Cross-Origin-Resource-Policy", "same-origin"});
  if (!net::has_header(headers, "Cache-Control")) headers.push_back({"Cache-Control", "no-store"});
  if (!net::has_header(headers, "Content-Security-Policy")) {
    headers.push_back({"Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"});
  }
}

Task<net::Response> Api::handle(net::Request request) {
  const auto began = std::chrono::steady_clock::now();
  Context context;
  context.request_id = request_id_of(request);
  context.request = std::move(request);
  std::size_t route = routes_.size();
  auto response = co_await answer(context, route);
  finish(response, context);
  metrics_.observe(route, response.status, std::chrono::steady_clock::now() - began);
  if (response.status >= 500 && response.status != 503) {
    log_error("request failed",
              fmt::format("{} {} {} {}", context.request_id, context.request.method,
                          context.request.path(), response.status));
  }
  co_return response;
}

}  // namespace berth::api
