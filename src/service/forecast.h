// When those that wait will start at the latest, as far as declared run times tell: the engine
// itself is asked what would start if each running deployment used its time up and nothing new
// came. An estimate: an early end may let a smaller one overtake, and something more urgent may
// come.
#pragma once
#include <map>

#include "scheduler/engine.h"
#include "store/store.h"

namespace berth {

// Those of whom nothing can be said are not in the answer.
[[nodiscard]] Result<std::map<DeploymentId, Timestamp>> latest_starts(ReadView& view,
                                                                      const ClusterEngine& engine,
                                                                      const ClusterId& cluster);

}  // namespace berth
