// berth: server and command line in one binary.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "app/operator_commands.h"
#include "cli/commands.h"
#include "cli/exit_code.h"

namespace {

using berth::cli::Global;
using berth::cli::Selected;

void add_global_flags(CLI::App& app, Global& global) {
  app.add_option("--context", global.context,
                 "Which server and login to use ('berth context list')")
      ->envname("BERTH_CONTEXT");
  app.add_option("--server", global.server, "URL of the server")->envname("BERTH_SERVER");
  app.add_option("-o,--output", global.output, "table, wide, json, yaml, name or csv")
      ->check(CLI::IsMember({"table", "wide", "json", "yaml", "name", "csv"}))
      ->capture_default_str();
  app.add_flag("-q,--quiet", global.quiet, "No hints and no progress");
  app.add_flag("--no-color", global.no_color, "Never any colour");
  app.set_version_flag("--version", std::string("berth ") + BERTH_VERSION);
}

// Usage errors are exit code 2; help and version are 0.
int parse_error(const CLI::App& app, const CLI::ParseError& e) {
  if (e.get_exit_code() == 0) return app.exit(e);
  fmt::print(stderr, "berth: {}\n", e.what());
  const auto used = app.get_subcommands();
  std::string path;
  for (const CLI::App* at = &app; !at->get_subcommands().empty();) {
    at = at->get_subcommands().front();
    path += " " + at->get_name();
  }
  fmt::print(stderr, "Help: berth{} --help\n", path);
  return berth::cli::kUsage;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{
      "Runs machine-learning deployments on your clusters: the most urgent first, never more than "
      "fits, and says why each of the others waits."};
  app.name("berth");
  app.require_subcommand(1);
  app.fallthrough();  // global flags also behind the command
  app.footer(berth::cli::kExitHelp);
  Global global;
  Selected selected;
  add_global_flags(app, global);
  berth::app::add_operator_commands(app, global, selected);
  berth::cli::add_account_commands(app, global, selected);
  berth::cli::add_organization_commands(app, global, selected);
  berth::cli::add_cluster_commands(app, global, selected);
  berth::cli::add_deployment_commands(app, global, selected);
  berth::cli::add_replay_command(app, global, selected);
  berth::cli::add_other_commands(app, global, selected);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return parse_error(app, e);
  }
  try {
    return selected();
  } catch (const berth::cli::Failure& failure) {
    return berth::cli::report(failure);
  } catch (const std::exception& e) {
    fmt::print(stderr, "berth: unexpected: {}\n", e.what());
    return berth::cli::kUnexpected;
  }
}
