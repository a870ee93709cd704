// What must happen at once on the server, in its own language. All keys of a script are those of
// one cluster, in one hash slot.
#pragma once
#include <array>
#include <string>
#include <string_view>

#include "core/ids.h"
#include "queue/redis/connection.h"

namespace berth::redis {

// The keys of a cluster's queue. `state` has the fields seq, high and low: up to which event the
// other three are true, and how many entries they have. A server that evicts takes whole keys, so
// that what is missing shows in the numbers, or the state itself is gone.
struct Keys {
  Keys(const std::string& prefix, const ClusterId& cluster, const std::string& part = "");
  std::string state, high, low, demand;
};

enum class Script {
  publish,  // state high low demand; seven words for each change
  mark,     // state high low demand; answers {seq, high, low}, or nothing when it is not whole
  replace,  // state high low demand + three new keys; seq, number of high, number of low
};

// Makes the server know the scripts; the replies to it are the names by which they are called.
[[nodiscard]] Pipeline load_scripts();
inline constexpr std::array<Script, 3> kScripts{Script::publish, Script::mark, Script::replace};

}  // namespace berth::redis
