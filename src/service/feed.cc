#include "service/feed.h"

namespace berth {

Result<void> Feed::start() {
  auto view = reads_.view();
  if (!view) return std::unexpected(std::move(view.error()));
  const auto last = (*view)->last_event();
  if (!last) return std::unexpected(last.error());
  position_ = *last;
  return {};
}

Result<std::size_t> Feed::step(std::size_t most) {
  const std::lock_guard lock(mutex_);
  std::vector<Event> events;
  {
    auto view = reads_.view();
    if (!view) return std::unexpected(std::move(view.error()));
    auto rows = (*view)->history(position_, most);
    if (!rows) return std::unexpected(std::move(rows.error()));
    events = std::move(*rows);
  }
  if (events.empty()) return std::size_t{0};
  use_(events);
  position_ = events.back().seq;
  return events.size();
}

}  // namespace berth
