#include "api/api.h"
#include "api/convert.h"
#include "api/schemas.h"

namespace berth::api {
namespace {

Registration registration_of(RegisterRequest r) {
  return {std::move(r.username), std::move(r.email), std::move(r.password),
          std::move(r.invite_code)};
}

template <class T, class View>
std::function<StoredReply(const T&)> renderer(View make) {
  return [make](const T& value) { return stored(make(value)); };
}

}  // namespace

namespace {

// The newcomer has a cluster at once. Failing is no reason to refuse the set-up: one can be made
// later.
Task<void> take_this_machine(const Services s, const Context& c, const User& user) {
  const Caller caller{Principal{user.id, user.username, user.is_admin, std::nullopt, std::nullopt},
                      c.request_id, c.request.peer};
  auto mine = s.reads.memberships(user.id);
  if (!mine || (*mine)->empty()) co_return;
  ClusterWish wish;
  wish.organization = (*mine)->front().first;
  wish.name = "local";
  (void)co_await s.clusters.create(caller, std::move(wish), std::nullopt, {});
}

}  // namespace

void add_account_routes(std::vector<Route>& table, const Services& s) {
  auto& accounts = s.accounts;

  table.push_back(typed<RegisterRequest, UserView>(
      {"POST",
       "/api/v1/auth/register",
       Operation::register_user,
       "registerUser",
       "Auth",
       "Register an account",
       {},
       201},
      [&accounts](Context& c, RegisterRequest body) -> Task<Result<Reply<UserView>>> {
        auto user = co_await accounts.register_user(registration_of(std::move(body)), c.request_id,
                                                    c.request.peer);
        if (!user) co_return std::unexpected(std::move(user.error()));
        co_return reply(view(*user), 201);
      }));

  table.push_back(typed<LoginRequest, TokenView>(
      {"POST", "/api/v1/auth/login", Operation::login, "login", "Auth", "Log in"},
      [&accounts](Context& c, LoginRequest body) -> Task<Result<Reply<TokenView>>> {
        auto login =
            co_await accounts.login(body.username, body.password, c.request_id, c.request.peer);
        if (!login) co_return std::unexpected(std::move(login.error()));
        co_return reply(view(*login));
      }));

  table.push_back(typed<RefreshRequest, TokenView>(
      {"POST", "/api/v1/auth/refresh", Operation::refresh, "refreshTokens", "Auth",
       "Exchange a refresh token for new tokens"},
      [&accounts](Context& c, RefreshRequest body) -> Task<Result<Reply<TokenView>>> {
        auto login = co_await accounts.refresh(body.refresh_token, c.request_id);
        if (!login) co_return std::unexpected(std::move(login.error()));
        co_return reply(view(*login));
      }));

  Route logout{"POST", "/api/v1/auth/logout", Operation::logout, "logout", "Auth", "Log out"};
  logout.body_optional = true;
  table.push_back(typed<LogoutRequest, NoContent>(
      std::move(logout),
      [&accounts](Context& c, LogoutRequest body) -> Task<Result<Reply<NoContent>>> {
        auto done = co_await accounts.logout(c.who(), body.everywhere);
        if (!done) co_return std::unexpected(std::move(done.error()));
        co_return reply(NoContent{}, 204);
      }));

  table.push_back(typed<NoBody, UserView>(
      {"GET", "/api/v1/auth/me", Operation::me_read, "getMe", "Auth", "Who am I"},
      [&accounts](Context& c) -> Task<Result<Reply<UserView>>> {
        auto user = accounts.me(c.who());
        if (!user) co_return std::unexpected(std::move(user.error()));
        co_return reply(view(*user));
      }));

  table.push_back(typed<ChangePasswordRequest, NoContent>(
      {"POST", "/api/v1/auth/password", Operation::password_change, "changePassword", "Auth",
       "Change the password"},
      [&accounts](Context& c, ChangePasswordRequest body) -> Task<Result<Reply<NoContent>>> {
        auto done =
            co_await accounts.change_password(c.who(), body.current_password, body.new_password);
        if (!done) co_return std::unexpected(std::move(done.error()));
        co_return reply(NoContent{}, 204);
      }));

  table.push_back(typed<CreateKeyRequest, KeyView>(
      {"POST",
       "/api/v1/auth/keys",
       Operation::key_create,
       "createApiKey",
       "Auth",
       "Make an API key",
       {},
       201},
      [&accounts](Context& c, CreateKeyRequest body) -> Task<Result<Reply<KeyView>>> {
        auto key = c.idempotency();
        if (!key) co_return std::unexpected(std::move(key.error()));
        const auto make = [](const NewKey& k) { return reply(view(k), 201); };
        auto made = co_await accounts.create_key(c.who(), body.name, body.expires_at,
                                                 std::move(*key), renderer<NewKey>(make));
        if (!made) co_return std::unexpected(std::move(made.error()));
        if (auto* replay = std::get_if<StoredReply>(&*made))
          co_return Reply<KeyView>{std::move(*replay)};
        co_return make(std::get<NewKey>(*made));
      }));

  table.push_back(
      typed<NoBody, Page<KeyView>>({"GET", "/api/v1/auth/keys", Operation::key_list, "listApiKeys",
                                    "Auth", "List your API keys"},
                                   [&accounts](Context& c) -> Task<Result<Reply<Page<KeyView>>>> {
                                     auto keys = accounts.keys(c.who());
                                     if (!keys) co_return std::unexpected(std::move(keys.error()));
                                     Page<KeyView> page;
                                     for (const auto& key : *keys) page.items.push_back(view(key));
                                     co_return reply(std::move(page));
                                   }));

  table.push_back(
      typed<NoBody, NoContent>({"DELETE", "/api/v1/auth/keys/{key_id}", Operation::key_revoke,
                                "revokeApiKey", "Auth", "Revoke an API key"},
                               [&accounts](Context& c) -> Task<Result<Reply<NoContent>>> {
                                 auto id = c.id<ApiKeyId>("key_id", "API key");
                                 if (!id) co_return std::unexpected(std::move(id.error()));
                                 auto done = co_await accounts.revoke_key(c.who(), *id);
                                 if (!done) co_return std::unexpected(std::move(done.error()));
                                 co_return reply(NoContent{}, 204);
                               }));

  table.push_back(typed<SetupRequest, TokenView>(
      {"POST",
       "/api/v1/setup",
       Operation::setup,
       "setUp",
       "Auth",
       "Make the first administrator with the one-time set-up token",
       {},
       201},
      [s](Context& c, SetupRequest body) -> Task<Result<Reply<TokenView>>> {
        Registration wish{body.username, body.email, body.password, std::nullopt};
        auto login = co_await s.accounts.set_up(body.token, std::move(wish), body.organization,
                                                c.request_id);
        if (!login) co_return std::unexpected(std::move(login.error()));
        if (body.take_this_machine) co_await take_this_machine(s, c, login->user);
        co_return reply(view(*login), 201);
      }));
}

}  // namespace berth::api
