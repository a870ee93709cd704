// What the tests of the queues share.
#pragma once
#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "base/random.h"
#include "queue/work_queue.h"

namespace berth::test {

using std::chrono::milliseconds;

// The value, or the test ends with the error's sentence.
template <class T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().reason + ": " + result.error().message);
  return std::move(*result);
}
inline void must(Result<void> result) {
  if (!result) throw std::runtime_error(result.error().reason + ": " + result.error().message);
}

class QueueNames {
 public:
  ClusterId cluster() { return ClusterId::make(next(), random_); }
  WaitingEntry entry(Priority priority, std::uint64_t order, Resources demand = {500, 1 << 30, 0}) {
    return {DeploymentId::make(next(), random_), priority, order, demand};
  }

 private:
  Timestamp next() { return Timestamp{1'700'000'000'000'000}.plus(milliseconds(++made_)); }
  SeededRandom random_{7};
  std::int64_t made_ = 0;
};

inline QueueChange enters(std::int64_t seq, const ClusterId& cluster, const WaitingEntry& entry) {
  return {seq, cluster, WakeKind::queued, entry, std::nullopt};
}
inline QueueChange leaves(std::int64_t seq, const ClusterId& cluster, const DeploymentId& id,
                          WakeKind kind = WakeKind::changed) {
  return {seq, cluster, kind, std::nullopt, id};
}

// Until so many have come, or for ten seconds.
inline std::vector<Wake> wakes_of(WakeReader& reader, std::size_t count) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  std::vector<Wake> out;
  while (out.size() < count && std::chrono::steady_clock::now() < until) {
    for (const auto& wake : must(reader.wait(milliseconds(200)))) out.push_back(wake);
  }
  return out;
}

}  // namespace berth::test

// What GoogleTest prints when they differ.
namespace berth {
inline void PrintTo(const WaitingEntry& e, std::ostream* out) {
  *out << e.id.str() << " " << to_text(e.priority) << " " << e.order << " "
       << resources_text(e.demand);
}
inline void PrintTo(const Wake& w, std::ostream* out) {
  *out << w.seq << " " << to_text(w.kind) << " " << w.cluster.str();
}
}  // namespace berth
