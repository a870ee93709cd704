// The scheduler inside the writer: one decision engine per cluster, fed with what units of work
// tell, writing its decisions into the same transaction. Everything runs on the committer's thread.
//
// Where other processes write, too, a decision begins by holding the cluster and proving the
// authority, then brings the engine to what the record says: whatever the history has on this
// cluster since the engine looked last. So the engine decides about exactly what the database
// holds, and nothing of it changes before the commit.
#pragma once
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <unordered_map>

#include "runtime/runtime.h"
#include "scheduler/engine.h"
#include "scheduler/outlook.h"
#include "service/authority.h"
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

// What the runtime is told about one replica of the present attempt.
[[nodiscard]] Launch launch_of(const Deployment& d, std::int32_t replica);

// Stops those of its replicas that may still run.
void stop_living(Dispatch& dispatch, const Deployment& d);

class Scheduling final : public Follower {
 public:
  // `changed` is called after a commit for each deployment that a decision changed.
  using Changed = std::function<void(const Deployment&)>;
  Scheduling(Dispatch& dispatch, Authority& authority, Changed changed)
      : dispatch_(dispatch), authority_(authority), changed_(std::move(changed)) {}

  Result<void> follow(Change& change, std::span<const Told> told) override;
  void forget(const std::vector<ClusterId>& clusters) override;
  void settled(const std::vector<ClusterId>& clusters, std::int64_t last) override;
  // Writes what the journal has to say about the transaction.
  Result<void> before_commit(Change& change) override;

  // The engine of a cluster, loaded from the record if need be. Answers are durable state when
  // asked through Committer::inspect. Error unavailable "not_held" when another process decides.
  Result<ClusterEngine*> engine(ReadView& view, const ClusterId& cluster);
  void drop(const ClusterId& cluster) {
    forget({cluster});
    learnt_.erase(cluster);
  }

  // What the past of a cluster tells about its future. On the committer's thread.
  [[nodiscard]] Outlook& outlook(const ClusterId& cluster);

  // Where in its journal what the engine of a cluster is now stands; empty when that is not written
  // down yet. On the committer's thread.
  [[nodiscard]] std::optional<std::int64_t> recorded(const ClusterId& cluster) const;
  // Clusters whose engine is ahead of its journal. From any thread.
  [[nodiscard]] std::vector<ClusterId> behind() const;

  // Up to which event of the history the engine of a cluster has seen all that concerns it; 0 when
  // it is not loaded. From any thread.
  [[nodiscard]] std::int64_t seen(const ClusterId& cluster) const;

 private:
  // What the journal has of an engine. See also docs/scheduling.md.
  struct Journaling {
    bool begun =
        false;  // the state that it was loaded with is written, in this transaction or before
    std::optional<std::int64_t> index;  // the last durable entry that is about it
    std::string taken;                  // steps without a lock, which go with the next entry
    std::size_t taken_steps = 0;
    Timestamp taken_since;
    std::size_t events = 0;  // since the last checkpoint
    std::size_t next_checkpoint = 0;
  };
  // Read in this transaction, and held since.
  using Rows = std::map<DeploymentId, std::optional<Deployment>>;
  struct Known {
    ClusterEngine engine;
    std::int64_t version = 0;  // of the cluster
    std::int64_t seen = 0;
    std::int64_t term = 0;  // of our authority; an engine of an earlier one is worth nothing
    bool current = false;   // has seen, in this transaction and held, all that there is
    bool settled = false;   // has decided about all that it was loaded with
    // Whose the cluster is, and who else may have deployments there.
    OrganizationId owner = {};
    std::map<OrganizationId, std::uint32_t> tenants = {};
    Journaling journal = {};

    // Whoever has none has nothing there that is not over.
    [[nodiscard]] std::uint32_t tenant(const OrganizationId& whose) const {
      const auto found = tenants.find(whose);
      return found == tenants.end() ? 0 : found->second;
    }
  };
  Result<Known*> load(ReadView& view, const ClusterId& id);
  Result<void> load_waiting(ReadView& view, Known& known, const ClusterId& id);
  Result<void> follow_alone(Change& change, const ClusterId& cluster, std::span<const Told> told);
  Result<void> follow_shared(Change& change, const ClusterId& cluster, std::span<const Told> told);
  Result<bool> take_in(Change& change, Known& known, const ClusterId& cluster);
  Result<void> catch_up(Change& change, Known& known, const ClusterId& cluster,
                        std::span<const Told> told);
  Result<std::vector<EngineEvent>> news_of(Change& change, const Known& known,
                                           const ClusterId& cluster, const DeploymentId& id,
                                           const std::optional<Deployment>& row);
  Result<void> settle(Change& change, Known& known, const ClusterId& cluster);
  Result<void> decide(Change& change, Known& known, const ClusterId& cluster,
                      const std::vector<EngineEvent>& events, const Rows* rows = nullptr);
  Result<void> carry_out(Change& change, const ClusterEngine& engine, const ClusterId& cluster,
                         const Decisions& decisions, const Rows* rows = nullptr);
  Result<void> displace(Change& change, const Evict& evict);
  Result<void> admit(Change& change, const ClusterEngine& engine, const ClusterId& cluster,
                     const Start& start, const Rows* rows);
  // Every change of an engine goes through one of these two, and into its journal.
  Decisions advance(Change& change, Known& known, const ClusterId& cluster,
                    std::span<const EngineEvent> events);
  void advance_unlocked(Change& change, Known& known, const ClusterId& cluster,
                        const EngineEvent& event);
  Result<void> recollect(ReadView& view, const ClusterId& cluster);
  Outlook* outlook_for(const ClusterId& cluster, std::span<const EngineEvent> events);
  void catch_up_journal(Change& change, Known& known, const ClusterId& cluster);
  void set_current(Change& change, Known& known, const ClusterId& cluster);
  void note_seen(const ClusterId& cluster, std::int64_t seq);

  Dispatch& dispatch_;
  Authority& authority_;
  Changed changed_;
  std::unordered_map<ClusterId, Known> known_;
  // Outlives the engine, which may be loaded anew at any time, but not our authority: what others
  // have learnt meanwhile is in the journal. Of most of many clusters there is nothing.
  struct Learnt {
    std::int64_t term = 0;
    std::unique_ptr<Outlook> outlook;
  };
  std::unordered_map<ClusterId, Learnt> learnt_;
  mutable std::mutex mutex_;
  std::unordered_map<ClusterId, std::int64_t> seen_;  // guarded by mutex_
  std::set<ClusterId> behind_;                        // guarded by mutex_
};

}  // namespace berth
