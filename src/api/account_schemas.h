// Accounts, keys, organizations, members and invites: name on the wire, member, and everything a
// reader, a writer and the OpenAPI description need to know about it.
#pragma once
#include "api/schema_rules.h"

namespace berth::json {

using namespace berth::api;

template <>
struct Schema<RegisterRequest> {
  static constexpr std::string_view name = "RegisterRequest";
  static constexpr std::string_view doc =
      "A new account; with an invite code it joins that organization at once.";
  static constexpr auto fields = std::tuple{
      field("username", &RegisterRequest::username, rule::name("What you log in with.", "\"ada\"")),
      field("email", &RegisterRequest::email,
            {.doc = "Your email address.",
             .example = "\"ada@example.org\"",
             .max_len = 254,
             .check = is_email,
             .expected = "an email address",
             .required = true,
             .format = "email"}),
      field("password", &RegisterRequest::password,
            {.doc = "At least 8 characters.",
             .example = "\"correct horse battery\"",
             .min_len = 1,
             .max_len = 1024,
             .required = true,
             .format = "password"}),
      field("invite_code", &RegisterRequest::invite_code,
            {.doc = "An invite code from a colleague.", .min_len = 1, .max_len = 128}),
  };
};

template <>
struct Schema<LoginRequest> {
  static constexpr std::string_view name = "LoginRequest";
  static constexpr std::string_view doc = "Username or email, and password.";
  static constexpr auto fields = std::tuple{
      field("username", &LoginRequest::username,
            {.doc = "Username or email.",
             .example = "\"ada\"",
             .min_len = 1,
             .max_len = 254,
             .required = true}),
      field("password", &LoginRequest::password,
            {.doc = "The password.",
             .example = "\"correct horse battery\"",
             .min_len = 1,
             .max_len = 1024,
             .required = true,
             .format = "password"}),
  };
};

template <>
struct Schema<RefreshRequest> {
  static constexpr std::string_view name = "RefreshRequest";
  static constexpr std::string_view doc =
      "Exchanges a refresh token for new tokens; the old one ends.";
  static constexpr auto fields = std::tuple{
      field("refresh_token", &RefreshRequest::refresh_token,
            {.doc = "The latest refresh token.", .min_len = 1, .max_len = 256, .required = true}),
  };
};

template <>
struct Schema<LogoutRequest> {
  static constexpr std::string_view name = "LogoutRequest";
  static constexpr std::string_view doc = "Ends this login, or all of them.";
  static constexpr auto fields = std::tuple{
      field("everywhere", &LogoutRequest::everywhere,
            rule::doc("End every login of this account.", "false")),
  };
};

template <>
struct Schema<ChangePasswordRequest> {
  static constexpr std::string_view name = "ChangePasswordRequest";
  static constexpr std::string_view doc = "Other logins of the account end.";
  static constexpr auto fields = std::tuple{
      field("current_password", &ChangePasswordRequest::current_password,
            {.doc = "The present password.",
             .min_len = 1,
             .max_len = 1024,
             .required = true,
             .format = "password"}),
      field("new_password", &ChangePasswordRequest::new_password,
            {.doc = "At least 8 characters.",
             .min_len = 1,
             .max_len = 1024,
             .required = true,
             .format = "password"}),
  };
};

template <>
struct Schema<SetupRequest> {
  static constexpr std::string_view name = "SetupRequest";
  static constexpr std::string_view doc = "Makes the first administrator of a fresh installation.";
  static constexpr auto fields = std::tuple{
      field("token", &SetupRequest::token,
            {.doc = "From the one-time set-up link.",
             .min_len = 1,
             .max_len = 128,
             .required = true}),
      field("username", &SetupRequest::username,
            rule::name("The administrator's username.", "\"ada\"")),
      field("email", &SetupRequest::email,
            {.doc = "Email address.",
             .example = "\"ada@example.org\"",
             .max_len = 254,
             .check = is_email,
             .expected = "an email address",
             .required = true,
             .format = "email"}),
      field("password", &SetupRequest::password,
            {.doc = "At least 8 characters.",
             .min_len = 1,
             .max_len = 1024,
             .required = true,
             .format = "password"}),
      field("organization", &SetupRequest::organization,
            rule::name("The first organization.", "\"vision\"")),
      field("take_this_machine", &SetupRequest::take_this_machine,
            rule::doc("Make the server's own machine the first cluster, named local.")),
  };
};

template <>
struct Schema<UserView> {
  static constexpr Use use = Use::response;
  static constexpr std::string_view name = "User";
  static constexpr std::string_view doc = "A person's profile.";
  static constexpr auto fields = std::tuple{
      field("id", &UserView::id, rule::must("Identifier.")),
      field("username", &UserView::username, rule::must("Username.", "\"ada\"")),
      field("email", &UserView::email, rule::must("Email address.", "\"ada@example.org\"")),
      field("is_admin", &UserView::is_admin, rule::must("Administrator of the installation.")),
      field("created_at", &UserView::created_at, rule::must("When it was registered.")),
  };
};

template <>
struct Schema<TokenView> {
  static constexpr Use use = Use::response;
  static constexpr std::string_view name = "Tokens";
  static constexpr std::string_view doc =
      "What a login gives. Send the access token as 'Authorization: Bearer ...'.";
  static constexpr auto fields = std::tuple{
      field("access_token", &TokenView::access_token,
            rule::must("Opaque; proves who you are until it expires.")),
      field("token_type", &TokenView::token_type, rule::must("Always Bearer.", "\"Bearer\"")),
      field("expires_in", &TokenView::expires_in,
            rule::must("Seconds until the access token expires.", "3600")),
      field("refresh_token", &TokenView::refresh_token, rule::must("Good for one refresh.")),
      field("user", &TokenView::user, rule::must("Whose login it is.")),
  };
};

template <>
struct Schema<CreateKeyRequest> {
  static constexpr std::string_view name = "CreateKeyRequest";
  static constexpr std::string_view doc = "An API key acts as the user who made it.";
  static constexpr auto fields = std::tuple{
      field("name", &CreateKeyRequest::name, rule::name("To recognise it by.", "\"ci\"")),
      field("expires_at", &CreateKeyRequest::expires_at, rule::doc("Never, when absent.")),
  };
};

template <>
struct Schema<KeyView> {
  static constexpr Use use = Use::response;
  static constexpr std::string_view name = "ApiKey";
  static constexpr std::string_view doc =
      "An API key. The key itself is shown once, when it is made.";
  static constexpr auto fields = std::tuple{
      field("id", &KeyView::id, rule::must("Identifier.")),
      field("name", &KeyView::name, rule::must("Name.", "\"ci\"")),
      field("prefix", &KeyView::prefix, rule::must("How the key begins.")),
      field("key", &KeyView::key, rule::doc("The key, only in the reply to its creation.")),
      field("created_at", &KeyView::created_at, rule::must("When it was made.")),
      field("expires_at", &KeyView::expires_at, rule::doc("When it ends.")),
  };
};

template <>
struct Schema<CreateOrganizationRequest> {
  static constexpr std::string_view name = "CreateOrganizationRequest";
  static constexpr std::string_view doc = "Its maker becomes the owner.";
  static constexpr auto fields = std::tuple{
      field("name", &CreateOrganizationRequest::name,
            rule::name("Unique on this server.", "\"vision\"")),
  };
};

template <>
struct Schema<OrganizationBody> {
  static constexpr Use use = Use::response;
  static constexpr std::string_view name = "Organization";
  static constexpr std::string_view doc = "Owns clusters and deployments.";
  static constexpr auto fields = std::tuple{
      field("id", &OrganizationBody::id, rule::must("Identifier.")),
      field("name", &OrganizationBody::name, rule::must("Name.", "\"vision\"")),
      field("role", &OrganizationBody::role, rule::must("Your role in it.")),
      field("created_at", &OrganizationBody::created_at, rule::must("When it was made.")),
      field("version", &OrganizationBody::version,
            rule::must("Grows with each change; also the ETag.")),
  };
};

template <>
struct Schema<MemberView> {
  static constexpr Use use = Use::response;
  static constexpr std::string_view name = "Member";
  static constexpr std::string_view doc = "A user in an organization.";
  static constexpr auto fields = std::tuple{
      field("user_id", &MemberView::user_id, rule::must("The user.")),
      field("username", &MemberView::username, rule::must("Username.", "\"ada\"")),
      field("email", &MemberView::email, rule::must("Email address.", "\"ada@example.org\"")),
      field("role", &MemberView::role, rule::must("What the member may do.")),
      field("joined_at", &MemberView::joined_at, rule::must("Since when.")),
  };
};

template <>
struct Schema<SetRoleRequest> {
  static constexpr std::string_view name = "SetRoleRequest";
  static constexpr std::string_view doc = "Gives a member another role.";
  static constexpr auto fields = std::tuple{
      field("user_id", &SetRoleRequest::user_id, rule::must("Which member.")),
      field("role", &SetRoleRequest::role, rule::must("The new role.")),
  };
};

template <>
struct Schema<RemoveMemberRequest> {
  static constexpr std::string_view name = "RemoveMemberRequest";
  static constexpr std::string_view doc = "Removes a member; your own id leaves the organization.";
  static constexpr auto fields = std::tuple{
      field("user_id", &RemoveMemberRequest::user_id, rule::must("Which member.")),
  };
};

template <>
struct Schema<CreateInviteRequest> {
  static constexpr std::string_view name = "CreateInviteRequest";
  static constexpr std::string_view doc = "A code that lets its holder join with a fixed role.";
  static constexpr auto fields = std::tuple{
      field("role", &CreateInviteRequest::role, rule::doc("At most your own.", "\"developer\"")),
      field("expires_in", &CreateInviteRequest::expires_in,
            rule::range("How long it is good: seconds, or text such as \"7d\". A week when absent.",
                        1'000'000, 365LL * 86'400'000'000, "604800")),
      field("max_uses", &CreateInviteRequest::max_uses,
            rule::range("How many may join by it.", 1, 10'000, "1")),
  };
};

template <>
struct Schema<InviteView> {
  static constexpr Use use = Use::response;
  static constexpr std::string_view name = "Invite";
  static constexpr std::string_view doc = "An invite. The code is shown once, when it is made.";
  static constexpr auto fields = std::tuple{
      field("id", &InviteView::id, rule::must("Identifier.")),
      field("code", &InviteView::code, rule::doc("The code, only in the reply to its creation.")),
      field("prefix", &InviteView::prefix, rule::must("How the code begins.")),
      field("role", &InviteView::role, rule::must("The role it gives.")),
      field("max_uses", &InviteView::max_uses, rule::must("How many may join by it.")),
      field("uses", &InviteView::uses, rule::must("How many have joined by it.")),
      field("created_at", &InviteView::created_at, rule::must("When it was made.")),
      field("expires_at", &InviteView::expires_at, rule::must("Until when it is good.")),
      field("revoked_at", &InviteView::revoked_at, rule::doc("When it was taken back.")),
  };
};

template <>
struct Schema<RevokeInviteRequest> {
  static constexpr std::string_view name = "RevokeInviteRequest";
  static constexpr std::string_view doc = "Takes an invite back.";
  static constexpr auto fields = std::tuple{
      field("invite_id", &RevokeInviteRequest::invite_id, rule::must("Which invite.")),
  };
};

template <>
struct Schema<RedeemRequest> {
  static constexpr std::string_view name = "RedeemInviteRequest";
  static constexpr std::string_view doc = "Joins the organization of an invite.";
  static constexpr auto fields = std::tuple{
      field("code", &RedeemRequest::code,
            {.doc = "The invite code.", .min_len = 1, .max_len = 128, .required = true}),
  };
};

template <>
struct Schema<JoinRequest> {
  static constexpr std::string_view name = "JoinOrganizationRequest";
  static constexpr std::string_view doc = "Joins the organization of an invite.";
  static constexpr auto fields = std::tuple{
      field("invite_code", &JoinRequest::invite_code,
            {.doc = "The invite code.", .min_len = 1, .max_len = 128, .required = true}),
  };
};

}  // namespace berth::json
