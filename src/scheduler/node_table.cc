#include "scheduler/node_table.h"

#include <algorithm>
#include <limits>
#include <set>
#include <stdexcept>
#include <string_view>
#include <tuple>
#include <utility>

#include "base/ensure.h"

namespace berth {
namespace {

// amount / largest in units of 2^-20, rounded down, in integers: the same on every machine.
std::uint64_t relative(std::int64_t amount, std::int64_t largest) {
  constexpr int kUnit = 20;
  constexpr std::uint64_t kWholeMax = std::uint64_t{1} << 40;
  if (amount == 0) return 0;
  if (largest <= 0) largest = 1;
  const auto whole = std::min(static_cast<std::uint64_t>(amount / largest), kWholeMax);
  auto rest = static_cast<std::uint64_t>(amount % largest);
  auto unit = static_cast<std::uint64_t>(largest);
  while (unit >> (62 - kUnit) != 0) {
    unit >>= 1;
    rest >>= 1;
  }
  return (whole << kUnit) + (rest << kUnit) / unit;
}

// What constraints look at.
struct Looks {
  std::string_view gpu_model;
  const std::map<std::string, std::string>* labels = nullptr;
};
struct LooksBefore {
  bool operator()(const Looks& a, const Looks& b) const {
    return std::tie(a.gpu_model, *a.labels) < std::tie(b.gpu_model, *b.labels);
  }
};

}  // namespace

// Compared as (growth of fragmentation, first, slack, node), smallest wins.
struct NodeTable::Best {
  bool found = false;
  std::int64_t growth = 0;
  std::int64_t first = 0;
  std::uint64_t slack = 0;
  NodeIndex node = 0;
};

NodeTable::NodeTable(std::vector<Node> nodes, std::optional<TaskMix> mix)
    : nodes_(std::move(nodes)), mix_(std::move(mix)) {
  const std::size_t count = nodes_.size();
  std::set<std::string_view> names;
  std::map<Looks, NodeIndex, LooksBefore> alike;
  first_device_.reserve(count + 1);
  first_device_.push_back(0);
  for (const Node& node : nodes_) {
    ensure(names.insert(node.name).second, "two nodes of one cluster have the same name");
    const Resources capacity = usable_capacity(node);
    ensure(capacity.cpu_milli >= 0 && capacity.memory_bytes >= 0 && capacity.gpu_milli >= 0,
           "a node has a negative capacity");
    const auto index = static_cast<NodeIndex>(first_alike_.size());
    first_alike_.push_back(alike.try_emplace({node.gpu_model, &node.labels}, index).first->second);
    first_device_.push_back(first_device_.back() + static_cast<std::uint32_t>(node.devices()));
    largest_ = elementwise_max(largest_, capacity);
    total_free_ += capacity;
    total_capacity_ += capacity;
    const auto covers = [&](const Resources& kind) { return fits_into(capacity, kind); };
    if (std::ranges::any_of(capacity_kinds_, covers)) continue;
    std::erase_if(capacity_kinds_,
                  [&](const Resources& kind) { return fits_into(kind, capacity); });
    capacity_kinds_.push_back(capacity);
  }
  device_free_.assign(first_device_.back(), static_cast<std::int32_t>(kGpuDevice));
  active_.assign(count, 0);
  frozen_.assign(count, 0);
  reach_.assign(count, 0);
  free_gpu_.assign(count, 0);
  slack_.assign(count, 0);
  for (const Node& node : nodes_) {
    free_cpu_.push_back(node.capacity.cpu_milli);
    free_memory_.push_back(node.capacity.memory_bytes);
  }
  if (mix_) version_.assign(count, 0);
  if (ordered()) {
    entered_.resize(count);
    is_changed_.assign(count, false);
  }
  for (NodeIndex n = 0; n < count; ++n) refresh(n);
}

Resources NodeTable::free(NodeIndex n) const {
  return {free_cpu_[n], free_memory_[n], free_gpu_[n]};
}

std::span<const std::int32_t> NodeTable::devices(NodeIndex n) const {
  return std::span(device_free_).subspan(first_device_[n], first_device_[n + 1] - first_device_[n]);
}

Resources NodeTable::room_for(NodeIndex n, const Resources& demand) const {
  std::int64_t gpu = 0;
  if (demand.gpu_milli >= kGpuDevice) {
    gpu = reach_[n] / kGpuDevice * kGpuDevice;
  } else if (demand.gpu_milli > 0) {
    gpu = std::min(reach_[n], kGpuDevice);
  }
  return {free_cpu_[n], free_memory_[n], gpu};
}

Resources NodeTable::usable_capacity(const Node& node) {
  return {node.capacity.cpu_milli, node.capacity.memory_bytes, node.devices() * kGpuDevice};
}

bool NodeTable::could_hold(const Resources& demand, const NodeSet* only) const {
  if (only != nullptr) {
    const auto holds = [&](NodeIndex n) { return fits_into(demand, usable_capacity(nodes_[n])); };
    if (only->is_listed()) return std::ranges::any_of(only->list(), holds);
    for (NodeIndex n = 0; n < nodes_.size(); ++n) {
      if (only->contains(n) && holds(n)) return true;
    }
    return false;
  }
  return std::ranges::any_of(capacity_kinds_,
                             [&](const Resources& kind) { return fits_into(demand, kind); });
}

std::uint32_t copies_in(const Resources& demand, std::int64_t cpu, std::int64_t memory,
                        std::span<const std::int32_t> devices) {
  std::int64_t copies = std::numeric_limits<std::uint32_t>::max();
  if (demand.cpu_milli > 0) copies = std::min(copies, cpu / demand.cpu_milli);
  if (demand.memory_bytes > 0) copies = std::min(copies, memory / demand.memory_bytes);
  if (demand.gpu_milli >= kGpuDevice) {
    const auto whole = std::ranges::count(devices, static_cast<std::int32_t>(kGpuDevice));
    copies = std::min(copies, whole / (demand.gpu_milli / kGpuDevice));
  } else if (demand.gpu_milli > 0) {
    std::int64_t shares = 0;
    for (const std::int32_t free : devices) shares += free / demand.gpu_milli;
    copies = std::min(copies, shares);
  }
  return static_cast<std::uint32_t>(std::max<std::int64_t>(copies, 0));
}

std::uint32_t NodeTable::copies_on(NodeIndex n, const Resources& demand) const {
  if (!fits_into(demand, room(n))) return 0;
  return copies_in(demand, free_cpu_[n], free_memory_[n], devices(n));
}

Resources NodeTable::room_beside_copies(NodeIndex n, const Resources& demand) const {
  const std::int64_t copies = copies_on(n, demand);
  Resources out = room_for(n, demand);
  out.cpu_milli -= copies * demand.cpu_milli;
  out.memory_bytes -= copies * demand.memory_bytes;
  if (demand.gpu_milli >= kGpuDevice) out.gpu_milli -= copies * demand.gpu_milli;
  if (demand.gpu_milli == 0 || demand.gpu_milli >= kGpuDevice) return out;
  // Shares are taken from the devices with the smallest sufficient part first.
  std::vector<std::int32_t> free(devices(n).begin(), devices(n).end());
  std::ranges::sort(free);
  std::int64_t left = copies;
  out.gpu_milli = 0;
  for (const std::int64_t part : free) {
    const std::int64_t here = std::min(left, part / demand.gpu_milli);
    left -= here;
    out.gpu_milli = std::max(out.gpu_milli, part - here * demand.gpu_milli);
  }
  return out;
}

namespace {

// The sum of count(n) over the nodes, up to `enough`.
template <class Count>
std::uint32_t sum_over(std::size_t nodes, const NodeSet* only, std::uint32_t enough,
                       const Count& count) {
  std::uint64_t sum = 0;
  for (NodeIndex n = 0; n < nodes && sum < enough; ++n) {
    if (only == nullptr || only->contains(n)) sum += count(n);
  }
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(sum, enough));
}

}  // namespace

std::uint32_t NodeTable::copies(const Resources& demand, const NodeSet* only,
                                std::uint32_t enough) const {
  return sum_over(nodes_.size(), only, enough, [&](NodeIndex n) { return copies_on(n, demand); });
}

std::uint32_t NodeTable::copies_when_empty(const Resources& demand, const NodeSet* only,
                                           std::uint32_t enough) const {
  std::vector<std::int32_t> devices;
  return sum_over(nodes_.size(), only, enough, [&](NodeIndex n) {
    const Resources& capacity = nodes_[n].capacity;
    devices.assign(static_cast<std::size_t>(nodes_[n].devices()),
                   static_cast<std::int32_t>(kGpuDevice));
    return copies_in(demand, capacity.cpu_milli, capacity.memory_bytes, devices);
  });
}

std::uint64_t NodeTable::weigh(const Resources& amount) const {
  return relative(amount.cpu_milli, largest_.cpu_milli) +
         relative(amount.memory_bytes, largest_.memory_bytes) +
         relative(amount.gpu_milli, largest_.gpu_milli);
}

std::int32_t NodeTable::smallest_share(NodeIndex n, std::int64_t at_least) const {
  std::int32_t smallest = std::numeric_limits<std::int32_t>::max();
  for (const std::int32_t free : devices(n)) {
    if (free >= at_least) smallest = std::min(smallest, free);
  }
  return smallest;
}

void NodeTable::consider(NodeIndex n, const Resources& demand, Best& best) const {
  if (!fits_into(demand, room(n))) return;
  Best here{true, 0, 0, slack_[n], n};
  if (demand.gpu_milli == 0) {
    here.first = free_gpu_[n];
  } else if (demand.gpu_milli < kGpuDevice) {
    here.first = smallest_share(n, demand.gpu_milli);
  } else {
    here.first = reach_[n];
  }
  if (mix_) {
    const Fragmenting least = fragmenting(n, demand);
    here.growth = least.growth;
    if (least.share_of > 0) here.first = least.share_of;
  }
  const auto key = [](const Best& b) { return std::tuple(b.growth, b.first, b.slack, b.node); };
  if (!best.found || key(here) < key(best)) best = here;
}

Fragmenting NodeTable::fragmenting(NodeIndex n, const Resources& demand) const {
  auto& by_node = remembered_[{demand.cpu_milli, demand.memory_bytes, demand.gpu_milli}];
  if (by_node.empty()) by_node.resize(nodes_.size());
  Remembered& known = by_node[n];
  if (known.version != version_[n]) {
    known = {version_[n], least_fragmenting(*mix_, demand, free(n), devices(n))};
  }
  return known.value;
}

Placement NodeTable::place(const Best& best, const Resources& demand) const {
  Placement out{best.node, {}};
  const auto free = devices(best.node);
  std::int64_t whole = demand.gpu_milli / kGpuDevice;
  const auto share = static_cast<std::int32_t>(demand.gpu_milli);
  for (std::size_t d = 0; d < free.size(); ++d) {
    const auto device = static_cast<std::int32_t>(d);
    if (demand.gpu_milli > 0 && demand.gpu_milli < kGpuDevice && free[d] == best.first) {
      out.gpus.push_back({device, share});
      break;
    }
    if (whole > 0 && free[d] == kGpuDevice) {
      out.gpus.push_back({device, static_cast<std::int32_t>(kGpuDevice)});
      --whole;
    }
  }
  return out;
}

std::optional<Placement> NodeTable::find(const Resources& demand, const NodeSet* only) const {
  Best best;
  if (only != nullptr && only->is_listed()) {
    for (const NodeIndex n : only->list()) consider(n, demand, best);
  } else if (ordered() && changed_.empty()) {
    best = first_in_order(demand, only);
  } else {
    for (NodeIndex n = 0; n < nodes_.size(); ++n) {
      if (only == nullptr || only->contains(n)) consider(n, demand, best);
    }
  }
  return best.found ? std::optional(place(best, demand)) : std::nullopt;
}

std::optional<Placement> NodeTable::find_among(std::span<const NodeIndex> nodes,
                                               const Resources& demand, const NodeSet* only) const {
  Best best;
  for (const NodeIndex n : nodes) {
    if (only == nullptr || only->contains(n)) consider(n, demand, best);
  }
  return best.found ? std::optional(place(best, demand)) : std::nullopt;
}

// Judged once for all nodes that look alike.
NodeSet NodeTable::allowed_by(const Constraint& constraint) const {
  NodeSet out(nodes_.size());
  std::vector<bool> first_is_allowed(nodes_.size(), false);
  for (NodeIndex n = 0; n < nodes_.size(); ++n) {
    const NodeIndex first = first_alike_[n];
    if (first == n) first_is_allowed[n] = allows(constraint, nodes_[n]);
    if (first_is_allowed[first]) out.add(n);
  }
  return out;
}

void NodeTable::take(const Placement& place, const Resources& demand) {
  const NodeIndex n = place.node;
  ensure(n < nodes_.size(), "a placement names a node that does not exist");
  total_free_ = shortage(total_free_, demand);
  free_cpu_[n] -= demand.cpu_milli;
  free_memory_[n] -= demand.memory_bytes;
  ensure(free_cpu_[n] >= 0 && free_memory_[n] >= 0, "a node would be over-committed");
  std::int64_t gpu = 0;
  for (const GpuShare& share : place.gpus) {
    ensure(share.device >= 0 && share.device < nodes_[n].devices() && share.milli > 0,
           "a placement names a device that does not exist");
    std::int32_t& free = device_free_[first_device_[n] + static_cast<std::uint32_t>(share.device)];
    free -= share.milli;
    ensure(free >= 0, "a GPU device would be over-committed");
    gpu += share.milli;
  }
  ensure(gpu == demand.gpu_milli, "a placement holds another GPU amount than was asked for");
  ++active_[n];
  refresh(n);
}

void NodeTable::give(const Placement& place, const Resources& demand) {
  const NodeIndex n = place.node;
  total_free_ += demand;
  free_cpu_[n] += demand.cpu_milli;
  free_memory_[n] += demand.memory_bytes;
  ensure(free_cpu_[n] <= nodes_[n].capacity.cpu_milli &&
             free_memory_[n] <= nodes_[n].capacity.memory_bytes && active_[n] > 0,
         "more was given back than the node has");
  for (const GpuShare& share : place.gpus) {
    std::int32_t& free = device_free_[first_device_[n] + static_cast<std::uint32_t>(share.device)];
    free += share.milli;
    ensure(free <= kGpuDevice, "more was given back than the device has");
  }
  --active_[n];
  refresh(n);
}

void NodeTable::freeze(NodeIndex n) {
  ++frozen_[n];
  refresh(n);
}

void NodeTable::thaw(NodeIndex n) {
  ensure(frozen_[n] > 0, "a node is thawed too often");
  --frozen_[n];
  refresh(n);
}

void NodeTable::refresh(NodeIndex n) {
  std::int64_t whole = 0;
  std::int64_t total = 0;
  std::int64_t largest = 0;
  for (const std::int64_t free : devices(n)) {
    total += free;
    largest = std::max(largest, free);
    if (free == kGpuDevice) whole += kGpuDevice;
  }
  reach_[n] = std::max(whole, largest);
  free_gpu_[n] = total;
  slack_[n] = weigh(free(n));
  if (mix_) ++version_[n];
  if (!ordered() || is_changed_[n]) return;
  is_changed_[n] = true;
  changed_.push_back(n);
}

// --- the orders -------------------------------------------------------------------------------

void NodeTable::update_order() {
  for (const NodeIndex n : changed_) {
    is_changed_[n] = false;
    Entered& old = entered_[n];
    NodeOrder::Entry entry = old.plain;
    if (old.known) by_free_gpu_.erase(entry);
    for (const std::int32_t share : old.shares) {
      entry.first = share;
      by_share_.erase(entry);
    }
    entry.first = old.reach;
    if (old.reach > 0) by_reach_.erase(entry);
    enter(n);
  }
  changed_.clear();
}

void NodeTable::enter(NodeIndex n) {
  Entered& now = entered_[n];
  const Resources open = room(n);
  NodeOrder::Entry entry{free_gpu_[n], slack_[n], n, open.cpu_milli, open.memory_bytes};
  now.plain = entry;
  now.known = true;
  by_free_gpu_.insert(entry);
  const auto free = devices(n);
  now.shares.assign(free.begin(), free.end());
  std::ranges::sort(now.shares);
  now.shares.erase(std::ranges::unique(now.shares).begin(), now.shares.end());
  std::erase(now.shares, 0);
  for (const std::int32_t share : now.shares) {
    entry.first = share;
    by_share_.insert(entry);
  }
  now.reach = reach_[n] >= kGpuDevice ? reach_[n] : 0;
  entry.first = now.reach;
  if (now.reach > 0) by_reach_.insert(entry);
}

NodeTable::Best NodeTable::first_in_order(const Resources& demand, const NodeSet* only) const {
  const NodeOrder& order = demand.gpu_milli == 0           ? by_free_gpu_
                           : demand.gpu_milli < kGpuDevice ? by_share_
                                                           : by_reach_;
  const auto* entry = order.find(demand.gpu_milli, demand.cpu_milli, demand.memory_bytes, only);
  if (entry == nullptr) return {};
  return {true, 0, entry->first, entry->slack, entry->node};
}

void NodeTable::check() const {
  Resources sum;
  for (NodeIndex n = 0; n < nodes_.size(); ++n) {
    sum += free(n);
    std::int64_t total = 0;
    std::int64_t whole = 0;
    for (const std::int32_t free : devices(n)) {
      total += free;
      if (free == kGpuDevice) ++whole;
    }
    const auto shares = devices(n);
    const std::int64_t largest = shares.empty() ? 0 : std::ranges::max(shares);
    const bool same = free_gpu_[n] == total && slack_[n] == weigh(free(n)) &&
                      reach_[n] == (whole > 0 ? whole * kGpuDevice : largest);
    if (!same) throw std::logic_error("what is derived for node " + nodes_[n].name + " is stale");
  }
  if (sum != total_free_) throw std::logic_error("what is free over all nodes is stale");
}

}  // namespace berth
