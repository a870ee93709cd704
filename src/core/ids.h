// An identifier is a type: swapping two of them does not compile.
#pragma once
#include "base/id.h"

namespace berth {

struct UserTag {
  static constexpr std::string_view prefix = "usr";
};
struct SessionTag {
  static constexpr std::string_view prefix = "ses";
};
struct ApiKeyTag {
  static constexpr std::string_view prefix = "key";
};
struct OrganizationTag {
  static constexpr std::string_view prefix = "org";
};
struct InviteTag {
  static constexpr std::string_view prefix = "inv";
};
struct ClusterTag {
  static constexpr std::string_view prefix = "clu";
};
struct DeploymentTag {
  static constexpr std::string_view prefix = "dep";
};

using UserId = Id<UserTag>;
using SessionId = Id<SessionTag>;
using ApiKeyId = Id<ApiKeyTag>;
using OrganizationId = Id<OrganizationTag>;
using InviteId = Id<InviteTag>;
using ClusterId = Id<ClusterTag>;
using DeploymentId = Id<DeploymentTag>;

}  // namespace berth
