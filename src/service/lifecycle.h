// How an observed fact changes a deployment: the only place where runtime news meet the transition
// table. Each function is one unit of work (or part of one) and is safe to repeat.
#pragma once
#include "runtime/runtime.h"
#include "service/scheduling.h"

namespace berth {

struct LifecycleContext {
  Dispatch& dispatch;
  Scheduling::Changed changed;  // after the commit
};

// News about one attempt. Stale news (another attempt, a terminal deployment) change nothing.
Result<void> apply_observation(Change& change, const LifecycleContext& context,
                               const Observation& seen);
// The runtime refused to start it, and repeating would not help.
Result<void> apply_start_failure(Change& change, const LifecycleContext& context,
                                 const AttemptKey& attempt, const std::string& why);
// Nothing of a stopping attempt runs any more.
Result<void> apply_gone(Change& change, const LifecycleContext& context, const AttemptKey& attempt);
// A person asks: queued ones are cancelled, active ones are stopping. `nothing_to_do` when terminal
// or stopping already.
Result<void> apply_stop(Change& change, const LifecycleContext& context, const Actor& actor,
                        Deployment& d);
// The pause after a failure is over.
Result<void> apply_wake(Change& change, const LifecycleContext& context, const DeploymentId& id);
// Told to people while the runtime cannot be reached; empty when it can again.
Result<void> apply_note(Change& change, const LifecycleContext& context, const DeploymentId& id,
                        const std::string& message);

}  // namespace berth
