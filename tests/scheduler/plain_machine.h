// One node in the plainest way: what is free on it, and what fits. Shares no code with the engine.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include "scheduler/engine.h"

namespace berth::plain {

struct Machine {
  Node node;
  std::int64_t cpu = 0;
  std::int64_t memory = 0;
  std::vector<std::int64_t> devices;
};

inline Machine fresh(Node node) {
  Machine out{node, node.capacity.cpu_milli, node.capacity.memory_bytes, {}};
  out.devices.assign(static_cast<std::size_t>(node.devices()), 1000);
  return out;
}

inline std::int64_t whole_devices(const Machine& m) {
  return std::count(m.devices.begin(), m.devices.end(), 1000);
}

inline bool holds(const Machine& m, const Resources& d) {
  if (m.cpu < d.cpu_milli || m.memory < d.memory_bytes) return false;
  if (d.gpu_milli == 0) return true;
  if (d.gpu_milli >= 1000) return whole_devices(m) * 1000 >= d.gpu_milli;
  return std::any_of(m.devices.begin(), m.devices.end(),
                     [&](std::int64_t free) { return free >= d.gpu_milli; });
}

// So many of them fit there side by side.
inline std::uint32_t copies(Machine m, const Resources& d) {
  std::uint32_t out = 0;
  for (; out < 100 && holds(m, d); ++out) {
    m.cpu -= d.cpu_milli;
    m.memory -= d.memory_bytes;
    for (std::int64_t left = d.gpu_milli, i = 0; left > 0; ++i) {
      auto& device = m.devices[static_cast<std::size_t>(i)];
      const std::int64_t part = std::min<std::int64_t>(left, 1000);
      if (device < part) continue;
      device -= part;
      left -= part;
    }
  }
  return out;
}

inline void take(Machine& m, const Resources& d, const Placement& place, std::int64_t sign = 1) {
  m.cpu -= sign * d.cpu_milli;
  m.memory -= sign * d.memory_bytes;
  for (const GpuShare& share : place.gpus) {
    m.devices[static_cast<std::size_t>(share.device)] -= sign * share.milli;
  }
}

inline std::int64_t gpu_free(const Machine& m) {
  std::int64_t sum = 0;
  for (const std::int64_t free : m.devices) sum += free;
  return sum;
}

// GPU capacity of the node that a demand of the kind could not use, and with a twentieth of the
// weight what several of them could not use.
inline std::int64_t unusable(const Machine& m, const Resources& kind) {
  const std::int64_t all = gpu_free(m);
  if (!holds(m, kind) || kind.gpu_milli == 0) return 21 * all;
  std::int64_t usable = 0;
  for (const std::int64_t free : m.devices) {
    if (free >= std::min<std::int64_t>(kind.gpu_milli, 1000)) usable += free;
  }
  std::int64_t several = usable;
  std::int64_t copies = 0;
  for (std::int64_t cpu = m.cpu, memory = m.memory;
       cpu >= kind.cpu_milli && memory >= kind.memory_bytes && copies * kind.gpu_milli < usable;
       cpu -= kind.cpu_milli, memory -= kind.memory_bytes) {
    ++copies;
  }
  several = std::min(usable, copies * kind.gpu_milli);
  return 20 * (all - usable) + (all - several);
}

}  // namespace berth::plain
