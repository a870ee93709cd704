#include "simulation/statements.h"

#include <algorithm>

namespace berth::sim {
namespace {

using K = Rows<Kept>;
using W = Rows<Written>;

}  // namespace

// --- the life of a transaction
// --------------------------------------------------------------------

Result<void> Statements::begin(const char* what) {
  if (session_ != nullptr && session_->refused)
    return fail(Code::aborted, "refused_before", "An earlier statement was refused.");
  auto there = db_.travel(machine_, session_.get(), what);
  if (!there && session_ != nullptr) session_->refused = true;
  return there;
}

Result<void> Statements::begin_write(const char* what) { return begin(what); }

void Statements::abandon() {
  if (session_ == nullptr || session_->ended) return;
  // Whoever is cut off, or froze and died, leaves it to the server to notice.
  if (machine_.database_cut) return;
  db_.end(*session_);
}

Result<void> Statements::mark() {
  session_->before_mark = session_->changes;
  session_->marked = true;
  for (auto& held : session_->locks) held.after_mark = false;
  appended_before_ = appended_.size();
  return {};
}

Result<void> Statements::undo() {
  appended_.resize(appended_before_);
  if (session_->ended || machine_.database_cut)
    return fail(Code::unavailable, "storage_unavailable", "The connection was lost.");
  session_->changes = session_->before_mark;
  session_->refused = false;
  db_.unlock_after_mark(*session_);
  session_->marked = false;
  return {};
}

Result<void> Statements::keep() {
  session_->marked = false;
  for (auto& held : session_->locks) held.after_mark = false;
  return {};
}

Result<std::int64_t> Statements::commit() {
  auto arrived = db_.travel(machine_, session_.get(), "commit");
  if (!arrived) return std::unexpected(std::move(arrived.error()));
  if (session_->refused) {
    db_.end(*session_);
    return fail(Code::aborted, "not_committed", "Part of the change was refused.");
  }
  const auto first = db_.commit(*session_, std::move(appended_));
  const bool lost = db_.weather().strikes(Fault::commit_answer_lost, 0.004);
  db_.travel_back(machine_);
  if (lost || machine_.database_cut)
    return fail(Code::unavailable, "storage_unavailable", "The answer of the commit was lost.");
  return first;
}

// --- reading ------------------------------------------------------------------------------------

const Deployment* Statements::find_deployment(const DeploymentId& id) const {
  const auto* row = find(&K::deployments, &W::deployments, id);
  return row == nullptr ? nullptr : row->get();
}

Cluster Statements::with_nodes(Cluster cluster) const {
  std::vector<std::pair<std::int64_t, Node>> nodes;
  each(&K::nodes, &W::nodes, [&](const NodeKey& key, const LedgerNode& row) {
    if (key.first == cluster.id) nodes.emplace_back(row.ordinal, row.node);
  });
  std::ranges::sort(nodes, {}, [](const auto& one) { return one.first; });
  cluster.nodes.clear();
  for (auto& [ordinal, node] : nodes) cluster.nodes.push_back(std::move(node));
  return cluster;
}

Cluster Statements::with_shares(Cluster cluster) const {
  cluster.shares.clear();
  each(&K::shares, &W::shares, [&](const ShareKey& key, const ShareRow& row) {
    if (key.first == cluster.id && row.shared) cluster.shares.push_back(row.share);
  });
  std::ranges::sort(cluster.shares, {}, &Share::tenant);
  return cluster;
}

bool Statements::lives(const std::optional<std::string>& holder) const {
  if (!holder) return false;
  const auto* row = find(&K::schedulers, &W::schedulers, *holder);
  return row != nullptr && row->deadline > db_.now();
}

Result<std::optional<Role>> Statements::role(const OrganizationId& org, const UserId& user) {
  if (auto begun = begin("read role"); !begun) return pass(begun.error());
  const auto found = base().members.find({org, user});
  return found == base().members.end() ? std::nullopt : std::optional(found->second);
}

Result<std::optional<Organization>> Statements::organization(const OrganizationId& id) {
  if (auto begun = begin("read organization"); !begun) return pass(begun.error());
  const auto found = base().organizations.find(id);
  return found == base().organizations.end() ? std::nullopt : std::optional(found->second);
}

Result<std::vector<std::pair<Organization, Role>>> Statements::organizations_of(
    const UserId& user) {
  if (auto begun = begin("read memberships"); !begun) return pass(begun.error());
  std::vector<std::pair<Organization, Role>> out;
  for (const auto& [key, role] : base().members) {
    if (key.second == user) out.emplace_back(base().organizations.at(key.first), role);
  }
  return out;
}

Result<std::optional<Cluster>> Statements::cluster(const ClusterId& id) {
  // Three statements: the row, then its nodes, then its shares.
  if (auto begun = begin("read cluster"); !begun) return pass(begun.error());
  const auto* row = find(&K::clusters, &W::clusters, id);
  if (row == nullptr) return std::optional<Cluster>{};
  Cluster out = *row;
  if (auto begun = begin("read nodes"); !begun) return pass(begun.error());
  out = with_nodes(std::move(out));
  if (auto begun = begin("read shares"); !begun) return pass(begun.error());
  return std::optional(with_shares(std::move(out)));
}

Result<std::optional<std::uint32_t>> Statements::tenant(const ClusterId& cluster,
                                                        const OrganizationId& organization) {
  if (auto begun = begin("read tenant"); !begun) return pass(begun.error());
  const auto* row = find(&K::shares, &W::shares, {cluster, organization});
  if (row == nullptr || !row->shared) return std::optional<std::uint32_t>{};
  return std::optional(row->share.tenant);
}

Result<std::vector<Cluster>> Statements::all_clusters() {
  if (auto begun = begin("read clusters"); !begun) return pass(begun.error());
  std::vector<Cluster> out;
  each(&K::clusters, &W::clusters,
       [&](const ClusterId&, const Cluster& row) { out.push_back(row); });
  for (auto& cluster : out) {
    if (auto begun = begin("read nodes"); !begun) return pass(begun.error());
    cluster = with_shares(with_nodes(std::move(cluster)));
  }
  return out;
}

Result<std::optional<Deployment>> Statements::deployment(const DeploymentId& id) {
  if (auto begun = begin("read deployment"); !begun) return pass(begun.error());
  const auto* row = find_deployment(id);
  return row == nullptr ? std::nullopt : std::optional(*row);
}

Result<void> Statements::for_each_waiting(const ClusterId& cluster,
                                          const std::function<void(const WaitingRow&)>& use) {
  if (auto begun = begin("read queue"); !begun) return begun;
  std::vector<WaitingRow> rows;
  each_deployment([&](const Deployment& d) {
    if (d.cluster == cluster && d.state == State::queued)
      rows.push_back({d.id, d.organization, d.priority, d.order, d.spec.resources, d.retry_at,
                      d.queued_at, longest_run(d.spec), d.unmet, d.spec.constraint,
                      d.spec.replicas});
  });
  std::ranges::sort(rows, {}, &WaitingRow::order);
  for (const auto& row : rows) use(row);
  return {};
}

Result<std::vector<Deployment>> Statements::active(const ClusterId& cluster) {
  if (auto begun = begin("read active"); !begun) return pass(begun.error());
  std::vector<Deployment> out;
  each_deployment([&](const Deployment& d) {
    if (d.cluster == cluster && holds_resources(d.state)) out.push_back(d);
  });
  return out;
}

std::optional<JournalMark> Statements::end_of_journal(const ClusterId& cluster) const {
  std::optional<JournalMark> out;
  each(&K::journal, &W::journal, [&](const JournalKey& key, const JournalEntry& row) {
    if (key.first == cluster) out = JournalMark{row.index, row.at};
  });
  return out;
}

Result<std::optional<JournalMark>> Statements::journal_end(const ClusterId& cluster) {
  if (auto begun = begin("read the journal's end"); !begun) return pass(begun.error());
  return end_of_journal(cluster);
}

Result<std::optional<std::int64_t>> Statements::journal_checkpoint(const ClusterId& cluster,
                                                                   std::int64_t until) {
  if (auto begun = begin("find a checkpoint"); !begun) return pass(begun.error());
  std::optional<std::int64_t> out;
  each(&K::journal, &W::journal, [&](const JournalKey& key, const JournalEntry& row) {
    if (key.first == cluster && row.checkpoint && row.index <= until)
      out = std::max(out.value_or(0), row.index);
  });
  return out;
}

Result<std::vector<JournalEntry>> Statements::journal(const ClusterId& cluster, std::int64_t from,
                                                      std::size_t limit) {
  if (auto begun = begin("read journal"); !begun) return pass(begun.error());
  std::vector<JournalEntry> out;
  each(&K::journal, &W::journal, [&](const JournalKey& key, const JournalEntry& row) {
    if (key.first == cluster && row.index >= from && out.size() < limit) out.push_back(row);
  });
  return out;
}

Result<std::vector<Event>> Statements::events(const EventFilter& filter) {
  if (auto begun = begin("read events"); !begun) return pass(begun.error());
  std::vector<Event> out;
  const auto fits = [&](const Event& e) {
    return (!filter.cluster || e.cluster == filter.cluster) &&
           (!filter.deployment || e.deployment == filter.deployment) && e.organization &&
           std::ranges::find(filter.organizations, *e.organization) != filter.organizations.end() &&
           (filter.before ? e.seq < *filter.before : e.seq > filter.after);
  };
  const auto take = [&](const Event& e) {
    if (out.size() < filter.limit && fits(e)) out.push_back(e);
  };
  const auto& all = base().events;
  if (filter.before) {
    for (auto e = all.rbegin(); e != all.rend() && out.size() < filter.limit; ++e) take(*e);
  } else {
    for (const auto& e : all) take(e);
  }
  return out;
}

Result<std::vector<Event>> Statements::history(std::int64_t after, std::size_t limit) {
  if (auto begun = begin("read history"); !begun) return pass(begun.error());
  const auto& all = base().events;
  const auto from = std::min(static_cast<std::size_t>(after), all.size());
  const auto to = std::min(from + limit, all.size());
  return std::vector<Event>(all.begin() + static_cast<std::ptrdiff_t>(from),
                            all.begin() + static_cast<std::ptrdiff_t>(to));
}

Result<std::vector<Touched>> Statements::touched(std::optional<ClusterId> cluster,
                                                 std::int64_t after, std::int64_t until) {
  if (auto begun = begin("read touched"); !begun) return pass(begun.error());
  std::map<DeploymentId, std::int64_t> latest;
  const auto& all = base().events;
  for (auto i = static_cast<std::size_t>(after); i < all.size() && all[i].seq <= until; ++i) {
    if (!all[i].deployment || (cluster && all[i].cluster != cluster)) continue;
    latest[*all[i].deployment] = all[i].seq;
  }
  std::vector<Touched> out;
  for (const auto& [id, seq] : latest) {
    const auto* row = find_deployment(id);
    out.push_back({seq, id, row == nullptr ? std::nullopt : std::optional(*row)});
  }
  std::ranges::sort(out, {}, &Touched::seq);
  return out;
}

Result<std::int64_t> Statements::first_event() {
  if (auto begun = begin("read first event"); !begun) return pass(begun.error());
  return 1;
}
Result<std::int64_t> Statements::last_event_of(const ClusterId& cluster, std::int64_t until) {
  if (auto begun = begin("read a cluster's last event"); !begun) return pass(begun.error());
  const auto& all = base().events;
  for (auto e = all.rbegin(); e != all.rend(); ++e) {
    if (e->seq <= until && e->cluster == cluster) return e->seq;
  }
  return 0;
}

Result<std::int64_t> Statements::last_event() {
  if (auto begun = begin("read last event"); !begun) return pass(begun.error());
  return static_cast<std::int64_t>(base().events.size());
}

Result<std::optional<StoredReply>> Statements::stored_reply(const std::string& scope,
                                                            const std::string& key) {
  if (auto begun = begin("read reply"); !begun) return pass(begun.error());
  const auto* row = find(&K::replies, &W::replies, std::pair(scope, key));
  return row == nullptr ? std::nullopt : std::optional(*row);
}

Result<std::vector<SchedulerRow>> Statements::living_schedulers() {
  if (auto begun = begin("read schedulers"); !begun) return pass(begun.error());
  std::vector<SchedulerRow> out;
  each(&K::schedulers, &W::schedulers, [&](const std::string& id, const Scheduler& row) {
    if (row.deadline > db_.now()) out.push_back({id, row.address, row.deadline});
  });
  return out;
}

Result<std::vector<LeaseRow>> Statements::leases() {
  if (auto begun = begin("read leases"); !begun) return pass(begun.error());
  std::vector<LeaseRow> out;
  each(&K::leases, &W::leases, [&](const ClusterId& id, const Lease& row) {
    out.push_back({id, row.holder, row.epoch, lives(row.holder)});
  });
  return out;
}

Result<std::optional<LeaseRow>> Statements::lease(const ClusterId& cluster) {
  if (auto begun = begin("read lease"); !begun) return pass(begun.error());
  const auto* row = find(&K::leases, &W::leases, cluster);
  if (row == nullptr) return std::optional<LeaseRow>{};
  return std::optional(LeaseRow{cluster, row->holder, row->epoch, lives(row->holder)});
}

Result<std::vector<LeaseCount>> Statements::lease_counts() {
  if (auto begun = begin("count leases"); !begun) return pass(begun.error());
  std::map<std::optional<std::string>, std::size_t> counts;
  each(&K::leases, &W::leases, [&](const ClusterId&, const Lease& row) { ++counts[row.holder]; });
  std::vector<LeaseCount> out;
  for (const auto& [holder, count] : counts) out.push_back({holder, lives(holder), count});
  return out;
}

Result<std::vector<ClusterId>> Statements::free_leases(std::size_t limit) {
  if (auto begun = begin("read free leases"); !begun) return pass(begun.error());
  std::vector<ClusterId> out;
  each(&K::leases, &W::leases, [&](const ClusterId& id, const Lease& row) {
    if (out.size() < limit && !lives(row.holder)) out.push_back(id);
  });
  return out;
}

Result<std::int64_t> Statements::relayed() {
  if (auto begun = begin("read relayed"); !begun) return pass(begun.error());
  return *find(&K::relayed, &W::relayed, 0);
}

// --- the store ----------------------------------------------------------------------------------

Result<std::unique_ptr<ReadView>> SimulatedStore::open_view() {
  if (auto reached = database_.travel(machine_, nullptr, "connect"); !reached)
    return pass(std::move(reached.error()));
  return std::make_unique<Statements>(database_, machine_, nullptr);
}

Result<std::unique_ptr<ReadView>> SimulatedStore::open_snapshot() {
  if (auto reached = database_.travel(machine_, nullptr, "open snapshot"); !reached)
    return pass(std::move(reached.error()));
  return std::make_unique<Statements>(database_, machine_, nullptr,
                                      std::make_shared<const Tables>(database_.tables()));
}

Result<TransactionPtr> SimulatedStore::begin() {
  while (writing_) database_.weather().simulator.wait(written_, kSecond);
  auto* made = new Statements(database_, machine_, database_.open(machine_));
  writing_ = true;
  return TransactionPtr(made, [this, made](Transaction*) {
    made->abandon();
    delete made;
    writing_ = false;
    database_.weather().simulator.ring(written_);
  });
}

}  // namespace berth::sim
