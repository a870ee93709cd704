// The client commands, added to the program's parser.
#pragma once
#include <functional>

#include "cli/client.h"

namespace CLI {
class App;
}

namespace berth::cli {

// Parsing selects; the caller runs. Commands throw Failure.
using Selected = std::function<int()>;

void add_account_commands(CLI::App& app, Global& global, Selected& selected);
void add_organization_commands(CLI::App& app, Global& global, Selected& selected);
void add_cluster_commands(CLI::App& app, Global& global, Selected& selected);
void add_quota_commands(CLI::App& cluster, Global& global, Selected& selected);
void add_deployment_commands(CLI::App& app, Global& global, Selected& selected);
void add_other_commands(CLI::App& app, Global& global, Selected& selected);
void add_replay_command(CLI::App& app, Global& global, Selected& selected);
void add_simulate_command(CLI::App& app, Global& global, Selected& selected);
void add_plan_command(CLI::App& app, Global& global, Selected& selected);

// Prints a failure for people and answers its exit code.
int report(const Failure& failure);

}  // namespace berth::cli
