#include "service/recollection.h"

#include <algorithm>

#include "service/log.h"

namespace berth {
namespace {

constexpr std::size_t kPage = 256;  // entries read at a time

}  // namespace

Result<bool> replay_entries(ReadView& view, const ClusterId& cluster, journal::Replay& replay,
                            std::int64_t from, std::int64_t until) {
  while (from <= until) {
    const auto left = static_cast<std::size_t>(until - from + 1);
    auto entries = view.journal(cluster, from, std::min(left, kPage));
    if (!entries) return std::unexpected(std::move(entries.error()));
    if (entries->empty()) return false;
    for (const auto& entry : *entries) {
      if (auto taken = replay.take(entry.index, entry.payload); !taken)
        return std::unexpected(std::move(taken.error()));
    }
    from = entries->back().index + 1;
  }
  return true;
}

Result<std::optional<Outlook>> learnt_before(ReadView& view, const ClusterId& cluster) {
  const auto end = view.journal_end(cluster);
  if (!end) return std::unexpected(end.error());
  if (!*end) return std::nullopt;
  const auto checkpoint = view.journal_checkpoint(cluster, (*end)->index);
  if (!checkpoint) return std::unexpected(checkpoint.error());
  if (!*checkpoint) return std::nullopt;
  journal::Replay replay(journal::Mode::follow, journal::Learning::yes);
  const auto done = replay_entries(view, cluster, replay, **checkpoint, (*end)->index);
  if (!done) {
    const std::string& reason = done.error().reason;
    if (reason != "journal_damaged" && reason != "diverged") return std::unexpected(done.error());
    log_error("what forecasts had learnt is forgotten", done.error().message);
    return std::nullopt;
  }
  if (!*done || replay.outlook()->blank()) return std::nullopt;
  return replay.outlook();
}

}  // namespace berth
