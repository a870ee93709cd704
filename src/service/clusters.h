// Clusters: capacity, pause, status and the queue.
#pragma once
#include "scheduler/plan.h"
#include "service/access.h"
#include "service/committer.h"
#include "service/idempotency.h"
#include "service/live_engine.h"
#include "service/quotas.h"
#include "service/runner.h"

namespace berth {

struct ClusterWish {
  OrganizationId organization;
  std::string name;
  RuntimeConfig runtime;
  Policy policy = Policy::strict;
  PlacementRule placement = PlacementRule::best_fit;
  std::optional<std::chrono::milliseconds> age_bound;
  bool fair = false;
  std::optional<Resources> totals;  // one node of this size ...
  std::vector<Node> nodes;          // ... or these; neither: what the runtime finds
};

struct ClusterPatch {
  std::optional<std::string> name;
  std::optional<Resources> totals;  // for clusters of one node
  std::optional<std::vector<Node>> nodes;
  std::optional<Policy> policy;
  std::optional<PlacementRule> placement;
  std::optional<std::optional<std::chrono::milliseconds>> age_bound;  // inside absent: none
  std::optional<bool> fair;
  std::optional<std::int64_t> if_version;
};

struct ClusterStatus {
  Cluster cluster;
  EngineStatus engine;
  std::vector<QuotaRow> quotas;       // of a shared cluster, or one with a quota; else nothing
  std::optional<Health> health;       // of now; empty in answers about the past
  std::optional<std::int64_t> index;  // in the cluster's journal
  std::optional<Timestamp> at;        // which moment this is about
};

struct QueueItem {
  QueueEntry entry;
  std::string name;  // empty: another organization's
  bool mine = true;  // of an organization of the caller's
  Timestamp queued_at;
  std::optional<Timestamp> retry_at;
  std::optional<StartForecast> forecast;
  std::optional<std::int32_t> replicas = {};  // empty: it is deleted by now
};

// Where an entry stands in the queue, whatever comes and goes around it: the band (high, low, then
// the same for those in back-off) and the admission number.
struct QueuePlace {
  int band = 0;
  std::uint64_t order = 0;
  friend auto operator<=>(const QueuePlace&, const QueuePlace&) = default;
};
[[nodiscard]] QueuePlace place_of(const QueueEntry& entry);
// The entries behind a place, or from the first on.
[[nodiscard]] std::vector<QueueEntry> queue_behind(const ClusterEngine& engine,
                                                   const std::optional<QueuePlace>& after,
                                                   std::size_t limit);

struct QueuePage {
  std::vector<QueueItem> items;
  std::optional<std::int64_t> index;  // in the cluster's journal
  std::optional<Timestamp> at;        // which moment this is about
};

struct ClusterRules {
  std::vector<RuntimeKind> runtimes;  // those that this server offers
  std::size_t nodes = 10'000;
};

class Clusters {
 public:
  Clusters(ReadSide& reads, Committer& committer, Scheduling& scheduling, Runner& runner,
           const Clock& clock, Random& random, ClusterRules rules);

  Task<Result<Once<Cluster>>> create(Caller caller, ClusterWish wish,
                                     std::optional<IdempotencyKey> key,
                                     std::function<StoredReply(const Cluster&)> render);
  Result<std::vector<Cluster>> list(const Caller& caller, std::optional<OrganizationId> org,
                                    std::optional<ClusterId> after, std::size_t limit);
  Result<std::shared_ptr<const Cluster>> get(const Caller& caller, const ClusterId& id,
                                             Operation operation);
  Task<Result<Cluster>> update(Caller caller, ClusterId id, ClusterPatch patch);
  Task<Result<Cluster>> set_paused(Caller caller, ClusterId id, bool paused);
  // failed_precondition with the list while something waits or runs.
  Task<Result<void>> remove(Caller caller, ClusterId id, std::optional<std::int64_t> if_version);

  Task<Result<ClusterStatus>> status(Caller caller, ClusterId id);
  // The engine's figures without asking who wants them: for metrics.
  Task<Result<EngineStatus>> measure(ClusterId id);
  Task<Result<QueuePage>> queue(Caller caller, ClusterId id, std::optional<QueuePlace> after,
                                std::size_t limit);
  // What the commands would do, on a copy of the engine.
  Task<Result<Seen<Plan>>> plan(Caller caller, ClusterId id, std::vector<PlanCommand> commands);
  // The same in time, where who has declared a longest run time ends just then.
  Task<Result<Seen<Foresight>>> simulate(Caller caller, ClusterId id,
                                         std::vector<TimedCommand> commands,
                                         std::chrono::milliseconds horizon);
  // For people; of those that are not there any more or are others', nothing.
  Result<std::map<DeploymentId, std::string>> names(const Caller& caller,
                                                    const std::set<DeploymentId>& ids);
  // As whose a hypothetical submission counts.
  Result<std::uint32_t> tenant(const Caller& caller, const ClusterId& id,
                               const std::optional<OrganizationId>& asked,
                               const std::string& pointer);

 private:
  Result<void> apply_rules(Change& change, Cluster& cluster, const ClusterPatch& patch);
  Result<void> apply_patch(Change& change, Cluster& cluster, const ClusterPatch& patch);
  struct Copy {
    ClusterEngine engine;
    EngineTime now;
  };
  Task<Result<Seen<Copy>>> copy_of_engine(Caller caller, ClusterId id);

  ReadSide& reads_;
  Committer& committer_;
  Scheduling& scheduling_;
  Runner& runner_;
  const Clock& clock_;
  Random& random_;
  const ClusterRules rules_;
};

}  // namespace berth
