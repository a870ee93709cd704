// PORT: what really runs attempts on a cluster. Everything above it is the same for every runtime.
// All names are made of (deployment, attempt, replica), so a repeated start finds what is there and
// a late stop hits nothing else; each replica of a gang is an attempt of its own here.
// Implementations are used from one io_context thread and never block it.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "async/task.h"
#include "base/result.h"
#include "base/time.h"
#include "core/deployment.h"

namespace berth {

struct Launch {
  AttemptKey key;
  OrganizationId organization;
  std::string name;  // of the deployment, for people
  DeploymentSpec spec;
  Grant grant;
  Timestamp admitted_at;  // when the attempt got its place; the simulated runtime counts from here
};

enum class Phase {
  starting,  // exists, not ready yet
  running,   // ready
  exited,    // ended; exit_code or signal says how. Stays listed until ensure_gone
};

struct Observation {
  AttemptKey key;
  Phase phase = Phase::starting;
  std::optional<std::string> endpoint;  // "127.0.0.1:41017", where requests go
  std::optional<std::int32_t> exit_code;
  std::optional<std::int32_t> signal;
  bool out_of_memory = false;
  bool ready_timeout = false;  // ended by us: it was not ready in time
  bool run_timeout = false;    // ended by us: max_run_time was over
  std::string message;         // a sentence, empty when all is well
  friend bool operator==(const Observation&, const Observation&) = default;
};

struct LogQuery {
  std::int64_t offset = 0;  // byte offset into the attempt's log; negative: last -offset bytes
  std::size_t max_bytes = 64 << 10;
};
struct LogChunk {
  std::string bytes;
  std::int64_t offset = 0;       // of the first byte
  std::int64_t next_offset = 0;  // where to go on
  bool end = false;              // the attempt has ended and everything was returned
};

struct NodeCapacity {
  std::string name;
  Resources resources;
  std::string gpu_model;
};

struct Health {
  bool reachable = true;
  std::string message;      // a sentence
  std::string enforcement;  // how limits are enforced: "cgroup v2", "cgroup v1", "rlimits", "none"
};

struct Capabilities {
  // What was started goes on when this server process ends; list() finds it after a restart. When
  // false, the caller repeats ensure_running() for every active attempt after its own start.
  bool survives_restart = false;
  bool logs = false;
  bool endpoints = false;
};

class Runtime {
 public:
  // Called on the runtime's thread after something changed. A hint: losing one costs only time, as
  // the reconciler compares list() with the record.
  using Listener = std::function<void(const Observation&)>;

  virtual ~Runtime() = default;

  [[nodiscard]] virtual Capabilities capabilities() const = 0;
  virtual void listen(Listener listener) = 0;

  // Makes (deployment, attempt) exist; done already is success. Returns once the backend has taken
  // it, not once it is ready. An attempt that has exited is not started again.
  // Errors: invalid_argument (refused, do not repeat), unavailable (repeat later).
  virtual Task<Result<void>> ensure_running(Launch launch) = 0;

  // Makes it not exist: asks politely, kills after `grace`, returns once nothing of it runs any
  // more and forgets it, logs excepted. Absent already is success.
  virtual Task<Result<void>> ensure_gone(AttemptKey key, std::chrono::milliseconds grace) = 0;

  // Everything of ours that exists, exited attempts included.
  // Errors: unavailable: then nothing is known, and nothing may be concluded.
  virtual Task<Result<std::vector<Observation>>> list() = 0;

  // Logs outlive the attempt. Errors: not_found.
  virtual Task<Result<LogChunk>> logs(AttemptKey key, LogQuery query) = 0;
  // Removes what ensure_gone leaves behind (logs, folders) of every attempt of a deployment.
  virtual Task<Result<void>> forget(DeploymentId deployment) = 0;

  // What the backend could hold, if it can tell.
  virtual Task<Result<std::vector<NodeCapacity>>> capacity() = 0;
  virtual Task<Health> health() = 0;
};

}  // namespace berth
