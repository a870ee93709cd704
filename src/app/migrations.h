// `berth admin migrate` and `berth admin move`.
#pragma once
#include <string>

#include "app/config.h"
#include "cli/client.h"

namespace berth::app {

// Each answers the exit code.
int show_migrations(const ServeConfig& config, const cli::Global& global);
int apply_migrations(const ServeConfig& config, const cli::Global& global);
// From the file of `config` to the PostgreSQL of `target`. Refused while a server uses the file.
int move_installation(const ServeConfig& config, const std::string& target,
                      const cli::Global& global);

}  // namespace berth::app
