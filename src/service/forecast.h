// When those that wait will start, as far as declared run times and the recent past tell: see
// scheduler/forecast.h. What the past tells of one cluster is learnt from the decisions of this
// process and forgotten with it.
#pragma once
#include <map>
#include <optional>
#include <span>

#include "scheduler/forecast.h"

namespace berth {

class Outlook {
 public:
  // Before the engine decides about the events, and what it then decided.
  void before(const ClusterEngine& engine, std::span<const EngineEvent> events, EngineTime now);
  void after(const Decisions& decided, EngineTime now);

  // Of the first of each queue, or of one wherever it stands; what is told is held against what
  // comes. Those of whom nothing can be said are not in the answer.
  [[nodiscard]] std::map<DeploymentId, StartForecast> ask(const ClusterEngine& engine,
                                                          EngineTime now,
                                                          std::optional<DeploymentId> only = {});

 private:
  RecentRate recent_;
  Promises promises_;
};

}  // namespace berth
