// One connection with every statement of the store, for both databases. As a view it only reads; as
// the writer it is the body of a transaction.
#pragma once
#include <algorithm>
#include <iterator>

#include "store/sql/connection.h"
#include "store/store.h"

namespace berth::sql {

class Session final : public Transaction {
 public:
  explicit Session(std::unique_ptr<Connection> connection) : db_(std::move(connection)) {}
  [[nodiscard]] Connection& connection() { return *db_; }

  Result<void> begin();
  void rollback();
  // Everything read until the session ends is of one state.
  Result<void> freeze() { return db_->freeze(); }
  [[nodiscard]] bool is_open() const { return open_; }

  Result<void> mark() override;
  Result<void> undo() override;
  Result<void> keep() override;
  Result<std::int64_t> commit() override;

  // accounts.cc
  Result<std::optional<User>> user(const UserId& id) override;
  Result<std::optional<User>> user_by_name(std::string_view username_or_email) override;
  Result<std::int64_t> count_users() override;
  Result<std::optional<berth::Session>> session_by_access(const Digest& token) override;
  Result<std::optional<berth::Session>> session_by_refresh(const Digest& token) override;
  Result<std::optional<ApiKey>> api_key_by_secret(const Digest& secret) override;
  Result<std::vector<ApiKey>> api_keys(const UserId& user) override;
  Result<std::optional<SetupToken>> setup_token() override;
  Result<void> insert(const User& user) override;
  Result<void> update(const User& user) override;
  Result<void> insert(const berth::Session& session) override;
  Result<void> update(const berth::Session& session) override;
  Result<void> remove(const SessionId& session) override;
  Result<std::vector<Digest>> remove_sessions(const UserId& user,
                                              std::optional<SessionId> but) override;
  Result<void> insert(const ApiKey& key) override;
  Result<std::optional<ApiKey>> remove_api_key(const UserId& user, const ApiKeyId& key) override;
  Result<void> put_setup_token(const std::optional<SetupToken>& token) override;

  // organizations.cc
  Result<std::optional<Organization>> organization(const OrganizationId& id) override;
  Result<std::optional<Organization>> organization_by_name(std::string_view name) override;
  Result<std::vector<std::pair<Organization, Role>>> organizations_of(const UserId& user) override;
  Result<std::optional<Role>> role(const OrganizationId& org, const UserId& user) override;
  Result<std::vector<Member>> members(const OrganizationId& org, std::optional<UserId> after,
                                      std::size_t limit) override;
  Result<std::optional<Member>> member(const OrganizationId& org, const UserId& user) override;
  Result<std::vector<Invite>> invites(const OrganizationId& org, std::optional<InviteId> after,
                                      std::size_t limit) override;
  Result<std::optional<Invite>> invite_by_code(const Digest& code) override;
  Result<void> insert(const Organization& organization) override;
  Result<void> update(const Organization& organization) override;
  Result<void> insert(const Member& member) override;
  Result<void> update_role(const OrganizationId& org, const UserId& user, Role role) override;
  Result<void> remove_member(const OrganizationId& org, const UserId& user) override;
  Result<std::int64_t> count_owners(const OrganizationId& org) override;
  Result<void> insert(const Invite& invite) override;
  Result<bool> use_invite(const InviteId& invite, Timestamp now) override;
  Result<bool> revoke_invite(const OrganizationId& org, const InviteId& invite,
                             Timestamp now) override;

  // clusters.cc
  Result<std::optional<Cluster>> cluster(const ClusterId& id) override;
  Result<std::optional<Cluster>> cluster_by_name(const OrganizationId& org,
                                                 std::string_view name) override;
  Result<std::vector<Cluster>> clusters(const std::vector<OrganizationId>& organizations,
                                        std::optional<ClusterId> after, std::size_t limit) override;
  Result<std::vector<Cluster>> all_clusters() override;
  Result<std::optional<std::uint32_t>> tenant(const ClusterId& cluster,
                                              const OrganizationId& organization) override;
  Result<void> insert(const Cluster& cluster) override;
  Result<void> update(const Cluster& cluster) override;
  Result<void> resize(const ClusterId& cluster, const std::vector<Node>& nodes) override;
  Result<void> remove_cluster(const ClusterId& cluster) override;
  Result<std::uint32_t> put_share(const ClusterId& cluster, const Share& share) override;
  Result<void> remove_share(const ClusterId& cluster, const OrganizationId& organization) override;
  Result<std::uint64_t> take_orders(const ClusterId& cluster, std::uint64_t count) override;
  Result<std::optional<std::int64_t>> hold(const ClusterId& cluster) override;

  // deployments.cc
  Result<std::optional<Deployment>> deployment(const DeploymentId& id) override;
  Result<std::optional<Deployment>> deployment_by_name(const OrganizationId& org,
                                                       std::string_view name) override;
  Result<std::vector<Deployment>> deployments(const DeploymentFilter& filter) override;
  Result<void> for_each_waiting(const ClusterId& cluster,
                                const std::function<void(const WaitingRow&)>& use) override;
  Result<std::vector<Deployment>> active(const ClusterId& cluster) override;
  Result<std::vector<Touched>> touched(std::optional<ClusterId> cluster, std::int64_t after,
                                       std::int64_t until) override;
  Result<void> insert(const Deployment& deployment) override;
  Result<void> update(const Deployment& deployment, State from) override;
  Result<void> remove_deployment(const DeploymentId& id) override;
  Result<void> add_dependency(const DeploymentId& id, const Dependency& dependency) override;
  Result<std::vector<DeploymentId>> reach(const DeploymentId& on, Milestone milestone) override;
  Result<std::vector<Dependency>> dependencies(const DeploymentId& id) override;

  // ledger.cc
  Result<void> reserve(const ClusterId& cluster, const AttemptKey& attempt,
                       const Grant& grant) override;
  Result<void> release(const ClusterId& cluster, const AttemptKey& attempt) override;
  Result<std::vector<LedgerFinding>> audit_ledger() override;
  Result<std::vector<std::string>> check_integrity() override;

  // events.cc
  Result<std::vector<Event>> events(const EventFilter& filter) override;
  Result<std::vector<Event>> history(std::int64_t after, std::size_t limit) override;
  Result<std::int64_t> first_event() override;
  Result<std::int64_t> last_event() override;
  Result<std::int64_t> last_event_of(const ClusterId& cluster, std::int64_t until) override;
  Result<std::optional<StoredReply>> stored_reply(const std::string& scope,
                                                  const std::string& key) override;
  void append(Event event) override { appended_.push_back(std::move(event)); }
  Result<bool> claim_reply(const std::string& scope, const std::string& key,
                           const Digest& fingerprint, Timestamp now) override;
  Result<void> store_reply(const std::string& scope, const std::string& key,
                           const StoredReply& reply, Timestamp now) override;
  Result<void> prune(Timestamp replies_before, Timestamp sessions_before,
                     Timestamp events_before) override;

  // journal.cc
  Result<std::vector<JournalEntry>> journal(const ClusterId& cluster, std::int64_t from,
                                            std::size_t limit) override;
  Result<std::optional<JournalMark>> journal_end(const ClusterId& cluster) override;
  Result<std::optional<JournalMark>> journal_at(const ClusterId& cluster, Timestamp time) override;
  Result<std::optional<std::int64_t>> journal_checkpoint(const ClusterId& cluster,
                                                         std::int64_t until) override;
  Result<std::optional<JournalMark>> append_journal(const ClusterId& cluster, Timestamp at,
                                                    bool checkpoint,
                                                    std::string_view payload) override;

  // leases.cc
  Result<std::vector<SchedulerRow>> living_schedulers() override;
  Result<std::vector<LeaseRow>> leases() override;
  Result<std::optional<LeaseRow>> lease(const ClusterId& cluster) override;
  Result<std::vector<LeaseCount>> lease_counts() override;
  Result<std::vector<ClusterId>> free_leases(std::size_t limit) override;
  Result<std::int64_t> relayed() override;
  Result<std::string> installation_secret() override;
  Result<void> keep_alive(const std::string& scheduler, const std::string& address,
                          std::chrono::milliseconds lasts) override;
  Result<void> retire(const std::string& scheduler) override;
  Result<std::optional<std::int64_t>> take_lease(const ClusterId& cluster,
                                                 const std::string& scheduler) override;
  Result<void> give_up_lease(const ClusterId& cluster, const std::string& scheduler,
                             std::int64_t epoch) override;
  Result<bool> fence(const ClusterId& cluster, const std::string& scheduler,
                     std::int64_t epoch) override;
  Result<bool> advance_relay(std::int64_t from, std::int64_t to) override;

 private:
  Result<void> load_nodes(Cluster& cluster);
  Result<void> load_shares(Cluster& cluster);
  Result<std::int64_t> scalar(const char* sql);

  std::unique_ptr<Connection> db_;
  bool open_ = false;
  std::vector<Event> appended_;      // of the open transaction
  std::size_t appended_before_ = 0;  // the mark
};

}  // namespace berth::sql
