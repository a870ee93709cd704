// Questions about all nodes at once, for explanations: does it fit anywhere, which node misses
// least. One question looks at every node; many questions about the same state share a tree of
// nodes, each part of which knows the most that any of its nodes has free, so that most parts are
// passed over. The answers are the same.
#pragma once
#include <array>
#include <optional>
#include <span>
#include <vector>

#include "scheduler/node_table.h"

namespace berth {

class NodeSearch {
 public:
  // For about so many questions. The table must not change meanwhile.
  NodeSearch(const NodeTable& nodes, std::size_t questions);

  [[nodiscard]] std::optional<Placement> find(const Resources& demand) const;
  // Where the shortage weighs least; the first of equals. There must be a node.
  [[nodiscard]] NodeIndex nearest(const Resources& demand) const;
  // The most that one node has free for a demand of this kind, per resource.
  [[nodiscard]] Resources largest_hole(const Resources& demand) const;

 private:
  static constexpr std::size_t kFewQuestions = 8;
  static constexpr std::size_t kFewNodes = 256;
  static constexpr std::size_t kLeaf = 16;
  struct Part {
    Resources most;  // no node of it has more: CPU, memory, GPU reach
    NodeIndex lowest = 0;
    std::uint32_t begin = 0, end = 0;  // in order_
    std::uint32_t right = 0;           // its children are the next part and this one; 0: a leaf
  };
  struct Nearest {
    std::uint64_t weight = ~std::uint64_t{0};
    NodeIndex node = ~NodeIndex{0};
  };
  void build(std::uint32_t begin, std::uint32_t end);
  [[nodiscard]] std::uint64_t at_least(const Part& part, const Resources& demand) const;
  void nearest(std::uint32_t part, const Resources& demand, Nearest& best) const;
  [[nodiscard]] bool any_fits(std::uint32_t part, const Resources& demand) const;

  const NodeTable& nodes_;
  std::vector<NodeIndex> order_;
  std::vector<Part> parts_;                                // empty: every node is looked at
  mutable std::array<std::optional<Resources>, 3> holes_;  // by kind of demand
};

}  // namespace berth
