#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "cli/commands.h"
#include "cli/output.h"

namespace berth::cli {
namespace {

// Shell completion from the parser itself, so that it never lacks a command.
void print_words(const CLI::App& app, const std::string& path, const char* format) {
  std::string words;
  for (const auto* sub : app.get_subcommands({}))
    words += (words.empty() ? "" : " ") + sub->get_name();
  for (const auto* option : app.get_options()) {
    for (const auto& name : option->get_lnames()) words += (words.empty() ? "--" : " --") + name;
  }
  fmt::print(fmt::runtime(format), path, words);
  for (const auto* sub : app.get_subcommands({})) {
    print_words(*sub, path.empty() ? sub->get_name() : path + " " + sub->get_name(), format);
  }
}

int completion(const CLI::App& app, const std::string& shell) {
  if (shell == "bash" || shell == "zsh") {
    if (shell == "zsh") fmt::print("autoload -U +X bashcompinit && bashcompinit\n");
    fmt::print(
        "_berth() {{\n  local path= word i\n  for ((i = 1; i < COMP_CWORD; i++)); do\n"
        "    word=${{COMP_WORDS[i]}}\n    [[ $word == -* ]] || path=\"${{path:+$path }}$word\"\n  "
        "done\n"
        "  local words=\n  case \"$path\" in\n");
    print_words(app, "", "    \"{}\") words=\"{}\" ;;\n");
    fmt::print(
        "    \"explain \"*|explain|\"logs \"*|\"stop \"*|\"get \"*|\"events \"*) words=$(timeout "
        "0.3 berth ps -o name 2>/dev/null) ;;\n"
        "  esac\n  COMPREPLY=($(compgen -W \"$words\" -- "
        "\"${{COMP_WORDS[COMP_CWORD]}}\"))\n}}\ncomplete -F _berth berth\n");
    return kOk;
  }
  if (shell == "fish") {
    for (const auto* sub : app.get_subcommands({})) {
      fmt::print("complete -c berth -n __fish_use_subcommand -a {} -d '{}'\n", sub->get_name(),
                 sub->get_description());
      for (const auto* verb : sub->get_subcommands({})) {
        fmt::print("complete -c berth -n '__fish_seen_subcommand_from {}' -a {} -d '{}'\n",
                   sub->get_name(), verb->get_name(), verb->get_description());
      }
    }
    return kOk;
  }
  throw Failure{
      kUsage, fmt::format("Completion is for bash, zsh or fish; '{}' is neither.", shell), "", {}};
}

int version(const Global& global) {
  fmt::print("berth {}\n", BERTH_VERSION);
  try {
    Client client(global);
    const auto server = client.get("/api/v1/version");
    fmt::print("server {} at {}\n", text_at(server, "version"), client.context().server);
    if (text_at(server, "version") != BERTH_VERSION) {
      fmt::print(stderr,
                 "berth: the server has another version; most commands work, new flags may not.\n");
    }
  } catch (const Failure&) {
    fmt::print("server not reached\n");
  }
  return kOk;
}

}  // namespace

void add_other_commands(CLI::App& app, Global& global, Selected& selected) {
  app.add_subcommand("version", "Version of this program and of the server")
      ->callback([&selected, &global] { selected = [&global] { return version(global); }; });
  auto shell = std::make_shared<std::string>();
  auto* complete = app.add_subcommand("completion", "Print completion for a shell");
  complete->add_option("shell", *shell, "bash, zsh or fish")->required();
  complete->callback(
      [&selected, &app, shell] { selected = [&app, shell] { return completion(app, *shell); }; });
}

int report(const Failure& failure) {
  fmt::print(stderr, "berth: {}\n", safe_text(failure.message));
  for (const auto& [pointer, message] : failure.fields) {
    if (message != failure.message)
      fmt::print(stderr, "  {}: {}\n", safe_text(pointer), safe_text(message));
  }
  return failure.exit_code;
}

}  // namespace berth::cli
