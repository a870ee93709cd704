// Amounts with a unit, as they appear on the wire: JSON numbers, or what people write as text.
// Exact: a number that is not a whole multiple of the base unit is refused, never rounded.
#pragma once
#include <chrono>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace berth::json {

struct Cpu {
  std::int64_t milli = 0;  // 2.5, "2.5", "500m"; written as a number of cores
  friend constexpr auto operator<=>(Cpu, Cpu) = default;
};
struct Memory {
  std::int64_t bytes = 0;  // 1073741824, "1GiB"; written as a number of bytes
  friend constexpr auto operator<=>(Memory, Memory) = default;
};
struct Gpu {
  std::int64_t milli = 0;  // 1, 0.25, "0.25"; written as a number of devices
  friend constexpr auto operator<=>(Gpu, Gpu) = default;
};
struct Seconds {
  std::int64_t micros = 0;  // 1.5, "90s", "5m", "250ms", "2h"; written as a number of seconds
  friend constexpr auto operator<=>(Seconds, Seconds) = default;
};

// A decimal number and one of us, ms, s, m, h, d. In microseconds.
[[nodiscard]] Result<std::int64_t> parse_duration(std::string_view text);
// The largest unit that divides it: "90s", "5m", "250ms".
[[nodiscard]] std::string duration_text(std::int64_t micros);

// `value / scale` as a decimal number, exact; scale is a power of ten.
void write_scaled(std::string& out, std::int64_t value, std::int64_t scale);
// value * scale, if that is a whole number and not negative; values up to 10^12.
[[nodiscard]] std::optional<std::int64_t> exact_scaled(double value, std::int64_t scale);

namespace detail {

struct QuantityKind {
  std::int64_t scale;  // base units in the number 1
  std::int64_t most;   // in base units: beyond any real amount, and far from overflow
  std::optional<std::int64_t> (*parse)(std::string_view);
  bool (*accepts)(std::int64_t);
  std::string_view expected;
  std::string_view pattern;
  std::string_view example;
};

extern const QuantityKind cpu_kind, memory_kind, gpu_kind, micros_kind, millis_kind, seconds_kind;

// Specialised with `kind()`, `get` and `set`.
template <class Q>
struct QuantityForm;

template <>
struct QuantityForm<Cpu> {
  static const QuantityKind& kind() { return cpu_kind; }
  static std::int64_t get(Cpu q) { return q.milli; }
  static void set(Cpu& q, std::int64_t v) { q.milli = v; }
};
template <>
struct QuantityForm<Memory> {
  static const QuantityKind& kind() { return memory_kind; }
  static std::int64_t get(Memory q) { return q.bytes; }
  static void set(Memory& q, std::int64_t v) { q.bytes = v; }
};
template <>
struct QuantityForm<Gpu> {
  static const QuantityKind& kind() { return gpu_kind; }
  static std::int64_t get(Gpu q) { return q.milli; }
  static void set(Gpu& q, std::int64_t v) { q.milli = v; }
};
template <>
struct QuantityForm<Seconds> {
  static const QuantityKind& kind() { return micros_kind; }
  static std::int64_t get(Seconds q) { return q.micros; }
  static void set(Seconds& q, std::int64_t v) { q.micros = v; }
};
template <>
struct QuantityForm<std::chrono::microseconds> {
  static const QuantityKind& kind() { return micros_kind; }
  static std::int64_t get(std::chrono::microseconds q) { return q.count(); }
  static void set(std::chrono::microseconds& q, std::int64_t v) {
    q = std::chrono::microseconds(v);
  }
};
template <>
struct QuantityForm<std::chrono::milliseconds> {
  static const QuantityKind& kind() { return millis_kind; }
  static std::int64_t get(std::chrono::milliseconds q) { return q.count(); }
  static void set(std::chrono::milliseconds& q, std::int64_t v) {
    q = std::chrono::milliseconds(v);
  }
};
template <>
struct QuantityForm<std::chrono::seconds> {
  static const QuantityKind& kind() { return seconds_kind; }
  static std::int64_t get(std::chrono::seconds q) { return q.count(); }
  static void set(std::chrono::seconds& q, std::int64_t v) { q = std::chrono::seconds(v); }
};

template <class Q>
concept Quantity = requires { QuantityForm<Q>::kind(); };

}  // namespace detail
}  // namespace berth::json
