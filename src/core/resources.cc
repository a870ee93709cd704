#include "core/resources.h"

#include <fmt/format.h>

#include <array>
#include <limits>

namespace berth {
namespace {

// A decimal number without sign or exponent, scaled by `unit`; refuses what is not exact.
std::optional<std::int64_t> scaled(std::string_view text, std::int64_t unit) {
  if (text.empty() || text.size() > 24) return std::nullopt;
  constexpr auto kMax = std::numeric_limits<std::int64_t>::max();
  std::int64_t whole = 0;
  std::size_t at = 0;
  for (; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at) {
    const int digit = text[at] - '0';
    if (whole > (kMax - digit) / 10) return std::nullopt;
    whole = whole * 10 + digit;
  }
  if (at == 0) return std::nullopt;
  if (whole > kMax / unit) return std::nullopt;
  std::int64_t out = whole * unit;
  if (at == text.size()) return out;
  if (text[at] != '.' || at + 1 == text.size()) return std::nullopt;
  // Fraction digits: value = digits * unit / 10^n must be a whole number.
  std::int64_t numerator = 0, denominator = 1;
  for (++at; at < text.size(); ++at) {
    if (text[at] < '0' || text[at] > '9' || denominator > 1'000'000'000) return std::nullopt;
    numerator = numerator * 10 + (text[at] - '0');
    denominator *= 10;
  }
  const auto product = static_cast<__int128>(numerator) * unit;
  if (product % denominator != 0) return std::nullopt;
  const auto extra = static_cast<std::int64_t>(product / denominator);
  if (out > kMax - extra) return std::nullopt;
  return out + extra;
}

struct MemoryUnit {
  std::string_view suffix;
  std::int64_t bytes;
};
constexpr std::int64_t kKi = 1024;
constexpr std::array<MemoryUnit, 17> kMemoryUnits{{{"KiB", kKi},
                                                   {"MiB", kKi* kKi},
                                                   {"GiB", kKi* kKi* kKi},
                                                   {"TiB", kKi* kKi* kKi* kKi},
                                                   {"Ki", kKi},
                                                   {"Mi", kKi* kKi},
                                                   {"Gi", kKi* kKi* kKi},
                                                   {"Ti", kKi* kKi* kKi* kKi},
                                                   {"kB", 1000},
                                                   {"MB", 1'000'000},
                                                   {"GB", 1'000'000'000},
                                                   {"TB", 1'000'000'000'000},
                                                   {"k", 1000},
                                                   {"M", 1'000'000},
                                                   {"G", 1'000'000'000},
                                                   {"T", 1'000'000'000'000},
                                                   {"B", 1}}};

std::string milli_text(std::int64_t milli) {
  std::string out = std::to_string(milli / 1000);
  if (milli % 1000 != 0) {
    out += fmt::format(".{:03}", milli % 1000);
    while (out.back() == '0') out.pop_back();
  }
  return out;
}

}  // namespace

Result<std::int64_t> parse_cpu(std::string_view text) {
  const bool milli = text.ends_with('m');
  const auto value = milli ? scaled(text.substr(0, text.size() - 1), 1) : scaled(text, 1000);
  if (value) return *value;
  return fail_field(
      "", "invalid_quantity",
      "CPU is a number of cores such as 2, 0.5 or \"500m\" (thousandths at the finest).");
}

Result<std::int64_t> parse_memory(std::string_view text) {
  for (const auto& unit : kMemoryUnits) {
    if (!text.ends_with(unit.suffix)) continue;
    if (const auto value = scaled(text.substr(0, text.size() - unit.suffix.size()), unit.bytes)) {
      return *value;
    }
    break;
  }
  if (const auto value = scaled(text, 1)) return *value;
  return fail_field(
      "", "invalid_quantity",
      "Memory is a number of bytes or a quantity such as \"512MiB\", \"16GiB\" or \"2GB\".");
}

Result<std::int64_t> parse_gpu(std::string_view text) {
  const auto value = scaled(text, kGpuDevice);
  if (value && (*value <= kGpuDevice || *value % kGpuDevice == 0)) return *value;
  return fail_field("", "invalid_quantity",
                    "GPU is a whole number of devices, or a share of one device such as 0.25.");
}

std::string cpu_text(std::int64_t milli) { return milli_text(milli); }
std::string gpu_text(std::int64_t milli) { return milli_text(milli); }

std::string memory_text(std::int64_t bytes) {
  for (const auto& unit : {kMemoryUnits[3], kMemoryUnits[2], kMemoryUnits[1], kMemoryUnits[0]}) {
    if (bytes >= unit.bytes) {
      std::string number =
          fmt::format("{:.2f}", static_cast<double>(bytes) / static_cast<double>(unit.bytes));
      while (number.ends_with('0')) number.pop_back();
      if (number.ends_with('.')) number.pop_back();
      return number + std::string(unit.suffix);
    }
  }
  return fmt::format("{}B", bytes);
}

std::string resources_text(const Resources& r) { return resources_text(r, {}); }

std::string resources_text(const Resources& r, const Resources& mention) {
  std::string out;
  const auto add = [&](std::string_view name, const std::string& amount) {
    if (!out.empty()) out += ", ";
    out += fmt::format("{} {}", name, amount);
  };
  if (r.cpu_milli != 0 || mention.cpu_milli != 0) add("cpu", cpu_text(r.cpu_milli));
  if (r.memory_bytes != 0 || mention.memory_bytes != 0) add("memory", memory_text(r.memory_bytes));
  if (r.gpu_milli != 0 || mention.gpu_milli != 0) add("gpu", gpu_text(r.gpu_milli));
  return out.empty() ? "nothing" : out;
}

std::string limits_text(const Resources& r) {
  std::string out;
  const auto add = [&](std::string_view name, std::int64_t amount, auto* text) {
    if (amount == kNoQuota) return;
    out += fmt::format("{}{} {}", out.empty() ? "" : ", ", name, text(amount));
  };
  add("cpu", r.cpu_milli, cpu_text);
  add("memory", r.memory_bytes, memory_text);
  add("gpu", r.gpu_milli, gpu_text);
  return out.empty() ? "no limit" : out;
}

}  // namespace berth
