// Users, organizations, roles, invites and the credentials of a caller.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "base/hash.h"
#include "base/time.h"
#include "core/ids.h"
#include "core/names.h"

namespace berth {

enum class Role { viewer, developer, admin, owner };  // each may do all that the one before may
template <>
struct Names<Role> {
  static constexpr std::array<std::pair<Role, std::string_view>, 4> table{
      {{Role::owner, "owner"},
       {Role::admin, "admin"},
       {Role::developer, "developer"},
       {Role::viewer, "viewer"}}};
};

struct User {
  UserId id;
  std::string username;
  std::string email;
  std::string password_hash;  // argon2id, PHC string
  bool is_admin = false;      // of the installation, not of an organization
  bool disabled = false;
  Timestamp created_at;
  std::int64_t version = 1;
};

// One login. Tokens are random; only their SHA-256 is stored. A refresh replaces both tokens; the
// store remembers the old refresh tokens: seeing one again means theft and ends the session.
struct Session {
  SessionId id;
  UserId user;
  Digest access;
  Timestamp access_expires_at;
  Digest refresh;
  Timestamp refresh_expires_at;
  Timestamp created_at;
};

struct ApiKey {
  ApiKeyId id;
  UserId user;
  std::string name;
  std::string prefix;  // the first letters, to recognise it by
  Digest secret;
  Timestamp created_at;
  std::optional<Timestamp> expires_at;
};

struct Organization {
  OrganizationId id;
  std::string name;
  Timestamp created_at;
  std::int64_t version = 1;
};

struct Member {
  OrganizationId organization;
  UserId user;
  std::string username;
  std::string email;
  Role role = Role::viewer;
  Timestamp joined_at;
  std::int64_t version = 1;
};

struct Invite {
  InviteId id;
  OrganizationId organization;
  Digest code;
  std::string prefix;
  Role role = Role::developer;
  Timestamp created_at;
  UserId created_by;
  Timestamp expires_at;
  std::int32_t max_uses = 1;
  std::int32_t uses = 0;
  std::optional<Timestamp> revoked_at;
};

// Who is calling, as far as a credential proves it.
struct Principal {
  UserId user;
  std::string username;
  bool is_admin = false;
  std::optional<SessionId> session;  // empty: an API key
  std::optional<ApiKeyId> api_key;
};

}  // namespace berth
