// Where the command line keeps servers and tokens: $XDG_CONFIG_HOME/berth/config.yaml, mode 0600.
#pragma once
#include <filesystem>
#include <map>
#include <string>

#include "base/result.h"

namespace berth::cli {

struct Context {
  std::string server = "http://localhost:8000";
  std::string organization;  // id; empty: the only one
  std::string username;
  std::string access_token;
  std::string refresh_token;
  std::string ca_file;
};

struct Contexts {
  std::string current = "default";
  std::map<std::string, Context> all;
};

[[nodiscard]] std::filesystem::path contexts_file();
// Errors: permission_denied when others can read the file; invalid_argument when it is not ours.
[[nodiscard]] Result<Contexts> load_contexts();
[[nodiscard]] Result<void> save_contexts(const Contexts& contexts);

}  // namespace berth::cli
