// What a policy adds to the strict rules. Each is a pure function of the state and the time, in a
// file of its own; engine.cc says when it is asked.
#pragma once
#include <optional>
#include <vector>

#include "scheduler/engine_impl.h"

namespace berth::policies {

// preempt.cc: who has to go so that this waiting high deployment can start: the fewest low ones, of
// equally many the youngest; nobody, where those that leave anyway suffice. For one replica they
// are all on one node. Empty when there is no such set.
using Victims = std::vector<DeploymentId>;
[[nodiscard]] std::optional<Victims> choose_victims(const ClusterEngine::Impl& state,
                                                    const Shape& shape);

// backfill.cc: whether a low deployment that runs until `end` at most at these places delays none
// of the waiting high ones, by the declared run times of what runs.
[[nodiscard]] bool delays_nobody(const ClusterEngine::Impl& state, const Places& places,
                                 const Resources& demand, EngineTime now, EngineTime end);
// When the demand could start by the declared run times; absent when they do not say.
[[nodiscard]] std::optional<EngineTime> earliest_start(const ClusterEngine::Impl& state,
                                                       const Shape& shape, EngineTime now,
                                                       const ActiveEntry* also_running);

// quota.cc: the most that one deployment may ask for, per resource: what is left of the tenant's
// own quota, or what it may borrow of what all tenants together leave unused.
[[nodiscard]] Resources headroom(const Quota& quota, const Resources& used,
                                 const Resources& unused_nominal);
// Whether the start of such a low one takes away no quota that a waiting high one needs.
[[nodiscard]] bool leaves_quota_for_high(const ClusterEngine::Impl& state, const Shape& shape);

// fair_share.cc: the largest part that is used of any resource, in millionths: of the nominal
// quota, or of the capacity where there is no quota.
[[nodiscard]] std::uint64_t dominant_share(const Resources& used, const std::optional<Quota>& quota,
                                           const Resources& capacity);

// age_bound.cc: the waiting deployment that must not be overtaken any more, if there is one: the
// first of its queue, and of two queues the one that has waited longer.
[[nodiscard]] std::optional<WaitingQueues::Slot> overdue(const ClusterEngine::Impl& state,
                                                         EngineTime now);

}  // namespace berth::policies
