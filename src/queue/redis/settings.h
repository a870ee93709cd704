// What an operator should know about the server, from what it says about itself.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "queue/redis/redis_url.h"

namespace berth::redis {

struct Settings {
  std::string version;          // "7.0.15"
  bool cluster = false;         // one node of a Redis Cluster
  bool may_read_config = true;  // false: the rest is unknown
  std::string eviction = "noeviction";
  bool protected_mode = true;
  bool default_password = false;  // whoever gives no name needs a password
};

// A sentence each; empty: nothing is wrong.
[[nodiscard]] std::vector<std::string> warnings_of(const Settings& settings,
                                                   const Options& options);
// The value behind "name:" in what INFO answers.
[[nodiscard]] std::string info_value(std::string_view info, std::string_view name);

}  // namespace berth::redis
