#include "json/quantity.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>

#include "core/resources.h"

namespace berth::json {
namespace {

struct Unit {
  std::string_view suffix;
  std::int64_t micros;
};
constexpr std::array<Unit, 6> kUnits{{{"d", 86'400'000'000},
                                      {"h", 3'600'000'000},
                                      {"m", 60'000'000},
                                      {"s", 1'000'000},
                                      {"ms", 1000},
                                      {"us", 1}}};
constexpr std::int64_t kMost = 1'000'000'000'000;  // cores, devices, seconds

// A decimal number without sign or exponent, times `unit`; absent unless that is a whole number.
std::optional<std::int64_t> scaled_decimal(std::string_view text, std::int64_t unit) {
  if (text.size() > 24) return std::nullopt;  // so that 128 bits always suffice
  __int128 numerator = 0, denominator = 1;
  bool fraction = false, digit = false;
  for (const char c : text) {
    if (c >= '0' && c <= '9') {
      numerator = numerator * 10 + (c - '0');
      if (fraction) denominator *= 10;
      digit = true;
    } else if (c == '.' && digit && !fraction) {
      fraction = true;
      digit = false;
    } else {
      return std::nullopt;
    }
  }
  numerator *= unit;
  if (!digit || numerator % denominator != 0 || numerator / denominator > kMost * 1'000'000) {
    return std::nullopt;
  }
  return static_cast<std::int64_t>(numerator / denominator);
}

std::optional<std::int64_t> value_of(const Result<std::int64_t>& r) {
  return r ? std::optional(*r) : std::nullopt;
}

template <std::int64_t UnitMicros>
std::optional<std::int64_t> duration_in(std::string_view text) {
  const auto micros = parse_duration(text);
  if (!micros || *micros % UnitMicros != 0) return std::nullopt;
  return *micros / UnitMicros;
}

bool any(std::int64_t) { return true; }
// The rule itself lives with parse_gpu.
bool gpu_amount(std::int64_t milli) { return parse_gpu(gpu_text(milli)).has_value(); }

constexpr std::string_view kDurationPattern = "^[0-9]+(\\.[0-9]+)?(us|ms|s|m|h|d)$";
constexpr std::string_view kDurationExpected =
    "a number of seconds, or text such as \"90s\", \"5m\", \"250ms\" or \"2h\"";

}  // namespace

Result<std::int64_t> parse_duration(std::string_view text) {
  const std::size_t digits = text.find_first_not_of("0123456789.");
  if (digits != std::string_view::npos) {
    for (const Unit& unit : kUnits) {
      if (text.substr(digits) != unit.suffix) continue;
      if (const auto micros = scaled_decimal(text.substr(0, digits), unit.micros)) return *micros;
    }
  }
  return fail_field(
      "", "invalid_quantity",
      "A duration is a number and a unit, such as \"90s\", \"5m\", \"250ms\" or \"2h\".");
}

std::string duration_text(std::int64_t micros) {
  if (micros == 0) return "0s";
  for (const Unit& unit : kUnits) {
    if (micros % unit.micros == 0) return fmt::format("{}{}", micros / unit.micros, unit.suffix);
  }
  return fmt::format("{}us", micros);
}

void write_scaled(std::string& out, std::int64_t value, std::int64_t scale) {
  char buffer[40];
  char* end = buffer;
  if (value < 0 && value / scale == 0) *end++ = '-';
  end = std::to_chars(end, buffer + sizeof buffer, value / scale).ptr;
  std::int64_t rest = std::abs(value % scale);
  if (rest != 0) {
    *end++ = '.';
    for (std::int64_t unit = scale / 10; rest != 0; rest %= unit, unit /= 10) {
      *end++ = static_cast<char>('0' + rest / unit);
      if (unit == 1) break;
    }
  }
  out.append(buffer, end);
}

std::optional<std::int64_t> exact_scaled(double value, std::int64_t scale) {
  if (!(value >= 0 && value <= 1e12)) return std::nullopt;
  const double factor = static_cast<double>(scale);
  const double nearest = std::round(value * factor);
  // Division rounds correctly, so this holds exactly for the doubles nearest to n/scale.
  if (nearest / factor != value) return std::nullopt;
  return static_cast<std::int64_t>(nearest);
}

namespace detail {

constinit const QuantityKind cpu_kind{
    1000,
    kMost * 1000,
    [](std::string_view t) { return value_of(parse_cpu(t)); },
    any,
    "a number of cores such as 2, 0.5 or \"500m\" (thousandths at the finest)",
    "^([0-9]+(\\.[0-9]{1,3}0*)?|[0-9]+m)$",
    "500m"};
constinit const QuantityKind memory_kind{
    1,
    INT64_MAX,
    [](std::string_view t) { return value_of(parse_memory(t)); },
    any,
    "a number of bytes, or text such as \"512MiB\", \"16GiB\" or \"2GB\"",
    "^[0-9]+(\\.[0-9]+)?([KMGT]iB?|[kMGT]B?|B)?$",
    "16GiB"};
constinit const QuantityKind gpu_kind{
    1000,
    kMost * 1000,
    [](std::string_view t) { return value_of(parse_gpu(t)); },
    gpu_amount,
    "a whole number of devices, or a share of one device such as 0.25",
    "^[0-9]+(\\.[0-9]{1,3}0*)?$",
    "0.25"};
constinit const QuantityKind micros_kind{1'000'000,         kMost * 1'000'000, duration_in<1>, any,
                                         kDurationExpected, kDurationPattern,  "90s"};
constinit const QuantityKind millis_kind{
    1000, kMost * 1000, duration_in<1000>, any, kDurationExpected, kDurationPattern, "90s"};
constinit const QuantityKind seconds_kind{
    1, kMost, duration_in<1'000'000>, any, kDurationExpected, kDurationPattern, "90s"};

}  // namespace detail
}  // namespace berth::json
