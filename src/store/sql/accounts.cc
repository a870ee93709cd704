// Users, logins and API keys.
#include "store/sql/session.h"

namespace berth::sql {
namespace {

User read_user(Query& q) {
  User u;
  u.id = q.id<UserId>();
  u.username = q.text();
  u.email = q.text();
  u.password_hash = q.text();
  u.is_admin = q.flag();
  u.disabled = q.flag();
  u.created_at = q.time();
  u.version = q.integer();
  return u;
}

berth::Session read_session(Query& q) {
  berth::Session s;
  s.id = q.id<SessionId>();
  s.user = q.id<UserId>();
  s.access = q.digest();
  s.access_expires_at = q.time();
  s.refresh = q.digest();
  s.refresh_expires_at = q.time();
  s.created_at = q.time();
  return s;
}

ApiKey read_key(Query& q) {
  ApiKey k;
  k.id = q.id<ApiKeyId>();
  k.user = q.id<UserId>();
  k.name = q.text();
  k.prefix = q.text();
  k.secret = q.digest();
  k.created_at = q.time();
  k.expires_at = q.maybe_time();
  return k;
}

}  // namespace

Result<std::optional<User>> Session::user(const UserId& id) {
  auto q = db_->query(
      "SELECT id, username, email, password_hash, is_admin, disabled, created_at, version "
      "FROM users WHERE id = ?1");
  return one<User>(q.with(id), read_user);
}

Result<std::optional<User>> Session::user_by_name(std::string_view name) {
  auto q = db_->query(
      "SELECT id, username, email, password_hash, is_admin, disabled, created_at, version "
      "FROM users WHERE {nocase username} = {nocase ?1} OR {nocase email} = {nocase ?1}");
  return one<User>(q.with(name), read_user);
}

Result<std::int64_t> Session::count_users() { return scalar("SELECT count(*) FROM users"); }

Result<std::optional<berth::Session>> Session::session_by_access(const Digest& token) {
  auto q = db_->query(
      "SELECT id, user_id, access, access_expires_at, refresh, refresh_expires_at, "
      "created_at FROM sessions WHERE access = ?1");
  return one<berth::Session>(q.with(token), read_session);
}

Result<std::optional<berth::Session>> Session::session_by_refresh(const Digest& token) {
  auto q = db_->query(
      "SELECT id, user_id, access, access_expires_at, refresh, refresh_expires_at, "
      "created_at FROM sessions WHERE refresh = ?1 "
      "OR id = (SELECT session_id FROM spent_refresh WHERE token = ?1)");
  return one<berth::Session>(q.with(token), read_session);
}

Result<std::optional<ApiKey>> Session::api_key_by_secret(const Digest& secret) {
  auto q = db_->query(
      "SELECT id, user_id, name, prefix, secret, created_at, expires_at FROM api_keys "
      "WHERE secret = ?1");
  return one<ApiKey>(q.with(secret), read_key);
}

Result<std::vector<ApiKey>> Session::api_keys(const UserId& user) {
  auto q = db_->query(
      "SELECT id, user_id, name, prefix, secret, created_at, expires_at FROM api_keys "
      "WHERE user_id = ?1 ORDER BY id");
  return all<ApiKey>(q.with(user), read_key);
}

Result<std::optional<SetupToken>> Session::setup_token() {
  auto q = db_->query("SELECT token, expires_at FROM setup_token WHERE one = 1");
  return one<SetupToken>(q, [](Query& row) {
    SetupToken token;
    token.token = row.digest();
    token.expires_at = row.time();
    return token;
  });
}

Result<void> Session::insert(const User& u) {
  return done(
      db_->query("INSERT INTO users (id, username, email, password_hash, is_admin, disabled, "
                 "created_at, version) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")
          .with(u.id, u.username, u.email, u.password_hash, u.is_admin, u.disabled, u.created_at,
                u.version)
          .run());
}

Result<void> Session::update(const User& u) {
  return done(
      db_->query("UPDATE users SET username = ?2, email = ?3, password_hash = ?4, "
                 "is_admin = ?5, disabled = ?6, version = ?7 WHERE id = ?1")
          .with(u.id, u.username, u.email, u.password_hash, u.is_admin, u.disabled, u.version)
          .run());
}

Result<void> Session::insert(const berth::Session& s) {
  return done(db_->query("INSERT INTO sessions (id, user_id, access, access_expires_at, refresh, "
                         "refresh_expires_at, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")
                  .with(s.id, s.user, s.access, s.access_expires_at, s.refresh,
                        s.refresh_expires_at, s.created_at)
                  .run());
}

Result<void> Session::update(const berth::Session& s) {
  const auto spent = db_->query(
                            "INSERT INTO spent_refresh (token, session_id) "
                            "SELECT refresh, id FROM sessions WHERE id = ?1 AND refresh <> ?2 "
                            "ON CONFLICT DO NOTHING")
                         .with(s.id, s.refresh)
                         .run();
  if (!spent) return std::unexpected(spent.error());
  // Nothing spent: the token stays the same, or another process is spending it at this moment.
  const auto changed =
      db_->query(
             "UPDATE sessions SET access = ?2, access_expires_at = ?3, refresh = ?4, "
             "refresh_expires_at = ?5 WHERE id = ?1 AND (?6 OR refresh = ?4)")
          .with(s.id, s.access, s.access_expires_at, s.refresh, s.refresh_expires_at, *spent == 1)
          .run();
  if (!changed) return std::unexpected(changed.error());
  if (*changed == 1) return {};
  return fail(Code::aborted, "version_mismatch",
              "The session was refreshed by somebody else at the same time.");
}

Result<void> Session::remove(const SessionId& session) {
  return done(db_->query("DELETE FROM sessions WHERE id = ?1").with(session).run());
}

Result<std::vector<Digest>> Session::remove_sessions(const UserId& user,
                                                     std::optional<SessionId> but) {
  auto q = db_->query(
      "DELETE FROM sessions WHERE user_id = ?1 AND (?2 IS NULL OR id <> ?2) RETURNING access");
  return all<Digest>(q.with(user, but), [](Query& row) { return row.digest(); });
}

Result<void> Session::insert(const ApiKey& k) {
  return done(db_->query("INSERT INTO api_keys (id, user_id, name, prefix, secret, created_at, "
                         "expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")
                  .with(k.id, k.user, k.name, k.prefix, k.secret, k.created_at, k.expires_at)
                  .run());
}

Result<std::optional<ApiKey>> Session::remove_api_key(const UserId& user, const ApiKeyId& key) {
  auto q = db_->query(
      "DELETE FROM api_keys WHERE id = ?1 AND user_id = ?2 "
      "RETURNING id, user_id, name, prefix, secret, created_at, expires_at");
  auto removed = all<ApiKey>(q.with(key, user), read_key);
  if (!removed) return std::unexpected(std::move(removed.error()));
  if (removed->empty()) return std::optional<ApiKey>{};
  return std::optional(std::move(removed->front()));
}

Result<void> Session::put_setup_token(const std::optional<SetupToken>& token) {
  if (auto cleared = done(db_->query("DELETE FROM setup_token").run()); !cleared || !token) {
    return cleared;
  }
  return done(db_->query("INSERT INTO setup_token (one, token, expires_at) VALUES (1, ?1, ?2)")
                  .with(token->token, token->expires_at)
                  .run());
}

}  // namespace berth::sql
