// An ordered sequence of (key, value) with ranks: a counted B+-tree.
//
// Every inner node keeps the number of items below each child, so the position of a key and the
// item at a position are found on one way down. A single item lies in the sequence itself, without
// any allocation: where all demands differ, every row is such a sequence. From two items on there
// are leaves, arrays of up to kLeaf. The last one grows in small steps, so short sequences are
// small, too. A leaf that overflows at the end of the whole sequence is left full and a new one
// begins: keys that arrive in order, as admission numbers do, fill their leaves. After an erase a
// leaf is joined to a neighbour as soon as both fit into one with room to spare, so leaves stay
// half full or more on average whatever was removed.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace berth {

class OrderedSequence {
 public:
  using Key = std::uint64_t;
  using Value = std::uint32_t;
  struct Item {
    Key key = 0;
    Value value = 0;
    friend bool operator==(const Item&, const Item&) = default;
  };
  // Neighbouring items that lie together in memory; valid until the next change.
  struct Run {
    std::span<const Key> keys;
    std::span<const Value> values;
  };

  OrderedSequence() = default;
  OrderedSequence(const OrderedSequence& other);
  OrderedSequence(OrderedSequence&& other) noexcept { swap(other); }
  OrderedSequence& operator=(OrderedSequence other) noexcept {
    swap(other);
    return *this;
  }
  ~OrderedSequence();

  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }

  bool insert(Key key, Value value);  // false, and no change, when the key is there
  bool erase(Key key);                // false when it is not there
  [[nodiscard]] Item first() const;   // never of an empty sequence
  // Brings what erase(key) will look at near to the processor.
  void prefetch(Key key) const;
  [[nodiscard]] std::size_t rank(Key key) const;  // how many keys are smaller
  // The items from this rank on, as far as they lie together: never empty below size(), empty
  // above.
  [[nodiscard]] Run run(std::size_t rank) const;

  [[nodiscard]] std::size_t memory_bytes() const;  // allocated, without this object itself
  void check() const;                              // throws std::logic_error

  static constexpr std::uint32_t kLeaf = 63;
  static constexpr std::uint32_t kFanout = 32;

 private:
  void swap(OrderedSequence& other) noexcept {
    std::swap(top_, other.top_);
    std::swap(size_, other.size_);
    std::swap(below_, other.below_);
  }
  [[nodiscard]] bool has_tree() const { return size_ > 1; }

  // Of a single item the key and the value. Of more the root, which is a leaf when its height is 0.
  union {
    Key key;
    void* root;
  } top_{.key = 0};
  std::uint32_t size_ = 0;
  union {
    Value value;
    std::uint32_t height;
  } below_{.value = 0};
};
static_assert(sizeof(OrderedSequence) == 16);

}  // namespace berth
