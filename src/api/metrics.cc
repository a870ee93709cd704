#include "api/metrics.h"

#include <prometheus/text_serializer.h>

namespace berth::api {
namespace {

using prometheus::BuildCounter;
using prometheus::BuildGauge;
using prometheus::BuildHistogram;

}  // namespace

Metrics::Metrics(std::string version) : registry_(std::make_shared<prometheus::Registry>()) {
  auto& r = *registry_;
  BuildGauge()
      .Name("berth_build_info")
      .Help("Which Berth this is.")
      .Register(r)
      .Add({{"version", std::move(version)}})
      .Set(1);
  requests_ =
      &BuildCounter().Name("berth_http_requests_total").Help("Requests answered.").Register(r);
  seconds_ = &BuildHistogram()
                  .Name("berth_http_request_duration_seconds")
                  .Help("Time from a whole request to its answer.")
                  .Register(r);
  auth_failures_ = &BuildCounter()
                        .Name("berth_auth_failures_total")
                        .Help("Requests without a valid credential.")
                        .Register(r);
  limited_ = &BuildCounter()
                  .Name("berth_rate_limited_total")
                  .Help("Requests refused because of their rate.")
                  .Register(r)
                  .Add({});
  drift_ = &BuildGauge()
                .Name("berth_accounting_drift")
                .Help("Broken invariants of the ledger; must be 0.")
                .Register(r)
                .Add({});
}

void Metrics::add_routes(const std::vector<std::string>& ids) {
  static const prometheus::Histogram::BucketBoundaries kSeconds{
      0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5};
  for (const auto& id : ids) {
    RouteSlots slots;
    for (int digit = 1; digit <= 5; ++digit) {
      slots.by_class[static_cast<std::size_t>(digit)] =
          &requests_->Add({{"route", id}, {"status", std::to_string(digit) + "xx"}});
    }
    slots.seconds = &seconds_->Add({{"route", id}}, kSeconds);
    routes_.push_back(slots);
  }
}

void Metrics::observe(std::size_t route, int status, std::chrono::steady_clock::duration took) {
  const RouteSlots& slots = routes_[std::min(route, routes_.size() - 1)];
  const auto digit = static_cast<std::size_t>(std::clamp(status / 100, 1, 5));
  slots.by_class[digit]->Increment();
  slots.seconds->Observe(std::chrono::duration<double>(took).count());
}

void Metrics::auth_failure(const std::string& kind) {
  auth_failures_->Add({{"kind", kind}}).Increment();
}
void Metrics::rate_limited() { limited_->Increment(); }

namespace {

using Labels = prometheus::Labels;

// One family, filled once.
class Figures {
 public:
  explicit Figures(prometheus::Registry& registry) : registry_(registry) {}
  prometheus::Family<prometheus::Gauge>& gauge(const char* name, const char* help) {
    return BuildGauge().Name(name).Help(help).Register(registry_);
  }
  void set(const char* name, const char* help, std::size_t value) {
    gauge(name, help).Add({}).Set(static_cast<double>(value));
  }
  void count(const char* name, const char* help, std::uint64_t value) {
    BuildCounter().Name(name).Help(help).Register(registry_).Add({}).Increment(
        static_cast<double>(value));
  }

 private:
  prometheus::Registry& registry_;
};

void add_resources(prometheus::Family<prometheus::Gauge>& family, Labels labels,
                   const Resources& r) {
  const auto put = [&](const char* resource, double amount) {
    labels["resource"] = resource;
    family.Add(labels).Set(amount);
  };
  put("cpu_cores", static_cast<double>(r.cpu_milli) / 1000);
  put("memory_bytes", static_cast<double>(r.memory_bytes));
  put("gpu_devices", static_cast<double>(r.gpu_milli) / 1000);
}

void add_waiting(prometheus::Family<prometheus::Gauge>& family, Labels labels,
                 const EngineStatus& s) {
  const auto put = [&](const char* queue, std::size_t n) {
    labels["queue"] = queue;
    family.Add(labels).Set(static_cast<double>(n));
  };
  put("high", s.high_waiting);
  put("low", s.low_waiting);
  put("backoff", s.parked);
}

Resources held(const EngineStatus& s) { return minus(s.capacity, s.free).value_or(Resources{}); }

void add_totals(Figures& out, const std::vector<Metrics::ClusterFigures>& clusters) {
  EngineStatus sum;
  for (const auto& c : clusters) {
    sum.capacity += c.status.capacity;
    sum.free += c.status.free;
    sum.high_waiting += c.status.high_waiting;
    sum.low_waiting += c.status.low_waiting;
    sum.parked += c.status.parked;
    sum.active += c.status.active;
  }
  add_resources(out.gauge("berth_capacity", "What all clusters have: cores, bytes, devices."), {},
                sum.capacity);
  add_resources(out.gauge("berth_reserved", "What deployments hold: cores, bytes, devices."), {},
                held(sum));
  add_waiting(out.gauge("berth_queue_waiting", "Deployments that wait."), {}, sum);
  out.set("berth_deployments_active", "Deployments that hold resources.", sum.active);
  out.set("berth_clusters", "Clusters.", clusters.size());
}

void add_clusters(Figures& out, const std::vector<Metrics::ClusterFigures>& clusters) {
  auto& capacity =
      out.gauge("berth_cluster_capacity", "What a cluster has: cores, bytes, devices.");
  auto& reserved =
      out.gauge("berth_cluster_reserved", "What deployments hold there: cores, bytes, devices.");
  auto& waiting = out.gauge("berth_cluster_queue_waiting", "Deployments that wait there.");
  auto& active =
      out.gauge("berth_cluster_deployments_active", "Deployments that hold resources there.");
  for (const auto& c : clusters) {
    const Labels label{{"cluster", c.name}};
    add_resources(capacity, label, c.status.capacity);
    add_resources(reserved, label, held(c.status));
    add_waiting(waiting, label, c.status);
    active.Add(label).Set(static_cast<double>(c.status.active));
  }
}

void add_work(Figures& out, const Metrics::Now& now) {
  out.count("berth_commits_total", "Commits to the database.", now.committer.commits);
  out.count("berth_commit_units_total", "Units of work in those commits.", now.committer.units);
  out.count("berth_commit_failures_total", "Commits that failed.", now.committer.failed_commits);
  out.set("berth_commit_units_waiting", "Units of work that wait for a commit.", now.units_waiting);
  out.count("berth_runtime_launches_total", "Attempts handed to a runtime.", now.runner->launches);
  out.count("berth_runtime_stops_total", "Attempts that a runtime was asked to end.",
            now.runner->stops);
  out.count("berth_runtime_observations_total", "Reports of runtimes.", now.runner->observations);
  out.count("berth_runtime_call_failures_total", "Calls of runtimes that failed.",
            now.runner->call_failures);
  out.count("berth_reconcile_repairs_total",
            "Differences between record and runtime that were repaired.", now.runner->repairs);
  out.count("berth_reconcile_orphans_total", "Attempts without a record that were ended.",
            now.runner->orphans);
  out.set("berth_watchers", "Open event streams.", now.watchers);
}

void add_shared(Figures& out, const Metrics::Shared& shared) {
  out.set("berth_clusters_held", "Clusters that this process decides about.", shared.clusters_held);
  out.set("berth_history_followed", "The last event of the history that this process has heard of.",
          static_cast<std::size_t>(shared.followed));
  out.set("berth_leads", "1: this process publishes the history to the queue and keeps house.",
          shared.leads ? 1 : 0);
  out.set("berth_queue_reachable", "1: the last question to Redis was answered.",
          shared.queue_reachable ? 1 : 0);
}

}  // namespace

std::string Metrics::render(const Now& now, bool by_cluster) const {
  // A registry a scrape: what is deleted does not linger.
  prometheus::Registry scraped;
  Figures figures(scraped);
  add_totals(figures, now.clusters);
  if (by_cluster) add_clusters(figures, now.clusters);
  add_work(figures, now);
  if (now.shared) add_shared(figures, *now.shared);
  auto all = registry_->Collect();
  auto more = scraped.Collect();
  std::move(more.begin(), more.end(), std::back_inserter(all));
  return prometheus::TextSerializer().Serialize(all);
}

}  // namespace berth::api
