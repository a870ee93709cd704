// Clusters and their nodes.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "core/ids.h"
#include "core/names.h"
#include "core/resources.h"

namespace berth {

enum class RuntimeKind { process, simulated, docker, slurm, kubernetes };
template <>
struct Names<RuntimeKind> {
  static constexpr std::array<std::pair<RuntimeKind, std::string_view>, 5> table{
      {{RuntimeKind::process, "process"},
       {RuntimeKind::simulated, "simulated"},
       {RuntimeKind::docker, "docker"},
       {RuntimeKind::slurm, "slurm"},
       {RuntimeKind::kubernetes, "kubernetes"}}};
};

// What a cluster does beyond the plain rules, which `strict` is.
enum class Policy { strict, backfill, preempt, backfill_preempt };
template <>
struct Names<Policy> {
  static constexpr std::array<std::pair<Policy, std::string_view>, 4> table{
      {{Policy::strict, "strict"},
       {Policy::backfill, "backfill"},
       {Policy::preempt, "preempt"},
       {Policy::backfill_preempt, "backfill+preempt"}}};
};
[[nodiscard]] constexpr bool backfills(Policy p) {
  return p == Policy::backfill || p == Policy::backfill_preempt;
}
[[nodiscard]] constexpr bool preempts(Policy p) {
  return p == Policy::preempt || p == Policy::backfill_preempt;
}

// Which of the nodes with room a deployment gets.
enum class PlacementRule { best_fit, fgd };
template <>
struct Names<PlacementRule> {
  static constexpr std::array<std::pair<PlacementRule, std::string_view>, 2> table{
      {{PlacementRule::best_fit, "best_fit"}, {PlacementRule::fgd, "fgd"}}};
};

// How often a demand is asked for, against others.
struct DemandShare {
  Resources demand;
  std::int64_t weight = 1;
  friend bool operator==(const DemandShare&, const DemandShare&) = default;
};

// A machine of a cluster. capacity.gpu_milli is a whole number of devices, numbered from 0.
struct Node {
  std::string name;
  Resources capacity;
  std::string gpu_model;
  std::map<std::string, std::string> labels = {};
  friend bool operator==(const Node&, const Node&) = default;
  [[nodiscard]] std::int32_t devices() const {
    return static_cast<std::int32_t>(capacity.gpu_milli / kGpuDevice);
  }
};

}  // namespace berth
