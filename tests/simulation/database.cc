#include "simulation/database.h"

#include <algorithm>

#include "base/ensure.h"

namespace berth::sim {
namespace {

constexpr Time kLockTimeout = 5 * kSecond;
constexpr Time kIdleTimeout = 10 * kSecond;
constexpr Time kConnectTimeout = 2 * kSecond;

Error away(const char* what) {
  return {Code::unavailable, "storage_unavailable", what, {}, std::chrono::seconds(1)};
}

template <class K, class V>
void merge(std::map<K, V>& into, std::map<K, std::optional<V>>& changes) {
  for (auto& [key, value] : changes) {
    if (value) {
      into.insert_or_assign(key, std::move(*value));
    } else {
      into.erase(key);
    }
  }
}

}  // namespace

Database::Database(Weather& weather, const Broken& broken) : weather_(weather), broken_(broken) {
  tables_.relayed[0] = 0;
}

void Database::restart() {
  while (!sessions_.empty()) end(*sessions_.begin()->second);
}

void Database::sweep() {
  const Time now = weather_.simulator.now();
  std::vector<std::shared_ptr<Session>> idle;
  for (const auto& [id, session] : sessions_) {
    if (session->waits_for.empty() && now - session->last_heard > kIdleTimeout)
      idle.push_back(session);
  }
  for (const auto& session : idle) end(*session);
}

std::shared_ptr<Session> Database::open(Machine& machine) {
  auto session = std::make_shared<Session>();
  session->id = ++numbers_;
  session->machine = &machine;
  session->who = machine.name();
  session->last_heard = weather_.simulator.now();
  sessions_.emplace(session->id, session);
  return session;
}

void Database::end(Session& session) {
  if (session.ended) return;
  session.ended = true;
  while (!session.locks.empty()) {
    release(session, session.locks.back());
    session.locks.pop_back();
  }
  sessions_.erase(session.id);
}

bool Database::grants(const Lock& lock, const Session& session, bool exclusive) const {
  return std::ranges::all_of(lock.holders, [&](const auto& holder) {
    return holder.first == session.id || (!exclusive && !holder.second);
  });
}

// Would waiting for this row close a circle?
bool Database::deadlocks(const Session& session, const std::string& key) const {
  std::vector<std::string> rows{key};
  std::set<std::uint64_t> seen;
  while (!rows.empty()) {
    const auto found = locks_.find(rows.back());
    rows.pop_back();
    if (found == locks_.end()) continue;
    for (const auto& [id, exclusive] : found->second.holders) {
      if (id == session.id) {
        if (!seen.empty()) return true;
        continue;
      }
      if (!seen.insert(id).second) continue;
      const auto holder = sessions_.find(id);
      if (holder != sessions_.end() && !holder->second->waits_for.empty())
        rows.push_back(holder->second->waits_for);
    }
  }
  return false;
}

Result<void> Database::lock(Session& session, const std::string& key, bool exclusive) {
  const Time until = weather_.simulator.now() + kLockTimeout;
  for (;;) {
    auto& lock = locks_[key];
    const auto mine = lock.holders.find(session.id);
    if (mine != lock.holders.end() && (mine->second || !exclusive)) return {};
    if (grants(lock, session, exclusive)) {
      session.locks.push_back({key, exclusive, mine != lock.holders.end(), session.marked});
      lock.holders[session.id] = exclusive;
      return {};
    }
    const Time left = until - weather_.simulator.now();
    if (left <= 0 || deadlocks(session, key)) {
      session.refused = true;
      return std::unexpected(away(left <= 0 ? "A lock took too long." : "A deadlock."));
    }
    weather_.simulator.note("waits for a row");
    session.waits_for = key;
    try {
      weather_.simulator.wait(released_, left);
    } catch (const Killed&) {
      session.waits_for.clear();
      throw;
    }
    session.waits_for.clear();
    if (session.ended) return std::unexpected(away("The connection was lost."));
  }
}

void Database::release(Session& session, const Session::Held& held) {
  const auto found = locks_.find(held.key);
  ensure(found != locks_.end(), "a held lock exists");
  if (held.was_shared) {
    found->second.holders[session.id] = false;
  } else {
    found->second.holders.erase(session.id);
  }
  if (found->second.holders.empty()) locks_.erase(found);
  weather_.simulator.ring(released_);
}

void Database::unlock_after_mark(Session& session) {
  while (!session.locks.empty() && session.locks.back().after_mark) {
    release(session, session.locks.back());
    session.locks.pop_back();
  }
}

std::int64_t Database::commit(Session& session, std::vector<Event> events) {
  auto& c = session.changes;
  const Changes changes = c;
  merge(tables_.deployments, c.deployments);
  merge(tables_.clusters, c.clusters);
  merge(tables_.nodes, c.nodes);
  merge(tables_.reservations, c.reservations);
  merge(tables_.dependencies, c.dependencies);
  merge(tables_.leases, c.leases);
  merge(tables_.schedulers, c.schedulers);
  merge(tables_.replies, c.replies);
  merge(tables_.relayed, c.relayed);
  merge(tables_.shares, c.shares);
  merge(tables_.journal, c.journal);
  const auto count = events.size();
  const auto first = static_cast<std::int64_t>(tables_.events.size()) + 1;
  for (auto& event : events) {
    event.seq = static_cast<std::int64_t>(tables_.events.size()) + 1;
    tables_.events.push_back(std::move(event));
  }
  c = changes;
  if (observer_ != nullptr) observer_->committed(session, tables_, first);
  end(session);
  return count == 0 ? 0 : first;
}

Result<void> Database::travel(Machine& machine, Session* session, const char* what) {
  auto& sim = weather_.simulator;
  sim.note(what);
  if (!sim.inside_fiber()) return {};
  const bool slow = weather_.strikes(Fault::slow_call, 0.0004);
  sim.sleep(slow ? sim.between(kSecond, 7 * kSecond) : sim.between(50, 1500));
  if (machine.database_cut) {
    sim.sleep(kConnectTimeout);
    // What it had begun stays open at the server until that loses patience.
    return std::unexpected(away("The database cannot be reached."));
  }
  if (session != nullptr && session->ended)
    return std::unexpected(away("The connection was lost."));
  if (weather_.strikes(Fault::connection_lost, 0.0005)) {
    if (session != nullptr) end(*session);
    return std::unexpected(away("The connection was lost."));
  }
  if (session != nullptr) session->last_heard = sim.now();
  return {};
}

void Database::travel_back(Machine& machine) {
  static_cast<void>(machine);
  auto& sim = weather_.simulator;
  if (sim.inside_fiber()) sim.sleep(sim.between(50, 1500));
}

}  // namespace berth::sim
