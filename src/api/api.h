// The REST API: finds the route, authenticates, limits, calls the handler, renders what went wrong.
#pragma once
#include <array>
#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "api/metrics.h"
#include "api/route.h"
#include "net/http_server.h"
#include "service/accounts.h"
#include "service/clusters.h"
#include "service/deciders.h"
#include "service/deployments.h"
#include "service/organizations.h"
#include "service/time_travel.h"
#include "service/watch.h"

namespace berth::api {

struct ApiOptions {
  RateLimiter::Rules rate{.per_second = 2000, .burst = 4000};  // per caller
  std::chrono::milliseconds bookmark_every{15'000};
  // Where several processes share the work: who decides about which cluster, and what they prove
  // to each other that they belong together.
  Deciders* deciders = nullptr;
  std::string secret = {};
  std::function<Metrics::Shared()> shared = {};
  bool internal_only = false;  // answers to other processes, and to all only about its health
};

struct Services {
  ReadSide& reads;
  Committer& committer;
  Accounts& accounts;
  Organizations& organizations;
  Clusters& clusters;
  Quotas& quotas;
  Deployments& deployments;
  TimeTravel& time_travel;
  Runner& runner;
  WatchHub& hub;
  const Clock& clock;
  Random& random;
};

class Router;

class Api final : public net::Handler {
 public:
  Api(Services services, ApiOptions options);
  ~Api() override;

  [[nodiscard]] net::BodyPolicy body_policy(const net::Request& head) override;
  Task<net::Response> handle(net::Request request) override;
  [[nodiscard]] net::Response refuse(int status, std::string_view why) override;

  [[nodiscard]] const std::vector<Route>& routes() const { return routes_; }
  [[nodiscard]] const std::string& openapi() const { return openapi_; }
  [[nodiscard]] Metrics& metrics() { return metrics_; }
  // Load balancers see it before the sockets close.
  void drain() { draining_ = true; }

 private:
  Task<net::Response> answer(Context& context, std::size_t& route);
  Task<net::Response> serve_endpoint(Context& context);
  [[nodiscard]] bool decides_here(const ClusterId& cluster) const;
  Task<net::Response> forward_to_decider(Context& context, ClusterId cluster);
  Task<net::Response> forward_to(Context& context, std::string address);
  // The answer of the process that has to give it; empty: this one.
  Task<std::optional<net::Response>> ask_elsewhere(Context& context, const Route& route);
  // Whom it comes from, when another process sends it; an error when only these may.
  Result<void> check_sender(Context& context);
  // Who is calling; empty when nobody said.
  Result<std::optional<Caller>> caller_of(const Context& context);
  Result<void> check_query(Context& context, const Route& route);
  void finish(net::Response& response, const Context& context) const;
  std::string request_id_of(const net::Request& request);

  Services services_;
  ApiOptions options_;
  std::vector<Route> routes_;
  std::unique_ptr<Router> router_;
  std::string openapi_;
  RateLimiter limiter_;
  Metrics metrics_;
  std::atomic<bool> draining_ = false;
  std::array<std::atomic<std::uint32_t>, 64> turns_{};  // of replicas that serve, by deployment
  std::atomic<std::uint64_t> next_request_;
};

// The table, in the order of the documentation. One function a subject.
void add_account_routes(std::vector<Route>& table, const Services& services);
void add_organization_routes(std::vector<Route>& table, const Services& services);
void add_cluster_routes(std::vector<Route>& table, const Services& services);
void add_quota_routes(std::vector<Route>& table, const Services& services);
void add_plan_routes(std::vector<Route>& table, const Services& services);
void add_deployment_routes(std::vector<Route>& table, const Services& services);
void add_watch_routes(std::vector<Route>& table, const Services& services,
                      std::chrono::milliseconds bookmark);

void add_operation_routes(std::vector<Route>& table, const Services& services, Metrics& metrics,
                          const std::atomic<bool>& draining, const std::string& openapi,
                          const std::function<Metrics::Shared()>& shared);

[[nodiscard]] std::string make_openapi(const std::vector<Route>& routes);

}  // namespace berth::api
