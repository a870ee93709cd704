#include "service/leases.h"

#include <algorithm>
#include <mutex>

namespace berth {
namespace {

constexpr std::size_t kAtOnce = 1000;  // leases that change hands in one transaction

}  // namespace

std::size_t fair_share(std::size_t clusters, const std::vector<std::string>& living,
                       const std::string& me) {
  const auto place = std::ranges::find(living, me) - living.begin();
  if (place == std::ssize(living)) return 0;
  const std::size_t base = clusters / living.size();
  return base + (static_cast<std::size_t>(place) < clusters % living.size() ? 1 : 0);
}

Leases::Leases(Store& store, Rules rules, Listener listener)
    : store_(store), rules_(std::move(rules)), listener_(std::move(listener)) {}

bool Leases::alive() const { return rules_.time->now() < until_.load(); }

std::optional<std::int64_t> Leases::epoch_of(const ClusterId& cluster) const {
  const std::shared_lock lock(mutex_);
  const auto found = held_.find(cluster);
  return found == held_.end() ? std::nullopt : std::optional(found->second.epoch);
}

bool Leases::holds(const ClusterId& cluster) const {
  return alive() && epoch_of(cluster).has_value();
}

std::size_t Leases::count() const {
  const std::shared_lock lock(mutex_);
  return held_.size();
}

std::vector<std::string> Leases::living() const {
  const std::shared_lock lock(mutex_);
  return living_;
}

Result<void> Leases::prove(Change& change, const ClusterId& cluster) {
  if (change.is_proved(cluster)) return {};
  const auto lost = [] {
    return fail(Code::aborted, "lease_lost", "Another process decides about this cluster now.");
  };
  const auto epoch = epoch_of(cluster);
  if (!epoch) return lost();
  // The cluster first, the lease second: whoever changes a cluster locks in this order.
  if (auto held = change.hold(cluster); !held) return held;
  const auto ours = change.tx.fence(cluster, rules_.id, *epoch);
  if (!ours) return std::unexpected(ours.error());
  if (!*ours) {
    lose(cluster);
    return lost();
  }
  change.set_proved(cluster);
  return {};
}

void Leases::lose(const ClusterId& cluster) {
  {
    const std::unique_lock lock(mutex_);
    if (held_.erase(cluster) == 0) return;
  }
  listener_.lost(cluster);
}

Result<void> Leases::beat() {
  const auto before = rules_.time->now();
  auto tx = store_.begin();
  if (!tx) return std::unexpected(std::move(tx.error()));
  auto step = (*tx)->keep_alive(rules_.id, rules_.address, rules_.lasts);
  if (!step) return step;
  if (auto committed = (*tx)->commit(); !committed) return std::unexpected(committed.error());
  const bool was_late = rules_.time->now() >= until_.load();
  until_ = before + rules_.lasts;
  if (was_late) resume();
  return {};
}

// For a while this process did not count itself alive, and left alone what it heard about its
// clusters: that begins anew, as if each were gained now.
void Leases::resume() {
  std::vector<ClusterId> ours;
  {
    const std::unique_lock lock(mutex_);
    for (auto& [cluster, held] : held_) {
      held.term = ++terms_;
      ours.push_back(cluster);
    }
  }
  std::ranges::sort(ours);
  for (const auto& cluster : ours) listener_.gained(cluster);
}

// Under the lock. False: it is known already.
bool Leases::keep(const ClusterId& cluster, std::int64_t epoch) {
  const auto [place, fresh] = held_.try_emplace(cluster);
  if (!fresh && place->second.epoch == epoch) return false;
  place->second = {epoch, ++terms_};
  return true;
}

Result<void> Leases::round() {
  if (auto beaten = beat(); !beaten) return beaten;
  if (!view_) {
    auto view = store_.open_view();
    if (!view) return std::unexpected(std::move(view.error()));
    view_ = std::move(*view);
  }
  auto schedulers = view_->living_schedulers();
  if (!schedulers) return std::unexpected(std::move(schedulers.error()));
  auto counts = view_->lease_counts();
  if (!counts) return std::unexpected(std::move(counts.error()));
  std::vector<std::string> living;
  for (auto& row : *schedulers) living.push_back(std::move(row.id));
  std::size_t clusters = 0, mine = 0;
  for (const auto& one : *counts) {
    clusters += one.clusters;
    if (one.holder == rules_.id) mine = one.clusters;
  }
  leads_ = !living.empty() && living.front() == rules_.id;
  const std::size_t share = fair_share(clusters, living, rules_.id);
  {
    const std::unique_lock lock(mutex_);
    living_ = std::move(living);
  }
  if (mine != count()) {
    if (auto found = find_losses(*view_); !found) return found;
  }
  const std::size_t held = count();
  if (held > share) return give_up(held - share);
  if (held < share) return take(*view_, share - held);
  return {};
}

Result<void> Leases::find_losses(ReadView& view) {
  auto rows = view.leases();
  if (!rows) return std::unexpected(std::move(rows.error()));
  std::unordered_map<ClusterId, std::int64_t> recorded;
  for (const auto& row : *rows) {
    if (row.holder == rules_.id) recorded.emplace(row.cluster, row.epoch);
  }
  std::vector<ClusterId> lost;
  {
    const std::shared_lock lock(mutex_);
    for (const auto& [cluster, held] : held_) {
      const auto found = recorded.find(cluster);
      if (found == recorded.end() || found->second != held.epoch) lost.push_back(cluster);
    }
  }
  for (const auto& cluster : lost) lose(cluster);
  // Ours by the record, but not known to be: a take whose answer was lost.
  std::vector<ClusterId> gained;
  {
    const std::unique_lock lock(mutex_);
    for (const auto& [cluster, epoch] : recorded) {
      if (keep(cluster, epoch)) gained.push_back(cluster);
    }
  }
  for (const auto& cluster : gained) listener_.gained(cluster);
  return {};
}

Result<void> Leases::give_up(std::size_t surplus) {
  std::vector<std::pair<ClusterId, std::int64_t>> chosen;
  {
    const std::shared_lock lock(mutex_);
    for (const auto& [cluster, held] : held_) chosen.emplace_back(cluster, held.epoch);
  }
  std::ranges::sort(chosen, std::greater<>());
  chosen.resize(std::min({surplus, chosen.size(), kAtOnce}));
  std::ranges::reverse(chosen);  // rows are locked in the order of the clusters
  for (const auto& [cluster, epoch] : chosen) lose(cluster);
  auto tx = store_.begin();
  if (!tx) return std::unexpected(std::move(tx.error()));
  for (const auto& [cluster, epoch] : chosen) {
    auto step = (*tx)->give_up_lease(cluster, rules_.id, epoch);
    if (!step) return step;
  }
  if (auto committed = (*tx)->commit(); !committed) return std::unexpected(committed.error());
  return {};
}

Result<void> Leases::take(ReadView& view, std::size_t missing) {
  auto free = view.free_leases(std::min(missing, kAtOnce));
  if (!free) return std::unexpected(std::move(free.error()));
  if (free->empty()) return {};
  auto tx = store_.begin();
  if (!tx) return std::unexpected(std::move(tx.error()));
  std::vector<std::pair<ClusterId, std::int64_t>> taken;
  for (const auto& cluster : *free) {
    auto epoch = (*tx)->take_lease(cluster, rules_.id);
    if (!epoch) return std::unexpected(std::move(epoch.error()));
    if (*epoch) taken.emplace_back(cluster, **epoch);
  }
  if (auto committed = (*tx)->commit(); !committed) return std::unexpected(committed.error());
  {
    const std::unique_lock lock(mutex_);
    for (const auto& [cluster, epoch] : taken) keep(cluster, epoch);
  }
  for (const auto& [cluster, epoch] : taken) listener_.gained(cluster);
  return {};
}

Result<void> Leases::retire() {
  std::vector<ClusterId> all;
  {
    const std::shared_lock lock(mutex_);
    for (const auto& [cluster, held] : held_) all.push_back(cluster);
  }
  for (const auto& cluster : all) lose(cluster);
  until_ = std::chrono::steady_clock::time_point{};
  auto tx = store_.begin();
  if (!tx) return std::unexpected(std::move(tx.error()));
  if (auto step = (*tx)->retire(rules_.id); !step) return step;
  if (auto committed = (*tx)->commit(); !committed) return std::unexpected(committed.error());
  return {};
}

}  // namespace berth
