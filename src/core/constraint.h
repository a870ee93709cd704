// On which nodes a deployment may run.
#pragma once
#include <compare>
#include <map>
#include <string>
#include <string_view>

#include "core/cluster.h"

namespace berth {

struct Constraint {
  std::string gpu_model;                           // alternatives, separated by '|'; empty: any
  std::map<std::string, std::string> labels = {};  // each must be equal on the node

  [[nodiscard]] bool empty() const { return gpu_model.empty() && labels.empty(); }
  friend bool operator==(const Constraint&, const Constraint&) = default;
  friend auto operator<=>(const Constraint&, const Constraint&) = default;
};

// Whether one of the alternatives is the model or stands in it as whole words, in either case: A100
// names "NVIDIA A100-SXM4-80GB", but not "A1000". A word is a run of letters and digits.
[[nodiscard]] bool names_gpu_model(std::string_view alternatives, std::string_view model);

[[nodiscard]] bool allows(const Constraint& constraint, const Node& node);

}  // namespace berth
