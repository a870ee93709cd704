// Questions on the terminal, and secrets from files or standard input; never from flag values.
#pragma once
#include <string>

namespace berth::cli {

// Reads one line without echo. Throws Failure when there is no terminal.
[[nodiscard]] std::string ask_secret(const std::string& question);
[[nodiscard]] std::string ask(const std::string& question);
// "-" is standard input. Throws Failure.
[[nodiscard]] std::string read_secret_file(const std::string& file);
// yes, or --yes; off a terminal only --yes. Throws Failure when declined.
void confirm(const std::string& question, bool yes);

}  // namespace berth::cli
