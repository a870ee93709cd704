// The scheduling rules, written down a second time in the plainest way: two lists, gone through
// from the front after every event, every node looked at every time. It takes over where the engine
// under test placed a deployment, after making sure that the place is one; which deployments start,
// and in which order, it decides by itself.
//
// `Flaw` makes it deliberately wrong, to show that a comparison would notice.
#pragma once
#include <algorithm>
#include <array>
#include <cctype>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "plain_machine.h"
#include "scheduler/engine.h"

namespace berth {

enum class Flaw {
  none,
  low_before_high_is_empty,
  first_misfit_blocks_the_queue,
  parked_blocks_low,
  too_large_blocks_low,
  newest_first,
  pause_is_ignored,
  forgets_the_last_node,
  shares_may_span_devices,
  release_of_gpus_is_forgotten,
  priority_change_loses_the_place,
  constraints_are_ignored,
  labels_are_ignored,
  models_match_within_words,
  one_replica_is_enough,
  replicas_need_different_nodes,
  only_the_first_replica_is_released,
  quotas_are_ignored,
  nobody_borrows,
  lenders_wait_for_borrowers,
  borrowing_has_no_limit,
  only_the_first_replica_counts,
  over_quota_blocks_low,
  own_high_does_not_block_low,
  shares_are_ignored,
  shares_are_not_weighted,
};

class ReferenceEngine {
 public:
  explicit ReferenceEngine(std::vector<Node> nodes, Flaw flaw = Flaw::none, Rules rules = {})
      : flaw_(flaw), rules_(std::move(rules)) {
    for (Node& node : nodes) machines_.push_back(plain::fresh(std::move(node)));
  }

  // Applies the event and compares; empty when `starts` is what has to happen, else a sentence.
  std::string follow(const EngineEvent& event, const std::vector<Start>& starts) {
    std::visit([&](const auto& e) { on(e); }, event);
    return process(starts);
  }

  [[nodiscard]] const std::vector<Queued>& high() const { return high_; }
  [[nodiscard]] const std::vector<Queued>& low() const { return low_; }
  [[nodiscard]] const std::map<DeploymentId, ActiveEntry>& active() const { return active_; }
  [[nodiscard]] bool paused() const { return paused_; }

 private:
  using Machine = plain::Machine;

  [[nodiscard]] bool fits(const Machine& machine, const Resources& demand) const {
    if (machine.cpu < demand.cpu_milli || machine.memory < demand.memory_bytes) return false;
    if (demand.gpu_milli == 0) return true;
    if (demand.gpu_milli < 1000) {
      std::int64_t together = 0;
      for (const std::int64_t free : machine.devices) {
        if (free >= demand.gpu_milli) return true;
        together += free;
      }
      return flaw_ == Flaw::shares_may_span_devices && together >= demand.gpu_milli;
    }
    const auto whole = std::count(machine.devices.begin(), machine.devices.end(), 1000);
    return whole * 1000 >= demand.gpu_milli;
  }

  // The words of a text, in small letters.
  static std::vector<std::string> words(const std::string& text) {
    std::vector<std::string> out(1);
    for (const char c : text) {
      if (std::isalnum(static_cast<unsigned char>(c)) != 0) {
        out.back() += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      } else {
        out.emplace_back();
      }
    }
    return out;
  }

  // Alternatives are single words here.
  [[nodiscard]] bool model_allowed(const std::string& alternatives, const Node& node) const {
    for (const std::string& wanted : words(alternatives)) {
      for (const std::string& word : words(node.gpu_model)) {
        if (wanted == word) return true;
        if (flaw_ == Flaw::models_match_within_words && word.starts_with(wanted)) return true;
      }
    }
    return false;
  }

  [[nodiscard]] bool allowed(const Machine& machine, const Constraint& constraint) const {
    if (flaw_ == Flaw::constraints_are_ignored) return true;
    if (!constraint.gpu_model.empty() && !model_allowed(constraint.gpu_model, machine.node)) {
      return false;
    }
    for (const auto& [name, value] : constraint.labels) {
      if (flaw_ == Flaw::labels_are_ignored) continue;
      if (!machine.node.labels.contains(name) || machine.node.labels.at(name) != value)
        return false;
    }
    return true;
  }

  // So many replicas, one placed after the other; at most `wanted`.
  [[nodiscard]] std::uint32_t side_by_side(Machine machine, const Queued& entry,
                                           std::uint32_t wanted) const {
    if (!allowed(machine, entry.constraint)) return 0;
    std::uint32_t placed = 0;
    while (placed < wanted && fits(machine, entry.demand)) {
      ++placed;
      if (flaw_ == Flaw::replicas_need_different_nodes) break;
      machine.cpu -= entry.demand.cpu_milli;
      machine.memory -= entry.demand.memory_bytes;
      std::int64_t gpu = entry.demand.gpu_milli;
      for (std::int64_t& device : machine.devices) {
        const auto part = std::min<std::int64_t>(gpu, 1000);
        if (part == 0 || device < part) continue;
        device -= part;
        gpu -= part;
      }
    }
    return placed;
  }

  [[nodiscard]] bool fits_somewhere(const Queued& entry) const {
    const std::uint32_t wanted = flaw_ == Flaw::one_replica_is_enough ? 1 : entry.replicas;
    std::uint32_t placed = 0;
    const std::size_t last =
        machines_.size() - (flaw_ == Flaw::forgets_the_last_node && machines_.size() > 1 ? 1 : 0);
    for (std::size_t m = 0; m < last; ++m) {
      placed += side_by_side(machines_[m], entry, wanted - placed);
      if (placed == wanted) return true;
    }
    return false;
  }

  [[nodiscard]] bool feasible(const Queued& entry) const {
    std::uint32_t placed = 0;
    for (const Machine& machine : machines_) {
      placed += side_by_side(plain::fresh(machine.node), entry, entry.replicas - placed);
      if (placed == entry.replicas) return true;
    }
    return false;
  }

  [[nodiscard]] bool high_is_empty() const {
    for (const Queued& q : high_) {
      if (q.parked && flaw_ != Flaw::parked_blocks_low) continue;
      if (!quota_allows(q) && flaw_ != Flaw::over_quota_blocks_low) continue;
      if (feasible(q) || flaw_ == Flaw::too_large_blocks_low) return false;
    }
    return true;
  }

  // --- tenants --------------------------------------------------------------------------------

  static constexpr std::array kResources{&Resources::cpu_milli, &Resources::memory_bytes,
                                         &Resources::gpu_milli};

  [[nodiscard]] const Quota* quota_of(std::uint32_t tenant) const {
    for (const Quota& quota : rules_.quotas) {
      if (quota.tenant == tenant) return &quota;
    }
    return nullptr;
  }

  [[nodiscard]] std::int64_t used(std::uint32_t tenant, std::int64_t Resources::* r) const {
    std::int64_t sum = 0;
    for (const auto& [id, entry] : active_) {
      if (entry.tenant != tenant) continue;
      const bool all = flaw_ != Flaw::only_the_first_replica_counts;
      sum += entry.demand.*r * (all ? 1 + std::ssize(entry.more) : 1);
    }
    return sum;
  }

  [[nodiscard]] bool quota_allows(const Queued& entry) const {
    const Quota* quota = quota_of(entry.tenant);
    if (quota == nullptr || flaw_ == Flaw::quotas_are_ignored) return true;
    for (const auto r : kResources) {
      const bool all = flaw_ != Flaw::only_the_first_replica_counts;
      const std::int64_t asked = entry.demand.*r * (all ? entry.replicas : 1);
      const std::int64_t then = used(entry.tenant, r) + asked;
      if (quota->nominal.*r == kNoQuota || asked == 0) continue;
      std::int64_t unused = 0;  // by all together
      for (const Quota& other : rules_.quotas) {
        if (other.nominal.*r != kNoQuota) unused += other.nominal.*r - used(other.tenant, r);
      }
      const bool within_own = then <= quota->nominal.*r;
      if (within_own && (flaw_ != Flaw::lenders_wait_for_borrowers || asked <= unused)) continue;
      const bool within_limit = !quota->borrowing || (*quota->borrowing).*r == kNoQuota ||
                                then <= quota->nominal.*r + (*quota->borrowing).*r ||
                                flaw_ == Flaw::borrowing_has_no_limit;
      if (!within_limit || asked > unused || flaw_ == Flaw::nobody_borrows) return false;
    }
    return true;
  }

  // Whether a low one must leave its tenant's quota to a high one.
  [[nodiscard]] bool own_high_waits(const Queued& entry) const {
    if (rules_.quotas.empty() || flaw_ == Flaw::own_high_does_not_block_low) return false;
    for (const Queued& q : high_) {
      if (!q.parked && q.tenant == entry.tenant && feasible(q)) return true;
    }
    return false;
  }

  [[nodiscard]] bool may_start(const Queued& entry) const {
    if (entry.parked || !quota_allows(entry)) return false;
    return entry.priority == Priority::high || !own_high_waits(entry);
  }

  // In millionths, of the nominal quota or else of the cluster.
  [[nodiscard]] std::int64_t share_of(std::uint32_t tenant) const {
    if (!rules_.fair || flaw_ == Flaw::shares_are_ignored) return 0;
    const Quota* quota = quota_of(tenant);
    std::int64_t largest = 0;
    for (const auto r : kResources) {
      std::int64_t whole = 0;
      for (const Machine& machine : machines_) whole += machine.node.capacity.*r;
      const bool weighted = quota != nullptr && quota->nominal.*r != kNoQuota;
      if (weighted && flaw_ != Flaw::shares_are_not_weighted) whole = quota->nominal.*r;
      const std::int64_t holds = used(tenant, r);
      if (holds == 0) continue;
      if (whole == 0) return std::numeric_limits<std::int64_t>::max();
      largest = std::max(
          largest, static_cast<std::int64_t>(static_cast<__int128>(holds) * 1'000'000 / whole));
    }
    return largest;
  }

  // --- events ---------------------------------------------------------------------------------

  std::vector<Queued>& queue(Priority p) { return p == Priority::high ? high_ : low_; }

  void put(const Queued& entry) {
    auto& q = queue(entry.priority);
    const auto later = [&](const Queued& other) {
      return flaw_ == Flaw::newest_first ? other.order < entry.order : other.order > entry.order;
    };
    q.insert(std::find_if(q.begin(), q.end(), later), entry);
  }

  std::optional<Queued> drop(const DeploymentId& id) {
    for (auto* q : {&high_, &low_}) {
      for (auto it = q->begin(); it != q->end(); ++it) {
        if (it->id != id) continue;
        const Queued out = *it;
        q->erase(it);
        return out;
      }
    }
    return std::nullopt;
  }

  void on(const Queued& e) { put(e); }
  void on(const Withdrawn& e) { drop(e.id); }
  void on(const Unparked& e) {
    auto entry = drop(e.id);
    entry->parked = false;
    put(*entry);
  }
  void on(const Reprioritized& e) {
    auto entry = drop(e.id);
    const bool changed = entry->priority != e.priority;
    entry->priority = e.priority;
    put(*entry);
    if (changed && flaw_ == Flaw::priority_change_loses_the_place) {
      auto& q = queue(e.priority);
      std::erase_if(q, [&](const Queued& other) { return other.id == e.id; });
      q.push_back(*entry);
    }
  }
  void on(const PauseChanged& e) { paused_ = e.paused; }
  void on(const Leaving&) {}  // means nothing under the plain rules
  void on(const RulesChanged& e) { rules_ = e.rules; }
  void on(const Released& e) {
    const auto found = active_.find(e.id);
    if (found == active_.end()) return;
    const ActiveEntry& entry = found->second;
    vacate(entry, entry.placement);
    for (const Placement& place : entry.more) {
      if (flaw_ != Flaw::only_the_first_replica_is_released) vacate(entry, place);
    }
    active_.erase(found);
  }
  void vacate(const ActiveEntry& entry, const Placement& place) {
    Machine& machine = machines_[place.node];
    machine.cpu += entry.demand.cpu_milli;
    machine.memory += entry.demand.memory_bytes;
    if (flaw_ == Flaw::release_of_gpus_is_forgotten) return;
    for (const GpuShare& share : place.gpus) {
      machine.devices[static_cast<std::size_t>(share.device)] += share.milli;
    }
  }
  void move(Placement& place, const ActiveEntry& entry, std::vector<Machine>& next) {
    const std::string name = machines_[place.node].node.name;
    for (std::size_t m = 0; m < next.size(); ++m) {
      if (next[m].node.name != name) continue;
      place.node = static_cast<std::uint32_t>(m);
      occupy(next[m], entry, place);
      break;
    }
  }
  void on(const Resized& e) {
    std::vector<Machine> next;
    for (const Node& node : e.nodes) next.push_back(plain::fresh(node));
    for (auto& [id, entry] : active_) {
      move(entry.placement, entry, next);
      for (Placement& place : entry.more) move(place, entry, next);
    }
    machines_ = std::move(next);
  }

  // --- processing -----------------------------------------------------------------------------

  static void occupy(Machine& machine, const ActiveEntry& entry, const Placement& place) {
    machine.cpu -= entry.demand.cpu_milli;
    machine.memory -= entry.demand.memory_bytes;
    for (const GpuShare& share : place.gpus) {
      machine.devices[static_cast<std::size_t>(share.device)] -= share.milli;
    }
  }

  // Whether the place is one for the demand: the right devices, and enough free on each.
  [[nodiscard]] std::string fault_of(const Queued& entry, const Placement& place) const {
    const Resources& demand = entry.demand;
    if (place.node >= machines_.size()) return "no such node";
    const Machine& machine = machines_[place.node];
    if (!allowed(machine, entry.constraint)) return "that node is not allowed";
    if (!fits(machine, demand)) return "it does not fit on that node";
    std::vector<std::int64_t> left = machine.devices;
    std::int64_t sum = 0;
    for (const GpuShare& share : place.gpus) {
      const auto device = static_cast<std::size_t>(share.device);
      if (device >= left.size() || share.milli <= 0) return "no such device";
      left[device] -= share.milli;
      sum += share.milli;
      if (left[device] < 0) return "the device is over-committed";
      if (demand.gpu_milli >= 1000 && share.milli != 1000) return "a device is not given whole";
    }
    if (demand.gpu_milli < 1000 && place.gpus.size() > 1) return "a share spans devices";
    if (sum != demand.gpu_milli) return "another GPU amount than asked for";
    return {};
  }

  // Whose turn it is: the first that may start and fits, of the tenant that holds least.
  [[nodiscard]] std::size_t next_of(const std::vector<Queued>& q) const {
    std::size_t best = q.size();
    std::int64_t least = 0;
    for (std::size_t i = 0; i < q.size(); ++i) {
      if (!may_start(q[i])) continue;
      if (!fits_somewhere(q[i])) {
        if (flaw_ == Flaw::first_misfit_blocks_the_queue) break;
        continue;
      }
      const std::int64_t share = share_of(q[i].tenant);
      if (best == q.size() || share < least) {
        best = i;
        least = share;
      }
      if (!rules_.fair) break;
    }
    return best;
  }

  std::string go_through(std::vector<Queued>& q, const std::vector<Start>& starts,
                         std::size_t& used) {
    for (std::size_t i = next_of(q); i < q.size(); i = next_of(q)) {
      const Queued entry = q[i];
      if (used == starts.size()) return entry.id.str() + " fits and did not start";
      const Start& start = starts[used++];
      if (start.id != entry.id) return start.id.str() + " started instead of " + entry.id.str();
      ActiveEntry active{entry.id, entry.demand, start.placement};
      active.constraint = entry.constraint;
      active.more = start.more;
      active.tenant = entry.tenant;
      std::vector<Placement> places{start.placement};
      places.insert(places.end(), start.more.begin(), start.more.end());
      if (places.size() != entry.replicas) return entry.id.str() + " has a wrong number of places";
      for (const Placement& place : places) {
        const std::string fault = fault_of(entry, place);
        if (!fault.empty()) return entry.id.str() + " was placed wrongly: " + fault;
        occupy(machines_[place.node], active, place);
      }
      active_.emplace(entry.id, active);
      q.erase(q.begin() + static_cast<std::ptrdiff_t>(i));
    }
    return {};
  }

  std::string process(const std::vector<Start>& starts) {
    std::size_t used = 0;
    if (!paused_ || flaw_ == Flaw::pause_is_ignored) {
      if (auto fault = go_through(high_, starts, used); !fault.empty()) return fault;
      if (high_is_empty() || flaw_ == Flaw::low_before_high_is_empty) {
        if (auto fault = go_through(low_, starts, used); !fault.empty()) return fault;
      }
    }
    if (used < starts.size()) return starts[used].id.str() + " started and should wait";
    return {};
  }

  Flaw flaw_;
  Rules rules_;
  std::vector<Machine> machines_;
  std::vector<Queued> high_;
  std::vector<Queued> low_;
  std::map<DeploymentId, ActiveEntry> active_;
  bool paused_ = false;
};

}  // namespace berth
