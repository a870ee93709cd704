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

enum class Policy { strict };
template <>
struct Names<Policy> {
  static constexpr std::array<std::pair<Policy, std::string_view>, 1> table{
      {{Policy::strict, "strict"}}};
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
