#include "service/access.h"

#include <fmt/format.h>

#include <algorithm>

namespace berth {

std::unexpected<Error> not_found(std::string_view what) {
  return fail(Code::not_found, "not_found", fmt::format("No such {}.", what));
}

Result<void> still_at(std::int64_t version, std::optional<std::int64_t> wanted,
                      std::string_view what) {
  if (!wanted || *wanted == version) return {};
  return fail(Code::aborted, "version_mismatch",
              fmt::format("The {} was changed meanwhile; read it again.", what));
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

Result<void> authorize(ReadSide& reads, const Caller& caller, const Cluster& cluster,
                       Operation operation) {
  auto own = authorize(reads, caller, cluster.organization, operation, "cluster");
  if (own) return {};
  if (own.error().code != Code::not_found) return std::unexpected(std::move(own.error()));
  bool is_guest = false;
  for (const Share& share : cluster.shares) {
    const auto role = reads.role(share.organization, caller.principal.user);
    if (!role) return std::unexpected(role.error());
    if (!*role) continue;
    is_guest = true;
    if (permission_of(operation).guests && allows(operation, *role)) return {};
  }
  if (!is_guest) return std::unexpected(std::move(own.error()));
  return fail(Code::permission_denied, "foreign_cluster",
              "This is for members of the organization that the cluster belongs to; it is only "
              "shared with yours.");
}

bool is_member(const ReadSide::Memberships& mine, const OrganizationId& organization) {
  return std::ranges::any_of(mine, [&](const auto& one) { return one.first == organization; });
}

namespace {

// Names and ids, for people.
Result<std::string> names_of(ReadSide& reads, const std::vector<OrganizationId>& organizations) {
  auto view = reads.view();
  if (!view) return std::unexpected(std::move(view.error()));
  std::string out;
  for (const auto& id : organizations) {
    const auto row = (*view)->organization(id);
    if (!row) return std::unexpected(row.error());
    out += fmt::format("{}{} ({})", out.empty() ? "" : ", ", *row ? (*row)->name : "?", id.str());
  }
  return out;
}

}  // namespace

Result<OrganizationId> acting_for(ReadSide& reads, const Caller& caller, const Cluster& cluster,
                                  const std::optional<OrganizationId>& asked, Operation operation,
                                  const std::string& pointer) {
  const auto memberships = reads.memberships(caller.principal.user);
  if (!memberships) return std::unexpected(memberships.error());
  const auto& mine = **memberships;
  std::vector<OrganizationId> choices;
  for (const auto& [id, role] : mine) {
    if (cluster.serves(id)) choices.push_back(id);
  }
  if (choices.empty()) return not_found("cluster");
  std::optional<OrganizationId> whose = asked;
  if (!whose && is_member(mine, cluster.organization)) whose = cluster.organization;
  if (!whose && choices.size() == 1) whose = choices.front();
  if (!whose) {
    auto names = names_of(reads, choices);
    if (!names) return std::unexpected(std::move(names.error()));
    return fail_field(
        pointer, "ambiguous",
        fmt::format("The cluster is shared with several organizations of yours; say for which: {}.",
                    *names));
  }
  if (!is_member(mine, *whose)) {
    auto error = fail_field(pointer, "not_found", "No such organization.");
    error.error().code = Code::not_found;
    error.error().reason = "not_found";
    return error;
  }
  if (!cluster.serves(*whose)) {
    auto names = names_of(reads, choices);
    if (!names) return std::unexpected(std::move(names.error()));
    return fail_field(
        pointer, "not_shared",
        fmt::format("The cluster is not shared with this organization, but with: {}.", *names));
  }
  auto role = authorize(reads, caller, *whose, operation, "cluster");
  if (!role) return std::unexpected(std::move(role.error()));
  return *whose;
}

}  // namespace berth
