// The statements of the simulated database: as a view it only reads, as a writer it is a
// transaction. What the service's classes under test do not ask for answers `internal`.
#pragma once
#include "simulation/database.h"

namespace berth::sim {

class Statements final : public Transaction {
 public:
  // With a session: a transaction. With `frozen`: a view of that state.
  Statements(Database& database, Machine& machine, std::shared_ptr<Session> session,
             std::shared_ptr<const Tables> frozen = nullptr)
      : db_(database),
        machine_(machine),
        session_(std::move(session)),
        frozen_(std::move(frozen)) {}
  // The transaction is undone, if the server can be told.
  void abandon();

  Result<void> mark() override;
  Result<void> undo() override;
  Result<void> keep() override;
  Result<std::int64_t> commit() override;

  Result<std::optional<Role>> role(const OrganizationId& org, const UserId& user) override;
  Result<std::optional<Organization>> organization(const OrganizationId& id) override;
  Result<std::vector<std::pair<Organization, Role>>> organizations_of(const UserId& user) override;
  Result<std::optional<Cluster>> cluster(const ClusterId& id) override;
  Result<std::vector<Cluster>> all_clusters() override;
  Result<std::optional<std::uint32_t>> tenant(const ClusterId& cluster,
                                              const OrganizationId& organization) override;
  Result<std::optional<Deployment>> deployment(const DeploymentId& id) override;
  Result<void> for_each_waiting(const ClusterId& cluster,
                                const std::function<void(const WaitingRow&)>& use) override;
  Result<std::vector<Deployment>> active(const ClusterId& cluster) override;
  Result<std::vector<Event>> events(const EventFilter& filter) override;
  Result<std::vector<Event>> history(std::int64_t after, std::size_t limit) override;
  Result<std::vector<Touched>> touched(std::optional<ClusterId> cluster, std::int64_t after,
                                       std::int64_t until) override;
  Result<std::int64_t> first_event() override;
  Result<std::int64_t> last_event() override;
  Result<std::int64_t> last_event_of(const ClusterId& cluster, std::int64_t until) override;
  Result<std::vector<JournalEntry>> journal(const ClusterId& cluster, std::int64_t from,
                                            std::size_t limit) override;
  Result<std::optional<JournalMark>> journal_end(const ClusterId& cluster) override;
  Result<std::optional<std::int64_t>> journal_checkpoint(const ClusterId& cluster,
                                                         std::int64_t until) override;
  Result<std::optional<StoredReply>> stored_reply(const std::string& scope,
                                                  const std::string& key) override;
  Result<std::vector<SchedulerRow>> living_schedulers() override;
  Result<std::vector<LeaseRow>> leases() override;
  Result<std::optional<LeaseRow>> lease(const ClusterId& cluster) override;
  Result<std::vector<LeaseCount>> lease_counts() override;
  Result<std::vector<ClusterId>> free_leases(std::size_t limit) override;
  Result<std::int64_t> relayed() override;

  Result<void> insert(const Cluster& cluster) override;
  Result<void> update(const Cluster& cluster) override;
  Result<void> resize(const ClusterId& cluster, const std::vector<Node>& nodes) override;
  Result<void> remove_cluster(const ClusterId& cluster) override;
  Result<std::uint32_t> put_share(const ClusterId& cluster, const Share& share) override;
  Result<void> remove_share(const ClusterId& cluster, const OrganizationId& organization) override;
  Result<std::uint64_t> take_orders(const ClusterId& cluster, std::uint64_t count) override;
  Result<std::optional<std::int64_t>> hold(const ClusterId& cluster) override;
  Result<void> insert(const Deployment& deployment) override;
  Result<void> update(const Deployment& deployment, State from) override;
  Result<void> remove_deployment(const DeploymentId& id) override;
  Result<void> add_dependency(const DeploymentId& id, const Dependency& dependency) override;
  Result<std::vector<DeploymentId>> reach(const DeploymentId& on, Milestone milestone) override;
  Result<void> reserve(const ClusterId& cluster, const AttemptKey& attempt,
                       const Grant& grant) override;
  Result<void> release(const ClusterId& cluster, const AttemptKey& attempt) override;
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
  Result<std::optional<JournalMark>> append_journal(const ClusterId& cluster, Timestamp at,
                                                    bool checkpoint,
                                                    std::string_view payload) override;
  void append(Event event) override { appended_.push_back(std::move(event)); }
  Result<bool> claim_reply(const std::string& scope, const std::string& key,
                           const Digest& fingerprint, Timestamp now) override;
  Result<void> store_reply(const std::string& scope, const std::string& key,
                           const StoredReply& reply, Timestamp now) override;

  // --- not served: the simulation's world has its people from the beginning ---
  Result<std::optional<User>> user(const UserId&) override { return not_served(); }
  Result<std::optional<User>> user_by_name(std::string_view) override { return not_served(); }
  Result<std::int64_t> count_users() override { return not_served(); }
  Result<std::optional<berth::Session>> session_by_access(const Digest&) override {
    return not_served();
  }
  Result<std::optional<berth::Session>> session_by_refresh(const Digest&) override {
    return not_served();
  }
  Result<std::optional<ApiKey>> api_key_by_secret(const Digest&) override { return not_served(); }
  Result<std::vector<ApiKey>> api_keys(const UserId&) override { return not_served(); }
  Result<std::optional<SetupToken>> setup_token() override { return not_served(); }
  Result<std::optional<Organization>> organization_by_name(std::string_view) override {
    return not_served();
  }
  Result<std::vector<Member>> members(const OrganizationId&, std::optional<UserId>,
                                      std::size_t) override {
    return not_served();
  }
  Result<std::optional<Member>> member(const OrganizationId&, const UserId&) override {
    return not_served();
  }
  Result<std::vector<Invite>> invites(const OrganizationId&, std::optional<InviteId>,
                                      std::size_t) override {
    return not_served();
  }
  Result<std::optional<Invite>> invite_by_code(const Digest&) override { return not_served(); }
  Result<std::optional<Cluster>> cluster_by_name(const OrganizationId&, std::string_view) override {
    return not_served();
  }
  Result<std::vector<Cluster>> clusters(const std::vector<OrganizationId>&,
                                        std::optional<ClusterId>, std::size_t) override {
    return not_served();
  }
  Result<std::optional<Deployment>> deployment_by_name(const OrganizationId&,
                                                       std::string_view) override {
    return not_served();
  }
  Result<std::vector<Deployment>> deployments(const DeploymentFilter&) override {
    return not_served();
  }
  Result<std::vector<Dependency>> dependencies(const DeploymentId&) override {
    return not_served();
  }
  Result<std::string> installation_secret() override { return not_served(); }
  Result<std::optional<JournalMark>> journal_at(const ClusterId&, Timestamp) override {
    return not_served();
  }
  Result<std::vector<LedgerFinding>> audit_ledger() override { return not_served(); }
  Result<std::vector<std::string>> check_integrity() override { return not_served(); }
  Result<void> insert(const User&) override { return not_served(); }
  Result<void> update(const User&) override { return not_served(); }
  Result<void> insert(const berth::Session&) override { return not_served(); }
  Result<void> update(const berth::Session&) override { return not_served(); }
  Result<void> remove(const SessionId&) override { return not_served(); }
  Result<std::vector<Digest>> remove_sessions(const UserId&, std::optional<SessionId>) override {
    return not_served();
  }
  Result<void> insert(const ApiKey&) override { return not_served(); }
  Result<std::optional<ApiKey>> remove_api_key(const UserId&, const ApiKeyId&) override {
    return not_served();
  }
  Result<void> put_setup_token(const std::optional<SetupToken>&) override { return not_served(); }
  Result<void> insert(const Organization&) override { return not_served(); }
  Result<void> update(const Organization&) override { return not_served(); }
  Result<void> insert(const Member&) override { return not_served(); }
  Result<void> update_role(const OrganizationId&, const UserId&, Role) override {
    return not_served();
  }
  Result<void> remove_member(const OrganizationId&, const UserId&) override { return not_served(); }
  Result<std::int64_t> count_owners(const OrganizationId&) override { return not_served(); }
  Result<void> insert(const Invite&) override { return not_served(); }
  Result<bool> use_invite(const InviteId&, Timestamp) override { return not_served(); }
  Result<bool> revoke_invite(const OrganizationId&, const InviteId&, Timestamp) override {
    return not_served();
  }
  Result<void> prune(Timestamp, Timestamp, Timestamp) override { return not_served(); }

 private:
  static std::unexpected<Error> not_served() {
    return fail(Code::internal, "not_simulated", "The simulated database does not serve this.");
  }
  // A statement begins: everything that may go wrong before it is done.
  Result<void> begin(const char* what);
  Result<void> begin_write(const char* what);
  Result<void> lock(const std::string& key) { return db_.lock(*session_, key, true); }
  std::unexpected<Error> refuse(Error error) {
    session_->refused = true;
    return std::unexpected(std::move(error));
  }
  Result<void> give_back(const ClusterId& cluster, const Grant& grant);
  [[nodiscard]] const Tables& base() const { return frozen_ ? *frozen_ : db_.tables(); }

  // A row as this statement sees it.
  template <class K, class V>
  const V* find(Kept<K, V> Rows<Kept>::* kept, Written<K, V> Rows<Written>::* written,
                const K& key) const {
    if (session_ != nullptr) {
      const auto& mine = session_->changes.*written;
      if (const auto own = mine.find(key); own != mine.end())
        return own->second ? &*own->second : nullptr;
    }
    const auto& rows = base().*kept;
    const auto found = rows.find(key);
    return found == rows.end() ? nullptr : &found->second;
  }
  template <class K, class V, class Use>
  void each(Kept<K, V> Rows<Kept>::* kept, Written<K, V> Rows<Written>::* written, Use use) const {
    const Written<K, V> none;
    const auto& mine = session_ == nullptr ? none : session_->changes.*written;
    auto own = mine.begin();
    for (const auto& [key, value] : base().*kept) {
      for (; own != mine.end() && own->first < key; ++own) {
        if (own->second) use(own->first, *own->second);
      }
      if (own != mine.end() && own->first == key) {
        if (own->second) use(key, *own->second);
        ++own;
      } else {
        use(key, value);
      }
    }
    for (; own != mine.end(); ++own) {
      if (own->second) use(own->first, *own->second);
    }
  }
  [[nodiscard]] const Deployment* find_deployment(const DeploymentId& id) const;
  [[nodiscard]] Cluster with_nodes(Cluster cluster) const;
  [[nodiscard]] Cluster with_shares(Cluster cluster) const;
  template <class Use>
  void each_deployment(Use use) const {
    each(&Rows<Kept>::deployments, &Rows<Written>::deployments,
         [&](const DeploymentId&, const std::shared_ptr<const Deployment>& row) { use(*row); });
  }
  [[nodiscard]] std::map<DependencyKey, Milestone> dependencies_where(
      const std::function<bool(const DependencyKey&)>& which) const;
  [[nodiscard]] bool lives(const std::optional<std::string>& holder) const;
  [[nodiscard]] std::optional<JournalMark> end_of_journal(const ClusterId& cluster) const;
  [[nodiscard]] std::optional<DeploymentId> named(const OrganizationId& org,
                                                  const std::string& name) const;

  Database& db_;
  Machine& machine_;
  std::shared_ptr<Session> session_;
  std::shared_ptr<const Tables> frozen_;
  std::vector<Event> appended_;
  std::size_t appended_before_ = 0;
};

}  // namespace berth::sim
