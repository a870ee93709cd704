// The database of the simulation: what PostgreSQL does with our statements at READ COMMITTED. A
// statement sees what is committed when it begins and what its own transaction wrote; a changed row
// stays locked until the commit, or until the savepoint before it is undone; whoever waited for a
// row looks at the row as it is then. Serves what the service's classes ask for.
#pragma once
#include <map>
#include <memory>
#include <optional>
#include <set>

#include "simulation/links.h"
#include "store/store.h"

namespace berth::sim {

using NodeKey = std::pair<ClusterId, std::string>;
using ReplicaKey = std::pair<DeploymentId, std::int32_t>;
using JournalKey = std::pair<ClusterId, std::int64_t>;
using DependencyKey = std::pair<DeploymentId, DeploymentId>;  // who waits, for whom
using ShareKey = std::pair<ClusterId, OrganizationId>;

struct LedgerNode {
  Node node;
  std::int64_t ordinal = 0;
  std::int64_t free_cpu = 0, free_memory = 0;
  std::vector<std::int64_t> device_free;
};
struct Reservation {
  std::int32_t attempt = 0;
  ClusterId cluster;
  Grant grant;
};
struct ShareRow {
  Share share;
  bool shared = true;
};
struct Lease {
  std::optional<std::string> holder;
  std::int64_t epoch = 0;
};
struct Scheduler {
  std::string address;
  Timestamp deadline;
};

template <template <class, class> class Table>
struct Rows {
  Table<DeploymentId, std::shared_ptr<const Deployment>> deployments;
  Table<ClusterId, Cluster> clusters;  // without their nodes and shares
  Table<NodeKey, LedgerNode> nodes;
  Table<ShareKey, ShareRow> shares;
  Table<ReplicaKey, Reservation> reservations;
  Table<DependencyKey, Milestone> dependencies;
  Table<ClusterId, Lease> leases;
  Table<std::string, Scheduler> schedulers;
  Table<std::pair<std::string, std::string>, StoredReply> replies;
  Table<int, std::int64_t> relayed;
  Table<JournalKey, JournalEntry> journal;
};
template <class K, class V>
using Kept = std::map<K, V>;
template <class K, class V>
using Written = std::map<K, std::optional<V>>;  // empty: deleted

struct Tables : Rows<Kept> {
  std::vector<Event> events;  // number n is at n - 1
  std::map<std::pair<OrganizationId, UserId>, Role> members;
  std::map<OrganizationId, Organization> organizations;
};
using Changes = Rows<Written>;

// The server's side of a transaction.
struct Session {
  std::uint64_t id = 0;
  Machine* machine = nullptr;  // empty once it is dead
  std::string who;             // the process
  Changes changes, before_mark;
  struct Held {
    std::string key;
    bool exclusive = false, was_shared = false, after_mark = false;
  };
  std::vector<Held> locks;
  std::string waits_for;
  bool refused = false;  // a statement failed: only undo() helps
  bool ended = false;
  bool marked = false;
  Time last_heard = 0;
};

// Told of every commit, after it.
class CommitObserver {
 public:
  virtual ~CommitObserver() = default;
  virtual void committed(const Session& session, const Tables& now, std::int64_t first_event) = 0;
};

class Database {
 public:
  Database(Weather& weather, const Broken& broken);

  [[nodiscard]] const Tables& tables() const { return tables_; }
  [[nodiscard]] Tables& prepare() { return tables_; }  // before anything runs
  void observe(CommitObserver* observer) { observer_ = observer; }
  [[nodiscard]] Timestamp now() const {
    return Timestamp{1'700'000'000'000'000 + weather_.simulator.now()};
  }
  void restart();  // every connection is lost
  // Ends what has been idle for too long. Regularly.
  void sweep();

  // --- for the sessions ---
  std::shared_ptr<Session> open(Machine& machine);
  void end(Session& session);  // undone, unless committed before
  Result<void> lock(Session& session, const std::string& key, bool exclusive);
  void unlock_after_mark(Session& session);
  std::int64_t commit(Session& session, std::vector<Event> events);
  // Before and after a statement: the way there and back, and what may happen on it.
  Result<void> travel(Machine& machine, Session* session, const char* what);
  void travel_back(Machine& machine);

  Weather& weather() { return weather_; }
  [[nodiscard]] const Broken& broken() const { return broken_; }

 private:
  struct Lock {
    std::map<std::uint64_t, bool> holders;  // session, exclusive
  };
  [[nodiscard]] bool grants(const Lock& lock, const Session& session, bool exclusive) const;
  [[nodiscard]] bool deadlocks(const Session& session, const std::string& key) const;
  void release(Session& session, const Session::Held& held);

  Weather& weather_;
  const Broken& broken_;
  Tables tables_;
  CommitObserver* observer_ = nullptr;
  std::map<std::uint64_t, std::shared_ptr<Session>> sessions_;
  std::map<std::string, Lock> locks_;
  Bell released_;
  std::uint64_t numbers_ = 0;
};

// One process's connections to it. One transaction at a time, as every Store.
class SimulatedStore final : public Store {
 public:
  SimulatedStore(Database& database, Machine& machine) : database_(database), machine_(machine) {}
  Result<std::unique_ptr<ReadView>> open_view() override;
  Result<std::unique_ptr<ReadView>> open_snapshot() override;
  Result<TransactionPtr> begin() override;

 private:
  Database& database_;
  Machine& machine_;
  bool writing_ = false;
  Bell written_;
};

}  // namespace berth::sim
