// The decision engine of one cluster: a pure, deterministic state machine, (state, event) ->
// starts. No clock, no I/O, no randomness. Production, explain, plan, replay and simulation all
// call this.
//
// After each event nothing that waits and may start, by policy and quota, fits anywhere.
//
// Policy `strict`: the high queue is gone through in order, every deployment that fits starts, the
// others keep their place; the low queue likewise, but only while no feasible deployment waits in
// the high queue.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "core/cluster.h"
#include "core/constraint.h"
#include "core/deployment.h"
#include "core/reason.h"
#include "scheduler/fragmentation.h"

namespace berth {

// Where an attempt runs: node by index into the cluster's node list.
struct Placement {
  std::uint32_t node = 0;
  std::vector<GpuShare> gpus;
  friend bool operator==(const Placement&, const Placement&) = default;
};

// Milliseconds; only differences count. Time comes in with the event.
using EngineTime = std::int64_t;

// --- events -----------------------------------------------------------------------------------

// `order` is the admission number: unique within the cluster, smaller goes first. A deployment that
// comes back (retry, preemption) keeps its own.
struct Queued {
  DeploymentId id;
  Priority priority = Priority::low;
  std::uint64_t order = 0;
  Resources demand;
  bool parked = false;     // in back-off: not considered, and blocks nobody, until Unparked
  EngineTime since = 0;    // when it began to wait; for the age bound
  EngineTime max_run = 0;  // declared; 0: it has not said. For back-filling
  bool awaits = false;     // parked because of others, not of a failure
  Constraint constraint = {};
  std::uint32_t replicas = 1;  // each asks for `demand`; all start together or none
  std::uint32_t tenant = 0;    // whose it is: a number that quotas name, counted from 0
  friend bool operator==(const Queued&, const Queued&) = default;
};
struct Unparked {
  DeploymentId id;
  friend bool operator==(const Unparked&, const Unparked&) = default;
};
struct Withdrawn {
  DeploymentId id;
  friend bool operator==(const Withdrawn&, const Withdrawn&) = default;
};  // cancelled while it waited
struct Reprioritized {
  DeploymentId id;
  Priority priority = Priority::low;
  friend bool operator==(const Reprioritized&, const Reprioritized&) = default;
};
struct Released {
  DeploymentId id;
  friend bool operator==(const Released&, const Released&) = default;
};  // the runtime confirmed that its attempt is gone
// The new node list. Nodes are matched by name; a node that holds reservations must stay and must
// still be large enough (checked by can_resize before).
struct Resized {
  std::vector<Node> nodes;
  friend bool operator==(const Resized&, const Resized&) = default;
};
struct PauseChanged {
  bool paused = false;
  friend bool operator==(const PauseChanged&, const PauseChanged&) = default;
};
// Its attempt was told to end, by somebody else than the engine: it frees its place soon, so that
// nobody is displaced for the sake of that place.
struct Leaving {
  DeploymentId id;
  friend bool operator==(const Leaving&, const Leaving&) = default;
};

// How much a tenant may hold. What is within the nominal quota is its own: quotas never refuse it.
// Beyond, it may borrow what all tenants with quotas together leave unused of theirs, up to a
// limit. What was lent comes back as borrowers end. A tenant without a quota is not limited, and
// lends nothing.
struct Quota {
  std::uint32_t tenant = 0;
  Resources nominal;
  std::optional<Resources> borrowing = {};  // so much beyond it at most; absent: no limit
  friend bool operator==(const Quota&, const Quota&) = default;
};

// How a cluster schedules beyond its policy. The defaults are the plain rules.
struct Rules {
  // Given: place so that the least GPU capacity becomes unusable for this mix. Else: best fit.
  std::optional<TaskMix> mix;
  // A low deployment with a declared run time may start although high ones wait, where by the
  // declared run times it delays none of them. Of the low queue the first 256 are looked at.
  bool backfill = false;
  // A high deployment that fits nowhere displaces low ones, the fewest and of these the youngest;
  // those with replicas as a whole.
  bool preempt = false;
  // The first of a queue that has waited this long is not overtaken any more, by neither queue: it
  // starts next or nobody does. It is not displaced afterwards either; else two could take turns.
  std::optional<EngineTime> age_bound;
  // What exceeds its tenant's quota does not start, and a high one that only waits for that does
  // not hold up the low queue; except for the low ones of the same tenant, so that these do not
  // take away what it waits for. An overdue one that waits for its quota holds up nobody.
  std::vector<Quota> quotas = {};
  // Of the tenants in one queue goes first whose dominant share is smallest: the largest part of
  // its nominal quota, or where it has none of the cluster, that it holds of any resource. Equal
  // ones go in order of admission, and so do those of one tenant.
  bool fair = false;
  friend bool operator==(const Rules&, const Rules&) = default;
};
struct RulesChanged {
  Rules rules;
  friend bool operator==(const RulesChanged&, const RulesChanged&) = default;
};

using EngineEvent = std::variant<Queued, Unparked, Withdrawn, Reprioritized, Released, Resized,
                                 PauseChanged, Leaving, RulesChanged>;

// --- answers ----------------------------------------------------------------------------------

struct Start {
  DeploymentId id;
  Placement placement;
  std::vector<Placement> more = {};  // of the other replicas
  friend bool operator==(const Start&, const Start&) = default;
};

// A running low deployment loses its place, with all replicas. The caller stops it, and tells
// Released and then Queued with its old order when it is gone; until then nothing else starts on
// its nodes.
struct Evict {
  DeploymentId id;
  DeploymentId for_whom;
  friend bool operator==(const Evict&, const Evict&) = default;
};

struct Decisions {
  std::vector<Start> starts;
  std::vector<Evict> evictions;
  friend bool operator==(const Decisions&, const Decisions&) = default;
};

// The refusal of a demand that no node could ever hold (rule 6).
struct TooLarge {
  Resources asked;
  Resources largest;  // of the node that comes nearest: the largest size that would fit there
  std::string node;
  // What no node satisfies of the constraint, or all of it where each part is satisfied somewhere
  // but no node satisfies all. Empty: some node satisfies it, but is too small.
  Constraint unsatisfied = {};
  std::uint32_t replicas = 1;      // asked
  std::uint32_t replicas_fit = 0;  // so many the empty nodes could hold at once
};

struct NodeState {
  Node node;
  Resources free;
  std::vector<std::int32_t> gpu_free_milli;  // per device
  std::uint32_t active = 0;                  // attempts on it
};

struct ActiveEntry {
  DeploymentId id;
  Resources demand;
  Placement placement;
  Priority priority = Priority::high;
  std::uint64_t order = 0;
  EngineTime started = 0;
  EngineTime max_run = 0;
  DeploymentId leaving_for = {};  // whom it was evicted for; nil: nobody
  bool leaving = false;           // told to end by somebody else
  EngineTime waited = 0;          // before it started; who was overdue is not displaced
  Constraint constraint = {};
  std::vector<Placement> more = {};  // of the other replicas
  std::uint32_t tenant = 0;
  friend bool operator==(const ActiveEntry&, const ActiveEntry&) = default;
};

// Calls act(place) for each replica of a Start or an ActiveEntry.
template <class Placed, class Do>
void for_each_place(const Placed& placed, Do&& act) {
  act(placed.placement);
  for (const Placement& place : placed.more) act(place);
}

struct TenantUse {
  Quota quota;
  Resources used;
};

// A tenant that holds or waits for something, or has a quota.
struct TenantNow {
  std::uint32_t tenant = 0;
  std::optional<Quota> quota;
  Resources used;
  std::size_t waiting = 0;  // without parked ones
  friend bool operator==(const TenantNow&, const TenantNow&) = default;
};

// A quota keeps it waiting.
struct QuotaExcess {
  Quota quota;
  Resources asked;     // by all replicas together
  Resources used;      // by the tenant now
  Resources headroom;  // the most that one deployment of the tenant may ask for now
};

struct EngineStatus {
  std::vector<NodeState> nodes;
  Resources capacity;  // sums over the nodes
  Resources free;
  std::size_t high_waiting = 0;  // without parked ones
  std::size_t low_waiting = 0;
  std::size_t parked = 0;
  std::size_t active = 0;
  bool paused = false;
  std::vector<TenantUse> tenants = {};  // those with a quota
};

// All that is true of one waiting deployment at this moment. Amounts and nodes are those of the
// nodes that its constraint allows.
struct Explanation {
  DeploymentId id;
  Priority priority = Priority::low;
  Resources demand;
  Reason reason = Reason::pending_evaluation;  // the first that applies
  std::vector<Reason> all;                     // every one that applies, same order
  std::size_t position = 0;    // 1 is next to be considered over both queues; 0 while parked
  std::size_t ahead_high = 0;  // waiting before it, by queue
  std::size_t ahead_low = 0;
  std::string nearest_node;  // the node that misses least
  // On that node, per resource; zero where enough is free. Of several replicas: what the next one
  // misses when as many as possible were placed.
  Resources missing;
  Resources free_there;    // free on that node (gpu: what one demand of this kind could get)
  Resources free_total;    // over all these nodes
  Resources largest_hole;  // fragmented: the most that one node has free, per resource
  std::optional<TooLarge> too_large;
  // A smaller size of the same shape that would start at once on the nearest node, if any is > 0.
  std::optional<Resources> would_fit;
  std::vector<DeploymentId> displaced;  // for it, and not gone yet
  Constraint constraint = {};
  std::size_t allowed_nodes = 0;  // how many nodes the constraint allows
  std::uint32_t replicas = 1;
  std::uint32_t replicas_fit = 0;  // so many would fit at this moment
  std::optional<QuotaExcess> quota = {};
};

// How the engine knows a waiting deployment.
struct WaitingState {
  Priority priority = Priority::low;
  std::uint64_t order = 0;
  bool parked = false;
  bool awaits = false;
};

struct QueueEntry {
  DeploymentId id;
  Priority priority = Priority::low;
  std::uint64_t order = 0;
  Resources demand;
  std::size_t position = 0;
  Reason reason = Reason::pending_evaluation;
};

class ClusterEngine {
 public:
  // The policy adds to the rules what its name says.
  ClusterEngine(Policy policy, std::vector<Node> nodes, bool paused, Rules rules = {});
  ~ClusterEngine();
  ClusterEngine(ClusterEngine&&) noexcept;
  ClusterEngine& operator=(ClusterEngine&&) noexcept;
  [[nodiscard]] ClusterEngine clone() const;  // for what-if questions
  // The same with only the first so many of each queue: its cost does not grow with the queues.
  [[nodiscard]] ClusterEngine clone_front(std::size_t first) const;

  // Rebuilding after a start of the process: restore everything, then settle() once.
  void restore_active(const ActiveEntry& entry);
  void restore_waiting(const Queued& entry);
  // Runs the queues to the fixpoint; the answer is empty when the record was at a fixpoint.
  [[nodiscard]] Decisions settle(EngineTime now);
  [[nodiscard]] std::vector<Start> settle();  // where nobody is evicted

  // Applies one event and answers what happens because of it, in order. `now` never goes back.
  [[nodiscard]] Decisions decide(const EngineEvent& event, EngineTime now);
  // Several that have happened at once: nothing is decided by some of them alone.
  [[nodiscard]] Decisions decide(std::span<const EngineEvent> events, EngineTime now);
  // The same where nothing depends on the time and nobody is evicted. The caller commits these, or
  // throws the engine away and rebuilds it from the record. Events about unknown ids are bugs of
  // the caller (ensure), except Withdrawn/Released of ids that are not there, which do nothing.
  [[nodiscard]] std::vector<Start> apply(const EngineEvent& event);

  // Rule 6: empty when some node could hold the demand while nothing else runs; with replicas, when
  // the nodes could hold all of them at once. That is exact: equal replicas do not get into each
  // other's way except by number, so any way to place them one by one finds room for as many as
  // there is.
  [[nodiscard]] std::optional<TooLarge> never_fits(const Resources& demand) const;
  [[nodiscard]] std::optional<TooLarge> never_fits(const Resources& demand,
                                                   const Constraint& constraint,
                                                   std::uint32_t replicas = 1) const;
  // Whether some node has room for the demand at this moment.
  [[nodiscard]] bool fits_now(const Resources& demand) const;
  // Ids on nodes that the new list would lose or make too small. Empty: Resized is allowed.
  [[nodiscard]] std::vector<DeploymentId> can_resize(std::span<const Node> nodes) const;

  [[nodiscard]] std::optional<Explanation> explain(const DeploymentId& id) const;  // waiting ones
  // Many at once share what is found about the nodes; absent for those that do not wait.
  [[nodiscard]] std::vector<std::optional<Explanation>> explain(
      std::span<const DeploymentId> ids) const;
  // A smallest set of active deployments on one node whose end would let this waiting one start
  // there: exact up to three, else minimal by inclusion. Empty when it would fit now, or never. For
  // several replicas a set over all nodes, minimal by inclusion.
  [[nodiscard]] std::vector<DeploymentId> blockers(const DeploymentId& id) const;
  // Waiting deployments in the order in which they would be considered, from `position` (1..) on;
  // parked ones come last, with position 0.
  [[nodiscard]] std::vector<QueueEntry> queue(std::size_t position, std::size_t limit) const;
  // The first so many of each queue as they were queued, then as many parked ones of each.
  [[nodiscard]] std::vector<Queued> front(std::size_t first) const;
  [[nodiscard]] bool paused() const;
  [[nodiscard]] EngineStatus status() const;
  // By number. O(active): what nobody needs for deciding is not kept.
  [[nodiscard]] std::vector<TenantNow> tenants() const;
  [[nodiscard]] std::vector<ActiveEntry> active() const;
  [[nodiscard]] std::size_t waiting() const;  // how many, with parked ones
  [[nodiscard]] std::size_t active_count() const;
  [[nodiscard]] const Node& node(std::uint32_t index) const;
  [[nodiscard]] NodeState node_state(std::uint32_t index) const;
  [[nodiscard]] EngineTime now() const;  // of the last event
  [[nodiscard]] Rules rules() const;
  // Nobody is displaced, filled in or waited for until he is overtaken no more.
  [[nodiscard]] bool follows_plain_rules() const;
  [[nodiscard]] bool is_waiting(const DeploymentId& id) const;
  [[nodiscard]] std::optional<WaitingState> waiting_as(const DeploymentId& id) const;
  [[nodiscard]] bool is_active(const DeploymentId& id) const;
  [[nodiscard]] std::optional<ActiveEntry> active_as(const DeploymentId& id) const;

  // Throws std::logic_error with a sentence when an invariant does not hold: conservation per node,
  // resource and device, free >= 0, order of queues, work conservation. O(n): for tests and doctor.
  void check() const;
  // A hash over everything that decides future answers; equal states have equal hashes.
  [[nodiscard]] std::uint64_t state_hash() const;
  // Bytes that all waiting deployments take together, counted (for the benchmark's memory figure).
  [[nodiscard]] std::size_t memory_bytes() const;

  struct Impl;  // known only to the files that implement this class

 private:
  friend class StateAccess;  // engine_state.cc
  std::unique_ptr<Impl> impl_;
};

}  // namespace berth
