// `berth doctor`: what is broken, and what is not fit for production. Reads only, also while a
// server runs on the same data directory.
#pragma once
#include "app/config.h"
#include "cli/client.h"

namespace berth::app {

// Prints the findings. Exit code 0: nothing is broken (there may be warnings); 1: something is.
int doctor(const ServeConfig& config, bool repair, const cli::Global& global);

}  // namespace berth::app
