// Wall-clock time as exact integers, and the clock as a parameter. Deadlines inside the process use
// std::chrono::steady_clock; what is stored or shown uses Timestamp.
#pragma once
#include <chrono>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace berth {

// Microseconds since the Unix epoch, UTC.
struct Timestamp {
  std::int64_t micros = 0;
  friend constexpr auto operator<=>(Timestamp, Timestamp) = default;
  [[nodiscard]] constexpr Timestamp plus(std::chrono::microseconds d) const {
    return {micros + d.count()};
  }
  [[nodiscard]] constexpr std::chrono::microseconds since(Timestamp earlier) const {
    return std::chrono::microseconds(micros - earlier.micros);
  }
};

// RFC 3339 in UTC with microseconds, for example 2026-01-02T03:04:05.678901Z.
[[nodiscard]] std::string to_rfc3339(Timestamp t);
[[nodiscard]] std::optional<Timestamp> from_rfc3339(std::string_view text);
// "340ms", "12s", "5m 03s", "2h 10m", "3d 4h": for people.
[[nodiscard]] std::string humane(std::chrono::microseconds d);

class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual Timestamp now() const = 0;
};

class SystemClock final : public Clock {
 public:
  [[nodiscard]] Timestamp now() const override;
};

// Deadlines inside the process, as a parameter.
class SteadyTime {
 public:
  using Point = std::chrono::steady_clock::time_point;
  virtual ~SteadyTime() = default;
  [[nodiscard]] virtual Point now() const { return std::chrono::steady_clock::now(); }
};
inline const SteadyTime kSteadyTime;  // the machine's

// A clock that stands still until told otherwise.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(Timestamp start = {1'700'000'000'000'000}) : now_(start) {}
  [[nodiscard]] Timestamp now() const override { return now_; }
  void advance(std::chrono::microseconds d) { now_ = now_.plus(d); }

 private:
  Timestamp now_;
};

}  // namespace berth
