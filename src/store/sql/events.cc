// The append-only history, and the replies kept for repeated requests.
#include "store/sql/session.h"

namespace berth::sql {
namespace {

constexpr const char* kOfDeploymentAfter =
    "SELECT seq, at, org_id, cluster_id, deployment_id, kind, actor, actor_name, request_id, data "
    "FROM events WHERE deployment_id = ?1 AND org_id = ?2 AND seq > ?3 ORDER BY seq LIMIT ?4";
constexpr const char* kOfOrganizationAfter =
    "SELECT seq, at, org_id, cluster_id, deployment_id, kind, actor, actor_name, request_id, data "
    "FROM events WHERE org_id = ?1 AND seq > ?2 AND (?3 = '' OR substr(kind, 1, length(?3)) = ?3) "
    "AND (?4 IS NULL OR cluster_id = ?4) ORDER BY seq LIMIT ?5";
constexpr const char* kOfOrganizationBefore =
    "SELECT seq, at, org_id, cluster_id, deployment_id, kind, actor, actor_name, request_id, data "
    "FROM events WHERE org_id = ?1 AND seq < ?2 AND (?3 = '' OR substr(kind, 1, length(?3)) = ?3) "
    "AND (?4 IS NULL OR cluster_id = ?4) ORDER BY seq DESC LIMIT ?5";

constexpr const char* kAllAfter =
    "SELECT seq, at, org_id, cluster_id, deployment_id, kind, actor, actor_name, request_id, data "
    "FROM events WHERE seq > ?1 ORDER BY seq LIMIT ?2";

Event read_event(Query& q) {
  Event e;
  e.seq = q.integer();
  e.at = q.time();
  e.organization = q.maybe_id<OrganizationId>();
  e.cluster = q.maybe_id<ClusterId>();
  e.deployment = q.maybe_id<DeploymentId>();
  e.kind = q.text();
  e.actor = q.text();
  e.actor_name = q.text();
  e.request_id = q.text();
  e.data = q.text();
  return e;
}

}  // namespace

Result<std::vector<Event>> Session::events(const EventFilter& f) {
  std::vector<Event> merged;
  for (const auto& org : f.organizations) {
    auto q = db_->query(f.deployment ? kOfDeploymentAfter
                        : f.before   ? kOfOrganizationBefore
                                     : kOfOrganizationAfter);
    if (f.deployment) {
      q.with(*f.deployment, org, f.after, f.limit);
    } else {
      q.with(org, f.before.value_or(f.after), f.kind_prefix, f.cluster, f.limit);
    }
    auto rows = all<Event>(q, read_event);
    if (!rows) return rows;
    std::move(rows->begin(), rows->end(), std::back_inserter(merged));
  }
  std::sort(merged.begin(), merged.end(), [&](const Event& a, const Event& b) {
    return f.before ? a.seq > b.seq : a.seq < b.seq;
  });
  if (merged.size() > f.limit) merged.resize(f.limit);
  return merged;
}

Result<std::vector<Event>> Session::history(std::int64_t after, std::size_t limit) {
  auto q = db_->query(kAllAfter);
  return all<Event>(q.with(after, limit), read_event);
}

Result<std::int64_t> Session::first_event() {
  return scalar("SELECT coalesce(min(seq), 1) FROM events");
}
Result<std::int64_t> Session::last_event() {
  return scalar("SELECT coalesce(max(seq), 0) FROM events");
}

Result<std::int64_t> Session::last_event_of(const ClusterId& cluster, std::int64_t until) {
  auto q = db_->query("SELECT max(seq) FROM events WHERE cluster_id = ?1 AND seq <= ?2");
  const auto row = q.with(cluster, until).step();
  if (!row) return std::unexpected(row.error());
  return q.maybe_integer().value_or(0);
}

Result<std::optional<StoredReply>> Session::stored_reply(const std::string& scope,
                                                         const std::string& key) {
  auto q = db_->query(
      "SELECT fingerprint, status, body, location, etag FROM replies WHERE scope = ?1 AND key = "
      "?2");
  return one<StoredReply>(q.with(scope, key), [](Query& row) {
    StoredReply reply;
    reply.fingerprint = row.digest();
    reply.status = static_cast<int>(row.integer());
    reply.body = row.text();
    reply.location = row.text();
    reply.etag = row.text();
    return reply;
  });
}

Result<bool> Session::claim_reply(const std::string& scope, const std::string& key,
                                  const Digest& fingerprint, Timestamp now) {
  const auto claimed =
      db_->query(
             "INSERT INTO replies (scope, key, fingerprint, status, body, location, etag, "
             "created_at) VALUES (?1, ?2, ?3, 0, '', '', '', ?4) ON CONFLICT DO NOTHING")
          .with(scope, key, fingerprint, now)
          .run();
  if (!claimed) return std::unexpected(claimed.error());
  return *claimed == 1;
}

Result<void> Session::store_reply(const std::string& scope, const std::string& key,
                                  const StoredReply& reply, Timestamp now) {
  return done(
      db_->query("INSERT INTO replies (scope, key, fingerprint, status, body, location, etag, "
                 "created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (scope, key) "
                 "DO UPDATE SET fingerprint = ?3, status = ?4, body = ?5, location = ?6, etag = ?7")
          .with(scope, key, reply.fingerprint, reply.status, reply.body, reply.location, reply.etag,
                now)
          .run());
}

Result<void> Session::prune(Timestamp replies_before, Timestamp sessions_before,
                            Timestamp events_before) {
  auto step =
      done(db_->query("DELETE FROM replies WHERE created_at < ?1").with(replies_before).run());
  if (step) {
    step = done(db_->query("DELETE FROM sessions WHERE refresh_expires_at < ?1")
                    .with(sessions_before)
                    .run());
  }
  if (step) {
    // A prefix only, so that no gap appears when a clock jumped; the newest event stays, so that
    // the sequence goes on from it.
    step = done(
        db_->query("DELETE FROM events WHERE seq < (SELECT coalesce((SELECT min(seq) FROM events "
                   "WHERE at >= ?1), (SELECT max(seq) FROM events)))")
            .with(events_before)
            .run());
  }
  return step;
}

}  // namespace berth::sql
