// The clusters of one scheduler among many. A row of the database says which scheduler is alive
// until when, another which of them has which cluster, with an epoch that only grows; all deadlines
// are on the database's clock. Each scheduler works out by itself how many clusters it should have:
// as many as any other, give or take one. Whoever has more gives up, whoever has fewer takes what
// is free or what a dead one had.
#pragma once
#include <atomic>
#include <shared_mutex>
#include <unordered_map>

#include "service/authority.h"

namespace berth {

// How many of `clusters` scheduler `me` should have among the living ones (in order, with `me`).
[[nodiscard]] std::size_t fair_share(std::size_t clusters, const std::vector<std::string>& living,
                                     const std::string& me);

class Leases final : public Authority {
 public:
  struct Rules {
    std::string id;       // of this start of this process
    std::string address;  // where API processes ask; empty: nowhere
    std::chrono::milliseconds lasts{5000};
    const SteadyTime* time = &kSteadyTime;
  };
  struct Listener {
    std::function<void(const ClusterId&)> gained, lost;  // from the thread that found out
  };
  // `store` is written from round() and retire() alone: one of its own.
  Leases(Store& store, Rules rules, Listener listener);

  // Before the first round.
  void set_address(std::string address) { rules_.address = std::move(address); }
  // Says that this process lives, then gives up and takes what it should. Several times within a
  // lease's time, from one thread.
  Result<void> round();
  // Gives everything up at once. From the same thread.
  Result<void> retire();

  [[nodiscard]] bool holds(const ClusterId& cluster) const override;
  [[nodiscard]] std::int64_t term(const ClusterId& cluster) const override {
    const std::shared_lock lock(mutex_);
    const auto found = held_.find(cluster);
    return found == held_.end() ? 0 : found->second.term;
  }
  Result<void> prove(Change& change, const ClusterId& cluster) override;
  [[nodiscard]] std::size_t count() const;
  // True for one of the living: the first by id. It does what needs to be done once.
  [[nodiscard]] bool leads() const { return leads_ && alive(); }
  // The schedulers that lived in the last round.
  [[nodiscard]] std::vector<std::string> living() const;
  [[nodiscard]] const Rules& rules() const { return rules_; }

 private:
  [[nodiscard]] bool alive() const;
  Result<void> beat();
  Result<void> find_losses(ReadView& view);
  Result<void> give_up(std::size_t surplus);
  Result<void> take(ReadView& view, std::size_t missing);
  void lose(const ClusterId& cluster);
  void resume();
  struct Held {
    std::int64_t epoch = 0;  // the database's
    std::int64_t term = 0;   // ours: grows also where we were late, but nobody else took it
  };
  bool keep(const ClusterId& cluster, std::int64_t epoch);
  [[nodiscard]] std::optional<std::int64_t> epoch_of(const ClusterId& cluster) const;

  Store& store_;
  std::unique_ptr<ReadView> view_;  // opened once
  Rules rules_;
  const Listener listener_;
  mutable std::shared_mutex mutex_;
  std::unordered_map<ClusterId, Held> held_;  // guarded by mutex_
  std::int64_t terms_ = 0;                    // guarded by mutex_
  std::vector<std::string> living_;           // guarded by mutex_
  std::atomic<bool> leads_ = false;
  // Our own deadline, counted from before the database heard of it: never later than its own.
  std::atomic<std::chrono::steady_clock::time_point> until_{};
};

}  // namespace berth
