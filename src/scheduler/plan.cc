#include "scheduler/plan.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <map>
#include <queue>
#include <set>

#include "core/resources.h"

namespace berth {
namespace {

class Planner {
 public:
  Planner(const ClusterEngine& engine, EngineTime now)
      : engine_(engine.clone()), now_(std::max(now, engine.now())) {
    for (const QueueEntry& entry : engine_.queue(1, engine_.waiting())) {
      next_order_ = std::max(next_order_, entry.order + 1);
    }
    for (const ActiveEntry& entry : engine_.active()) {
      next_order_ = std::max(next_order_, entry.order + 1);
      note_end(entry);
    }
  }

  PlanStep step(const PlanCommand& command) {
    PlanStep out;
    std::visit([&](const auto& one) { out.refused = run(one, out); }, command);
    return out;
  }

  // Lets end what has declared to end until then.
  void advance(EngineTime until, std::size_t limit) {
    while (!ends_.empty() && ends_.top().first <= until && happened_.size() < limit) {
      const auto [when, id] = ends_.top();
      ends_.pop();
      const auto entry = engine_.active_as(id);
      // Displaced meanwhile, and perhaps started anew.
      if (!entry || std::max(now_, entry->started + entry->max_run) > std::max(now_, when))
        continue;
      now_ = std::max(now_, when);
      happened_.push_back({now_, Happening::ends, id, {}});
      PlanStep ignored;
      apply({Released{id}}, ignored);
    }
    now_ = std::max(now_, until);
  }

  [[nodiscard]] const ClusterEngine& engine() const { return engine_; }
  [[nodiscard]] std::vector<Happened>& happened() { return happened_; }
  [[nodiscard]] EngineTime now() const { return now_; }

 private:
  void note_end(const ActiveEntry& entry) {
    if (entry.max_run > 0) ends_.emplace(std::max(now_, entry.started + entry.max_run), entry.id);
  }

  // What happens at once, and what follows when the evicted leave at once.
  void apply(std::vector<EngineEvent> first, PlanStep& out) {
    std::vector<std::vector<EngineEvent>> events{std::move(first)};
    for (std::size_t i = 0; i < events.size(); ++i) {
      const Decisions decisions = engine_.decide(events[i], now_);
      for (const Start& start : decisions.starts) {
        const std::string& node = engine_.node(start.placement.node).name;
        std::vector<std::string> more;
        for (const Placement& place : start.more) more.push_back(engine_.node(place.node).name);
        out.starts.push_back({start.id, node, std::move(more)});
        happened_.push_back({now_, Happening::starts, start.id, node});
        note_end(*engine_.active_as(start.id));
      }
      for (const Evict& evict : decisions.evictions) {
        out.evictions.push_back(evict);
        happened_.push_back({now_, Happening::displaced, evict.id, {}, evict.for_whom});
        events.push_back({Released{evict.id}, queued_again(*engine_.active_as(evict.id))});
      }
    }
  }

  [[nodiscard]] Queued queued_again(const ActiveEntry& entry) const {
    return {entry.id,
            entry.priority,
            entry.order,
            entry.demand,
            false,
            now_,
            entry.max_run,
            false,
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
    apply({Queued{c.id, c.priority, next_order_++, c.demand, false, now_, c.max_run, false,
                  c.constraint, c.replicas, c.tenant}},
          out);
    return {};
  }

  std::string run(const PlanStop& c, PlanStep& out) {
    if (engine_.is_waiting(c.id)) {
      apply({Withdrawn{c.id}}, out);
    } else if (engine_.is_active(c.id)) {
      apply({Released{c.id}}, out);
    } else {
      return "It neither waits nor runs.";
    }
    return {};
  }

  std::string run(const PlanPriority& c, PlanStep& out) {
    if (!engine_.is_waiting(c.id)) return "It does not wait.";
    apply({Reprioritized{c.id, c.priority}}, out);
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
    apply({Resized{c.nodes}}, out);
    return {};
  }

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
    std::vector<EngineEvent> events;
    for (const ActiveEntry& entry : engine_.active()) {
      bool on_it = false;
      for_each_place(entry, [&](const Placement& place) { on_it |= place.node == lost; });
      if (!on_it) continue;
      events.emplace_back(Released{entry.id});
      events.emplace_back(queued_again(entry));
      out.returns.push_back(entry.id);
      happened_.push_back({now_, Happening::returns, entry.id, {}});
    }
    events.emplace_back(Resized{rest});
    apply(std::move(events), out);
    return {};
  }

  using End = std::pair<EngineTime, DeploymentId>;

  ClusterEngine engine_;
  EngineTime now_;
  std::uint64_t next_order_ = 1;
  std::vector<Happened> happened_;
  std::priority_queue<End, std::vector<End>, std::greater<>> ends_;
};

std::map<DeploymentId, std::size_t> positions(const ClusterEngine& engine, std::size_t limit) {
  std::map<DeploymentId, std::size_t> out;
  for (const QueueEntry& entry : engine.queue(1, limit)) out.emplace(entry.id, entry.position);
  return out;
}

}  // namespace

namespace {

// When each of those that start does so for the first time.
std::map<DeploymentId, EngineTime> first_starts(const std::vector<Happened>& happened) {
  std::map<DeploymentId, EngineTime> out;
  for (const Happened& one : happened) {
    if (one.what == Happening::starts) out.emplace(one.id, one.at);
  }
  return out;
}

std::optional<EngineTime> at(const std::map<DeploymentId, EngineTime>& starts,
                             const DeploymentId& id) {
  const auto found = starts.find(id);
  return found == starts.end() ? std::nullopt : std::optional(found->second);
}

std::vector<StartShift> shifts(const std::vector<Happened>& without,
                               const std::vector<Happened>& with) {
  const auto before = first_starts(without);
  const auto after = first_starts(with);
  std::set<DeploymentId> ids;
  for (const auto* starts : {&before, &after}) {
    for (const auto& [id, when] : *starts) ids.insert(id);
  }
  std::vector<StartShift> out;
  for (const DeploymentId& id : ids) {
    if (at(before, id) != at(after, id)) out.push_back({id, at(before, id), at(after, id)});
  }
  std::ranges::sort(out, {}, [](const StartShift& s) {
    return std::pair(s.after.value_or(std::numeric_limits<EngineTime>::max()), s.id);
  });
  return out;
}

}  // namespace

Foresight foresee(const ClusterEngine& engine, std::span<const TimedCommand> commands,
                  EngineTime now, EngineTime horizon, std::size_t limit) {
  Planner without(engine, now);
  const EngineTime end = without.now() + horizon;
  without.advance(end, limit);
  Planner with(engine, now);
  const EngineTime begin = with.now();
  Foresight out;
  for (const TimedCommand& command : commands) {
    with.advance(std::min(begin + command.after, end), limit);
    out.steps.push_back(with.step(command.command));
  }
  with.advance(end, limit);
  out.cut = with.happened().size() >= limit || without.happened().size() >= limit;
  out.shifts = shifts(without.happened(), with.happened());
  out.happened = std::move(with.happened());
  return out;
}

Plan plan(const ClusterEngine& engine, std::span<const PlanCommand> commands, EngineTime now,
          std::size_t limit) {
  Planner planner(engine, now);
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
    const std::size_t then =
        there != after.end() ? there->second : position_of(planner.engine(), id);
    if (then != position) out.moves.push_back({id, position, then});
  }
  for (const auto& [id, position] : after) {
    if (before.contains(id)) continue;
    const std::size_t old = position_of(engine, id);
    if (old != position) out.moves.push_back({id, old, position});
  }
  const auto rank = [](const PlanMove& move) { return std::pair(move.after, move.id); };
  std::ranges::sort(out.moves, {}, rank);
  return out;
}

}  // namespace berth
