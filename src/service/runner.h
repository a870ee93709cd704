// Keeps what runs equal to what is recorded: launches, stops, watches and reconciles attempts on
// the runtimes. Lives on one io_context thread; other threads only post to it.
#pragma once
#include <map>
#include <memory>
#include <queue>
#include <set>
#include <unordered_map>

#include "async/timers.h"
#include "runtime/runtime.h"
#include "service/committer.h"
#include "service/lifecycle.h"
#include "service/read_side.h"

namespace berth {

// Makes the runtime of a cluster; only the composition root knows the adapters.
using RuntimeFactory = std::function<Result<std::unique_ptr<Runtime>>(const Cluster&)>;

struct RunnerOptions {
  std::chrono::milliseconds reconcile_every{5000};
  std::chrono::milliseconds repeat_after{
      500};  // first pause before repeating a failed call; doubles
  std::shared_ptr<const Timers> timers = std::make_shared<const SteadyTimers>();
};

struct RunnerStats {
  std::atomic<std::uint64_t> launches = 0, stops = 0, observations = 0, repairs = 0, orphans = 0;
  std::atomic<std::uint64_t> call_failures = 0;
};

class Runner final : public Dispatch {
 public:
  // Clusters that `authority` does not hold are left alone.
  Runner(asio::io_context& io, ReadSide& reads, const Clock& clock, Authority& authority,
         RuntimeFactory factory, RunnerOptions options);
  ~Runner() override;

  // The committer and the follower need each other; called once before anything runs.
  void connect(Committer& committer, Scheduling& scheduling, Scheduling::Changed changed);
  // Opens the runtime of every cluster that is held, adopts or repairs what is recorded, then
  // settles its queue.
  Result<void> recover();
  // The same for one whose authority was gained later, without its queue. From any thread.
  void open(const ClusterId& cluster);

  // Dispatch: from the committer's thread.
  void launch(const ClusterId& cluster, Launch launch) override;
  void stop(const ClusterId& cluster, AttemptKey attempt, std::chrono::milliseconds grace) override;
  void clean(const ClusterId& cluster, AttemptKey attempt) override;
  void forget(const ClusterId& cluster, DeploymentId deployment) override;
  void wake_at(const ClusterId& cluster, DeploymentId deployment, Timestamp when) override;

  // From any io thread: runs on the runner's thread.
  Task<Result<LogChunk>> logs(ClusterId cluster, AttemptKey key, LogQuery query);
  Task<Health> health(ClusterId cluster);
  Task<Result<std::vector<NodeCapacity>>> capacity(Cluster draft);
  void close(const ClusterId& cluster);

  [[nodiscard]] const RunnerStats& stats() const { return stats_; }
  [[nodiscard]] const LifecycleContext& context() const { return context_; }

 private:
  struct Site;  // one cluster's runtime and what is in flight on it
  using SitePtr = std::shared_ptr<Site>;

  Result<SitePtr> site(const ClusterId& cluster);
  void spawn(Task<void> task);
  // What could not be opened is tried again: without its site, nothing of a cluster is repaired.
  void note_unopened(const ClusterId& cluster, const Error& why);
  Task<void> open_later(ClusterId cluster);
  Task<void> run_launch(SitePtr site, Launch launch);
  Task<void> run_stop(SitePtr site, AttemptKey key, std::chrono::milliseconds grace);
  Task<void> run_clean(SitePtr site, AttemptKey key);
  Task<void> reconcile_forever(SitePtr site);
  Task<Result<void>> reconcile(SitePtr site);
  // One replica of what is recorded. True: it should run, and is not on the list.
  bool repair(const SitePtr& site, const Deployment& d, std::int32_t replica,
              const Observation* seen);
  Task<Result<void>> judge_missing(SitePtr site, std::vector<AttemptKey> missing);
  Task<void> note_unreachable(SitePtr site, std::string why);
  Task<void> pause(std::chrono::milliseconds d);
  Task<void> pause_round(SitePtr site);
  void observe(const ClusterId& cluster, const Observation& seen);
  using Unit = std::function<Result<void>(Change&)>;
  // With the authority proved first; repeated for a while when the database is away, where nothing
  // else would find it out until it is back.
  enum class Persistence { for_a_while, until_it_is_done };
  struct News {
    Unit unit;
    const char* what;
    Persistence persistence = Persistence::for_a_while;
  };
  void send(const ClusterId& cluster, News news, int tries = 0);
  void submit(const ClusterId& cluster, Unit unit, const char* what) {
    send(cluster, {std::move(unit), what});
  }
  Task<void> send_later(ClusterId cluster, News news, int tries);
  void arm_wake_timer();

  asio::io_context& io_;
  ReadSide& reads_;
  const Clock& clock_;
  Authority& authority_;
  RuntimeFactory factory_;
  RunnerOptions options_;
  Committer* committer_ = nullptr;
  Scheduling* scheduling_ = nullptr;
  LifecycleContext context_;
  RunnerStats stats_;

  std::unordered_map<ClusterId, SitePtr> sites_;
  std::set<ClusterId> unopened_;
  struct Wake {
    Timestamp when;
    ClusterId cluster;
    DeploymentId deployment;
    bool operator>(const Wake& o) const { return when > o.when; }
  };
  std::priority_queue<Wake, std::vector<Wake>, std::greater<>> wakes_;
  std::unique_ptr<Timer> wake_timer_;
};

}  // namespace berth
