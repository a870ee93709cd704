// When those that wait will start, as far as declared run times and the recent past tell: see
// scheduler/forecast.h. What the past tells of one cluster is learnt from what its engine is told
// and decides, so whoever goes through the cluster's journal learns the same; how far what was told
// came true is written down there, because the questions are not.
#pragma once
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "scheduler/forecast.h"
#include "scheduler/packing.h"

namespace berth {

class Outlook {
 public:
  class Starts {
   public:
    [[nodiscard]] std::optional<StartForecast> of(const DeploymentId& id) const {
      const auto found = by_id_.find(id);
      return found == by_id_.end() ? std::nullopt : std::optional(found->second);
    }
    void add(StartForecast one) { by_id_.emplace(one.id, std::move(one)); }
    [[nodiscard]] std::size_t size() const { return by_id_.size(); }
    [[nodiscard]] auto begin() const { return by_id_.begin(); }
    [[nodiscard]] auto end() const { return by_id_.end(); }
    friend bool operator==(const Starts&, const Starts&) = default;

   private:
    std::map<DeploymentId, StartForecast> by_id_;
  };

  // Before the engine decides about the events, and what it then decided. Nothing is learnt before
  // the first attempt has ended.
  void before(const ClusterEngine& engine, std::span<const EngineEvent> events, EngineTime now);
  void after(const Decisions& decided, EngineTime now);

  // Of the first of each queue, or of one wherever it stands. Those of whom nothing can be said are
  // not in the answer.
  [[nodiscard]] Starts tell(const ClusterEngine& engine, EngineTime now,
                            std::optional<DeploymentId> only = {}) const;
  // The same, and what is told is held against what comes.
  [[nodiscard]] Starts promise(const ClusterEngine& engine, EngineTime now,
                               std::optional<DeploymentId> only = {});

  // For the journal: the corrections that are not what they were when this was asked last.
  [[nodiscard]] std::vector<Promises::Lesson> take_lessons();
  void learn(const Promises::Lesson& lesson);
  [[nodiscard]] bool blank() const;  // nothing was learnt yet
  // All that was learnt, without the promises that are open.
  void put(Packer& out) const;
  void get(Unpacker& in);  // refuses what cannot be

 private:
  bool learns_ = false;
  RecentRate recent_;
  Promises promises_;
  Promises::Corrections written_;
};

}  // namespace berth
