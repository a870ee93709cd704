// Commands for whoever operates a server: serve, admin, doctor. They work on the data directory.
#pragma once
#include "cli/commands.h"

namespace berth::app {

void add_operator_commands(CLI::App& app, cli::Global& global, cli::Selected& selected);

}  // namespace berth::app
