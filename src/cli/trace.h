// Traces of real clusters: openb (pods and nodes) and Philly slices, told apart by their header
// line.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "core/cluster.h"
#include "core/deployment.h"

namespace berth::cli {

struct TraceJob {
  std::string name;
  Resources demand;
  Priority priority = Priority::low;
  double submit_s = 0;  // from the first submission on
  double duration_s = 0;
  std::size_t line = 0;  // in the file, from 0 on
};

[[nodiscard]] Result<std::vector<TraceJob>> read_trace(const std::string& file);
[[nodiscard]] Result<std::vector<Node>> read_nodes(const std::string& file);

}  // namespace berth::cli
