#include "runtime/process/process_runtime.h"

#include "runtime/process/core.h"

namespace berth::process {

ProcessRuntime::ProcessRuntime(Executor executor, std::shared_ptr<Machine> machine, Options options)
    : core_(std::make_shared<Core>(executor, std::move(machine), std::move(options))) {}

ProcessRuntime::~ProcessRuntime() { core_->close(); }

void ProcessRuntime::listen(Listener listener) { core_->listen(std::move(listener)); }
Task<Result<void>> ProcessRuntime::ensure_running(Launch launch) {
  return core_->ensure_running(std::move(launch));
}
Task<Result<void>> ProcessRuntime::ensure_gone(AttemptKey key, std::chrono::milliseconds grace) {
  return core_->ensure_gone(key, grace);
}
Task<Result<std::vector<Observation>>> ProcessRuntime::list() { return core_->list(); }
Task<Result<LogChunk>> ProcessRuntime::logs(AttemptKey key, LogQuery query) {
  return core_->logs(key, query);
}
Task<Result<void>> ProcessRuntime::forget(DeploymentId deployment) {
  return core_->forget(deployment);
}
Task<Result<std::vector<NodeCapacity>>> ProcessRuntime::capacity() { return core_->capacity(); }
Task<Health> ProcessRuntime::health() { return core_->health(); }

}  // namespace berth::process
