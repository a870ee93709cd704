#include "app/doctor_shared.h"

#include <fmt/format.h>

#include "app/databases.h"
#include "service/relay.h"

namespace berth::app {
namespace {

constexpr std::size_t kAtOnce = 10'000;

Result<void> check_schedulers(ReadView& view, Findings& out) {
  auto living = view.living_schedulers();
  if (!living) return std::unexpected(std::move(living.error()));
  auto counts = view.lease_counts();
  if (!counts) return std::unexpected(std::move(counts.error()));
  std::size_t free = 0, most = 0, least = SIZE_MAX, holders = 0;
  for (const auto& one : *counts) {
    if (!one.holder || !one.alive) {
      free += one.clusters;
      continue;
    }
    ++holders;
    most = std::max(most, one.clusters);
    least = std::min(least, one.clusters);
  }
  if (living->empty()) {
    out.warn("schedulers",
             "None is alive: nothing starts and nothing is watched. Start one: berth "
             "scheduler --database ... --queue ...");
    return {};
  }
  out.fine("schedulers", fmt::format("{} alive", living->size()));
  for (const auto& row : *living) {
    if (row.address.empty() || row.address.starts_with("0.0.0.0:")) {
      out.warn("schedulers",
               fmt::format("{} does not say where API processes reach it; give --advertise "
                           "HOST:PORT.",
                           row.id));
    }
  }
  if (free > 0) {
    out.warn("leases", fmt::format("{} clusters have no scheduler at this moment; when this stays "
                                   "so, look at the schedulers' logs.",
                                   free));
  } else if (holders > 0 && most - least > 1) {
    out.warn("leases", fmt::format("The clusters are spread unevenly, from {} to {} for a "
                                   "scheduler; they move when schedulers come and go.",
                                   least, most));
  } else {
    out.fine("leases", "every cluster has a living scheduler");
  }
  return {};
}

// Until nothing is left to mend; answers how many queues were written or removed.
Result<std::size_t> mend(const ServeConfig& config, WorkQueue& queue) {
  const auto store = open_store(config);
  Relay relay(*store, queue);
  std::size_t mended = 0;
  for (;;) {
    const auto round = relay.heal(kAtOnce);
    if (!round) return round;
    mended += *round;
    if (*round < kAtOnce) return mended;
  }
}

void check_queue(const ServeConfig& config, ReadView& view, bool repair, Findings& out) {
  if (config.queue == "memory") return out.fine("queue", "in the memory of one process");
  const auto queue = open_queue(config);
  const auto warnings = queue->warnings();
  if (!warnings) {
    return out.warn("queue",
                    fmt::format("{} Nothing is lost: the processes go on with the database alone, "
                                "more slowly.",
                                warnings.error().message));
  }
  for (const auto& sentence : *warnings) out.warn("queue", sentence);
  if (repair) {
    const auto mended = mend(config, *queue);
    if (!mended) return out.broken("queue", mended.error().message);
    if (*mended > 0)
      out.fine("repair", fmt::format("{} queues were written anew from the database", *mended));
  }
  const auto differences = drift(view, *queue);
  if (!differences) return out.broken("queue", differences.error().message);
  constexpr std::size_t kShown = 20;
  for (std::size_t i = 0; i < differences->size() && i < kShown; ++i) {
    out.warn("queue",
             differences->at(i) + (repair ? "" : " The relay mends it; --repair does so at once."));
  }
  if (differences->size() > kShown)
    out.warn("queue", fmt::format("and {} more", differences->size() - kShown));
  if (differences->empty()) out.fine("queue", "the same as in the database");
}

}  // namespace

Result<void> check_processes(const ServeConfig& config, ReadView& view, bool repair,
                             Findings& out) {
  if (auto looked = check_schedulers(view, out); !looked) return looked;
  check_queue(config, view, repair, out);
  return {};
}

}  // namespace berth::app
