// Prometheus metrics. Labels are bounded: route ids, methods, status classes, clusters by id, never
// users or deployments.
#pragma once
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <memory>
#include <string>
#include <vector>

#include "scheduler/engine.h"
#include "service/committer.h"
#include "service/runner.h"

namespace berth::api {

class Metrics {
 public:
  explicit Metrics(std::string version);

  // One slot a route, named by its operation id; the last is for everything else.
  void add_routes(const std::vector<std::string>& ids);
  void observe(std::size_t route, int status, std::chrono::steady_clock::duration took);
  void auth_failure(const std::string& kind);
  void rate_limited();
  // What the auditor found; must be 0.
  void set_drift(double findings) { drift_->Set(findings); }

  void set_cluster(const Cluster& cluster, const EngineStatus& status);
  void set_committer(const CommitterStats& stats, std::size_t waiting);
  void set_runner(const RunnerStats& stats);
  void set_watchers(std::size_t n) { watchers_->Set(static_cast<double>(n)); }

  [[nodiscard]] std::string render();

 private:
  struct RouteSlots {
    std::array<prometheus::Counter*, 6> by_class{};  // 1xx .. 5xx, by the first digit
    prometheus::Histogram* seconds = nullptr;
  };
  std::shared_ptr<prometheus::Registry> registry_;
  prometheus::Family<prometheus::Counter>* requests_;
  prometheus::Family<prometheus::Histogram>* seconds_;
  prometheus::Family<prometheus::Counter>* auth_failures_;
  prometheus::Family<prometheus::Gauge>* capacity_;
  prometheus::Family<prometheus::Gauge>* reserved_;
  prometheus::Family<prometheus::Gauge>* waiting_;
  prometheus::Family<prometheus::Gauge>* active_;
  prometheus::Family<prometheus::Gauge>* totals_;
  prometheus::Counter* limited_;
  prometheus::Gauge* drift_;
  prometheus::Gauge* watchers_;
  std::vector<RouteSlots> routes_;
};

}  // namespace berth::api
