// The declarations: name on the wire, member, and everything a reader, a writer and the OpenAPI
// description need to know about it.
#pragma once
#include <algorithm>
#include <array>

#include "api/types.h"
#include "json/rules.h"
#include "service/accounts.h"

namespace berth::json {

namespace rule {
using namespace std::string_view_literals;

inline constexpr std::string_view kNamePattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$";
constexpr Rules name(std::string_view doc, std::string_view example, bool required = true) {
  return {.doc = doc,
          .example = example,
          .min_len = 1,
          .max_len = 63,
          .pattern = kNamePattern,
          .check = is_name,
          .expected = "1 to 63 letters, digits, '-', '_' or '.', beginning with a letter or digit",
          .required = required};
}
constexpr Rules doc(std::string_view text, std::string_view example = {}) {
  return {.doc = text, .example = example};
}
constexpr Rules must(std::string_view text, std::string_view example = {}) {
  return {.doc = text, .example = example, .required = true};
}
constexpr Rules range(std::string_view text, std::int64_t min, std::int64_t max,
                      std::string_view example = {}) {
  return {.doc = text, .example = example, .min = min, .max = max};
}
constexpr Rules text(std::string_view doc, std::size_t max_len, std::string_view example = {}) {
  return {.doc = doc, .example = example, .max_len = max_len};
}

// A variable's name as POSIX has it.
bool is_env_name(std::string_view text);
bool is_path(std::string_view text);
bool is_label(std::string_view text);
bool has_no_nul(std::string_view text);
}  // namespace rule

using namespace berth::api;

template <>
struct Schema<RegisterRequest> {
  static constexpr std::string_view name = "RegisterRequest";
  static constexpr std::string_view doc = "A new account; with an invite code it joins that organization at once.";
  static constexpr auto fields = std::tuple{
      field("username", &RegisterRequest::username, rule::name("What you log in with.", "\"ada\"")),
      field("email", &RegisterRequest::email,
            {.doc = "Your email address.", .example = "\"ada@example.org\"", .max_len = 254, .check = is_email,
             .expected = "an email address", .required = true, .format = "email"}),
      field("password", &RegisterRequest::password,
            {.doc = "At least 8 characters.", .example = "\"correct horse battery\"", .min_len = 1,
             .max_len = 1024, .required = true, .format = "password"}),
      field("invite_code", &RegisterRequest::invite_code,
            {.doc = "An invite code from a colleague.", .min_len = 1, .max_len = 128}),
  };
};

template <>
struct Schema<LoginRequest> {
  static constexpr std::string_view name = "LoginRequest";
  static constexpr std::string_view doc = "Username or email, and password.";
  static constexpr auto fields = std::tuple{
      field("username", &LoginRequest::username,
            {.doc = "Username or email.", .example = "\"ada\"", .min_len = 1, .max_len = 254, .required = true}),
      field("password", &LoginRequest::password,
            {.doc = "The password.", .example = "\"correct horse battery\"", .min_len = 1, .max_len = 1024,
             .required = true, .format = "password"}),
  };
};

template <>
struct Schema<RefreshRequest> {
  static constexpr std::string_view name = "RefreshRequest";
  static constexpr std::string_view doc = "Exchanges a refresh token for new tokens; the old one ends.";
  static constexpr auto fields = std::tuple{
      field("refresh_token", &RefreshRequest::refresh_token,
            {.doc = "The latest refresh token.", .min_len = 1, .max_len = 256, .required = true}),
  };
};

template <>
struct Schema<LogoutRequest> {
  static constexpr std::string_view name = "LogoutRequest";
  static constexpr std::string_view doc = "Ends this login, or all of them.";
  static constexpr auto fields = std::tuple{
      field("everywhere", &LogoutRequest::everywhere, rule::doc("End every login of this account.", "false")),
  };
};

template <>
struct Schema<ChangePasswordRequest> {
  static constexpr std::string_view name = "ChangePasswordRequest";
  static constexpr std::string_view doc = "Other logins of the account end.";
  static constexpr auto fields = std::tuple{
      field("current_password", &ChangePasswordRequest::current_password,
            {.doc = "The present password.", .min_len = 1, .max_len = 1024, .required = true, .format = "password"}),
      field("new_password", &ChangePasswordRequest::new_password,
            {.doc = "At least 8 characters.", .min_len = 1, .max_len = 1024, .required = true, .format = "password"}),
  };
};

template <>
struct Schema<SetupRequest> {
  static constexpr std::string_view name = "SetupRequest";
  static constexpr std::string_view doc = "Makes the first administrator of a fresh installation.";
  static constexpr auto fields = std::tuple{
      field("token", &SetupRequest::token,
            {.doc = "From the one-time set-up link.", .min_len = 1, .max_len = 128, .required = true}),
      field("username", &SetupRequest::username, rule::name("The administrator's username.", "\"ada\"")),
      field("email", &SetupRequest::email,
            {.doc = "Email address.", .example = "\"ada@example.org\"", .max_len = 254, .check = is_email,
             .expected = "an email address", .required = true, .format = "email"}),
      field("password", &SetupRequest::password,
            {.doc = "At least 8 characters.", .min_len = 1, .max_len = 1024, .required = true, .format = "password"}),
      field("organization", &SetupRequest::organization, rule::name("The first organization.", "\"vision\"")),
  };
};

template <>
struct Schema<UserView> {
  static constexpr Use use = Use::response;
  static constexpr std::string_view name = "User";
  static constexpr std::string_view doc = "A person's profile.";
  static constexpr auto fields = std::tuple{
      field("id", &UserView::id, rule::must("Identifier.")),
      field("username", &UserView::username, rule::must("Username.", "\"ada\"")),
      field("email", &UserView::email, rule::must("Email address.", "\"ada@example.org\"")),
      field("is_admin", &UserView::is_admin, rule::must("Administrator of the installation.")),
      field("created_at", &UserView::created_at, rule::must("When it was registered.")),
  };
};

template <>
struct Schema<TokenView> {
  static constexpr Use use = Use::response;
  static constexpr std::string_view name = "Tokens";
  static constexpr std::string_view doc = "What a login gives. Send the access token as 'Authorization: Bearer ...'.";
  static constexpr auto fields = std::tuple{
      field("access_token", &TokenView::access_token, rule::must("Opaque; proves who you are until it expires.")),
      field("token_type", &TokenView::token_type, rule::must("Always Bearer.", "\"Bearer\"")),
      field("expires_in", &TokenView::expires_in, rule::must("Seconds until the access token expires.", "3600")),
      field("refresh_token", &TokenView::refresh_token, rule::must("Good for one refresh.")),
      field("user", &TokenView::user, rule::must("Whose login it is.")),
  };
};

template <>
struct Schema<CreateKeyRequest> {
  static constexpr std::string_view name = "CreateKeyRequest";
  static constexpr std::string_view doc = "An API key acts as the user who made it.";
  static constexpr auto fields = std::tuple{
      field("name", &CreateKeyRequest::name, rule::name("To recognise it by.", "\"ci\"")),
      field("expires_at", &CreateKeyRequest::expires_at, rule::doc("Never, when absent.")),
  };
};

template <>
struct Schema<KeyView> {
  static constexpr Use use = Use::response;
  static constexpr std::string_view name = "ApiKey";
  static constexpr std::string_view doc = "An API key. The key itself is shown once, when it is made.";
  static constexpr auto fields = std::tuple{
      field("id", &KeyView::id, rule::must("Identifier.")),
      field("name", &KeyView::name, rule::must("Name.", "\"ci\"")),
      field("prefix", &KeyView::prefix, rule::must("How the key begins.")),
      field("key", &KeyView::key, rule::doc("The key, only in the reply to its creation.")),
      field("created_at", &KeyView::created_at, rule::must("When it was made.")),
      field("expires_at", &KeyView::expires_at, rule::doc("When it ends.")),
  };
};

template <>
struct Schema<CreateOrganizationRequest> {
  static constexpr std::string_view name = "CreateOrganizationRequest";
  static constexpr std::string_view doc = "Its maker becomes the owner.";
  static constexpr auto fields = std::tuple{
      field("name", &CreateOrganizationRequest::name, rule::name("Unique on this server.", "\"vision\"")),
  };
};

template <>
struct Schema<OrganizationBody> {
  static constexpr Use use = Use::response;
  static constexpr std::string_view name = "Organization";
  static constexpr std::string_view doc = "Owns clusters and deployments.";
  static constexpr auto fields = std::tuple{
      field("id", &OrganizationBody::id, rule::must("Identifier.")),
      field("name", &OrganizationBody::name, rule::must("Name.", "\"vision\"")),
      field("role", &OrganizationBody::role, rule::must("Your role in it.")),
      field("created_at", &OrganizationBody::created_at, rule::must("When it was made.")),
      field("version", &OrganizationBody::version, rule::must("Grows with each change; also the ETag.")),
  };
};

template <>
struct Schema<MemberView> {
  static constexpr Use use = Use::response;
  static constexpr std::string_view name = "Member";
  static constexpr std::string_view doc = "A user in an organization.";
  static constexpr auto fields = std::tuple{
      field("user_id", &MemberView::user_id, rule::must("The user.")),
      field("username", &MemberView::username, rule::must("Username.", "\"ada\"")),
      field("email", &MemberView::email, rule::must("Email address.", "\"ada@example.org\"")),
      field("role", &MemberView::role, rule::must("What the member may do.")),
      field("joined_at", &MemberView::joined_at, rule::must("Since when.")),
  };
};

template <>
struct Schema<SetRoleRequest> {
  static constexpr std::string_view name = "SetRoleRequest";
  static constexpr std::string_view doc = "Gives a member another role.";
  static constexpr auto fields = std::tuple{
      field("user_id", &SetRoleRequest::user_id, rule::must("Which member.")),
      field("role", &SetRoleRequest::role, rule::must("The new role.")),
  };
};

template <>
struct Schema<RemoveMemberRequest> {
  static constexpr std::string_view name = "RemoveMemberRequest";
  static constexpr std::string_view doc = "Removes a member; your own id leaves the organization.";
  static constexpr auto fields = std::tuple{
      field("user_id", &RemoveMemberRequest::user_id, rule::must("Which member.")),
  };
};

template <>
struct Schema<CreateInviteRequest> {
  static constexpr std::string_view name = "CreateInviteRequest";
  static constexpr std::string_view doc = "A code that lets its holder join with a fixed role.";
  static constexpr auto fields = std::tuple{
      field("role", &CreateInviteRequest::role, rule::doc("At most your own.", "\"developer\"")),
      field("expires_in", &CreateInviteRequest::expires_in,
            rule::range("How long it is good: seconds, or text such as \"7d\". A week when absent.", 1'000'000,
                        365LL * 86'400'000'000, "604800")),
      field("max_uses", &CreateInviteRequest::max_uses, rule::range("How many may join by it.", 1, 10'000, "1")),
  };
};

template <>
struct Schema<InviteView> {
  static constexpr Use use = Use::response;
  static constexpr std::string_view name = "Invite";
  static constexpr std::string_view doc = "An invite. The code is shown once, when it is made.";
  static constexpr auto fields = std::tuple{
      field("id", &InviteView::id, rule::must("Identifier.")),
      field("code", &InviteView::code, rule::doc("The code, only in the reply to its creation.")),
      field("prefix", &InviteView::prefix, rule::must("How the code begins.")),
      field("role", &InviteView::role, rule::must("The role it gives.")),
      field("max_uses", &InviteView::max_uses, rule::must("How many may join by it.")),
      field("uses", &InviteView::uses, rule::must("How many have joined by it.")),
      field("created_at", &InviteView::created_at, rule::must("When it was made.")),
      field("expires_at", &InviteView::expires_at, rule::must("Until when it is good.")),
      field("revoked_at", &InviteView::revoked_at, rule::doc("When it was taken back.")),
  };
};

template <>
struct Schema<RevokeInviteRequest> {
  static constexpr std::string_view name = "RevokeInviteRequest";
  static constexpr std::string_view doc = "Takes an invite back.";
  static constexpr auto fields = std::tuple{
      field("invite_id", &RevokeInviteRequest::invite_id, rule::must("Which invite.")),
  };
};

template <>
struct Schema<RedeemRequest> {
  static constexpr std::string_view name = "RedeemInviteRequest";
  static constexpr std::string_view doc = "Joins the organization of an invite.";
  static constexpr auto fields = std::tuple{
      field("code", &RedeemRequest::code, {.doc = "The invite code.", .min_len = 1, .max_len = 128, .required = true}),
  };
};

template <>
struct Schema<JoinRequest> {
  static constexpr std::string_view name = "JoinOrganizationRequest";
  static constexpr std::string_view doc = "Joins the organization of an invite.";
  static constexpr auto fields = std::tuple{
      field("invite_code", &JoinRequest::invite_code,
            {.doc = "The invite code.", .min_len = 1, .max_len = 128, .required = true}),
  };
};

template <>
struct Schema<ResourcesBody> {
  static constexpr std::string_view name = "Resources";
  static constexpr std::string_view doc = "Amounts of CPU, memory and GPU.";
  static constexpr auto fields = std::tuple{
      field("cpu", &ResourcesBody::cpu,
            rule::range("Cores: 2, 0.5 or \"500m\".", 0, 1'000'000'000, "1")),
      field("memory", &ResourcesBody::memory,
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
  };
};

template <>
struct Schema<RuntimeBody> {
  static constexpr std::string_view name = "Runtime";
  static constexpr std::string_view doc = "What really runs the deployments of a cluster.";
  static constexpr auto fields = std::tuple{
      field("kind", &RuntimeBody::kind, rule::must("process: commands on this machine; simulated: holds resources for a given time.", "\"process\"")),
      field("speed", &RuntimeBody::speed, rule::range("simulated: how many times faster than real time.", 1, 1'000'000'000)),
  };
};

template <>
struct Schema<CreateClusterRequest> {
  static constexpr std::string_view name = "CreateClusterRequest";
  static constexpr std::string_view doc =
      "A pool of nodes. Give totals (one node), or nodes, or neither: then the runtime says what this machine has.";
  static constexpr auto fields = std::tuple{
      field("organization_id", &CreateClusterRequest::organization_id, rule::must("Whose cluster it is.")),
      field("name", &CreateClusterRequest::name, rule::name("Unique in the organization.", "\"lab\"")),
      field("runtime", &CreateClusterRequest::runtime, rule::must("What runs its deployments.")),
      field("resources", &CreateClusterRequest::resources, rule::doc("Totals of a cluster with one node.")),
      field("nodes", &CreateClusterRequest::nodes, {.doc = "Its machines.", .min_len = 1, .max_len = 10'000}),
      field("policy", &CreateClusterRequest::policy, rule::doc("How the queue is processed.", "\"strict\"")),
  };
};

template <>
struct Schema<UpdateClusterRequest> {
  static constexpr std::string_view name = "UpdateClusterRequest";
  static constexpr std::string_view doc = "What is absent stays. What runs must still fit.";
  static constexpr auto fields = std::tuple{
      field("name", &UpdateClusterRequest::name, rule::name("New name.", "\"lab\"", false)),
      field("resources", &UpdateClusterRequest::resources, rule::doc("New totals of a cluster with one node.")),
      field("nodes", &UpdateClusterRequest::nodes, {.doc = "The new node list, matched by name.", .min_len = 1, .max_len = 10'000}),
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
      field("paused", &ClusterView::paused, rule::must("Nothing starts while it is paused.")),
      field("resources", &ClusterView::resources, rule::must("Sum over its nodes.")),
      field("nodes", &ClusterView::nodes, rule::must("Its machines.")),
      field("created_at", &ClusterView::created_at, rule::must("When it was made.")),
      field("version", &ClusterView::version, rule::must("Grows with each change; also the ETag.")),
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
  static constexpr std::string_view doc = "Whether the runtime answers, and how it enforces limits.";
  static constexpr auto fields = std::tuple{
      field("reachable", &RuntimeHealth::reachable, rule::must("It answers.")),
      field("message", &RuntimeHealth::message, rule::must("A sentence.")),
      field("enforcement", &RuntimeHealth::enforcement, rule::must("How limits are enforced.", "\"cgroup v2\"")),
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
      field("queue", &ClusterStatusView::queue, rule::must("How many wait.")),
      field("active", &ClusterStatusView::active, rule::must("Deployments that hold resources.")),
      field("runtime", &ClusterStatusView::runtime, rule::must("The runtime's health.")),
  };
};

template <>
struct Schema<ForecastView> {
  static constexpr Use use = Use::response;
  static constexpr std::string_view name = "Forecast";
  static constexpr std::string_view doc = "When it will start, as a range with the method named.";
  static constexpr auto fields = std::tuple{
      field("method", &ForecastView::method, rule::must("from_runtime_limits, from_recent_rate or unknown.", "\"unknown\"")),
      field("earliest", &ForecastView::earliest, rule::doc("Hardly before.")),
      field("latest", &ForecastView::latest, rule::doc("By then, if what runs uses its declared run time up and nothing more urgent comes.")),
  };
};

template <>
struct Schema<QueueItemView> {
  static constexpr Use use = Use::response;
  static constexpr std::string_view name = "QueueItem";
  static constexpr std::string_view doc = "A waiting deployment, in the order in which it would be considered.";
  static constexpr auto fields = std::tuple{
      field("position", &QueueItemView::position, rule::must("1 is next; 0 while it pauses after a failure.")),
      field("deployment_id", &QueueItemView::deployment_id, rule::must("Which deployment.")),
      field("name", &QueueItemView::name, rule::must("Its name.", "\"digits\"")),
      field("priority", &QueueItemView::priority, rule::must("Which queue.")),
      field("resources", &QueueItemView::resources, rule::must("What it asks for.")),
      field("reason", &QueueItemView::reason, rule::must("Why it waits.")),
      field("needs_action", &QueueItemView::needs_action, rule::must("Somebody must act; time alone will not help.")),
      field("forecast", &QueueItemView::forecast, rule::must("When it will start.")),
      field("queued_at", &QueueItemView::queued_at, rule::must("Since when.")),
      field("retry_at", &QueueItemView::retry_at, rule::doc("When the pause after a failure ends.")),
  };
};

template <>
struct Schema<ReadinessBody> {
  static constexpr std::string_view name = "Readiness";
  static constexpr std::string_view doc = "How Berth learns that it is ready: an HTTP path, or a TCP connection to the port.";
  static constexpr auto fields = std::tuple{
      field("path", &ReadinessBody::path,
            {.doc = "Must answer 2xx.", .example = "\"/v2/health/ready\"", .min_len = 1, .max_len = 1024,
             .pattern = "^/[!-~]*$", .check = rule::is_path, .expected = "a path such as /health"}),
      field("timeout", &ReadinessBody::timeout, rule::range("Start-up has failed after this: seconds or \"2m\".", 1'000'000, 86'400'000'000, "60")),
  };
};

template <>
struct Schema<RestartBody> {
  static constexpr std::string_view name = "Restart";
  static constexpr std::string_view doc = "What happens after a failure.";
  static constexpr auto fields = std::tuple{
      field("max_attempts", &RestartBody::max_attempts,
            rule::range("Attempts in a row, the first included. 5 for services and 1 for jobs when absent.", 1, 1000, "5")),
      field("backoff", &RestartBody::backoff, rule::range("First pause; doubles with each failure up to 5 minutes.", 10'000, 300'000'000, "1")),
  };
};

template <>
struct Schema<SimulateBody> {
  static constexpr std::string_view name = "Simulate";
  static constexpr std::string_view doc = "The work of a deployment on a simulated cluster.";
  static constexpr auto fields = std::tuple{
      field("duration", &SimulateBody::duration, rule::range("How long it runs; until stopped when absent.", 0, 315'360'000'000'000, "60")),
      field("exit_code", &SimulateBody::exit_code, rule::range("How it ends.", 0, 255, "0")),
  };
};

template <>
struct Schema<CreateDeploymentRequest> {
  static constexpr std::string_view name = "CreateDeploymentRequest";
  static constexpr std::string_view doc = "What to run, what it needs, and how urgent it is.";
  static constexpr auto fields = std::tuple{
      field("cluster_id", &CreateDeploymentRequest::cluster_id, rule::must("Where.")),
      field("name", &CreateDeploymentRequest::name, rule::name("Unique among the unfinished ones of the organization; made up when absent.", "\"digits\"", false)),
      field("kind", &CreateDeploymentRequest::kind, rule::doc("service: until stopped; job: until it ends.", "\"service\"")),
      field("image", &CreateDeploymentRequest::image, {.doc = "Container image, for runtimes that run images.", .min_len = 1, .max_len = 512, .check = rule::has_no_nul, .expected = "without NUL"}),
      field("command", &CreateDeploymentRequest::command,
            {.doc = "Program and arguments; no shell.", .example = "[\"python3\",\"serve.py\"]", .min_len = 1, .max_len = 1000,
             .check = rule::has_no_nul, .expected = "without NUL"}),
      field("env", &CreateDeploymentRequest::env,
            {.doc = "Environment variables.", .max_len = 1000, .check = rule::has_no_nul, .key_check = rule::is_env_name,
             .expected = "without NUL", .key_expected = "a name of letters, digits and '_', not beginning with a digit"}),
      field("port", &CreateDeploymentRequest::port,
            rule::range("It serves HTTP on the port that it finds in PORT: this one if it is free.", 1, 65'535, "8080")),
      field("resources", &CreateDeploymentRequest::resources, rule::must("What it needs.")),
      field("priority", &CreateDeploymentRequest::priority, rule::doc("high or low, in either case of letters.", "\"high\"")),
      field("readiness", &CreateDeploymentRequest::readiness, rule::doc("How Berth learns that it is ready.")),
      field("restart", &CreateDeploymentRequest::restart, rule::doc("What happens after a failure.")),
      field("stop_grace", &CreateDeploymentRequest::stop_grace, rule::range("Between asking to end and killing; 10 s when absent.", 0, 3'600'000'000, "10")),
      field("max_run_time", &CreateDeploymentRequest::max_run_time, rule::range("It is stopped after this.", 1000, 315'360'000'000'000)),
      field("access", &CreateDeploymentRequest::access, rule::doc("Who may use its endpoint.", "\"organization\"")),
      field("simulate", &CreateDeploymentRequest::simulate, rule::doc("For simulated clusters.")),
      field("labels", &CreateDeploymentRequest::labels,
            {.doc = "Your own notes.", .max_len = 100, .check = rule::is_label, .key_check = is_name,
             .expected = "a value of up to 255 characters", .key_expected = "a name of up to 63 letters, digits, '-', '_' or '.'"}),
  };
};

template <>
struct Schema<UpdateDeploymentRequest> {
  static constexpr std::string_view name = "UpdateDeploymentRequest";
  static constexpr std::string_view doc = "The priority can be changed while it is queued; it keeps its admission order.";
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
      field("readiness", &DeploymentView::readiness, rule::doc("How Berth learns that it is ready.")),
      field("restart", &DeploymentView::restart, rule::must("What happens after a failure.")),
      field("stop_grace", &DeploymentView::stop_grace, rule::must("Seconds between asking to end and killing.")),
      field("max_run_time", &DeploymentView::max_run_time, rule::doc("Seconds it may run.")),
      field("access", &DeploymentView::access, rule::must("Who may use its endpoint.")),
      field("simulate", &DeploymentView::simulate, rule::doc("For simulated clusters.")),
      field("labels", &DeploymentView::labels, rule::must("Your own notes.")),
      field("attempt", &DeploymentView::attempt, rule::must("Number of the latest attempt; 0 before the first.")),
      field("place", &DeploymentView::place, rule::doc("Where it runs, while it holds resources.")),
      field("endpoint", &DeploymentView::endpoint, rule::doc("Path on this server that forwards to it.", "\"/serve/vision/digits/\"")),
      field("exit_code", &DeploymentView::exit_code, rule::doc("Of the latest attempt that ended.")),
      field("message", &DeploymentView::message, rule::doc("The last thing worth telling.")),
      field("retry_at", &DeploymentView::retry_at, rule::doc("When the pause after a failure ends.")),
      field("created_at", &DeploymentView::created_at, rule::must("When it was submitted.")),
      field("updated_at", &DeploymentView::updated_at, rule::must("When it last changed.")),
      field("started_at", &DeploymentView::started_at, rule::doc("Since when it is ready.")),
      field("ended_at", &DeploymentView::ended_at, rule::doc("When it ended.")),
      field("version", &DeploymentView::version, rule::must("Grows with each change; also the ETag.")),
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
      field("needs_action", &ExplanationView::needs_action, rule::must("Somebody must act; time alone will not help.")),
      field("message", &ExplanationView::message, rule::must("The same as a sentence.")),
      field("all_reasons", &ExplanationView::all_reasons, rule::must("Every cause that applies now.")),
      field("position", &ExplanationView::position, rule::doc("1 is next to be considered.")),
      field("ahead_high", &ExplanationView::ahead_high, rule::doc("High ones before it.")),
      field("ahead_low", &ExplanationView::ahead_low, rule::doc("Low ones before it.")),
      field("nearest_node", &ExplanationView::nearest_node, rule::doc("The node that misses least.")),
      field("missing", &ExplanationView::missing, rule::doc("What it misses there.")),
      field("free_total", &ExplanationView::free_total, rule::doc("Free over all nodes.")),
      field("largest_hole", &ExplanationView::largest_hole, rule::doc("The most that one node has free.")),
      field("would_start_now", &ExplanationView::would_start_now, rule::doc("A smaller size that would start at once.")),
      field("largest_possible", &ExplanationView::largest_possible, rule::doc("When no node could ever hold it.")),
      field("forecast", &ExplanationView::forecast, rule::must("When it will start.")),
  };
};

template <>
struct Schema<ProblemField> {
  static constexpr Use use = Use::response;
  static constexpr std::string_view name = "ProblemField";
  static constexpr std::string_view doc = "One refused field.";
  static constexpr auto fields = std::tuple{
      field("pointer", &ProblemField::pointer, rule::must("JSON pointer into the body, or the parameter's name.", "\"/resources/cpu\"")),
      field("code", &ProblemField::code, rule::must("Stable word.", "\"out_of_range\"")),
      field("message", &ProblemField::message, rule::must("What would be accepted.")),
  };
};

template <>
struct Schema<Problem> {
  static constexpr Use use = Use::response;
  static constexpr std::string_view name = "Problem";
  static constexpr std::string_view doc = "What went wrong and what to do (RFC 9457).";
  static constexpr auto fields = std::tuple{
      field("type", &Problem::type, rule::must("Stable address of this kind of problem.", "\"/problems#invalid_request\"")),
      field("title", &Problem::title, rule::must("Short.", "\"Bad Request\"")),
      field("status", &Problem::status, rule::must("HTTP status.", "400")),
      field("detail", &Problem::detail, rule::must("A sentence.")),
      field("instance", &Problem::instance, rule::must("The path that was asked.")),
      field("code", &Problem::code, rule::must("Stable word.", "\"invalid_request\"")),
      field("request_id", &Problem::request_id, rule::must("To find it in the log.")),
      field("errors", &Problem::errors, rule::must("Every refused field.")),
  };
};

template <>
struct Schema<HealthView> {
  static constexpr Use use = Use::response;
  static constexpr std::string_view name = "Health";
  static constexpr std::string_view doc = "The process answers.";
  static constexpr auto fields = std::tuple{field("status", &HealthView::status, rule::must("ok.", "\"ok\""))};
};

template <>
struct Schema<ReadinessCheck> {
  static constexpr Use use = Use::response;
  static constexpr std::string_view name = "ReadinessCheck";
  static constexpr std::string_view doc = "One thing that must work.";
  static constexpr auto fields = std::tuple{
      field("name", &ReadinessCheck::name, rule::must("What.", "\"database\"")),
      field("ok", &ReadinessCheck::ok, rule::must("It works.")),
      field("message", &ReadinessCheck::message, rule::must("A sentence when it does not.")),
  };
};

template <>
struct Schema<ReadyView> {
  static constexpr Use use = Use::response;
  static constexpr std::string_view name = "Ready";
  static constexpr std::string_view doc = "The server can do its work.";
  static constexpr auto fields = std::tuple{
      field("status", &ReadyView::status, rule::must("ok or unavailable.", "\"ok\"")),
      field("checks", &ReadyView::checks, rule::must("One by one.")),
  };
};

template <>
struct Schema<VersionView> {
  static constexpr Use use = Use::response;
  static constexpr std::string_view name = "Version";
  static constexpr std::string_view doc = "Which Berth this is.";
  static constexpr auto fields = std::tuple{
      field("version", &VersionView::version, rule::must("Of the server.", "\"0.1.0\"")),
      field("api", &VersionView::api, rule::must("Of the API.", "\"v1\"")),
  };
};

template <class T>
struct Schema<Page<T>> {
  static constexpr Use use = Use::response;
  static constexpr auto letters = [] {
    constexpr std::string_view item = Schema<T>::name;
    constexpr std::string_view suffix = "Page";
    std::array<char, item.size() + suffix.size()> out{};
    std::copy(item.begin(), item.end(), out.begin());
    std::copy(suffix.begin(), suffix.end(), out.begin() + item.size());
    return out;
  }();
  static constexpr std::string_view name{letters.data(), letters.size()};
  static constexpr std::string_view doc = "A page of a list; pass 'next' as 'cursor' for the following one.";
  static constexpr auto fields = std::tuple{
      field("items", &Page<T>::items, rule::must("The entries.")),
      field("next", &Page<T>::next, rule::doc("Cursor of the next page; absent on the last.")),
  };
};

}  // namespace berth::json
