#include "service/past.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "scheduler/journal.h"
#include "service/json_text.h"
#include "service/recollection.h"

namespace berth {
namespace {

constexpr int kQueue = 64;  // questions that wait for their turn
constexpr std::size_t kMoments = 16;
constexpr std::size_t kWeight = 2'000'000;  // deployments in all that are kept

std::unexpected<Error> no_record() {
  return fail_field("at", "before_record",
                    "Nothing was recorded of this cluster yet: its record begins with its first "
                    "deployment.");
}

std::size_t weight_of(const ClusterEngine& engine) {
  return 1 + engine.waiting() + engine.active_count();
}

std::optional<std::int32_t> number_in(const Event& event, std::string_view key) {
  const auto text = json_member(event.data, key);
  if (!text || text->empty()) return std::nullopt;
  return static_cast<std::int32_t>(std::strtol(text->c_str(), nullptr, 10));
}

// What one event says about the deployment after it.
void apply(Deployment& d, const Event& event) {
  const std::string what = event.kind.substr(std::string_view("deployment.").size());
  if (what == "priority_changed") {
    const auto to = json_member(event.data, "to");
    if (const auto priority = from_text<Priority>(to.value_or(""))) d.priority = *priority;
  } else if (what == "noted") {
    d.message = json_member(event.data, "message").value_or("");
  } else if (constexpr std::string_view kReplica = "replica_"; what.starts_with(kReplica)) {
    d.message = json_member(event.data, "message").value_or("");
    const auto phase = from_text<ReplicaPhase>(what.substr(kReplica.size()));
    const auto replica = static_cast<std::size_t>(number_in(event, "replica").value_or(0));
    if (replica < d.gang.replicas.size())
      d.gang.replicas[replica].phase = phase.value_or(ReplicaPhase::exited);
  } else if (what == "retrying") {
    d.retry_at.reset();
  } else if (const auto state = from_text<State>(what)) {
    d.state = *state;
    if (const auto attempt = number_in(event, "attempt")) d.attempt = *attempt;
    d.message = json_member(event.data, "message").value_or("");
    const auto retry_at = json_member(event.data, "retry_at");
    d.retry_at = retry_at ? from_rfc3339(*retry_at) : std::nullopt;
    if (*state != State::starting) return;
    d.admitted_at = event.at;
    if (d.is_gang()) d.gang.replicas.assign(static_cast<std::size_t>(d.spec.replicas), {});
  }
}

}  // namespace

Past::Past(ReadSide& reads, const Clock& clock) : reads_(reads), clock_(clock) {}
Past::~Past() { stop(); }
void Past::stop() { pool_.join(); }

Task<Past::Answer> Past::at(ClusterId cluster, When when) {
  if (waiting_.fetch_add(1) >= kQueue) {
    --waiting_;
    co_return std::unexpected(Error{Code::unavailable,
                                    "overloaded",
                                    "Too many questions about the past at once; ask again.",
                                    {},
                                    std::chrono::seconds(1)});
  }
  auto start = [this, cluster, when](Completion<Answer> done) {
    // Shared, because the pool wants something that can be copied.
    auto shared = std::make_shared<Completion<Answer>>(std::move(done));
    boost::asio::post(pool_, [this, cluster, when, shared] {
      auto answer = rebuild(cluster, when);
      --waiting_;
      (*shared)(std::move(answer));
    });
  };
  co_return co_await suspend_for<Answer>(std::move(start));
}

Result<JournalMark> Past::mark_of(ReadView& view, const ClusterId& cluster, const When& when) {
  const auto end = view.journal_end(cluster);
  if (!end) return std::unexpected(end.error());
  if (!*end) return no_record();
  if (const auto* index = std::get_if<std::int64_t>(&when)) {
    if (*index < 1 || *index > (*end)->index) {
      return fail_field("at", "out_of_range",
                        fmt::format("The record has the indices 1 to {}.", (*end)->index));
    }
    const auto entry = view.journal(cluster, *index, 1);
    if (!entry) return std::unexpected(entry.error());
    if (entry->empty()) return no_record();  // the cluster is being deleted
    return JournalMark{entry->front().index, entry->front().at};
  }
  const Timestamp time = std::get<Timestamp>(when);
  if (time > clock_.now())
    return fail_field("at", "in_the_future", "That time has not come yet; a plan looks ahead.");
  const auto mark = view.journal_at(cluster, time);
  if (!mark) return std::unexpected(mark.error());
  if (*mark) return **mark;
  const auto first = view.journal(cluster, 1, 1);
  if (!first) return std::unexpected(first.error());
  if (first->empty()) return no_record();
  return fail_field("at", "before_record",
                    fmt::format("The record of this cluster begins at {}; ask about a time since.",
                                to_rfc3339(first->front().at)));
}

// It counts as used.
std::shared_ptr<const Moment> Past::newest(const ClusterId& cluster, std::int64_t until) {
  auto best = kept_.end();
  for (auto one = kept_.begin(); one != kept_.end(); ++one) {
    if (one->cluster != cluster || one->moment->index() > until) continue;
    if (best == kept_.end() || one->moment->index() > best->moment->index()) best = one;
  }
  if (best == kept_.end()) return nullptr;
  kept_.splice(kept_.begin(), kept_, best);
  return kept_.front().moment;
}

void Past::keep(const ClusterId& cluster, std::shared_ptr<const Moment> moment,
                std::size_t weight) {
  kept_.push_front({cluster, std::move(moment), weight});
  std::size_t sum = 0, count = 0;
  for (auto one = kept_.begin(); one != kept_.end();) {
    sum += one->weight;
    const bool too_much = ++count > 1 && (count > kMoments || sum > kWeight);
    one = too_much ? kept_.erase(one) : std::next(one);
  }
}

Past::Answer Past::rebuild(const ClusterId& cluster, const When& when) {
  auto view = reads_.view();
  if (!view) return std::unexpected(std::move(view.error()));
  const auto mark = mark_of(**view, cluster, when);
  if (!mark) return std::unexpected(mark.error());
  auto moment = moment_at(**view, cluster, *mark);
  if (!moment) return std::unexpected(std::move(moment.error()));
  const auto* time = std::get_if<Timestamp>(&when);
  return AsOf{std::move(*moment), time != nullptr ? *time : mark->at};
}

Result<std::shared_ptr<const Moment>> Past::moment_at(ReadView& view, const ClusterId& cluster,
                                                      JournalMark mark) {
  const auto near = newest(cluster, mark.index);
  if (near && near->index() == mark.index) return near;
  const auto checkpoint = view.journal_checkpoint(cluster, mark.index);
  if (!checkpoint) return std::unexpected(checkpoint.error());
  if (!*checkpoint) {
    return fail(Code::internal, "journal_damaged",
                "The cluster's record has no state to begin with.");
  }
  std::optional<journal::Replay> replay;
  std::int64_t next = **checkpoint;
  if (near && near->index() >= next) {
    next = near->index() + 1;
    replay.emplace(journal::Mode::follow, near->index(),
                   near->look([](const ClusterEngine& engine) { return engine.clone(); }),
                   near->outlook());
  } else {
    replay.emplace(journal::Mode::follow, journal::Learning::yes);
  }
  const auto there = replay_entries(view, cluster, *replay, next, mark.index);
  if (!there) return std::unexpected(there.error());
  if (!*there) return no_record();
  auto engine = replay->take_engine();
  if (!engine) return fail(Code::internal, "journal_damaged", "The record holds no state.");
  const std::size_t weight = weight_of(*engine);
  auto moment = std::make_shared<const Moment>(mark, std::move(*engine), *replay->outlook());
  keep(cluster, moment, weight);
  return moment;
}

// What the history has of one deployment, in order, until `use` has enough.
Result<void> Past::each_event(const OrganizationId& organization, const DeploymentId& id,
                              const std::function<bool(const Event&)>& use) {
  auto view = reads_.view();
  if (!view) return std::unexpected(std::move(view.error()));
  EventFilter filter;
  filter.organizations = {organization};
  filter.deployment = id;
  filter.limit = 200;
  for (;;) {
    auto events = (*view)->events(filter);
    if (!events) return std::unexpected(std::move(events.error()));
    for (const auto& event : *events) {
      if (!use(event)) return {};
    }
    if (events->size() < filter.limit) return {};
    filter.after = events->back().seq;
  }
}

Result<Deployment> Past::as_of(const Deployment& now, Timestamp time) {
  Deployment out = now;
  out.retry_at.reset();
  out.message.clear();
  bool any = false;
  auto read = each_event(now.organization, now.id, [&](const Event& event) {
    if (event.at > time) return false;
    any = true;
    apply(out, event);
    return true;
  });
  if (!read) return std::unexpected(std::move(read.error()));
  // Of what is not kept any more, only what is now is known.
  return any ? out : now;
}

Result<std::vector<Dependency>> Past::unmet(const Deployment& now, Timestamp time) {
  auto view = reads_.view();
  if (!view) return std::unexpected(std::move(view.error()));
  auto still = (*view)->dependencies(now.id);
  if (!still) return std::unexpected(std::move(still.error()));
  std::set<DeploymentId> open;
  for (const auto& one : *still) open.insert(one.on);
  auto read = each_event(now.organization, now.id, [&](const Event& event) {
    if (event.kind != "deployment.dependency_met" || event.at <= time) return true;
    const auto on = json_member(event.data, "on");
    if (const auto id = on ? DeploymentId::parse(*on) : std::nullopt) open.insert(*id);
    return true;
  });
  if (!read) return std::unexpected(std::move(read.error()));
  std::vector<Dependency> out;
  for (const auto& one : now.spec.depends_on) {
    if (open.contains(one.on)) out.push_back(one);
  }
  return out;
}

Result<std::string> Past::name_of(const OrganizationId& organization, const DeploymentId& id) {
  std::string out;
  auto read = each_event(organization, id, [&](const Event& event) {
    if (event.kind != "deployment.queued" && event.kind != "deployment.deleted") return true;
    auto name = json_member(event.data, "name");
    if (name) out = std::move(*name);
    return !name.has_value();
  });
  if (!read) return std::unexpected(std::move(read.error()));
  return out;
}

}  // namespace berth
