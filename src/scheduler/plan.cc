#include "scheduler/plan.h"

#include <algorithm>
#include <map>
#include <set>

#include "core/resources.h"

namespace berth {
namespace {

class Planner {
 public:
  explicit Planner(const ClusterEngine& engine) : engine_(engine.clone()) {
    for (const QueueEntry& entry : engine_.queue(1, engine_.waiting())) {
      next_order_ = std::max(next_order_, entry.order + 1);
    }
    for (const ActiveEntry& entry : engine_.active()) {
      next_order_ = std::max(next_order_, entry.order + 1);
    }
  }

  PlanStep step(const PlanCommand& command) {
    PlanStep out;
    std::visit([&](const auto& one) { out.refused = run(one, out); }, command);
    return out;
  }

  [[nodiscard]] const ClusterEngine& engine() const { return engine_; }

 private:
  // One event, and those that follow when the evicted leave at once.
  void apply(const EngineEvent& event, PlanStep& out) {
    std::vector<EngineEvent> events{event};
    for (std::size_t i = 0; i < events.size(); ++i) {
      const Decisions decisions = engine_.decide(events[i], engine_.now());
      for (const Start& start : decisions.starts) {
        std::vector<std::string> more;
        for (const Placement& place : start.more) more.push_back(engine_.node(place.node).name);
        out.starts.push_back({start.id, engine_.node(start.placement.node).name, std::move(more)});
      }
      if (decisions.evictions.empty()) continue;
      std::map<DeploymentId, ActiveEntry> active;
      for (const ActiveEntry& entry : engine_.active()) active.emplace(entry.id, entry);
      for (const Evict& evict : decisions.evictions) {
        out.evictions.push_back(evict);
        events.emplace_back(Released{evict.id});
        events.emplace_back(queued_again(active.at(evict.id)));
      }
    }
  }

  [[nodiscard]] Queued queued_again(const ActiveEntry& entry) const {
    return {entry.id,
            entry.priority,
            entry.order,
            entry.demand,
            false,
            engine_.now(),
            entry.max_run,
            entry.constraint,
            static_cast<std::uint32_t>(1 + entry.more.size()),
            entry.tenant};
  }

  std::string run(const PlanSubmit& c, PlanStep& out) {
    if (engine_.is_waiting(c.id) || engine_.is_active(c.id)) return "It is there already.";
    if (const auto refused = engine_.never_fits(c.demand, c.constraint, c.replicas)) {
      if (!refused->unsatisfied.empty()) return "No node satisfies its constraint.";
      if (refused->replicas_fit > 0) {
        return "The nodes could never hold more than " + std::to_string(refused->replicas_fit) +
               " of the " + std::to_string(refused->replicas) + " replicas.";
      }
      return "No node could ever hold it; the largest that would fit is " +
             resources_text(refused->largest) + ".";
    }
    apply(Queued{c.id, c.priority, next_order_++, c.demand, false, engine_.now(), c.max_run,
                 c.constraint, c.replicas, c.tenant},
          out);
    return {};
  }

  std::string run(const PlanStop& c, PlanStep& out) {
    if (engine_.is_waiting(c.id)) {
      apply(Withdrawn{c.id}, out);
    } else if (engine_.is_active(c.id)) {
      apply(Released{c.id}, out);
    } else {
      return "It neither waits nor runs.";
    }
    return {};
  }

  std::string run(const PlanPriority& c, PlanStep& out) {
    if (!engine_.is_waiting(c.id)) return "It does not wait.";
    apply(Reprioritized{c.id, c.priority}, out);
    return {};
  }

  std::string run(const PlanResize& c, PlanStep& out) {
    std::set<std::string_view> names;
    for (const Node& node : c.nodes) {
      if (!names.insert(node.name).second) return "Two nodes have the name " + node.name + ".";
    }
    const auto held = engine_.can_resize(c.nodes);
    if (!held.empty()) {
      return std::to_string(held.size()) + " deployments run on nodes that would go or shrink.";
    }
    apply(Resized{c.nodes}, out);
    return {};
  }

  // Nothing may start on the lost node in between, and nothing into room that its deployments,
  // which wait again, would take first: the queues stand still until the node is gone.
  std::string run(const PlanLoseNode& c, PlanStep& out) {
    const EngineStatus status = engine_.status();
    std::vector<Node> rest;
    std::uint32_t lost = 0;
    for (std::uint32_t n = 0; n < status.nodes.size(); ++n) {
      if (status.nodes[n].node.name == c.node) {
        lost = n;
      } else {
        rest.push_back(status.nodes[n].node);
      }
    }
    if (rest.size() == status.nodes.size()) return "There is no node " + c.node + ".";
    apply(PauseChanged{true}, out);
    for (const ActiveEntry& entry : engine_.active()) {
      bool on_it = false;
      for_each_place(entry, [&](const Placement& place) { on_it |= place.node == lost; });
      if (!on_it) continue;
      apply(Released{entry.id}, out);
      apply(queued_again(entry), out);
      out.returns.push_back(entry.id);
    }
    apply(Resized{rest}, out);
    if (!status.paused) apply(PauseChanged{false}, out);
    return {};
  }

  ClusterEngine engine_;
  std::uint64_t next_order_ = 1;
};

std::map<DeploymentId, std::size_t> positions(const ClusterEngine& engine, std::size_t limit) {
  std::map<DeploymentId, std::size_t> out;
  for (const QueueEntry& entry : engine.queue(1, limit)) out.emplace(entry.id, entry.position);
  return out;
}

}  // namespace

Plan plan(const ClusterEngine& engine, std::span<const PlanCommand> commands, std::size_t limit) {
  Planner planner(engine);
  const auto before = positions(engine, limit);
  Plan out;
  for (const PlanCommand& command : commands) out.steps.push_back(planner.step(command));
  const auto after = positions(planner.engine(), limit);
  const auto position_of = [](const ClusterEngine& which, const DeploymentId& id) {
    const auto now = which.explain(id);
    return now ? now->position : 0;
  };
  for (const auto& [id, position] : before) {
    const auto there = after.find(id);
    const std::size_t now =
        there != after.end() ? there->second : position_of(planner.engine(), id);
    if (now != position) out.moves.push_back({id, position, now});
  }
  for (const auto& [id, position] : after) {
    if (before.contains(id)) continue;
    const std::size_t then = position_of(engine, id);
    if (then != position) out.moves.push_back({id, then, position});
  }
  const auto rank = [](const PlanMove& move) { return std::pair(move.after, move.id); };
  std::ranges::sort(out.moves, {}, rank);
  return out;
}

}  // namespace berth
