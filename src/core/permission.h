// THE authorization table: operation x role. A route names its operation; an operation without a
// row does not compile, so a route without a row cannot exist.
#pragma once
#include <array>
#include <optional>

#include "core/account.h"

namespace berth {

enum class Operation {
  // for everybody
  health_read,
  api_describe,
  setup,
  register_user,
  login,
  refresh,
  // for whoever is logged in
  logout,
  me_read,
  password_change,
  key_create,
  key_list,
  key_revoke,
  organization_create,
  organization_list,
  invite_redeem,
  event_watch,
  metrics_read,
  // inside an organization
  organization_read,
  organization_update,
  member_list,
  member_update,
  member_remove,
  invite_create,
  invite_list,
  invite_revoke,
  audit_read,
  cluster_create,
  cluster_list,
  cluster_read,
  cluster_update,
  cluster_delete,
  cluster_pause,
  cluster_status,
  cluster_queue,
  cluster_plan,
  cluster_record,
  cluster_quota_list,
  cluster_quota_update,
  deployment_create,
  deployment_list,
  deployment_read,
  deployment_update,
  deployment_delete,
  deployment_stop,
  deployment_events,
  deployment_logs,
  deployment_explain,
  endpoint_use,
  count_,  // not an operation: how many there are
};

enum class Audience { everyone, authenticated, members };

struct Permission {
  Operation operation;
  Audience audience;
  Role at_least;  // for members only
  // Also for members of an organization that the cluster is shared with.
  bool guests = false;
};

inline constexpr std::array kPermissions{
    Permission{Operation::health_read, Audience::everyone, Role::viewer},
    Permission{Operation::api_describe, Audience::everyone, Role::viewer},
    Permission{Operation::setup, Audience::everyone, Role::viewer},
    Permission{Operation::register_user, Audience::everyone, Role::viewer},
    Permission{Operation::login, Audience::everyone, Role::viewer},
    Permission{Operation::refresh, Audience::everyone, Role::viewer},

    Permission{Operation::logout, Audience::authenticated, Role::viewer},
    Permission{Operation::me_read, Audience::authenticated, Role::viewer},
    Permission{Operation::password_change, Audience::authenticated, Role::viewer},
    Permission{Operation::key_create, Audience::authenticated, Role::viewer},
    Permission{Operation::key_list, Audience::authenticated, Role::viewer},
    Permission{Operation::key_revoke, Audience::authenticated, Role::viewer},
    Permission{Operation::organization_create, Audience::authenticated, Role::viewer},
    Permission{Operation::organization_list, Audience::authenticated, Role::viewer},
    Permission{Operation::invite_redeem, Audience::authenticated, Role::viewer},
    Permission{Operation::event_watch, Audience::authenticated, Role::viewer},
    Permission{Operation::metrics_read, Audience::everyone, Role::viewer},

    Permission{Operation::organization_read, Audience::members, Role::viewer},
    Permission{Operation::organization_update, Audience::members, Role::admin},
    Permission{Operation::member_list, Audience::members, Role::viewer},
    Permission{Operation::member_update, Audience::members, Role::admin},
    Permission{Operation::member_remove, Audience::members, Role::admin},
    Permission{Operation::invite_create, Audience::members, Role::admin},
    Permission{Operation::invite_list, Audience::members, Role::admin},
    Permission{Operation::invite_revoke, Audience::members, Role::admin},
    Permission{Operation::audit_read, Audience::members, Role::admin},
    Permission{Operation::cluster_create, Audience::members, Role::admin},
    Permission{Operation::cluster_list, Audience::members, Role::viewer, true},
    Permission{Operation::cluster_read, Audience::members, Role::viewer, true},
    Permission{Operation::cluster_update, Audience::members, Role::admin},
    Permission{Operation::cluster_delete, Audience::members, Role::admin},
    Permission{Operation::cluster_pause, Audience::members, Role::admin},
    Permission{Operation::cluster_status, Audience::members, Role::viewer, true},
    Permission{Operation::cluster_queue, Audience::members, Role::viewer, true},
    Permission{Operation::cluster_plan, Audience::members, Role::viewer, true},
    Permission{Operation::cluster_record, Audience::members, Role::viewer},
    Permission{Operation::cluster_quota_list, Audience::members, Role::viewer, true},
    Permission{Operation::cluster_quota_update, Audience::members, Role::admin},
    Permission{Operation::deployment_create, Audience::members, Role::developer, true},
    Permission{Operation::deployment_list, Audience::members, Role::viewer, true},
    Permission{Operation::deployment_read, Audience::members, Role::viewer},
    Permission{Operation::deployment_update, Audience::members, Role::developer},
    Permission{Operation::deployment_delete, Audience::members, Role::developer},
    Permission{Operation::deployment_stop, Audience::members, Role::developer},
    Permission{Operation::deployment_events, Audience::members, Role::viewer},
    Permission{Operation::deployment_logs, Audience::members, Role::viewer},
    Permission{Operation::deployment_explain, Audience::members, Role::viewer},
    Permission{Operation::endpoint_use, Audience::members, Role::viewer},
};

namespace detail {
constexpr bool every_operation_has_its_row() {
  if (kPermissions.size() != static_cast<std::size_t>(Operation::count_)) return false;
  for (std::size_t i = 0; i < kPermissions.size(); ++i) {
    if (static_cast<std::size_t>(kPermissions[i].operation) != i) return false;
  }
  return true;
}
static_assert(every_operation_has_its_row(), "each operation needs one row, in order");
}  // namespace detail

[[nodiscard]] constexpr const Permission& permission_of(Operation operation) {
  return kPermissions[static_cast<std::size_t>(operation)];
}
[[nodiscard]] constexpr bool allows(Operation operation, std::optional<Role> role) {
  const auto& row = permission_of(operation);
  return row.audience != Audience::members || (role && *role >= row.at_least);
}

}  // namespace berth
