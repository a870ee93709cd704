// Deployments as tables.
#pragma once
#include <vector>

#include "cli/output.h"

namespace berth::cli {

// "1 cpu, 64MiB", or "3 x 1 cpu, 64MiB".
[[nodiscard]] std::string needs_of(const Value& d);
[[nodiscard]] Table deployment_table(const std::vector<Value>& items, bool wide);
// How each of several replicas is, where the deployment has them.
[[nodiscard]] bool has_placements(const Value& d);
[[nodiscard]] Table replica_table(const Value& d);

}  // namespace berth::cli
