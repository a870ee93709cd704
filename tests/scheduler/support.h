// Short ways to write down deployments and nodes.
#pragma once
#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "scheduler/engine.h"

namespace berth {

// How many of so many random histories are run: fewer under a sanitizer, which is ten times as slow
// and looks for other faults.
constexpr std::size_t some_of(std::size_t histories) {
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
  return (histories + 7) / 8;
#else
  return (histories + 1) / 2;
#endif
}

inline constexpr std::int64_t kGiB = std::int64_t{1} << 30;

inline DeploymentId dep(std::uint64_t number) {
  IdBytes bytes{};
  for (std::size_t i = 0; i < 8; ++i) bytes[15 - i] = static_cast<std::uint8_t>(number >> (8 * i));
  return DeploymentId(bytes);
}
inline std::uint64_t number_of(const DeploymentId& id) {
  std::uint64_t out = 0;
  for (std::size_t i = 8; i < 16; ++i) out = out << 8 | id.bytes()[i];
  return out;
}

// cpu in cores, memory in GiB, GPUs in thousandths.
inline Resources res(std::int64_t cpu, std::int64_t memory = 0, std::int64_t gpu_milli = 0) {
  return {cpu * 1000, memory * kGiB, gpu_milli};
}
inline Node machine(std::string name, std::int64_t cpu, std::int64_t memory,
                    std::int64_t gpus = 0) {
  return {std::move(name), res(cpu, memory, gpus * kGpuDevice), {}};
}
inline Queued queued(std::uint64_t number, Priority priority, Resources demand) {
  return {dep(number), priority, number, demand, false};
}

inline std::vector<std::uint64_t> numbers(const std::vector<Start>& starts) {
  std::vector<std::uint64_t> out;
  for (const Start& start : starts) out.push_back(number_of(start.id));
  return out;
}
using Numbers = std::vector<std::uint64_t>;

}  // namespace berth
