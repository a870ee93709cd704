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
      return PlanSubmit{made_up_id(index), body.priority.value_or(Priority::low),
                        from_body(*body.resources),
                        body.max_run_time ? body.max_run_time->micros / 1000 : 0};
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

PlanView view(const Plan& plan, const PlanRequest& asked) {
  PlanView out;
  for (std::size_t i = 0; i < plan.steps.size(); ++i) {
    const PlanStep& step = plan.steps[i];
    PlanStepView one;
    if (asked.commands[i].kind == PlanKind::submit) one.deployment_id = made_up_id(i);
    if (!step.refused.empty()) one.refused = step.refused;
    for (const PlanStart& start : step.starts) one.starts.push_back({start.id, start.node});
    for (const Evict& evict : step.evictions) one.evictions.push_back({evict.id, evict.for_whom});
    one.returns = step.returns;
    out.steps.push_back(std::move(one));
  }
  for (const PlanMove& move : plan.moves) out.moves.push_back({move.id, move.before, move.after});
  return out;
}

}  // namespace

void add_plan_routes(std::vector<Route>& table, const Services& s) {
  table.push_back(typed<PlanRequest, PlanView>(
      {"POST", "/api/v1/clusters/{cluster_id}/plan", Operation::cluster_plan, "planCluster",
       "Clusters", "What would happen if: try commands on a copy of the cluster"},
      [&clusters = s.clusters](Context& c, PlanRequest body) -> Task<Result<Reply<PlanView>>> {
        auto id = c.id<ClusterId>("cluster_id", "cluster");
        if (!id) co_return std::unexpected(std::move(id.error()));
        std::vector<PlanCommand> commands;
        for (std::size_t i = 0; i < body.commands.size(); ++i) {
          auto command = command_of(body.commands[i], i);
          if (!command) co_return std::unexpected(std::move(command.error()));
          commands.push_back(*std::move(command));
        }
        auto answer = co_await clusters.plan(c.who(), *id, std::move(commands));
        if (!answer) co_return std::unexpected(std::move(answer.error()));
        co_return reply(view(*answer, body));
      }));
}

}  // namespace berth::api
