#include "service/accounts.h"

#include <fmt/format.h>

#include <algorithm>

#include "service/json_text.h"

namespace berth {
namespace {

std::unexpected<Error> wrong_credentials() {
  return fail(Code::unauthenticated, "wrong_credentials", "Username or password is wrong.");
}

Error slow_down(std::chrono::seconds wait) {
  return {Code::resource_exhausted,
          "too_many_attempts",
          fmt::format("Too many attempts; try again in {} seconds.", wait.count()),
          {},
          wait};
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) {
    return static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  });
  return out;
}

Result<void> check_registration(const Registration& wish) {
  Error error{Code::invalid_argument, "invalid_request", "The registration has mistakes."};
  if (!is_name(wish.username)) {
    error.fields.push_back(
        {"/username", "invalid_format",
         "A username has 1 to 63 letters, digits, '-', '_' or '.', beginning with a "
         "letter or digit."});
  }
  if (!is_email(wish.email)) {
    error.fields.push_back({"/email", "invalid_format", "This is not an email address."});
  }
  if (auto complaint = password_complaint(wish.password, lower(wish.username));
      !complaint.empty()) {
    error.fields.push_back({"/password", "weak_password", std::move(complaint)});
  }
  if (error.fields.empty()) return {};
  return std::unexpected(std::move(error));
}

// Which field of a registration is taken already.
Result<void> named(Result<void> inserted) {
  if (inserted) return inserted;
  Error& error = inserted.error();
  if (error.reason == "username_taken")
    error.fields.push_back({"/username", error.reason, error.message});
  if (error.reason == "email_taken")
    error.fields.push_back({"/email", error.reason, error.message});
  return inserted;
}

User make_user(const Registration& wish, std::string hash, Timestamp now, Random& random) {
  User user;
  user.id = UserId::make(now, random);
  user.username = wish.username;
  user.email = wish.email;
  user.password_hash = std::move(hash);
  user.created_at = now;
  return user;
}

}  // namespace

bool is_name(std::string_view text) {
  const auto letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  return !text.empty() && text.size() <= 63 && letter(text.front()) &&
         std::all_of(text.begin(), text.end(),
                     [&](char c) { return letter(c) || c == '-' || c == '_' || c == '.'; });
}

bool is_email(std::string_view text) {
  const auto at = text.find('@');
  return text.size() <= 254 && at != std::string_view::npos && at > 0 && at + 1 < text.size() &&
         text.find('@', at + 1) == std::string_view::npos &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return static_cast<unsigned char>(c) > 0x20 && c != 0x7F && c != '<' && c != '>' &&
                  c != '"';
         });
}

Accounts::Accounts(ReadSide& reads, Committer& committer, Passwords& passwords, const Clock& clock,
                   Random& random, AccountRules rules)
    : reads_(reads),
      committer_(committer),
      passwords_(passwords),
      clock_(clock),
      random_(random),
      rules_(rules),
      login_throttle_(Throttle::Rules{.free_failures = rules.free_failures}),
      address_throttle_(Throttle::Rules{.free_failures = rules.free_failures * 6}) {}

Result<Organization> use_invite(Change& change, const UserId& user, std::string_view code,
                                const Actor& actor) {
  const auto no = [] {
    return fail(
        Code::not_found, "invite_not_usable",
        "This invite code cannot be used: it is unknown, expired, revoked or used up. Ask for a "
        "new one.");
  };
  auto invite = change.tx.invite_by_code(sha256(code));
  if (!invite) return std::unexpected(std::move(invite.error()));
  if (!*invite) return no();
  auto used = change.tx.use_invite((*invite)->id, change.now);
  if (!used) return std::unexpected(std::move(used.error()));
  if (!*used) return no();
  auto organization = change.tx.organization((*invite)->organization);
  if (!organization) return std::unexpected(std::move(organization.error()));
  if (!*organization) return no();
  Member member;
  member.organization = (*invite)->organization;
  member.user = user;
  member.role = (*invite)->role;
  member.joined_at = change.now;
  if (auto added = change.tx.insert(member); !added)
    return std::unexpected(std::move(added.error()));
  JsonText data;
  data.add("user_id", user.str())
      .add("role", to_text(member.role))
      .add("invite_id", (*invite)->id.str());
  auto noted = change.record(actor, "member.joined", member.organization, std::nullopt, data.str());
  if (!noted) return std::unexpected(std::move(noted.error()));
  return std::move(**organization);
}

Task<Result<User>> Accounts::register_user(Registration wish, std::string request_id,
                                           std::string address) {
  if (auto fine = check_registration(wish); !fine)
    co_return std::unexpected(std::move(fine.error()));
  if (!rules_.open_registration && !wish.invite_code) {
    co_return fail(Code::permission_denied, "registration_closed",
                   "Registration here needs an invite code; ask a colleague for one.");
  }
  const std::string key = "register " + address;
  if (const auto wait = address_throttle_.must_wait(key, Throttle::Clock::now())) {
    co_return std::unexpected(slow_down(*wait));
  }
  auto hash = co_await passwords_.hash(wish.password);
  if (!hash) co_return std::unexpected(std::move(hash.error()));
  std::move_only_function<Result<User>(Change&)> unit =
      [this, wish, request_id, hash = std::move(*hash)](Change& change) -> Result<User> {
    User user = make_user(wish, hash, change.now, random_);
    if (auto added = named(change.tx.insert(user)); !added)
      return std::unexpected(std::move(added.error()));
    const Actor actor{user.id.str(), user.username, request_id};
    auto noted = change.record(actor, "user.registered", std::nullopt, std::nullopt, "{}");
    if (!noted) return std::unexpected(std::move(noted.error()));
    if (wish.invite_code) {
      auto joined = use_invite(change, user.id, *wish.invite_code, actor);
      if (!joined) {
        if (joined.error().code == Code::not_found) {
          joined.error().fields.push_back(
              {"/invite_code", "invite_not_usable", joined.error().message});
        }
        return std::unexpected(std::move(joined.error()));
      }
    }
    change.after([this] { reads_.roles_changed(); });
    return user;
  };
  auto made = co_await committer_.write<User>(std::move(unit));
  if (!made && made.error().code == Code::not_found) {
    address_throttle_.failed(key, Throttle::Clock::now());
  }
  co_return made;
}

Result<Login> Accounts::open_session(Change& change, const User& user,
                                     const std::string& request_id) {
  const Token access = make_token(kAccessPrefix, random_);
  const Token refresh = make_token(kRefreshPrefix, random_);
  Session session;
  session.id = SessionId::make(change.now, random_);
  session.user = user.id;
  session.access = access.digest;
  session.access_expires_at = change.now.plus(rules_.access_lifetime);
  session.refresh = refresh.digest;
  session.refresh_expires_at = change.now.plus(rules_.refresh_lifetime);
  session.created_at = change.now;
  if (auto added = change.tx.insert(session); !added)
    return std::unexpected(std::move(added.error()));
  auto noted = change.record(Actor{user.id.str(), user.username, request_id}, "session.opened",
                             std::nullopt, std::nullopt, "{}");
  if (!noted) return std::unexpected(std::move(noted.error()));
  return Login{access.text, refresh.text, rules_.access_lifetime, user};
}

Task<Result<Login>> Accounts::login(std::string username, std::string password,
                                    std::string request_id, std::string address) {
  const auto now = Throttle::Clock::now();
  const std::string account = "login " + lower(username) + " " + address;
  for (auto* throttle : {&login_throttle_, &address_throttle_}) {
    const auto wait = throttle->must_wait(throttle == &login_throttle_ ? account : address, now);
    if (wait) co_return std::unexpected(slow_down(*wait));
  }
  std::optional<User> user;
  {
    auto view = reads_.view();
    if (!view) co_return std::unexpected(std::move(view.error()));
    auto row = (*view)->user_by_name(username);
    if (!row) co_return std::unexpected(std::move(row.error()));
    user = std::move(*row);
  }
  std::string hash = user ? user->password_hash : std::string();
  auto right = co_await passwords_.verify(std::move(hash), std::move(password));
  if (!right) co_return std::unexpected(std::move(right.error()));
  if (!*right || user->disabled) {
    login_throttle_.failed(account, Throttle::Clock::now());
    address_throttle_.failed(address, Throttle::Clock::now());
    co_return wrong_credentials();
  }
  login_throttle_.succeeded(account);
  std::move_only_function<Result<Login>(Change&)> unit = [this, who = *user,
                                                          request_id](Change& change) {
    return open_session(change, who, request_id);
  };
  co_return co_await committer_.write<Login>(std::move(unit));
}

Task<Result<Login>> Accounts::refresh(std::string refresh_token, std::string request_id) {
  // A reused token is no error of the unit: ending the session must become durable.
  std::move_only_function<Result<std::optional<Login>>(Change&)> unit =
      [this, digest = sha256(refresh_token),
       request_id](Change& change) -> Result<std::optional<Login>> {
    auto found = change.tx.session_by_refresh(digest);
    if (!found) return std::unexpected(std::move(found.error()));
    if (!*found) return std::optional<Login>{};
    Session session = std::move(**found);
    auto user = change.tx.user(session.user);
    if (!user) return std::unexpected(std::move(user.error()));
    const bool stolen = session.refresh != digest;
    const bool usable = *user && !(*user)->disabled && session.refresh_expires_at > change.now;
    change.after([this, old = session.access] { reads_.credential_changed(old); });
    if (stolen || !usable) {
      auto removed = change.tx.remove(session.id);
      if (!removed) return std::unexpected(std::move(removed.error()));
      const Actor actor{session.user.str(), *user ? (*user)->username : "", request_id};
      auto noted = change.record(actor, stolen ? "session.refresh_reused" : "session.expired",
                                 std::nullopt, std::nullopt, "{}");
      if (!noted) return std::unexpected(std::move(noted.error()));
      return std::optional<Login>{};
    }
    const Token access = make_token(kAccessPrefix, random_);
    const Token next = make_token(kRefreshPrefix, random_);
    session.access = access.digest;
    session.refresh = next.digest;
    session.access_expires_at = change.now.plus(rules_.access_lifetime);
    session.refresh_expires_at = change.now.plus(rules_.refresh_lifetime);
    auto written = change.tx.update(session);
    // Other processes must hear that the access token before this one is no credential any more.
    if (written) {
      const Actor actor{session.user.str(), (*user)->username, request_id};
      written = change.record(actor, "session.refreshed", std::nullopt, std::nullopt, "{}");
    }
    if (!written) return std::unexpected(std::move(written.error()));
    return std::optional(Login{access.text, next.text, rules_.access_lifetime, **user});
  };
  auto login = co_await committer_.write<std::optional<Login>>(std::move(unit));
  if (!login) co_return std::unexpected(std::move(login.error()));
  if (!*login) {
    co_return fail(Code::unauthenticated, "invalid_refresh_token",
                   "This refresh token is not valid (any more); log in again.");
  }
  co_return std::move(**login);
}

Task<Result<void>> Accounts::logout(Caller caller, bool everywhere) {
  std::move_only_function<Result<void>(Change&)> unit =
      [this, caller, everywhere](Change& change) -> Result<void> {
    if (everywhere) {
      auto removed = change.tx.remove_sessions(caller.principal.user, std::nullopt);
      if (!removed) return std::unexpected(std::move(removed.error()));
    } else if (caller.principal.session) {
      if (auto removed = change.tx.remove(*caller.principal.session); !removed) return removed;
    }
    change.after([this] { reads_.credentials_changed(); });
    return change.record(caller.actor(), "session.closed", std::nullopt, std::nullopt, "{}");
  };
  co_return co_await committer_.write(std::move(unit));
}

Result<User> Accounts::me(const Caller& caller) {
  auto view = reads_.view();
  if (!view) return std::unexpected(std::move(view.error()));
  auto user = (*view)->user(caller.principal.user);
  if (!user) return std::unexpected(std::move(user.error()));
  if (!*user) return fail(Code::unauthenticated, "invalid_token", "This account is gone.");
  return std::move(**user);
}

Task<Result<void>> Accounts::change_password(Caller caller, std::string current, std::string next) {
  auto user = me(caller);
  if (!user) co_return std::unexpected(std::move(user.error()));
  if (auto complaint = password_complaint(next, lower(user->username)); !complaint.empty()) {
    co_return fail_field("/new_password", "weak_password", std::move(complaint));
  }
  const std::string key = "password " + user->id.str();
  if (const auto wait = login_throttle_.must_wait(key, Throttle::Clock::now())) {
    co_return std::unexpected(slow_down(*wait));
  }
  auto right = co_await passwords_.verify(user->password_hash, std::move(current));
  if (!right) co_return std::unexpected(std::move(right.error()));
  if (!*right) {
    login_throttle_.failed(key, Throttle::Clock::now());
    co_return fail_field("/current_password", "wrong_password", "The current password is wrong.");
  }
  auto hash = co_await passwords_.hash(std::move(next));
  if (!hash) co_return std::unexpected(std::move(hash.error()));
  std::move_only_function<Result<void>(Change&)> unit =
      [this, caller, hash = *hash](Change& change) -> Result<void> {
    auto row = change.tx.user(caller.principal.user);
    if (!row) return std::unexpected(std::move(row.error()));
    if (!*row) return not_found("user");
    (*row)->password_hash = hash;
    (*row)->version += 1;
    if (auto written = change.tx.update(**row); !written) return written;
    // Whoever knew the old password is out; the one who changed it stays.
    auto removed = change.tx.remove_sessions(caller.principal.user, caller.principal.session);
    if (!removed) return std::unexpected(std::move(removed.error()));
    change.after([this] { reads_.credentials_changed(); });
    return change.record(caller.actor(), "user.password_changed", std::nullopt, std::nullopt, "{}");
  };
  co_return co_await committer_.write(std::move(unit));
}

Task<Result<Once<NewKey>>> Accounts::create_key(Caller caller, std::string name,
                                                std::optional<Timestamp> expires_at,
                                                std::optional<IdempotencyKey> key,
                                                std::function<StoredReply(const NewKey&)> render) {
  std::move_only_function<Result<NewKey>(Change&)> unit =
      [this, caller, name, expires_at](Change& change) -> Result<NewKey> {
    if (expires_at && *expires_at <= change.now) {
      return fail_field("/expires_at", "in_the_past",
                        "must be a time to come; leave it out for a key without an end.");
    }
    auto existing = change.tx.api_keys(caller.principal.user);
    if (!existing) return std::unexpected(std::move(existing.error()));
    if (existing->size() >= 100) {
      return fail(Code::failed_precondition, "too_many_keys",
                  "An account has at most 100 API keys; revoke one.");
    }
    const Token token = make_token(kKeyPrefix, random_);
    ApiKey made{ApiKeyId::make(change.now, random_),
                caller.principal.user,
                name,
                token.prefix,
                token.digest,
                change.now,
                expires_at};
    if (auto added = change.tx.insert(made); !added)
      return std::unexpected(std::move(added.error()));
    JsonText data;
    data.add("key_id", made.id.str()).add("name", name);
    auto noted =
        change.record(caller.actor(), "key.created", std::nullopt, std::nullopt, data.str());
    if (!noted) return std::unexpected(std::move(noted.error()));
    return NewKey{std::move(made), token.text};
  };
  co_return co_await committer_.write<Once<NewKey>>(
      once<NewKey>(std::move(key), std::move(render), std::move(unit)));
}

Result<std::vector<ApiKey>> Accounts::keys(const Caller& caller) {
  auto view = reads_.view();
  if (!view) return std::unexpected(std::move(view.error()));
  return (*view)->api_keys(caller.principal.user);
}

Task<Result<void>> Accounts::revoke_key(Caller caller, ApiKeyId key) {
  std::move_only_function<Result<void>(Change&)> unit = [this, caller,
                                                         key](Change& change) -> Result<void> {
    auto removed = change.tx.remove_api_key(caller.principal.user, key);
    if (!removed) return std::unexpected(std::move(removed.error()));
    if (!*removed) return not_found("API key");
    change.after([this, secret = (*removed)->secret] { reads_.credential_changed(secret); });
    JsonText data;
    data.add("key_id", key.str());
    return change.record(caller.actor(), "key.revoked", std::nullopt, std::nullopt, data.str());
  };
  co_return co_await committer_.write(std::move(unit));
}

Result<Principal> Accounts::authenticate(std::string_view bearer) {
  if (bearer.empty()) {
    return fail(Code::unauthenticated, "missing_token",
                "This needs a token: log in, then send 'Authorization: Bearer TOKEN'.");
  }
  if (bearer.size() > 256)
    return fail(Code::unauthenticated, "invalid_token", "The token is not valid.");
  const auto found = reads_.credential(sha256(bearer));
  if (!found) return std::unexpected(found.error());
  if (!*found) return fail(Code::unauthenticated, "invalid_token", "The token is not valid.");
  if ((*found)->expires_at <= clock_.now()) {
    return fail(Code::unauthenticated, "expired_token",
                "The token has expired; refresh it or log in again.");
  }
  return (*found)->principal;
}

bool Accounts::needs_setup() {
  auto view = reads_.view();
  if (!view) return false;
  const auto users = (*view)->count_users();
  return users && *users == 0;
}

Result<std::string> Accounts::issue_setup_token() {
  if (!needs_setup()) return std::string();
  const Token token = make_token(kSetupPrefix, random_);
  auto written = committer_.write_and_wait([&](Change& change) {
    return change.tx.put_setup_token(
        SetupToken{token.digest, change.now.plus(rules_.setup_lifetime)});
  });
  if (!written) return std::unexpected(std::move(written.error()));
  return token.text;
}

Task<Result<Login>> Accounts::set_up(std::string token, Registration wish, std::string organization,
                                     std::string request_id) {
  if (auto fine = check_registration(wish); !fine)
    co_return std::unexpected(std::move(fine.error()));
  if (!is_name(organization)) {
    co_return fail_field("/organization", "invalid_format",
                         "A name has 1 to 63 letters, digits, '-', '_' or '.'.");
  }
  {
    // Before the expensive hash: strangers without the token cost nothing.
    auto view = reads_.view();
    if (!view) co_return std::unexpected(std::move(view.error()));
    auto stored = (*view)->setup_token();
    if (!stored) co_return std::unexpected(std::move(stored.error()));
    if (!*stored || (*stored)->token != sha256(token) || (*stored)->expires_at <= clock_.now()) {
      co_return fail(
          Code::not_found, "setup_not_possible",
          "This set-up link is not valid (any more). Restart the server for a new one, or use "
          "'berth admin create-user'.");
    }
  }
  auto hash = co_await passwords_.hash(wish.password);
  if (!hash) co_return std::unexpected(std::move(hash.error()));
  std::move_only_function<Result<Login>(Change&)> unit =
      [this, wish, organization, request_id, hash = *hash](Change& change) -> Result<Login> {
    auto users = change.tx.count_users();
    if (!users) return std::unexpected(std::move(users.error()));
    auto stored = change.tx.setup_token();
    if (!stored) return std::unexpected(std::move(stored.error()));
    if (*users != 0 || !*stored) {
      return fail(Code::not_found, "setup_not_possible",
                  "Somebody has set this installation up already.");
    }
    User user = make_user(wish, hash, change.now, random_);
    user.is_admin = true;
    Organization org{OrganizationId::make(change.now, random_), organization, change.now, 1};
    const Member member{org.id, user.id, "", "", Role::owner, change.now, 1};
    const Actor actor{user.id.str(), user.username, request_id};
    auto step = change.tx.insert(user);
    if (step) step = change.tx.insert(org);
    if (step) step = change.tx.insert(member);
    if (step) step = change.tx.put_setup_token(std::nullopt);
    if (step)
      step =
          change.record(actor, "user.registered", std::nullopt, std::nullopt, "{\"setup\":true}");
    if (step) step = change.record(actor, "organization.created", org.id, std::nullopt, "{}");
    if (!step) return std::unexpected(std::move(step.error()));
    change.after([this] {
      reads_.roles_changed();
      rules_.when_set_up();
    });
    return open_session(change, user, request_id);
  };
  co_return co_await committer_.write<Login>(std::move(unit));
}

Result<User> Accounts::put_admin(const Registration& wish) {
  if (auto fine = check_registration(wish); !fine) return std::unexpected(std::move(fine.error()));
  User out;
  auto written = committer_.write_and_wait([&](Change& change) -> Result<void> {
    auto existing = change.tx.user_by_name(wish.username);
    if (!existing) return std::unexpected(std::move(existing.error()));
    out = *existing ? **existing : make_user(wish, "", change.now, random_);
    out.password_hash = Passwords::hash_now(wish.password);
    out.is_admin = true;
    out.disabled = false;
    out.version += *existing ? 1 : 0;
    auto step = *existing ? change.tx.update(out) : change.tx.insert(out);
    if (step) step = change.tx.put_setup_token(std::nullopt);
    if (step) {
      step = change.record(Actor{"setup", "berth admin", ""}, "user.administrator", std::nullopt,
                           std::nullopt, "{}");
    }
    return step;
  });
  if (!written) return std::unexpected(std::move(written.error()));
  return out;
}

}  // namespace berth
