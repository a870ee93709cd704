// How much free GPU capacity a typical deployment could not use, and the placement that makes it
// grow least: fragmentation gradient descent (Weng, Yang et al., "Beware of Fragmentation",
// USENIX ATC 2023), in integers.
//
// For one kind of demand, free GPU capacity of a node is unusable where the node cannot hold the
// demand at all, and else on each device whose free part is smaller than what the demand takes of a
// device. The mean over the kinds, weighted by how often each is asked for, is the node's
// fragmentation. A small second term, which is not in the paper, counts in the same way how much
// several of a kind could use together before CPU or memory ends.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "core/resources.h"

namespace berth {

struct TaskMix {
  struct Kind {
    Resources demand;
    std::int64_t weight = 1;
    friend bool operator==(const Kind&, const Kind&) = default;
  };
  std::vector<Kind> kinds;  // the frequent ones suffice

  // The commonest demands that together make up `percent` of the list, the most frequent first.
  [[nodiscard]] static TaskMix of(std::span<const Resources> demands, int percent = 100);
  friend bool operator==(const TaskMix&, const TaskMix&) = default;
};

// The measure of the paper alone, for reports: thousandths of devices that are free on the node and
// that a demand of the mix cannot use on average.
[[nodiscard]] double unusable_gpu(const TaskMix& mix, const Resources& free,
                                  std::span<const std::int32_t> devices);

// In proportion to thousandths of devices; larger is worse.
[[nodiscard]] std::int64_t fragmentation(const TaskMix& mix, const Resources& free,
                                         std::span<const std::int32_t> devices);

// The growth of fragmentation if `demand`, which fits, is placed, and for a share the free part of
// the device that it should take; the smallest growth, then the smallest such part.
struct Fragmenting {
  std::int64_t growth = 0;
  std::int32_t share_of = 0;
};
[[nodiscard]] Fragmenting least_fragmenting(const TaskMix& mix, const Resources& demand,
                                            const Resources& free,
                                            std::span<const std::int32_t> devices);

}  // namespace berth
