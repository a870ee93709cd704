// From a key to a 32-bit slot number: open addressing with linear probing. The keys themselves stay
// in the caller's table; a cell is a slot number, one byte of the key's hash, which spares nearly
// all looks at keys that are not the one, and how far it lies from its home. Erasing moves later
// cells back, so there are no tombstones and the cost does not depend on history; thanks to the
// distance it need not look at their keys either. A cell is eight bytes, so that one look at memory
// tells all three.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/ensure.h"

namespace berth {

[[nodiscard]] constexpr std::uint64_t mix(std::uint64_t x) {
  x ^= x >> 32;
  x *= 0xD6E8FEB86659FD93ULL;
  x ^= x >> 32;
  x *= 0xD6E8FEB86659FD93ULL;
  return x ^ (x >> 32);
}

class SlotIndex {
 public:
  static constexpr std::uint32_t kNone = ~std::uint32_t{0};

  // The slot among those with this hash for which is_it(slot) is true, or kNone.
  template <class IsIt>
  [[nodiscard]] std::uint32_t find(std::uint64_t hash, IsIt&& is_it) const {
    if (cells_.empty()) return kNone;
    const std::uint8_t tag = tag_of(hash);
    for (std::size_t at = home(hash); cells_[at].slot != kNone; at = next(at)) {
      if (cells_[at].tag == tag && is_it(cells_[at].slot)) return cells_[at].slot;
    }
    return kNone;
  }

  // The key must not be there. hash_of(slot) answers the hash of a slot that is in the index.
  template <class HashOf>
  void insert(std::uint64_t hash, std::uint32_t slot, HashOf&& hash_of) {
    if ((count_ + 1) * 4 > cells_.size() * 3) grow(hash_of);
    put(hash, slot);
    ++count_;
  }

  template <class HashOf>
  void erase(std::uint64_t hash, std::uint32_t slot, HashOf&& hash_of) {
    ensure(count_ > 0, "erase from an empty index");
    std::size_t hole = home(hash);
    while (cells_[hole].slot != slot) {
      ensure(cells_[hole].slot != kNone, "erase of a slot that is not in the index");
      hole = next(hole);
    }
    // A later cell may move into the hole when its home does not lie behind the hole.
    for (std::size_t at = next(hole); cells_[at].slot != kNone; at = next(at)) {
      const Cell& cell = cells_[at];
      const std::size_t from_home =
          cell.distance < kFar ? cell.distance : distance(home(hash_of(cell.slot)), at);
      const std::size_t back = distance(hole, at);
      if (from_home < back) continue;
      cells_[hole] = {cell.slot, cell.tag, capped(from_home - back)};
      hole = at;
    }
    cells_[hole] = {};
    --count_;
  }

  // Brings the cell of a key near to the processor, for an erase() to come.
  void prefetch(std::uint64_t hash) const {
    if (!cells_.empty()) __builtin_prefetch(&cells_[home(hash)], 1);
  }

  [[nodiscard]] std::size_t size() const { return count_; }
  [[nodiscard]] std::size_t memory_bytes() const { return cells_.capacity() * sizeof(Cell); }

 private:
  struct Cell {
    std::uint32_t slot = kNone;
    std::uint8_t tag = 0;
    std::uint8_t distance = 0;  // from its home
  };
  static std::uint8_t tag_of(std::uint64_t hash) { return static_cast<std::uint8_t>(hash >> 56); }
  [[nodiscard]] std::size_t home(std::uint64_t hash) const { return hash & (cells_.size() - 1); }
  [[nodiscard]] std::size_t next(std::size_t at) const { return (at + 1) & (cells_.size() - 1); }

  static constexpr std::uint8_t kFar = 255;
  static std::uint8_t capped(std::size_t d) {
    return static_cast<std::uint8_t>(d < kFar ? d : kFar);
  }
  [[nodiscard]] std::size_t distance(std::size_t from, std::size_t to) const {
    return (to - from) & (cells_.size() - 1);
  }

  void put(std::uint64_t hash, std::uint32_t slot) {
    std::size_t at = home(hash);
    while (cells_[at].slot != kNone) at = next(at);
    cells_[at] = {slot, tag_of(hash), capped(distance(home(hash), at))};
  }

  template <class HashOf>
  void grow(HashOf&& hash_of) {
    const std::vector<Cell> old = std::move(cells_);
    cells_.assign(old.empty() ? 16 : old.size() * 2, Cell{});
    for (const Cell& cell : old) {
      if (cell.slot != kNone) put(hash_of(cell.slot), cell.slot);
    }
  }

  std::vector<Cell> cells_;  // a power of two of them, at most three quarters used
  std::size_t count_ = 0;
};

}  // namespace berth
