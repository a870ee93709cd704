// Traces of real clusters: openb (pods and nodes) and Philly slices, told apart by their header
// line, and the Standard Workload Format (.swf).
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "core/cluster.h"
#include "core/constraint.h"
#include "core/deployment.h"

namespace berth::cli {

struct TraceJob {
  std::string name;
  Resources demand;
  Priority priority = Priority::low;
  double submit_s = 0;  // from the first submission on
  double duration_s = 0;
  std::optional<double> limit_s;  // the run time that was asked for
  std::size_t line = 0;           // in the file, from 0 on
  Constraint constraint = {};
  std::string tenant = {};  // openb and .swf: empty; Philly: the virtual cluster, where it says so
};

[[nodiscard]] Result<std::vector<TraceJob>> read_trace(const std::string& file);
// Several traces at the same time, each beginning at 0; its name becomes part of its tenants'
// names.
[[nodiscard]] Result<std::vector<TraceJob>> read_traces(const std::vector<std::string>& files);
[[nodiscard]] Result<std::vector<Node>> read_nodes(const std::string& file);
// The nodes to run a trace on: those of the file, or for openb those beside the trace, as many as
// have `gpus` devices together (0: all); for .swf one machine with all its processors; else
// machines of eight.
[[nodiscard]] Result<std::vector<Node>> nodes_for_trace(const std::string& trace,
                                                        const std::string& nodes,
                                                        std::int64_t gpus);

}  // namespace berth::cli
