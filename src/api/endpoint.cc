// /serve/{organization}/{deployment}/...: forwards to the instance that is ready, or to each of
// several in turn, streaming both ways.
#include <fmt/format.h>

#include <algorithm>

#include "api/api.h"
#include "api/forward.h"
#include "net/framing.h"
#include "net/url.h"

namespace berth::api {
namespace {

constexpr std::string_view kPrefix = "/serve/";

// Our own credentials are none of the model's business, and its cookies none of ours.
bool for_model(std::string_view name, std::string_view connection) {
  const auto is = [&](std::string_view word) { return net::equal_ignoring_case(name, word); };
  return passes_on(name, connection) && !is("Authorization") && !is("Cookie") && !is("Host");
}

struct Target {
  std::string organization;
  std::string deployment;
  std::string rest;  // "/v2/...?query", at least "/"
};

Result<std::optional<Target>> target_of(std::string_view target) {
  std::string_view rest = target.substr(kPrefix.size());
  const auto split = [&](std::string_view& from) {
    const auto end = std::min(from.find_first_of("/?"), from.size());
    const auto head = from.substr(0, end);
    from.remove_prefix(end);
    return head;
  };
  auto organization = net::percent_decode(split(rest));
  if (!organization) return std::unexpected(std::move(organization.error()));
  if (!rest.starts_with('/')) return std::optional<Target>{};
  rest.remove_prefix(1);
  auto deployment = net::percent_decode(split(rest));
  if (!deployment) return std::unexpected(std::move(deployment.error()));
  if (organization->empty() || deployment->empty()) return std::optional<Target>{};
  std::string path(rest);
  if (!path.starts_with('/')) path.insert(0, "/");
  return std::optional(Target{std::move(*organization), std::move(*deployment), std::move(path)});
}

// While there is nobody to forward to: why, and when to ask again.
net::Response not_ready(const Deployment& d, const Context& c, std::string_view why) {
  const bool over = is_terminal(d.state);
  Error error{over ? Code::failed_precondition : Code::unavailable,
              over ? "not_running" : "not_ready",
              fmt::format("{} is {}. {}", d.name, to_text(d.state), why),
              {},
              std::chrono::seconds(2)};
  if (d.state == State::starting) error.retry_after = std::chrono::seconds(1);
  auto out = problem(error, c.request.path(), c.request_id);
  return out;
}

}  // namespace

Task<net::Response> Api::serve_endpoint(Context& c) {
  const auto refused = [&](const Error& e) { return problem(e, c.request.path(), c.request_id); };
  auto target = target_of(c.request.target);
  if (!target) co_return refused(target.error());
  if (!*target) co_return refused(not_found("deployment").error());
  auto caller = caller_of(c);
  if (!caller) co_return refused(caller.error());
  auto found = services_.deployments.serve(*caller, (*target)->organization, (*target)->deployment);
  if (!found) co_return refused(found.error());
  const Deployment& d = **found;
  if (!decides_here(d.cluster)) co_return co_await forward_to_decider(c, d.cluster);
  if (!d.spec.port) {
    co_return problem(404, "no_endpoint",
                      fmt::format("{} serves nothing: it was submitted without a 'port'.", d.name),
                      c.request.path(), c.request_id);
  }
  const auto endpoints = d.endpoints();
  if (endpoints.empty()) {
    std::string why = d.message;
    if (d.state == State::queued && *caller) {
      auto explained = co_await services_.deployments.explain(**caller, d.id);
      if (explained) why = explained->sentence;
    }
    co_return not_ready(d, c, why);
  }

  net::UpstreamRequest request;
  // One after the other.
  const auto turn = turns_[std::hash<DeploymentId>{}(d.id) % turns_.size()]++;
  request.address = endpoints[turn % endpoints.size()];
  request.method = c.request.method;
  request.target = (*target)->rest;
  const auto connection = net::find_header(c.request.headers, "Connection");
  for (const auto& header : c.request.headers) {
    if (for_model(header.name, connection)) request.headers.push_back(header);
  }
  request.headers.push_back({"Host", request.address});
  request.headers.push_back({"X-Forwarded-For", c.request.peer});
  request.headers.push_back({"X-Forwarded-Proto", "http"});
  request.headers.push_back(
      {"X-Forwarded-Host", std::string(net::find_header(c.request.headers, "Host"))});
  request.headers.push_back(
      {"X-Forwarded-Prefix",
       fmt::format("{}{}/{}", kPrefix, (*target)->organization, (*target)->deployment)});
  request.headers.push_back({"X-Request-Id", c.request_id});
  request.body = c.request.body;
  request.stream = c.request.stream.get();
  auto upstream = co_await net::exchange(std::move(request));
  if (!upstream) {
    const bool slow = upstream.error().code == Code::resource_exhausted;
    co_return problem(slow ? 504 : 502, slow ? "endpoint_timeout" : "endpoint_failed",
                      fmt::format("{} did not answer: {}", d.name, upstream.error().message),
                      c.request.path(), c.request_id);
  }
  c.forwarded = true;
  auto out = relay(std::move(*upstream), std::move(c.request.stream));
  std::erase_if(out.headers,
                [](const auto& h) { return net::equal_ignoring_case(h.name, "Set-Cookie"); });
  co_return out;
}

}  // namespace berth::api
