#include "store/sql/errors.h"

#include <fmt/format.h>

namespace berth::sql {
namespace {

struct UniqueRule {
  std::string_view column;  // as SQLite names it
  std::string_view name;    // as PostgreSQL names it
  const char* reason;
  const char* message;
};
constexpr UniqueRule kUniqueRules[] = {
    {"users.username", "users_username", "username_taken",
     "This username is taken; choose another."},
    {"users.email", "users_email", "email_taken",
     "An account with this email exists; log in instead."},
    {"organizations.name", "organizations_name", "name_taken",
     "An organization with this name exists; choose another."},
    {"members.org_id", "members_pkey", "already_member",
     "This user is a member of the organization already."},
    {"clusters.org_id", "clusters_name", "name_taken",
     "A cluster with this name exists in the organization."},
    {"deployments.org_id", "deployments_name", "name_taken",
     "An unfinished deployment with this name exists in the organization; stop it or choose "
     "another name."},
};

}  // namespace

Error taken(std::string_view rule) {
  for (const auto& known : kUniqueRules) {
    if (rule == known.column || rule == known.name) {
      return {Code::already_exists, known.reason, known.message};
    }
  }
  return {Code::already_exists, "already_exists", "It exists already."};
}

Error refused_by_check(std::string_view text) {
  return {Code::failed_precondition, "ledger_refused",
          fmt::format("The database refused the change: {}.", text)};
}

Error refused_by_constraint(std::string_view text) {
  return {Code::failed_precondition, "constraint",
          fmt::format("The database refused the change: {}.", text)};
}

Error disk_full() {
  return {Code::unavailable, "storage_full",
          "The disk is full: nothing was changed. Reading and stopping go on; free some space."};
}

}  // namespace berth::sql
