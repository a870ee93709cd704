// Who may do what: every use case asks here first, with its operation.
#pragma once
#include "core/permission.h"
#include "service/change.h"
#include "service/read_side.h"

namespace berth {

// One request's caller.
struct Caller {
  Principal principal;
  std::string request_id;
  std::string address;

  [[nodiscard]] Actor actor() const {
    return {principal.user.str(), principal.username, request_id};
  }
};

// Errors: not_found for whoever is no member (a foreign organization looks like an unknown one),
// permission_denied with the role that would be needed.
Result<Role> authorize(ReadSide& reads, const Caller& caller, const OrganizationId& org,
                       Operation operation, std::string_view what);

// For something about a cluster: its organization's members may do what their role there allows;
// members of organizations that it is shared with, what the table lets guests do. Errors as above,
// and permission_denied "foreign_cluster" for guests.
Result<void> authorize(ReadSide& reads, const Caller& caller, const Cluster& cluster,
                       Operation operation);
// For which organization the caller acts on a cluster: `asked`, else the cluster's own where he is
// a member of it, else the only one of his that it is shared with. `pointer` is where it is asked
// for.
Result<OrganizationId> acting_for(ReadSide& reads, const Caller& caller, const Cluster& cluster,
                                  const std::optional<OrganizationId>& asked, Operation operation,
                                  const std::string& pointer);
// Names of deployments are for members of their organization.
[[nodiscard]] bool is_member(const ReadSide::Memberships& mine, const OrganizationId& organization);

[[nodiscard]] std::unexpected<Error> not_found(std::string_view what);
// What the caller had read is still so; always, when he did not say what he had read. Error:
// aborted with reason version_mismatch.
[[nodiscard]] Result<void> still_at(std::int64_t version, std::optional<std::int64_t> wanted,
                                    std::string_view what);

}  // namespace berth
