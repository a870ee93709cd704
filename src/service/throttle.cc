#include "service/throttle.h"

#include <algorithm>

namespace berth {

std::optional<std::chrono::seconds> Throttle::must_wait(const std::string& key,
                                                        Clock::time_point now) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(key);
  if (found == entries_.end() || found->second.blocked_until <= now) return std::nullopt;
  return std::chrono::ceil<std::chrono::seconds>(found->second.blocked_until - now);
}

void Throttle::failed(const std::string& key, Clock::time_point now) {
  const std::lock_guard lock(mutex_);
  if (entries_.size() >= rules_.keys) {
    std::erase_if(entries_,
                  [&](const auto& e) { return now - e.second.last > rules_.forget_after; });
    if (entries_.size() >= rules_.keys) entries_.clear();
  }
  Entry& entry = entries_[key];
  if (now - entry.last > rules_.forget_after) entry.failures = 0;
  entry.last = now;
  ++entry.failures;
  const int over = entry.failures - rules_.free_failures;
  if (over <= 0) return;
  const auto pause = std::chrono::seconds(std::int64_t{1} << std::min(over - 1, 20));
  entry.blocked_until = now + std::min<std::chrono::seconds>(pause, rules_.longest);
}

void Throttle::succeeded(const std::string& key) {
  const std::lock_guard lock(mutex_);
  entries_.erase(key);
}

RateLimiter::Verdict RateLimiter::take(std::size_t key, std::chrono::steady_clock::time_point now) {
  if (rules_.per_second <= 0) return {};
  Shard& shard = shards_[key % kShards];
  const std::lock_guard lock(shard.mutex);
  if (shard.buckets.size() > 100'000) shard.buckets.clear();
  // A rate per second is as many millionths per microsecond: exact, however often one asks.
  constexpr std::int64_t kWhole = 1'000'000;
  const std::int64_t full = rules_.burst * kWhole;
  auto [at, fresh] = shard.buckets.try_emplace(key, Bucket{full, now});
  Bucket& bucket = at->second;
  const auto elapsed = std::chrono::duration_cast<std::chrono::microseconds>(now - bucket.last);
  if (elapsed.count() > 0) {
    const std::int64_t useful =
        std::min(elapsed.count(), (full - bucket.millionths) / rules_.per_second + 1);
    bucket.millionths = std::min(bucket.millionths + useful * rules_.per_second, full);
    bucket.last += elapsed;
  }
  Verdict verdict;
  verdict.allowed = bucket.millionths >= kWhole;
  if (verdict.allowed) bucket.millionths -= kWhole;
  verdict.remaining = bucket.millionths / kWhole;
  const auto missing = full - bucket.millionths;
  verdict.reset = std::chrono::seconds((missing / rules_.per_second + kWhole - 1) / kWhole);
  return verdict;
}

}  // namespace berth
