// What the attempts of all clusters on this machine share: ports, user ids, the supervisor's file
// and the thread for slow file work. One for each server; used on the runtime's thread.
#pragma once
#include <boost/asio/thread_pool.hpp>
#include <set>

#include "async/offload.h"
#include "runtime/process/folder.h"

namespace berth::process {

struct MachineOptions {
  std::string root;  // holds one folder for each cluster
  std::uint32_t first_uid = 210'000;
  std::uint32_t last_uid = 219'999;
  std::uint16_t first_port = 20'000;  // below the range from which the kernel picks for clients
  std::uint16_t last_port = 32'767;
};

class Machine {
 public:
  // `files` has a thread for slow file work. It outlives the runtimes, and ends before the loop
  // into which it answers does.
  Machine(MachineOptions options, asio::thread_pool& files);

  // Takes note of what existing attempts hold, in every cluster's folder. Done once.
  void load();
  // Writes the supervisor's file if it is not there yet. The path.
  [[nodiscard]] Result<std::string> supervisor();

  // The wanted port if it is free, else some other. `seed` spreads the search.
  [[nodiscard]] Result<std::uint16_t> claim_port(std::optional<std::uint16_t> wanted,
                                                 std::size_t seed);
  [[nodiscard]] Result<std::uint32_t> claim_uid(std::size_t seed);
  void hold(const LaunchFile& launch);
  void release(const LaunchFile& launch);

  // Runs slow work on a thread of its own.
  template <class T>
  Task<T> elsewhere(std::function<T()> work) {
    auto start = [this, work = std::move(work)](Completion<T> done) mutable {
      asio::post(files_,
                 [work = std::move(work), done = std::move(done)]() mutable { done(work()); });
    };
    co_return co_await suspend_for<T>(std::move(start));
  }
  // Deletes a tree without following links; failing is silent.
  Task<void> remove_tree(std::string path);

 private:
  MachineOptions options_;
  bool loaded_ = false;
  std::string supervisor_;
  std::set<std::uint16_t> ports_;
  std::set<std::uint32_t> uids_;
  asio::thread_pool& files_;
};

}  // namespace berth::process
