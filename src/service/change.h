// A unit of work: what one request changes, inside a transaction that it shares with others.
#pragma once
#include <functional>
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
  EngineEvent event;
};

class Change {
 public:
  Change(Transaction& transaction, Timestamp at) : tx(transaction), now(at) {}

  Transaction& tx;
  const Timestamp now;

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
  // Runs once everything is durable, before anybody is answered. Never runs otherwise.
  void after(std::function<void()> effect) { effects.push_back(std::move(effect)); }

  std::vector<Event> events;
  std::vector<Told> told;
  std::vector<std::function<void()>> effects;
};

}  // namespace berth
