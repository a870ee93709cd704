// Runs attempts as processes of this machine. Each has a supervisor process of its own that
// outlives the server; what is known about it lies in its folder, so a server that starts finds
// everything by reading folders. docs/runtime-process.md tells how.
#pragma once
#include <memory>

#include "runtime/process/host.h"
#include "runtime/process/machine.h"
#include "runtime/runtime.h"

namespace berth::process {

struct Options {
  std::string root;                     // the machine's folder, shared by all clusters; absolute
  std::string scope;                    // this cluster's folder in there
  bool separate_users = false;          // each attempt gets a user of its own; needs root
  std::int64_t log_bytes = 64 << 20;    // kept for each attempt
  std::int64_t processes = 4096;        // and threads, for each attempt
  Level best_level = Level::cgroup_v2;  // of enforcement; a lower one where this cannot be had
  std::string cgroup_parent = "berth";
  std::string gpu_library = "libnvidia-ml.so.1";
};

class Core;

class ProcessRuntime final : public Runtime {
 public:
  // Touches nothing before it is used.
  ProcessRuntime(Executor executor, std::shared_ptr<Machine> machine, Options options);
  ProcessRuntime(const ProcessRuntime&) = delete;
  ~ProcessRuntime() override;

  [[nodiscard]] Capabilities capabilities() const override { return {true, true, true}; }
  void listen(Listener listener) override;
  Task<Result<void>> ensure_running(Launch launch) override;
  Task<Result<void>> ensure_gone(AttemptKey key, std::chrono::milliseconds grace) override;
  Task<Result<std::vector<Observation>>> list() override;
  Task<Result<LogChunk>> logs(AttemptKey key, LogQuery query) override;
  Task<Result<void>> forget(DeploymentId deployment) override;
  Task<Result<std::vector<NodeCapacity>>> capacity() override;
  Task<Health> health() override;

 private:
  std::shared_ptr<Core> core_;
};

}  // namespace berth::process
