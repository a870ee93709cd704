// Organizations, their members and invites.
#include <limits>

#include "store/sql/session.h"

namespace berth::sql {
namespace {

Organization read_organization(Query& q) {
  Organization o;
  o.id = q.id<OrganizationId>();
  o.name = q.text();
  o.created_at = q.time();
  o.version = q.integer();
  return o;
}

Role read_role(Query& q) { return from_text<Role>(q.text_view()).value_or(Role::viewer); }

Member read_member(Query& q) {
  Member m;
  m.organization = q.id<OrganizationId>();
  m.user = q.id<UserId>();
  m.username = q.text();
  m.email = q.text();
  m.role = read_role(q);
  m.joined_at = q.time();
  m.version = q.integer();
  return m;
}

Invite read_invite(Query& q) {
  Invite i;
  i.id = q.id<InviteId>();
  i.organization = q.id<OrganizationId>();
  i.code = q.digest();
  i.prefix = q.text();
  i.role = read_role(q);
  i.created_at = q.time();
  i.created_by = q.id<UserId>();
  i.expires_at = q.time();
  i.max_uses = static_cast<std::int32_t>(q.integer());
  i.uses = static_cast<std::int32_t>(q.integer());
  i.revoked_at = q.maybe_time();
  return i;
}

}  // namespace

Result<std::optional<Organization>> Session::organization(const OrganizationId& id) {
  auto q = db_->query("SELECT id, name, created_at, version FROM organizations WHERE id = ?1");
  return one<Organization>(q.with(id), read_organization);
}

Result<std::optional<Organization>> Session::organization_by_name(std::string_view name) {
  auto q = db_->query(
      "SELECT id, name, created_at, version FROM organizations WHERE {nocase name} = {nocase ?1}");
  return one<Organization>(q.with(name), read_organization);
}

Result<std::vector<std::pair<Organization, Role>>> Session::organizations_of(const UserId& user) {
  auto q = db_->query(
      "SELECT o.id, o.name, o.created_at, o.version, m.role FROM members m "
      "JOIN organizations o ON o.id = m.org_id WHERE m.user_id = ?1 ORDER BY o.id");
  return all<std::pair<Organization, Role>>(q.with(user), [](Query& row) {
    auto organization = read_organization(row);
    const Role role = read_role(row);
    return std::pair(std::move(organization), role);
  });
}

Result<std::optional<Role>> Session::role(const OrganizationId& org, const UserId& user) {
  auto q = db_->query("SELECT role FROM members WHERE org_id = ?1 AND user_id = ?2");
  return one<Role>(q.with(org, user), read_role);
}

Result<std::vector<Member>> Session::members(const OrganizationId& org, std::optional<UserId> after,
                                             std::size_t limit) {
  auto q = db_->query(
      "SELECT m.org_id, m.user_id, u.username, u.email, m.role, m.joined_at, m.version "
      "FROM members m JOIN users u ON u.id = m.user_id "
      "WHERE m.org_id = ?1 AND m.user_id > ?2 ORDER BY m.user_id LIMIT ?3");
  return all<Member>(q.with(org, after.value_or(UserId{}), limit), read_member);
}

Result<std::optional<Member>> Session::member(const OrganizationId& org, const UserId& user) {
  auto q = db_->query(
      "SELECT m.org_id, m.user_id, u.username, u.email, m.role, m.joined_at, m.version "
      "FROM members m JOIN users u ON u.id = m.user_id WHERE m.org_id = ?1 AND m.user_id = ?2");
  return one<Member>(q.with(org, user), read_member);
}

Result<std::vector<Invite>> Session::invites(const OrganizationId& org,
                                             std::optional<InviteId> after, std::size_t limit) {
  auto q = db_->query(
      "SELECT id, org_id, code, prefix, role, created_at, created_by, expires_at, max_uses, uses, "
      "revoked_at FROM invites WHERE org_id = ?1 AND id > ?2 ORDER BY id LIMIT ?3");
  return all<Invite>(q.with(org, after.value_or(InviteId{}), limit), read_invite);
}

Result<std::optional<Invite>> Session::invite_by_code(const Digest& code) {
  auto q = db_->query(
      "SELECT id, org_id, code, prefix, role, created_at, created_by, expires_at, max_uses, uses, "
      "revoked_at FROM invites WHERE code = ?1");
  return one<Invite>(q.with(code), read_invite);
}

Result<void> Session::insert(const Organization& o) {
  return done(db_->query("INSERT INTO organizations (id, name, created_at, version) "
                         "VALUES (?1, ?2, ?3, ?4)")
                  .with(o.id, o.name, o.created_at, o.version)
                  .run());
}

Result<void> Session::update(const Organization& o) {
  return done(db_->query("UPDATE organizations SET name = ?2, version = ?3 WHERE id = ?1")
                  .with(o.id, o.name, o.version)
                  .run());
}

Result<void> Session::insert(const Member& m) {
  return done(db_->query("INSERT INTO members (org_id, user_id, role, joined_at, version) "
                         "VALUES (?1, ?2, ?3, ?4, ?5)")
                  .with(m.organization, m.user, to_text(m.role), m.joined_at, m.version)
                  .run());
}

Result<void> Session::update_role(const OrganizationId& org, const UserId& user, Role role) {
  return done(db_->query("UPDATE members SET role = ?3, version = version + 1 "
                         "WHERE org_id = ?1 AND user_id = ?2")
                  .with(org, user, to_text(role))
                  .run());
}

Result<void> Session::remove_member(const OrganizationId& org, const UserId& user) {
  return done(
      db_->query("DELETE FROM members WHERE org_id = ?1 AND user_id = ?2").with(org, user).run());
}

Result<std::int64_t> Session::count_owners(const OrganizationId& org) {
  auto q = db_->query("SELECT count(*) FROM members WHERE org_id = ?1 AND role = 'owner'");
  const auto row = q.with(org).step();
  if (!row) return std::unexpected(row.error());
  return q.integer();
}

Result<void> Session::insert(const Invite& i) {
  return done(
      db_->query("INSERT INTO invites (id, org_id, code, prefix, role, created_at, created_by, "
                 "expires_at, max_uses, uses) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 0)")
          .with(i.id, i.organization, i.code, i.prefix, to_text(i.role), i.created_at, i.created_by,
                i.expires_at, i.max_uses)
          .run());
}

Result<bool> Session::use_invite(const InviteId& invite, Timestamp now) {
  const auto changed = db_->query(
                              "UPDATE invites SET uses = uses + 1 WHERE id = ?1 "
                              "AND uses < max_uses AND revoked_at IS NULL AND expires_at > ?2")
                           .with(invite, now)
                           .run();
  if (!changed) return std::unexpected(changed.error());
  return *changed == 1;
}

Result<bool> Session::revoke_invite(const OrganizationId& org, const InviteId& invite,
                                    Timestamp now) {
  const auto changed = db_->query(
                              "UPDATE invites SET revoked_at = coalesce(revoked_at, ?3) "
                              "WHERE id = ?2 AND org_id = ?1")
                           .with(org, invite, now)
                           .run();
  if (!changed) return std::unexpected(changed.error());
  return *changed == 1;
}

}  // namespace berth::sql
