// Follows the history of a shared database: what other processes wrote, and this one, in order,
// each event once.
#pragma once
#include <span>

#include "service/read_side.h"

namespace berth {

class Feed {
 public:
  using Use = std::function<void(std::span<const Event>)>;
  Feed(ReadSide& reads, Use use) : reads_(reads), use_(std::move(use)) {}

  // From now on. Before the first step().
  Result<void> start();
  // Reads what is new, at most `most`, and hands it over. Answers how many. From any thread, one
  // after the other.
  Result<std::size_t> step(std::size_t most = 1000);
  // The last event that was handed over. From any thread.
  [[nodiscard]] std::int64_t position() const { return position_.load(); }

 private:
  ReadSide& reads_;
  const Use use_;
  std::mutex mutex_;
  std::atomic<std::int64_t> position_ = 0;
};

}  // namespace berth
