// The environment of a workload: made from nothing, so that nothing of the server's gets in.
#pragma once
#include <string>
#include <vector>

#include "runtime/runtime.h"

namespace berth::process {

struct Place {
  std::string work;  // working directory and HOME
  std::string tmp;   // private
  std::optional<std::uint16_t> port;
};

// "NAME=value", by name. The deployment's own variables win over the defaults, but not over what
// says who it is and what it was given: BERTH_*, PORT and the choice of GPUs.
[[nodiscard]] std::vector<std::string> environment_for(const Launch& launch, const Place& place);
// Those entries that together name the attempt and no other.
[[nodiscard]] std::vector<std::string> marks_of(const AttemptKey& key);

}  // namespace berth::process
