// The state of one cluster's engine. Shared by the files that implement ClusterEngine only.
//
// Why a pass need not look at everything: within a pass free resources only shrink, so a demand
// that fails once fails until the end of the pass; and a queue that was gone through to its end
// (its fixpoint) can only get moving again where something was freed since, or with a demand that
// has begun to wait since. `freed` keeps the former per priority, ShapeTable::fresh() the latter.
// For the low queue both pile up while the high queue keeps it from being processed.
#pragma once
#include <array>
#include <limits>
#include <vector>

#include "scheduler/active_set.h"
#include "scheduler/engine.h"
#include "scheduler/node_table.h"
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

inline constexpr EngineTime kNoEnd = std::numeric_limits<EngineTime>::max();

struct ClusterEngine::Impl {
  Policy policy = Policy::strict;
  Rules rules;  // without the mix, which the nodes keep
  EngineTime now = 0;
  bool paused = false;
  bool settled = true;  // false between restore_*() and settle()
  NodeTable nodes;
  ActiveSet active;
  WaitingQueues waiting;
  std::array<FreedNodes, 2> freed;  // by priority

  using Head = HeadIndex::Head;
  std::vector<Head> heads;  // of the pass that runs, a heap; kept for its memory
  std::vector<ShapeTable::Row> candidates;

  FreedNodes& freed_for(Priority p) { return freed[static_cast<std::size_t>(p)]; }

  void on(const Queued& event);
  void on(const Unparked& event);
  void on(const Withdrawn& event);
  void on(const Reprioritized& event);
  void on(const Released& event);
  void on(const Resized& event);
  void on(const PauseChanged& event);

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
  void collect_heads(Priority priority, bool few_freed);
  [[nodiscard]] Head next_head(Priority priority, bool few_freed);
  [[nodiscard]] std::optional<Placement> find(const Resources& demand);
  void start(WaitingQueues::Slot slot, Placement placement, std::vector<Start>& starts);
  void free_everything();  // every queue must be compared with every node again

  [[nodiscard]] bool low_is_blocked() const {
    return waiting.band(Priority::high).shapes.feasible_waiting() > 0;
  }
  [[nodiscard]] WaitingQueues::Slot waiting_slot(const DeploymentId& id) const;
};

}  // namespace berth
