#include "service/access.h"

#include <fmt/format.h>

namespace berth {

std::unexpected<Error> not_found(std::string_view what) {
  return fail(Code::not_found, "not_found", fmt::format("No such {}.", what));
}

Result<Role> authorize(ReadSide& reads, const Caller& caller, const OrganizationId& org,
                       Operation operation, std::string_view what) {
  const auto role = reads.role(org, caller.principal.user);
  if (!role) return std::unexpected(role.error());
  if (!*role) return not_found(what);
  if (!allows(operation, *role)) {
    return fail(
        Code::permission_denied, "role_too_small",
        fmt::format("This needs the role {} or higher; yours is {}. Ask an owner or admin of the "
                    "organization.",
                    to_text(permission_of(operation).at_least), to_text(**role)));
  }
  return **role;
}

}  // namespace berth
