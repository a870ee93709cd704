// Random histories of one cluster: events that are legal in the state that they meet.
#pragma once
#include <random>
#include <vector>

#include "reference_engine.h"
#include "support.h"

namespace berth {

struct HistoryShape {
  std::uint32_t nodes = 4;
  std::uint32_t shapes = 12;       // different demands; 0: nearly every demand is different
  std::uint32_t aim_waiting = 40;  // about how many wait
  bool gpus = true;
  bool constraints = false;   // nodes differ in model and labels, and some demands mind
  bool gangs = false;         // some have several replicas
  std::uint32_t tenants = 0;  // so many, most of them with a quota; 0: nobody asks whose it is
  bool fair = false;
};

class RandomHistory {
 public:
  RandomHistory(std::uint64_t seed, const HistoryShape& shape) : random_(seed), shape_(shape) {
    for (std::uint32_t n = 0; n < shape.nodes; ++n) nodes_.push_back(random_node());
    for (std::uint32_t s = 0; s < shape.shapes; ++s) demands_.push_back(random_demand());
    rules_.fair = shape.fair;
    for (std::uint32_t t = 0; t < shape.tenants; ++t) {
      if (t % 5 != 4) rules_.quotas.push_back(random_quota(t));
    }
  }

  [[nodiscard]] const Rules& rules() const { return rules_; }

  [[nodiscard]] const std::vector<Node>& nodes() const { return nodes_; }

  EngineEvent next(const ReferenceEngine& now, const ClusterEngine& engine) {
    const std::size_t waiting = now.high().size() + now.low().size();
    if (++events_ % 150 == 0) high_percent_ = below(2) == 0 ? below(5) : below(60);
    const std::uint64_t dice = below(100);
    if (dice < 2) return PauseChanged{below(4) == 0};
    if (dice < 5) return resized(engine);
    if (dice < 12 && waiting > 0) return Withdrawn{pick_waiting(now).id};
    if (dice < 19 && waiting > 0) {
      return Reprioritized{pick_waiting(now).id, random_priority()};
    }
    if (dice < 30) {
      if (const auto id = pick_parked(now)) return Unparked{*id};
    }
    const bool fill = waiting < shape_.aim_waiting ? below(3) > 0 : below(4) == 0;
    if (!fill && !now.active().empty()) return released(now);
    return new_entry();
  }

 private:
  std::uint64_t below(std::uint64_t n) { return random_() % n; }

  // Phases with hardly any high ones alternate with phases in which they crowd out the low ones.
  Priority random_priority() { return below(100) < high_percent_ ? Priority::high : Priority::low; }

  Node random_node() {
    // The first node has GPUs, so that every history with GPUs can use them.
    const bool with_gpus = shape_.gpus && (next_name_ == 0 || below(2) == 0);
    const auto gpus = with_gpus ? 1 + static_cast<std::int64_t>(below(4)) : 0;
    Node out = machine("n" + std::to_string(next_name_++), 4 + static_cast<std::int64_t>(below(13)),
                       8 + static_cast<std::int64_t>(below(25)), gpus);
    if (shape_.constraints) {
      const std::vector<std::string> models{"", "NVIDIA A100-SXM4", "Tesla A1000", "h100"};
      out.gpu_model = models[below(models.size())];
      if (below(3) > 0) out.labels["zone"] = below(2) == 0 ? "east" : "west";
      if (below(3) == 0) out.labels["disk"] = "fast";
    }
    return out;
  }

  Constraint random_constraint() {
    Constraint out;
    if (!shape_.constraints || below(2) == 0) return out;
    const std::vector<std::string> models{"", "", "A100", "a1000", "H100|A100", "V100"};
    out.gpu_model = models[below(models.size())];
    if (below(2) == 0) out.labels["zone"] = below(2) == 0 ? "east" : "west";
    if (below(4) == 0) out.labels["disk"] = "fast";
    return out;
  }

  Quota random_quota(std::uint32_t tenant) {
    const auto some = [&](std::int64_t least, std::uint64_t kinds, std::int64_t unit) {
      return (least + static_cast<std::int64_t>(below(kinds))) * unit;
    };
    Quota out{tenant, {some(1, 4, 2'000), some(2, 6, 4 * kGiB), some(0, 4, 700)}};
    if (below(3) == 0) out.nominal.memory_bytes = kNoQuota;
    if (below(4) == 0) out.nominal.gpu_milli = kNoQuota;
    // The first and every third one may borrow all that others leave.
    if (tenant % 3 > 0) out.borrowing = {some(0, 3, 1'000), some(0, 5, 2 * kGiB), some(0, 3, 400)};
    if (tenant % 3 == 2) out.borrowing->cpu_milli = kNoQuota;
    return out;
  }

  Resources random_demand() {
    Resources out;
    out.cpu_milli = static_cast<std::int64_t>(below(9)) * 500;
    out.memory_bytes = static_cast<std::int64_t>(below(17)) * kGiB / 2;
    if (shape_.gpus && below(2) == 0) {
      out.gpu_milli = below(2) == 0 ? 1 + static_cast<std::int64_t>(below(999))
                                    : 1000 * (1 + static_cast<std::int64_t>(below(3)));
    }
    if (below(25) == 0) out.cpu_milli = 9000 + static_cast<std::int64_t>(below(10)) * 1000;
    return out;
  }

  EngineEvent new_entry() {
    Resources demand = demands_.empty() ? random_demand() : demands_[below(demands_.size())];
    if (below(40) == 0) demand = res(100);  // as after a cluster shrank under it
    Queued out = queued(++counter_, random_priority(), demand);
    out.parked = below(15) == 0;
    out.constraint = random_constraint();
    if (shape_.tenants > 0) out.tenant = static_cast<std::uint32_t>(below(shape_.tenants));
    if (shape_.gangs && below(3) == 0) {
      out.replicas = static_cast<std::uint32_t>(below(8) == 0 ? 5 + below(20) : 2 + below(3));
    }
    return out;
  }

  // Most that end are gone for good; some come back as retries, with their old place in the queue.
  EngineEvent released(const ReferenceEngine& now) {
    if (!returning_.empty() && below(3) == 0) {
      Queued out = returning_.back();
      returning_.pop_back();
      if (!now.active().contains(out.id)) return out;
    }
    auto it = now.active().begin();
    std::advance(it, static_cast<std::ptrdiff_t>(below(now.active().size())));
    if (below(4) == 0) {
      returning_.push_back(
          {it->first, random_priority(), number_of(it->first), it->second.demand, below(2) == 0});
      returning_.back().constraint = it->second.constraint;
      returning_.back().replicas = static_cast<std::uint32_t>(1 + it->second.more.size());
      returning_.back().tenant = it->second.tenant;
    }
    return Released{it->first};
  }

  EngineEvent resized(const ClusterEngine& engine) {
    std::vector<Node> next = nodes_;
    const std::uint64_t dice = below(4);
    if (dice == 0) next.push_back(random_node());
    if (dice == 1 && next.size() > 1) next.erase(next.begin() + index(next.size()));
    if (dice == 2 && !next.empty()) {
      Node changed = random_node();
      Node& node = next[below(next.size())];
      changed.name = node.name;
      node = changed;
    }
    if (dice == 3) std::shuffle(next.begin(), next.end(), random_);
    if (engine.can_resize(next).empty()) nodes_ = next;
    return Resized{nodes_};
  }

  std::ptrdiff_t index(std::size_t n) { return static_cast<std::ptrdiff_t>(below(n)); }

  const Queued& pick_waiting(const ReferenceEngine& now) {
    const std::size_t i = below(now.high().size() + now.low().size());
    return i < now.high().size() ? now.high()[i] : now.low()[i - now.high().size()];
  }

  static std::optional<DeploymentId> pick_parked(const ReferenceEngine& now) {
    for (const auto* queue : {&now.high(), &now.low()}) {
      for (const Queued& entry : *queue) {
        if (entry.parked) return entry.id;
      }
    }
    return std::nullopt;
  }

  std::mt19937_64 random_;
  HistoryShape shape_;
  std::vector<Node> nodes_;
  std::vector<Resources> demands_;
  Rules rules_;
  std::vector<Queued> returning_;
  std::uint64_t high_percent_ = 25;
  std::uint64_t events_ = 0;
  std::uint64_t counter_ = 0;
  std::uint64_t next_name_ = 0;
};

}  // namespace berth
