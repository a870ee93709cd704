#include "service/quotas.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "service/accounts.h"
#include "service/json_text.h"
#include "service/live_engine.h"
#include "service/restore.h"

namespace berth {
namespace {

constexpr std::size_t kMostShares = 1'000;
constexpr std::uint32_t kMostTenants = 1 << 20;  // numbers are not given twice

constexpr std::array kResources{&Resources::cpu_milli, &Resources::memory_bytes,
                                &Resources::gpu_milli};

template <class Do>
Resources each(Do&& of) {
  return {of(&Resources::cpu_milli), of(&Resources::memory_bytes), of(&Resources::gpu_milli)};
}

Resources beyond(const Resources& used, const std::optional<Resources>& quota) {
  return each([&](std::int64_t Resources::* r) {
    return quota ? std::max<std::int64_t>(0, used.*r - (*quota).*r) : 0;
  });
}

std::string limits_json(const std::optional<Resources>& limits) {
  if (!limits) return "null";
  std::string out;
  const auto add = [&](const char* name, std::int64_t amount, const std::string& text) {
    if (amount != kNoQuota) out += fmt::format("{}\"{}\":{}", out.empty() ? "" : ",", name, text);
  };
  add("cpu", limits->cpu_milli, cpu_text(limits->cpu_milli));
  add("memory", limits->memory_bytes, std::to_string(limits->memory_bytes));
  add("gpu", limits->gpu_milli, gpu_text(limits->gpu_milli));
  return "{" + out + "}";
}

// How many of the organization's deployments on the cluster are not over.
Result<std::ptrdiff_t> unfinished(Change& change, const Cluster& cluster,
                                  const OrganizationId& organization) {
  auto active = change.tx.active(cluster.id);
  if (!active) return std::unexpected(std::move(active.error()));
  auto count = std::ranges::count(*active, organization, &Deployment::organization);
  auto waiting = change.tx.for_each_waiting(cluster.id, [&](const WaitingRow& row) {
    count += row.organization == organization ? 1 : 0;
  });
  if (!waiting) return std::unexpected(std::move(waiting.error()));
  return count;
}

Result<Cluster> held_cluster(Change& change, const ClusterId& id) {
  if (auto held = change.hold(id); !held) return std::unexpected(std::move(held.error()));
  auto row = change.tx.cluster(id);
  if (!row) return std::unexpected(std::move(row.error()));
  if (!*row) return not_found("cluster");
  return std::move(**row);
}

}  // namespace

Result<std::vector<QuotaRow>> quota_rows(ReadView& view, const Cluster& cluster,
                                         const std::vector<TenantNow>& tenants, bool as_then) {
  std::vector<Share> shares;
  if (cluster.share_of(cluster.organization) == nullptr)
    shares.push_back({cluster.organization, 0, std::nullopt, std::nullopt});
  shares.insert(shares.end(), cluster.shares.begin(), cluster.shares.end());
  std::vector<QuotaRow> out;
  for (const Share& share : shares) {
    auto organization = view.organization(share.organization);
    if (!organization) return std::unexpected(std::move(organization.error()));
    QuotaRow row{share.organization, *organization ? (*organization)->name : "", {}, {}, {}, {}};
    if (!as_then) {
      row.quota = share.quota;
      row.borrowing = share.borrowing;
    }
    if (const auto now = std::ranges::find(tenants, share.tenant, &TenantNow::tenant);
        now != tenants.end()) {
      row.used = now->used;
      row.waiting = now->waiting;
      if (as_then && now->quota) {
        row.quota = now->quota->nominal;
        row.borrowing = now->quota->borrowing;
      }
    }
    row.borrowed = beyond(row.used, row.quota);
    out.push_back(std::move(row));
  }
  return out;
}

Result<std::uint32_t> still_shared(Change& change, const ClusterId& cluster,
                                   const OrganizationId& organization) {
  if (auto held = change.hold(cluster); !held) return std::unexpected(std::move(held.error()));
  const auto tenant = change.tx.tenant(cluster, organization);
  if (!tenant) return std::unexpected(tenant.error());
  if (*tenant) return **tenant;
  return fail_field("/organization_id", "not_shared",
                    "The cluster is not shared with this organization any more.");
}

Resources borrowable(const QuotaExcess& excess) {
  return each([&](std::int64_t Resources::* r) {
    const std::int64_t nominal = excess.quota.nominal.*r;
    if (nominal == kNoQuota) return kNoQuota;
    const std::int64_t own = std::max<std::int64_t>(0, nominal - excess.used.*r);
    return std::max<std::int64_t>(0, excess.headroom.*r - own);
  });
}

std::string quota_sentence(const QuotaExcess& excess, const std::string& cluster) {
  const Quota& quota = excess.quota;
  std::string most;
  if (quota.borrowing)
    most = fmt::format(", and may borrow at most {} beyond", limits_text(*quota.borrowing));
  const bool never = std::ranges::any_of(kResources, [&](std::int64_t Resources::* r) {
    const std::int64_t nominal = quota.nominal.*r;
    return nominal != kNoQuota && quota.borrowing && (*quota.borrowing).*r != kNoQuota &&
           excess.asked.*r > nominal + (*quota.borrowing).*r;
  });
  return fmt::format(
      "It asks for {}. Its organization uses {} of its quota of {} on cluster {}{}. Now it may "
      "have {} more, of that {} borrowed. {}",
      resources_text(excess.asked), resources_text(excess.used, excess.asked),
      limits_text(quota.nominal), cluster, most, limits_text(excess.headroom),
      limits_text(borrowable(excess)),
      never ? "The quota could never hold it: ask for less, or have the quota raised."
            : "It starts when enough of what is used has ended, or the quota was raised.");
}

Task<Result<std::vector<QuotaRow>>> Quotas::list(Caller caller, ClusterId id) {
  auto cluster = reads_.cluster(id);
  if (!cluster) co_return std::unexpected(std::move(cluster.error()));
  if (!*cluster) co_return not_found("cluster");
  if (auto fine = authorize(reads_, caller, **cluster, Operation::cluster_quota_list); !fine)
    co_return std::unexpected(std::move(fine.error()));
  std::function<Result<std::vector<TenantNow>>(ReadView&, const ClusterEngine&)> look =
      [](ReadView&, const ClusterEngine& engine) -> Result<std::vector<TenantNow>> {
    return engine.tenants();
  };
  auto seen = co_await ask_engine<std::vector<TenantNow>>(reads_, committer_, scheduling_, id,
                                                          std::move(look));
  if (!seen) co_return std::unexpected(std::move(seen.error()));
  auto view = reads_.view();
  if (!view) co_return std::unexpected(std::move(view.error()));
  co_return quota_rows(**view, **cluster, seen->value, false);
}

// Everything but the share itself: the cluster's new version, what the scheduler and the history
// hear.
Result<void> Quotas::write(Change& change, const Caller& caller, Cluster& cluster,
                           const Rules& before, const char* kind, const Organization& organization,
                           const Share& share) {
  cluster.version += 1;
  if (auto written = change.tx.update(cluster); !written) return written;
  if (auto rules = rules_of(cluster); rules != before)
    change.tell(cluster.id, RulesChanged{std::move(rules)});
  JsonText data;
  data.add("organization_id", organization.id.str()).add("organization", organization.name);
  data.add_raw("quota", limits_json(share.quota));
  data.add_raw("borrowing", limits_json(share.borrowing));
  auto noted = change.record(caller.actor(), kind, cluster.organization, cluster.id, data.str());
  // The others hear of it, too, but not who of a foreign organization it was.
  if (noted && organization.id != cluster.organization) {
    data.add("name", cluster.name);
    noted = change.record(Actor{}, kind, organization.id, cluster.id, data.str());
  }
  if (!noted) return noted;
  change.after([this, id = cluster.id] { reads_.changed(id); });
  return {};
}

Result<void> Quotas::apply_put(Change& change, const Caller& caller, Cluster& cluster,
                               const Organization& organization, const QuotaWish& wish) {
  const Rules before = rules_of(cluster);
  const Share* known = cluster.share_of(organization.id);
  Share share{organization.id, 0, wish.quota, wish.borrowing};
  const bool own = organization.id == cluster.organization;
  if (known != nullptr && known->quota == wish.quota && known->borrowing == wish.borrowing)
    return {};
  if (own && !wish.quota && known == nullptr) return {};
  if (known == nullptr && cluster.shares.size() >= kMostShares) {
    return fail(Code::failed_precondition, "too_many_shares",
                fmt::format("A cluster is shared with at most {} organizations.", kMostShares));
  }
  const bool fresh = known == nullptr && !own;
  std::erase_if(cluster.shares, [&](const Share& s) { return s.organization == organization.id; });
  if (own && !wish.quota) {
    if (auto gone = change.tx.remove_share(cluster.id, organization.id); !gone) return gone;
  } else {
    auto tenant = change.tx.put_share(cluster.id, share);
    if (!tenant) return std::unexpected(std::move(tenant.error()));
    if (*tenant >= kMostTenants) {
      return fail(Code::failed_precondition, "too_many_shares",
                  "This cluster was shared with too many organizations; make a new one.");
    }
    share.tenant = *tenant;
    cluster.shares.push_back(share);
    std::ranges::sort(cluster.shares, {}, &Share::tenant);
  }
  return write(change, caller, cluster, before, fresh ? "cluster.shared" : "cluster.quota_changed",
               organization, share);
}

Task<Result<QuotaSet>> Quotas::put(Caller caller, ClusterId id, OrganizationId organization,
                                   QuotaWish wish) {
  auto seen = reads_.cluster(id);
  if (!seen) co_return std::unexpected(std::move(seen.error()));
  if (!*seen) co_return not_found("cluster");
  if (auto fine = authorize(reads_, caller, **seen, Operation::cluster_quota_update); !fine)
    co_return std::unexpected(std::move(fine.error()));
  if (wish.borrowing && !wish.quota) {
    co_return fail_field("/borrowing", "needs_quota",
                         "Borrowing is beyond a quota: give 'quota', too.");
  }
  std::move_only_function<Result<QuotaSet>(Change&)> unit =
      [this, caller, id, organization, wish](Change& change) -> Result<QuotaSet> {
    auto cluster = held_cluster(change, id);
    if (!cluster) return std::unexpected(std::move(cluster.error()));
    if (auto same = still_at(cluster->version, wish.if_version, "cluster"); !same)
      return std::unexpected(std::move(same.error()));
    auto whose = change.tx.organization(organization);
    if (!whose) return std::unexpected(std::move(whose.error()));
    if (!*whose) return not_found("organization");
    if (auto done = apply_put(change, caller, *cluster, **whose, wish); !done)
      return std::unexpected(std::move(done.error()));
    return QuotaSet{organization, (*whose)->name, wish.quota, wish.borrowing, cluster->version};
  };
  co_return co_await committer_.write<QuotaSet>(std::move(unit), id);
}

Task<Result<void>> Quotas::remove(Caller caller, ClusterId id, OrganizationId organization,
                                  std::optional<std::int64_t> if_version) {
  auto seen = reads_.cluster(id);
  if (!seen) co_return std::unexpected(std::move(seen.error()));
  if (!*seen) co_return not_found("cluster");
  if (auto fine = authorize(reads_, caller, **seen, Operation::cluster_quota_update); !fine)
    co_return fine;
  std::move_only_function<Result<void>(Change&)> unit =
      [this, caller, id, organization, if_version](Change& change) -> Result<void> {
    auto cluster = held_cluster(change, id);
    if (!cluster) return std::unexpected(std::move(cluster.error()));
    if (auto same = still_at(cluster->version, if_version, "cluster"); !same) return same;
    auto whose = change.tx.organization(organization);
    if (!whose) return std::unexpected(std::move(whose.error()));
    if (!*whose || cluster->share_of(organization) == nullptr) return not_found("organization");
    const bool own = organization == cluster->organization;
    if (!own) {
      auto inside = unfinished(change, *cluster, organization);
      if (!inside) return std::unexpected(std::move(inside.error()));
      if (*inside > 0) {
        return fail(Code::failed_precondition, "share_in_use",
                    fmt::format("{} deployments of {} wait or run there; they have to end first.",
                                *inside, (*whose)->name));
      }
    }
    const Rules before = rules_of(*cluster);
    std::erase_if(cluster->shares, [&](const Share& s) { return s.organization == organization; });
    if (auto gone = change.tx.remove_share(id, organization); !gone) return gone;
    return write(change, caller, *cluster, before,
                 own ? "cluster.quota_changed" : "cluster.unshared", **whose,
                 Share{organization, 0, std::nullopt, std::nullopt});
  };
  co_return co_await committer_.write(std::move(unit), id);
}

}  // namespace berth
