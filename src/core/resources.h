// Quantities as exact integers. CPU in millicores, memory in bytes, GPU in thousandths of a device.
// A GPU demand below 1000 is a share of one device; from 1000 on it is a number of whole devices.
#pragma once
#include <compare>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace berth {

inline constexpr std::int64_t kGpuDevice = 1000;  // thousandths in one device

struct Resources {
  std::int64_t cpu_milli = 0;
  std::int64_t memory_bytes = 0;
  std::int64_t gpu_milli = 0;

  friend constexpr bool operator==(const Resources&, const Resources&) = default;
  constexpr Resources& operator+=(const Resources& o) {
    cpu_milli += o.cpu_milli;
    memory_bytes += o.memory_bytes;
    gpu_milli += o.gpu_milli;
    return *this;
  }
  friend constexpr Resources operator+(Resources a, const Resources& b) { return a += b; }
};

// A resource that a quota does not speak of: as much as there is.
inline constexpr std::int64_t kNoQuota = std::numeric_limits<std::int64_t>::max();
inline constexpr Resources kUnlimited{kNoQuota, kNoQuota, kNoQuota};

// Absent when any dimension would go below zero: the caller decides what that means.
[[nodiscard]] constexpr std::optional<Resources> minus(const Resources& from,
                                                       const Resources& take) {
  const Resources out{from.cpu_milli - take.cpu_milli, from.memory_bytes - take.memory_bytes,
                      from.gpu_milli - take.gpu_milli};
  if (out.cpu_milli < 0 || out.memory_bytes < 0 || out.gpu_milli < 0) return std::nullopt;
  return out;
}

// What people write at the edges. All of them refuse signs, blanks, exponents and overflow.
[[nodiscard]] Result<std::int64_t> parse_cpu(std::string_view text);     // "2.5", "500m"
[[nodiscard]] Result<std::int64_t> parse_memory(std::string_view text);  // "16GiB", "512M", "1024"
[[nodiscard]] Result<std::int64_t> parse_gpu(std::string_view text);     // "0.25", "2"

[[nodiscard]] std::string cpu_text(std::int64_t milli);     // "2.5"
[[nodiscard]] std::string memory_text(std::int64_t bytes);  // "16GiB", "1.5GiB", "700B"
[[nodiscard]] std::string gpu_text(std::int64_t milli);     // "0.25"
// "cpu 2, memory 16GiB, gpu 1"; zero dimensions are left out, all zero is "nothing".
[[nodiscard]] std::string resources_text(const Resources& r);
// The same with the zeros of what `mention` asks for: "cpu 0, memory 16GiB".
[[nodiscard]] std::string resources_text(const Resources& r, const Resources& mention);
// Of a limit: zeros are said, and what is not limited is left out; "no limit" when nothing is.
[[nodiscard]] std::string limits_text(const Resources& r);

}  // namespace berth
