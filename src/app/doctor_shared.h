// The doctor of an installation of several processes.
#pragma once
#include "app/config.h"
#include "app/findings.h"
#include "store/store.h"

namespace berth::app {

// Who lives, who decides about what, and whether the queues agree with the database. With `repair`
// the queues that do not are made anew.
Result<void> check_processes(const ServeConfig& config, ReadView& view, bool repair, Findings& out);

}  // namespace berth::app
