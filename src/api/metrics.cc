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
  BuildGauge().Name("berth_build_info").Help("Which Berth this is.").Register(r).Add({{"version", std::move(version)}}).Set(1);
  requests_ = &BuildCounter().Name("berth_http_requests_total").Help("Requests answered.").Register(r);
  seconds_ = &BuildHistogram().Name("berth_http_request_duration_seconds").Help("Time from a whole request to its answer.").Register(r);
  auth_failures_ = &BuildCounter().Name("berth_auth_failures_total").Help("Requests without a valid credential.").Register(r);
  limited_ = &BuildCounter().Name("berth_rate_limited_total").Help("Requests refused because of their rate.").Register(r).Add({});
  capacity_ = &BuildGauge().Name("berth_cluster_capacity").Help("What a cluster has: cores, bytes, devices.").Register(r);
  reserved_ = &BuildGauge().Name("berth_cluster_reserved").Help("What deployments hold: cores, bytes, devices.").Register(r);
  waiting_ = &BuildGauge().Name("berth_queue_waiting").Help("Deployments that wait.").Register(r);
  active_ = &BuildGauge().Name("berth_cluster_active").Help("Deployments that hold resources.").Register(r);
  drift_ = &BuildGauge().Name("berth_accounting_drift").Help("Broken invariants of the ledger; must be 0.").Register(r).Add({});
  watchers_ = &BuildGauge().Name("berth_watchers").Help("Open event streams.").Register(r).Add({});
  totals_ = &BuildGauge().Name("berth_internal").Help("Counts since the start: commits, units of work, runtime calls.").Register(r);
}

void Metrics::add_routes(const std::vector<std::string>& ids) {
  static const prometheus::Histogram::BucketBoundaries kSeconds{0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01,
                                                                0.025,  0.1,    0.5,   2.5};
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

void Metrics::auth_failure(const std::string& kind) { auth_failures_->Add({{"kind", kind}}).Increment(); }
void Metrics::rate_limited() { limited_->Increment(); }

void Metrics::set_cluster(const Cluster& c, const EngineStatus& s) {
  const std::string id = c.id.str();
  const auto put = [&](prometheus::Family<prometheus::Gauge>* family, const Resources& r) {
    family->Add({{"cluster", id}, {"resource", "cpu_cores"}}).Set(static_cast<double>(r.cpu_milli) / 1000);
    family->Add({{"cluster", id}, {"resource", "memory_bytes"}}).Set(static_cast<double>(r.memory_bytes));
    family->Add({{"cluster", id}, {"resource", "gpu_devices"}}).Set(static_cast<double>(r.gpu_milli) / 1000);
  };
  put(capacity_, s.capacity);
  put(reserved_, minus(s.capacity, s.free).value_or(Resources{}));
  waiting_->Add({{"cluster", id}, {"priority", "high"}}).Set(static_cast<double>(s.high_waiting));
  waiting_->Add({{"cluster", id}, {"priority", "low"}}).Set(static_cast<double>(s.low_waiting));
  waiting_->Add({{"cluster", id}, {"priority", "backoff"}}).Set(static_cast<double>(s.parked));
  active_->Add({{"cluster", id}}).Set(static_cast<double>(s.active));
}

void Metrics::set_committer(const CommitterStats& s, std::size_t waiting) {
  totals_->Add({{"what", "commits"}}).Set(static_cast<double>(s.commits));
  totals_->Add({{"what", "units"}}).Set(static_cast<double>(s.units));
  totals_->Add({{"what", "failed_commits"}}).Set(static_cast<double>(s.failed_commits));
  totals_->Add({{"what", "units_waiting"}}).Set(static_cast<double>(waiting));
}

void Metrics::set_runner(const RunnerStats& s) {
  totals_->Add({{"what", "launches"}}).Set(static_cast<double>(s.launches));
  totals_->Add({{"what", "stops"}}).Set(static_cast<double>(s.stops));
  totals_->Add({{"what", "observations"}}).Set(static_cast<double>(s.observations));
  totals_->Add({{"what", "repairs"}}).Set(static_cast<double>(s.repairs));
  totals_->Add({{"what", "orphans"}}).Set(static_cast<double>(s.orphans));
  totals_->Add({{"what", "runtime_call_failures"}}).Set(static_cast<double>(s.call_failures));
}

std::string Metrics::render() { return prometheus::TextSerializer().Serialize(registry_->Collect()); }

}  // namespace berth::api
