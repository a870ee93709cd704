// What would happen if: hypothetical commands on a copy of a cluster's engine. Nothing is touched.
#pragma once
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "scheduler/engine.h"

namespace berth {

// --- hypothetical commands
// ------------------------------------------------------------------------

struct PlanSubmit {
  DeploymentId id;  // a new one
  Priority priority = Priority::low;
  Resources demand;
  EngineTime max_run = 0;
  Constraint constraint = {};
  std::uint32_t replicas = 1;
  std::uint32_t tenant = 0;
};
struct PlanStop {  // ends at once, or leaves the queue
  DeploymentId id;
};
struct PlanPriority {
  DeploymentId id;
  Priority priority = Priority::low;
};
struct PlanResize {
  std::vector<Node> nodes;
};
struct PlanLoseNode {  // what runs there goes back to its queue, at its place
  std::string node;
};
using PlanCommand = std::variant<PlanSubmit, PlanStop, PlanPriority, PlanResize, PlanLoseNode>;

// --- the answer
// -------------------------------------------------------------------------------------

struct PlanStart {
  DeploymentId id;
  std::string node;
  std::vector<std::string> more = {};  // the nodes of the other replicas
  friend bool operator==(const PlanStart&, const PlanStart&) = default;
};
struct PlanMove {  // position in the queue; 0: it does not wait
  DeploymentId id;
  std::size_t before = 0;
  std::size_t after = 0;
  friend bool operator==(const PlanMove&, const PlanMove&) = default;
};
struct PlanStep {  // of one command
  std::vector<PlanStart> starts;
  std::vector<Evict> evictions;       // these leave at once in a plan
  std::vector<DeploymentId> returns;  // to the queue, because their node is lost
  std::string refused;                // why the command changes nothing; empty: it was done
  friend bool operator==(const PlanStep&, const PlanStep&) = default;
};
struct Plan {
  std::vector<PlanStep> steps;  // one for each command
  std::vector<PlanMove> moves;  // whose position differs at the end, of the first `limit`
};

// The commands one after the other, each with all that follows from it. Positions are compared for
// the first `limit` of the queue before and after.
[[nodiscard]] Plan plan(const ClusterEngine& engine, std::span<const PlanCommand> commands,
                        std::size_t limit = 1'000);

}  // namespace berth
