#include "service/relay.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>

namespace berth {
namespace {

// Somebody who is that far behind is better off with the queues as they are now: Redis would not
// keep more wakes anyway, and who reads them looks into the database where there is a gap.
constexpr std::int64_t kTooFarBehind = 100'000;
// A relay that works is never that far behind for long.
constexpr std::int64_t kWorthTelling = 10'000;

// Resources are free again after these; a deployment that the runtime sends back to the queue had
// some, too.
WakeKind meaning_of(const Event& event) {
  if (event.kind == "deployment.queued") {
    return event.actor == "runtime" ? WakeKind::released : WakeKind::queued;
  }
  if (event.kind == "deployment.retrying" || event.kind == "deployment.priority_changed") {
    return WakeKind::queued;
  }
  if (event.kind == "deployment.stopped" || event.kind == "deployment.succeeded" ||
      event.kind == "deployment.failed") {
    return WakeKind::released;
  }
  return WakeKind::changed;
}

bool waits(const Deployment& d) { return d.state == State::queued && !d.is_parked(); }

WaitingEntry entry_of(const WaitingRow& row) {
  return {row.id, row.priority, row.order, row.demand};
}

Result<std::vector<WaitingEntry>> waiting_in(ReadView& view, const ClusterId& cluster) {
  std::vector<WaitingEntry> out;
  auto done = view.for_each_waiting(cluster, [&](const WaitingRow& row) {
    if (!row.is_parked()) out.push_back(entry_of(row));
  });
  if (!done) return pass(std::move(done.error()));
  return out;
}

using Entries = std::unordered_map<DeploymentId, WaitingEntry>;

std::string place_text(const Entries& entries, const DeploymentId& id) {
  const auto found = entries.find(id);
  if (found == entries.end()) return "does not wait";
  const auto& entry = found->second;
  return fmt::format("waits as {} number {} for {}", to_text(entry.priority), entry.order,
                     resources_text(entry.demand));
}

// What differs though nothing has happened to it since the queue's own event.
std::vector<DeploymentId> unexplained(const Entries& queued, const Entries& recorded,
                                      const std::unordered_set<DeploymentId>& on_their_way) {
  std::vector<DeploymentId> out;
  for (const auto& [id, entry] : recorded) {
    const auto found = queued.find(id);
    if ((found == queued.end() || found->second != entry) && !on_their_way.contains(id)) {
      out.push_back(id);
    }
  }
  for (const auto& [id, entry] : queued) {
    if (!recorded.contains(id) && !on_their_way.contains(id)) out.push_back(id);
  }
  std::sort(out.begin(), out.end());
  return out;
}

struct Difference {
  std::string what;    // a sentence without its subject; empty: they agree
  bool newer = false;  // the queue has an event that the database does not have
};

// The queue is read first, then the database, and last what happened in between, so that nothing
// is blamed for being newer.
Result<Difference> difference(ReadView& view, WorkQueue& queue, const ClusterId& cluster) {
  auto content = queue.content(cluster);
  if (!content) return pass(std::move(content.error()));
  if (!content->seq) return Difference{"is not there"};
  const auto rows = waiting_in(view, cluster);
  if (!rows) return pass(rows.error());
  const auto last = view.last_event();
  if (!last) return pass(last.error());
  if (*content->seq > *last) {
    return Difference{
        fmt::format("is that of event {}, and the latest is {}", *content->seq, *last), true};
  }
  const auto touched = view.touched(cluster, *content->seq, *last);
  if (!touched) return pass(touched.error());
  std::unordered_set<DeploymentId> on_their_way;
  for (const auto& one : *touched) on_their_way.insert(one.id);
  Entries queued, recorded;
  for (const auto* list : {&content->high, &content->low}) {
    for (const auto& entry : *list) queued.emplace(entry.id, entry);
  }
  for (const auto& entry : *rows) recorded.emplace(entry.id, entry);
  const auto wrong = unexplained(queued, recorded, on_their_way);
  if (wrong.empty()) return Difference{};
  const auto& one = wrong.front();
  return Difference{
      fmt::format("is wrong about {} of the deployments, for example {}: it {} there, but {}",
                  wrong.size(), one.str(), place_text(queued, one), place_text(recorded, one))};
}

std::vector<ClusterId> ids_of(std::span<const Cluster> clusters) {
  std::vector<ClusterId> out;
  for (const auto& cluster : clusters) out.push_back(cluster.id);
  return out;
}

}  // namespace

std::vector<QueueChange> changes_of(std::span<const Event> events, std::span<const Touched> touched,
                                    LatestEvents& latest) {
  std::unordered_map<DeploymentId, const Touched*> by_id;
  for (const auto& one : touched) by_id.emplace(one.id, &one);
  std::vector<QueueChange> out;
  for (const auto& event : events) {
    if (!event.cluster) continue;
    QueueChange change{event.seq, *event.cluster, meaning_of(event), {}, {}};
    const auto found = event.deployment ? by_id.find(*event.deployment) : by_id.end();
    if (found != by_id.end() && found->second->seq == event.seq) {
      const auto& row = found->second->row;
      if (row && waits(*row)) {
        change.enter = WaitingEntry{row->id, row->priority, row->order, row->spec.resources};
      } else {
        change.leave = event.deployment;
      }
    }
    change.after = std::exchange(latest[*event.cluster], event.seq);
    out.push_back(std::move(change));
  }
  return out;
}

Relay::Relay(Store& store, WorkQueue& queue, std::chrono::milliseconds mark_every)
    : store_(store), queue_(queue), mark_every_(mark_every) {}

Result<void> Relay::begin() {
  if (view_) return {};
  auto view = store_.open_view();
  if (!view) return pass(std::move(view.error()));
  const auto mark = (*view)->relayed();
  if (!mark) return pass(mark.error());
  position_ = marked_ = *mark;
  view_ = std::move(*view);
  return {};
}

Result<void> Relay::learn_latest(std::span<const Event> events) {
  for (const auto& event : events) {
    if (!event.cluster || latest_.contains(*event.cluster)) continue;
    const auto latest = view_->last_event_of(*event.cluster, position_);
    if (!latest) return pass(latest.error());
    latest_.emplace(*event.cluster, *latest);
  }
  return {};
}

// A new cluster has a queue at once, though an empty one as a rule; a deleted one has none.
Result<void> Relay::follow_clusters(std::span<const Event> events) {
  for (const auto& event : events) {
    if (!event.cluster) continue;
    if (event.kind == "cluster.created") {
      if (auto built = build(*event.cluster); !built) return built;
    } else if (event.kind == "cluster.deleted") {
      if (auto gone = queue_.remove(*event.cluster); !gone) return gone;
    }
  }
  return {};
}

Result<void> Relay::build(const ClusterId& cluster) {
  auto snapshot = store_.open_snapshot();
  if (!snapshot) return pass(std::move(snapshot.error()));
  const auto row = (*snapshot)->cluster(cluster);
  if (!row) return pass(row.error());
  if (!*row) return queue_.remove(cluster);
  const auto last = (*snapshot)->last_event();
  if (!last) return pass(last.error());
  const auto waiting = waiting_in(**snapshot, cluster);
  if (!waiting) return pass(waiting.error());
  snapshot->reset();  // writing may take long
  return queue_.rebuild(cluster, *waiting, *last);
}

// Events are missing, or too many are left: the queues are written as they are now, and whoever
// waits is woken once for each cluster.
Result<void> Relay::skip_ahead() {
  const auto last = view_->last_event();
  if (!last) return pass(last.error());
  const auto clusters = view_->all_clusters();
  if (!clusters) return pass(clusters.error());
  std::vector<QueueChange> wakes;
  for (const auto& cluster : *clusters) {
    if (*last < position_) {  // the database was restored: a rebuild alone is ignored
      if (auto gone = queue_.remove(cluster.id); !gone) return gone;
    }
    if (auto built = build(cluster.id); !built) return built;
    wakes.push_back({*last, cluster.id, WakeKind::changed, {}, {}});
  }
  if (auto woken = queue_.publish(wakes); !woken) return woken;
  latest_.clear();
  position_ = *last;
  return {};
}

Result<void> Relay::write_mark(bool at_once) {
  const auto now = std::chrono::steady_clock::now();
  if (!at_once && marked_at_ && now - *marked_at_ < mark_every_) return {};
  // Another relay may have moved the mark meanwhile; then once more, from where it is.
  for (int tries = 0; marked_ != position_ && tries < 2; ++tries) {
    marked_at_ = now;
    const auto moved = move_mark();
    if (!moved) return pass(moved.error());
  }
  return {};
}

Result<bool> Relay::move_mark() {
  auto tx = store_.begin();
  if (!tx) return pass(std::move(tx.error()));
  const auto moved = (*tx)->advance_relay(marked_, position_);
  if (!moved) return pass(moved.error());
  if (*moved) {
    auto written = (*tx)->commit();
    if (!written) return pass(std::move(written.error()));
    marked_ = position_;
    return true;
  }
  tx->reset();
  const auto mark = view_->relayed();
  if (!mark) return pass(mark.error());
  marked_ = *mark;
  if (marked_ > position_) {  // what another relay has published needs no publishing
    position_ = marked_;
    latest_.clear();
  }
  return false;
}

Result<std::size_t> Relay::step(std::size_t most) {
  if (auto begun = begin(); !begun) return pass(std::move(begun.error()));
  const auto last = view_->last_event();
  if (!last) return pass(last.error());
  if (*last < position_ || *last - position_ > kTooFarBehind) {
    if (auto skipped = skip_ahead(); !skipped) return pass(std::move(skipped.error()));
    if (auto marked = write_mark(true); !marked) return pass(std::move(marked.error()));
  }
  auto events = view_->history(position_, most);
  if (!events) return pass(std::move(events.error()));
  if (events->empty()) {
    if (auto marked = write_mark(true); !marked) return pass(std::move(marked.error()));
    return 0U;
  }
  if (events->front().seq > position_ + 1) {  // the oldest ones are not kept any more
    if (auto skipped = skip_ahead(); !skipped) return pass(std::move(skipped.error()));
    return events->size();
  }
  const auto until = events->back().seq;
  const auto touched = view_->touched(std::nullopt, position_, until);
  if (!touched) return pass(touched.error());
  if (auto known = learn_latest(*events); !known) return pass(std::move(known.error()));
  auto latest = latest_;
  const auto changes = changes_of(*events, *touched, latest);
  if (auto done = queue_.publish(changes); !done) return pass(std::move(done.error()));
  if (auto done = follow_clusters(*events); !done) return pass(std::move(done.error()));
  latest_ = std::move(latest);
  position_ = until;
  if (auto marked = write_mark(false); !marked) return pass(std::move(marked.error()));
  return events->size();
}

// By its mark alone. `last` was read after the mark, so that no queue may be newer.
Result<bool> Relay::looks_wrong(const Cluster& cluster, const QueueMark& mark, std::int64_t last) {
  if (!mark.seq || *mark.seq > last) return true;
  auto known = latest_.find(cluster.id);
  if (known == latest_.end()) {
    const auto latest = view_->last_event_of(cluster.id, position_);
    if (!latest) return pass(latest.error());
    known = latest_.emplace(cluster.id, *latest).first;
  }
  return *mark.seq < known->second;
}

Result<std::size_t> Relay::remove_gone(std::span<const ClusterId> held,
                                       std::span<const Cluster> clusters) {
  std::size_t removed = 0;
  for (const auto& id : held) {
    const auto is_it = [&](const Cluster& cluster) { return cluster.id == id; };
    if (std::any_of(clusters.begin(), clusters.end(), is_it)) continue;
    if (auto gone = queue_.remove(id); !gone) return pass(std::move(gone.error()));
    ++removed;
  }
  return removed;
}

Result<std::size_t> Relay::heal(std::size_t most) {
  if (auto begun = begin(); !begun) return pass(std::move(begun.error()));
  // In this order: what the queues hold was in the database before.
  const auto held = queue_.clusters();
  if (!held) return pass(held.error());
  auto clusters = view_->all_clusters();
  if (!clusters) return pass(std::move(clusters.error()));
  const auto marks = queue_.marks(ids_of(*clusters));
  if (!marks) return pass(marks.error());
  const auto last = view_->last_event();
  if (!last) return pass(last.error());
  auto mended = remove_gone(*held, *clusters);
  if (!mended) return mended;

  std::vector<ClusterId> right;
  const auto mend = [&](const ClusterId& cluster, bool newer) -> Result<void> {
    --most;
    ++*mended;
    if (newer) {  // than the database, which then was restored: a rebuild alone is ignored
      if (auto gone = queue_.remove(cluster); !gone) return gone;
    }
    return build(cluster);
  };
  for (std::size_t i = 0; i < clusters->size(); ++i) {
    const auto& mark = marks->at(i);
    const auto wrong = looks_wrong(clusters->at(i), mark, *last);
    if (!wrong) return pass(wrong.error());
    if (!*wrong) {
      right.push_back(clusters->at(i).id);
    } else if (most > 0) {
      if (auto done = mend(clusters->at(i).id, mark.seq > *last); !done) return pass(done.error());
    }
  }
  // Those that look right, from where the last call stopped.
  std::sort(right.begin(), right.end());
  const auto next = std::upper_bound(right.begin(), right.end(), compared_);
  std::rotate(right.begin(), next, right.end());
  for (const auto& cluster : right) {
    if (most == 0) break;
    compared_ = cluster;
    const auto found = difference(*view_, queue_, cluster);
    if (!found) return pass(found.error());
    if (found->what.empty()) {
      --most;
    } else if (auto done = mend(cluster, found->newer); !done) {
      return pass(std::move(done.error()));
    }
  }
  return mended;
}

Result<std::vector<std::string>> drift(ReadView& view, WorkQueue& queue) {
  const auto held = queue.clusters();
  if (!held) return pass(held.error());
  const auto clusters = view.all_clusters();
  if (!clusters) return pass(clusters.error());
  std::vector<std::string> out;
  for (const auto& cluster : *clusters) {
    const auto found = difference(view, queue, cluster.id);
    if (!found) return pass(found.error());
    if (!found->what.empty()) {
      out.push_back(fmt::format("The queue of cluster {} ({}) {}.", cluster.name, cluster.id.str(),
                                found->what));
    }
  }
  const auto mark = view.relayed();
  if (!mark) return pass(mark.error());
  const auto last = view.last_event();
  if (!last) return pass(last.error());
  if (*last - *mark > kWorthTelling) {
    out.push_back(
        fmt::format("The relay is {} events behind: no scheduler publishes them.", *last - *mark));
  }
  const auto known = ids_of(*clusters);
  for (const auto& id : *held) {
    if (std::find(known.begin(), known.end(), id) == known.end()) {
      out.push_back(fmt::format("There is a queue of cluster {}, which does not exist.", id.str()));
    }
  }
  return out;
}

}  // namespace berth
