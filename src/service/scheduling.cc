#include "service/scheduling.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "base/ensure.h"
#include "scheduler/journal.h"
#include "service/json_text.h"
#include "service/recollection.h"
#include "service/restore.h"

namespace berth {
namespace {

const Actor kScheduler{"scheduler", "scheduler", ""};

// A whole state goes into the journal after so many events, and not before there were twice as many
// as deployments in it: to go back to any moment, or to recollect what was learnt when an engine is
// loaded, costs no more than a few times the state.
constexpr std::size_t kCheckpointEvents = 2'000;
constexpr std::size_t kCheckpointFactor = 2;
// What was taken in without a lock is written down at the latest then.
constexpr std::size_t kUnwritten = 1'000;
constexpr auto kUnwrittenFor = std::chrono::milliseconds(500);

std::size_t checkpoint_after(const ClusterEngine& engine) {
  return std::max(kCheckpointEvents,
                  kCheckpointFactor * (engine.waiting() + engine.active_count()));
}

std::map<OrganizationId, std::uint32_t> tenants_of(const Cluster& cluster) {
  std::map<OrganizationId, std::uint32_t> out;
  for (const Share& share : cluster.shares) out.emplace(share.organization, share.tenant);
  out.insert_or_assign(cluster.organization, 0);
  return out;
}

std::optional<DeploymentId> deployment_of(const EngineEvent& event) {
  return std::visit(
      [](const auto& e) -> std::optional<DeploymentId> {
        if constexpr (requires { e.id; }) return e.id;
        return std::nullopt;
      },
      event);
}

}  // namespace

Launch launch_of(const Deployment& d, std::int32_t replica) {
  return Launch{{d.id, d.attempt, replica}, d.organization, d.name, d.spec,
                d.grant_of(replica),        *d.admitted_at};
}

void stop_living(Dispatch& dispatch, const Deployment& d) {
  for (const AttemptKey& key : d.living_keys()) dispatch.stop(d.cluster, key, d.spec.stop_grace);
}

Result<ClusterEngine*> Scheduling::engine(ReadView& view, const ClusterId& id) {
  auto known = load(view, id);
  if (!known) return std::unexpected(std::move(known.error()));
  return &(*known)->engine;
}

Result<Scheduling::Known*> Scheduling::load(ReadView& view, const ClusterId& id) {
  if (const auto found = known_.find(id); found != known_.end()) return &found->second;
  if (!authority_.holds(id)) {
    return std::unexpected(Error{Code::unavailable,
                                 "not_held",
                                 "Another process decides about this cluster; ask again.",
                                 {},
                                 std::chrono::seconds(1)});
  }
  // Taken first: what happens while the rows are read is looked at once more.
  const auto last = view.last_event();
  if (!last) return std::unexpected(last.error());
  auto cluster = view.cluster(id);
  if (!cluster) return std::unexpected(std::move(cluster.error()));
  if (!*cluster) return fail(Code::not_found, "not_found", "No such cluster.");
  Known known{empty_engine(**cluster), (*cluster)->version, *last, authority_.term(id)};
  known.owner = (*cluster)->organization;
  known.tenants = tenants_of(**cluster);
  auto active = view.active(id);
  if (!active) return std::unexpected(std::move(active.error()));
  for (const auto& deployment : *active) {
    const auto entry = active_entry(**cluster, deployment);
    // The record is the truth: the database refuses to remove a node that is in use.
    ensure(entry.has_value(), "an active attempt's node exists");
    known.engine.restore_active(*entry);
  }
  if (auto waiting = load_waiting(view, known, id); !waiting)
    return std::unexpected(std::move(waiting.error()));
  if (auto recollected = recollect(view, id); !recollected)
    return std::unexpected(std::move(recollected.error()));
  note_seen(id, *last);
  return &known_.emplace(id, std::move(known)).first->second;
}

Result<void> Scheduling::load_waiting(ReadView& view, Known& known, const ClusterId& id) {
  std::vector<WaitingRow> strangers;
  auto waiting = view.for_each_waiting(id, [&](const WaitingRow& row) {
    // In back-off until the wake-up has been recorded, even when its time has passed.
    if (row.retry_at) dispatch_.wake_at(id, row.id, *row.retry_at);
    if (known.engine.is_active(row.id)) return;  // between the readings: looked at once more
    if (const auto tenant = known.tenants.find(row.organization); tenant != known.tenants.end()) {
      known.engine.restore_waiting(queued_entry(row, tenant->second));
    } else {
      strangers.push_back(row);
    }
  });
  if (!waiting || strangers.empty()) return waiting;
  // Of organizations that came since the cluster was read. Its version stays what it was then, so
  // that everything else that has changed is looked at once more.
  auto cluster = view.cluster(id);
  if (!cluster) return std::unexpected(std::move(cluster.error()));
  if (*cluster) known.tenants = tenants_of(**cluster);
  for (const WaitingRow& row : strangers)
    known.engine.restore_waiting(queued_entry(row, known.tenant(row.organization)));
  return {};
}

Result<void> Scheduling::follow(Change& change, std::span<const Told> told) {
  // An engine loaded now has read all that the unit wrote: it only has to settle, once. What one
  // unit tells of a cluster has happened at once.
  std::vector<ClusterId> done;
  for (const auto& one : told) {
    if (std::find(done.begin(), done.end(), one.cluster) != done.end()) continue;
    if (!authority_.holds(one.cluster)) {  // who decides hears of it by the history
      forget({one.cluster});               // should it be ours again, what it misses now is loaded
      continue;
    }
    done.push_back(one.cluster);
    auto step = change.shared() ? follow_shared(change, one.cluster, told)
                                : follow_alone(change, one.cluster, told);
    if (!step) return step;
  }
  return {};
}

Result<void> Scheduling::follow_alone(Change& change, const ClusterId& cluster,
                                      std::span<const Told> told) {
  const bool fresh = !known_.contains(cluster);
  auto known = load(change.tx, cluster);
  if (!known) return std::unexpected(std::move(known.error()));
  std::vector<EngineEvent> events;
  for (const auto& one : told) {
    if (one.cluster == cluster && one.event) events.push_back(*one.event);
  }
  if (fresh || events.empty() || !(*known)->settled) {
    if (!fresh && !events.empty()) {
      if (auto step = decide(change, **known, cluster, events); !step) return step;
    }
    return settle(change, **known, cluster);
  }
  return decide(change, **known, cluster, events);
}

// What came to wait and has no room changes nothing else: the engine takes it in without a lock,
// so that a long queue grows as fast as people submit. True: there was nothing else.
Result<bool> Scheduling::take_in(Change& change, Known& known, const ClusterId& cluster) {
  // Under other rules one that has no room may displace another, or be let in elsewhere.
  if (!known.engine.follows_plain_rules()) return false;
  const Journaling& journal = known.journal;
  if (journal.taken_steps >= kUnwritten) return false;
  if (journal.taken_steps > 0 && (change.now < journal.taken_since ||
                                  change.now.since(journal.taken_since) >= kUnwrittenFor)) {
    return false;
  }
  auto touched = change.tx.touched(cluster, known.seen, std::numeric_limits<std::int64_t>::max());
  if (!touched) return std::unexpected(std::move(touched.error()));
  for (const auto& one : *touched) {
    const bool comes = one.row && one.row->state == State::queued && !one.row->is_parked() &&
                       !known.engine.is_waiting(one.id) && !known.engine.is_active(one.id);
    if (!comes || known.engine.fits_now(one.row->spec.resources)) return false;
    // Others' may have come with a change of the cluster that the engine has not heard of.
    if (one.row->organization != known.owner) return false;
    advance_unlocked(change, known, cluster, queued_entry(*one.row));
    known.seen = one.seq;
  }
  change.after([this, cluster, seen = known.seen] { note_seen(cluster, seen); });
  return true;
}

Result<void> Scheduling::follow_shared(Change& change, const ClusterId& cluster,
                                       std::span<const Told> told) {
  const bool only_look = std::ranges::all_of(told, [&](const Told& one) {
    return one.cluster != cluster || (!one.event && one.only_deployments);
  });
  if (const auto found = known_.find(cluster); only_look && found != known_.end() &&
                                               found->second.settled &&
                                               found->second.term == authority_.term(cluster)) {
    auto all = take_in(change, found->second, cluster);
    if (!all) return std::unexpected(std::move(all.error()));
    if (*all) return {};
  }
  if (auto proved = authority_.prove(change, cluster); !proved) {
    // Lost, or not reachable: the unit itself is true all the same. Who decides hears of it.
    forget({cluster});
    if (proved.error().reason == "lease_lost") return {};
    return proved;
  }
  const auto before = known_.find(cluster);
  if (before != known_.end() && before->second.term != authority_.term(cluster)) forget({cluster});
  const bool fresh = !known_.contains(cluster);
  auto known = load(change.tx, cluster);
  if (!known && known.error().code == Code::not_found) return {};  // deleted meanwhile
  if (!known) return std::unexpected(std::move(known.error()));
  if (fresh) {
    set_current(change, **known, cluster);
  } else if (auto step = catch_up(change, **known, cluster, told); !step) {
    return step;
  }
  // Deleted meanwhile, or nothing left to do.
  const auto found = known_.find(cluster);
  if (found == known_.end()) return {};
  catch_up_journal(change, found->second, cluster);
  if (found->second.settled) return {};
  return settle(change, found->second, cluster);
}

Result<void> Scheduling::settle(Change& change, Known& known, const ClusterId& cluster) {
  known.settled = true;
  return carry_out(change, known.engine, cluster, advance(change, known, cluster, {}));
}

Result<void> Scheduling::catch_up(Change& change, Known& known, const ClusterId& id,
                                  std::span<const Told> told) {
  const auto version = change.held_version(id);
  if (!version) {  // deleted
    forget({id});
    return {};
  }
  auto touched = change.tx.touched(id, known.seen, std::numeric_limits<std::int64_t>::max());
  if (!touched) return std::unexpected(std::move(touched.error()));
  // By deployment: what the unit itself wrote is newer than what the history has.
  Rows rows;
  for (auto& one : *touched) {
    known.seen = std::max(known.seen, one.seq);
    rows.insert_or_assign(one.id, std::move(one.row));
  }
  for (const auto& one : told) {
    if (one.cluster != id || !one.event) continue;
    const auto about = deployment_of(*one.event);
    if (!about) continue;
    auto row = change.tx.deployment(*about);
    if (!row) return std::unexpected(std::move(row.error()));
    rows.insert_or_assign(*about, std::move(*row));
  }
  const bool changed_here = std::ranges::any_of(told, [&](const Told& one) {
    return one.cluster == id && one.event && !deployment_of(*one.event);
  });
  std::optional<Cluster> changed;
  if (*version != known.version || changed_here) {
    auto cluster = change.tx.cluster(id);
    if (!cluster) return std::unexpected(std::move(cluster.error()));
    changed = std::move(*cluster);
    known.version = changed->version;
    known.tenants = tenants_of(*changed);
  }
  std::vector<EngineEvent> events;
  for (const auto& [about, row] : rows) {
    auto news = news_of(change, known, id, about, row);
    if (!news) return std::unexpected(std::move(news.error()));
    events.insert(events.end(), news->begin(), news->end());
  }
  // Last, so that what has left a node that goes has left it.
  if (changed) {
    for (auto& event : events_to_reach(known.engine, *changed)) events.push_back(std::move(event));
  }
  if (auto step = decide(change, known, id, events, &rows); !step) return step;
  const auto seen = known.seen;
  change.after([this, id, seen] { note_seen(id, seen); });
  set_current(change, known, id);
  return {};
}

Result<std::vector<EngineEvent>> Scheduling::news_of(Change& change, const Known& known,
                                                     const ClusterId& cluster,
                                                     const DeploymentId& id,
                                                     const std::optional<Deployment>& row) {
  if (!row) {
    change.after([this, cluster, id] { dispatch_.forget(cluster, id); });
  } else if (row->is_ending()) {
    change.after([this, d = *row] { stop_living(dispatch_, d); });
  }
  return events_to_reach(known.engine, id, row, row ? known.tenant(row->organization) : 0);
}

// All of the events are committed together, so nothing may be decided by some of them alone: a low
// one would start before the high one that comes next in the list.
Result<void> Scheduling::decide(Change& change, Known& known, const ClusterId& cluster,
                                const std::vector<EngineEvent>& events, const Rows* rows) {
  if (events.empty()) return {};
  return carry_out(change, known.engine, cluster, advance(change, known, cluster, events), rows);
}

Result<void> Scheduling::carry_out(Change& change, const ClusterEngine& engine,
                                   const ClusterId& cluster, const Decisions& decisions,
                                   const Rows* rows) {
  for (const auto& start : decisions.starts) {
    auto done = admit(change, engine, cluster, start, rows);
    if (!done) return done;
  }
  for (const auto& evict : decisions.evictions) {
    if (auto done = displace(change, evict); !done) return done;
  }
  return {};
}

// It gets its grace to end, keeps its place in the queue, and hears for whom it goes.
Result<void> Scheduling::displace(Change& change, const Evict& evict) {
  auto row = change.tx.deployment(evict.id);
  if (!row) return std::unexpected(std::move(row.error()));
  auto whom = change.tx.deployment(evict.for_whom);
  if (!whom) return std::unexpected(std::move(whom.error()));
  if (!*row || !*whom) return fail(Code::aborted, "stale_decision", "The deployment is gone.");
  Deployment d = std::move(**row);
  const State from = d.state;
  const auto to = next_state(from, Cause::preempt);
  if (!to) return fail(Code::aborted, "stale_decision", "The deployment does not run any more.");
  d.state = *to;
  d.version += 1;
  d.updated_at = change.now;
  d.displaced_for = evict.for_whom;
  const bool ours = (*whom)->organization == d.organization;
  d.message = fmt::format(
      "Displaced by {}, which is more urgent: it has {} to end, then it waits "
      "again at its old place.",
      ours ? (*whom)->name : "a deployment of another organization", humane(d.spec.stop_grace));
  if (auto written = change.tx.update(d, from); !written) return written;
  JsonText data;
  data.add("attempt", d.attempt).add("for", evict.for_whom.str());
  if (ours) data.add("for_name", (*whom)->name);
  data.add("grace_ms", d.spec.stop_grace.count());
  if (auto noted = change.record(kScheduler, "deployment.preempting", d, data.str()); !noted)
    return noted;
  change.after([this, d] {
    changed_(d);
    stop_living(dispatch_, d);
  });
  return {};
}

// --- starting ----------------------------------------------------------------------------------

namespace {

// The places of the replicas after the first, for the history.
std::string places_json(const Deployment& d) {
  std::string out = "[";
  for (const Grant& grant : d.gang.more) {
    JsonText place;
    place.add("node", grant.node);
    if (!grant.gpus.empty()) place.add_raw("gpus", gpus_json(grant.gpus));
    out += (out.size() == 1 ? "" : ",") + place.str();
  }
  return out + "]";
}

void begin_attempt(Deployment& d, const ClusterEngine& engine, const Start& start, Timestamp now) {
  const auto grant = [&](const Placement& place) {
    return Grant{engine.node(place.node).name, d.spec.resources, place.gpus};
  };
  d.attempt += 1;
  d.version += 1;
  d.updated_at = now;
  d.admitted_at = admission_time(engine, now);
  d.started_at.reset();
  d.exit_code.reset();
  d.retry_at.reset();
  d.displaced_for.reset();
  d.message.clear();
  d.grant = grant(start.placement);
  d.gang = {};
  for (const Placement& place : start.more) d.gang.more.push_back(grant(place));
  if (d.is_gang()) d.gang.replicas.resize(static_cast<std::size_t>(d.spec.replicas));
}

}  // namespace

Result<void> Scheduling::admit(Change& change, const ClusterEngine& engine,
                               const ClusterId& cluster, const Start& start, const Rows* rows) {
  Deployment d;
  const auto known = rows == nullptr ? Rows::const_iterator{} : rows->find(start.id);
  if (rows != nullptr && known != rows->end() && known->second) {
    d = *known->second;  // read a moment ago, and held since
  } else {
    auto read = change.tx.deployment(start.id);
    if (!read) return std::unexpected(std::move(read.error()));
    if (!*read) return fail(Code::aborted, "stale_decision", "The deployment is gone.");
    d = std::move(**read);
  }
  const State from = d.state;
  const auto to = next_state(from, Cause::admitted);
  if (!to) return fail(Code::aborted, "stale_decision", "The deployment does not wait any more.");
  d.state = *to;
  begin_attempt(d, engine, start, change.now);
  ensure(d.gang.more.size() + 1 == static_cast<std::size_t>(d.spec.replicas),
         "the engine places every replica");
  if (auto written = change.tx.update(d, from); !written) return written;
  for (const AttemptKey& key : d.attempt_keys()) {
    auto held = change.tx.reserve(cluster, key, d.grant_of(key.replica));
    if (!held) return held;
  }
  JsonText data;
  data.add("attempt", d.attempt).add("node", d.grant->node);
  if (!d.grant->gpus.empty()) data.add_raw("gpus", gpus_json(d.grant->gpus));
  if (d.is_gang()) data.add_raw("more", places_json(d));
  if (auto noted = change.record(kScheduler, "deployment.starting", d, data.str()); !noted)
    return noted;
  change.after([this, cluster, d] {
    changed_(d);
    for (const AttemptKey& key : d.attempt_keys())
      dispatch_.launch(cluster, launch_of(d, key.replica));
  });
  return {};
}

// --- the journal -------------------------------------------------------------------------------

Decisions Scheduling::advance(Change& change, Known& known, const ClusterId& cluster,
                              std::span<const EngineEvent> events) {
  catch_up_journal(change, known, cluster);
  const EngineTime now = engine_time(known.engine, change.now);
  Outlook* const outlook = outlook_for(cluster, events);
  if (outlook != nullptr) outlook->before(known.engine, events, now);
  Decisions out = events.empty() ? known.engine.settle(now) : known.engine.decide(events, now);
  if (outlook != nullptr) outlook->after(out, now);
  JournalPiece piece{cluster, {}, false};
  journal::put_step(piece.bytes, now, events, out);
  if (outlook != nullptr) {
    if (const auto lessons = outlook->take_lessons(); !lessons.empty())
      journal::put_lessons(piece.bytes, lessons);
  }
  Journaling& journal = known.journal;
  journal.events += std::max<std::size_t>(events.size(), 1);
  if (journal.events >= journal.next_checkpoint) {
    journal.next_checkpoint = checkpoint_after(known.engine);
    if (journal.events >= journal.next_checkpoint) {
      journal::put_checkpoint(piece.bytes, known.engine, false, outlook);
      piece.checkpoint = true;
      journal.events = 0;
    }
  }
  change.journal.push_back(std::move(piece));
  return out;
}

// Who does not hold the cluster writes nothing: the step goes with the next decision.
void Scheduling::advance_unlocked(Change& change, Known& known, const ClusterId& cluster,
                                  const EngineEvent& event) {
  ensure(known.journal.begun, "an engine that has settled has begun its journal");
  const EngineTime now = engine_time(known.engine, change.now);
  if (Outlook* const outlook = outlook_for(cluster, {}); outlook != nullptr)
    outlook->before(known.engine, std::span(&event, 1), now);
  const Decisions out = known.engine.decide(event, now);
  ensure(out == Decisions{}, "what has no room does not start, and lets nothing else start");
  Journaling& journal = known.journal;
  if (journal.taken_steps++ == 0) journal.taken_since = change.now;
  journal::put_step(journal.taken, now, std::span(&event, 1), out);
  const std::lock_guard lock(mutex_);
  behind_.insert(cluster);
}

// Before anything new: the state that the engine was loaded with, or what it took in since.
void Scheduling::catch_up_journal(Change& change, Known& known, const ClusterId& cluster) {
  Journaling& journal = known.journal;
  if (!journal.begun) {
    JournalPiece piece{cluster, {}, true};
    journal::put_checkpoint(piece.bytes, known.engine, true, outlook_for(cluster, {}));
    change.journal.push_back(std::move(piece));
    journal.begun = true;
    journal.next_checkpoint = checkpoint_after(known.engine);
  }
  if (journal.taken_steps == 0) return;
  change.journal.push_back({cluster, std::move(journal.taken), false});
  journal.taken.clear();
  journal.events += std::exchange(journal.taken_steps, 0);
  const std::lock_guard lock(mutex_);
  behind_.erase(cluster);
}

Result<void> Scheduling::before_commit(Change& change) {
  struct Entry {
    std::string inside;
    bool checkpoint = false;
  };
  std::map<ClusterId, Entry> entries;
  for (JournalPiece& piece : change.journal) {
    Entry& entry = entries[piece.cluster];
    entry.inside += piece.bytes;
    entry.checkpoint = entry.checkpoint || piece.checkpoint;
  }
  for (const auto& [cluster, entry] : entries) {
    const auto mark = change.tx.append_journal(cluster, change.now, entry.checkpoint,
                                               journal::seal(entry.inside));
    if (!mark) return std::unexpected(mark.error());
    if (!*mark) continue;  // deleted in this same transaction
    change.after([this, id = cluster, index = (*mark)->index] {
      if (const auto found = known_.find(id); found != known_.end())
        found->second.journal.index = index;
    });
  }
  return {};
}

Result<void> Scheduling::recollect(ReadView& view, const ClusterId& cluster) {
  const std::int64_t term = authority_.term(cluster);
  const auto known = learnt_.find(cluster);
  if (known != learnt_.end() && known->second.term == term) return {};
  auto before = learnt_before(view, cluster);
  if (!before) return std::unexpected(std::move(before.error()));
  learnt_[cluster] = {term, *before ? std::make_unique<Outlook>(std::move(**before)) : nullptr};
  return {};
}

// Nothing is kept of a cluster on which nothing has ended and about which nobody has asked: there
// may be ten thousand of them.
Outlook* Scheduling::outlook_for(const ClusterId& cluster, std::span<const EngineEvent> events) {
  const bool ends = std::ranges::any_of(
      events, [](const EngineEvent& event) { return std::holds_alternative<Released>(event); });
  if (ends) return &outlook(cluster);
  const auto found = learnt_.find(cluster);
  return found == learnt_.end() ? nullptr : found->second.outlook.get();
}

Outlook& Scheduling::outlook(const ClusterId& cluster) {
  auto& out = learnt_[cluster].outlook;
  if (!out) out = std::make_unique<Outlook>();
  return *out;
}

std::optional<std::int64_t> Scheduling::recorded(const ClusterId& cluster) const {
  const auto found = known_.find(cluster);
  if (found == known_.end()) return std::nullopt;
  const Journaling& journal = found->second.journal;
  return journal.begun && journal.taken_steps == 0 ? journal.index : std::nullopt;
}

std::vector<ClusterId> Scheduling::behind() const {
  const std::lock_guard lock(mutex_);
  return {behind_.begin(), behind_.end()};
}

void Scheduling::forget(const std::vector<ClusterId>& clusters) {
  for (const auto& id : clusters) {
    known_.erase(id);
    const std::lock_guard lock(mutex_);
    seen_.erase(id);
    behind_.erase(id);
  }
}

void Scheduling::settled(const std::vector<ClusterId>& clusters, std::int64_t last) {
  // Held until the commit: nobody else has written about it meanwhile. One that was looked at
  // without a lock has not seen what came after it looked.
  for (const auto& id : clusters) {
    const auto found = known_.find(id);
    if (found == known_.end() || !found->second.current) continue;
    found->second.seen = last;
    note_seen(id, last);
  }
}

// Until the end of this transaction: effects come after settled().
void Scheduling::set_current(Change& change, Known& known, const ClusterId& cluster) {
  known.current = true;
  change.after([this, cluster] {
    if (const auto found = known_.find(cluster); found != known_.end())
      found->second.current = false;
  });
}

void Scheduling::note_seen(const ClusterId& cluster, std::int64_t seq) {
  const std::lock_guard lock(mutex_);
  auto& seen = seen_[cluster];
  seen = std::max(seen, seq);
}

std::int64_t Scheduling::seen(const ClusterId& cluster) const {
  const std::lock_guard lock(mutex_);
  const auto found = seen_.find(cluster);
  return found == seen_.end() ? 0 : found->second;
}

}  // namespace berth
