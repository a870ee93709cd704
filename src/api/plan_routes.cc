#include <fmt/format.h>

#include <map>
#include <set>

#include "api/api.h"
#include "api/convert.h"
#include "api/schemas.h"

namespace berth::api {
namespace {

std::unexpected<Error> missing(std::size_t index, const char* field) {
  return fail_field("/commands/" + std::to_string(index) + "/" + field, "required",
                    "A command of this kind needs it.");
}

// The id under which the answer speaks of the deployment that command `index` would submit. No real
// one has it: ids begin with the time at which they were made.
DeploymentId made_up_id(std::size_t index) {
  IdBytes bytes{};
  bytes[14] = static_cast<std::uint8_t>((index + 1) >> 8);
  bytes[15] = static_cast<std::uint8_t>(index + 1);
  return DeploymentId(bytes);
}

Result<PlanCommand> command_of(const PlanCommandBody& body, std::size_t index) {
  switch (body.kind) {
    case PlanKind::submit:
      if (!body.resources) return missing(index, "resources");
      return PlanSubmit{made_up_id(index),
                        body.priority.value_or(Priority::low),
                        from_body(*body.resources),
                        body.max_run_time ? body.max_run_time->micros / 1000 : 0,
                        {body.gpu_model.value_or(""), body.node_labels},
                        static_cast<std::uint32_t>(body.replicas.value_or(1))};
    case PlanKind::stop:
      if (!body.deployment_id) return missing(index, "deployment_id");
      return PlanStop{*body.deployment_id};
    case PlanKind::prioritize:
      if (!body.deployment_id) return missing(index, "deployment_id");
      if (!body.priority) return missing(index, "priority");
      return PlanPriority{*body.deployment_id, *body.priority};
    case PlanKind::resize:
      if (!body.nodes) return missing(index, "nodes");
      return PlanResize{from_body(*body.nodes)};
    case PlanKind::lose_node:
      if (!body.node) return missing(index, "node");
      return PlanLoseNode{*body.node};
  }
  return missing(index, "kind");
}

using Names = std::map<DeploymentId, std::string>;

std::optional<std::string> name_in(const Names& names, const DeploymentId& id) {
  const auto found = names.find(id);
  return found == names.end() ? std::nullopt : std::optional(found->second);
}

std::set<DeploymentId> ids_of(const std::vector<PlanStep>& steps) {
  std::set<DeploymentId> out;
  for (const PlanStep& step : steps) {
    for (const PlanStart& start : step.starts) out.insert(start.id);
    for (const Evict& evict : step.evictions) out.insert({evict.id, evict.for_whom});
  }
  return out;
}

std::vector<PlanStepView> views(const std::vector<PlanStep>& steps, const Names& names,
                                const std::vector<PlanCommandBody>& asked) {
  std::vector<PlanStepView> out;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const PlanStep& step = steps[i];
    PlanStepView one;
    if (asked[i].kind == PlanKind::submit) one.deployment_id = made_up_id(i);
    if (!step.refused.empty()) one.refused = step.refused;
    for (const PlanStart& start : step.starts)
      one.starts.push_back({start.id, name_in(names, start.id), start.node, start.more});
    for (const Evict& evict : step.evictions) {
      one.evictions.push_back(
          {evict.id, name_in(names, evict.id), evict.for_whom, name_in(names, evict.for_whom)});
    }
    one.returns = step.returns;
    out.push_back(std::move(one));
  }
  return out;
}

Timestamp time_of(EngineTime t) { return {t * 1000}; }
std::optional<Timestamp> time_of(std::optional<EngineTime> t) {
  return t ? std::optional(time_of(*t)) : std::nullopt;
}

ForesightView view(const Foresight& seen, std::optional<std::int64_t> index, const Names& names,
                   const std::vector<PlanCommandBody>& asked) {
  ForesightView out;
  out.index = index;
  out.steps = views(seen.steps, names, asked);
  out.cut = seen.cut;
  for (const Happened& one : seen.happened) {
    HappenedView row{time_of(one.at), one.what, one.id, name_in(names, one.id), {}, {}};
    if (!one.node.empty()) row.node = one.node;
    if (!one.for_whom.is_nil()) row.for_deployment_id = one.for_whom;
    out.happened.push_back(std::move(row));
  }
  for (const StartShift& shift : seen.shifts) {
    out.shifts.push_back(
        {shift.id, name_in(names, shift.id), time_of(shift.before), time_of(shift.after)});
  }
  return out;
}

Result<std::vector<PlanCommand>> commands_of(Clusters& clusters, Context& c, const ClusterId& id,
                                             const std::vector<PlanCommandBody>& bodies) {
  std::vector<PlanCommand> out;
  for (std::size_t i = 0; i < bodies.size(); ++i) {
    auto command = command_of(bodies[i], i);
    if (!command) return std::unexpected(std::move(command.error()));
    if (auto* submit = std::get_if<PlanSubmit>(&*command)) {
      const auto tenant = clusters.tenant(c.who(), id, bodies[i].organization_id,
                                          fmt::format("/commands/{}/organization_id", i));
      if (!tenant) return std::unexpected(tenant.error());
      submit->tenant = *tenant;
    }
    out.push_back(*std::move(command));
  }
  return out;
}

// Each at its time; one without a time comes with the one before.
Result<std::vector<TimedCommand>> timed(std::vector<PlanCommand> commands,
                                        const std::vector<PlanCommandBody>& bodies) {
  std::vector<TimedCommand> out;
  EngineTime last = 0;
  for (std::size_t i = 0; i < commands.size(); ++i) {
    const EngineTime after = bodies[i].after ? bodies[i].after->micros / 1000 : last;
    if (after < last) {
      return fail_field("/commands/" + std::to_string(i) + "/after", "out_of_order",
                        "Commands come in the order of their times.");
    }
    last = after;
    out.push_back({after, std::move(commands[i])});
  }
  return out;
}

Task<Result<Reply<PlanView>>> answer_plan(Clusters& clusters, Context& c, PlanRequest body) {
  auto id = c.id<ClusterId>("cluster_id", "cluster");
  if (!id) co_return std::unexpected(std::move(id.error()));
  auto commands = commands_of(clusters, c, *id, body.commands);
  if (!commands) co_return std::unexpected(std::move(commands.error()));
  for (std::size_t i = 0; i < body.commands.size(); ++i) {
    if (!body.commands[i].after) continue;
    co_return fail_field("/commands/" + std::to_string(i) + "/after", "not_supported",
                         "A plan is for one moment; times are for .../simulate.");
  }
  auto plan = co_await clusters.plan(c.who(), *id, *std::move(commands));
  if (!plan) co_return std::unexpected(std::move(plan.error()));
  auto ids = ids_of(plan->value.steps);
  for (const PlanMove& move : plan->value.moves) ids.insert(move.id);
  const auto names = clusters.names(c.who(), ids);
  if (!names) co_return std::unexpected(names.error());
  PlanView out{views(plan->value.steps, *names, body.commands), {}, plan->index};
  for (const PlanMove& move : plan->value.moves)
    out.moves.push_back({move.id, name_in(*names, move.id), move.before, move.after});
  co_return reply(std::move(out));
}

Task<Result<Reply<ForesightView>>> answer_simulation(Clusters& clusters, Context& c,
                                                     SimulateRequest body) {
  constexpr auto kHorizon = std::chrono::hours(24);
  auto id = c.id<ClusterId>("cluster_id", "cluster");
  if (!id) co_return std::unexpected(std::move(id.error()));
  auto commands = commands_of(clusters, c, *id, body.commands);
  if (!commands) co_return std::unexpected(std::move(commands.error()));
  auto in_time = timed(*std::move(commands), body.commands);
  if (!in_time) co_return std::unexpected(std::move(in_time.error()));
  const std::chrono::milliseconds horizon =
      body.horizon ? std::chrono::milliseconds(body.horizon->micros / 1000) : kHorizon;
  auto seen = co_await clusters.simulate(c.who(), *id, *std::move(in_time), horizon);
  if (!seen) co_return std::unexpected(std::move(seen.error()));
  auto ids = ids_of(seen->value.steps);
  for (const Happened& one : seen->value.happened) ids.insert(one.id);
  for (const StartShift& shift : seen->value.shifts) ids.insert(shift.id);
  const auto names = clusters.names(c.who(), ids);
  if (!names) co_return std::unexpected(names.error());
  co_return reply(view(seen->value, seen->index, *names, body.commands));
}

}  // namespace

void add_plan_routes(std::vector<Route>& table, const Services& s) {
  table.push_back(typed<PlanRequest, PlanView>(
      {"POST", "/api/v1/clusters/{cluster_id}/plan", Operation::cluster_plan, "planCluster",
       "Clusters", "What would happen if: try commands on a copy of the cluster"},
      [&clusters = s.clusters](Context& c, PlanRequest body) {
        return answer_plan(clusters, c, std::move(body));
      }));
  table.push_back(typed<SimulateRequest, ForesightView>(
      {"POST", "/api/v1/clusters/{cluster_id}/simulate", Operation::cluster_plan, "simulateCluster",
       "Clusters", "What would happen in time: who starts when, and whose start moves"},
      [&clusters = s.clusters](Context& c, SimulateRequest body) {
        return answer_simulation(clusters, c, std::move(body));
      }));
}

}  // namespace berth::api
