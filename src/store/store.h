// PORT: the database, the only truth. Calls are synchronous and speak intentions. One writer at a
// time per Store; any number of readers, and of Stores on one PostgreSQL. `not_found` is an empty
// optional; an Error is a broken database: unavailable (busy, not reachable, disk full with reason
// "storage_full") or internal.
#pragma once
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "core/account.h"
#include "core/records.h"

namespace berth {

struct DeploymentFilter {
  std::vector<OrganizationId> organizations;  // never empty: nothing is listed without a member
  std::optional<ClusterId> cluster;
  std::optional<State> state;
  std::optional<Priority> priority;
  std::optional<std::string> name;
  std::optional<DeploymentId> before;  // newest first: ids smaller than this
  std::size_t limit = 50;
};

struct EventFilter {
  std::vector<OrganizationId> organizations;
  std::optional<DeploymentId> deployment;
  std::optional<ClusterId> cluster;
  std::string kind_prefix;             // "deployment." for example; empty: all
  std::int64_t after = 0;              // seq greater than this, oldest first ...
  std::optional<std::int64_t> before;  // ... or smaller than this, newest first
  std::size_t limit = 50;
};

struct StoredReply {
  Digest fingerprint;  // of method, path and body
  int status = 0;
  std::string body;
  std::string location;
  std::string etag;
};

struct SetupToken {
  Digest token;
  Timestamp expires_at;
};

// A scheduler process, alive until its deadline on the database's clock.
struct SchedulerRow {
  std::string id;       // unique for each start of a process
  std::string address;  // host:port for the questions of API processes; empty: not reachable
  Timestamp deadline;   // on the database's clock
};

// Who decides about a cluster. The epoch grows with each change of hands and never shrinks.
struct LeaseRow {
  ClusterId cluster;
  std::optional<std::string> holder;  // a scheduler; empty: free
  std::int64_t epoch = 0;
  bool alive = false;  // the holder's deadline has not passed, judged by the database's clock
};

// How many clusters one scheduler has, or nobody; `alive` as in LeaseRow.
struct LeaseCount {
  std::optional<std::string> holder;
  bool alive = false;
  std::size_t clusters = 0;
};

// A deployment that the history speaks of, as it is now.
struct Touched {
  std::int64_t seq = 0;  // of the latest event about it in the range asked for
  DeploymentId id;
  std::optional<Deployment> row;  // empty: deleted
};

// Where a cluster's decision journal is: indices go from 1 on without gaps, times never go back.
struct JournalMark {
  std::int64_t index = 0;
  Timestamp at;
  friend bool operator==(const JournalMark&, const JournalMark&) = default;
};
// What one transaction did with a cluster's engine.
struct JournalEntry {
  std::int64_t index = 0;
  Timestamp at;
  bool checkpoint = false;  // the whole state is in it: one can begin to read here
  std::string payload;      // bytes, whose meaning scheduler/journal.h knows
  friend bool operator==(const JournalEntry&, const JournalEntry&) = default;
};

struct LedgerFinding {
  std::string invariant;  // "conservation", "one_reservation_per_active_attempt", ...
  std::string detail;
};

class ReadView {
 public:
  virtual ~ReadView() = default;

  virtual Result<std::optional<User>> user(const UserId& id) = 0;
  virtual Result<std::optional<User>> user_by_name(std::string_view username_or_email) = 0;
  virtual Result<std::int64_t> count_users() = 0;
  virtual Result<std::optional<Session>> session_by_access(const Digest& token) = 0;
  // Matches the current refresh token of a session and every one that it had before.
  virtual Result<std::optional<Session>> session_by_refresh(const Digest& token) = 0;
  virtual Result<std::optional<ApiKey>> api_key_by_secret(const Digest& secret) = 0;
  virtual Result<std::vector<ApiKey>> api_keys(const UserId& user) = 0;
  virtual Result<std::optional<SetupToken>> setup_token() = 0;

  virtual Result<std::optional<Organization>> organization(const OrganizationId& id) = 0;
  virtual Result<std::optional<Organization>> organization_by_name(std::string_view name) = 0;
  virtual Result<std::vector<std::pair<Organization, Role>>> organizations_of(
      const UserId& user) = 0;
  virtual Result<std::optional<Role>> role(const OrganizationId& org, const UserId& user) = 0;
  virtual Result<std::vector<Member>> members(const OrganizationId& org,
                                              std::optional<UserId> after, std::size_t limit) = 0;
  virtual Result<std::optional<Member>> member(const OrganizationId& org, const UserId& user) = 0;
  virtual Result<std::vector<Invite>> invites(const OrganizationId& org,
                                              std::optional<InviteId> after, std::size_t limit) = 0;
  virtual Result<std::optional<Invite>> invite_by_code(const Digest& code) = 0;

  virtual Result<std::optional<Cluster>> cluster(const ClusterId& id) = 0;
  virtual Result<std::optional<Cluster>> cluster_by_name(const OrganizationId& org,
                                                         std::string_view name) = 0;
  // Those of the organizations and those that are shared with them.
  virtual Result<std::vector<Cluster>> clusters(const std::vector<OrganizationId>& organizations,
                                                std::optional<ClusterId> after,
                                                std::size_t limit) = 0;
  virtual Result<std::vector<Cluster>> all_clusters() = 0;
  // As what a cluster's scheduler knows an organization that it is shared with; empty: it is not.
  virtual Result<std::optional<std::uint32_t>> tenant(const ClusterId& cluster,
                                                      const OrganizationId& organization) = 0;

  virtual Result<std::optional<Deployment>> deployment(const DeploymentId& id) = 0;
  // The one that is not terminal, else the newest of that name.
  virtual Result<std::optional<Deployment>> deployment_by_name(const OrganizationId& org,
                                                               std::string_view name) = 0;
  virtual Result<std::vector<Deployment>> deployments(const DeploymentFilter& filter) = 0;
  // In the order of admission, one by one. `use` must not ask this view anything.
  virtual Result<void> for_each_waiting(const ClusterId& cluster,
                                        const std::function<void(const WaitingRow&)>& use) = 0;
  // Deployments of a cluster that hold resources.
  virtual Result<std::vector<Deployment>> active(const ClusterId& cluster) = 0;
  // What it still waits for.
  virtual Result<std::vector<Dependency>> dependencies(const DeploymentId& id) = 0;

  virtual Result<std::vector<Event>> events(const EventFilter& filter) = 0;
  // Everybody's, oldest first, with a seq greater than `after`: for the processes themselves.
  virtual Result<std::vector<Event>> history(std::int64_t after, std::size_t limit) = 0;
  // The deployments of a cluster (empty: of all) that events with `after` < seq <= `until` are
  // about, each once, by the latest of these.
  virtual Result<std::vector<Touched>> touched(std::optional<ClusterId> cluster, std::int64_t after,
                                               std::int64_t until) = 0;
  virtual Result<std::int64_t> first_event() = 0;  // the oldest kept seq, 1 for an empty history
  virtual Result<std::int64_t> last_event() = 0;   // 0 for an empty history
  // The latest one about a cluster with a seq of at most `until`; 0 when there is none any more.
  virtual Result<std::int64_t> last_event_of(const ClusterId& cluster, std::int64_t until) = 0;

  // A cluster's decision journal from an index on, oldest first.
  virtual Result<std::vector<JournalEntry>> journal(const ClusterId& cluster, std::int64_t from,
                                                    std::size_t limit) = 0;
  // Its last entry; the last one at or before a time; empty when there is none.
  virtual Result<std::optional<JournalMark>> journal_end(const ClusterId& cluster) = 0;
  virtual Result<std::optional<JournalMark>> journal_at(const ClusterId& cluster,
                                                        Timestamp time) = 0;
  // The newest entry with a checkpoint at or before an index.
  virtual Result<std::optional<std::int64_t>> journal_checkpoint(const ClusterId& cluster,
                                                                 std::int64_t until) = 0;

  virtual Result<std::optional<StoredReply>> stored_reply(const std::string& scope,
                                                          const std::string& key) = 0;
  // Schedulers whose deadline has not passed, by id; and every cluster's lease, by cluster.
  virtual Result<std::vector<SchedulerRow>> living_schedulers() = 0;
  virtual Result<std::vector<LeaseRow>> leases() = 0;
  virtual Result<std::optional<LeaseRow>> lease(const ClusterId& cluster) = 0;
  virtual Result<std::vector<LeaseCount>> lease_counts() = 0;
  // Clusters whose lease can be taken, by id.
  virtual Result<std::vector<ClusterId>> free_leases(std::size_t limit) = 0;
  // How far the relay has published the history; 0 at first.
  virtual Result<std::int64_t> relayed() = 0;
  // A secret that every process of the installation can read, made with the database.
  virtual Result<std::string> installation_secret() = 0;

  // The independent check: recomputes the ledger from the rows. Empty: all invariants hold.
  // All of it sees one state, whatever is written meanwhile.
  virtual Result<std::vector<LedgerFinding>> audit_ledger() = 0;
  // Damage of the database itself, a sentence each. Empty: it is whole. Slow: reads everything.
  virtual Result<std::vector<std::string>> check_integrity() = 0;
};

// A write transaction. Once a statement failed, the transaction goes on only after undo() to a mark
// before it; a commit without that may be refused.
class Transaction : public ReadView {
 public:
  // Nested: what came after mark() is undone by undo(); keep() ends the nesting.
  virtual Result<void> mark() = 0;
  virtual Result<void> undo() = 0;
  virtual Result<void> keep() = 0;
  // Durable when this returns success. Gives the appended events their sequence numbers, in order
  // and without gaps, last of all: who writes many at once locks the sequence for the shortest
  // time. Answers the number of the first, 0 when there is none.
  virtual Result<std::int64_t> commit() = 0;

  // already_exists with reason username_taken or email_taken.
  virtual Result<void> insert(const User& user) = 0;
  virtual Result<void> update(const User& user) = 0;
  virtual Result<void> insert(const Session& session) = 0;
  virtual Result<void> update(const Session& session) = 0;
  virtual Result<void> remove(const SessionId& session) = 0;
  virtual Result<std::vector<Digest>> remove_sessions(const UserId& user,
                                                      std::optional<SessionId> but) = 0;
  virtual Result<void> insert(const ApiKey& key) = 0;
  virtual Result<std::optional<ApiKey>> remove_api_key(const UserId& user, const ApiKeyId& key) = 0;
  virtual Result<void> put_setup_token(const std::optional<SetupToken>& token) = 0;

  // already_exists with reason name_taken.
  virtual Result<void> insert(const Organization& organization) = 0;
  virtual Result<void> update(const Organization& organization) = 0;
  virtual Result<void> insert(const Member& member) = 0;  // already_exists: already_member
  virtual Result<void> update_role(const OrganizationId& org, const UserId& user, Role role) = 0;
  virtual Result<void> remove_member(const OrganizationId& org, const UserId& user) = 0;
  virtual Result<std::int64_t> count_owners(const OrganizationId& org) = 0;
  virtual Result<void> insert(const Invite& invite) = 0;
  // One conditional update: false when unknown, expired, revoked or used up.
  virtual Result<bool> use_invite(const InviteId& invite, Timestamp now) = 0;
  virtual Result<bool> revoke_invite(const OrganizationId& org, const InviteId& invite,
                                     Timestamp now) = 0;

  virtual Result<void> insert(const Cluster& cluster) = 0;  // already_exists: name_taken
  // Name, paused, version and how it schedules; conditional on the version before.
  virtual Result<void> update(const Cluster& cluster) = 0;
  // The new node list; failed_precondition when a reservation would not fit any more.
  virtual Result<void> resize(const ClusterId& cluster, const std::vector<Node>& nodes) = 0;
  virtual Result<void> remove_cluster(const ClusterId& cluster) = 0;
  // Shares the cluster with an organization, or changes how. Answers its tenant: the one it has had
  // before, else one that nobody has had (share.tenant is ignored).
  virtual Result<std::uint32_t> put_share(const ClusterId& cluster, const Share& share) = 0;
  virtual Result<void> remove_share(const ClusterId& cluster,
                                    const OrganizationId& organization) = 0;
  // The next `count` admission numbers: the first of them.
  virtual Result<std::uint64_t> take_orders(const ClusterId& cluster, std::uint64_t count) = 0;
  Result<std::uint64_t> take_order(const ClusterId& cluster) { return take_orders(cluster, 1); }
  // Keeps everybody else who holds from changing this cluster, its queue and its deployments until
  // the end of the transaction, or until undo() to a mark before this. Answers the cluster's
  // version; empty when there is no such cluster. Who holds several holds them in the order of
  // their ids.
  virtual Result<std::optional<std::int64_t>> hold(const ClusterId& cluster) = 0;

  // A fresh one: queued, without an attempt. already_exists: name_taken.
  virtual Result<void> insert(const Deployment& deployment) = 0;
  // Writes every changeable column, conditional on (id, state `from`, version - 1): aborted when
  // somebody else was faster. Reservations are kept apart, below.
  virtual Result<void> update(const Deployment& deployment, State from) = 0;
  virtual Result<void> remove_deployment(const DeploymentId& id) = 0;
  // `id`, which is there, has to wait for it. reach() answers who had waited for `on` to come so
  // far, and forgets that they did.
  virtual Result<void> add_dependency(const DeploymentId& id, const Dependency& dependency) = 0;
  virtual Result<std::vector<DeploymentId>> reach(const DeploymentId& on, Milestone milestone) = 0;
  // Debit and credit of the ledger. reserve: for one replica; failed_precondition when a node or a
  // device has not enough free (a CHECK constraint says so even when the engine is wrong). release:
  // of all replicas of the attempt.
  virtual Result<void> reserve(const ClusterId& cluster, const AttemptKey& attempt,
                               const Grant& grant) = 0;
  virtual Result<void> release(const ClusterId& cluster, const AttemptKey& attempt) = 0;

  // Registers a scheduler or prolongs it: its deadline is the database's now + `lasts`.
  virtual Result<void> keep_alive(const std::string& scheduler, const std::string& address,
                                  std::chrono::milliseconds lasts) = 0;
  // Ends a scheduler at once; its leases are free. Rows long dead go with it.
  virtual Result<void> retire(const std::string& scheduler) = 0;
  // Takes a free lease, or one whose holder is dead: answers the new epoch, or nothing when
  // somebody alive holds it.
  virtual Result<std::optional<std::int64_t>> take_lease(const ClusterId& cluster,
                                                         const std::string& scheduler) = 0;
  // Frees it, if this holder still has it with this epoch.
  virtual Result<void> give_up_lease(const ClusterId& cluster, const std::string& scheduler,
                                     std::int64_t epoch) = 0;
  // True when the lease is this scheduler's, with this epoch, and its deadline has not passed.
  // Holds the lease row until the end of the transaction, so that nobody takes it before our
  // commit.
  virtual Result<bool> fence(const ClusterId& cluster, const std::string& scheduler,
                             std::int64_t epoch) = 0;
  // Moves the relay's mark, if it still is `from`.
  virtual Result<bool> advance_relay(std::int64_t from, std::int64_t to) = 0;

  // Adds the next entry of a cluster's decision journal and answers where it stands; nothing when
  // there is no such cluster. Its time is not before the last one's. Who adds holds the cluster.
  virtual Result<std::optional<JournalMark>> append_journal(const ClusterId& cluster, Timestamp at,
                                                            bool checkpoint,
                                                            std::string_view payload) = 0;

  // To the history. Its seq is ignored: commit() numbers it.
  virtual void append(Event event) = 0;
  // Takes the key for this transaction: false when it is taken and its reply is there to be read.
  // Waits for another transaction that has it and is not over yet.
  virtual Result<bool> claim_reply(const std::string& scope, const std::string& key,
                                   const Digest& fingerprint, Timestamp now) = 0;
  virtual Result<void> store_reply(const std::string& scope, const std::string& key,
                                   const StoredReply& reply, Timestamp now) = 0;
  // Housekeeping: replies, sessions and events older than the given times.
  virtual Result<void> prune(Timestamp replies_before, Timestamp sessions_before,
                             Timestamp events_before) = 0;
};

// Whoever drops it without commit() undoes the transaction.
using TransactionPtr = std::unique_ptr<Transaction, std::function<void(Transaction*)>>;

class Store {
 public:
  virtual ~Store() = default;
  // A view for one thread at a time; cheap to keep, so callers pool them.
  virtual Result<std::unique_ptr<ReadView>> open_view() = 0;
  // A view of one state, that of this moment, whatever is written later. Holds the database's old
  // rows back while it lives: read and drop it.
  virtual Result<std::unique_ptr<ReadView>> open_snapshot() = 0;
  virtual Result<TransactionPtr> begin() = 0;
};

}  // namespace berth
