// What a user asked to run, the states it goes through, and its attempts.
#pragma once
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/time.h"
#include "core/constraint.h"
#include "core/ids.h"
#include "core/names.h"
#include "core/resources.h"

namespace berth {

enum class Kind { service, job };
enum class Priority { high, low };

enum class State {
  queued,
  starting,
  running,
  stopping,
  preempting,
  stopped,    // terminal: a person asked
  succeeded,  // terminal: the work ended with exit status 0
  failed,     // terminal: the work ended otherwise, or could not start
  cancelled,  // terminal: taken back before it started
};

template <>
struct Names<Kind> {
  static constexpr std::array<std::pair<Kind, std::string_view>, 2> table{
      {{Kind::service, "service"}, {Kind::job, "job"}}};
};
template <>
struct Names<Priority> {
  static constexpr std::array<std::pair<Priority, std::string_view>, 2> table{
      {{Priority::high, "high"}, {Priority::low, "low"}}};
};
template <>
struct Names<State> {
  static constexpr std::array<std::pair<State, std::string_view>, 9> table{
      {{State::queued, "queued"},
       {State::starting, "starting"},
       {State::running, "running"},
       {State::stopping, "stopping"},
       {State::preempting, "preempting"},
       {State::stopped, "stopped"},
       {State::succeeded, "succeeded"},
       {State::failed, "failed"},
       {State::cancelled, "cancelled"}}};
};

// Why a state changes. Together with the present state it decides the next one: transition_table().
enum class Cause {
  admitted,        // the scheduler gave it a place
  ready,           // the runtime says that it runs and answers
  exited_zero,     // the work ended by itself, status 0
  exited_nonzero,  // the work ended by itself, otherwise; no attempt left
  start_failed,    // could not be started; no attempt left
  retry,           // failed, and an attempt is left: back to the queue after a pause
  stop_requested,  // a person asked
  gone,            // the runtime confirmed that nothing runs any more
  preempt,         // the policy takes its place away
};
template <>
struct Names<Cause> {
  static constexpr std::array<std::pair<Cause, std::string_view>, 9> table{
      {{Cause::admitted, "admitted"},
       {Cause::ready, "ready"},
       {Cause::exited_zero, "exited_zero"},
       {Cause::exited_nonzero, "exited_nonzero"},
       {Cause::start_failed, "start_failed"},
       {Cause::retry, "retry"},
       {Cause::stop_requested, "stop_requested"},
       {Cause::gone, "gone"},
       {Cause::preempt, "preempt"}}};
};

struct Transition {
  State from;
  Cause cause;
  State to;
};

// The one table. Every change of state goes through next_state().
[[nodiscard]] std::span<const Transition> transition_table();
[[nodiscard]] std::optional<State> next_state(State from, Cause cause);

[[nodiscard]] constexpr bool is_terminal(State s) {
  return s == State::stopped || s == State::succeeded || s == State::failed ||
         s == State::cancelled;
}
[[nodiscard]] constexpr bool holds_resources(State s) {
  return s == State::starting || s == State::running || s == State::stopping ||
         s == State::preempting;
}

// How Berth learns that an instance is ready for requests.
struct Readiness {
  std::string path;  // HTTP path that must answer 2xx; empty: a TCP connection suffices
  std::chrono::seconds timeout{60};  // start-up is a failure after this
  friend bool operator==(const Readiness&, const Readiness&) = default;
};

struct Restart {
  std::int32_t max_attempts = 1;            // including the first
  std::chrono::milliseconds backoff{1000};  // doubles with each failure, at most five minutes
  friend bool operator==(const Restart&, const Restart&) = default;
};

// Work of the `simulated` runtime.
struct Simulation {
  std::chrono::milliseconds duration{0};  // 0: until stopped
  std::int32_t exit_code = 0;
  friend bool operator==(const Simulation&, const Simulation&) = default;
};

enum class Access { organization, everyone };
template <>
struct Names<Access> {
  static constexpr std::array<std::pair<Access, std::string_view>, 2> table{
      {{Access::organization, "organization"}, {Access::everyone, "public"}}};
};

// How far another deployment must have come.
enum class Milestone { running, succeeded };
template <>
struct Names<Milestone> {
  static constexpr std::array<std::pair<Milestone, std::string_view>, 2> table{
      {{Milestone::running, "running"}, {Milestone::succeeded, "succeeded"}}};
};

// It may not start before. What is named was submitted before, so that there are no circles.
struct Dependency {
  DeploymentId on;
  Milestone until = Milestone::succeeded;
  friend bool operator==(const Dependency&, const Dependency&) = default;
};

inline constexpr std::int32_t kMostReplicas = 64;

struct DeploymentSpec {
  Kind kind = Kind::service;
  std::string image;
  std::vector<std::string> command;  // argument vector; never passed through a shell
  std::map<std::string, std::string> env;
  std::optional<std::uint16_t> port;  // it serves HTTP; told to it as PORT
  Resources resources;
  Readiness readiness;
  Restart restart;
  std::chrono::milliseconds stop_grace{10'000};
  std::optional<std::chrono::milliseconds> max_run_time;
  Access access = Access::organization;
  std::optional<Simulation> simulation;
  std::map<std::string, std::string> labels;
  std::vector<Dependency> depends_on;
  Constraint constraint;  // on which nodes
  // So many, each with `resources` of its own, start together or not at all: a gang, if several.
  std::int32_t replicas = 1;
  friend bool operator==(const DeploymentSpec&, const DeploymentSpec&) = default;
};

// How long it may hold its place by its own declaration, the grace to end included; 0: it has not
// declared anything.
[[nodiscard]] inline std::chrono::milliseconds longest_run(const DeploymentSpec& spec) {
  return spec.max_run_time ? *spec.max_run_time + spec.stop_grace : std::chrono::milliseconds(0);
}

// Names everything outside the database: processes, folders, containers.
struct AttemptKey {
  DeploymentId deployment;
  std::int32_t number = 0;   // counts from 1
  std::int32_t replica = 0;  // counts from 0
  // "dep_...-2", and of the other replicas "dep_...-2.1".
  [[nodiscard]] std::string str() const {
    std::string out = deployment.str() + "-" + std::to_string(number);
    if (replica != 0) out += "." + std::to_string(replica);
    return out;
  }
  friend auto operator<=>(const AttemptKey&, const AttemptKey&) = default;
};

struct GpuShare {
  std::int32_t device = 0;  // index on the node
  std::int32_t milli = 0;   // 1..1000
  friend bool operator==(const GpuShare&, const GpuShare&) = default;
};

// What the scheduler gave an attempt, or each of its replicas: a place on one node.
struct Grant {
  std::string node;
  Resources resources;
  std::vector<GpuShare> gpus;
  friend bool operator==(const Grant&, const Grant&) = default;
};

enum class ReplicaPhase {
  starting,  // has its place, and is not ready yet
  running,   // ready
  exited,    // ended by itself
  refused,   // could not be started
  gone,      // was told to end, and nothing of it runs any more
};
template <>
struct Names<ReplicaPhase> {
  static constexpr std::array<std::pair<ReplicaPhase, std::string_view>, 5> table{
      {{ReplicaPhase::starting, "starting"},
       {ReplicaPhase::running, "running"},
       {ReplicaPhase::exited, "exited"},
       {ReplicaPhase::refused, "refused"},
       {ReplicaPhase::gone, "gone"}}};
};

// How one replica of a gang is doing, in the latest attempt.
struct ReplicaProgress {
  ReplicaPhase phase = ReplicaPhase::starting;
  std::string endpoint;  // host:port while it is ready, if it serves
  std::optional<std::int32_t> exit_code;
  std::optional<std::int32_t> signal;
  bool out_of_memory = false;
  bool run_timeout = false;  // it ran for as long as it may
  std::string message;       // a sentence about how it ended, unless well
  // Nothing of it runs, and nothing will.
  [[nodiscard]] bool is_over() const { return phase >= ReplicaPhase::exited; }
  friend bool operator==(const ReplicaProgress&, const ReplicaProgress&) = default;
};

// What is kept of a gang beside the columns that every deployment has.
struct Gang {
  std::vector<Grant> more;                // of the replicas after the first, while they have places
  std::vector<ReplicaProgress> replicas;  // of the latest attempt; empty before the first
  std::optional<std::int32_t> failed;     // the first that failed: the others are told to end
  friend bool operator==(const Gang&, const Gang&) = default;
};

}  // namespace berth
