// The scheduler inside the writer: one decision engine per cluster, fed with what units of work
// tell, writing its decisions into the same transaction. Everything runs on the committer's thread.
#pragma once
#include <functional>
#include <unordered_map>

#include "runtime/runtime.h"
#include "scheduler/engine.h"
#include "service/committer.h"

namespace berth {

// What has to happen outside once a decision is durable. Implemented by the Runner.
class Dispatch {
 public:
  virtual ~Dispatch() = default;
  virtual void launch(const ClusterId& cluster, Launch launch) = 0;
  virtual void stop(const ClusterId& cluster, AttemptKey attempt,
                    std::chrono::milliseconds grace) = 0;
  // The attempt has ended and its record says so: remove what is left of it.
  virtual void clean(const ClusterId& cluster, AttemptKey attempt) = 0;
  virtual void forget(const ClusterId& cluster, DeploymentId deployment) = 0;
  virtual void wake_at(const ClusterId& cluster, DeploymentId deployment, Timestamp when) = 0;
};

class Scheduling final : public Follower {
 public:
  // `changed` is called after a commit for each deployment that a decision changed.
  using Changed = std::function<void(const Deployment&)>;
  Scheduling(Dispatch& dispatch, Changed changed)
      : dispatch_(dispatch), changed_(std::move(changed)) {}

  Result<void> follow(Change& change, std::span<const Told> told) override;
  void forget(const std::vector<ClusterId>& clusters) override;

  // The engine of a cluster, loaded from the record if need be. Answers are durable state when
  // asked through Committer::inspect.
  Result<ClusterEngine*> engine(ReadView& view, const ClusterId& cluster);
  void drop(const ClusterId& cluster) { engines_.erase(cluster); }
  [[nodiscard]] const std::unordered_map<ClusterId, ClusterEngine>& engines() const {
    return engines_;
  }

 private:
  Result<void> admit_all(Change& change, const ClusterId& cluster,
                         const std::vector<Start>& starts);
  Result<void> admit(Change& change, const ClusterId& cluster, const Node& node,
                     const Start& start);

  Dispatch& dispatch_;
  Changed changed_;
  std::unordered_map<ClusterId, ClusterEngine> engines_;
};

}  // namespace berth
