#include "scheduler/ordered_sequence.h"

#include <algorithm>
#include <new>
#include <stdexcept>

#include "base/ensure.h"

namespace berth {
namespace {

using Key = OrderedSequence::Key;
using Value = OrderedSequence::Value;
constexpr std::uint32_t kLeaf = OrderedSequence::kLeaf;
constexpr std::uint32_t kFanout = OrderedSequence::kFanout;

// The arrays follow the header in the same allocation: `capacity` keys, then as many values.
struct Leaf {
  std::uint32_t count;
  std::uint32_t capacity;

  static std::size_t bytes(std::uint32_t capacity) {
    return sizeof(Leaf) + capacity * (sizeof(Key) + sizeof(Value));
  }
  static Leaf* make(std::uint32_t capacity) {
    return new (::operator new(bytes(capacity))) Leaf{0, capacity};
  }
  static void free(Leaf* leaf) { ::operator delete(leaf, bytes(leaf->capacity)); }

  Key* keys() { return reinterpret_cast<Key*>(this + 1); }
  Value* values() { return reinterpret_cast<Value*>(keys() + capacity); }
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
    count += from.count - begin;
    from.count = begin;
  }
};
static_assert(sizeof(Leaf) % alignof(Key) == 0);

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
    Leaf* wider = Leaf::make(leaf->capacity * 2);
    wider->append_from(*leaf, 0);
    Leaf::free(leaf);
    wider->put(at, key, value);
    return {true, wider, nullptr};
  }
  Leaf* right = Leaf::make(kLeaf);
  const std::uint32_t begin = cut(last && at == leaf->count, leaf->count);
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

// Joins children i and i + 1 when they fit into one node with a quarter to spare, so that the next
// insertion does not split it again. (Only a leaf that is the root has less than full capacity.)
void join(Inner* parent, std::uint32_t i, std::uint32_t child_height) {
  void* a = parent->children[i];
  void* b = parent->children[i + 1];
  if (child_height == 0) {
    Leaf* left = leaf_of(a);
    Leaf* right = leaf_of(b);
    if (left->count + right->count > kLeaf * 3 / 4) return;
    left->append_from(*right, 0);
    Leaf::free(right);
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
  const std::uint32_t few = (height == 1 ? kLeaf : kFanout) / 4;
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
std::uint32_t check_tree(void* node, std::uint32_t height, Key from, Key upto) {
  if (height == 0) {
    Leaf* leaf = leaf_of(node);
    demand_that(leaf->count > 0 && leaf->count <= leaf->capacity && leaf->capacity <= kLeaf,
                "a leaf of an ordered sequence is empty or too full");
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
    const std::uint32_t size = check_tree(inner->children[i], height - 1, low, high);
    demand_that(size == inner->sizes[i], "an ordered sequence counts its items wrongly");
    sum += size;
  }
  return sum;
}

}  // namespace

OrderedSequence::OrderedSequence(const OrderedSequence& other)
    : root_(other.root_ == nullptr ? nullptr : copy_tree(other.root_, other.height_)),
      size_(other.size_),
      height_(other.height_) {}

OrderedSequence::~OrderedSequence() {
  if (root_ != nullptr) free_tree(root_, height_);
}

bool OrderedSequence::insert(Key key, Value value) {
  if (root_ == nullptr) root_ = Leaf::make(1);
  const Grown grown = insert_at(root_, height_, key, value, true);
  root_ = grown.node;
  if (!grown.inserted) return false;
  ++size_;
  if (grown.right != nullptr) {
    auto* root = new Inner;
    root->put(0, low_of(root_, height_), size_of(root_, height_), root_);
    root->put(1, low_of(grown.right, height_), size_of(grown.right, height_), grown.right);
    root_ = root;
    ++height_;
  }
  return true;
}

bool OrderedSequence::erase(Key key) {
  if (root_ == nullptr || !erase_at(root_, height_, key)) return false;
  --size_;
  while (height_ > 0 && inner_of(root_)->count == 1) {
    void* only = inner_of(root_)->children[0];
    free_node(root_, height_);
    root_ = only;
    --height_;
  }
  if (size_ == 0) {
    free_tree(root_, height_);
    root_ = nullptr;
    height_ = 0;
  }
  return true;
}

OrderedSequence::Item OrderedSequence::first() const {
  ensure(root_ != nullptr, "the first item of an empty sequence");
  void* node = root_;
  for (std::uint32_t h = height_; h > 0; --h) node = inner_of(node)->children[0];
  return {leaf_of(node)->keys()[0], leaf_of(node)->values()[0]};
}

void OrderedSequence::prefetch(Key key) const {
  if (root_ == nullptr) return;
  void* node = root_;
  for (std::uint32_t h = height_; h > 0; --h) {
    Inner* inner = inner_of(node);
    node = inner->children[inner->child_of(key)];
  }
  // All of the leaf: erasing moves half of it.
  constexpr std::size_t kLine = 64;
  const auto* bytes = static_cast<const char*>(node);
  for (std::size_t at = 0; at < Leaf::bytes(kLeaf); at += kLine) __builtin_prefetch(bytes + at, 1);
}

std::size_t OrderedSequence::rank(Key key) const {
  if (root_ == nullptr) return 0;
  std::size_t before = 0;
  void* node = root_;
  for (std::uint32_t h = height_; h > 0; --h) {
    Inner* inner = inner_of(node);
    const std::uint32_t i = inner->child_of(key);
    for (std::uint32_t j = 0; j < i; ++j) before += inner->sizes[j];
    node = inner->children[i];
  }
  return before + leaf_of(node)->lower_bound(key);
}

OrderedSequence::Run OrderedSequence::run(std::size_t rank) const {
  if (rank >= size_) return {};
  void* node = root_;
  for (std::uint32_t h = height_; h > 0; --h) {
    Inner* inner = inner_of(node);
    std::uint32_t i = 0;
    for (; rank >= inner->sizes[i]; ++i) rank -= inner->sizes[i];
    node = inner->children[i];
  }
  Leaf* leaf = leaf_of(node);
  return {{leaf->keys() + rank, leaf->count - rank}, {leaf->values() + rank, leaf->count - rank}};
}

std::size_t OrderedSequence::memory_bytes() const {
  return root_ == nullptr ? 0 : bytes_of(root_, height_);
}

void OrderedSequence::check() const {
  const std::uint32_t found = root_ == nullptr ? 0 : check_tree(root_, height_, 0, ~Key{0});
  demand_that(found == size_, "an ordered sequence has lost items");
}

}  // namespace berth
