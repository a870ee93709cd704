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
    std::erase_if(entries_, [&](const auto& e) { return now - e.second.last > rules_.forget_after; });
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
  auto [at, fresh] = shard.buckets.try_emplace(key, Bucket{rules_.burst * 1000, now});
  Bucket& bucket = at->second;
  const auto elapsed = std::chrono::duration_cast<std::chrono::microseconds>(now - bucket.last).count();
  const auto gained = elapsed * rules_.per_second / 1000;
  if (gained > 0) {
    bucket.milli = std::min(bucket.milli + gained, rules_.burst * 1000);
    bucket.last = now;
  }
  Verdict verdict;
  verdict.allowed = bucket.milli >= 1000;
  if (verdict.allowed) bucket.milli -= 1000;
  verdict.remaining = bucket.milli / 1000;
  const auto missing = rules_.burst * 1000 - bucket.milli;
  verdict.reset = std::chrono::seconds((missing / rules_.per_second + 999) / 1000);
  return verdict;
}

}  // namespace berth
