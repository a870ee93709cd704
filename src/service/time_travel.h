// What status, queue and explain answered at some moment, from the cluster's journal and the
// history; and the journal itself, for whoever wants to replay it. Who may ask is as for the live
// answers.
#pragma once
#include "service/clusters.h"
#include "service/deployments.h"
#include "service/past.h"

namespace berth {

class TimeTravel {
 public:
  TimeTravel(ReadSide& reads, Past& past) : reads_(reads), past_(past) {}

  // Without the runtime's health, which is not recorded.
  Task<Result<ClusterStatus>> status(Caller caller, ClusterId id, When when);
  Task<Result<QueuePage>> queue(Caller caller, ClusterId id, When when,
                                std::optional<QueuePlace> after, std::size_t limit);
  Task<Result<WaitExplanation>> explain(Caller caller, DeploymentId id, When when);

  // The cluster's journal from an index on.
  Result<std::vector<JournalEntry>> record(const Caller& caller, const ClusterId& id,
                                           std::int64_t from, std::size_t limit);

 private:
  Result<std::shared_ptr<const Cluster>> cluster(const Caller& caller, const ClusterId& id,
                                                 Operation operation);
  // Empty for what is others', and when nothing is known of it any more.
  Result<std::string> name_of(const Caller& caller, const Cluster& cluster, const DeploymentId& id);
  Result<WaitExplanation::Named> named(const Caller& caller, const Cluster& cluster,
                                       const std::vector<DeploymentId>& ids);
  // For whom it waited, and how far these were.
  Result<std::string> awaited_sentence(const Caller& caller, const Cluster& cluster,
                                       const Deployment& now, Timestamp at);
  Result<QueueItem> item(const Caller& caller, const Cluster& cluster, const QueueEntry& entry,
                         Timestamp at);

  ReadSide& reads_;
  Past& past_;
};

}  // namespace berth
