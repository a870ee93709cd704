#include "cli/prompt.h"

#include <fmt/format.h>
#include <termios.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>

#include "cli/client.h"
#include "cli/output.h"

namespace berth::cli {
namespace {

constexpr std::size_t kLongestSecret = 4096;

// Typed letters stay invisible while one of these lives.
class EchoOff {
 public:
  EchoOff() {
    tcgetattr(STDIN_FILENO, &before_);
    termios quiet = before_;
    quiet.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
  }
  ~EchoOff() { tcsetattr(STDIN_FILENO, TCSAFLUSH, &before_); }
  EchoOff(const EchoOff&) = delete;
  EchoOff& operator=(const EchoOff&) = delete;

 private:
  termios before_{};
};

std::string read_line(const std::string& question) {
  fmt::print(stderr, "{}: ", question);
  std::string line;
  if (!std::getline(std::cin, line)) throw Failure{kUsage, "Nothing was typed.", "", {}};
  return line;
}

}  // namespace

std::string ask(const std::string& question) {
  if (!is_terminal(STDIN_FILENO)) {
    throw Failure{
        kUsage,
        fmt::format(
            "{} is missing, and there is no terminal to ask on; give it as a flag (see --help).",
            question),
        "",
        {}};
  }
  return read_line(question);
}

std::string ask_secret(const std::string& question) {
  if (!is_terminal(STDIN_FILENO)) {
    throw Failure{kUsage,
                  fmt::format("{} is missing, and there is no terminal to ask on; use "
                              "--password-file FILE, or - for standard input.",
                              question),
                  "",
                  {}};
  }
  std::string secret;
  {
    const EchoOff hidden;
    secret = read_line(question);
  }
  std::fputc('\n', stderr);
  return secret;
}

std::string read_secret_file(const std::string& file) {
  std::string text;
  if (file == "-") {
    std::getline(std::cin, text);
  } else {
    std::ifstream in(file);
    if (!in) throw Failure{kUsage, fmt::format("Cannot read {}.", file), "", {}};
    std::getline(in, text);
  }
  if (!text.empty() && text.back() == '\r') text.pop_back();
  if (text.empty())
    throw Failure{kUsage,
                  fmt::format("{} holds no password: its first line is empty.",
                              file == "-" ? "Standard input" : file),
                  "",
                  {}};
  if (text.size() > kLongestSecret)
    throw Failure{
        kUsage, fmt::format("{} holds no password: its first line is too long.", file), "", {}};
  return text;
}

void confirm(const std::string& question, bool yes) {
  if (yes) return;
  if (!is_terminal(STDIN_FILENO))
    throw Failure{kUsage, question + " Say --yes: there is no terminal to ask on.", "", {}};
  const auto answer = read_line(question + " [y/N]");
  if (answer != "y" && answer != "Y" && answer != "yes")
    throw Failure{kInterrupted, "Nothing was changed.", "", {}};
}

}  // namespace berth::cli
