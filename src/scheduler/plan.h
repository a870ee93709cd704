// What would happen if: hypothetical commands on a copy of a cluster's engine. Nothing is touched.
#pragma once
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "scheduler/engine.h"

namespace berth {

// --- hypothetical commands -----------------------------------------------------------------------

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

// --- at once -------------------------------------------------------------------------------------

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

// The commands one after the other at the moment `now` (or the engine's, if that is later), each
// with all that follows from it. Positions are compared for the first `limit` of the queue before
// and after.
[[nodiscard]] Plan plan(const ClusterEngine& engine, std::span<const PlanCommand> commands,
                        EngineTime now = 0, std::size_t limit = 1'000);

// --- in time -------------------------------------------------------------------------------------

struct TimedCommand {
  EngineTime after = 0;  // from now on; they come in this order
  PlanCommand command;
};
enum class Happening { starts, ends, displaced, returns };
struct Happened {
  EngineTime at = 0;  // the engine's time
  Happening what = Happening::starts;
  DeploymentId id;
  std::string node;            // where it starts
  DeploymentId for_whom = {};  // displaced
  friend bool operator==(const Happened&, const Happened&) = default;
};
struct StartShift {  // absent: not within the horizon
  DeploymentId id;
  std::optional<EngineTime> before;  // without the commands
  std::optional<EngineTime> after;   // with them
  friend bool operator==(const StartShift&, const StartShift&) = default;
};
struct Foresight {
  std::vector<PlanStep> steps;     // what each command does at its moment
  std::vector<Happened> happened;  // all of it in order, up to the horizon
  std::vector<StartShift> shifts;  // whose first start differs, of those that wait or would
  bool cut = false;                // more would happen than `limit`
};

// The same in time: who has declared how long it runs at most ends just then, all others run on.
[[nodiscard]] Foresight foresee(const ClusterEngine& engine, std::span<const TimedCommand> commands,
                                EngineTime now, EngineTime horizon, std::size_t limit = 10'000);

}  // namespace berth
