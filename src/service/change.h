// A unit of work: what one request changes, inside a transaction that it shares with others.
#pragma once
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "scheduler/engine.h"
#include "store/store.h"

namespace berth {

// Who is behind a change, for the history.
struct Actor {
  std::string id = "system";  // user id, "scheduler", "runtime", "setup"
  std::string name = "system";
  std::string request_id;
};

// What the scheduler has to know about, in the order in which it happened.
struct Told {
  ClusterId cluster;
  std::optional<EngineEvent> event;  // empty: nothing in particular, look again
  bool only_deployments = false;     // where to look, without an event
};

// What an engine was given and what it decided, for the journal of its cluster: the inside of an
// entry (scheduler/journal.h). All of one transaction becomes one entry.
struct JournalPiece {
  ClusterId cluster;
  std::string bytes;
  bool checkpoint = false;
};

// Whether other processes write to the same database.
enum class Sharing { sole, shared };

class Change {
 public:
  Change(Transaction& transaction, Timestamp at, Sharing sharing = Sharing::sole)
      : tx(transaction), now(at), sharing_(sharing) {}

  Transaction& tx;
  const Timestamp now;

  [[nodiscard]] bool shared() const { return sharing_ == Sharing::shared; }
  // Before anything of a cluster is read in order to be changed: no other process changes it, its
  // queue or its deployments until the commit. Nothing to do where there is no other.
  Result<void> hold(const ClusterId& cluster) {
    if (!shared() || held_.contains(cluster)) return {};
    auto version = tx.hold(cluster);
    if (!version) return std::unexpected(std::move(version.error()));
    held_.emplace(cluster, *version);
    return {};
  }
  // Of a cluster that is held, as it was then; empty: there was none.
  [[nodiscard]] std::optional<std::int64_t> held_version(const ClusterId& cluster) const {
    const auto found = held_.find(cluster);
    return found == held_.end() ? std::nullopt : found->second;
  }
  // How many units of this transaction may want an admission number of a cluster.
  void expect(const ClusterId& cluster, std::uint64_t units) { orders_[cluster].wanted = units; }
  // The next admission number. Where the database is far away, those that are expected are taken
  // at once; what is not used of them is never given out.
  Result<std::uint64_t> take_order(const ClusterId& cluster) {
    auto& orders = orders_[cluster];
    if (orders.left == 0) {
      const std::uint64_t count = shared() ? std::max<std::uint64_t>(orders.wanted, 1) : 1;
      auto first = tx.take_orders(cluster, count);
      if (!first) return first;
      orders.next = *first;
      orders.left = count;
    }
    --orders.left;
    return orders.next++;
  }
  // Proofs of authority hold until the commit, too.
  [[nodiscard]] bool is_proved(const ClusterId& cluster) const { return proved_.contains(cluster); }
  void set_proved(const ClusterId& cluster) { proved_.insert(cluster); }
  // The unit was undone, and with it the locks that it took.
  void release_holds() {
    held_.clear();
    proved_.clear();
    for (auto& [cluster, orders] : orders_) orders.left = 0;
  }

  // Appends to the history; subscribers get it once it is durable and numbered.
  Result<void> record(Event event) {
    event.at = now;
    tx.append(event);
    events.push_back(std::move(event));
    return {};
  }
  Result<void> record(const Actor& actor, std::string kind, const Deployment& d, std::string data) {
    return record(Event{0, now, d.organization, d.cluster, d.id, std::move(kind), actor.id,
                        actor.name, actor.request_id, std::move(data)});
  }
  Result<void> record(const Actor& actor, std::string kind, std::optional<OrganizationId> org,
                      std::optional<ClusterId> cluster, std::string data) {
    return record(Event{0, now, org, cluster, std::nullopt, std::move(kind), actor.id, actor.name,
                        actor.request_id, std::move(data)});
  }
  // The scheduler decides about it within this same transaction.
  void tell(const ClusterId& cluster, EngineEvent event) {
    told.push_back({cluster, std::move(event)});
  }
  void look_at(const ClusterId& cluster, bool only_deployments = false) {
    told.push_back({cluster, std::nullopt, only_deployments});
  }
  // Runs once everything is durable, before anybody is answered. Never runs otherwise.
  void after(std::function<void()> effect) { effects.push_back(std::move(effect)); }

  std::vector<Event> events;
  std::vector<Told> told;
  std::vector<JournalPiece> journal;  // written before the commit
  std::vector<std::function<void()>> effects;

 private:
  const Sharing sharing_;
  struct Orders {
    std::uint64_t wanted = 1, next = 0, left = 0;
  };
  std::map<ClusterId, Orders> orders_;
  std::map<ClusterId, std::optional<std::int64_t>> held_;
  std::set<ClusterId> proved_;
};

}  // namespace berth
