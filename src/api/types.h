// What goes over the wire: one declaration a type, from which reading, validating, writing and the
// OpenAPI description are derived.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/account.h"
#include "core/cluster.h"
#include "core/deployment.h"
#include "core/reason.h"
#include "json/quantity.h"
#include "json/rules.h"
#include "scheduler/plan.h"

namespace berth::api {

using json::Cpu;
using json::field;
using json::Gpu;
using json::Memory;
using json::Rules;
using json::Seconds;

// --- accounts -----------------------------------------------------------------------------------

struct RegisterRequest {
  std::string username;
  std::string email;
  std::string password;
  std::optional<std::string> invite_code;
};
struct LoginRequest {
  std::string username;
  std::string password;
};
struct RefreshRequest {
  std::string refresh_token;
};
struct LogoutRequest {
  bool everywhere = false;
};
struct ChangePasswordRequest {
  std::string current_password;
  std::string new_password;
};
struct SetupRequest {
  std::string token;
  std::string username;
  std::string email;
  std::string password;
  std::string organization;
  bool take_this_machine = false;
};
struct UserView {
  UserId id;
  std::string username;
  std::string email;
  bool is_admin = false;
  Timestamp created_at;
};
struct TokenView {
  std::string access_token;
  std::string token_type = "Bearer";
  std::int64_t expires_in = 0;
  std::string refresh_token;
  UserView user;
};
struct CreateKeyRequest {
  std::string name;
  std::optional<Timestamp> expires_at;
};
struct KeyView {
  ApiKeyId id;
  std::string name;
  std::string prefix;
  std::optional<std::string> key;
  Timestamp created_at;
  std::optional<Timestamp> expires_at;
};

// --- organizations ------------------------------------------------------------------------------

struct CreateOrganizationRequest {
  std::string name;
};
struct OrganizationBody {
  OrganizationId id;
  std::string name;
  Role role = Role::viewer;
  Timestamp created_at;
  std::int64_t version = 1;
};
struct MemberView {
  UserId user_id;
  std::string username;
  std::string email;
  Role role = Role::viewer;
  Timestamp joined_at;
};
struct SetRoleRequest {
  UserId user_id;
  Role role = Role::viewer;
};
struct RemoveMemberRequest {
  UserId user_id;
};
struct CreateInviteRequest {
  Role role = Role::developer;
  std::optional<Seconds> expires_in;
  std::int32_t max_uses = 1;
};
struct InviteView {
  InviteId id;
  std::optional<std::string> code;
  std::string prefix;
  Role role = Role::developer;
  std::int32_t max_uses = 1;
  std::int32_t uses = 0;
  Timestamp created_at;
  Timestamp expires_at;
  std::optional<Timestamp> revoked_at;
};
struct RevokeInviteRequest {
  InviteId invite_id;
};
struct RedeemRequest {
  std::string code;
};
struct JoinRequest {
  std::string invite_code;
};

// --- clusters -----------------------------------------------------------------------------------

struct ResourcesBody {
  Cpu cpu;
  Memory memory;
  Gpu gpu;
};
struct NodeBody {
  std::string name;
  ResourcesBody resources;
  std::string gpu_model;
  std::map<std::string, std::string> labels;
};
struct RuntimeBody {
  RuntimeKind kind = RuntimeKind::process;
  std::optional<double> speed;
};
struct CreateClusterRequest {
  OrganizationId organization_id;
  std::string name;
  RuntimeBody runtime;
  std::optional<ResourcesBody> resources;
  std::optional<std::vector<NodeBody>> nodes;
  Policy policy = Policy::strict;
  PlacementRule placement = PlacementRule::best_fit;
  std::optional<Seconds> age_bound;
  bool fair = false;
};
struct UpdateClusterRequest {
  std::optional<std::string> name;
  std::optional<ResourcesBody> resources;
  std::optional<std::vector<NodeBody>> nodes;
  std::optional<Policy> policy;
  std::optional<PlacementRule> placement;
  std::optional<Seconds> age_bound;
  std::optional<bool> fair;
};
struct ClusterView {
  ClusterId id;
  OrganizationId organization_id;
  std::string name;
  RuntimeBody runtime;
  Policy policy = Policy::strict;
  PlacementRule placement = PlacementRule::best_fit;
  std::optional<Seconds> age_bound;
  bool fair = false;
  bool paused = false;
  ResourcesBody resources;
  std::vector<NodeBody> nodes;
  Timestamp created_at;
  std::int64_t version = 1;
};
// Amounts of which each may be absent: not limited.
struct LimitsBody {
  std::optional<Cpu> cpu;
  std::optional<Memory> memory;
  std::optional<Gpu> gpu;
};
struct PutQuotaRequest {
  std::optional<std::optional<LimitsBody>> quota;
  std::optional<std::optional<LimitsBody>> borrowing;
};
struct QuotaView {
  OrganizationId organization_id;
  std::string organization;
  std::optional<LimitsBody> quota;
  std::optional<LimitsBody> borrowing;
  ResourcesBody used;
  ResourcesBody borrowed;
  std::uint64_t waiting = 0;
};
struct SetQuotaView {
  OrganizationId organization_id;
  std::string organization;
  std::optional<LimitsBody> quota;
  std::optional<LimitsBody> borrowing;
};
struct QuotaListView {
  std::vector<QuotaView> items;
};
struct GpuView {
  std::int32_t device = 0;
  Gpu reserved;
  Gpu available;
};
struct NodeStatusView {
  std::string name;
  std::string gpu_model;
  ResourcesBody capacity;
  ResourcesBody reserved;
  ResourcesBody available;
  std::vector<GpuView> gpus;
  std::uint64_t running = 0;
};
struct QueueLengths {
  std::uint64_t high = 0;
  std::uint64_t low = 0;
  std::uint64_t backoff = 0;
};
struct RuntimeHealth {
  bool reachable = true;
  std::string message;
  std::string enforcement;
};
struct ClusterStatusView {
  ClusterId cluster_id;
  std::string name;
  bool paused = false;
  ResourcesBody capacity;
  ResourcesBody reserved;
  ResourcesBody available;
  std::vector<NodeStatusView> nodes;
  std::vector<QuotaView> quotas;
  QueueLengths queue;
  std::uint64_t active = 0;
  std::optional<RuntimeHealth> runtime;
  std::optional<std::int64_t> index;
  std::optional<Timestamp> at;
};
struct ForecastView {
  std::string method = "unknown";
  std::optional<Timestamp> earliest;
  std::optional<Timestamp> latest;
  bool guaranteed = false;
  std::optional<Timestamp> never_later;
};
struct QueueItemView {
  std::uint64_t position = 0;
  DeploymentId deployment_id;
  std::string name;
  bool mine = true;
  Priority priority = Priority::low;
  ResourcesBody resources;
  std::optional<std::int32_t> replicas;
  Reason reason = Reason::pending_evaluation;
  bool needs_action = false;
  ForecastView forecast;
  Timestamp queued_at;
  std::optional<Timestamp> retry_at;
};
struct QueueView {
  std::vector<QueueItemView> items;
  std::optional<std::string> next;
  std::optional<std::int64_t> index;
  std::optional<Timestamp> at;
};

// --- what-if questions --------------------------------------------------------------------------

enum class PlanKind { submit, stop, prioritize, resize, lose_node };
struct PlanCommandBody {
  PlanKind kind = PlanKind::submit;
  std::optional<OrganizationId> organization_id;
  std::optional<DeploymentId> deployment_id;
  std::optional<Priority> priority;
  std::optional<ResourcesBody> resources;
  std::optional<std::string> gpu_model;
  std::map<std::string, std::string> node_labels;
  std::optional<std::int32_t> replicas;
  std::optional<Seconds> max_run_time;
  std::optional<std::vector<NodeBody>> nodes;
  std::optional<std::string> node;
  std::optional<Seconds> after;
};
struct PlanRequest {
  std::vector<PlanCommandBody> commands;
};
struct SimulateRequest {
  std::vector<PlanCommandBody> commands;
  std::optional<Seconds> horizon;
};
struct PlanStartView {
  DeploymentId deployment_id;
  std::optional<std::string> name;
  std::string node;
  std::vector<std::string> other_nodes;
};
struct PlanEvictionView {
  DeploymentId deployment_id;
  std::optional<std::string> name;
  DeploymentId for_deployment_id;
  std::optional<std::string> for_name;
};
struct HappenedView {
  Timestamp at;
  Happening what = Happening::starts;
  DeploymentId deployment_id;
  std::optional<std::string> name;
  std::optional<std::string> node;
  std::optional<DeploymentId> for_deployment_id;
};
struct StartShiftView {
  DeploymentId deployment_id;
  std::optional<std::string> name;
  std::optional<Timestamp> before;
  std::optional<Timestamp> after;
};
struct PlanStepView {
  std::optional<DeploymentId> deployment_id;
  std::optional<std::string> refused;
  std::vector<PlanStartView> starts;
  std::vector<PlanEvictionView> evictions;
  std::vector<DeploymentId> returns;
};
struct PlanMoveView {
  DeploymentId deployment_id;
  std::optional<std::string> name;
  std::uint64_t before = 0;
  std::uint64_t after = 0;
};
struct PlanView {
  std::vector<PlanStepView> steps;
  std::vector<PlanMoveView> moves;
  std::optional<std::int64_t> index;
};
struct ForesightView {
  std::vector<PlanStepView> steps;
  std::vector<HappenedView> happened;
  std::vector<StartShiftView> shifts;
  bool cut = false;
  std::optional<std::int64_t> index;
};

// --- deployments --------------------------------------------------------------------------------

struct ReadinessBody {
  std::optional<std::string> path;
  std::optional<Seconds> timeout;
};
struct RestartBody {
  std::optional<std::int32_t> max_attempts;
  std::optional<Seconds> backoff;
};
struct SimulateBody {
  std::optional<Seconds> duration;
  std::int32_t exit_code = 0;
};
struct DependencyBody {
  std::string deployment;
  std::optional<Milestone> until;
};
struct CreateDeploymentRequest {
  ClusterId cluster_id;
  std::optional<OrganizationId> organization_id;
  std::optional<std::string> name;
  Kind kind = Kind::service;
  std::optional<std::string> image;
  std::optional<std::vector<std::string>> command;
  std::map<std::string, std::string> env;
  std::optional<std::uint16_t> port;
  ResourcesBody resources;
  Priority priority = Priority::low;
  std::optional<ReadinessBody> readiness;
  std::optional<RestartBody> restart;
  std::optional<Seconds> stop_grace;
  std::optional<Seconds> max_run_time;
  Access access = Access::organization;
  std::optional<SimulateBody> simulate;
  std::map<std::string, std::string> labels;
  std::vector<DependencyBody> depends_on;
  std::optional<std::string> gpu_model;
  std::map<std::string, std::string> node_labels;
  std::int32_t replicas = 1;
};
struct UpdateDeploymentRequest {
  Priority priority = Priority::low;
};
struct GpuShareView {
  std::int32_t device = 0;
  Gpu share;
};
struct PlaceView {
  std::string node;
  std::vector<GpuShareView> gpus;
};
struct ReplicaView {
  std::int32_t replica = 0;
  ReplicaPhase state = ReplicaPhase::starting;
  std::optional<PlaceView> place;
  std::optional<std::int32_t> exit_code;
  std::optional<std::string> message;
};
struct DeploymentView {
  DeploymentId id;
  OrganizationId organization_id;
  ClusterId cluster_id;
  std::string name;
  Kind kind = Kind::service;
  State state = State::queued;
  Priority priority = Priority::low;
  ResourcesBody resources;
  std::optional<std::string> image;
  std::vector<std::string> command;
  std::map<std::string, std::string> env;
  std::optional<std::uint16_t> port;
  std::optional<ReadinessBody> readiness;
  RestartBody restart;
  Seconds stop_grace;
  std::optional<Seconds> max_run_time;
  Access access = Access::organization;
  std::optional<SimulateBody> simulate;
  std::map<std::string, std::string> labels;
  std::vector<DependencyBody> depends_on;
  std::optional<std::string> gpu_model;
  std::map<std::string, std::string> node_labels;
  std::int32_t replicas = 1;
  std::int32_t attempt = 0;
  std::optional<PlaceView> place;
  std::vector<ReplicaView> placements;
  std::optional<std::string> endpoint;
  std::optional<std::int32_t> exit_code;
  std::optional<std::string> message;
  std::optional<Timestamp> retry_at;
  Timestamp created_at;
  Timestamp updated_at;
  std::optional<Timestamp> started_at;
  std::optional<Timestamp> ended_at;
  std::int64_t version = 1;
};
struct EventView {
  std::int64_t seq = 0;
  Timestamp at;
  std::string kind;
  std::optional<OrganizationId> organization_id;
  std::optional<ClusterId> cluster_id;
  std::optional<DeploymentId> deployment_id;
  std::string actor;
  std::string actor_name;
  std::string request_id;
  json::RawJson data;
};
struct NamedDeployment {
  DeploymentId deployment_id;
  std::string name;
  bool mine = true;
};
struct QuotaExcessView {
  LimitsBody quota;
  std::optional<LimitsBody> borrowing;
  ResourcesBody asked;
  ResourcesBody used;
  LimitsBody available;
  LimitsBody borrowable;
};
struct TooLargeView {
  ResourcesBody largest;
  std::string node;
  std::uint64_t replicas = 0;
};
struct ExplanationView {
  DeploymentId deployment_id;
  State state = State::queued;
  std::optional<Reason> reason;
  bool needs_action = false;
  std::string message;
  std::vector<Reason> all_reasons;
  std::optional<std::uint64_t> position;
  std::optional<std::uint64_t> ahead_high;
  std::optional<std::uint64_t> ahead_low;
  std::optional<std::string> nearest_node;
  std::optional<std::uint64_t> replicas_fit;
  std::optional<ResourcesBody> missing;
  std::optional<ResourcesBody> free_total;
  std::optional<ResourcesBody> largest_hole;
  std::optional<ResourcesBody> would_start_now;
  std::optional<TooLargeView> largest_possible;
  std::optional<QuotaExcessView> quota;
  std::vector<NamedDeployment> blockers;
  std::vector<NamedDeployment> displaced;
  ForecastView forecast;
  std::optional<std::int64_t> index;
  std::optional<Timestamp> at;
};

// --- pages, problems, state of the server -------------------------------------------------------

template <class T>
struct Page {
  std::vector<T> items;
  std::optional<std::string> next;
};
struct ProblemField {
  std::string pointer;
  std::string code;
  std::string message;
};
struct Problem {
  std::string type;
  std::string title;
  int status = 0;
  std::string detail;
  std::string instance;
  std::string code;
  std::string request_id;
  std::vector<ProblemField> errors;
};
struct HealthView {
  std::string status = "ok";
};
struct ReadinessCheck {
  std::string name;
  bool ok = true;
  std::string message;
};
struct ReadyView {
  std::string status = "ok";
  std::vector<ReadinessCheck> checks;
};
struct VersionView {
  std::string version;
  std::string api = "v1";
};

}  // namespace berth::api

template <>
struct berth::Names<berth::Happening> {
  using H = berth::Happening;
  static constexpr std::array<std::pair<H, std::string_view>, 4> table{{{H::starts, "starts"},
                                                                        {H::ends, "ends"},
                                                                        {H::displaced, "displaced"},
                                                                        {H::returns, "returns"}}};
};

template <>
struct berth::Names<berth::api::PlanKind> {
  using K = berth::api::PlanKind;
  static constexpr std::array<std::pair<K, std::string_view>, 5> table{
      {{K::submit, "submit"},
       {K::stop, "stop"},
       {K::prioritize, "prioritize"},
       {K::resize, "resize"},
       {K::lose_node, "lose_node"}}};
};
