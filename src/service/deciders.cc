#include "service/deciders.h"

#include <algorithm>

namespace berth {
namespace {

// Asking a process that has just lost a cluster costs one more question, not a wrong answer.
constexpr auto kRemember = std::chrono::seconds(1);
constexpr std::size_t kMost = 100'000;

std::unexpected<Error> nobody() {
  return std::unexpected(Error{Code::unavailable,
                               "no_scheduler",
                               "No scheduler decides about this cluster at the moment; ask again.",
                               {},
                               std::chrono::seconds(1)});
}

}  // namespace

Result<std::string> Deciders::address_of(const ClusterId& cluster) {
  const auto now = std::chrono::steady_clock::now();
  {
    const std::lock_guard lock(mutex_);
    const auto found = known_.find(cluster);
    if (found != known_.end() && found->second.until > now) return found->second.address;
  }
  auto view = reads_.view();
  if (!view) return std::unexpected(std::move(view.error()));
  auto lease = (*view)->lease(cluster);
  if (!lease) return std::unexpected(std::move(lease.error()));
  if (!*lease || !(*lease)->holder || !(*lease)->alive) return nobody();
  auto living = (*view)->living_schedulers();
  if (!living) return std::unexpected(std::move(living.error()));
  const auto row = std::ranges::find(*living, *(*lease)->holder, &SchedulerRow::id);
  if (row == living->end() || row->address.empty()) return nobody();
  const std::lock_guard lock(mutex_);
  if (known_.size() >= kMost) known_.clear();
  known_[cluster] = {row->address, now + kRemember};
  return row->address;
}

Result<std::string> Deciders::any() {
  auto view = reads_.view();
  if (!view) return std::unexpected(std::move(view.error()));
  auto living = (*view)->living_schedulers();
  if (!living) return std::unexpected(std::move(living.error()));
  for (const auto& row : *living) {
    if (!row.address.empty()) return row.address;
  }
  return nobody();
}

void Deciders::forget(const ClusterId& cluster) {
  const std::lock_guard lock(mutex_);
  known_.erase(cluster);
}

}  // namespace berth
