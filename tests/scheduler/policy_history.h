// Random histories with times for the policies: what is displaced leaves after a grace and comes
// back to its old place, what runs ends when it has declared to, earlier, or later.
#pragma once
#include <random>
#include <vector>

#include "policy_reference.h"
#include "support.h"

namespace berth {

struct PolicyHistoryShape {
  std::uint32_t nodes = 3;
  std::uint32_t shapes = 8;  // 0: nearly every demand is different
  std::uint32_t aim_waiting = 10;
  std::uint32_t undeclared_percent = 15;
  bool tiny_low = false;  // low ones are small, so that many have to go for one high one
  bool gangs = false;     // a third has several replicas
};

class PolicyHistory {
 public:
  PolicyHistory(std::uint64_t seed, const PolicyHistoryShape& shape)
      : random_(seed), shape_(shape) {
    for (std::uint32_t n = 0; n < shape.nodes; ++n) nodes_.push_back(random_node());
    for (std::uint32_t s = 0; s < shape.shapes; ++s) demands_.push_back(random_demand());
  }

  [[nodiscard]] const std::vector<Node>& nodes() const { return nodes_; }
  [[nodiscard]] EngineTime now() const { return now_; }
  // The usual demands, with different weights.
  [[nodiscard]] TaskMix mix() const {
    TaskMix out;
    std::int64_t weight = 1;
    for (const Resources& demand : demands_) out.kinds.push_back({demand, weight = weight % 7 + 2});
    return out;
  }

  EngineEvent next(const PolicyReference& state, const ClusterEngine& engine) {
    if (below(3) > 0) now_ += static_cast<EngineTime>(below(6));
    if (++events_ % 200 == 0) high_percent_ = below(2) == 0 ? below(10) : below(70);
    if (returning_) {
      const Queued entry = *returning_;
      returning_.reset();
      return entry;
    }
    for (const auto& [id, entry] : state.active()) {
      const bool over = entry.max_run > 0 && entry.started + entry.max_run <= now_;
      if (over && below(3) > 0) return released(entry, below(10) == 0);
      if (!entry.leaving_for.is_nil() && below(3) == 0) return released(entry, true);
      if (entry.leaving && below(3) == 0) return released(entry, false);
    }
    const auto waiting = state.waiting();
    const std::uint64_t dice = below(200);
    if (dice < 3) return PauseChanged{below(5) == 0};
    if (dice < 7) return resized(engine);
    if (dice < 17 && !waiting.empty()) return Withdrawn{waiting[below(waiting.size())].id};
    if (dice < 27 && !waiting.empty()) {
      return Reprioritized{waiting[below(waiting.size())].id, random_priority()};
    }
    if (dice < 60) {
      for (const Queued& one : waiting) {
        if (one.parked) return Unparked{one.id};
      }
    }
    if (dice < 62 && !state.active().empty()) {
      auto it = state.active().begin();
      std::advance(it, static_cast<std::ptrdiff_t>(below(state.active().size())));
      return Leaving{it->first};
    }
    const bool fill = waiting.size() < shape_.aim_waiting ? below(3) > 0 : below(4) == 0;
    if (!fill && !state.active().empty()) {
      auto it = state.active().begin();
      std::advance(it, static_cast<std::ptrdiff_t>(below(state.active().size())));
      return released(it->second, below(6) == 0);
    }
    return new_entry();
  }

 private:
  std::uint64_t below(std::uint64_t n) { return random_() % n; }
  Priority random_priority() { return below(100) < high_percent_ ? Priority::high : Priority::low; }

  Node random_node() {
    const auto gpus = next_name_ == 0 || below(2) == 0 ? 1 + below(4) : 0;
    return machine("n" + std::to_string(next_name_++), 4 + static_cast<std::int64_t>(below(9)),
                   8 + static_cast<std::int64_t>(below(17)), static_cast<std::int64_t>(gpus));
  }

  Resources random_demand() {
    Resources out{static_cast<std::int64_t>(below(9)) * 500,
                  static_cast<std::int64_t>(below(17)) * kGiB / 2, 0};
    if (below(2) == 0) {
      out.gpu_milli = below(2) == 0 ? 50 * (1 + static_cast<std::int64_t>(below(19)))
                                    : 1000 * (1 + static_cast<std::int64_t>(below(3)));
    }
    if (below(20) == 0) out.cpu_milli = 8000 + static_cast<std::int64_t>(below(10)) * 1000;
    return out;
  }

  EngineEvent new_entry() {
    Resources demand = demands_.empty() ? random_demand() : demands_[below(demands_.size())];
    if (below(50) == 0) demand = res(100);  // as after a cluster shrank under it
    Queued out = queued(++counter_, random_priority(), demand);
    if (shape_.tiny_low && out.priority == Priority::low) {
      out.demand = {500 * (1 + static_cast<std::int64_t>(below(2))), kGiB / 2, 0};
    }
    out.parked = below(20) == 0;
    // Some began to wait before they are told, as one that was held.
    out.since = now_ - static_cast<EngineTime>(below(6) == 0 ? below(60) : 0);
    if (shape_.gangs && below(3) == 0) out.replicas = 2 + static_cast<std::uint32_t>(below(3));
    if (below(100) >= shape_.undeclared_percent) {
      out.max_run = 1 + static_cast<EngineTime>(below(80));
    }
    return out;
  }

  // Gone; and sometimes back in the queue at once, at its old place.
  EngineEvent released(const ActiveEntry& entry, bool again) {
    if (again) {
      returning_ = Queued{entry.id,      entry.priority, entry.order,  entry.demand,
                          below(8) == 0, now_,           entry.max_run};
      returning_->replicas = static_cast<std::uint32_t>(1 + entry.more.size());
    }
    return Released{entry.id};
  }

  EngineEvent resized(const ClusterEngine& engine) {
    std::vector<Node> next = nodes_;
    const std::uint64_t dice = below(4);
    if (dice == 0 && next.size() < shape_.nodes + 2) next.push_back(random_node());
    if (dice == 1 && next.size() > 1) {
      next.erase(next.begin() + static_cast<std::ptrdiff_t>(below(next.size())));
    }
    if (dice == 2) {
      Node changed = random_node();
      Node& node = next[below(next.size())];
      changed.name = node.name;
      node = changed;
    }
    if (dice == 3) std::shuffle(next.begin(), next.end(), random_);
    if (engine.can_resize(next).empty()) nodes_ = next;
    return Resized{nodes_};
  }

  std::mt19937_64 random_;
  PolicyHistoryShape shape_;
  std::vector<Node> nodes_;
  std::vector<Resources> demands_;
  std::optional<Queued> returning_;
  EngineTime now_ = 0;
  std::uint64_t high_percent_ = 30;
  std::uint64_t events_ = 0;
  std::uint64_t counter_ = 0;
  std::uint64_t next_name_ = 0;
};

}  // namespace berth
