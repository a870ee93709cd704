#include "simulation/clients.h"

#include <fmt/format.h>

namespace berth::sim {
namespace {

constexpr Time kPatience = 12 * kSecond;
constexpr int kTries = 6;

StoredReply render(const Deployment& d) { return {{}, 201, d.id.str(), "", ""}; }

}  // namespace

void Clients::prepare(Tables& tables) {
  SeededRandom random(simulator_.pick(1'000'000'000));
  const Timestamp then{1'690'000'000'000'000};
  organization_ = OrganizationId::make(then, random);
  caller_.principal.user = UserId::make(then, random);
  caller_.principal.username = "ada";
  tables.organizations[organization_] = {organization_, "lab", then, 1};
  tables.members[{organization_, caller_.principal.user}] = Role::owner;
  guests_ = OrganizationId::make(then, random);
  tables.organizations[guests_] = {guests_, "guests", then, 1};
  tables.members[{guests_, caller_.principal.user}] = Role::developer;
  shares_ = simulator_.chance(0.4);
  const auto count = 2 + simulator_.pick(2);
  for (std::size_t i = 0; i < count; ++i) {
    Cluster cluster;
    cluster.id = ClusterId::make(then, random);
    cluster.organization = organization_;
    cluster.name = fmt::format("c{}", i);
    cluster.runtime.kind = RuntimeKind::simulated;
    cluster.created_at = then;
    if (simulator_.chance(0.5)) {
      cluster.policy = some_policy();
      if (simulator_.chance(0.3)) cluster.age_bound = std::chrono::seconds(2 + simulator_.pick(20));
    }
    std::int64_t ordinal = 0;
    for (const auto& node : some_nodes(1 + simulator_.pick(2))) {
      tables.nodes[{cluster.id, node.name}] = {
          node, ordinal++, node.capacity.cpu_milli, node.capacity.memory_bytes,
          std::vector<std::int64_t>(static_cast<std::size_t>(node.devices()), 1000)};
    }
    cluster.fair = shares_ && simulator_.chance(0.5);
    if (shares_ && simulator_.chance(0.7))
      tables.shares[{cluster.id, guests_}] = {{guests_, 1, some_limits(), std::nullopt}, true};
    tables.clusters[cluster.id] = cluster;
    tables.leases[cluster.id] = {};
    clusters_.push_back(cluster.id);
  }
}

std::vector<Node> Clients::some_nodes(std::size_t count) {
  std::vector<Node> out;
  for (std::size_t i = 0; i < count; ++i) {
    out.push_back({fmt::format("n{}", i),
                   {static_cast<std::int64_t>(2000 + 1000 * simulator_.pick(3)), 64 << 20,
                    static_cast<std::int64_t>(simulator_.pick(3)) * 1000},
                   ""});
  }
  return out;
}

Policy Clients::some_policy() {
  static constexpr std::array kPolicies{Policy::strict, Policy::backfill, Policy::preempt,
                                        Policy::backfill_preempt};
  return kPolicies[simulator_.pick(kPolicies.size())];
}

// Often too little for some of what is asked for; sometimes none.
std::optional<Resources> Clients::some_limits() {
  if (simulator_.chance(0.25)) return std::nullopt;
  const bool all = simulator_.chance(0.3);
  return Resources{static_cast<std::int64_t>(1000 * simulator_.pick(4)),
                   all ? static_cast<std::int64_t>(simulator_.pick(32)) << 20 : kNoQuota,
                   all ? static_cast<std::int64_t>(500 * simulator_.pick(4)) : kNoQuota};
}

void Clients::start() {
  for (int i = 0; i < 4; ++i) simulator_.spawn(people_, "client", [this] { live(); });
}
void Clients::stop() { simulator_.kill(people_); }

template <class T>
std::optional<T> Clients::ask(const std::function<Task<T>(Process&)>& what) {
  Process* process = some_api_();
  if (process == nullptr) return std::nullopt;
  struct Slot {
    std::optional<T> answer;
    Bell bell;
  };
  auto slot = std::make_shared<Slot>();
  process->request<T>(what(*process), [this, slot](T answer) {
    slot->answer = std::move(answer);
    simulator_.ring(slot->bell);
  });
  simulator_.wait(slot->bell, kPatience);
  if (slot->answer) ++answered_;
  return std::move(slot->answer);
}

void Clients::live() {
  while (!people_.dead()) {
    simulator_.sleep(simulator_.between(20 * kMilli, 700 * kMilli));
    if (!asking_) continue;
    const auto choice = simulator_.pick(100);
    if (choice < 55) {
      submit();
    } else if (choice < 73) {
      stop_one();
    } else if (choice < 82) {
      reprioritize();
    } else if (choice < 89) {
      remove();
    } else if (choice < 94) {
      resize();
    } else if (choice < 96) {
      share();
    } else if (choice < 98) {
      pause();
    } else if (choice < 99) {
      create_cluster();
    } else {
      remove_cluster();
    }
  }
}

std::optional<DeploymentId> Clients::some_deployment() {
  if (known_.empty()) return std::nullopt;
  // Mostly of the latest.
  const auto back =
      simulator_.chance(0.7) ? std::min<std::size_t>(known_.size(), 12) : known_.size();
  return known_[known_.size() - 1 - simulator_.pick(back)];
}

void Clients::submit() {
  DeploymentWish wish;
  wish.cluster = clusters_[simulator_.pick(clusters_.size())];
  // A few names are wished for by several at once.
  wish.name = simulator_.chance(0.1) ? fmt::format("shared{}", simulator_.pick(3))
                                     : fmt::format("d{}", ++names_);
  if (shares_ && simulator_.chance(0.3)) wish.organization = guests_;
  wish.priority = simulator_.chance(0.4) ? Priority::high : Priority::low;
  wish.spec.kind = simulator_.chance(0.5) ? Kind::job : Kind::service;
  static constexpr std::array<std::int64_t, 5> kGpus{0, 0, 0, 500, 1000};
  wish.spec.resources = {static_cast<std::int64_t>(250 * (1 + simulator_.pick(8))),
                         static_cast<std::int64_t>(simulator_.pick(16)) << 20,
                         kGpus[simulator_.pick(5)]};
  if (simulator_.chance(0.08))
    wish.spec.replicas = static_cast<std::int32_t>(2 + simulator_.pick(3));
  wish.spec.restart.max_attempts = static_cast<std::int32_t>(1 + simulator_.pick(3));
  wish.spec.restart.backoff = std::chrono::milliseconds(100 + 400 * simulator_.pick(4));
  if (simulator_.chance(0.5))
    wish.spec.max_run_time = std::chrono::seconds(1 + simulator_.pick(30));
  while (simulator_.chance(0.1)) {
    if (const auto on = some_deployment()) wish.after.push_back({on->str(), {}});
  }
  const IdempotencyKey key{"submit", fmt::format("key{}", ++names_), {}};
  using Answer = Result<Once<Deployment>>;
  for (int i = 0; i < kTries; ++i) {
    auto answer = ask<Answer>(
        [&](Process& process) { return process.deployments().submit(caller_, wish, key, render); });
    if (answer && *answer) {
      if (const auto* d = std::get_if<Deployment>(&**answer)) {
        invariants_.acknowledged(*d);
        known_.push_back(d->id);
      } else if (const auto id = DeploymentId::parse(std::get<StoredReply>(**answer).body)) {
        Deployment before;
        before.id = *id;
        before.version = 0;
        invariants_.acknowledged(before);
        known_.push_back(*id);
      }
      return;
    }
    if (answer && answer->error().code != Code::unavailable) return;
    simulator_.sleep(simulator_.between(10 * kMilli, kSecond));
  }
}

void Clients::stop_one() {
  const auto id = some_deployment();
  if (!id) return;
  const auto answer = ask<Result<Deployment>>(
      [&](Process& process) { return process.deployments().stop(caller_, *id); });
  if (answer && *answer) invariants_.acknowledged(**answer);
}

void Clients::reprioritize() {
  const auto id = some_deployment();
  if (!id) return;
  const auto priority = simulator_.chance(0.6) ? Priority::high : Priority::low;
  const auto answer = ask<Result<Deployment>>([&](Process& process) {
    return process.deployments().set_priority(caller_, *id, priority, std::nullopt);
  });
  if (answer && *answer) invariants_.acknowledged(**answer);
}

void Clients::remove() {
  const auto id = some_deployment();
  if (!id) return;
  (void)ask<Result<void>>(
      [&](Process& process) { return process.deployments().remove(caller_, *id, std::nullopt); });
}

void Clients::resize() {
  const auto id = clusters_[simulator_.pick(clusters_.size())];
  ClusterPatch patch;
  if (simulator_.chance(0.3)) {
    patch.policy = some_policy();
  } else {
    patch.nodes = some_nodes(1 + simulator_.pick(3));
  }
  (void)ask<Result<Cluster>>(
      [&](Process& process) { return process.clusters().update(caller_, id, patch); });
}

void Clients::pause() {
  const auto id = clusters_[simulator_.pick(clusters_.size())];
  const bool paused = simulator_.chance(0.35);
  (void)ask<Result<Cluster>>(
      [&](Process& process) { return process.clusters().set_paused(caller_, id, paused); });
}

void Clients::share() {
  if (!shares_) return;
  const auto id = clusters_[simulator_.pick(clusters_.size())];
  const auto whose = simulator_.chance(0.6) ? guests_ : organization_;
  if (simulator_.chance(0.3)) {
    (void)ask<Result<void>>([&](Process& process) {
      return process.quotas().remove(caller_, id, whose, std::nullopt);
    });
    return;
  }
  QuotaWish wish;
  wish.quota = some_limits();
  if (wish.quota) wish.borrowing = some_limits();
  (void)ask<Result<QuotaSet>>(
      [&](Process& process) { return process.quotas().put(caller_, id, whose, wish); });
}

void Clients::create_cluster() {
  ClusterWish wish;
  wish.organization = organization_;
  wish.name = fmt::format("c{}", clusters_.size());
  wish.runtime.kind = RuntimeKind::simulated;
  wish.nodes = some_nodes(1 + simulator_.pick(2));
  wish.policy = some_policy();
  if (clusters_.size() > 5) return;
  const auto answer = ask<Result<Once<Cluster>>>([&](Process& process) {
    return process.clusters().create(caller_, wish, std::nullopt, nullptr);
  });
  if (answer && *answer) clusters_.push_back(std::get<Cluster>(**answer).id);
}

void Clients::remove_cluster() {
  if (clusters_.size() < 3) return;
  const auto id = clusters_.back();
  const auto answer = ask<Result<void>>(
      [&](Process& process) { return process.clusters().remove(caller_, id, std::nullopt); });
  if (answer && *answer) std::erase(clusters_, id);
}

}  // namespace berth::sim
