// From a key to a 32-bit slot number: open addressing with linear probing. The keys themselves stay
// in the caller's table; a cell is 32 bits of the key's hash, which spare nearly all looks at keys
// that are not the one, and the slot number.
//
// The home of a hash is its share of the table, not a remainder, so larger hashes have later homes
// and all cells lie in the order of their hashes. A search ends at the first larger one, so the
// table may be quite full; and it can have any size and grows in small steps, by spreading the
// cells out anew from front to back without a look at a key. Erasing moves those behind back
// towards their homes: there are no tombstones, and the cost does not depend on history. What is
// pushed beyond the last home lies behind it.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <utility>
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
    if (count_ == 0) return kNone;
    const Cell last = last_of(hash);
    for (const Cell* at = place_of(hash); *at <= last; ++at) {
      if (is_it(slot_in(*at))) return slot_in(*at);
    }
    return kNone;
  }

  // The key must not be there.
  void insert(std::uint64_t hash, std::uint32_t slot) {
    if ((count_ + 1) * 16 > homes_ * 13) grow();
    Cell* at = place_of(hash);
    // Those from here on move one further.
    for (Cell cell = first_of(hash) | slot; cell != kEmpty; ++at) std::swap(cell, *at);
    keep_an_end(at);
    ++count_;
  }

  void erase(std::uint64_t hash, std::uint32_t slot) {
    Cell* hole = cell_of(hash, slot);
    // Those behind it that do not lie at home move one back.
    for (std::size_t at = index_of(hole) + 1; hole[1] != kEmpty && home(hole[1]) < at; ++at) {
      hole[0] = hole[1];
      ++hole;
    }
    *hole = kEmpty;
    --count_;
  }

  // The key moves from one slot to another.
  void move(std::uint64_t hash, std::uint32_t from, std::uint32_t to) {
    *cell_of(hash, from) = first_of(hash) | to;
  }

  // Brings the cell of a key near to the processor, for an erase() to come.
  void prefetch(std::uint64_t hash) const {
    if (count_ > 0) __builtin_prefetch(cells_.data() + home(hash), 1);
  }

  [[nodiscard]] std::size_t size() const { return count_; }
  [[nodiscard]] std::size_t memory_bytes() const { return cells_.capacity() * sizeof(Cell); }

  void check() const {  // throws std::logic_error
    std::size_t found = 0;
    for (std::size_t at = 0; at < cells_.size(); ++at) {
      if (cells_[at] == kEmpty) continue;
      ++found;
      const bool reached = home(cells_[at]) == at || (at > 0 && cells_[at - 1] != kEmpty);
      const bool ordered =
          at == 0 || cells_[at - 1] == kEmpty || first_of(cells_[at - 1]) <= first_of(cells_[at]);
      if (!reached || !ordered || home(cells_[at]) > at) {
        throw std::logic_error("a cell of an index lies where no search finds it");
      }
    }
    if (found != count_ || (!cells_.empty() && cells_.back() != kEmpty)) {
      throw std::logic_error("an index counts its cells wrongly");
    }
  }

 private:
  // The upper half of a hash, and a slot below it. Slots are never kNone, so an empty cell comes
  // after every other.
  using Cell = std::uint64_t;
  static constexpr Cell kEmpty = ~Cell{0};
  static constexpr std::uint64_t kSlot = 0xFFFF'FFFF;
  static std::uint32_t slot_in(Cell cell) { return static_cast<std::uint32_t>(cell & kSlot); }
  static Cell first_of(std::uint64_t hash) { return hash & ~kSlot; }
  static Cell last_of(std::uint64_t hash) { return first_of(hash) | (kSlot - 1); }

  [[nodiscard]] std::size_t home(std::uint64_t hash) const { return ((hash >> 32) * homes_) >> 32; }
  // Where the first cell with this hash lies, or would lie.
  [[nodiscard]] const Cell* place_of(std::uint64_t hash) const {
    const Cell* at = cells_.data() + home(hash);
    while (*at < first_of(hash)) ++at;
    return at;
  }
  [[nodiscard]] Cell* place_of(std::uint64_t hash) {
    return cells_.data() + (std::as_const(*this).place_of(hash) - cells_.data());
  }

  [[nodiscard]] Cell* cell_of(std::uint64_t hash, std::uint32_t slot) {
    ensure(count_ > 0, "an empty index does not know a slot");
    const Cell wanted = first_of(hash) | slot;
    Cell* at = cells_.data() + home(hash);
    while (*at != wanted) {
      ensure(*at <= last_of(hash), "a slot is not in the index");
      ++at;
    }
    return at;
  }
  [[nodiscard]] std::size_t index_of(const Cell* cell) const {
    return static_cast<std::size_t>(cell - cells_.data());
  }

  // Once all before `end` may be in use: the last one of all stays empty, so every search ends.
  void keep_an_end(const Cell* end) {
    if (index_of(end) < cells_.size()) return;
    if (cells_.size() == cells_.capacity()) cells_.reserve(cells_.size() + 16);
    cells_.push_back(kEmpty);
  }

  void grow() {
    const std::vector<Cell> old = std::move(cells_);
    homes_ += homes_ / 4 + 4;
    cells_ = {};
    cells_.reserve(homes_ + std::min<std::size_t>(homes_ / 8 + 1, 32));
    cells_.assign(homes_ + 1, kEmpty);
    std::size_t next = 0;
    for (const Cell cell : old) {
      if (cell == kEmpty) continue;
      next = std::max(next, home(cell));
      cells_[next] = cell;
      keep_an_end(cells_.data() + ++next);
    }
  }

  std::vector<Cell> cells_;  // as many as homes, and a few behind them; the last one is empty
  std::uint64_t homes_ = 0;  // at most 13 of 16 are used
  std::size_t count_ = 0;
};

}  // namespace berth
