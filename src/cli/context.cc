#include "cli/context.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "json/yaml.h"

namespace berth::cli {
namespace {

std::string text_of(const json::Value& object, std::string_view key) {
  const auto* value = object.is_object() ? object.as_object().if_contains(key) : nullptr;
  return value != nullptr && value->is_string() ? std::string(value->as_string()) : std::string();
}

}  // namespace

std::filesystem::path contexts_file() {
  if (const char* given = std::getenv("BERTH_CONFIG"); given != nullptr && *given != 0)
    return given;
  const char* xdg = std::getenv("XDG_CONFIG_HOME");
  const char* home = std::getenv("HOME");
  const std::filesystem::path base =
      xdg != nullptr && *xdg != 0 ? std::filesystem::path(xdg)
                                  : std::filesystem::path(home == nullptr ? "." : home) / ".config";
  return base / "berth" / "config.yaml";
}

Result<Contexts> load_contexts() {
  Contexts out;
  const auto file = contexts_file();
  struct stat info{};
  if (stat(file.c_str(), &info) != 0) return out;
  if ((info.st_mode & 077) != 0) {
    return fail(Code::permission_denied, "config_too_open",
                fmt::format("{} holds tokens but others can read it; run: chmod 600 {}",
                            file.string(), file.string()));
  }
  std::ifstream in(file);
  std::stringstream text;
  text << in.rdbuf();
  auto root = json::from_yaml(text.str());
  if (!root || !root->is_object()) {
    return fail(Code::invalid_argument, "config_broken",
                fmt::format("{} is not a configuration of berth; move it away.", file.string()));
  }
  out.current = text_of(*root, "current");
  const auto* contexts = root->as_object().if_contains("contexts");
  if (contexts != nullptr && contexts->is_object()) {
    for (const auto& member : contexts->as_object()) {
      const auto& c = member.value();
      out.all[std::string(member.key())] = {text_of(c, "server"),        text_of(c, "organization"),
                                            text_of(c, "username"),      text_of(c, "access_token"),
                                            text_of(c, "refresh_token"), text_of(c, "ca_file")};
    }
  }
  return out;
}

Result<void> save_contexts(const Contexts& contexts) {
  const auto file = contexts_file();
  std::error_code ec;
  std::filesystem::create_directories(file.parent_path(), ec);
  boost::json::object all;
  for (const auto& [name, c] : contexts.all) {
    boost::json::object one{{"server", c.server}};
    const auto put = [&](const char* key, const std::string& value) {
      if (!value.empty()) one[key] = value;
    };
    put("organization", c.organization);
    put("username", c.username);
    put("access_token", c.access_token);
    put("refresh_token", c.refresh_token);
    put("ca_file", c.ca_file);
    all[name] = std::move(one);
  }
  const std::string text = json::to_yaml(
      boost::json::object{{"current", contexts.current}, {"contexts", std::move(all)}});
  // Written beside and renamed, so that a reader never sees half of it.
  const auto fresh = file.string() + ".new";
  const int fd = ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0 || ::write(fd, text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    if (fd >= 0) ::close(fd);
    return fail(Code::unavailable, "config_not_written", fmt::format("Cannot write {}.", fresh));
  }
  ::close(fd);
  std::filesystem::rename(fresh, file, ec);
  if (ec)
    return fail(Code::unavailable, "config_not_written",
                fmt::format("Cannot write {}.", file.string()));
  return {};
}

}  // namespace berth::cli
