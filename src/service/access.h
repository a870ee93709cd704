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

[[nodiscard]] std::unexpected<Error> not_found(std::string_view what);

}  // namespace berth
