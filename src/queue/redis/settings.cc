#include "queue/redis/settings.h"

#include <fmt/format.h>

#include <charconv>

namespace berth::redis {
namespace {

// {6, 2} of "6.2.14"; zeros for what is no version.
std::pair<int, int> version_of(std::string_view text) {
  std::pair<int, int> out{};
  const char* const end = text.data() + text.size();
  const auto [dot, problem] = std::from_chars(text.data(), end, out.first);
  if (problem == std::errc() && dot != end) std::from_chars(dot + 1, end, out.second);
  return out;
}

}  // namespace

std::vector<std::string> warnings_of(const Settings& settings, const Options& options) {
  std::vector<std::string> out;
  const bool away = !options.on_this_machine();
  if (version_of(settings.version) < std::pair(6, 2)) {
    out.push_back(fmt::format("Redis is version {}; use 7.0 or newer, at least 6.2.",
                              settings.version.empty() ? "unknown" : settings.version));
  }
  if (settings.cluster) {
    out.push_back(
        "This Redis is one node of a Redis Cluster; Berth does not follow it to the other nodes.");
  }
  if (away && options.password.empty()) {
    out.push_back(
        "Redis is reached over the network without a password: set a user, or requirepass.");
  }
  if (away && !options.tls) {
    out.push_back("Redis is reached over the network without TLS: use rediss://.");
  }
  if (!settings.may_read_config) {
    out.push_back(
        "Redis does not let us read its settings (CONFIG GET): see yourself that maxmemory-policy "
        "is "
        "noeviction.");
    return out;
  }
  if (settings.eviction != "noeviction") {
    out.push_back(
        fmt::format("Redis may throw queues away when memory is short: set maxmemory-policy to "
                    "noeviction, it is {}.",
                    settings.eviction));
  }
  if (!settings.protected_mode && !settings.default_password) {
    out.push_back(
        "Redis lets anybody in who reaches it: protected-mode is off and no password is set.");
  }
  return out;
}

std::string info_value(std::string_view info, std::string_view name) {
  while (!info.empty()) {
    const auto end = std::min(info.find('\n'), info.size());
    auto line = info.substr(0, end);
    info.remove_prefix(std::min(end + 1, info.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.starts_with(name) && line.substr(name.size()).starts_with(':')) {
      return std::string(line.substr(name.size() + 1));
    }
  }
  return "";
}

}  // namespace berth::redis
