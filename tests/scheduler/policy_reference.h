// Every policy of the engine, written down a second time in the plainest way: lists that are gone
// through from the front, every node looked at every time, every set of victims and every moment
// tried. It decides by itself who starts, where, on which devices, and who is displaced, and shares
// no code with the engine.
//
// `PolicyFlaw` makes it deliberately wrong, to show that a comparison would notice.
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <tuple>
#include <vector>

#include "scheduler/engine.h"

namespace berth {

enum class PolicyFlaw {
  none,
  backfill_delays_high_ones,
  backfill_heeds_only_the_first_high_one,
  backfill_takes_undeclared_for_endless_room,
  backfill_fills_in_undeclared_ones,
  backfill_looks_at_the_present_alone,
  preempt_takes_the_oldest,
  preempt_takes_high_ones_too,
  preempt_spares_nobody,
  preempt_does_not_keep_the_room,
  preempt_serves_twice,
  preempt_prefers_the_first_node,
  overdue_a_moment_later,
  overdue_only_in_its_own_queue,
  overdue_does_not_hold_up,
  overdue_high_before_older_low,
  victims_return_to_the_end,
  ignores_who_leaves,
  fit_ignores_slack,
  fit_prefers_the_last_node,
  fit_ignores_gpus,
  share_on_the_largest_device,
  mix_ignores_weights,
  mix_counts_one_kind,
};

class PolicyReference {
 public:
  PolicyReference(std::vector<Node> nodes, Rules rules, PolicyFlaw flaw = PolicyFlaw::none)
      : rules_(std::move(rules)), flaw_(flaw) {
    for (Node& node : nodes) machines_.push_back(fresh(std::move(node)));
  }

  Decisions decide(const EngineEvent& event, EngineTime now) {
    now_ = now;
    out_ = {};
    std::visit([&](const auto& e) { on(e); }, event);
    if (!paused_) process();
    return out_;
  }

  [[nodiscard]] std::vector<Queued> waiting() const {
    std::vector<Queued> out = queues_[0];
    out.insert(out.end(), queues_[1].begin(), queues_[1].end());
    return out;
  }
  [[nodiscard]] const std::map<DeploymentId, ActiveEntry>& active() const { return active_; }

 private:
  struct Machine {
    Node node;
    std::int64_t cpu = 0;
    std::int64_t memory = 0;
    std::vector<std::int64_t> devices;
  };
  using Victims = std::vector<const ActiveEntry*>;

  static Machine fresh(Node node) {
    Machine out{node, node.capacity.cpu_milli, node.capacity.memory_bytes, {}};
    out.devices.assign(static_cast<std::size_t>(node.devices()), 1000);
    return out;
  }
  [[nodiscard]] bool is(PolicyFlaw flaw) const { return flaw_ == flaw; }

  static std::int64_t whole_devices(const Machine& m) {
    return std::count(m.devices.begin(), m.devices.end(), 1000);
  }
  static bool holds(const Machine& m, const Resources& d) {
    if (m.cpu < d.cpu_milli || m.memory < d.memory_bytes) return false;
    if (d.gpu_milli == 0) return true;
    if (d.gpu_milli >= 1000) return whole_devices(m) * 1000 >= d.gpu_milli;
    return std::any_of(m.devices.begin(), m.devices.end(),
                       [&](std::int64_t free) { return free >= d.gpu_milli; });
  }
  [[nodiscard]] bool feasible(const Resources& demand) const {
    return std::any_of(machines_.begin(), machines_.end(),
                       [&](const Machine& m) { return holds(fresh(m.node), demand); });
  }
  static void take(Machine& m, const ActiveEntry& entry, std::int64_t sign = 1) {
    m.cpu -= sign * entry.demand.cpu_milli;
    m.memory -= sign * entry.demand.memory_bytes;
    for (const GpuShare& share : entry.placement.gpus) {
      m.devices[static_cast<std::size_t>(share.device)] -= sign * share.milli;
    }
  }

  // --- events ---------------------------------------------------------------------------------

  std::vector<Queued>& queue(Priority p) { return queues_[static_cast<std::size_t>(p)]; }

  void put(Queued entry, bool again = false) {
    auto& q = queue(entry.priority);
    const auto at = std::find_if(q.begin(), q.end(),
                                 [&](const Queued& other) { return other.order > entry.order; });
    q.insert(again && is(PolicyFlaw::victims_return_to_the_end) ? q.end() : at, std::move(entry));
  }
  std::optional<Queued> drop(const DeploymentId& id) {
    for (auto& q : queues_) {
      for (auto it = q.begin(); it != q.end(); ++it) {
        if (it->id != id) continue;
        Queued out = *it;
        q.erase(it);
        return out;
      }
    }
    return std::nullopt;
  }

  void on(const Queued& e) {
    put(e, e.order + 1 < next_order_);
    next_order_ = std::max(next_order_, e.order + 1);
  }
  void on(const Unparked& e) {
    Queued entry = *drop(e.id);
    entry.parked = false;
    put(entry);
  }
  void on(const Withdrawn& e) { (void)drop(e.id); }
  void on(const Reprioritized& e) {
    Queued entry = *drop(e.id);
    entry.priority = e.priority;
    put(entry);
  }
  void on(const PauseChanged& e) { paused_ = e.paused; }
  void on(const Leaving& e) {
    if (const auto found = active_.find(e.id); found != active_.end()) found->second.leaving = true;
  }
  void on(const RulesChanged& e) { rules_ = e.rules; }
  void on(const Released& e) {
    const auto found = active_.find(e.id);
    if (found == active_.end()) return;
    take(machines_[found->second.placement.node], found->second, -1);
    active_.erase(found);
  }
  void on(const Resized& e) {
    std::vector<Machine> next;
    for (const Node& node : e.nodes) next.push_back(fresh(node));
    for (auto& [id, entry] : active_) {
      const std::string name = machines_[entry.placement.node].node.name;
      for (std::uint32_t m = 0; m < next.size(); ++m) {
        if (next[m].node.name != name) continue;
        entry.placement.node = m;
        take(next[m], entry);
        break;
      }
    }
    machines_ = std::move(next);
  }

  // --- where ----------------------------------------------------------------------------------

  // While somebody leaves a node for somebody else, nothing starts there.
  [[nodiscard]] bool closed(std::uint32_t node) const {
    if (is(PolicyFlaw::preempt_does_not_keep_the_room)) return false;
    return std::any_of(active_.begin(), active_.end(), [&](const auto& one) {
      return one.second.placement.node == node && !one.second.leaving_for.is_nil();
    });
  }

  // What is free, each resource against the largest node, in units of 2^-20.
  [[nodiscard]] std::uint64_t slack(const Machine& m) const {
    Resources most;
    for (const Machine& other : machines_) {
      most.cpu_milli = std::max(most.cpu_milli, other.node.capacity.cpu_milli);
      most.memory_bytes = std::max(most.memory_bytes, other.node.capacity.memory_bytes);
      most.gpu_milli = std::max(most.gpu_milli, std::int64_t{other.node.devices()} * 1000);
    }
    const auto part = [](std::int64_t amount, std::int64_t largest) {
      return static_cast<std::uint64_t>(amount) * (std::uint64_t{1} << 20) /
             static_cast<std::uint64_t>(std::max<std::int64_t>(largest, 1));
    };
    // In MiB, so that nothing overflows; amounts here are whole ones.
    return part(m.cpu, most.cpu_milli) + part(m.memory >> 20, most.memory_bytes >> 20) +
           part(gpu_free(m), most.gpu_milli);
  }
  static std::int64_t gpu_free(const Machine& m) {
    std::int64_t sum = 0;
    for (const std::int64_t free : m.devices) sum += free;
    return sum;
  }

  // GPU capacity of the node that a demand of the kind could not use, and with a twentieth of the
  // weight what several of them could not use.
  static std::int64_t unusable(const Machine& m, const Resources& kind) {
    const std::int64_t all = gpu_free(m);
    if (!holds(m, kind) || kind.gpu_milli == 0) return 21 * all;
    std::int64_t usable = 0;
    for (const std::int64_t free : m.devices) {
      if (free >= std::min<std::int64_t>(kind.gpu_milli, 1000)) usable += free;
    }
    std::int64_t several = usable;
    std::int64_t copies = 0;
    for (std::int64_t cpu = m.cpu, memory = m.memory;
         cpu >= kind.cpu_milli && memory >= kind.memory_bytes && copies * kind.gpu_milli < usable;
         cpu -= kind.cpu_milli, memory -= kind.memory_bytes) {
      ++copies;
    }
    several = std::min(usable, copies * kind.gpu_milli);
    return 20 * (all - usable) + (all - several);
  }
  [[nodiscard]] std::int64_t fragmentation(const Machine& m) const {
    std::int64_t sum = 0;
    for (const TaskMix::Kind& kind : rules_.mix->kinds) {
      sum += (is(PolicyFlaw::mix_ignores_weights) ? 1 : kind.weight) * unusable(m, kind.demand);
      if (is(PolicyFlaw::mix_counts_one_kind)) break;
    }
    return sum;
  }

  // Every way to place the demand, and of all the best by
  // (growth of fragmentation, what the kind of demand looks at, slack, node, device).
  [[nodiscard]] std::optional<Placement> place(const Resources& demand) const {
    using Key = std::tuple<std::int64_t, std::int64_t, std::uint64_t, std::int64_t>;
    std::optional<Key> best;
    std::optional<Placement> out;
    const auto offer = [&](const Placement& placement, std::int64_t first) {
      const Machine& m = machines_[placement.node];
      Machine after = m;
      take(after, {DeploymentId(), demand, placement});
      const std::int64_t growth =
          rules_.mix ? fragmentation(after) - fragmentation(m) : std::int64_t{0};
      const std::int64_t node = is(PolicyFlaw::fit_prefers_the_last_node)
                                    ? -std::int64_t{placement.node}
                                    : std::int64_t{placement.node};
      const Key key{growth, is(PolicyFlaw::fit_ignores_gpus) ? 0 : first,
                    is(PolicyFlaw::fit_ignores_slack) ? 0 : slack(m), node};
      if (best && *best <= key) return;
      best = key;
      out = placement;
    };
    for (std::uint32_t n = 0; n < machines_.size(); ++n) {
      const Machine& m = machines_[n];
      if (closed(n) || !holds(m, demand)) continue;
      if (demand.gpu_milli == 0) {
        offer({n, {}}, gpu_free(m));
      } else if (demand.gpu_milli >= 1000) {
        Placement whole{n, {}};
        for (std::size_t d = 0; d < m.devices.size(); ++d) {
          const bool more = std::ssize(whole.gpus) * 1000 < demand.gpu_milli;
          if (more && m.devices[d] == 1000) {
            whole.gpus.push_back({static_cast<std::int32_t>(d), 1000});
          }
        }
        offer(whole, whole_devices(m));
      } else {
        for (std::size_t d = 0; d < m.devices.size(); ++d) {
          if (m.devices[d] < demand.gpu_milli) continue;
          const bool largest = is(PolicyFlaw::share_on_the_largest_device);
          offer({n, {{static_cast<std::int32_t>(d), static_cast<std::int32_t>(demand.gpu_milli)}}},
                largest ? -m.devices[d] : m.devices[d]);
        }
      }
    }
    return out;
  }

  // --- who ------------------------------------------------------------------------------------

  [[nodiscard]] bool may_start(const Queued& q) const { return !q.parked && feasible(q.demand); }

  void start(DeploymentId id, const Placement& placement) {
    const Queued q = *drop(id);
    const ActiveEntry entry{id,   q.demand,  placement, q.priority, q.order,
                            now_, q.max_run, {},        false,      now_ - q.since};
    take(machines_[placement.node], entry);
    active_.emplace(id, entry);
    out_.starts.push_back({id, placement});
  }

  [[nodiscard]] const Queued* first(Priority p) const {
    const auto& q = queues_[static_cast<std::size_t>(p)];
    const auto found =
        std::find_if(q.begin(), q.end(), [&](const Queued& one) { return may_start(one); });
    return found == q.end() ? nullptr : &*found;
  }

  // Who must not be overtaken any more.
  [[nodiscard]] const Queued* overdue() const {
    if (!rules_.age_bound) return nullptr;
    const EngineTime bound = *rules_.age_bound + (is(PolicyFlaw::overdue_a_moment_later) ? 1 : 0);
    const Queued* out = nullptr;
    for (const Priority p : {Priority::high, Priority::low}) {
      const Queued* front = first(p);
      if (front == nullptr || now_ - front->since < bound) continue;
      if (p == Priority::low && is(PolicyFlaw::overdue_only_in_its_own_queue)) continue;
      if (out == nullptr ||
          (front->since < out->since && !is(PolicyFlaw::overdue_high_before_older_low))) {
        out = front;
      }
    }
    return out;
  }

  // The next one that has to start, if any.
  std::optional<std::pair<DeploymentId, Placement>> next(bool& held_up) const {
    held_up = false;
    if (const Queued* late = overdue()) {
      if (const auto where = place(late->demand)) return std::pair(late->id, *where);
      held_up = !is(PolicyFlaw::overdue_does_not_hold_up);
      if (held_up) return std::nullopt;
    }
    for (const Queued& q : queues_[static_cast<std::size_t>(Priority::high)]) {
      if (!may_start(q)) continue;
      if (const auto where = place(q.demand)) return std::pair(q.id, *where);
    }
    if (first(Priority::high) != nullptr) return std::nullopt;
    for (const Queued& q : queues_[static_cast<std::size_t>(Priority::low)]) {
      if (!may_start(q)) continue;
      if (const auto where = place(q.demand)) return std::pair(q.id, *where);
    }
    return std::nullopt;
  }

  void process() {
    bool held_up = false;
    while (const auto one = next(held_up)) start(one->first, one->second);
    if (held_up) {
      const Queued* late = overdue();
      if (rules_.preempt && late->priority == Priority::high) displace_for({*late});
      return;
    }
    if (first(Priority::high) == nullptr) return;
    if (rules_.preempt) displace_for(queues_[static_cast<std::size_t>(Priority::high)]);
    if (rules_.backfill) fill_in();
  }

  // --- preempt --------------------------------------------------------------------------------

  // Whether the demand fits when these have left, and those that leave anyway.
  [[nodiscard]] bool enough(std::uint32_t node, const Victims& gone, const Resources& d) const {
    Machine m = machines_[node];
    for (const ActiveEntry* entry : gone) take(m, *entry, -1);
    for (const auto& [id, entry] : active_) {
      if (leaves_by_itself(entry, node)) take(m, entry, -1);
    }
    return holds(m, d);
  }

  [[nodiscard]] bool leaves_by_itself(const ActiveEntry& entry, std::uint32_t node) const {
    return entry.leaving && entry.placement.node == node && !is(PolicyFlaw::ignores_who_leaves);
  }

  // The first set of `size` of the list, in its order, that is enough.
  [[nodiscard]] std::optional<Victims> first_set(std::uint32_t node, const Victims& list,
                                                 std::size_t size, const Resources& d) const {
    std::vector<bool> pick(list.size(), false);
    if (size > list.size()) return std::nullopt;
    std::fill_n(pick.begin(), size, true);
    do {
      Victims out;
      for (std::size_t i = 0; i < list.size(); ++i) {
        if (pick[i]) out.push_back(list[i]);
      }
      if (enough(node, out, d)) return out;
    } while (std::prev_permutation(pick.begin(), pick.end()));
    return std::nullopt;
  }

  [[nodiscard]] std::optional<Victims> victims_on(std::uint32_t node, const Resources& d) const {
    Victims list;
    bool some_leave = false;
    for (const auto& [id, entry] : active_) {
      const bool low =
          entry.priority == Priority::low || is(PolicyFlaw::preempt_takes_high_ones_too);
      // Who has waited so long is not sent away again.
      const bool kept = rules_.age_bound && entry.waited >= *rules_.age_bound;
      some_leave = some_leave || leaves_by_itself(entry, node);
      if (leaves_by_itself(entry, node)) continue;
      if (entry.placement.node == node && low && !kept && entry.leaving_for.is_nil()) {
        list.push_back(&entry);
      }
    }
    std::sort(list.begin(), list.end(), [&](const ActiveEntry* a, const ActiveEntry* b) {
      return is(PolicyFlaw::preempt_takes_the_oldest) ? a->order < b->order : a->order > b->order;
    });
    if ((list.empty() && !some_leave) || !enough(node, list, d)) return std::nullopt;
    for (std::size_t size = some_leave ? 0 : 1; size <= 3; ++size) {
      if (const auto out = first_set(node, list, size, d)) return out;
    }
    // More than three: the youngest until it is enough, then whoever is not needed is spared.
    Victims out;
    for (std::size_t i = 0; !enough(node, out, d); ++i) out.push_back(list[i]);
    for (std::size_t i = out.size(); i-- > 0 && !is(PolicyFlaw::preempt_spares_nobody);) {
      Victims fewer = out;
      fewer.erase(fewer.begin() + static_cast<std::ptrdiff_t>(i));
      if (enough(node, fewer, d)) out = fewer;
    }
    return out;
  }

  void displace_for(const std::vector<Queued>& whom) {
    std::vector<Resources> seen;
    std::vector<DeploymentId> served;
    for (const auto& [id, entry] : active_) {
      if (!is(PolicyFlaw::preempt_serves_twice)) served.push_back(entry.leaving_for);
    }
    for (const Queued& q : whom) {
      if (!may_start(q) || std::find(seen.begin(), seen.end(), q.demand) != seen.end()) continue;
      seen.push_back(q.demand);
      if (std::find(served.begin(), served.end(), q.id) != served.end()) continue;
      std::optional<Victims> best;
      const auto orders = [](const Victims& v) {
        std::vector<std::uint64_t> out;
        for (const ActiveEntry* entry : v) out.push_back(entry->order);
        return out;
      };
      for (std::uint32_t n = 0; n < machines_.size(); ++n) {
        if (closed(n)) continue;
        const auto here = victims_on(n, q.demand);
        if (!here) continue;
        const bool first_node = is(PolicyFlaw::preempt_prefers_the_first_node);
        if (!best || here->size() < best->size() ||
            (here->size() == best->size() && !first_node && orders(*here) > orders(*best))) {
          best = here;
        }
      }
      if (!best) continue;
      for (const ActiveEntry* victim : *best) {
        active_.at(victim->id).leaving_for = q.id;
        out_.evictions.push_back({victim->id, q.id});
      }
    }
  }

  // --- backfill -------------------------------------------------------------------------------

  // The first moment at which the demand would fit somewhere by what has been declared, with one
  // more running or not. Absent: nobody knows.
  [[nodiscard]] std::optional<EngineTime> moment(const Resources& d,
                                                 const ActiveEntry* more = nullptr) const {
    std::vector<ActiveEntry> running;
    for (const auto& [id, entry] : active_) running.push_back(entry);
    if (more != nullptr) running.push_back(*more);
    std::vector<EngineTime> moments{now_};
    for (const ActiveEntry& entry : running) {
      if (entry.max_run > 0) moments.push_back(std::max(now_, entry.started + entry.max_run));
    }
    std::sort(moments.begin(), moments.end());
    if (is(PolicyFlaw::backfill_looks_at_the_present_alone)) moments.resize(1);
    for (const EngineTime t : moments) {
      std::vector<Machine> then = machines_;
      if (more != nullptr) take(then[more->placement.node], *more);
      for (const ActiveEntry& entry : running) {
        const bool over = entry.max_run > 0 && std::max(now_, entry.started + entry.max_run) <= t;
        if (over) take(then[entry.placement.node], entry, -1);
      }
      for (const Machine& m : then) {
        if (holds(m, d)) return t;
      }
    }
    return std::nullopt;
  }

  [[nodiscard]] bool harmless(const ActiveEntry& candidate) const {
    for (const Queued& high : queues_[static_cast<std::size_t>(Priority::high)]) {
      if (!may_start(high)) continue;
      const auto without = moment(high.demand);
      if (!without) {
        const Machine empty = fresh(machines_[candidate.placement.node].node);
        if (holds(empty, high.demand) &&
            !is(PolicyFlaw::backfill_takes_undeclared_for_endless_room)) {
          return false;
        }
      } else {
        const auto with = moment(high.demand, &candidate);
        if (!with || *with > *without) return false;
      }
      if (is(PolicyFlaw::backfill_heeds_only_the_first_high_one)) break;
    }
    return true;
  }

  void fill_in() {
    std::vector<Queued> list = queues_[static_cast<std::size_t>(Priority::low)];
    std::erase_if(list, [](const Queued& q) { return q.parked; });
    if (list.size() > 256) list.resize(256);
    for (const Queued& q : list) {
      while (const Queued* late = overdue()) {
        const auto where = place(late->demand);
        if (!where) return;
        start(late->id, *where);
      }
      if (active_.contains(q.id)) continue;
      if (q.max_run == 0 && !is(PolicyFlaw::backfill_fills_in_undeclared_ones)) continue;
      const auto where = place(q.demand);
      if (!where) continue;
      const ActiveEntry candidate{q.id, q.demand, *where, Priority::low, q.order, now_, q.max_run};
      if (harmless(candidate) || is(PolicyFlaw::backfill_delays_high_ones)) start(q.id, *where);
    }
  }

  Rules rules_;
  PolicyFlaw flaw_;
  std::vector<Machine> machines_;
  std::array<std::vector<Queued>, 2> queues_;  // by priority
  std::map<DeploymentId, ActiveEntry> active_;
  bool paused_ = false;
  EngineTime now_ = 0;
  std::uint64_t next_order_ = 0;
  Decisions out_;
};

}  // namespace berth
