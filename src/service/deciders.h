// Which process decides about a cluster, for those that have a question only it can answer.
#pragma once
#include <mutex>
#include <unordered_map>

#include "service/authority.h"
#include "service/read_side.h"

namespace berth {

class Deciders {
 public:
  Deciders(ReadSide& reads, const Authority& authority) : reads_(reads), authority_(authority) {}

  [[nodiscard]] bool here(const ClusterId& cluster) const { return authority_.holds(cluster); }
  // Its address, host:port. Errors: unavailable with reason no_scheduler while nobody decides.
  Result<std::string> address_of(const ClusterId& cluster);
  // Any scheduler that lives: for questions about machines.
  Result<std::string> any();
  // What was known of it is not true any more.
  void forget(const ClusterId& cluster);

 private:
  struct Known {
    std::string address;
    std::chrono::steady_clock::time_point until;
  };
  ReadSide& reads_;
  const Authority& authority_;
  std::mutex mutex_;
  std::unordered_map<ClusterId, Known> known_;  // guarded by mutex_
};

}  // namespace berth
