// Slows guessing down without locking anybody out: some failures are free, then each doubles the
// pause for that key (an account seen from one address, or an address).
#pragma once
#include <array>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

namespace berth {

class Throttle {
 public:
  using Clock = std::chrono::steady_clock;
  struct Rules {
    int free_failures = 5;
    std::chrono::seconds longest{60};
    std::chrono::minutes forget_after{15};
    std::size_t keys = 100'000;
  };
  explicit Throttle(Rules rules) : rules_(rules) {}

  // How long this key still has to wait; nothing when it may try.
  [[nodiscard]] std::optional<std::chrono::seconds> must_wait(const std::string& key,
                                                              Clock::time_point now);
  void failed(const std::string& key, Clock::time_point now);
  void succeeded(const std::string& key);

 private:
  struct Entry {
    int failures = 0;
    Clock::time_point blocked_until;
    Clock::time_point last;
  };
  const Rules rules_;
  std::mutex mutex_;
  std::unordered_map<std::string, Entry> entries_;  // guarded by mutex_
};

// Requests per second and key, as a token bucket. Integer arithmetic in millionths of a request.
class RateLimiter {
 public:
  struct Rules {
    std::int64_t per_second = 0;  // 0: no limit
    std::int64_t burst = 0;
  };
  struct Verdict {
    bool allowed = true;
    std::int64_t remaining = 0;
    std::chrono::seconds reset{0};
  };
  explicit RateLimiter(Rules rules) : rules_(rules) {}
  [[nodiscard]] Verdict take(std::size_t key_hash, std::chrono::steady_clock::time_point now);
  [[nodiscard]] const Rules& rules() const { return rules_; }

 private:
  struct Bucket {
    std::int64_t millionths = 0;
    std::chrono::steady_clock::time_point last;
  };
  static constexpr std::size_t kShards = 16;
  struct Shard {
    std::mutex mutex;
    std::unordered_map<std::size_t, Bucket> buckets;
  };
  const Rules rules_;
  std::array<Shard, kShards> shards_;
};

}  // namespace berth
