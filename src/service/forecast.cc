#include "service/forecast.h"

#include <algorithm>

namespace berth {
namespace {

// Beyond these the question costs the writer's thread more than the answer is worth.
constexpr std::size_t kWaiting = 5'000;
constexpr std::size_t kActive = 2'000;

struct End {
  Timestamp at;
  DeploymentId id;
  friend auto operator<=>(const End&, const End&) = default;
};

}  // namespace

Result<std::map<DeploymentId, Timestamp>> latest_starts(ReadView& view, const ClusterEngine& engine,
                                                        const ClusterId& cluster) {
  std::map<DeploymentId, Timestamp> out;
  const auto status = engine.status();
  const std::size_t waiting = status.high_waiting + status.low_waiting + status.parked;
  if (waiting == 0 || waiting > kWaiting || status.active > kActive || status.paused) return out;
  auto active = view.active(cluster);
  if (!active) return std::unexpected(std::move(active.error()));
  std::vector<End> ends;
  for (const auto& d : *active) {
    const auto& limit = d.spec.max_run_time;
    if (limit && d.admitted_at)
      ends.push_back({d.admitted_at->plus(*limit + d.spec.stop_grace), d.id});
  }
  if (ends.empty()) return out;
  std::sort(ends.begin(), ends.end());
  ClusterEngine future = engine.clone();
  for (const auto& end : ends) {
    // What starts then is taken to stay: its own end is further away than this question reaches.
    for (const auto& start : future.apply(Released{end.id})) out.emplace(start.id, end.at);
  }
  return out;
}

}  // namespace berth
