// A gang, several replicas of one attempt that start together: what news about one of them mean for
// all. Pure.
#pragma once
#include "core/records.h"
#include "runtime/runtime.h"

namespace berth {

enum class GangNews {
  nothing,  // known already, or too late to matter
  noted,    // it goes on, and the row has changed
  ready,    // the last of them has become ready
  failing,  // the first has failed: the others are to be stopped
  over,     // nothing of it runs any more
};

// Takes the report about one replica into the row, and says what follows. A replica has failed when
// it is over with a message, while nobody had told it to end.
[[nodiscard]] GangNews take_report(Deployment& d, std::int32_t replica, ReplicaProgress report);

// What the runtime saw of a replica.
[[nodiscard]] ReplicaProgress report_of(const Deployment& d, const Observation& seen);
[[nodiscard]] ReplicaProgress report_of_refusal(std::int32_t replica, const std::string& why);

// How it ended, unless well: "It ended with exit status 3.", or about somebody else than "It".
[[nodiscard]] std::string how_it_ended(const Observation& seen, const std::string& who = "It");

// Of one that fails: what people are told meanwhile.
[[nodiscard]] std::string failing_sentence(const Deployment& d);

}  // namespace berth
