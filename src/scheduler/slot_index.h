// From a key to a 32-bit slot number: open addressing with linear probing. The keys themselves stay
// in the caller's table; a cell is a slot number, one byte of the key's hash, which spares nearly
// all looks at keys that are not the one, and how far it lies from its home. Erasing moves later
// cells back, so there are no tombstones and the cost does not depend on history; thanks to the
// distance it need not look at their keys either.
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
    if (slots_.empty()) return kNone;
    const std::uint8_t tag = tag_of(hash);
    for (std::size_t at = home(hash); slots_[at] != kNone; at = next(at)) {
      if (tags_[at] == tag && is_it(slots_[at])) return slots_[at];
    }
    return kNone;
  }

  // The key must not be there. hash_of(slot) answers the hash of a slot that is in the index.
  template <class HashOf>
  void insert(std::uint64_t hash, std::uint32_t slot, HashOf&& hash_of) {
    if ((count_ + 1) * 4 > slots_.size() * 3) grow(hash_of);
    put(hash, slot);
    ++count_;
  }

  template <class HashOf>
  void erase(std::uint64_t hash, std::uint32_t slot, HashOf&& hash_of) {
    ensure(count_ > 0, "erase from an empty index");
    std::size_t hole = home(hash);
    while (slots_[hole] != slot) {
      ensure(slots_[hole] != kNone, "erase of a slot that is not in the index");
      hole = next(hole);
    }
    // A later cell may move into the hole when its home does not lie behind the hole.
    for (std::size_t at = next(hole); slots_[at] != kNone; at = next(at)) {
      const std::size_t from_home =
          distances_[at] < kFar ? distances_[at] : distance(home(hash_of(slots_[at])), at);
      const std::size_t back = distance(hole, at);
      if (from_home < back) continue;
      slots_[hole] = slots_[at];
      tags_[hole] = tags_[at];
      distances_[hole] = capped(from_home - back);
      hole = at;
    }
    slots_[hole] = kNone;
    --count_;
  }

  [[nodiscard]] std::size_t size() const { return count_; }
  [[nodiscard]] std::size_t memory_bytes() const {
    return slots_.capacity() * sizeof(std::uint32_t) + tags_.capacity() + distances_.capacity();
  }

 private:
  static std::uint8_t tag_of(std::uint64_t hash) { return static_cast<std::uint8_t>(hash >> 56); }
  [[nodiscard]] std::size_t home(std::uint64_t hash) const { return hash & (slots_.size() - 1); }
  [[nodiscard]] std::size_t next(std::size_t at) const { return (at + 1) & (slots_.size() - 1); }

  static constexpr std::uint8_t kFar = 255;
  static std::uint8_t capped(std::size_t d) {
    return static_cast<std::uint8_t>(d < kFar ? d : kFar);
  }
  [[nodiscard]] std::size_t distance(std::size_t from, std::size_t to) const {
    return (to - from) & (slots_.size() - 1);
  }

  void put(std::uint64_t hash, std::uint32_t slot) {
    std::size_t at = home(hash);
    while (slots_[at] != kNone) at = next(at);
    slots_[at] = slot;
    tags_[at] = tag_of(hash);
    distances_[at] = capped(distance(home(hash), at));
  }

  template <class HashOf>
  void grow(HashOf&& hash_of) {
    const std::vector<std::uint32_t> old = std::move(slots_);
    slots_.assign(old.empty() ? 16 : old.size() * 2, kNone);
    tags_.assign(slots_.size(), 0);
    distances_.assign(slots_.size(), 0);
    for (const std::uint32_t slot : old) {
      if (slot != kNone) put(hash_of(slot), slot);
    }
  }

  std::vector<std::uint32_t> slots_;  // a power of two of cells, at most three quarters used
  std::vector<std::uint8_t> tags_;
  std::vector<std::uint8_t> distances_;
  std::size_t count_ = 0;
};

}  // namespace berth
