// What people are told: why something waits, how far it is, why it is refused.
#pragma once
#include <string>

#include "core/records.h"
#include "scheduler/engine.h"

namespace berth {

// Submitted, it could never start: the refusal, with the field that asks for too much.
[[nodiscard]] std::unexpected<Error> too_large(const TooLarge& t, const std::string& cluster);

// The sentence of a reason, with amounts and names.
[[nodiscard]] std::string explain_sentence(const Deployment& d, const Explanation& e,
                                           const std::string& cluster_name, Timestamp now);
// Of one that does not wait: what it is doing, and what is still awaited.
[[nodiscard]] std::string progress_sentence(const Deployment& d, Timestamp now);

}  // namespace berth
