#include "api/api.h"
#include "api/convert.h"
#include "api/page.h"
#include "api/schemas.h"

namespace berth::api {
namespace {

Reply<OrganizationBody> organization_reply(const OrganizationView& o, int status) {
  Reply<OrganizationBody> out = reply(view(o), status);
  out.etag = etag_of(o.organization.version);
  if (status == 201) out.location = "/api/v1/organizations/" + o.organization.id.str();
  return out;
}

}  // namespace

void add_organization_routes(std::vector<Route>& table, const Services& s) {
  auto& organizations = s.organizations;

  table.push_back(typed<CreateOrganizationRequest, OrganizationBody>(
      {"POST",
       "/api/v1/organizations",
       Operation::organization_create,
       "createOrganization",
       "Organizations",
       "Create an organization",
       {},
       201},
      [&organizations](Context& c,
                       CreateOrganizationRequest body) -> Task<Result<Reply<OrganizationBody>>> {
        auto key = c.idempotency();
        if (!key) co_return std::unexpected(std::move(key.error()));
        std::function<StoredReply(const OrganizationView&)> render = [](const OrganizationView& o) {
          return stored(organization_reply(o, 201));
        };
        auto made =
            co_await organizations.create(c.who(), body.name, std::move(*key), std::move(render));
        if (!made) co_return std::unexpected(std::move(made.error()));
        if (auto* replay = std::get_if<StoredReply>(&*made))
          co_return Reply<OrganizationBody>{std::move(*replay)};
        co_return organization_reply(std::get<OrganizationView>(*made), 201);
      }));

  table.push_back(typed<NoBody, Page<OrganizationBody>>(
      {"GET", "/api/v1/organizations", Operation::organization_list, "listOrganizations",
       "Organizations", "List your organizations"},
      [&organizations](Context& c) -> Task<Result<Reply<Page<OrganizationBody>>>> {
        auto mine = organizations.list(c.who());
        if (!mine) co_return std::unexpected(std::move(mine.error()));
        Page<OrganizationBody> page;
        for (const auto& o : *mine) page.items.push_back(view(o));
        co_return reply(std::move(page));
      }));

  table.push_back(typed<JoinRequest, OrganizationBody>(
      {"POST", "/api/v1/organizations/join", Operation::invite_redeem, "joinOrganization",
       "Organizations", "Join an organization by an invite code"},
      [&organizations](Context& c, JoinRequest body) -> Task<Result<Reply<OrganizationBody>>> {
        auto joined = co_await organizations.redeem(c.who(), body.invite_code);
        if (!joined) co_return std::unexpected(std::move(joined.error()));
        co_return organization_reply(*joined, 200);
      }));

  table.push_back(typed<RedeemRequest, OrganizationBody>(
      {"POST", "/api/v1/invites/redeem", Operation::invite_redeem, "redeemInvite", "Organizations",
       "Redeem an invite code"},
      [&organizations](Context& c, RedeemRequest body) -> Task<Result<Reply<OrganizationBody>>> {
        auto joined = co_await organizations.redeem(c.who(), body.code);
        if (!joined) co_return std::unexpected(std::move(joined.error()));
        co_return organization_reply(*joined, 200);
      }));

  table.push_back(typed<NoBody, OrganizationBody>(
      {"GET", "/api/v1/organizations/{organization_id}", Operation::organization_read,
       "getOrganization", "Organizations", "Get an organization"},
      [&organizations](Context& c) -> Task<Result<Reply<OrganizationBody>>> {
        auto id = c.id<OrganizationId>("organization_id", "organization");
        if (!id) co_return std::unexpected(std::move(id.error()));
        auto found = organizations.get(c.who(), *id, Operation::organization_read);
        if (!found) co_return std::unexpected(std::move(found.error()));
        co_return organization_reply(*found, 200);
      }));

  table.push_back(typed<CreateOrganizationRequest, OrganizationBody>(
      {"PATCH", "/api/v1/organizations/{organization_id}", Operation::organization_update,
       "updateOrganization", "Organizations", "Rename an organization"},
      [&organizations](Context& c,
                       CreateOrganizationRequest body) -> Task<Result<Reply<OrganizationBody>>> {
        auto id = c.id<OrganizationId>("organization_id", "organization");
        if (!id) co_return std::unexpected(std::move(id.error()));
        auto version = c.if_match();
        if (!version) co_return std::unexpected(std::move(version.error()));
        auto renamed = co_await organizations.rename(c.who(), *id, body.name, *version);
        if (!renamed) co_return std::unexpected(std::move(renamed.error()));
        co_return organization_reply(*renamed, 200);
      }));

  table.push_back(typed<NoBody, Page<MemberView>>(
      {"GET", "/api/v1/organizations/{organization_id}/members", Operation::member_list,
       "listMembers", "Organizations", "List the members", kPageParams},
      [&organizations](Context& c) -> Task<Result<Reply<Page<MemberView>>>> {
        auto id = c.id<OrganizationId>("organization_id", "organization");
        if (!id) co_return std::unexpected(std::move(id.error()));
        auto limit = c.limit();
        if (!limit) co_return std::unexpected(std::move(limit.error()));
        auto after = c.cursor_id<UserId>();
        if (!after) co_return std::unexpected(std::move(after.error()));
        auto rows = organizations.members(c.who(), *id, *after, *limit + 1);
        if (!rows) co_return std::unexpected(std::move(rows.error()));
        co_return reply(
            page_of<MemberView>(*rows, *limit, [](const Member& m) { return m.user.str(); }));
      }));

  table.push_back(typed<SetRoleRequest, MemberView>(
      {"PATCH", "/api/v1/organizations/{organization_id}/members", Operation::member_update,
       "setMemberRole", "Organizations", "Give a member another role"},
      [&organizations](Context& c, SetRoleRequest body) -> Task<Result<Reply<MemberView>>> {
        auto id = c.id<OrganizationId>("organization_id", "organization");
        if (!id) co_return std::unexpected(std::move(id.error()));
        auto member = co_await organizations.set_role(c.who(), *id, body.user_id, body.role);
        if (!member) co_return std::unexpected(std::move(member.error()));
        co_return reply(view(*member));
      }));

  table.push_back(typed<NoBody, NoContent>(
      {"DELETE", "/api/v1/organizations/{organization_id}/members/{user_id}",
       Operation::member_remove, "removeMember", "Organizations", "Remove a member, or leave"},
      [&organizations](Context& c) -> Task<Result<Reply<NoContent>>> {
        auto id = c.id<OrganizationId>("organization_id", "organization");
        if (!id) co_return std::unexpected(std::move(id.error()));
        auto user = c.id<UserId>("user_id", "member");
        if (!user) co_return std::unexpected(std::move(user.error()));
        auto done = co_await organizations.remove_member(c.who(), *id, *user);
        if (!done) co_return std::unexpected(std::move(done.error()));
        co_return reply(NoContent{}, 204);
      }));

  table.push_back(typed<CreateInviteRequest, InviteView>(
      {"POST",
       "/api/v1/organizations/{organization_id}/invites",
       Operation::invite_create,
       "createInvite",
       "Organizations",
       "Make an invite code",
       {},
       201},
      [&organizations](Context& c, CreateInviteRequest body) -> Task<Result<Reply<InviteView>>> {
        auto id = c.id<OrganizationId>("organization_id", "organization");
        if (!id) co_return std::unexpected(std::move(id.error()));
        auto key = c.idempotency();
        if (!key) co_return std::unexpected(std::move(key.error()));
        InviteWish wish;
        wish.role = body.role;
        wish.max_uses = body.max_uses;
        if (body.expires_in) {
          wish.lifetime = std::chrono::ceil<std::chrono::seconds>(
              std::chrono::microseconds(body.expires_in->micros));
        }
        std::function<StoredReply(const NewInvite&)> render = [](const NewInvite& i) {
          return stored(reply(view(i), 201));
        };
        auto made =
            co_await organizations.invite(c.who(), *id, wish, std::move(*key), std::move(render));
        if (!made) co_return std::unexpected(std::move(made.error()));
        if (auto* replay = std::get_if<StoredReply>(&*made))
          co_return Reply<InviteView>{std::move(*replay)};
        co_return reply(view(std::get<NewInvite>(*made)), 201);
      }));

  table.push_back(typed<NoBody, Page<InviteView>>(
      {"GET", "/api/v1/organizations/{organization_id}/invites", Operation::invite_list,
       "listInvites", "Organizations", "List the invites", kPageParams},
      [&organizations](Context& c) -> Task<Result<Reply<Page<InviteView>>>> {
        auto id = c.id<OrganizationId>("organization_id", "organization");
        if (!id) co_return std::unexpected(std::move(id.error()));
        auto limit = c.limit();
        if (!limit) co_return std::unexpected(std::move(limit.error()));
        auto after = c.cursor_id<InviteId>();
        if (!after) co_return std::unexpected(std::move(after.error()));
        auto rows = organizations.invites(c.who(), *id, *after, *limit + 1);
        if (!rows) co_return std::unexpected(std::move(rows.error()));
        co_return reply(
            page_of<InviteView>(*rows, *limit, [](const Invite& i) { return i.id.str(); }));
      }));

  table.push_back(typed<NoBody, NoContent>(
      {"DELETE", "/api/v1/organizations/{organization_id}/invites/{invite_id}",
       Operation::invite_revoke, "revokeInvite", "Organizations", "Take an invite back"},
      [&organizations](Context& c) -> Task<Result<Reply<NoContent>>> {
        auto id = c.id<OrganizationId>("organization_id", "organization");
        if (!id) co_return std::unexpected(std::move(id.error()));
        auto invite = c.id<InviteId>("invite_id", "invite");
        if (!invite) co_return std::unexpected(std::move(invite.error()));
        auto done = co_await organizations.revoke(c.who(), *id, *invite);
        if (!done) co_return std::unexpected(std::move(done.error()));
        co_return reply(NoContent{}, 204);
      }));

  auto audit_params = kPageParams;
  audit_params.push_back({"kind", "Only kinds that begin so, for example 'invite.'."});
  table.push_back(typed<NoBody, Page<EventView>>(
      {"GET", "/api/v1/organizations/{organization_id}/audit", Operation::audit_read, "listAudit",
       "Organizations", "What happened, newest first", audit_params},
      [&organizations](Context& c) -> Task<Result<Reply<Page<EventView>>>> {
        auto id = c.id<OrganizationId>("organization_id", "organization");
        if (!id) co_return std::unexpected(std::move(id.error()));
        auto limit = c.limit();
        if (!limit) co_return std::unexpected(std::move(limit.error()));
        auto before = c.cursor_seq();
        if (!before) co_return std::unexpected(std::move(before.error()));
        auto rows = organizations.audit(c.who(), *id, c.query_text("kind").value_or(""), *before,
                                        *limit + 1);
        if (!rows) co_return std::unexpected(std::move(rows.error()));
        co_return reply(page_of<EventView>(*rows, *limit,
                                           [](const Event& e) { return std::to_string(e.seq); }));
      }));
}

}  // namespace berth::api
