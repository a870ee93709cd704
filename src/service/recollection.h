// What the decision journal of a cluster tells about the past: states, and what was learnt from it.
#pragma once
#include "scheduler/journal.h"
#include "store/store.h"

namespace berth {

// Lets the replay take the entries from one index to another, both included. False where they end
// before: the cluster is being deleted. Errors: those of reading and of Replay::take.
Result<bool> replay_entries(ReadView& view, const ClusterId& cluster, journal::Replay& replay,
                            std::int64_t from, std::int64_t until);

// What whoever decided before about the cluster had learnt, up to the end of its journal. Nothing
// where nothing was, or where the journal is damaged: forecasts are no reason not to schedule.
// Costs a replay of the entries behind the newest checkpoint.
Result<std::optional<Outlook>> learnt_before(ReadView& view, const ClusterId& cluster);

}  // namespace berth
