#include "scheduler/node_order.h"

#include <algorithm>

#include "base/ensure.h"

namespace berth {

void NodeOrder::Block::refresh() {
  cpu = -1;
  memory = -1;
  for (const Entry& entry : entries) {
    cpu = std::max(cpu, entry.cpu);
    memory = std::max(memory, entry.memory);
  }
}

// The last block that begins no later than the entry, or the first one.
std::size_t NodeOrder::block_for(const Entry& entry) const {
  const auto begins = [](const Block& block) { return block.entries.front().key(); };
  const auto after = std::ranges::upper_bound(blocks_, entry.key(), {}, begins);
  return after == blocks_.begin() ? 0 : static_cast<std::size_t>(after - blocks_.begin()) - 1;
}

void NodeOrder::insert(const Entry& entry) {
  if (blocks_.empty()) {
    blocks_.push_back({{entry}, entry.cpu, entry.memory});
    return;
  }
  const std::size_t at = block_for(entry);
  {
    Block& block = blocks_[at];
    auto& entries = block.entries;
    entries.insert(std::ranges::lower_bound(entries, entry.key(), {}, &Entry::key), entry);
    if (entries.size() <= kBlock) {
      block.cpu = std::max(block.cpu, entry.cpu);
      block.memory = std::max(block.memory, entry.memory);
      return;
    }
  }
  Block upper;
  auto& lower = blocks_[at].entries;
  upper.entries.assign(lower.begin() + kBlock / 2, lower.end());
  lower.resize(kBlock / 2);
  upper.refresh();
  blocks_[at].refresh();
  blocks_.insert(blocks_.begin() + static_cast<std::ptrdiff_t>(at) + 1, std::move(upper));
}

void NodeOrder::erase(const Entry& entry) {
  ensure(!blocks_.empty(), "a node is missing from the order of nodes");
  const std::size_t at = block_for(entry);
  Block& block = blocks_[at];
  const auto found = std::ranges::lower_bound(block.entries, entry.key(), {}, &Entry::key);
  ensure(found != block.entries.end() && found->key() == entry.key(),
         "a node is missing from the order of nodes");
  block.entries.erase(found);
  if (block.entries.empty()) {
    blocks_.erase(blocks_.begin() + static_cast<std::ptrdiff_t>(at));
  } else if (entry.cpu == block.cpu || entry.memory == block.memory) {
    block.refresh();
  }
}

const NodeOrder::Entry* NodeOrder::find(std::int64_t at_least, std::int64_t cpu,
                                        std::int64_t memory, const NodeSet* only) const {
  for (std::size_t b = block_for({at_least, 0, 0, 0, 0}); b < blocks_.size(); ++b) {
    const Block& block = blocks_[b];
    if (block.cpu < cpu || block.memory < memory) continue;
    for (const Entry& entry : block.entries) {
      const bool enough = entry.first >= at_least && entry.cpu >= cpu && entry.memory >= memory;
      if (enough && (only == nullptr || only->contains(entry.node))) return &entry;
    }
  }
  return nullptr;
}

}  // namespace berth
