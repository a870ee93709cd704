// berth: server and command line in one binary.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "app/operator_commands.h"
#include "base/spelling.h"
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

// The first word that is neither a command nor a flag, with the command that was probably meant.
std::string unknown_command(const CLI::App& app, int argc, char** argv) {
  const CLI::App* at = &app;
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word.starts_with('-')) continue;
    const auto commands = at->get_subcommands([](const CLI::App*) { return true; });
    if (commands.empty()) return {};
    std::vector<std::string> names;
    const CLI::App* found = nullptr;
    for (const auto* command : commands) {
      names.push_back(command->get_name());
      if (command->check_name(std::string(word))) found = command;
    }
    if (found == nullptr) {
      const std::vector<std::string_view> known(names.begin(), names.end());
      const auto meant = berth::nearest_word(word, known);
      return fmt::format("There is no command '{}'{}", word,
                         meant.empty() ? "." : fmt::format("; did you mean '{}'?", meant));
    }
    at = found;
  }
  return {};
}

// Usage errors are exit code 2; help and version are 0.
int parse_error(const CLI::App& app, const CLI::ParseError& e, int argc, char** argv) {
  if (e.get_exit_code() == 0) return app.exit(e);
  const auto unknown = dynamic_cast<const CLI::RequiredError*>(&e) != nullptr
                           ? unknown_command(app, argc, argv)
                           : "";
  fmt::print(stderr, "berth: {}\n", unknown.empty() ? e.what() : unknown);
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
  berth::cli::add_simulate_command(app, global, selected);
  berth::cli::add_plan_command(app, global, selected);
  berth::cli::add_other_commands(app, global, selected);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return parse_error(app, e, argc, argv);
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
