// Sees to it that a scheduler looks at each of its clusters after something happened there, however
// often looking fails.
#pragma once
#include <map>
#include <mutex>
#include <set>
#include <span>

#include "service/scheduling.h"

namespace berth {

class Attention {
 public:
  Attention(Committer& committer, Scheduling& scheduling, Authority& authority)
      : committer_(committer), scheduling_(scheduling), authority_(authority) {}

  // What the history says: clusters of ours whose engine has not seen it are looked at.
  void hear(std::span<const Event> events);
  // `only_deployments`: the cluster itself is as it was.
  void look_at(const ClusterId& cluster, bool only_deployments = false);
  // Looks again where it failed, and where an engine is ahead of its journal. Now and then, from
  // one thread.
  void repeat();
  // How many looks are under way, or failed and will be repeated. From any thread.
  [[nodiscard]] std::size_t open() const;

 private:
  Committer& committer_;
  Scheduling& scheduling_;
  Authority& authority_;
  mutable std::mutex mutex_;
  std::map<ClusterId, bool> asked_;  // waits for its turn, how it looks; guarded by mutex_
  std::set<ClusterId> failed_;       // guarded by mutex_
  std::size_t looking_ = 0;          // not committed yet; guarded by mutex_
};

}  // namespace berth
