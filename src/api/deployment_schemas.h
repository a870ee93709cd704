// Deployments, their events and explanations: name on the wire, member, and everything a reader, a
// writer and the OpenAPI description need to know about it.
#pragma once
#include "api/cluster_schemas.h"
#include "api/schema_rules.h"

namespace berth::json {

using namespace berth::api;

template <>
struct Schema<ReadinessBody> {
  static constexpr std::string_view name = "Readiness";
  static constexpr std::string_view doc =
      "How Berth learns that it is ready: an HTTP path, or a TCP connection to the port.";
  static constexpr auto fields = std::tuple{
      field("path", &ReadinessBody::path,
            {.doc = "Must answer 2xx.",
             .example = "\"/v2/health/ready\"",
             .min_len = 1,
             .max_len = 1024,
             .pattern = "^/[!-~]*$",
             .check = rule::is_path,
             .expected = "a path such as /health"}),
      field("timeout", &ReadinessBody::timeout,
            rule::range("Start-up has failed after this: seconds or \"2m\".", 1'000'000,
                        86'400'000'000, "60")),
  };
};

template <>
struct Schema<RestartBody> {
  static constexpr std::string_view name = "Restart";
  static constexpr std::string_view doc = "What happens after a failure.";
  static constexpr auto fields = std::tuple{
      field("max_attempts", &RestartBody::max_attempts,
            rule::range(
                "Attempts in a row, the first included. 5 for services and 1 for jobs when absent.",
                1, 1000, "5")),
      field("backoff", &RestartBody::backoff,
            rule::range("First pause; doubles with each failure up to 5 minutes.", 10'000,
                        300'000'000, "1")),
  };
};

template <>
struct Schema<SimulateBody> {
  static constexpr std::string_view name = "Simulate";
  static constexpr std::string_view doc = "The work of a deployment on a simulated cluster.";
  static constexpr auto fields = std::tuple{
      field("duration", &SimulateBody::duration,
            rule::range("How long it runs; until stopped when absent.", 0, 315'360'000'000'000,
                        "60")),
      field("exit_code", &SimulateBody::exit_code, rule::range("How it ends.", 0, 255, "0")),
  };
};

template <>
struct Schema<DependencyBody> {
  static constexpr std::string_view name = "Dependency";
  static constexpr std::string_view doc = "Another deployment, and how far it must have come.";
  static constexpr auto fields = std::tuple{
      field("deployment", &DependencyBody::deployment,
            {.doc = "Id, or name of the newest one of that name, on the same cluster.",
             .example = "\"prepare\"",
             .min_len = 1,
             .max_len = 63,
             .required = true}),
      field("until", &DependencyBody::until,
            rule::doc("running or succeeded; when absent, a job has to succeed and a service to "
                      "run.",
                      "\"succeeded\"")),
  };
};

template <>
struct Schema<CreateDeploymentRequest> {
  static constexpr std::string_view name = "CreateDeploymentRequest";
  static constexpr std::string_view doc = "What to run, what it needs, and how urgent it is.";
  static constexpr auto fields = std::tuple{
      field("cluster_id", &CreateDeploymentRequest::cluster_id, rule::must("Where.")),
      field("organization_id", &CreateDeploymentRequest::organization_id,
            rule::doc("Whose it is, on a cluster that is shared. When absent: the cluster's, if "
                      "you are in it, else the only one of yours that it is shared with.")),
      field("name", &CreateDeploymentRequest::name,
            rule::name("Unique among the unfinished ones of the organization; made up when absent.",
                       "\"digits\"", false)),
      field("kind", &CreateDeploymentRequest::kind,
            rule::doc("service: until stopped; job: until it ends.", "\"service\"")),
      field("image", &CreateDeploymentRequest::image,
            {.doc = "Container image, for runtimes that run images.",
             .min_len = 1,
             .max_len = 512,
             .check = rule::has_no_nul,
             .expected = "without NUL"}),
      field("command", &CreateDeploymentRequest::command,
            {.doc = "Program and arguments; no shell.",
             .example = "[\"python3\",\"serve.py\"]",
             .min_len = 1,
             .max_len = 1000,
             .check = rule::has_no_nul,
             .expected = "without NUL"}),
      field("env", &CreateDeploymentRequest::env,
            {.doc = "Environment variables.",
             .max_len = 1000,
             .check = rule::has_no_nul,
             .key_check = rule::is_env_name,
             .expected = "without NUL",
             .key_expected = "a name of letters, digits and '_', not beginning with a digit"}),
      field("port", &CreateDeploymentRequest::port,
            rule::range("It serves HTTP on the port that it finds in PORT: this one if it is free.",
                        1, 65'535, "8080")),
      field("resources", &CreateDeploymentRequest::resources, rule::must("What it needs.")),
      field("priority", &CreateDeploymentRequest::priority,
            rule::doc("high or low, in either case of letters.", "\"high\"")),
      field("readiness", &CreateDeploymentRequest::readiness,
            rule::doc("How Berth learns that it is ready.")),
      field("restart", &CreateDeploymentRequest::restart,
            rule::doc("What happens after a failure.")),
      field("stop_grace", &CreateDeploymentRequest::stop_grace,
            rule::range("Between asking to end and killing; 10 s when absent.", 0, 3'600'000'000,
                        "10")),
      field("max_run_time", &CreateDeploymentRequest::max_run_time,
            rule::range("It is stopped after this.", 1000, 315'360'000'000'000)),
      field("access", &CreateDeploymentRequest::access,
            rule::doc("Who may use its endpoint.", "\"organization\"")),
      field("simulate", &CreateDeploymentRequest::simulate, rule::doc("For simulated clusters.")),
      field("labels", &CreateDeploymentRequest::labels, rule::labels("Your own notes.")),
      field("depends_on", &CreateDeploymentRequest::depends_on,
            {.doc = "It waits for these, which were submitted before.", .max_len = 100}),
      field("gpu_model", &CreateDeploymentRequest::gpu_model,
            rule::gpu_model(
                "Only on nodes with GPUs of this model, or one of several: equal, or contained "
                "as whole words, in either case.")),
      field("node_labels", &CreateDeploymentRequest::node_labels,
            rule::labels("Only on nodes that have each of these labels.")),
      field("replicas", &CreateDeploymentRequest::replicas,
            rule::range("So many, each with these resources, start together or not at all. Each "
                        "finds its number in BERTH_REPLICA, from 0 on.",
                        1, kMostReplicas, "4")),
  };
};

template <>
struct Schema<UpdateDeploymentRequest> {
  static constexpr std::string_view name = "UpdateDeploymentRequest";
  static constexpr std::string_view doc =
      "The priority can be changed while it is queued; it keeps its admission order.";
  static constexpr auto fields = std::tuple{
      field("priority", &UpdateDeploymentRequest::priority, rule::must("high or low.", "\"high\"")),
  };
};

template <>
struct Schema<GpuShareView> {
  static constexpr Use use = Use::response;
  static constexpr std::string_view name = "GpuShare";
  static constexpr std::string_view doc = "A device, or a share of it.";
  static constexpr auto fields = std::tuple{
      field("device", &GpuShareView::device, rule::must("Index on the node.")),
      field("share", &GpuShareView::share, rule::must("1 is the whole device.")),
  };
};

template <>
struct Schema<PlaceView> {
  static constexpr Use use = Use::response;
  static constexpr std::string_view name = "Place";
  static constexpr std::string_view doc = "Where it runs.";
  static constexpr auto fields = std::tuple{
      field("node", &PlaceView::node, rule::must("Node.", "\"node-1\"")),
      field("gpus", &PlaceView::gpus, rule::must("Its devices.")),
  };
};

template <>
struct Schema<ReplicaView> {
  static constexpr Use use = Use::response;
  static constexpr std::string_view name = "Replica";
  static constexpr std::string_view doc = "One of several that start together.";
  static constexpr auto fields = std::tuple{
      field("replica", &ReplicaView::replica, rule::must("Its number, from 0 on.")),
      field("state", &ReplicaView::state,
            rule::must("starting; running; exited: ended by itself; refused: could not be started; "
                       "gone: was told to end, and has.",
                       "\"running\"")),
      field("place", &ReplicaView::place, rule::doc("Where it runs, while its place is held.")),
      field("exit_code", &ReplicaView::exit_code, rule::doc("When it has ended.")),
      field("message", &ReplicaView::message, rule::doc("How it ended, unless well.")),
  };
};

template <>
struct Schema<DeploymentView> {
  static constexpr Use use = Use::response;
  static constexpr std::string_view name = "Deployment";
  static constexpr std::string_view doc = "What a user asked to run, and how it is.";
  static constexpr auto fields = std::tuple{
      field("id", &DeploymentView::id, rule::must("Identifier.")),
      field("organization_id", &DeploymentView::organization_id, rule::must("Whose it is.")),
      field("cluster_id", &DeploymentView::cluster_id, rule::must("Where it runs or waits.")),
      field("name", &DeploymentView::name, rule::must("Name.", "\"digits\"")),
      field("kind", &DeploymentView::kind, rule::must("service or job.")),
      field("state", &DeploymentView::state, rule::must("Where it is in its life.")),
      field("priority", &DeploymentView::priority, rule::must("How urgent.")),
      field("resources", &DeploymentView::resources, rule::must("What it needs.")),
      field("image", &DeploymentView::image, rule::doc("Container image.")),
      field("command", &DeploymentView::command, rule::must("Program and arguments.")),
      field("env", &DeploymentView::env, rule::must("Environment variables.")),
      field("port", &DeploymentView::port, rule::doc("The port it asked for.")),
      field("readiness", &DeploymentView::readiness,
            rule::doc("How Berth learns that it is ready.")),
      field("restart", &DeploymentView::restart, rule::must("What happens after a failure.")),
      field("stop_grace", &DeploymentView::stop_grace,
            rule::must("Seconds between asking to end and killing.")),
      field("max_run_time", &DeploymentView::max_run_time, rule::doc("Seconds it may run.")),
      field("access", &DeploymentView::access, rule::must("Who may use its endpoint.")),
      field("simulate", &DeploymentView::simulate, rule::doc("For simulated clusters.")),
      field("labels", &DeploymentView::labels, rule::must("Your own notes.")),
      field("depends_on", &DeploymentView::depends_on, rule::must("What it waits or waited for.")),
      field("gpu_model", &DeploymentView::gpu_model, rule::doc("Only on nodes with such GPUs.")),
      field("node_labels", &DeploymentView::node_labels,
            rule::must("Only on nodes that have these labels.")),
      field("replicas", &DeploymentView::replicas,
            rule::must("So many, each with these resources, start together or not at all.", "1")),
      field("attempt", &DeploymentView::attempt,
            rule::must("Number of the latest attempt; 0 before the first.")),
      field("place", &DeploymentView::place,
            rule::doc("Where it runs, while it holds resources; of several "
                      "replicas, the first one.")),
      field("placements", &DeploymentView::placements,
            rule::must("How each replica of the latest attempt is, when there are several.")),
      field("endpoint", &DeploymentView::endpoint,
            rule::doc("Path on this server that forwards to it.", "\"/serve/vision/digits/\"")),
      field("exit_code", &DeploymentView::exit_code,
            rule::doc("Of the latest attempt that ended.")),
      field("message", &DeploymentView::message, rule::doc("The last thing worth telling.")),
      field("retry_at", &DeploymentView::retry_at,
            rule::doc("When the pause after a failure ends.")),
      field("created_at", &DeploymentView::created_at, rule::must("When it was submitted.")),
      field("updated_at", &DeploymentView::updated_at, rule::must("When it last changed.")),
      field("started_at", &DeploymentView::started_at, rule::doc("Since when it is ready.")),
      field("ended_at", &DeploymentView::ended_at, rule::doc("When it ended.")),
      field("version", &DeploymentView::version,
            rule::must("Grows with each change; also the ETag.")),
  };
};

template <>
struct Schema<EventView> {
  static constexpr Use use = Use::response;
  static constexpr std::string_view name = "Event";
  static constexpr std::string_view doc = "One entry of the append-only history.";
  static constexpr auto fields = std::tuple{
      field("seq", &EventView::seq, rule::must("Grows by one; resume from it.")),
      field("at", &EventView::at, rule::must("When.")),
      field("kind", &EventView::kind, rule::must("What happened.", "\"deployment.queued\"")),
      field("organization_id", &EventView::organization_id, rule::doc("Where.")),
      field("cluster_id", &EventView::cluster_id, rule::doc("On which cluster.")),
      field("deployment_id", &EventView::deployment_id, rule::doc("To which deployment.")),
      field("actor", &EventView::actor, rule::must("Who: a user's id, scheduler or runtime.")),
      field("actor_name", &EventView::actor_name, rule::must("Who, for people.")),
      field("request_id", &EventView::request_id, rule::must("By which request.")),
      field("data", &EventView::data, rule::must("Details, by kind.")),
  };
};

template <>
struct Schema<TooLargeView> {
  static constexpr Use use = Use::response;
  static constexpr std::string_view name = "LargestPossible";
  static constexpr std::string_view doc = "The largest size that the nearest node could ever hold.";
  static constexpr auto fields = std::tuple{
      field("largest", &TooLargeView::largest, rule::must("Amounts.")),
      field("node", &TooLargeView::node, rule::must("Which node.")),
      field("replicas", &TooLargeView::replicas,
            rule::must("So many replicas of what was asked for the nodes could ever hold at "
                       "once.")),
  };
};

template <>
struct Schema<NamedDeployment> {
  static constexpr Use use = Use::response;
  static constexpr std::string_view name = "NamedDeployment";
  static constexpr std::string_view doc = "A deployment, by id and name.";
  static constexpr auto fields = std::tuple{
      field("deployment_id", &NamedDeployment::deployment_id, rule::must("Which one.")),
      field("name", &NamedDeployment::name,
            rule::must("Its name; empty when it is another organization's.", "\"digits\"")),
      field("mine", &NamedDeployment::mine,
            rule::must("It belongs to an organization that you are in.")),
  };
};

template <>
struct Schema<QuotaExcessView> {
  static constexpr Use use = Use::response;
  static constexpr std::string_view name = "QuotaExcess";
  static constexpr std::string_view doc = "The quota of its organization that it does not fit in.";
  static constexpr auto fields = std::tuple{
      field("quota", &QuotaExcessView::quota, rule::must("The organization's own.")),
      field("borrowing", &QuotaExcessView::borrowing,
            rule::doc("So much more at most; absent: as much as others leave unused.")),
      field("asked", &QuotaExcessView::asked, rule::must("What it asks for.")),
      field("used", &QuotaExcessView::used, rule::must("What the organization holds now.")),
      field("available", &QuotaExcessView::available,
            rule::must("The most that it may have in addition now.")),
      field("borrowable", &QuotaExcessView::borrowable,
            rule::must("What of that would be borrowed.")),
  };
};

template <>
struct Schema<ExplanationView> {
  static constexpr Use use = Use::response;
  static constexpr std::string_view name = "Explanation";
  static constexpr std::string_view doc = "Why it waits, with every amount.";
  static constexpr auto fields = std::tuple{
      field("deployment_id", &ExplanationView::deployment_id, rule::must("Which deployment.")),
      field("state", &ExplanationView::state, rule::must("Its state.")),
      field("reason", &ExplanationView::reason, rule::doc("Why it waits, while it does.")),
      field("needs_action", &ExplanationView::needs_action,
            rule::must("Somebody must act; time alone will not help.")),
      field("message", &ExplanationView::message, rule::must("The same as a sentence.")),
      field("all_reasons", &ExplanationView::all_reasons,
            rule::must("Every cause that applies now.")),
      field("position", &ExplanationView::position, rule::doc("1 is next to be considered.")),
      field("ahead_high", &ExplanationView::ahead_high, rule::doc("High ones before it.")),
      field("ahead_low", &ExplanationView::ahead_low, rule::doc("Low ones before it.")),
      field("nearest_node", &ExplanationView::nearest_node,
            rule::doc("The node that misses least.")),
      field("replicas_fit", &ExplanationView::replicas_fit,
            rule::doc("So many of its replicas would fit now.")),
      field("missing", &ExplanationView::missing,
            rule::doc("What it misses there; of several replicas, what the next one misses.")),
      field("free_total", &ExplanationView::free_total, rule::doc("Free over all nodes.")),
      field("largest_hole", &ExplanationView::largest_hole,
            rule::doc("The most that one node has free.")),
      field("would_start_now", &ExplanationView::would_start_now,
            rule::doc("A smaller size that would start at once.")),
      field("largest_possible", &ExplanationView::largest_possible,
            rule::doc("When no node could ever hold it.")),
      field("quota", &ExplanationView::quota,
            rule::doc("When the quota of its organization keeps it waiting.")),
      field("blockers", &ExplanationView::blockers,
            rule::must("A smallest set of running deployments whose end would make room for it.")),
      field("displaced", &ExplanationView::displaced,
            rule::must("Those that lose their place to it and have not ended yet.")),
      field("forecast", &ExplanationView::forecast, rule::must("When it will start.")),
      field("index", &ExplanationView::index, rule::doc("Where in the cluster's record.", "812")),
      field("at", &ExplanationView::at,
            rule::doc("Which moment this is about: now, or the time that was asked for.")),
  };
};

}  // namespace berth::json
