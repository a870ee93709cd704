// The authorization table, written out once more by hand: who may do what.
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>

#include "core/permission.h"

namespace berth {
namespace {

TEST(Permissions, AreTheOnesWrittenHere) {
  using enum Operation;
  const std::set<Operation> everyone{health_read, api_describe, setup,       register_user,
                                     login,       refresh,      metrics_read};
  const std::set<Operation> authenticated{
      logout,        me_read,    password_change,     key_create,
      key_list,      key_revoke, organization_create, organization_list,
      invite_redeem, event_watch};
  const std::map<Operation, Role> members{{organization_read, Role::viewer},
                                          {organization_update, Role::admin},
                                          {member_list, Role::viewer},
                                          {member_update, Role::admin},
                                          {member_remove, Role::admin},
                                          {invite_create, Role::admin},
                                          {invite_list, Role::admin},
                                          {invite_revoke, Role::admin},
                                          {audit_read, Role::admin},
                                          {cluster_create, Role::admin},
                                          {cluster_list, Role::viewer},
                                          {cluster_read, Role::viewer},
                                          {cluster_update, Role::admin},
                                          {cluster_delete, Role::admin},
                                          {cluster_pause, Role::admin},
                                          {cluster_status, Role::viewer},
                                          {cluster_queue, Role::viewer},
                                          {cluster_plan, Role::viewer},
                                          {cluster_record, Role::viewer},
                                          {cluster_quota_list, Role::viewer},
                                          {cluster_quota_update, Role::admin},
                                          {deployment_create, Role::developer},
                                          {deployment_list, Role::viewer},
                                          {deployment_read, Role::viewer},
                                          {deployment_update, Role::developer},
                                          {deployment_delete, Role::developer},
                                          {deployment_stop, Role::developer},
                                          {deployment_events, Role::viewer},
                                          {deployment_logs, Role::viewer},
                                          {deployment_explain, Role::viewer},
                                          {endpoint_use, Role::viewer}};
  // On a cluster that is shared with their organization.
  const std::set<Operation> guests{cluster_list,      cluster_read,   cluster_status,
                                   cluster_queue,     cluster_plan,   cluster_quota_list,
                                   deployment_create, deployment_list};
  EXPECT_EQ(everyone.size() + authenticated.size() + members.size(),
            static_cast<std::size_t>(count_));
  for (int i = 0; i < static_cast<int>(count_); ++i) {
    const auto operation = static_cast<Operation>(i);
    const auto& row = permission_of(operation);
    EXPECT_EQ(row.operation, operation);
    EXPECT_EQ(row.audience, everyone.contains(operation)        ? Audience::everyone
                            : authenticated.contains(operation) ? Audience::authenticated
                                                                : Audience::members)
        << i;
    EXPECT_EQ(row.guests, guests.contains(operation)) << i;
    const auto least = members.find(operation);
    if (least != members.end()) {
      EXPECT_EQ(row.at_least, least->second) << i;
    }
    for (const auto role : {Role::viewer, Role::developer, Role::admin, Role::owner}) {
      EXPECT_EQ(allows(operation, role), least == members.end() || role >= least->second) << i;
    }
    EXPECT_EQ(allows(operation, std::nullopt), least == members.end()) << i;
  }
}

TEST(Permissions, RolesAreOrdered) {
  EXPECT_LT(Role::viewer, Role::developer);
  EXPECT_LT(Role::developer, Role::admin);
  EXPECT_LT(Role::admin, Role::owner);
}

}  // namespace
}  // namespace berth
