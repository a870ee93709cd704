// The state of one cluster's engine. Shared by the files that implement ClusterEngine only.
//
// Why a pass need not look at everything: within a pass free resources only shrink, so a demand
// that fails once fails until the end of the pass; and a queue that was gone through to its end
// (its fixpoint) can only get moving again where something was freed since, or with a demand that
// has begun to wait since. `freed` keeps the former per priority, ShapeTable::is_fresh() the
// latter. For the low queue both pile up while the high queue keeps it from being processed.
#pragma once
#include <array>
#include <limits>
#include <vector>

#include "scheduler/active_set.h"
#include "scheduler/constraint_table.h"
#include "scheduler/engine.h"
#include "scheduler/node_table.h"
#include "scheduler/tenants.h"
#include "scheduler/victims.h"
#include "scheduler/waiting_queues.h"

namespace berth {

// Nodes on which something was freed since a queue was last gone through.
struct FreedNodes {
  std::vector<NodeIndex> list;
  std::vector<bool> listed;

  void add(NodeIndex n) {
    if (listed[n]) return;
    listed[n] = true;
    list.push_back(n);
  }
  void add_all(std::size_t nodes) {
    listed.assign(nodes, false);
    list.clear();
    for (NodeIndex n = 0; n < nodes; ++n) add(n);
  }
  void clear() {
    for (const NodeIndex n : list) listed[n] = false;
    list.clear();
  }
};

// A place for each replica.
struct Places {
  Placement first;
  std::vector<Placement> more;
};

// Whether all replicas together ask for no more than that.
[[nodiscard]] inline bool within(const Shape& shape, const Resources& headroom) {
  if (shape.replicas == 1) return fits_into(shape.demand, headroom);
  return fits_into(repeated(shape.demand, shape.replicas), headroom);
}

inline constexpr EngineTime kNoEnd = std::numeric_limits<EngineTime>::max();

struct ClusterEngine::Impl {
  Rules rules;  // without the mix, which the nodes keep
  EngineTime now = 0;
  bool paused = false;
  bool settled = true;  // false between restore_*() and settle()
  NodeTable nodes;
  ActiveSet active;
  WaitingQueues waiting;
  ConstraintTable constraints;  // of those that wait
  Tenants tenants;
  std::array<FreedNodes, 2> freed;  // by priority

  using Head = HeadIndex::Head;
  // Of the pass that runs, for each lane a heap; kept for their memory.
  std::vector<std::vector<Head>> heads;
  std::vector<ShapeTable::Row> candidates;
  std::vector<Shape> failed;  // with replicas, in this run; a few

  FreedNodes& freed_for(Priority p) { return freed[static_cast<std::size_t>(p)]; }

  void on(const Queued& event);
  void on(const Unparked& event);
  void on(const Withdrawn& event);
  void on(const Reprioritized& event);
  void on(const Released& event);
  void on(const Resized& event);
  void on(const PauseChanged& event);
  void on(const Leaving& event);
  void on(const RulesChanged& event);

  void run(Decisions& out);
  // False when somebody who is overdue has stopped it.
  bool pass(Priority priority, std::vector<Start>& starts);
  bool start_overdue(std::vector<Start>& starts);
  [[nodiscard]] bool any_overdue() const;
  void backfill(std::vector<Start>& starts);
  void preempt(std::vector<Evict>& evictions);
  void preempt_for_overdue(std::vector<Evict>& evictions);
  void displace(const std::vector<Head>& for_whom, std::vector<Evict>& evictions);
  [[nodiscard]] NodeRoom room_of(NodeIndex n) const;
  void occupy(NodeTable& table) const;
  [[nodiscard]] Queued queued(WaitingQueues::Slot slot) const;
  [[nodiscard]] std::vector<Queued> front(std::size_t first) const;  // as in engine.h
  [[nodiscard]] SharedRoom shared_room(const Shape& shape) const;
  void collect_heads(Priority priority, bool few_freed);
  void push_head(std::uint32_t lane, const Head& head);
  void drop_head(std::uint32_t lane, const Head& head);
  [[nodiscard]] Head next_in(std::uint32_t lane, Priority priority, bool few_freed);
  [[nodiscard]] bool fails_like_another(const Shape& shape) const;
  bool try_head(Priority priority, const Head& head, bool few_freed, std::vector<Start>& starts);
  bool go_through(Priority priority, bool few_freed, std::vector<Start>& starts);
  bool go_through_lanes(Priority priority, bool few_freed, std::vector<Start>& starts);
  // Whose turn it is among the tenants: the smallest goes first.
  [[nodiscard]] std::pair<std::uint64_t, std::uint64_t> turn(std::uint32_t lane,
                                                             const Head& head) const;
  // The most that one deployment in the lane may ask for: nothing while the queue is closed to it.
  [[nodiscard]] Resources allowed(Priority priority, std::uint32_t lane) const;
  [[nodiscard]] std::optional<Places> find(const Shape& shape);
  [[nodiscard]] std::optional<Places> find_several(const Shape& shape);
  [[nodiscard]] bool could_hold(const Shape& shape) const {
    const NodeSet* only = constraints.allowed(shape.constraint);
    if (shape.replicas == 1) return nodes.could_hold(shape.demand, only);
    return nodes.copies_when_empty(shape.demand, only, shape.replicas) == shape.replicas;
  }
  void leave_queue(WaitingQueues::Slot slot);
  void start(WaitingQueues::Slot slot, Places places, std::vector<Start>& starts);
  void free_everything();  // every queue must be compared with every node again

  [[nodiscard]] bool low_is_blocked() const;
  [[nodiscard]] WaitingQueues::Slot waiting_slot(const DeploymentId& id) const;
};

}  // namespace berth
