// Between the domain's types and those on the wire.
#pragma once
#include "api/types.h"
#include "service/accounts.h"
#include "service/clusters.h"
#include "service/deployments.h"
#include "service/organizations.h"

namespace berth::api {

[[nodiscard]] Resources from_body(const ResourcesBody& body);
[[nodiscard]] ResourcesBody to_body(const Resources& resources);
[[nodiscard]] Resources from_body(const LimitsBody& body);  // kNoQuota for what is absent
[[nodiscard]] LimitsBody to_limits(const Resources& limits);
[[nodiscard]] std::optional<LimitsBody> to_limits(const std::optional<Resources>& limits);
[[nodiscard]] std::vector<Node> from_body(const std::vector<NodeBody>& nodes);

[[nodiscard]] UserView view(const User& user);
[[nodiscard]] TokenView view(const Login& login);
[[nodiscard]] KeyView view(const ApiKey& key);
[[nodiscard]] KeyView view(const NewKey& key);
[[nodiscard]] OrganizationBody view(const OrganizationView& organization);
[[nodiscard]] MemberView view(const Member& member);
[[nodiscard]] InviteView view(const Invite& invite);
[[nodiscard]] InviteView view(const NewInvite& invite);
[[nodiscard]] ClusterView view(const Cluster& cluster);
[[nodiscard]] ClusterStatusView view(const ClusterStatus& status);
[[nodiscard]] QuotaView view(const QuotaRow& row);
[[nodiscard]] QueueItemView view(const QueueItem& item);
[[nodiscard]] DeploymentView view(const Deployment& deployment);
[[nodiscard]] EventView view(const Event& event);
[[nodiscard]] ExplanationView view(const WaitExplanation& explanation);

[[nodiscard]] DeploymentWish wish_of(CreateDeploymentRequest request);

}  // namespace berth::api
