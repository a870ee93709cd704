// The heads of all rows of equal demands, searched by what fits: a k-d tree over the demands whose
// leaves are small arrays and whose nodes know the first order below them.
//
// Each lane has a tree of its own: a tenant's rows, or all rows in lane 0.
//
// The question is "which head is the first in order among those that ask for no more than this?".
// A subtree is passed over when its smallest demand exceeds the room in some resource, or when its
// first order comes after the best that is known. With few rows this is a scan of a few arrays;
// with a row for each of a million deployments it looks at a handful of leaves, where a scan would
// look at all of them.
//
// Leaves grow in small steps up to 64 rows. Those that overflow are halved at the median of their
// widest resource, or by row where many ask for the same (and differ in their nodes, say); a
// subtree that has become lopsided is built anew, so the depth stays logarithmic whatever arrives.
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/resources.h"

namespace berth {

class HeadIndex {
 public:
  using Row = std::uint32_t;
  static constexpr std::uint64_t kNever = ~std::uint64_t{0};
  struct Head {
    std::uint64_t order = kNever;
    Row row = 0;
  };

  using Lane = std::uint32_t;

  // New, or another order; a row stays in its lane and keeps its demand.
  void set(Lane lane, Row row, const Resources& demand, std::uint64_t order);
  void clear(Row row);  // nothing when it is not there
  [[nodiscard]] bool contains(Row row) const {
    return row < places_.size() && places_[row].node != kNowhere;
  }
  // Replaces `best` when a head that fits into `room`, and for which eligible(row) holds, has a
  // smaller order.
  template <class Eligible>
  void first_fit(Lane lane, const Resources& room, Head& best, const Eligible& eligible) const {
    const NodeIndex root = root_of(lane);
    if (root != kNone) search(root, as_array(room), best, eligible);
  }
  void first_fit(Lane lane, const Resources& room, Head& best) const {
    first_fit(lane, room, best, [](Row) { return true; });
  }
  // Appends all rows of the lane that fit into `room`.
  void collect(Lane lane, const Resources& room, std::vector<Row>& out) const;

  [[nodiscard]] std::size_t size(Lane lane) const {
    const NodeIndex root = root_of(lane);
    return root == kNone ? 0 : nodes_[root].count;
  }
  [[nodiscard]] std::uint64_t order_of(Row row) const;  // kNever when it is not there
  [[nodiscard]] std::size_t memory_bytes() const;
  void check() const;  // throws std::logic_error

 private:
  using NodeIndex = std::uint32_t;
  static constexpr std::uint32_t kNone = ~std::uint32_t{0};
  static constexpr std::uint32_t kLeaf = 64;
  static constexpr std::size_t kByRow = 3;
  static constexpr std::uint32_t kStep = 8;  // by which leaves grow
  static constexpr NodeIndex kNowhere = (1U << 26) - 1;

  using Demand = std::array<std::int64_t, 3>;
  [[nodiscard]] static Demand as_array(const Resources& r) {
    return {r.cpu_milli, r.memory_bytes, r.gpu_milli};
  }
  [[nodiscard]] static bool exceeds(const Demand& demand, const Demand& room) {
    // One branch for all three: which resource is short, no processor can guess.
    return (int{demand[0] > room[0]} | int{demand[1] > room[1]} | int{demand[2] > room[2]}) != 0;
  }

  struct Item {
    Demand demand{};
    std::uint64_t order = kNever;
    Row row = 0;
    // What splits go by: a resource, or the row, where many ask for the same.
    [[nodiscard]] std::int64_t along(std::size_t axis) const {
      return axis < kByRow ? demand[axis] : row;
    }
  };
  // Five columns in one allocation, each with room for `capacity` rows. CPU and GPU have four bytes
  // there; what is kWide or more is written down in wide_.
  class Leaf {
   public:
    static constexpr std::int64_t kWide = 0xFFFF'FFFF;

    Leaf() = default;
    explicit Leaf(std::uint32_t capacity)
        : words_(std::make_unique_for_overwrite<std::uint64_t[]>(words(capacity))),
          capacity_(capacity) {}
    Leaf(const Leaf& other) : Leaf(other.capacity_) {
      std::copy_n(other.words_.get(), words(capacity_), words_.get());
    }
    Leaf(Leaf&&) noexcept = default;
    Leaf& operator=(Leaf other) noexcept {
      std::swap(words_, other.words_);
      std::swap(capacity_, other.capacity_);
      return *this;
    }
    ~Leaf() = default;

    [[nodiscard]] std::uint32_t capacity() const { return capacity_; }
    [[nodiscard]] std::size_t memory_bytes() const { return words(capacity_) * 8; }
    [[nodiscard]] std::uint64_t* order() const { return words_.get(); }
    [[nodiscard]] std::int64_t* memory() const {
      return reinterpret_cast<std::int64_t*>(words_.get() + capacity_);
    }
    [[nodiscard]] std::uint32_t* cpu() const { return small(0); }
    [[nodiscard]] std::uint32_t* gpu() const { return small(1); }
    [[nodiscard]] Row* row() const { return small(2); }
    // Its CPU and GPU are at most kWide.
    [[nodiscard]] Item item(std::uint32_t at) const {
      return {{cpu()[at], memory()[at], gpu()[at]}, order()[at], row()[at]};
    }
    void put(std::uint32_t at, const Item& item) const {
      order()[at] = item.order;
      memory()[at] = item.demand[1];
      cpu()[at] = static_cast<std::uint32_t>(std::min(item.demand[0], kWide));
      gpu()[at] = static_cast<std::uint32_t>(std::min(item.demand[2], kWide));
      row()[at] = item.row;
    }
    [[nodiscard]] static bool is_wide(const Demand& demand) {
      return demand[0] >= kWide || demand[2] >= kWide;
    }

   private:
    static std::size_t words(std::uint32_t capacity) { return 7 * capacity / 2; }
    [[nodiscard]] std::uint32_t* small(std::uint32_t column) const {
      return reinterpret_cast<std::uint32_t*>(words_.get() + 2 * capacity_) + column * capacity_;
    }

    std::unique_ptr<std::uint64_t[]> words_;
    std::uint32_t capacity_ = 0;  // a multiple of kStep
  };
  struct Node {
    std::array<std::int64_t, 3> low{};  // no demand below asks for less; may be too small
    std::uint64_t first = kNever;       // the smallest order below, exact
    std::int64_t split = 0;             // inner: what is less in `axis` lies on the left
    NodeIndex parent = kNone;
    NodeIndex left = kNone;  // none: a leaf
    NodeIndex right = kNone;
    std::uint32_t count = 0;  // rows below
    std::uint32_t built = 0;  // as many were there when it was built
    std::uint32_t axis = 0;
    Leaf leaf;  // of a leaf
  };
  struct Place {
    NodeIndex node : 26 = kNowhere;
    std::uint32_t at : 6 = 0;
  };
  static_assert(sizeof(Place) == 4);

  [[nodiscard]] NodeIndex root_of(Lane lane) const {
    return lane < roots_.size() ? roots_[lane] : kNone;
  }
  [[nodiscard]] NodeIndex new_node(NodeIndex parent);
  [[nodiscard]] Item item(const Node& leaf, std::uint32_t at) const;
  [[nodiscard]] bool fits(const Node& leaf, std::uint32_t at, const Demand& room) const;
  void resize(NodeIndex n, std::uint32_t capacity);
  void put(NodeIndex n, const Item& item);
  void build(NodeIndex n, std::span<Item> items);
  void rebuild(NodeIndex n);
  void gather(NodeIndex n, std::vector<Item>& out) const;
  void discard(NodeIndex n);  // what is below it; it becomes an empty leaf
  void refresh_first(NodeIndex n);
  [[nodiscard]] std::uint64_t first_in_leaf(NodeIndex n) const;
  template <class Eligible>
  void search(NodeIndex n, const Demand& room, Head& best, const Eligible& eligible) const;

  std::vector<Node> nodes_;
  std::vector<NodeIndex> unused_nodes_;
  std::vector<NodeIndex> roots_;  // by lane; none: nothing was ever in it
  std::vector<Place> places_;     // by row
  std::unordered_map<Row, Demand> wide_;
};

template <class Eligible>
void HeadIndex::search(NodeIndex n, const Demand& room, Head& best,
                       const Eligible& eligible) const {
  const Node& node = nodes_[n];
  if (node.first >= best.order || exceeds(node.low, room)) return;
  if (node.left != kNone) {
    const bool left_first = nodes_[node.left].first < nodes_[node.right].first;
    search(left_first ? node.left : node.right, room, best, eligible);
    search(left_first ? node.right : node.left, room, best, eligible);
    return;
  }
  const Leaf& here = node.leaf;
  const std::uint64_t* const order = here.order();
  const std::int64_t* const memory = here.memory();
  const std::uint32_t* const cpu = here.cpu();
  const std::uint32_t* const gpu = here.gpu();
  const Row* const row = here.row();
  const bool all_small = wide_.empty();
  for (std::uint32_t i = 0; i < node.count; ++i) {
    const int misfit = int{std::int64_t{cpu[i]} > room[0]} | int{memory[i] > room[1]} |
                       int{std::int64_t{gpu[i]} > room[2]} | int{order[i] >= best.order};
    if (misfit == 0 && (all_small || fits(node, i, room)) && eligible(row[i])) {
      best = {order[i], row[i]};
    }
  }
}

}  // namespace berth
