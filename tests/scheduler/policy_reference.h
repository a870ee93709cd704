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

#include "plain_machine.h"
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
  replicas_displace_nobody,
  replicas_are_cleared_for_where_others_are,
  replicas_are_not_filled_in,
  replicas_fill_in_as_one,
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
    for (Node& node : nodes) machines_.push_back(plain::fresh(std::move(node)));
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
  using Machine = plain::Machine;
  using Victims = std::vector<const ActiveEntry*>;

  [[nodiscard]] bool is(PolicyFlaw flaw) const { return flaw_ == flaw; }

  [[nodiscard]] bool feasible(const Queued& q) const {
    std::uint32_t sum = 0;
    for (const Machine& m : machines_) sum += copies(plain::fresh(m.node), q.demand);
    return sum >= q.replicas;
  }

  static std::vector<Placement> places_of(const ActiveEntry& entry) {
    std::vector<Placement> out{entry.placement};
    out.insert(out.end(), entry.more.begin(), entry.more.end());
    return out;
  }
  static bool stands_on(const ActiveEntry& entry, std::uint32_t node) {
    const auto all = places_of(entry);
    return std::any_of(all.begin(), all.end(), [&](const Placement& p) { return p.node == node; });
  }
  static void take_all(std::vector<Machine>& all, const ActiveEntry& entry, std::int64_t sign = 1) {
    for (const Placement& place : places_of(entry))
      take(all[place.node], entry.demand, place, sign);
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
    take_all(machines_, found->second, -1);
    active_.erase(found);
  }
  void on(const Resized& e) {
    std::vector<Machine> next;
    for (const Node& node : e.nodes) next.push_back(plain::fresh(node));
    for (auto& [id, entry] : active_) {
      const auto move = [&](Placement& place) {
        const std::string name = machines_[place.node].node.name;
        for (std::uint32_t m = 0; m < next.size(); ++m) {
          if (next[m].node.name != name) continue;
          place.node = m;
          break;
        }
      };
      move(entry.placement);
      for (Placement& place : entry.more) move(place);
      take_all(next, entry);
    }
    machines_ = std::move(next);
  }

  // --- where ----------------------------------------------------------------------------------

  // While somebody leaves a node for somebody else, nothing starts there.
  [[nodiscard]] bool closed(std::uint32_t node) const {
    if (is(PolicyFlaw::preempt_does_not_keep_the_room)) return false;
    return std::any_of(active_.begin(), active_.end(), [&](const auto& one) {
      return stands_on(one.second, node) && !one.second.leaving_for.is_nil();
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
  [[nodiscard]] std::optional<Placement> place(const Resources& demand,
                                               const std::vector<Machine>& machines) const {
    using Key = std::tuple<std::int64_t, std::int64_t, std::uint64_t, std::int64_t>;
    std::optional<Key> best;
    std::optional<Placement> out;
    const auto offer = [&](const Placement& placement, std::int64_t first) {
      const Machine& m = machines[placement.node];
      Machine after = m;
      take(after, demand, placement);
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
    for (std::uint32_t n = 0; n < machines.size(); ++n) {
      const Machine& m = machines[n];
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

  // Each replica at the best place beside those before it.
  [[nodiscard]] std::optional<std::vector<Placement>> places(const Queued& q) const {
    std::vector<Machine> machines = machines_;
    std::vector<Placement> out;
    while (out.size() < q.replicas) {
      const auto one = place(q.demand, machines);
      if (!one) return std::nullopt;
      take(machines[one->node], q.demand, *one);
      out.push_back(*one);
    }
    return out;
  }

  // --- who ------------------------------------------------------------------------------------

  [[nodiscard]] bool may_start(const Queued& q) const { return !q.parked && feasible(q); }

  [[nodiscard]] ActiveEntry entry_of(const Queued& q, const std::vector<Placement>& where) const {
    ActiveEntry out{q.id,      q.demand, where.front(), q.priority,    q.order, now_,
                    q.max_run, {},       false,         now_ - q.since};
    out.more.assign(where.begin() + 1, where.end());
    return out;
  }

  void start(DeploymentId id, const std::vector<Placement>& where) {
    const ActiveEntry entry = entry_of(*drop(id), where);
    take_all(machines_, entry);
    active_.emplace(id, entry);
    out_.starts.push_back({id, entry.placement, entry.more});
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
  std::optional<std::pair<DeploymentId, std::vector<Placement>>> next(bool& held_up) const {
    held_up = false;
    if (const Queued* late = overdue()) {
      if (const auto where = places(*late)) return std::pair(late->id, *where);
      held_up = !is(PolicyFlaw::overdue_does_not_hold_up);
      if (held_up) return std::nullopt;
    }
    for (const Queued& q : queues_[static_cast<std::size_t>(Priority::high)]) {
      if (!may_start(q)) continue;
      if (const auto where = places(q)) return std::pair(q.id, *where);
    }
    if (first(Priority::high) != nullptr) return std::nullopt;
    for (const Queued& q : queues_[static_cast<std::size_t>(Priority::low)]) {
      if (!may_start(q)) continue;
      if (const auto where = places(q)) return std::pair(q.id, *where);
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
    return holds(without(gone)[node], d);
  }
  [[nodiscard]] std::vector<Machine> without(const Victims& gone) const {
    std::vector<Machine> out = machines_;
    for (const ActiveEntry* entry : gone) take_all(out, *entry, -1);
    for (const auto& [id, entry] : active_) {
      if (entry.leaving && !is(PolicyFlaw::ignores_who_leaves)) take_all(out, entry, -1);
    }
    return out;
  }

  [[nodiscard]] bool leaves_by_itself(const ActiveEntry& entry, std::uint32_t node) const {
    return entry.leaving && stands_on(entry, node) && !is(PolicyFlaw::ignores_who_leaves);
  }

  // The first set of `size` of the list, in its order, that is enough.
  template <class Enough>
  [[nodiscard]] static std::optional<Victims> first_set(const Victims& list, std::size_t size,
                                                        const Enough& enough) {
    std::vector<bool> pick(list.size(), false);
    if (size > list.size()) return std::nullopt;
    std::fill_n(pick.begin(), size, true);
    do {
      Victims out;
      for (std::size_t i = 0; i < list.size(); ++i) {
        if (pick[i]) out.push_back(list[i]);
      }
      if (enough(out)) return out;
    } while (std::prev_permutation(pick.begin(), pick.end()));
    return std::nullopt;
  }

  [[nodiscard]] std::optional<Victims> victims_on(std::uint32_t node, const Resources& d) const {
    const bool some_leave = std::any_of(active_.begin(), active_.end(), [&](const auto& one) {
      return leaves_by_itself(one.second, node);
    });
    Victims list = displaceable();
    std::erase_if(list, [&](const ActiveEntry* one) { return !stands_on(*one, node); });
    if (list.empty() && !some_leave) return std::nullopt;
    return fewest(list, some_leave ? 0 : 1, 3,
                  [&](const Victims& gone) { return enough(node, gone, d); });
  }

  // On all nodes that are not being cleared for others.
  [[nodiscard]] std::optional<Victims> victims_for_replicas(const Queued& q) const {
    if (is(PolicyFlaw::replicas_displace_nobody)) return std::nullopt;
    const Victims list = displaceable();
    return fewest(list, 0, list.size() <= 48 ? 3 : 1, [&](const Victims& gone) {
      const auto machines = without(gone);
      std::uint32_t sum = 0;
      for (std::uint32_t n = 0; n < machines.size(); ++n) {
        const bool shut = closed(n) && !is(PolicyFlaw::replicas_are_cleared_for_where_others_are);
        if (!shut) sum += copies(machines[n], q.demand);
      }
      return sum >= q.replicas;
    });
  }

  // The youngest first.
  [[nodiscard]] Victims displaceable() const {
    Victims list;
    for (const auto& [id, entry] : active_) {
      const bool low =
          entry.priority == Priority::low || is(PolicyFlaw::preempt_takes_high_ones_too);
      // Who has waited so long is not sent away again.
      const bool kept = rules_.age_bound && entry.waited >= *rules_.age_bound;
      const bool leaves = entry.leaving && !is(PolicyFlaw::ignores_who_leaves);
      if (low && !kept && !leaves && entry.leaving_for.is_nil()) list.push_back(&entry);
    }
    std::sort(list.begin(), list.end(), [&](const ActiveEntry* a, const ActiveEntry* b) {
      return is(PolicyFlaw::preempt_takes_the_oldest) ? a->order < b->order : a->order > b->order;
    });
    return list;
  }

  // Of at least so many; exact up to `exact`.
  template <class Enough>
  [[nodiscard]] std::optional<Victims> fewest(const Victims& list, std::size_t least,
                                              std::size_t exact, const Enough& enough) const {
    if (!enough(list)) return std::nullopt;
    for (std::size_t size = least; size <= exact; ++size) {
      if (const auto out = first_set(list, size, enough)) return out;
    }
    // More: the youngest until it is enough, then whoever is not needed is spared.
    Victims out;
    for (std::size_t i = 0; !enough(out); ++i) out.push_back(list[i]);
    for (std::size_t i = out.size(); i-- > 0 && !is(PolicyFlaw::preempt_spares_nobody);) {
      Victims fewer = out;
      fewer.erase(fewer.begin() + static_cast<std::ptrdiff_t>(i));
      if (enough(fewer)) out = fewer;
    }
    return out;
  }

  void displace_for(const std::vector<Queued>& whom) {
    std::vector<std::pair<Resources, std::uint32_t>> seen;
    std::vector<DeploymentId> served;
    for (const auto& [id, entry] : active_) {
      if (!is(PolicyFlaw::preempt_serves_twice)) served.push_back(entry.leaving_for);
    }
    for (const Queued& q : whom) {
      const std::pair asked(q.demand, q.replicas);
      if (!may_start(q) || std::find(seen.begin(), seen.end(), asked) != seen.end()) continue;
      seen.push_back(asked);
      if (std::find(served.begin(), served.end(), q.id) != served.end()) continue;
      std::optional<Victims> best;
      const auto orders = [](const Victims& v) {
        std::vector<std::uint64_t> out;
        for (const ActiveEntry* entry : v) out.push_back(entry->order);
        return out;
      };
      if (q.replicas > 1) best = victims_for_replicas(q);
      for (std::uint32_t n = 0; n < machines_.size() && q.replicas == 1; ++n) {
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
  [[nodiscard]] std::optional<EngineTime> moment(const Queued& q,
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
      if (more != nullptr) take_all(then, *more);
      for (const ActiveEntry& entry : running) {
        const bool over = entry.max_run > 0 && std::max(now_, entry.started + entry.max_run) <= t;
        if (over) take_all(then, entry, -1);
      }
      std::uint32_t sum = 0;
      for (const Machine& m : then) sum += copies(m, q.demand);
      if (sum >= q.replicas) return t;
    }
    return std::nullopt;
  }

  [[nodiscard]] bool harmless(const ActiveEntry& candidate) const {
    for (const Queued& high : queues_[static_cast<std::size_t>(Priority::high)]) {
      if (!may_start(high)) continue;
      const auto without = moment(high);
      if (!without) {
        for (const Placement& place : places_of(candidate)) {
          const Machine empty = plain::fresh(machines_[place.node].node);
          if (holds(empty, high.demand) &&
              !is(PolicyFlaw::backfill_takes_undeclared_for_endless_room)) {
            return false;
          }
        }
      } else {
        const auto with = moment(high, &candidate);
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
        const auto where = places(*late);
        if (!where) return;
        start(late->id, *where);
      }
      if (active_.contains(q.id)) continue;
      if (q.max_run == 0 && !is(PolicyFlaw::backfill_fills_in_undeclared_ones)) continue;
      if (q.replicas > 1 && is(PolicyFlaw::replicas_are_not_filled_in)) continue;
      const auto where = places(q);
      if (!where) continue;
      ActiveEntry candidate = entry_of(q, *where);
      if (is(PolicyFlaw::replicas_fill_in_as_one)) candidate.more.clear();
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
