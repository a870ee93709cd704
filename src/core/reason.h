// Why a deployment waits: one vocabulary for API, command line and metrics, in order of precedence.
#pragma once
#include "core/names.h"

namespace berth {

enum class Reason {
  held,
  invalid_spec,
  image_unavailable,
  exceeds_cluster,
  exceeds_quota,
  cluster_paused,
  cluster_offline,
  waiting_for_dependency,
  waiting_for_capacity,
  fragmented,
  behind_higher_priority,
  preempting,
  backoff_after_failure,
  pending_evaluation,
};

template <>
struct Names<Reason> {
  static constexpr std::array<std::pair<Reason, std::string_view>, 14> table{
      {{Reason::held, "Held"},
       {Reason::invalid_spec, "InvalidSpec"},
       {Reason::image_unavailable, "ImageUnavailable"},
       {Reason::exceeds_cluster, "ExceedsCluster"},
       {Reason::exceeds_quota, "ExceedsQuota"},
       {Reason::cluster_paused, "ClusterPaused"},
       {Reason::cluster_offline, "ClusterOffline"},
       {Reason::waiting_for_dependency, "WaitingForDependency"},
       {Reason::waiting_for_capacity, "WaitingForCapacity"},
       {Reason::fragmented, "Fragmented"},
       {Reason::behind_higher_priority, "BehindHigherPriority"},
       {Reason::preempting, "Preempting"},
       {Reason::backoff_after_failure, "BackoffAfterFailure"},
       {Reason::pending_evaluation, "PendingEvaluation"}}};
};

// The first ones need somebody to act; the rest only need time.
[[nodiscard]] constexpr bool needs_action(Reason r) { return r <= Reason::exceeds_quota; }

}  // namespace berth
