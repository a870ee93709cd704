#include "service/attention.h"

#include "service/log.h"

namespace berth {

void Attention::hear(std::span<const Event> events) {
  for (const auto& event : events) {
    if (!event.cluster || !authority_.holds(*event.cluster)) continue;
    if (scheduling_.seen(*event.cluster) < event.seq)
      look_at(*event.cluster, event.deployment.has_value());
  }
}

void Attention::look_at(const ClusterId& cluster, bool only_deployments) {
  {
    const std::lock_guard lock(mutex_);
    failed_.erase(cluster);
    const auto [place, fresh] = asked_.emplace(cluster, only_deployments);
    if (!fresh) {
      place->second = place->second && only_deployments;
      return;
    }
    ++looking_;
  }
  auto unit = [this, cluster](Change& change) -> Result<void> {
    bool light = false;
    {
      // Before it reads: what happens from now on needs another look.
      const std::lock_guard lock(mutex_);
      if (const auto found = asked_.find(cluster); found != asked_.end()) light = found->second;
      asked_.erase(cluster);
    }
    change.look_at(cluster, light);
    return {};
  };
  committer_.submit(
      std::move(unit),
      [this, cluster](Result<void> outcome) {
        if (!outcome) log_error("looking at a queue", outcome.error().message);
        const std::lock_guard lock(mutex_);
        --looking_;
        if (outcome) return;
        asked_.erase(cluster);
        failed_.insert(cluster);
      },
      cluster);
}

std::size_t Attention::open() const {
  const std::lock_guard lock(mutex_);
  return looking_ + failed_.size();
}

void Attention::repeat() {
  std::set<ClusterId> again;
  {
    const std::lock_guard lock(mutex_);
    again.swap(failed_);
  }
  for (const auto& cluster : again) {
    if (authority_.holds(cluster)) look_at(cluster);
  }
  for (const auto& cluster : scheduling_.behind()) {
    if (authority_.holds(cluster)) look_at(cluster, true);
  }
}

}  // namespace berth
