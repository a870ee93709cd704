// Amounts, clusters, their status and their queue: name on the wire, member, and everything a
// reader, a writer and the OpenAPI description need to know about it.
#pragma once
#include "api/schema_rules.h"

namespace berth::json {

using namespace berth::api;

namespace rule {
constexpr Rules policy(std::string_view example) {
  return doc(
      "strict: the plain rules. backfill: a low one may start early where by the declared run "
      "times it delays no waiting high one. preempt: a high one may displace low ones. "
      "backfill+preempt: both.",
      example);
}
constexpr Rules placement(std::string_view example) {
  return doc(
      "best_fit: the fullest node with room. fgd: the one on which the least GPU capacity becomes "
      "unusable for what was asked for lately; say it again to look at what is asked for now.",
      example);
}
constexpr Rules age_bound() {
  return range(
      "What has waited this long is not overtaken any more, by neither queue: seconds, or text "
      "such as \"4h\"; 0: no bound.",
      0, std::int64_t{366} * 24 * 3600 * 1'000'000, "\"4h\"");
}
constexpr Rules fair() {
  return doc(
      "Of the organizations in one queue goes first which holds the smallest part of its quota, or "
      "without one of the cluster. Else the order is that of admission.",
      "false");
}
}  // namespace rule

template <>
struct Schema<ResourcesBody> {
  static constexpr std::string_view name = "Resources";
  static constexpr std::string_view doc = "Amounts of CPU, memory and GPU.";
  static constexpr auto fields = std::tuple{
      field("cpu", &ResourcesBody::cpu,
            rule::range("Cores: 2, 0.5 or \"500m\".", 0, 1'000'000'000, "1")),
      field(
          "memory", &ResourcesBody::memory,
          rule::range("Bytes, or text such as \"16GiB\".", 0, std::int64_t{1} << 56, "\"512MiB\"")),
      field("gpu", &ResourcesBody::gpu,
            rule::range("Whole devices, or a share of one such as 0.25.", 0, 1'000'000'000, "0")),
  };
};

template <>
struct Schema<NodeBody> {
  static constexpr std::string_view name = "Node";
  static constexpr std::string_view doc = "A machine of a cluster.";
  static constexpr auto fields = std::tuple{
      field("name", &NodeBody::name, rule::name("Unique in the cluster.", "\"node-1\"")),
      field("resources", &NodeBody::resources, rule::must("What it has.")),
      field("gpu_model", &NodeBody::gpu_model, rule::text("Model of its GPUs.", 63, "\"A100\"")),
      field("labels", &NodeBody::labels, rule::labels("What deployments can ask for.")),
  };
};

template <>
struct Schema<RuntimeBody> {
  static constexpr std::string_view name = "Runtime";
  static constexpr std::string_view doc = "What really runs the deployments of a cluster.";
  static constexpr auto fields = std::tuple{
      field("kind", &RuntimeBody::kind,
            rule::must(
                "process: commands on this machine; simulated: holds resources for a given time.",
                "\"process\"")),
      field("speed", &RuntimeBody::speed,
            rule::range("simulated: how many times faster than real time.", 1, 1'000'000'000)),
  };
};

template <>
struct Schema<CreateClusterRequest> {
  static constexpr std::string_view name = "CreateClusterRequest";
  static constexpr std::string_view doc =
      "A pool of nodes. Give totals (one node), or nodes, or neither: then the runtime says what "
      "this machine has.";
  static constexpr auto fields = std::tuple{
      field("organization_id", &CreateClusterRequest::organization_id,
            rule::must("Whose cluster it is.")),
      field("name", &CreateClusterRequest::name,
            rule::name("Unique in the organization.", "\"lab\"")),
      field("runtime", &CreateClusterRequest::runtime, rule::must("What runs its deployments.")),
      field("resources", &CreateClusterRequest::resources,
            rule::doc("Totals of a cluster with one node.")),
      field("nodes", &CreateClusterRequest::nodes,
            {.doc = "Its machines.", .min_len = 1, .max_len = 10'000}),
      field("policy", &CreateClusterRequest::policy, rule::policy("\"strict\"")),
      field("placement", &CreateClusterRequest::placement, rule::placement("\"best_fit\"")),
      field("age_bound", &CreateClusterRequest::age_bound, rule::age_bound()),
      field("fair", &CreateClusterRequest::fair, rule::fair()),
  };
};

template <>
struct Schema<UpdateClusterRequest> {
  static constexpr std::string_view name = "UpdateClusterRequest";
  static constexpr std::string_view doc = "What is absent stays. What runs must still fit.";
  static constexpr auto fields = std::tuple{
      field("name", &UpdateClusterRequest::name, rule::name("New name.", "\"lab\"", false)),
      field("resources", &UpdateClusterRequest::resources,
            rule::doc("New totals of a cluster with one node.")),
      field("nodes", &UpdateClusterRequest::nodes,
            {.doc = "The new node list, matched by name.", .min_len = 1, .max_len = 10'000}),
      field("policy", &UpdateClusterRequest::policy, rule::policy("\"preempt\"")),
      field("placement", &UpdateClusterRequest::placement, rule::placement("\"fgd\"")),
      field("age_bound", &UpdateClusterRequest::age_bound, rule::age_bound()),
      field("fair", &UpdateClusterRequest::fair, rule::fair()),
  };
};

template <>
struct Schema<ClusterView> {
  static constexpr Use use = Use::response;
  static constexpr std::string_view name = "Cluster";
  static constexpr std::string_view doc = "A named pool of nodes with a runtime.";
  static constexpr auto fields = std::tuple{
      field("id", &ClusterView::id, rule::must("Identifier.")),
      field("organization_id", &ClusterView::organization_id, rule::must("Whose it is.")),
      field("name", &ClusterView::name, rule::must("Name.", "\"lab\"")),
      field("runtime", &ClusterView::runtime, rule::must("What runs its deployments.")),
      field("policy", &ClusterView::policy, rule::must("How the queue is processed.")),
      field("placement", &ClusterView::placement,
            rule::must("Which of the nodes with room a deployment gets.")),
      field("age_bound", &ClusterView::age_bound,
            rule::doc("Seconds of waiting after which a deployment is not overtaken any more.")),
      field("fair", &ClusterView::fair,
            rule::must("Whether organizations that share it take turns by what they hold.")),
      field("paused", &ClusterView::paused, rule::must("Nothing starts while it is paused.")),
      field("resources", &ClusterView::resources, rule::must("Sum over its nodes.")),
      field("nodes", &ClusterView::nodes, rule::must("Its machines.")),
      field("created_at", &ClusterView::created_at, rule::must("When it was made.")),
      field("version", &ClusterView::version, rule::must("Grows with each change; also the ETag.")),
  };
};

template <>
struct Schema<LimitsBody> {
  static constexpr std::string_view name = "Limits";
  static constexpr std::string_view doc = "Amounts; what is absent is not limited.";
  static constexpr auto fields = std::tuple{
      field("cpu", &LimitsBody::cpu,
            rule::range("Cores: 2, 0.5 or \"500m\".", 0, 1'000'000'000, "16")),
      field(
          "memory", &LimitsBody::memory,
          rule::range("Bytes, or text such as \"16GiB\".", 0, std::int64_t{1} << 56, "\"64GiB\"")),
      field("gpu", &LimitsBody::gpu, rule::range("Devices.", 0, 1'000'000'000, "4")),
  };
};

template <>
struct Schema<PutQuotaRequest> {
  static constexpr std::string_view name = "PutQuotaRequest";
  static constexpr std::string_view doc =
      "How much the organization may hold on the cluster. Without a quota it is not limited, and "
      "lends nothing.";
  static constexpr auto fields = std::tuple{
      field("quota", &PutQuotaRequest::quota,
            rule::doc("Its own: what is within it is never refused for others' sake.")),
      field("borrowing", &PutQuotaRequest::borrowing,
            rule::doc("So much at most may it hold beyond, of what others leave unused of their "
                      "quotas; absent or null: as much as there is.")),
  };
};

template <>
struct Schema<QuotaView> {
  static constexpr Use use = Use::response;
  static constexpr std::string_view name = "Quota";
  static constexpr std::string_view doc =
      "What an organization has of a cluster, and may have of it.";
  static constexpr auto fields = std::tuple{
      field("organization_id", &QuotaView::organization_id, rule::must("Which organization.")),
      field("organization", &QuotaView::organization, rule::must("Its name.", "\"vision\"")),
      field("quota", &QuotaView::quota, rule::doc("Its own; absent: it is not limited.")),
      field("borrowing", &QuotaView::borrowing,
            rule::doc("So much more at most; absent: as much as others leave unused.")),
      field("used", &QuotaView::used, rule::must("What its deployments hold.")),
      field("borrowed", &QuotaView::borrowed, rule::must("What of that is beyond its quota.")),
      field("waiting", &QuotaView::waiting,
            rule::must("How many of it wait, without those in back-off.")),
  };
};

template <>
struct Schema<SetQuotaView> {
  static constexpr Use use = Use::response;
  static constexpr std::string_view name = "SetQuota";
  static constexpr std::string_view doc = "What an organization may have of a cluster from now on.";
  static constexpr auto fields = std::tuple{
      field("organization_id", &SetQuotaView::organization_id, rule::must("Which organization.")),
      field("organization", &SetQuotaView::organization, rule::must("Its name.", "\"vision\"")),
      field("quota", &SetQuotaView::quota, rule::doc("Its own; absent: it is not limited.")),
      field("borrowing", &SetQuotaView::borrowing,
            rule::doc("So much more at most; absent: as much as others leave unused.")),
  };
};

template <>
struct Schema<QuotaListView> {
  static constexpr Use use = Use::response;
  static constexpr std::string_view name = "QuotaList";
  static constexpr std::string_view doc =
      "The organizations that a cluster is shared with; that of the cluster comes first.";
  static constexpr auto fields = std::tuple{
      field("items", &QuotaListView::items, rule::must("One for each.")),
  };
};

template <>
struct Schema<GpuView> {
  static constexpr Use use = Use::response;
  static constexpr std::string_view name = "GpuStatus";
  static constexpr std::string_view doc = "One GPU device.";
  static constexpr auto fields = std::tuple{
      field("device", &GpuView::device, rule::must("Index on its node.")),
      field("reserved", &GpuView::reserved, rule::must("Share held by deployments.")),
      field("available", &GpuView::available, rule::must("Share that is free.")),
  };
};

template <>
struct Schema<NodeStatusView> {
  static constexpr Use use = Use::response;
  static constexpr std::string_view name = "NodeStatus";
  static constexpr std::string_view doc = "A node now.";
  static constexpr auto fields = std::tuple{
      field("name", &NodeStatusView::name, rule::must("Name.", "\"node-1\"")),
      field("gpu_model", &NodeStatusView::gpu_model, rule::must("Model of its GPUs.")),
      field("capacity", &NodeStatusView::capacity, rule::must("What it has.")),
      field("reserved", &NodeStatusView::reserved, rule::must("What deployments hold.")),
      field("available", &NodeStatusView::available, rule::must("What is free.")),
      field("gpus", &NodeStatusView::gpus, rule::must("Its devices.")),
      field("running", &NodeStatusView::running, rule::must("Deployments on it.")),
  };
};

template <>
struct Schema<QueueLengths> {
  static constexpr Use use = Use::response;
  static constexpr std::string_view name = "QueueLengths";
  static constexpr std::string_view doc = "How many wait.";
  static constexpr auto fields = std::tuple{
      field("high", &QueueLengths::high, rule::must("In the high queue.")),
      field("low", &QueueLengths::low, rule::must("In the low queue.")),
      field("backoff", &QueueLengths::backoff, rule::must("Pausing after a failure.")),
  };
};

template <>
struct Schema<RuntimeHealth> {
  static constexpr Use use = Use::response;
  static constexpr std::string_view name = "RuntimeHealth";
  static constexpr std::string_view doc =
      "Whether the runtime answers, and how it enforces limits.";
  static constexpr auto fields = std::tuple{
      field("reachable", &RuntimeHealth::reachable, rule::must("It answers.")),
      field("message", &RuntimeHealth::message, rule::must("A sentence.")),
      field("enforcement", &RuntimeHealth::enforcement,
            rule::must("How limits are enforced.", "\"cgroup v2\"")),
  };
};

template <>
struct Schema<ClusterStatusView> {
  static constexpr Use use = Use::response;
  static constexpr std::string_view name = "ClusterStatus";
  static constexpr std::string_view doc = "A cluster now: reserved + available = capacity, always.";
  static constexpr auto fields = std::tuple{
      field("cluster_id", &ClusterStatusView::cluster_id, rule::must("Which cluster.")),
      field("name", &ClusterStatusView::name, rule::must("Its name.", "\"lab\"")),
      field("paused", &ClusterStatusView::paused, rule::must("Nothing starts while it is paused.")),
      field("capacity", &ClusterStatusView::capacity, rule::must("What it has.")),
      field("reserved", &ClusterStatusView::reserved, rule::must("What deployments hold.")),
      field("available", &ClusterStatusView::available, rule::must("What is free.")),
      field("nodes", &ClusterStatusView::nodes, rule::must("Node by node.")),
      field("quotas", &ClusterStatusView::quotas,
            rule::must("The organizations that share it; none, when it is one's alone.")),
      field("queue", &ClusterStatusView::queue, rule::must("How many wait.")),
      field("active", &ClusterStatusView::active, rule::must("Deployments that hold resources.")),
      field("runtime", &ClusterStatusView::runtime,
            rule::doc("The runtime's health; only of now.")),
      field("index", &ClusterStatusView::index, rule::doc("Where in the cluster's record.", "812")),
      field("at", &ClusterStatusView::at,
            rule::doc("Which moment this is about: now, or the time that was asked for.")),
  };
};

template <>
struct Schema<ForecastView> {
  static constexpr Use use = Use::response;
  static constexpr std::string_view name = "Forecast";
  static constexpr std::string_view doc = "When it will start, as a range with the method named.";
  static constexpr auto fields = std::tuple{
      field("method", &ForecastView::method,
            rule::must("from_runtime_limits, from_recent_rate or unknown.", "\"unknown\"")),
      field("earliest", &ForecastView::earliest, rule::doc("Hardly before.")),
      field("latest", &ForecastView::latest,
            rule::doc("Hardly later. Of all ranges told so far at least four in five came true.")),
      field("guaranteed", &ForecastView::guaranteed,
            rule::must("'latest' holds whatever else is submitted, if the declared run times do.")),
      field("never_later", &ForecastView::never_later,
            rule::doc("The bound that is guaranteed so, also where an earlier one is likely.")),
  };
};

template <>
struct Schema<QueueItemView> {
  static constexpr Use use = Use::response;
  static constexpr std::string_view name = "QueueItem";
  static constexpr std::string_view doc =
      "A waiting deployment, in the order in which it would be considered.";
  static constexpr auto fields = std::tuple{
      field("position", &QueueItemView::position,
            rule::must("1 is next; 0 while it pauses after a failure.")),
      field("deployment_id", &QueueItemView::deployment_id, rule::must("Which deployment.")),
      field("name", &QueueItemView::name,
            rule::must("Its name; empty when it is another organization's.", "\"digits\"")),
      field("mine", &QueueItemView::mine,
            rule::must("It belongs to an organization that you are in.")),
      field("priority", &QueueItemView::priority, rule::must("Which queue.")),
      field("resources", &QueueItemView::resources, rule::must("What it asks for.")),
      field("replicas", &QueueItemView::replicas,
            rule::doc("How many times, all together; absent when it is deleted by now.", "1")),
      field("reason", &QueueItemView::reason, rule::must("Why it waits.")),
      field("needs_action", &QueueItemView::needs_action,
            rule::must("Somebody must act; time alone will not help.")),
      field("forecast", &QueueItemView::forecast, rule::must("When it will start.")),
      field("queued_at", &QueueItemView::queued_at, rule::must("Since when.")),
      field("retry_at", &QueueItemView::retry_at,
            rule::doc("When the pause after a failure ends.")),
  };
};

template <>
struct Schema<QueueView> {
  static constexpr Use use = Use::response;
  static constexpr std::string_view name = "Queue";
  static constexpr std::string_view doc = "A page of the queue.";
  static constexpr auto fields = std::tuple{
      field("items", &QueueView::items, rule::must("The entries, in order.")),
      field("next", &QueueView::next,
            rule::doc("The cursor of the next page; absent on the last.")),
      field("index", &QueueView::index, rule::doc("Where in the cluster's record.", "812")),
      field("at", &QueueView::at,
            rule::doc("Which moment this is about: now, or the time that was asked for.")),
  };
};

}  // namespace berth::json
