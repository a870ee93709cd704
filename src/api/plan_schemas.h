// What-if questions: name on the wire, member, and everything a reader, a writer and the OpenAPI
// description need to know about it.
#pragma once
#include "api/schema_rules.h"

namespace berth::json {

using namespace berth::api;

inline constexpr std::int64_t kLongestSimulation = std::int64_t{366} * 24 * 3600 * 1'000'000;

template <>
struct Schema<PlanCommandBody> {
  static constexpr std::string_view name = "PlanCommand";
  static constexpr std::string_view doc = "Something that one might do to the cluster.";
  static constexpr auto fields = std::tuple{
      field("kind", &PlanCommandBody::kind,
            rule::must("submit: 'resources' and 'priority'; stop: 'deployment_id'; prioritize: "
                       "'deployment_id' and 'priority'; resize: 'nodes'; lose_node: 'node'.",
                       "\"submit\"")),
      field("organization_id", &PlanCommandBody::organization_id,
            rule::doc("Whose the new one would be; as for a submission when absent.")),
      field("deployment_id", &PlanCommandBody::deployment_id,
            rule::doc("Which one is stopped or gets another priority.")),
      field("priority", &PlanCommandBody::priority, rule::doc("high or low.")),
      field("resources", &PlanCommandBody::resources, rule::doc("What the new one asks for.")),
      field("gpu_model", &PlanCommandBody::gpu_model,
            rule::gpu_model("The new one may only run on nodes with such GPUs.")),
      field("node_labels", &PlanCommandBody::node_labels,
            rule::labels("The new one may only run on nodes that have these labels.")),
      field("replicas", &PlanCommandBody::replicas,
            rule::range("So many of the new one start together or not at all; 1 when absent.", 1,
                        kMostReplicas, "1")),
      field("max_run_time", &PlanCommandBody::max_run_time,
            rule::doc("How long the new one runs at most.")),
      field("nodes", &PlanCommandBody::nodes,
            {.doc = "The new node list.", .min_len = 1, .max_len = 10'000}),
      field("node", &PlanCommandBody::node, rule::name("The node that is lost.", "\"n1\"", false)),
      field("after", &PlanCommandBody::after,
            rule::range("When, counted from now, in a simulation: seconds, or text such as "
                        "\"10m\". Absent: with the command before, or now.",
                        0, kLongestSimulation, "\"10m\"")),
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
struct Schema<SimulateRequest> {
  static constexpr std::string_view name = "SimulateRequest";
  static constexpr std::string_view doc =
      "Commands that are tried at their times on a copy; nothing is done. Who has declared how "
      "long "
      "it runs at most ends just then, all others run on.";
  static constexpr auto fields = std::tuple{
      field("commands", &SimulateRequest::commands,
            {.doc = "In the order of their times. None: what would happen anyway.",
             .max_len = 100,
             .required = true}),
      field("horizon", &SimulateRequest::horizon,
            rule::range("How far to look: seconds, or text such as \"24h\", which it is when it is "
                        "not said.",
                        0, kLongestSimulation, "\"24h\"")),
  };
};

template <>
struct Schema<PlanStartView> {
  static constexpr Use use = Use::response;
  static constexpr std::string_view name = "PlanStart";
  static constexpr std::string_view doc = "A deployment that would start.";
  static constexpr auto fields = std::tuple{
      field("deployment_id", &PlanStartView::deployment_id, rule::must("Which one.")),
      field("name", &PlanStartView::name, rule::doc("Its name; absent: only in the plan.")),
      field("node", &PlanStartView::node, rule::must("Where.", "\"n1\"")),
      field("other_nodes", &PlanStartView::other_nodes,
            rule::must("Where its replicas after the first start.")),
  };
};

template <>
struct Schema<PlanEvictionView> {
  static constexpr Use use = Use::response;
  static constexpr std::string_view name = "PlanEviction";
  static constexpr std::string_view doc = "A deployment that would lose its place.";
  static constexpr auto fields = std::tuple{
      field("deployment_id", &PlanEvictionView::deployment_id, rule::must("Which one.")),
      field("name", &PlanEvictionView::name, rule::doc("Its name.")),
      field("for_deployment_id", &PlanEvictionView::for_deployment_id, rule::must("For whom.")),
      field("for_name", &PlanEvictionView::for_name,
            rule::doc("Its name; absent: only in the plan.")),
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
      field("name", &PlanMoveView::name, rule::doc("Its name; absent: only in the plan.")),
      field("before", &PlanMoveView::before, rule::must("Position now; 0: it does not wait.")),
      field("after", &PlanMoveView::after, rule::must("Position then; 0: it does not wait.")),
  };
};

inline constexpr std::string_view kPlannedAt =
    "The entry of the cluster's record that this begins with: the same, done before anything else "
    "happens there, has just these consequences.";

template <>
struct Schema<PlanView> {
  static constexpr Use use = Use::response;
  static constexpr std::string_view name = "Plan";
  static constexpr std::string_view doc = "What would happen. Nothing has.";
  static constexpr auto fields = std::tuple{
      field("steps", &PlanView::steps, rule::must("One for each command.")),
      field("moves", &PlanView::moves,
            rule::must("Positions that differ at the end, of the first 1,000 of the queue.")),
      field("index", &PlanView::index, rule::doc(kPlannedAt, "812")),
  };
};

template <>
struct Schema<HappenedView> {
  static constexpr Use use = Use::response;
  static constexpr std::string_view name = "Happened";
  static constexpr std::string_view doc = "Something that would happen.";
  static constexpr auto fields = std::tuple{
      field("at", &HappenedView::at, rule::must("When.")),
      field("what", &HappenedView::what,
            rule::must("starts; ends: its declared run time is over; displaced; returns: to the "
                       "queue, because its node is lost.",
                       "\"starts\"")),
      field("deployment_id", &HappenedView::deployment_id, rule::must("Which one.")),
      field("name", &HappenedView::name, rule::doc("Its name; absent: only in the simulation.")),
      field("node", &HappenedView::node, rule::doc("Where it starts.")),
      field("for_deployment_id", &HappenedView::for_deployment_id,
            rule::doc("For whom it is displaced.")),
  };
};

template <>
struct Schema<StartShiftView> {
  static constexpr Use use = Use::response;
  static constexpr std::string_view name = "StartShift";
  static constexpr std::string_view doc = "A start that the commands would move.";
  static constexpr auto fields = std::tuple{
      field("deployment_id", &StartShiftView::deployment_id, rule::must("Whose.")),
      field("name", &StartShiftView::name, rule::doc("Its name; absent: only in the simulation.")),
      field("before", &StartShiftView::before,
            rule::doc("Without the commands; absent: not within the horizon.")),
      field("after", &StartShiftView::after,
            rule::doc("With them; absent: not within the horizon.")),
  };
};

template <>
struct Schema<ForesightView> {
  static constexpr Use use = Use::response;
  static constexpr std::string_view name = "Foresight";
  static constexpr std::string_view doc = "What would happen in time. Nothing has.";
  static constexpr auto fields = std::tuple{
      field("steps", &ForesightView::steps, rule::must("One for each command, at its moment.")),
      field("happened", &ForesightView::happened, rule::must("All of it, in order.")),
      field("shifts", &ForesightView::shifts, rule::must("Whose first start the commands move.")),
      field("cut", &ForesightView::cut,
            rule::must("More would happen than is told; take a nearer horizon.")),
      field("index", &ForesightView::index, rule::doc(kPlannedAt, "812")),
  };
};

}  // namespace berth::json
