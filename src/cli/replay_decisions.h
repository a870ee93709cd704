// `berth replay --decisions`: feeds what a cluster's engine was given to an engine here, and
// compares what it decides with what was recorded, entry by entry.
#pragma once
#include "cli/client.h"

namespace berth::cli {

struct DecisionsArgs {
  std::string cluster;  // from the server ...
  std::string file;     // ... or from a file that was saved before
  std::string save;     // where to, besides
};

// kOk when all of it is identical; kFailed names the first entry that is not.
int replay_decisions(const Global& global, const DecisionsArgs& args);

}  // namespace berth::cli
