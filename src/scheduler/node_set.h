// Some of the nodes of one cluster, by index.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace berth {

class NodeSet {
 public:
  NodeSet() = default;
  explicit NodeSet(std::size_t nodes) : member_(nodes, false) {}

  void add(std::uint32_t node) {  // it must not be there
    member_[node] = true;
    if (++size_ <= kFew) few_.push_back(node);
  }
  [[nodiscard]] bool contains(std::uint32_t node) const { return member_[node]; }
  [[nodiscard]] std::size_t size() const { return size_; }
  // Whether it is small enough to be listed; then all members, in rising order if so added.
  [[nodiscard]] bool is_listed() const { return size_ <= kFew; }
  [[nodiscard]] std::span<const std::uint32_t> list() const { return few_; }

 private:
  static constexpr std::size_t kFew = 64;
  std::vector<bool> member_;
  std::vector<std::uint32_t> few_;
  std::size_t size_ = 0;
};

}  // namespace berth
