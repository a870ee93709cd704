#include "service/organizations.h"

#include <fmt/format.h>

#include "service/accounts.h"
#include "service/json_text.h"

namespace berth {

namespace {

constexpr std::size_t kOrganizationsPerUser = 100;
constexpr std::size_t kActiveInvites = 1000;

std::unexpected<Error> bad_name() {
  return fail_field(
      "/name", "invalid_format",
      "A name has 1 to 63 letters, digits, '-', '_' or '.', beginning with a letter or digit.");
}

// Owners alone touch owners, and one of them always stays.
Result<void> check_role_change(Change& change, const OrganizationId& org, Role mine,
                               const Member& target, std::optional<Role> next) {
  const bool touches_owner = target.role == Role::owner || next == Role::owner;
  if (touches_owner && mine != Role::owner) {
    return fail(Code::permission_denied, "role_too_small",
                "Only an owner may make, change or remove owners.");
  }
  if (target.role != Role::owner || next == Role::owner) return {};
  const auto owners = change.tx.count_owners(org);
  if (!owners) return std::unexpected(owners.error());
  if (*owners > 1) return {};
  return fail(Code::failed_precondition, "last_owner",
              "This is the last owner; make somebody else an owner first.");
}

}  // namespace

Organizations::Organizations(ReadSide& reads, Committer& committer, Random& random,
                             int free_failures)
    : reads_(reads),
      committer_(committer),
      random_(random),
      throttle_(Throttle::Rules{.free_failures = free_failures * 2}) {}

Task<Result<Once<OrganizationView>>> Organizations::create(
    Caller caller, std::string name, std::optional<IdempotencyKey> key,
    std::function<StoredReply(const OrganizationView&)> render) {
  if (!is_name(name)) co_return bad_name();
  std::move_only_function<Result<OrganizationView>(Change&)> unit =
      [this, caller, name](Change& change) -> Result<OrganizationView> {
    auto mine = change.tx.organizations_of(caller.principal.user);
    if (!mine) return std::unexpected(std::move(mine.error()));
    if (mine->size() >= kOrganizationsPerUser) {
      return fail(Code::failed_precondition, "too_many_organizations",
                  fmt::format("A user is in at most {} organizations.", kOrganizationsPerUser));
    }
    Organization org{OrganizationId::make(change.now, random_), name, change.now, 1};
    const Member owner{org.id, caller.principal.user, "", "", Role::owner, change.now, 1};
    auto step = change.tx.insert(org);
    if (!step && step.error().reason == "name_taken")
      step.error().fields.push_back({"/name", "name_taken", step.error().message});
    if (step) step = change.tx.insert(owner);
    if (step) {
      JsonText data;
      data.add("name", name);
      step =
          change.record(caller.actor(), "organization.created", org.id, std::nullopt, data.str());
    }
    if (!step) return std::unexpected(std::move(step.error()));
    change.after([this] { reads_.roles_changed(); });
    return OrganizationView{std::move(org), Role::owner};
  };
  co_return co_await committer_.write<Once<OrganizationView>>(
      once<OrganizationView>(std::move(key), std::move(render), std::move(unit)));
}

Result<std::vector<OrganizationView>> Organizations::list(const Caller& caller) {
  auto view = reads_.view();
  if (!view) return std::unexpected(std::move(view.error()));
  auto rows = (*view)->organizations_of(caller.principal.user);
  if (!rows) return std::unexpected(std::move(rows.error()));
  std::vector<OrganizationView> out;
  for (auto& [organization, role] : *rows) out.push_back({std::move(organization), role});
  return out;
}

Result<OrganizationView> Organizations::get(const Caller& caller, const OrganizationId& id,
                                            Operation operation) {
  const auto role = authorize(reads_, caller, id, operation, "organization");
  if (!role) return std::unexpected(role.error());
  auto view = reads_.view();
  if (!view) return std::unexpected(std::move(view.error()));
  auto row = (*view)->organization(id);
  if (!row) return std::unexpected(std::move(row.error()));
  if (!*row) return not_found("organization");
  return OrganizationView{std::move(**row), *role};
}

Task<Result<OrganizationView>> Organizations::rename(Caller caller, OrganizationId id,
                                                     std::string name,
                                                     std::optional<std::int64_t> if_version) {
  const auto role = authorize(reads_, caller, id, Operation::organization_update, "organization");
  if (!role) co_return std::unexpected(role.error());
  if (!is_name(name)) co_return bad_name();
  std::move_only_function<Result<OrganizationView>(Change&)> unit =
      [caller, id, name, if_version, mine = *role](Change& change) -> Result<OrganizationView> {
    auto row = change.tx.organization(id);
    if (!row) return std::unexpected(std::move(row.error()));
    if (!*row) return not_found("organization");
    Organization org = std::move(**row);
    if (auto same = still_at(org.version, if_version, "organization"); !same)
      return std::unexpected(std::move(same.error()));
    JsonText data;
    data.add("from", org.name).add("to", name);
    org.name = name;
    org.version += 1;
    auto step = change.tx.update(org);
    if (!step && step.error().reason == "name_taken")
      step.error().fields.push_back({"/name", "name_taken", step.error().message});
    if (step)
      step = change.record(caller.actor(), "organization.renamed", id, std::nullopt, data.str());
    if (!step) return std::unexpected(std::move(step.error()));
    return OrganizationView{std::move(org), mine};
  };
  co_return co_await committer_.write<OrganizationView>(std::move(unit));
}

Result<std::vector<Member>> Organizations::members(const Caller& caller, const OrganizationId& org,
                                                   std::optional<UserId> after, std::size_t limit) {
  if (auto role = authorize(reads_, caller, org, Operation::member_list, "organization"); !role) {
    return std::unexpected(std::move(role.error()));
  }
  auto view = reads_.view();
  if (!view) return std::unexpected(std::move(view.error()));
  return (*view)->members(org, after, limit);
}

Task<Result<Member>> Organizations::set_role(Caller caller, OrganizationId org, UserId user,
                                             Role role) {
  const auto mine = authorize(reads_, caller, org, Operation::member_update, "organization");
  if (!mine) co_return std::unexpected(mine.error());
  std::move_only_function<Result<Member>(Change&)> unit =
      [this, caller, org, user, role, mine = *mine](Change& change) -> Result<Member> {
    auto row = change.tx.member(org, user);
    if (!row) return std::unexpected(std::move(row.error()));
    if (!*row) return not_found("member");
    Member member = std::move(**row);
    if (auto fine = check_role_change(change, org, mine, member, role); !fine) {
      return std::unexpected(std::move(fine.error()));
    }
    JsonText data;
    data.add("user_id", user.str()).add("from", to_text(member.role)).add("to", to_text(role));
    member.role = role;
    member.version += 1;
    auto step = change.tx.update_role(org, user, role);
    if (step)
      step = change.record(caller.actor(), "member.role_changed", org, std::nullopt, data.str());
    if (!step) return std::unexpected(std::move(step.error()));
    change.after([this] { reads_.roles_changed(); });
    return member;
  };
  co_return co_await committer_.write<Member>(std::move(unit));
}

Task<Result<void>> Organizations::remove_member(Caller caller, OrganizationId org, UserId user) {
  // Everybody may leave; removing others takes the role.
  const bool leaving = user == caller.principal.user;
  const auto mine =
      authorize(reads_, caller, org,
                leaving ? Operation::organization_read : Operation::member_remove, "organization");
  if (!mine) co_return std::unexpected(mine.error());
  std::move_only_function<Result<void>(Change&)> unit =
      [this, caller, org, user, leaving, mine = *mine](Change& change) -> Result<void> {
    auto row = change.tx.member(org, user);
    if (!row) return std::unexpected(std::move(row.error()));
    if (!*row) return not_found("member");
    if (auto fine = check_role_change(change, org, mine, **row, std::nullopt); !fine) return fine;
    JsonText data;
    data.add("user_id", user.str());
    if (auto removed = change.tx.remove_member(org, user); !removed) return removed;
    change.after([this] { reads_.roles_changed(); });
    return change.record(caller.actor(), leaving ? "member.left" : "member.removed", org,
                         std::nullopt, data.str());
  };
  co_return co_await committer_.write(std::move(unit));
}

Task<Result<Once<NewInvite>>> Organizations::invite(
    Caller caller, OrganizationId org, InviteWish wish, std::optional<IdempotencyKey> key,
    std::function<StoredReply(const NewInvite&)> render) {
  const auto mine = authorize(reads_, caller, org, Operation::invite_create, "organization");
  if (!mine) co_return std::unexpected(mine.error());
  if (wish.role > *mine) {
    co_return fail(
        Code::permission_denied, "role_too_small",
        fmt::format("An invite gives at most your own role, which is {}.", to_text(*mine)));
  }
  std::move_only_function<Result<NewInvite>(Change&)> unit =
      [this, caller, org, wish](Change& change) -> Result<NewInvite> {
    auto existing = change.tx.invites(org, std::nullopt, kActiveInvites);
    if (!existing) return std::unexpected(std::move(existing.error()));
    if (existing->size() >= kActiveInvites) {
      return fail(Code::failed_precondition, "too_many_invites",
                  fmt::format("An organization has at most {} invites.", kActiveInvites));
    }
    const Token token = make_token(kInvitePrefix, random_);
    Invite made;
    made.id = InviteId::make(change.now, random_);
    made.organization = org;
    made.code = token.digest;
    made.prefix = token.prefix;
    made.role = wish.role;
    made.created_at = change.now;
    made.created_by = caller.principal.user;
    made.expires_at = change.now.plus(wish.lifetime);
    made.max_uses = wish.max_uses;
    JsonText data;
    data.add("invite_id", made.id.str())
        .add("role", to_text(wish.role))
        .add("max_uses", wish.max_uses);
    auto step = change.tx.insert(made);
    if (step) step = change.record(caller.actor(), "invite.created", org, std::nullopt, data.str());
    if (!step) return std::unexpected(std::move(step.error()));
    return NewInvite{std::move(made), token.text};
  };
  co_return co_await committer_.write<Once<NewInvite>>(
      once<NewInvite>(std::move(key), std::move(render), std::move(unit)));
}

Result<std::vector<Invite>> Organizations::invites(const Caller& caller, const OrganizationId& org,
                                                   std::optional<InviteId> after,
                                                   std::size_t limit) {
  if (auto role = authorize(reads_, caller, org, Operation::invite_list, "organization"); !role) {
    return std::unexpected(std::move(role.error()));
  }
  auto view = reads_.view();
  if (!view) return std::unexpected(std::move(view.error()));
  return (*view)->invites(org, after, limit);
}

Task<Result<void>> Organizations::revoke(Caller caller, OrganizationId org, InviteId invite) {
  if (auto role = authorize(reads_, caller, org, Operation::invite_revoke, "organization"); !role) {
    co_return std::unexpected(std::move(role.error()));
  }
  std::move_only_function<Result<void>(Change&)> unit = [caller, org,
                                                         invite](Change& change) -> Result<void> {
    const auto revoked = change.tx.revoke_invite(org, invite, change.now);
    if (!revoked) return std::unexpected(revoked.error());
    if (!*revoked) return not_found("invite");
    JsonText data;
    data.add("invite_id", invite.str());
    return change.record(caller.actor(), "invite.revoked", org, std::nullopt, data.str());
  };
  co_return co_await committer_.write(std::move(unit));
}

Task<Result<OrganizationView>> Organizations::redeem(Caller caller, std::string code) {
  const auto now = Throttle::Clock::now();
  for (const auto& key : {caller.principal.user.str(), caller.address}) {
    if (const auto wait = throttle_.must_wait(key, now)) {
      co_return std::unexpected(
          Error{Code::resource_exhausted,
                "too_many_attempts",
                fmt::format("Too many attempts; try again in {} seconds.", wait->count()),
                {},
                *wait});
    }
  }
  std::move_only_function<Result<OrganizationView>(Change&)> unit =
      [this, caller, code](Change& change) -> Result<OrganizationView> {
    auto org = use_invite(change, caller.principal.user, code, caller.actor());
    if (!org) return std::unexpected(std::move(org.error()));
    const auto role = change.tx.role(org->id, caller.principal.user);
    if (!role) return std::unexpected(role.error());
    change.after([this] { reads_.roles_changed(); });
    return OrganizationView{std::move(*org), role->value_or(Role::viewer)};
  };
  auto joined = co_await committer_.write<OrganizationView>(std::move(unit));
  if (!joined && joined.error().code == Code::not_found) {
    throttle_.failed(caller.principal.user.str(), now);
    throttle_.failed(caller.address, now);
  }
  co_return joined;
}

Result<std::vector<Event>> Organizations::audit(const Caller& caller, const OrganizationId& org,
                                                std::string kind_prefix,
                                                std::optional<std::int64_t> before,
                                                std::size_t limit) {
  if (auto role = authorize(reads_, caller, org, Operation::audit_read, "organization"); !role) {
    return std::unexpected(std::move(role.error()));
  }
  auto view = reads_.view();
  if (!view) return std::unexpected(std::move(view.error()));
  EventFilter filter;
  filter.organizations = {org};
  filter.kind_prefix = std::move(kind_prefix);
  filter.before = before.value_or(INT64_MAX);
  filter.limit = limit;
  return (*view)->events(filter);
}

}  // namespace berth
