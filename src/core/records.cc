#include "core/records.h"

namespace berth {

std::vector<AttemptKey> Deployment::attempt_keys() const {
  std::vector<AttemptKey> out;
  for (std::int32_t replica = 0; replica < spec.replicas; ++replica)
    out.push_back({id, attempt, replica});
  return out;
}

bool Deployment::is_over(std::int32_t replica) const {
  const auto index = static_cast<std::size_t>(replica);
  return index < gang.replicas.size() && gang.replicas[index].is_over();
}

std::vector<AttemptKey> Deployment::living_keys() const {
  std::vector<AttemptKey> out;
  for (const AttemptKey& key : attempt_keys()) {
    if (!is_over(key.replica)) out.push_back(key);
  }
  return out;
}

std::vector<std::string> Deployment::endpoints() const {
  std::vector<std::string> out;
  if (state != State::running || is_ending()) return out;
  if (!is_gang() && !endpoint.empty()) out.push_back(endpoint);
  for (const ReplicaProgress& replica : gang.replicas) {
    if (replica.phase == ReplicaPhase::running && !replica.endpoint.empty())
      out.push_back(replica.endpoint);
  }
  return out;
}

}  // namespace berth
