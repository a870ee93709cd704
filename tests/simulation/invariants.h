// What must always hold, judged from the committed rows and from what runs, by arithmetic that
// shares nothing with the code under test.
#pragma once
#include <set>

#include "scheduler/journal.h"
#include "simulation/database.h"
#include "simulation/machines.h"

namespace berth::sim {

// A deployment as its events tell it.
struct Story {
  ClusterId cluster;
  std::string state;
  Priority priority = Priority::low;
  bool parked = false;     // in back-off
  std::int32_t unmet = 0;  // of what it depends on
  Resources demand;
  std::int32_t replicas = 1;
  std::int32_t attempt = 0;
  std::int64_t version = 0;
  bool deleted = false;
};

// So many of these a node could hold while nothing else runs, or has room for now.
[[nodiscard]] std::int64_t copies_when_empty(const Node& node, const Resources& demand);
[[nodiscard]] std::int64_t copies_now(const LedgerNode& node, const Resources& demand);

class Invariants final : public CommitObserver {
 public:
  Invariants(Simulator& simulator, const Database& database)
      : simulator_(simulator), database_(database) {}
  void watch(const Workloads& workloads) { workloads_ = &workloads; }

  void committed(const Session& session, const Tables& now, std::int64_t first_event) override;
  void started(const ClusterId& cluster, const Launch& launch);
  void stopped(const AttemptKey& asked, const AttemptKey& hit);
  // A client has been answered this.
  void acknowledged(const Deployment& d);

  [[nodiscard]] const std::string& broken() const { return broken_; }  // the first, or nothing
  [[nodiscard]] std::uint64_t transitions() const { return transitions_; }
  [[nodiscard]] const std::map<ClusterId, journal::Replay>& replays() const { return replays_; }
  [[nodiscard]] const std::map<std::string, std::uint64_t>& kinds() const { return kinds_; }
  [[nodiscard]] const std::map<DeploymentId, Story>& told() const { return told_; }
  void breaks(const std::string& invariant, const std::string& detail);

 private:
  void take_event(const Session& session, const Tables& now, const Event& event);
  void move(const Tables& now, const Event& event, const std::string& to);
  void check_start(const Session& session, const Tables& now, const Event& event,
                   const Story& started);
  void check_eviction(const Tables& now, const Event& event, const Story& evicted);
  void check_rows(const Session& session);
  void check_ledger(const Tables& now);
  void check_leases(const Session& session);
  void check_journal(const Session& session, const Tables& now, std::int64_t first_event);

  Simulator& simulator_;
  const Database& database_;
  const Workloads* workloads_ = nullptr;
  std::string broken_;
  std::int64_t last_seq_ = 0;
  std::uint64_t transitions_ = 0;
  std::map<std::string, std::uint64_t> kinds_;
  std::map<DeploymentId, Story> told_;
  std::map<AttemptKey, Grant> granted_;
  std::map<ClusterId, std::int64_t> epochs_;
  std::map<ClusterId, journal::Replay> replays_;
};

}  // namespace berth::sim
