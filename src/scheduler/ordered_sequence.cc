#include "scheduler/ordered_sequence.h"

#include <algorithm>
#include <array>
#include <new>
#include <stdexcept>

#include "base/ensure.h"

namespace berth {
namespace {

using Key = OrderedSequence::Key;
using Value = OrderedSequence::Value;
constexpr std::uint32_t kLeaf = OrderedSequence::kLeaf;
constexpr std::uint32_t kFanout = OrderedSequence::kFanout;

// The arrays follow the header in the same allocation: `capacity` values, then as many keys. A
// capacity of 4 n + 3 leaves no gap between them, and none in what malloc hands out.
struct Leaf {
  std::uint16_t count;
  std::uint16_t capacity;

  static std::size_t bytes(std::uint32_t capacity) {
    return sizeof(Leaf) + capacity * (sizeof(Key) + sizeof(Value));
  }
  static Leaf* make(std::uint32_t capacity) {
    return new (::operator new(bytes(capacity))) Leaf{0, static_cast<std::uint16_t>(capacity)};
  }
  static void free(Leaf* leaf) { ::operator delete(leaf, bytes(leaf->capacity)); }

  Value* values() { return reinterpret_cast<Value*>(this + 1); }
  Key* keys() { return reinterpret_cast<Key*>(values() + capacity); }
  [[nodiscard]] Key low() { return keys()[0]; }
  [[nodiscard]] std::uint32_t size() const { return count; }

  std::uint32_t lower_bound(Key key) {
    return static_cast<std::uint32_t>(std::lower_bound(keys(), keys() + count, key) - keys());
  }
  void put(std::uint32_t at, Key key, Value value) {
    std::copy_backward(keys() + at, keys() + count, keys() + count + 1);
    std::copy_backward(values() + at, values() + count, values() + count + 1);
    keys()[at] = key;
    values()[at] = value;
    ++count;
  }
  void remove(std::uint32_t at) {
    std::copy(keys() + at + 1, keys() + count, keys() + at);
    std::copy(values() + at + 1, values() + count, values() + at);
    --count;
  }
  void append_from(Leaf& from, std::uint32_t begin) {
    std::copy(from.keys() + begin, from.keys() + from.count, keys() + count);
    std::copy(from.values() + begin, from.values() + from.count, values() + count);
    count = static_cast<std::uint16_t>(count + from.count - begin);
    from.count = static_cast<std::uint16_t>(begin);
  }
};

// What the last leaf may have room for. The others have all the last of these.
constexpr std::array<std::uint32_t, 8> kCapacities{3, 7, 11, 15, 23, 31, 47, kLeaf};
constexpr std::uint32_t kNewLast = 15;  // behind a full leaf
static_assert(std::ranges::all_of(kCapacities, [](std::uint32_t c) { return c % 4 == 3; }));
// Two leaves with no more than this are joined; some room is left for what comes next.
constexpr std::uint32_t kJoin = kLeaf * 7 / 8;

std::uint32_t next_capacity(std::uint32_t capacity) {
  return *std::ranges::upper_bound(kCapacities, capacity);
}

// The leaf's items in a leaf with another capacity, in its place.
Leaf* resized(Leaf* leaf, std::uint32_t capacity) {
  Leaf* out = Leaf::make(capacity);
  out->append_from(*leaf, 0);
  Leaf::free(leaf);
  return out;
}

// When there is room for the items twice over, two steps down, the leaf becomes smaller by one.
Leaf* shrunk(Leaf* leaf) {
  if (leaf->count * 2 > leaf->capacity) return leaf;  // nearly always
  const auto* now = std::ranges::find(kCapacities, leaf->capacity);
  if (now - kCapacities.begin() < 2 || leaf->count > now[-2]) return leaf;
  return resized(leaf, now[-1]);
}

// All keys under child i are >= low[i] (for i > 0) and < low[i + 1].
struct Inner {
  std::uint32_t count = 0;
  std::uint32_t sizes[kFanout];  // items under each child
  Key lows[kFanout];
  void* children[kFanout];

  [[nodiscard]] Key low() const { return lows[0]; }
  [[nodiscard]] std::uint32_t size() const {
    std::uint32_t sum = 0;
    for (std::uint32_t i = 0; i < count; ++i) sum += sizes[i];
    return sum;
  }
  [[nodiscard]] std::uint32_t child_of(Key key) const {
    const auto* end = std::upper_bound(lows + 1, lows + count, key);
    return static_cast<std::uint32_t>(end - lows) - 1;
  }
  void put(std::uint32_t at, Key low, std::uint32_t size, void* child) {
    std::copy_backward(sizes + at, sizes + count, sizes + count + 1);
    std::copy_backward(lows + at, lows + count, lows + count + 1);
    std::copy_backward(children + at, children + count, children + count + 1);
    sizes[at] = size;
    lows[at] = low;
    children[at] = child;
    ++count;
  }
  void remove(std::uint32_t at) {
    std::copy(sizes + at + 1, sizes + count, sizes + at);
    std::copy(lows + at + 1, lows + count, lows + at);
    std::copy(children + at + 1, children + count, children + at);
    --count;
  }
  void append_from(Inner& from, std::uint32_t begin) {
    std::copy(from.sizes + begin, from.sizes + from.count, sizes + count);
    std::copy(from.lows + begin, from.lows + from.count, lows + count);
    std::copy(from.children + begin, from.children + from.count, children + count);
    count += from.count - begin;
    from.count = begin;
  }
};

Leaf* leaf_of(void* node) { return static_cast<Leaf*>(node); }
Inner* inner_of(void* node) { return static_cast<Inner*>(node); }

// What an insertion did to the node it went into.
struct Grown {
  bool inserted = false;
  void* node = nullptr;   // the node itself; a leaf that grew has moved
  void* right = nullptr;  // its new right neighbour, if it was split
};

// Where to cut a full node of `full` parts. At the end of the sequence nothing more will come in
// between, so the left part stays full.
std::uint32_t cut(bool at_end, std::uint32_t full) { return at_end ? full : full / 2; }

Grown insert_leaf(Leaf* leaf, Key key, Value value, bool last) {
  const std::uint32_t at = leaf->lower_bound(key);
  if (at < leaf->count && leaf->keys()[at] == key) return {false, leaf, nullptr};
  if (leaf->count < leaf->capacity) {
    leaf->put(at, key, value);
    return {true, leaf, nullptr};
  }
  if (leaf->capacity < kLeaf) {
    leaf = resized(leaf, next_capacity(leaf->capacity));
    leaf->put(at, key, value);
    return {true, leaf, nullptr};
  }
  const bool at_end = last && at == leaf->count;
  Leaf* right = Leaf::make(at_end ? kNewLast : kLeaf);
  const std::uint32_t begin = cut(at_end, leaf->count);
  right->append_from(*leaf, begin);
  if (at < begin) {
    leaf->put(at, key, value);
  } else {
    right->put(at - begin, key, value);
  }
  return {true, leaf, right};
}

Grown insert_at(void* node, std::uint32_t height, Key key, Value value, bool last);

std::uint32_t size_of(void* node, std::uint32_t height) {
  return height == 0 ? leaf_of(node)->size() : inner_of(node)->size();
}
Key low_of(void* node, std::uint32_t height) {
  return height == 0 ? leaf_of(node)->low() : inner_of(node)->low();
}

Grown insert_inner(Inner* inner, std::uint32_t height, Key key, Value value, bool last) {
  const std::uint32_t i = inner->child_of(key);
  const bool last_child = last && i + 1 == inner->count;
  const Grown below = insert_at(inner->children[i], height - 1, key, value, last_child);
  inner->children[i] = below.node;
  if (!below.inserted) return {false, inner, nullptr};
  inner->lows[i] = std::min(inner->lows[i], key);
  if (below.right == nullptr) {
    ++inner->sizes[i];
    return {true, inner, nullptr};
  }
  inner->sizes[i] = size_of(below.node, height - 1);
  const Key low = low_of(below.right, height - 1);
  const std::uint32_t size = size_of(below.right, height - 1);
  if (inner->count < kFanout) {
    inner->put(i + 1, low, size, below.right);
    return {true, inner, nullptr};
  }
  auto* right = new Inner;
  const std::uint32_t begin = cut(last_child, inner->count);
  right->append_from(*inner, begin);
  // A child that belongs exactly at the cut goes right when the left side is full.
  if (i + 1 <= begin && inner->count < kFanout) {
    inner->put(i + 1, low, size, below.right);
  } else {
    right->put(i + 1 - begin, low, size, below.right);
  }
  return {true, inner, right};
}

Grown insert_at(void* node, std::uint32_t height, Key key, Value value, bool last) {
  return height == 0 ? insert_leaf(leaf_of(node), key, value, last)
                     : insert_inner(inner_of(node), height, key, value, last);
}

// Joins children i and i + 1 when they fit into one node with room to spare, so that the next
// insertion does not split it again. (Only the last leaf of all has less than full capacity, and
// that is never the left one.)
void join(Inner* parent, std::uint32_t i, std::uint32_t child_height) {
  void* a = parent->children[i];
  void* b = parent->children[i + 1];
  if (child_height == 0) {
    if (parent->sizes[i] + parent->sizes[i + 1] > kJoin) return;
    leaf_of(a)->append_from(*leaf_of(b), 0);
    Leaf::free(leaf_of(b));
  } else {
    if (inner_of(a)->count + inner_of(b)->count > kFanout * 3 / 4) return;
    inner_of(a)->append_from(*inner_of(b), 0);
    delete inner_of(b);
  }
  parent->sizes[i] += parent->sizes[i + 1];
  parent->remove(i + 1);
}

std::uint32_t parts_of(void* node, std::uint32_t height) {
  return height == 0 ? leaf_of(node)->count : inner_of(node)->count;
}

void free_node(void* node, std::uint32_t height) {
  if (height == 0) {
    Leaf::free(leaf_of(node));
  } else {
    delete inner_of(node);
  }
}

bool erase_at(void* node, std::uint32_t height, Key key) {
  if (height == 0) {
    Leaf* leaf = leaf_of(node);
    const std::uint32_t at = leaf->lower_bound(key);
    if (at == leaf->count || leaf->keys()[at] != key) return false;
    leaf->remove(at);
    return true;
  }
  Inner* inner = inner_of(node);
  const std::uint32_t i = inner->child_of(key);
  void* child = inner->children[i];
  if (!erase_at(child, height - 1, key)) return false;
  --inner->sizes[i];
  const std::uint32_t parts = parts_of(child, height - 1);
  // The sizes of leaves are known here, those of inner nodes only there.
  const std::uint32_t few = height == 1 ? kJoin : kFanout / 4;
  if (parts == 0) {
    free_node(child, height - 1);
    inner->remove(i);
  } else if (parts <= few) {
    if (i + 1 < inner->count) join(inner, i, height - 1);
    if (i > 0) join(inner, i - 1, height - 1);
  }
  return true;
}

void free_tree(void* node, std::uint32_t height) {
  if (height > 0) {
    Inner* inner = inner_of(node);
    for (std::uint32_t i = 0; i < inner->count; ++i) free_tree(inner->children[i], height - 1);
  }
  free_node(node, height);
}

void* copy_tree(void* node, std::uint32_t height) {
  if (height == 0) {
    Leaf* from = leaf_of(node);
    Leaf* leaf = Leaf::make(from->capacity);
    std::copy(from->keys(), from->keys() + from->count, leaf->keys());
    std::copy(from->values(), from->values() + from->count, leaf->values());
    leaf->count = from->count;
    return leaf;
  }
  auto* inner = new Inner(*inner_of(node));
  for (std::uint32_t i = 0; i < inner->count; ++i) {
    inner->children[i] = copy_tree(inner->children[i], height - 1);
  }
  return inner;
}

std::size_t bytes_of(void* node, std::uint32_t height) {
  if (height == 0) return Leaf::bytes(leaf_of(node)->capacity);
  std::size_t sum = sizeof(Inner);
  Inner* inner = inner_of(node);
  for (std::uint32_t i = 0; i < inner->count; ++i) sum += bytes_of(inner->children[i], height - 1);
  return sum;
}

void demand_that(bool ok, const char* sentence) {
  if (!ok) throw std::logic_error(sentence);
}

// Checks the part of the tree whose keys must lie in [from, upto]; answers its number of items.
std::uint32_t check_tree(void* node, std::uint32_t height, Key from, Key upto, bool last) {
  if (height == 0) {
    Leaf* leaf = leaf_of(node);
    demand_that(leaf->count > 0 && leaf->count <= leaf->capacity,
                "a leaf of an ordered sequence is empty or too full");
    demand_that(
        last ? std::ranges::count(kCapacities, leaf->capacity) == 1 : leaf->capacity == kLeaf,
        "a leaf of an ordered sequence has a size of its own");
    for (std::uint32_t i = 0; i < leaf->count; ++i) {
      const Key key = leaf->keys()[i];
      demand_that(key >= from && key <= upto && (i == 0 || leaf->keys()[i - 1] < key),
                  "an ordered sequence is out of order");
    }
    return leaf->count;
  }
  Inner* inner = inner_of(node);
  demand_that(inner->count > 0 && inner->count <= kFanout,
              "an inner node of an ordered sequence is empty or too full");
  std::uint32_t sum = 0;
  for (std::uint32_t i = 0; i < inner->count; ++i) {
    const Key low = i == 0 ? from : inner->lows[i];
    const Key high = i + 1 < inner->count ? inner->lows[i + 1] - 1 : upto;
    const bool last_child = last && i + 1 == inner->count;
    const std::uint32_t size = check_tree(inner->children[i], height - 1, low, high, last_child);
    demand_that(size == inner->sizes[i], "an ordered sequence counts its items wrongly");
    sum += size;
  }
  return sum;
}

}  // namespace

OrderedSequence::OrderedSequence(const OrderedSequence& other)
    : top_(other.top_), size_(other.size_), below_(other.below_) {
  if (has_tree()) top_.root = copy_tree(top_.root, below_.height);
}

OrderedSequence::~OrderedSequence() {
  if (has_tree()) free_tree(top_.root, below_.height);
}

bool OrderedSequence::insert(Key key, Value value) {
  if (size_ == 0) {
    top_.key = key;
    below_.value = value;
    size_ = 1;
    return true;
  }
  if (size_ == 1) {
    if (top_.key == key) return false;
    Leaf* leaf = Leaf::make(kCapacities[0]);
    leaf->put(0, top_.key, below_.value);
    leaf->put(key < top_.key ? 0 : 1, key, value);
    top_.root = leaf;
    below_.height = 0;
    size_ = 2;
    return true;
  }
  const Grown grown = insert_at(top_.root, below_.height, key, value, true);
  top_.root = grown.node;
  if (!grown.inserted) return false;
  ++size_;
  if (grown.right != nullptr) {
    const std::uint32_t height = below_.height;
    auto* root = new Inner;
    root->put(0, low_of(top_.root, height), size_of(top_.root, height), top_.root);
    root->put(1, low_of(grown.right, height), size_of(grown.right, height), grown.right);
    top_.root = root;
    ++below_.height;
  }
  return true;
}

bool OrderedSequence::erase(Key key) {
  if (!has_tree()) {
    if (size_ == 0 || top_.key != key) return false;
    size_ = 0;
    return true;
  }
  if (!erase_at(top_.root, below_.height, key)) return false;
  --size_;
  while (below_.height > 0 && inner_of(top_.root)->count == 1) {
    void* only = inner_of(top_.root)->children[0];
    free_node(top_.root, below_.height);
    top_.root = only;
    --below_.height;
  }
  if (below_.height > 0) return true;
  Leaf* leaf = leaf_of(top_.root);
  if (size_ > 1) {
    top_.root = shrunk(leaf);
  } else {
    top_.key = leaf->keys()[0];
    below_.value = leaf->values()[0];
    Leaf::free(leaf);
  }
  return true;
}

OrderedSequence::Item OrderedSequence::first() const {
  ensure(size_ > 0, "the first item of an empty sequence");
  if (!has_tree()) return {top_.key, below_.value};
  void* node = top_.root;
  for (std::uint32_t h = below_.height; h > 0; --h) node = inner_of(node)->children[0];
  return {leaf_of(node)->keys()[0], leaf_of(node)->values()[0]};
}

void OrderedSequence::prefetch(Key key) const {
  if (!has_tree()) return;
  void* node = top_.root;
  for (std::uint32_t h = below_.height; h > 0; --h) {
    Inner* inner = inner_of(node);
    node = inner->children[inner->child_of(key)];
  }
  // All of the leaf: erasing moves half of it.
  constexpr std::size_t kLine = 64;
  const auto* bytes = static_cast<const char*>(node);
  for (std::size_t at = 0; at < Leaf::bytes(kLeaf); at += kLine) __builtin_prefetch(bytes + at, 1);
}

std::size_t OrderedSequence::rank(Key key) const {
  if (!has_tree()) return size_ == 1 && top_.key < key ? 1 : 0;
  std::size_t before = 0;
  void* node = top_.root;
  for (std::uint32_t h = below_.height; h > 0; --h) {
    Inner* inner = inner_of(node);
    const std::uint32_t i = inner->child_of(key);
    for (std::uint32_t j = 0; j < i; ++j) before += inner->sizes[j];
    node = inner->children[i];
  }
  return before + leaf_of(node)->lower_bound(key);
}

OrderedSequence::Run OrderedSequence::run(std::size_t rank) const {
  if (rank >= size_) return {};
  if (!has_tree()) return {{&top_.key, 1}, {&below_.value, 1}};
  void* node = top_.root;
  for (std::uint32_t h = below_.height; h > 0; --h) {
    Inner* inner = inner_of(node);
    std::uint32_t i = 0;
    for (; rank >= inner->sizes[i]; ++i) rank -= inner->sizes[i];
    node = inner->children[i];
  }
  Leaf* leaf = leaf_of(node);
  return {{leaf->keys() + rank, leaf->count - rank}, {leaf->values() + rank, leaf->count - rank}};
}

std::size_t OrderedSequence::memory_bytes() const {
  return has_tree() ? bytes_of(top_.root, below_.height) : 0;
}

void OrderedSequence::check() const {
  if (!has_tree()) return;
  demand_that(check_tree(top_.root, below_.height, 0, ~Key{0}, true) == size_,
              "an ordered sequence has lost items");
  demand_that(below_.height == 0 || inner_of(top_.root)->count > 1,
              "the root of an ordered sequence has a single child");
}

}  // namespace berth
