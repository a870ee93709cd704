// Health, metrics, the description, and the few pages that are not JSON.
#include <fmt/format.h>

#include "api/api.h"
#include "api/assets.h"
#include "api/schemas.h"

namespace berth::api {
namespace {

net::Response page(std::string_view type, std::string_view bytes, std::string_view policy,
                   bool cache) {
  net::Response out;
  out.headers.push_back({"Content-Type", std::string(type)});
  out.headers.push_back({"Content-Security-Policy", std::string(policy)});
  out.headers.push_back({"Cache-Control", cache ? "public, max-age=3600" : "no-cache"});
  out.static_body = bytes;
  return out;
}

// Scripts and styles come from this server alone; nothing inline.
constexpr std::string_view kPagePolicy =
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' "
    "data:; "
    "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

void add_health(std::vector<Route>& table, const Services& s, const std::atomic<bool>& draining) {
  for (const auto* path : {"/healthz", "/livez"}) {
    table.push_back(typed<NoBody, HealthView>(
        {"GET", path, Operation::health_read,
         path == std::string_view("/healthz") ? "getHealth" : "getLiveness", "Operate",
         "The process answers"},
        [](Context&) -> Task<Result<Reply<HealthView>>> { co_return reply(HealthView{}); }));
  }
  table.push_back(typed<NoBody, ReadyView>(
      {"GET", "/readyz", Operation::health_read, "getReadiness", "Operate",
       "The server can do its work"},
      [s, &draining](Context&) -> Task<Result<Reply<ReadyView>>> {
        ReadyView ready;
        auto view = s.reads.view();
        Result<std::int64_t> users = view ? (*view)->count_users() : std::unexpected(view.error());
        ready.checks.push_back({"database", users.has_value(), users ? "" : users.error().message});
        ready.checks.push_back({"accepting", !draining, draining ? "The server is stopping." : ""});
        if (users && !draining) co_return reply(std::move(ready));
        std::string why = "This server cannot work now.";
        for (const auto& check : ready.checks)
          why += check.ok ? "" : " " + check.name + ": " + check.message;
        co_return fail(Code::unavailable, "not_ready", std::move(why));
      }));
  table.push_back(typed<NoBody, VersionView>({"GET", "/api/v1/version", Operation::health_read,
                                              "getVersion", "Operate", "Which Berth this is"},
                                             [](Context&) -> Task<Result<Reply<VersionView>>> {
                                               co_return reply(VersionView{BERTH_VERSION});
                                             }));
}

// Names are for people: "organization/cluster".
Result<std::vector<std::pair<ClusterId, std::string>>> named_clusters(const Services& s) {
  // Only the bounded first: the answer stays small whatever the installation holds.
  constexpr std::size_t kClusters = 1000;
  auto view = s.reads.view();
  if (!view) return std::unexpected(std::move(view.error()));
  auto rows = (*view)->all_clusters();
  if (!rows) return std::unexpected(std::move(rows.error()));
  std::vector<std::pair<ClusterId, std::string>> out;
  for (const auto& c : *rows) {
    if (out.size() == kClusters) break;
    auto org = (*view)->organization(c.organization);
    if (!org) return std::unexpected(std::move(org.error()));
    if (*org) out.emplace_back(c.id, fmt::format("{}/{}", (*org)->name, c.name));
  }
  return out;
}

Task<Metrics::Now> collect(const Services s) {
  Metrics::Now now;
  auto clusters = named_clusters(s);
  if (clusters) {
    for (auto& [id, name] : *clusters) {
      auto status = co_await s.clusters.measure(id);
      if (status) now.clusters.push_back({std::move(name), std::move(*status)});
    }
  }
  now.committer = s.committer.stats();
  now.units_waiting = s.committer.waiting();
  now.runner = &s.runner.stats();
  now.watchers = s.hub.subscribers();
  co_return now;
}

}  // namespace

void add_operation_routes(std::vector<Route>& table, const Services& s, Metrics& metrics,
                          const std::atomic<bool>& draining, const std::string& openapi,
                          const std::function<Metrics::Shared()>& shared) {
  add_health(table, s, draining);

  Route scrape{"GET",        "/metrics", Operation::metrics_read,
               "getMetrics", "Operate",  "Prometheus metrics"};
  scrape.response_type = "text/plain";
  table.push_back(raw(std::move(scrape), [s, &metrics, &shared](Context& c) -> Task<net::Response> {
    auto now = co_await collect(s);
    if (shared) now.shared = shared();
    net::Response out;
    out.headers.push_back({"Content-Type", "text/plain; version=0.0.4; charset=utf-8"});
    // Which clusters there are is for the administrator of the installation alone.
    out.body = metrics.render(now, c.caller && c.who().principal.is_admin);
    co_return out;
  }));

  Route describe{"GET",        "/openapi.json", Operation::api_describe,
                 "getOpenApi", "Operate",       "This description"};
  describe.response_type = "application/json";
  table.push_back(raw(std::move(describe), [&openapi](Context&) -> Task<net::Response> {
    net::Response out =
        page("application/json", openapi, "default-src 'none'; frame-ancestors 'none'", false);
    co_return out;
  }));

  for (const auto& asset : assets()) {
    Route route{"GET", asset.path, Operation::api_describe,
                "",    "",         ""};  // no id: not part of the API
    table.push_back(raw(std::move(route), [asset](Context&) -> Task<net::Response> {
      co_return page(asset.type, asset.bytes, kPagePolicy, asset.cache);
    }));
  }
}

}  // namespace berth::api
