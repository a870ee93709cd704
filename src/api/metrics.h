// Prometheus metrics. Labels are bounded: route ids, status classes and, for administrators of the
// installation alone, clusters by name; never users, deployments or any id.
#pragma once
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <memory>
#include <optional>
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

  struct ClusterFigures {
    std::string name;  // "organization/cluster"
    EngineStatus status;
  };
  // Of a process that shares the work with others.
  struct Shared {
    std::size_t clusters_held = 0;
    std::int64_t followed = 0;
    bool leads = false;
    bool queue_reachable = false;
  };
  // What is counted elsewhere and read when somebody asks.
  struct Now {
    std::vector<ClusterFigures> clusters;
    CommitterStats committer;
    std::size_t units_waiting = 0;
    const RunnerStats* runner = nullptr;
    std::size_t watchers = 0;
    std::optional<Shared> shared;
  };
  [[nodiscard]] std::string render(const Now& now, bool by_cluster) const;

 private:
  struct RouteSlots {
    std::array<prometheus::Counter*, 6> by_class{};  // 1xx .. 5xx, by the first digit
    prometheus::Histogram* seconds = nullptr;
  };
  std::shared_ptr<prometheus::Registry> registry_;
  prometheus::Family<prometheus::Counter>* requests_;
  prometheus::Family<prometheus::Histogram>* seconds_;
  prometheus::Family<prometheus::Counter>* auth_failures_;
  prometheus::Counter* limited_;
  prometheus::Gauge* drift_;
  std::vector<RouteSlots> routes_;
};

}  // namespace berth::api
