#include "scheduler/head_index.h"

#include <algorithm>
#include <functional>
#include <stdexcept>
#include <utility>

#include "base/ensure.h"
#include "scheduler/growth.h"

namespace berth {

// --- nodes and leaves ---------------------------------------------------------------------------

HeadIndex::NodeIndex HeadIndex::new_node(NodeIndex parent) {
  NodeIndex n = 0;
  if (unused_nodes_.empty()) {
    ensure(nodes_.size() < kNowhere, "more different demands wait than can be indexed");
    n = static_cast<NodeIndex>(nodes_.size());
    make_room(nodes_, nodes_.size() + 1);
    nodes_.emplace_back();
  } else {
    n = unused_nodes_.back();
    unused_nodes_.pop_back();
    nodes_[n] = {};
  }
  nodes_[n].parent = parent;
  return n;
}

// With its whole demand.
HeadIndex::Item HeadIndex::item(const Node& leaf, std::uint32_t at) const {
  Item out = leaf.leaf.item(at);
  if (Leaf::is_wide(out.demand)) out.demand = wide_.at(out.row);
  return out;
}

bool HeadIndex::fits(const Node& leaf, std::uint32_t at, const Demand& room) const {
  return !exceeds(item(leaf, at).demand, room);
}

// The array of leaf `n` gets another size.
void HeadIndex::resize(NodeIndex n, std::uint32_t capacity) {
  Node& node = nodes_[n];
  Leaf other(capacity);
  for (std::uint32_t i = 0; i < node.count; ++i) other.put(i, node.leaf.item(i));
  node.leaf = std::move(other);
}

void HeadIndex::put(NodeIndex n, const Item& item) {
  if (nodes_[n].count == nodes_[n].leaf.capacity()) resize(n, nodes_[n].count + kStep);
  Node& node = nodes_[n];
  const std::uint32_t at = node.count++;
  node.leaf.put(at, item);
  for (std::size_t axis = 0; axis < 3; ++axis) {
    node.low[axis] = at == 0 ? item.demand[axis] : std::min(node.low[axis], item.demand[axis]);
  }
  node.first = at == 0 ? item.order : std::min(node.first, item.order);
  places_[item.row] = {n, at};
}

std::uint64_t HeadIndex::first_in_leaf(NodeIndex n) const {
  const std::uint64_t* const order = nodes_[n].leaf.order();
  std::uint64_t first = kNever;
  for (std::uint32_t i = 0; i < nodes_[n].count; ++i) first = std::min(first, order[i]);
  return first;
}

// --- changes ------------------------------------------------------------------------------------

// From a node whose `first` may have changed up to the root, as far as something changes.
void HeadIndex::refresh_first(NodeIndex n) {
  for (NodeIndex up = nodes_[n].parent; up != kNone; up = nodes_[up].parent) {
    Node& node = nodes_[up];
    const std::uint64_t first = std::min(nodes_[node.left].first, nodes_[node.right].first);
    if (first == node.first) return;
    node.first = first;
  }
}

void HeadIndex::set(Lane lane, Row row, const Resources& demand, std::uint64_t order) {
  if (row >= places_.size()) {
    make_room(places_, row + 1);
    places_.resize(row + 1);
  }
  if (const Place place = places_[row]; place.node != kNowhere) {
    Node& node = nodes_[place.node];
    const std::uint64_t before = std::exchange(node.leaf.order()[place.at], order);
    if (order <= node.first) {
      node.first = order;
    } else if (before == node.first) {
      node.first = first_in_leaf(place.node);
    } else {
      return;
    }
    refresh_first(place.node);
    return;
  }
  if (lane >= roots_.size()) roots_.resize(lane + 1, kNone);
  if (roots_[lane] == kNone) roots_[lane] = new_node(kNone);
  const Item item{as_array(demand), order, row};
  if (Leaf::is_wide(item.demand)) wide_[row] = item.demand;
  NodeIndex n = roots_[lane];
  NodeIndex lopsided = kNone;  // the highest one
  while (nodes_[n].left != kNone) {
    Node& node = nodes_[n];
    ++node.count;
    for (std::size_t axis = 0; axis < 3; ++axis) {
      node.low[axis] = std::min(node.low[axis], item.demand[axis]);
    }
    node.first = std::min(node.first, order);
    const NodeIndex next = item.along(node.axis) < node.split ? node.left : node.right;
    const std::uint32_t heavy = nodes_[next].count + 1;
    // Only after it has grown by half, so that what cannot be balanced is not built again and
    // again.
    const bool grown = node.count > node.built + node.built / 2;
    if (lopsided == kNone && grown && heavy > node.count / 4 * 3) lopsided = n;
    n = next;
  }
  put(n, item);
  if (nodes_[n].count == kLeaf) rebuild(n);
  if (lopsided != kNone) rebuild(lopsided);
}

void HeadIndex::clear(Row row) {
  if (!contains(row)) return;
  const NodeIndex n = places_[row].node;
  const std::uint32_t at = places_[row].at;
  places_[row] = {};
  wide_.erase(row);
  const Leaf& here = nodes_[n].leaf;
  const std::uint64_t order = here.order()[at];
  const std::uint32_t last = nodes_[n].count - 1;
  if (at != last) {
    here.put(at, here.item(last));
    places_[here.row()[at]].at = at;
  }
  for (NodeIndex up = n; up != kNone; up = nodes_[up].parent) --nodes_[up].count;
  if (order == nodes_[n].first) {
    nodes_[n].first = first_in_leaf(n);
    refresh_first(n);
  }
  if (last + 2 * kStep <= here.capacity()) resize(n, here.capacity() - kStep);
  // A parent that has room for all in one leaf takes them back.
  const NodeIndex parent = nodes_[n].parent;
  if (parent != kNone && nodes_[parent].count <= kLeaf / 4) rebuild(parent);
}

void HeadIndex::rebuild(NodeIndex n) {
  std::vector<Item> items;
  items.reserve(nodes_[n].count);
  gather(n, items);
  discard(n);
  build(n, items);
}

void HeadIndex::gather(NodeIndex n, std::vector<Item>& out) const {
  const Node& node = nodes_[n];
  if (node.left != kNone) {
    gather(node.left, out);
    gather(node.right, out);
    return;
  }
  for (std::uint32_t i = 0; i < node.count; ++i) out.push_back(item(node, i));
}

void HeadIndex::discard(NodeIndex n) {
  if (nodes_[n].left != kNone) {
    for (const NodeIndex child : {nodes_[n].left, nodes_[n].right}) {
      discard(child);
      unused_nodes_.push_back(child);
    }
  }
  const NodeIndex parent = nodes_[n].parent;
  nodes_[n] = {};
  nodes_[n].parent = parent;
}

namespace {

// Where to cut along one axis, and how many fall on the smaller side.
struct Cut {
  std::size_t axis = 0;
  std::int64_t split = 0;
  std::ptrdiff_t smaller = -1;
};

template <class Items>
Cut cut_along(std::size_t axis, Items items) {
  const auto value = [axis](const auto& item) { return item.along(axis); };
  const auto middle = items.begin() + std::ssize(items) / 2;
  std::ranges::nth_element(items, middle, {}, value);
  const std::int64_t median = value(*middle);
  std::int64_t above = median;  // the next larger value
  std::ptrdiff_t below_median = 0;
  std::ptrdiff_t at_median = 0;
  for (const auto& item : items) {
    below_median += value(item) < median ? 1 : 0;
    at_median += value(item) == median ? 1 : 0;
    if (value(item) > median && (above == median || value(item) < above)) above = value(item);
  }
  const std::ptrdiff_t up_to_median = below_median + at_median;
  const auto smaller = [&](std::ptrdiff_t left) {
    return std::min(left, std::ssize(items) - left);
  };
  if (smaller(below_median) >= smaller(up_to_median)) return {axis, median, smaller(below_median)};
  return {axis, above, smaller(up_to_median)};
}

}  // namespace

// Makes the emptied node `n` hold these items.
void HeadIndex::build(NodeIndex n, std::span<Item> items) {
  nodes_[n].built = static_cast<std::uint32_t>(items.size());
  if (items.size() < kLeaf) {
    const auto needed = static_cast<std::uint32_t>(items.size() + kStep - 1) / kStep * kStep;
    if (needed > 0) nodes_[n].leaf = Leaf(needed);
    for (const Item& item : items) put(n, item);
    return;
  }
  Demand low = items.front().demand;
  Demand high = low;
  std::uint64_t first = kNever;
  for (const Item& item : items) {
    for (std::size_t axis = 0; axis < 3; ++axis) {
      low[axis] = std::min(low[axis], item.demand[axis]);
      high[axis] = std::max(high[axis], item.demand[axis]);
    }
    first = std::min(first, item.order);
  }
  // The widest resource relative to its largest demand, unless it cuts badly because many ask for
  // the same. Only the speed depends on it.
  const auto width = [&](std::size_t axis) {
    return static_cast<double>(high[axis] - low[axis]) / static_cast<double>(high[axis] + 1);
  };
  std::array<std::size_t, 3> axes{0, 1, 2};
  std::ranges::sort(axes, std::greater{}, width);
  Cut cut;
  for (const std::size_t axis : axes) {
    const Cut here = cut_along(axis, items);
    if (here.smaller > cut.smaller) cut = here;
    if (cut.smaller >= std::ssize(items) / 4) break;
  }
  // Then a quarter of them or more ask for the very same.
  if (cut.smaller < std::ssize(items) / 8) cut = cut_along(kByRow, items);
  const auto right_half = std::ranges::partition(
      items, [&](const Item& item) { return item.along(cut.axis) < cut.split; });
  const auto left = new_node(n);
  const auto right = new_node(n);
  Node& node = nodes_[n];
  node.left = left;
  node.right = right;
  node.axis = static_cast<std::uint32_t>(cut.axis);
  node.split = cut.split;
  node.low = low;
  node.first = first;
  node.count = static_cast<std::uint32_t>(items.size());
  build(left, items.first(items.size() - right_half.size()));
  build(right, items.last(right_half.size()));
}

// --- questions ----------------------------------------------------------------------------------

std::uint64_t HeadIndex::order_of(Row row) const {
  if (!contains(row)) return kNever;
  const Place place = places_[row];
  return nodes_[place.node].leaf.order()[place.at];
}

void HeadIndex::collect(Lane lane, const Resources& room, std::vector<Row>& out) const {
  if (root_of(lane) == kNone) return;
  const Demand most = as_array(room);
  std::vector<NodeIndex> stack{root_of(lane)};
  while (!stack.empty()) {
    const NodeIndex n = stack.back();
    stack.pop_back();
    const Node& node = nodes_[n];
    if (node.count == 0 || exceeds(node.low, most)) continue;
    if (node.left != kNone) {
      stack.push_back(node.left);
      stack.push_back(node.right);
      continue;
    }
    for (std::uint32_t i = 0; i < node.count; ++i) {
      const Item here = item(node, i);
      if (!exceeds(here.demand, most)) out.push_back(here.row);
    }
  }
}

std::size_t HeadIndex::memory_bytes() const {
  std::size_t sum = nodes_.capacity() * sizeof(Node) + places_.capacity() * sizeof(Place) +
                    (unused_nodes_.capacity() + roots_.capacity()) * sizeof(NodeIndex);
  for (const Node& node : nodes_) sum += node.leaf.memory_bytes();
  if (!wide_.empty()) {  // each in a node with the next one
    sum += wide_.bucket_count() * sizeof(void*);
    sum += wide_.size() * (sizeof(void*) + sizeof(std::pair<Row, Demand>));
  }
  return sum;
}

void HeadIndex::check() const {
  const auto must = [](bool ok, const char* sentence) {
    if (!ok) throw std::logic_error(sentence);
  };
  std::size_t rows = 0;
  std::vector<NodeIndex> stack;
  for (const NodeIndex root : roots_) {
    if (root == kNone) continue;
    must(nodes_[root].parent == kNone, "the root of a lane has a parent");
    stack.push_back(root);
  }
  while (!stack.empty()) {
    const NodeIndex n = stack.back();
    stack.pop_back();
    const Node& node = nodes_[n];
    std::vector<Item> items;
    gather(n, items);
    must(items.size() == node.count, "the rows below a node of the index are miscounted");
    std::uint64_t first = kNever;
    for (const Item& item : items) {
      first = std::min(first, item.order);
      must(!exceeds(node.low, item.demand), "a demand lies outside its node of the index");
    }
    must(first == node.first, "a node of the index does not know its first order");
    if (node.left == kNone) {
      rows += items.size();
      for (std::uint32_t i = 0; i < node.count; ++i) {
        const Place& place = places_[items[i].row];
        must(place.node == n && place.at == i, "a row does not lead to its place in the index");
      }
      const std::uint32_t room = node.leaf.capacity();
      must(room >= node.count && room < node.count + 2 * kStep && room % kStep == 0,
           "a leaf of the index has too little room, or too much");
      continue;
    }
    must(node.leaf.capacity() == 0, "an inner node of the index keeps a leaf's memory");
    for (const NodeIndex child : {node.left, node.right}) {
      must(nodes_[child].parent == n, "a node of the index does not know its parent");
      stack.push_back(child);
    }
  }
  std::size_t placed = 0;
  for (Row row = 0; row < places_.size(); ++row) placed += contains(row) ? 1 : 0;
  must(placed == rows, "the index has lost rows");
  for (const auto& [row, demand] : wide_) {
    must(contains(row) && Leaf::is_wide(demand), "a large demand belongs to no row of the index");
  }
}

}  // namespace berth
