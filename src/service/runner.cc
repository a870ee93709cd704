#include "service/runner.h"

#include <fmt/format.h>

#include <cstdio>

#include "service/log.h"

namespace berth {
namespace {

constexpr auto kLongestRepeat = std::chrono::seconds(10);
// Then the reconciler has to find out by itself.
constexpr int kTries = 20;
// Where nothing is recorded and nothing runs, rounds are this much rarer.
constexpr int kQuiet = 12;

}  // namespace

struct Runner::Site {
  Site(std::unique_ptr<Timer> timer, ClusterId id) : cluster(id), round(std::move(timer)) {}
  const ClusterId cluster;
  const std::unique_ptr<Timer> round;  // until the next look at the runtime
  bool quiet = false;  // the last look found nothing, and nothing has happened since
  std::unique_ptr<Runtime> runtime;
  std::set<AttemptKey> launching;
  std::set<AttemptKey> stopping;
  std::map<AttemptKey, std::chrono::milliseconds> stop_after_launch;
  std::optional<Timestamp> unreachable_since;
  bool closed = false;
};

Runner::Runner(asio::io_context& io, ReadSide& reads, const Clock& clock, Authority& authority,
               RuntimeFactory factory, RunnerOptions options)
    : io_(io),
      reads_(reads),
      clock_(clock),
      authority_(authority),
      factory_(std::move(factory)),
      options_(std::move(options)),
      context_{*this, {}},
      wake_timer_(options_.timers->make(io)) {}

Runner::~Runner() = default;

void Runner::connect(Committer& committer, Scheduling& scheduling, Scheduling::Changed changed) {
  committer_ = &committer;
  scheduling_ = &scheduling;
  context_.changed = std::move(changed);
}

void Runner::spawn(Task<void> task) {
  asio::co_spawn(io_.get_executor(), std::move(task), [](const std::exception_ptr& failure) {
    // A task that throws is a bug of ours; the reconciler will repair what it left undone.
    if (!failure) return;
    try {
      std::rethrow_exception(failure);
    } catch (const std::exception& e) {
      log_error("runner task failed", e.what());
    }
  });
}

void Runner::send(const ClusterId& cluster, News news, int tries) {
  auto guarded = [this, cluster, unit = news.unit](Change& change) -> Result<void> {
    if (auto proved = authority_.prove(change, cluster); !proved) return proved;
    return unit(change);
  };
  auto done = [this, cluster, news = std::move(news), tries](Result<void> outcome) {
    if (outcome || outcome.error().reason == "lease_lost") return;
    log_error(news.what, outcome.error().message);
    const auto code = outcome.error().code;
    if (code != Code::unavailable && code != Code::aborted) return;
    if (tries >= kTries && news.persistence == Persistence::for_a_while) return;
    asio::post(io_, [this, cluster, news, tries] { spawn(send_later(cluster, news, tries + 1)); });
  };
  committer_->submit(std::move(guarded), std::move(done), cluster);
}

// Whether the cluster is still ours, the proof will say: this process may only be late.
Task<void> Runner::send_later(ClusterId cluster, News news, int tries) {
  co_await pause(
      std::min<std::chrono::milliseconds>(options_.repeat_after * tries, kLongestRepeat));
  send(cluster, std::move(news), tries);
}

Task<void> Runner::pause(std::chrono::milliseconds d) {
  const auto timer = options_.timers->make(io_);
  co_await elapsed(*timer, d);
}

Task<void> Runner::pause_round(SitePtr site) {
  co_await elapsed(*site->round, options_.reconcile_every * (site->quiet ? kQuiet : 1));
}

Result<Runner::SitePtr> Runner::site(const ClusterId& id) {
  if (const auto found = sites_.find(id); found != sites_.end()) return found->second;
  if (!authority_.holds(id))
    return fail(Code::unavailable, "not_held", "Another process decides about this cluster.");
  auto cluster = reads_.cluster(id);
  if (!cluster) return std::unexpected(std::move(cluster.error()));
  if (!*cluster) return fail(Code::not_found, "not_found", "No such cluster.");
  auto runtime = factory_(**cluster);
  if (!runtime) return std::unexpected(std::move(runtime.error()));
  auto made = std::make_shared<Site>(options_.timers->make(io_), id);
  made->runtime = std::move(*runtime);
  made->runtime->listen([this, id](const Observation& seen) { observe(id, seen); });
  sites_.emplace(id, made);
  spawn(reconcile_forever(made));
  return made;
}

void Runner::observe(const ClusterId& cluster, const Observation& seen) {
  if (seen.phase == Phase::starting) return;
  ++stats_.observations;
  submit(
      cluster, [this, seen](Change& change) { return apply_observation(change, context_, seen); },
      "recording what the runtime reported");
}

// --- launching ---------------------------------------------------------------------------------

void Runner::launch(const ClusterId& cluster, Launch launch) {
  asio::post(io_, [this, cluster, launch = std::move(launch)]() mutable {
    if (!authority_.holds(cluster)) return;
    auto at = site(cluster);
    if (!at) return note_unopened(cluster, at.error());
    if ((*at)->quiet) (*at)->round->cancel();
    (*at)->quiet = false;
    if (!(*at)->launching.insert(launch.key).second) return;
    spawn(run_launch(*at, std::move(launch)));
  });
}

Task<void> Runner::run_launch(SitePtr site, Launch launch) {
  const AttemptKey key = launch.key;
  auto wait = options_.repeat_after;
  ++stats_.launches;
  for (;;) {
    Launch again = launch;
    const auto started = co_await site->runtime->ensure_running(std::move(again));
    if (started || site->closed) break;
    ++stats_.call_failures;
    if (started.error().code != Code::unavailable) {
      const std::string why = started.error().message;
      submit(
          site->cluster,
          [this, key, why](Change& c) { return apply_start_failure(c, context_, key, why); },
          "recording a failed start");
      break;
    }
    if (site->stop_after_launch.contains(key)) break;
    const std::string note = fmt::format("runtime unreachable since {}: {}",
                                         to_rfc3339(clock_.now()), started.error().message);
    submit(
        site->cluster,
        [this, id = key.deployment, note](Change& c) { return apply_note(c, context_, id, note); },
        "noting an unreachable runtime");
    co_await pause(wait);
    wait = std::min<std::chrono::milliseconds>(wait * 2, kLongestRepeat);
  }
  site->launching.erase(key);
  if (const auto asked = site->stop_after_launch.find(key);
      asked != site->stop_after_launch.end()) {
    const auto grace = asked->second;
    site->stop_after_launch.erase(asked);
    if (site->stopping.insert(key).second) spawn(run_stop(site, key, grace));
  }
}

// --- stopping ----------------------------------------------------------------------------------

void Runner::stop(const ClusterId& cluster, AttemptKey key, std::chrono::milliseconds grace) {
  asio::post(io_, [this, cluster, key, grace] {
    if (!authority_.holds(cluster)) return;
    auto at = site(cluster);
    if (!at) return note_unopened(cluster, at.error());
    if ((*at)->launching.contains(key)) {
      (*at)->stop_after_launch[key] = grace;
    } else if ((*at)->stopping.insert(key).second) {
      spawn(run_stop(*at, key, grace));
    }
  });
}

Task<void> Runner::run_stop(SitePtr site, AttemptKey key, std::chrono::milliseconds grace) {
  auto wait = options_.repeat_after;
  ++stats_.stops;
  for (;;) {
    const auto gone = co_await site->runtime->ensure_gone(key, grace);
    if (gone) break;
    if (site->closed) co_return;  // whoever has the cluster now sees to it
    ++stats_.call_failures;
    const std::string note = fmt::format("runtime unreachable since {}: {}",
                                         to_rfc3339(clock_.now()), gone.error().message);
    submit(
        site->cluster,
        [this, id = key.deployment, note](Change& c) { return apply_note(c, context_, id, note); },
        "noting an unreachable runtime");
    co_await pause(wait);
    wait = std::min<std::chrono::milliseconds>(wait * 2, kLongestRepeat);
  }
  site->stopping.erase(key);
  submit(
      site->cluster, [this, key](Change& c) { return apply_gone(c, context_, key); },
      "recording a stop");
}

void Runner::clean(const ClusterId& cluster, AttemptKey key) {
  asio::post(io_, [this, cluster, key] {
    if (!authority_.holds(cluster)) return;
    auto at = site(cluster);
    if (at) spawn(run_clean(*at, key));
  });
}

Task<void> Runner::run_clean(SitePtr site, AttemptKey key) {
  // Failing is fine: the reconciler finds what is left.
  (void)co_await site->runtime->ensure_gone(key, std::chrono::milliseconds(0));
}

void Runner::forget(const ClusterId& cluster, DeploymentId deployment) {
  asio::post(io_, [this, cluster, deployment] {
    if (!authority_.holds(cluster)) return;
    auto at = site(cluster);
    if (!at) return;
    spawn([](SitePtr s, DeploymentId id) -> Task<void> { (void)co_await s->runtime->forget(id); }(
                                             *at, deployment));
  });
}

void Runner::close(const ClusterId& cluster) {
  asio::post(io_, [this, cluster] {
    const auto found = sites_.find(cluster);
    if (found == sites_.end()) return;
    found->second->closed = true;
    found->second->round->cancel();
    sites_.erase(found);
  });
}

// --- waking ------------------------------------------------------------------------------------

void Runner::wake_at(const ClusterId& cluster, DeploymentId deployment, Timestamp when) {
  asio::post(io_, [this, cluster, deployment, when] {
    wakes_.push({when, cluster, deployment});
    arm_wake_timer();
  });
}

void Runner::arm_wake_timer() {
  if (wakes_.empty()) return;
  const auto in = std::max(wakes_.top().when.since(clock_.now()), std::chrono::microseconds(0));
  wake_timer_->wait(in, [this](bool passed) {
    if (!passed) return;
    const Timestamp now = clock_.now();
    while (!wakes_.empty() && wakes_.top().when <= now) {
      const auto [when, cluster, id] = wakes_.top();
      wakes_.pop();
      // Nothing but this ends it, as long as the cluster is ours.
      send(cluster, {[this, id](Change& c) { return apply_wake(c, context_, id); },
                     "ending a back-off", Persistence::until_it_is_done});
    }
    arm_wake_timer();
  });
}

// --- reconciling -------------------------------------------------------------------------------

Result<void> Runner::recover() {
  auto view = reads_.view();
  if (!view) return std::unexpected(std::move(view.error()));
  auto clusters = (*view)->all_clusters();
  if (!clusters) return std::unexpected(std::move(clusters.error()));
  for (const auto& cluster : *clusters) {
    if (!authority_.holds(cluster.id)) continue;
    open(cluster.id);
    submit(
        cluster.id,
        [id = cluster.id](Change& change) -> Result<void> {
          change.look_at(id);
          return {};
        },
        "settling a queue after the start");
  }
  return {};
}

void Runner::open(const ClusterId& cluster) {
  asio::post(io_, [this, cluster] {
    if (!authority_.holds(cluster)) return;
    if (auto opened = site(cluster); !opened) note_unopened(cluster, opened.error());
  });
}

void Runner::note_unopened(const ClusterId& cluster, const Error& why) {
  log_error("opening a runtime", why.message);
  if (why.code == Code::not_found || !unopened_.insert(cluster).second) return;
  spawn(open_later(cluster));
}

Task<void> Runner::open_later(ClusterId cluster) {
  co_await pause(options_.repeat_after);
  unopened_.erase(cluster);
  open(cluster);
}

Task<void> Runner::reconcile_forever(SitePtr site) {
  while (!site->closed) {
    const auto done = co_await reconcile(site);
    if (!done && !site->closed) co_await note_unreachable(site, done.error().message);
    if (done) site->unreachable_since.reset();
    if (!site->closed) co_await pause_round(site);
  }
}

Task<void> Runner::note_unreachable(SitePtr site, std::string why) {
  if (!site->unreachable_since) site->unreachable_since = clock_.now();
  const std::string note =
      fmt::format("runtime unreachable since {}: {}", to_rfc3339(*site->unreachable_since), why);
  log_error("reconciling", note);
  auto view = reads_.view();
  if (!view) co_return;
  const auto active = (*view)->active(site->cluster);
  if (!active) co_return;
  for (const auto& d : *active) {
    submit(
        site->cluster,
        [this, id = d.id, note](Change& c) { return apply_note(c, context_, id, note); },
        "noting an unreachable runtime");
  }
}

Task<Result<void>> Runner::reconcile(SitePtr site) {
  // What runs is read first, the record second: an attempt that was admitted in between is in the
  // record only, and is none of this round's business.
  auto seen = co_await site->runtime->list();
  if (!seen) co_return std::unexpected(std::move(seen.error()));
  // The record is asked even where all was quiet: a start may be in it whose commit's answer was
  // lost, and nothing else would carry it out.
  if (site->closed) co_return Result<void>{};
  const bool launching = !site->launching.empty();
  std::vector<Deployment> active;
  {
    auto view = reads_.view();
    if (!view) co_return std::unexpected(std::move(view.error()));
    auto rows = (*view)->active(site->cluster);
    if (!rows) co_return std::unexpected(std::move(rows.error()));
    active = std::move(*rows);
  }
  site->quiet = active.empty() && seen->empty() && !launching && site->launching.empty();
  std::map<AttemptKey, const Observation*> observed;
  std::vector<AttemptKey> missing;
  for (const auto& one : *seen) observed.emplace(one.key, &one);
  for (const auto& d : active) {
    for (const AttemptKey& key : d.attempt_keys()) {
      const auto found = observed.find(key);
      const Observation* what = found == observed.end() ? nullptr : found->second;
      if (found != observed.end()) observed.erase(found);
      if (repair(site, d, key.replica, what)) missing.push_back(key);
    }
  }
  for (const auto& [key, what] : observed) {
    if (site->launching.contains(key) || site->stopping.contains(key)) continue;
    // The record may be newer than the list: only what is surely not wanted goes.
    auto row = reads_.deployment(key.deployment);
    if (!row) continue;
    const bool wanted = *row && (*row)->attempt == key.number &&
                        key.replica < (*row)->spec.replicas && holds_resources((*row)->state);
    if (wanted) continue;
    ++stats_.orphans;
    co_await run_clean(site, key);
  }
  if (missing.empty()) co_return Result<void>{};
  co_return co_await judge_missing(site, std::move(missing));
}

// The record says that they run. What is not on a list that was asked for after the record was read
// is not there, whatever any clock says.
Task<Result<void>> Runner::judge_missing(SitePtr site, std::vector<AttemptKey> missing) {
  auto seen = co_await site->runtime->list();
  if (!seen) co_return std::unexpected(std::move(seen.error()));
  if (site->closed) co_return Result<void>{};
  for (const auto& one : *seen) std::erase(missing, one.key);
  for (const auto& key : missing) {
    if (site->launching.contains(key) || site->stopping.contains(key)) continue;
    ++stats_.repairs;
    Observation vanished;
    vanished.key = key;
    vanished.phase = Phase::exited;
    vanished.message = "It vanished: the runtime does not know it any more.";
    observe(site->cluster, vanished);
  }
  co_return Result<void>{};
}

bool Runner::repair(const SitePtr& site, const Deployment& d, std::int32_t replica,
                    const Observation* seen) {
  const AttemptKey key{d.id, d.attempt, replica};
  if (site->launching.contains(key) || site->stopping.contains(key) || d.is_over(replica))
    return false;
  if (d.is_ending()) {
    ++stats_.repairs;
    stop(site->cluster, key, d.spec.stop_grace);
    return false;
  }
  const bool ready = d.is_gang() ? d.gang.replicas.at(static_cast<std::size_t>(replica)).phase ==
                                       ReplicaPhase::running
                                 : d.state == State::running;
  if (seen != nullptr) {
    const bool news = seen->phase == Phase::exited || (seen->phase == Phase::running && !ready);
    if (news) observe(site->cluster, *seen);
    if (!news && d.message.starts_with("runtime unreachable")) {
      submit(
          site->cluster, [this, id = d.id](Change& c) { return apply_note(c, context_, id, ""); },
          "noting that the runtime is back");
    }
    return false;
  }
  // It may be younger than the list, so that it is not on it says nothing yet.
  if (ready && site->runtime->capabilities().survives_restart) return true;
  // Recorded but not there: a start that was never carried out is carried out now.
  ++stats_.repairs;
  launch(site->cluster, launch_of(d, replica));
  return false;
}

// --- questions from other threads --------------------------------------------------------------

Task<Result<LogChunk>> Runner::logs(ClusterId cluster, AttemptKey key, LogQuery query) {
  auto start = [this, cluster, key, query](Completion<Result<LogChunk>> done) mutable {
    asio::post(io_, [this, cluster, key, query, done = std::move(done)]() mutable {
      auto at = site(cluster);
      if (!at) return done(std::unexpected(std::move(at.error())));
      auto work = [](SitePtr s, AttemptKey k, LogQuery q,
                     Completion<Result<LogChunk>> finish) -> Task<void> {
        auto chunk = co_await s->runtime->logs(k, q);
        finish(std::move(chunk));
      };
      spawn(work(*at, key, query, std::move(done)));
    });
  };
  co_return co_await suspend_for<Result<LogChunk>>(std::move(start));
}

Task<Health> Runner::health(ClusterId cluster) {
  auto start = [this, cluster](Completion<Health> done) mutable {
    asio::post(io_, [this, cluster, done = std::move(done)]() mutable {
      auto at = site(cluster);
      if (!at) return done(Health{false, at.error().message, ""});
      auto work = [](SitePtr s, Completion<Health> finish) -> Task<void> {
        auto health = co_await s->runtime->health();
        if (s->unreachable_since) {
          health.reachable = false;
          health.message = fmt::format("unreachable since {}", to_rfc3339(*s->unreachable_since));
        }
        finish(std::move(health));
      };
      spawn(work(*at, std::move(done)));
    });
  };
  co_return co_await suspend_for<Health>(std::move(start));
}

Task<Result<std::vector<NodeCapacity>>> Runner::capacity(Cluster draft) {
  using Answer = Result<std::vector<NodeCapacity>>;
  auto start = [this, draft](Completion<Answer> done) mutable {
    asio::post(io_, [this, draft, done = std::move(done)]() mutable {
      auto made = factory_(draft);
      if (!made) return done(std::unexpected(std::move(made.error())));
      auto work = [](std::shared_ptr<Runtime> runtime, Completion<Answer> finish) -> Task<void> {
        auto answer = co_await runtime->capacity();
        finish(std::move(answer));
      };
      spawn(work(std::shared_ptr<Runtime>(std::move(*made)), std::move(done)));
    });
  };
  co_return co_await suspend_for<Answer>(std::move(start));
}

}  // namespace berth
