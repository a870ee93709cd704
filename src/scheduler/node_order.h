// Nodes sorted by preference, with the question "the first from here on that has this much CPU and
// memory": a list of sorted blocks that know the largest free CPU and memory inside. A search looks
// at one number per block and opens only blocks in which something may fit.
#pragma once
#include <cstdint>
#include <tuple>
#include <vector>

#include "scheduler/node_set.h"

namespace berth {

class NodeOrder {
 public:
  struct Entry {
    std::int64_t first = 0;   // what decides before everything else
    std::uint64_t slack = 0;  // then the fullest node,
    std::uint32_t node = 0;   // then the lowest index
    std::int64_t cpu = 0;
    std::int64_t memory = 0;
    [[nodiscard]] auto key() const { return std::tuple(first, slack, node); }
    friend bool operator==(const Entry&, const Entry&) = default;
  };

  void insert(const Entry& entry);  // its key must be new
  void erase(const Entry& entry);   // it must be there
  // The first entry with at least `at_least` as `first`, and room for both; null when none has.
  // With `only`, of these nodes.
  [[nodiscard]] const Entry* find(std::int64_t at_least, std::int64_t cpu, std::int64_t memory,
                                  const NodeSet* only = nullptr) const;

 private:
  static constexpr std::size_t kBlock = 64;
  struct Block {
    std::vector<Entry> entries;  // never empty
    std::int64_t cpu = 0;
    std::int64_t memory = 0;
    void refresh();
  };
  [[nodiscard]] std::size_t block_for(const Entry& entry) const;

  std::vector<Block> blocks_;
};

}  // namespace berth
