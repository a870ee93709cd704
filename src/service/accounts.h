// Users, logins, API keys, and the first administrator.
#pragma once
#include "service/access.h"
#include "service/committer.h"
#include "service/idempotency.h"
#include "service/passwords.h"
#include "service/throttle.h"
#include "service/tokens.h"

namespace berth {

struct AccountRules {
  std::chrono::seconds access_lifetime{3600};
  std::chrono::seconds refresh_lifetime{std::chrono::days(30)};
  std::chrono::minutes setup_lifetime{30};
  bool open_registration = true;  // false: only with an invite code
  std::function<void()> when_set_up = [] {};  // once the first administrator is there
  int free_failures = 5;  // of one account from one address; an address has six times as many
};

struct Registration {
  std::string username;
  std::string email;
  std::string password;
  std::optional<std::string> invite_code;
};

struct Login {
  std::string access_token;
  std::string refresh_token;
  std::chrono::seconds expires_in{0};
  User user;
};

struct NewKey {
  ApiKey key;
  std::string secret;  // shown once
};

class Accounts {
 public:
  Accounts(ReadSide& reads, Committer& committer, Passwords& passwords, const Clock& clock,
           Random& random, AccountRules rules);

  // Errors: already_exists (username_taken, email_taken), invalid_argument, permission_denied when
  // registration is closed and no invite is given, not_found for an invite code that cannot be
  // used.
  Task<Result<User>> register_user(Registration wish, std::string request_id, std::string address);
  // Errors: unauthenticated (same words and same time for unknown users), resource_exhausted.
  Task<Result<Login>> login(std::string username, std::string password, std::string request_id,
                            std::string address);
  Task<Result<Login>> refresh(std::string refresh_token, std::string request_id);
  Task<Result<void>> logout(Caller caller, bool everywhere);
  Result<User> me(const Caller& caller);
  Task<Result<void>> change_password(Caller caller, std::string current, std::string next);

  Task<Result<Once<NewKey>>> create_key(Caller caller, std::string name,
                                        std::optional<Timestamp> expires_at,
                                        std::optional<IdempotencyKey> key,
                                        std::function<StoredReply(const NewKey&)> render);
  Result<std::vector<ApiKey>> keys(const Caller& caller);
  Task<Result<void>> revoke_key(Caller caller, ApiKeyId key);

  // Errors: unauthenticated with reason missing_token, invalid_token or expired_token.
  Result<Principal> authenticate(std::string_view bearer);

  // The one-time link of a fresh installation: makes the first user, an administrator.
  Result<std::string> issue_setup_token();  // empty when users exist; blocking, for start-up
  Task<Result<Login>> set_up(std::string token, Registration wish, std::string organization,
                             std::string request_id);
  [[nodiscard]] bool needs_setup();

  // For the command line on the data directory: creates or updates. Blocking.
  Result<User> put_admin(const Registration& wish);

 private:
  Result<Login> open_session(Change& change, const User& user, const std::string& request_id);

  ReadSide& reads_;
  Committer& committer_;
  Passwords& passwords_;
  const Clock& clock_;
  Random& random_;
  const AccountRules rules_;
  Throttle login_throttle_;
  Throttle address_throttle_;
};

// Rules shared with organizations and clusters: 1 to 63 lower- or upper-case letters, digits, '-',
// '_' and '.', beginning with a letter or digit.
[[nodiscard]] bool is_name(std::string_view text);
[[nodiscard]] bool is_email(std::string_view text);

// Uses an invite code inside a unit of work. Unknown, expired, revoked and used up look the same.
Result<Organization> use_invite(Change& change, const UserId& user, std::string_view code,
                                const Actor& actor);

}  // namespace berth
