// What-if questions: name on the wire, member, and everything a reader, a writer and the OpenAPI
// description need to know about it.
#pragma once
#include "api/schema_rules.h"

namespace berth::json {

using namespace berth::api;

template <>
struct Schema<PlanCommandBody> {
  static constexpr std::string_view name = "PlanCommand";
  static constexpr std::string_view doc = "Something that one might do to the cluster.";
  static constexpr auto fields = std::tuple{
      field("kind", &PlanCommandBody::kind,
            rule::must("submit: 'resources' and 'priority'; stop: 'deployment_id'; prioritize: "
                       "'deployment_id' and 'priority'; resize: 'nodes'; lose_node: 'node'.",
                       "\"submit\"")),
      field("deployment_id", &PlanCommandBody::deployment_id,
            rule::doc("Which one is stopped or gets another priority.")),
      field("priority", &PlanCommandBody::priority, rule::doc("high or low.")),
      field("resources", &PlanCommandBody::resources, rule::doc("What the new one asks for.")),
      field("max_run_time", &PlanCommandBody::max_run_time,
            rule::doc("How long the new one runs at most.")),
      field("nodes", &PlanCommandBody::nodes,
            {.doc = "The new node list.", .min_len = 1, .max_len = 10'000}),
      field("node", &PlanCommandBody::node, rule::name("The node that is lost.", "\"n1\"", false)),
  };
};

template <>
struct Schema<PlanRequest> {
  static constexpr std::string_view name = "PlanRequest";
  static constexpr std::string_view doc =
      "Commands that are tried one after the other on a copy; nothing is done.";
  static constexpr auto fields = std::tuple{
      field("commands", &PlanRequest::commands,
            {.doc = "In this order.", .min_len = 1, .max_len = 100, .required = true}),
  };
};

template <>
struct Schema<PlanStartView> {
  static constexpr Use use = Use::response;
  static constexpr std::string_view name = "PlanStart";
  static constexpr std::string_view doc = "A deployment that would start.";
  static constexpr auto fields = std::tuple{
      field("deployment_id", &PlanStartView::deployment_id, rule::must("Which one.")),
      field("node", &PlanStartView::node, rule::must("Where.", "\"n1\"")),
  };
};

template <>
struct Schema<PlanEvictionView> {
  static constexpr Use use = Use::response;
  static constexpr std::string_view name = "PlanEviction";
  static constexpr std::string_view doc = "A deployment that would lose its place.";
  static constexpr auto fields = std::tuple{
      field("deployment_id", &PlanEvictionView::deployment_id, rule::must("Which one.")),
      field("for_deployment_id", &PlanEvictionView::for_deployment_id, rule::must("For whom.")),
  };
};

template <>
struct Schema<PlanStepView> {
  static constexpr Use use = Use::response;
  static constexpr std::string_view name = "PlanStep";
  static constexpr std::string_view doc = "What one command would do.";
  static constexpr auto fields = std::tuple{
      field("deployment_id", &PlanStepView::deployment_id,
            rule::doc("Under which id the other lines speak of the one that is submitted.")),
      field("refused", &PlanStepView::refused, rule::doc("Why the command would do nothing.")),
      field("starts", &PlanStepView::starts, rule::must("Who would start, in this order.")),
      field("evictions", &PlanStepView::evictions, rule::must("Who would be displaced.")),
      field("returns", &PlanStepView::returns,
            rule::must("Who would wait again because their node is lost.")),
  };
};

template <>
struct Schema<PlanMoveView> {
  static constexpr Use use = Use::response;
  static constexpr std::string_view name = "PlanMove";
  static constexpr std::string_view doc = "A place in the queue that would change.";
  static constexpr auto fields = std::tuple{
      field("deployment_id", &PlanMoveView::deployment_id, rule::must("Whose.")),
      field("before", &PlanMoveView::before, rule::must("Position now; 0: it does not wait.")),
      field("after", &PlanMoveView::after, rule::must("Position then; 0: it does not wait.")),
  };
};

template <>
struct Schema<PlanView> {
  static constexpr Use use = Use::response;
  static constexpr std::string_view name = "Plan";
  static constexpr std::string_view doc = "What would happen. Nothing has.";
  static constexpr auto fields = std::tuple{
      field("steps", &PlanView::steps, rule::must("One for each command.")),
      field("moves", &PlanView::moves,
            rule::must("Positions that differ at the end, of the first 1,000 of the queue.")),
  };
};

}  // namespace berth::json
