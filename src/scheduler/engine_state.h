// An engine as a value: everything that decides its future answers, in an order that does not
// depend on how it came to be. And the way back: an engine that goes on from there, or that goes
// once more through what somebody wrote down. What was written down may be damaged, so nothing here
// stops the process: it says what is impossible.
#pragma once
#include <span>
#include <vector>

#include "base/result.h"
#include "scheduler/engine.h"

namespace berth {

struct EngineState {
  Rules rules;
  bool paused = false;
  EngineTime now = 0;
  std::vector<Node> nodes;
  std::vector<ActiveEntry> active;  // by id
  std::vector<Queued> waiting;      // high, low, then the same for parked ones; each by order
};

[[nodiscard]] EngineState state_of(const ClusterEngine& engine);
// Errors: internal, reason "impossible".
[[nodiscard]] Result<ClusterEngine> engine_of(EngineState state);

// What the engine decides about these events, as decide() does; without any, as settle() does.
// After an error the engine is of no more use. Errors: internal, reason "impossible".
[[nodiscard]] Result<Decisions> decide_again(ClusterEngine& engine,
                                             std::span<const EngineEvent> events, EngineTime now);
// The same, but does what was decided then instead of deciding: it follows also what another
// version would decide differently.
[[nodiscard]] Result<void> follow(ClusterEngine& engine, std::span<const EngineEvent> events,
                                  const Decisions& decided, EngineTime now);

}  // namespace berth
