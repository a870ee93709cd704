// Deployments: submit, look, change, stop, and why they wait.
#pragma once
#include "service/access.h"
#include "service/committer.h"
#include "service/idempotency.h"
#include "service/runner.h"

namespace berth {

struct DeploymentWish {
  ClusterId cluster;
  std::optional<OrganizationId> organization;  // whose; absent: see acting_for()
  std::string name;                            // empty: made from the id
  DeploymentSpec spec;
  Priority priority = Priority::low;
  struct After {
    std::string deployment;          // name or id
    std::optional<Milestone> until;  // absent: a job has succeeded, a service runs
  };
  std::vector<After> after;
};

struct DeploymentQuery {
  std::optional<OrganizationId> organization;
  std::optional<ClusterId> cluster;
  std::optional<State> state;
  std::optional<Priority> priority;
  std::optional<std::string> name;
  std::optional<DeploymentId> before;
  std::size_t limit = 50;
};

// Whose log.
struct Instance {
  std::int32_t attempt = 0;  // 0: the latest
  std::int32_t replica = 0;
};

// Why it waits, with every amount, and the sentence that says it.
struct WaitExplanation {
  std::shared_ptr<const Deployment> deployment;
  std::optional<Explanation> detail;  // of the engine, while it waits
  std::string sentence;
  std::optional<StartForecast> forecast = {};
  std::optional<std::int64_t> index = {};  // in the cluster's journal
  std::optional<Timestamp> at = {};        // which moment this is about
  // The name is empty where the deployment is of an organization that the caller is not in.
  using Named = std::vector<std::pair<DeploymentId, std::string>>;
  Named blockers = {};   // the end of these would make room for it
  Named displaced = {};  // these lose their place to it
  bool in_vain = false;  // what it depends on will not come so far any more
};

class Deployments {
 public:
  Deployments(ReadSide& reads, Committer& committer, Scheduling& scheduling, Runner& runner,
              const Clock& clock, Random& random);

  // Errors: not_found (cluster), already_exists (name_taken), invalid_argument; with reason
  // exceeds_cluster and the largest size that would fit when no node could ever hold it.
  Task<Result<Once<Deployment>>> submit(Caller caller, DeploymentWish wish,
                                        std::optional<IdempotencyKey> key,
                                        std::function<StoredReply(const Deployment&)> render);
  Result<std::vector<std::shared_ptr<const Deployment>>> list(const Caller& caller,
                                                              const DeploymentQuery& query);
  Result<std::shared_ptr<const Deployment>> get(const Caller& caller, const DeploymentId& id,
                                                Operation operation);
  // Only while it is queued.
  Task<Result<Deployment>> set_priority(Caller caller, DeploymentId id, Priority priority,
                                        std::optional<std::int64_t> if_version);
  // Repeating is fine: stopping and terminal deployments are answered as they are.
  Task<Result<Deployment>> stop(Caller caller, DeploymentId id);
  // Only terminal ones.
  Task<Result<void>> remove(Caller caller, DeploymentId id, std::optional<std::int64_t> if_version);

  Result<std::vector<Event>> events(const Caller& caller, const DeploymentId& id,
                                    std::int64_t after, std::size_t limit);
  // Errors: not_found (no_such_replica).
  Task<Result<LogChunk>> logs(Caller caller, DeploymentId id, Instance instance, LogQuery query);
  Task<Result<WaitExplanation>> explain(Caller caller, DeploymentId id);
  // For people; those that are not there any more are left out.
  Result<WaitExplanation::Named> named(const Caller& caller, const std::vector<DeploymentId>& ids);

  // For the endpoint: the deployment by name or id inside an organization by name or id. No caller:
  // only those with public access are found.
  Result<std::shared_ptr<const Deployment>> serve(const std::optional<Caller>& caller,
                                                  std::string_view organization,
                                                  std::string_view deployment);
  Result<void> explain_dependencies(WaitExplanation& out);
  // Inside the unit of work, before it is inserted: checks what it names, and answers whom it
  // really has to wait for; the others have come far enough.
  Result<std::vector<Dependency>> depend(Change& change, const Actor& actor, Deployment& d,
                                         const std::vector<DeploymentWish::After>& on);
  // Errors of a wish that do not need the cluster.
  static Result<void> check(const DeploymentWish& wish, RuntimeKind runtime);

 private:
  ReadSide& reads_;
  Committer& committer_;
  Scheduling& scheduling_;
  Runner& runner_;
  const Clock& clock_;
  Random& random_;
};

// The engine's answer, unless so many run that the search would hold up those who write.
[[nodiscard]] std::vector<DeploymentId> blockers_of(const ClusterEngine& engine,
                                                    const DeploymentId& id);

}  // namespace berth
