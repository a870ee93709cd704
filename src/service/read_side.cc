#include "service/read_side.h"

namespace berth {
namespace {

constexpr std::size_t kIdle = 16;  // views kept for the next one who asks

}  // namespace

Result<ViewPool::Lease> ViewPool::lease() {
  {
    const std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      auto view = std::move(idle_.back());
      idle_.pop_back();
      return Lease(*this, std::move(view));
    }
  }
  auto view = store_.open_view();
  if (!view) return std::unexpected(std::move(view.error()));
  return Lease(*this, std::move(*view));
}

void ViewPool::give_back(std::unique_ptr<ReadView> view) {
  const std::lock_guard lock(mutex_);
  if (idle_.size() < kIdle) idle_.push_back(std::move(view));
}

template <class Value, class CacheType, class Key, class Read>
Result<Value> ReadSide::through(CacheType& cache, const Key& key, Read read) {
  if (is_reliable()) {
    if (auto hit = cache.get(key)) return *hit;
  }
  const auto generation = cache.generation(key);
  auto view = views_.lease();
  if (!view) return std::unexpected(std::move(view.error()));
  Result<Value> value = read(**view);
  if (value) cache.put(key, *value, generation);
  return value;
}

Result<std::shared_ptr<const Deployment>> ReadSide::deployment(const DeploymentId& id) {
  using Shared = std::shared_ptr<const Deployment>;
  if (is_reliable()) {
    if (auto hit = deployments_.get(id)) return *hit;
  }
  const auto generation = deployments_.generation(id);
  auto view = views_.lease();
  if (!view) return std::unexpected(std::move(view.error()));
  auto row = (*view)->deployment(id);
  if (!row) return std::unexpected(std::move(row.error()));
  if (!*row) return Shared{};  // not remembered: unknown ids must not push out known ones
  auto shared = std::make_shared<const Deployment>(std::move(**row));
  deployments_.put(id, shared, generation);
  return Shared(shared);
}

Result<std::optional<Role>> ReadSide::role(const OrganizationId& org, const UserId& user) {
  return through<std::optional<Role>>(roles_, RoleKey{org, user},
                                      [&](ReadView& view) { return view.role(org, user); });
}

Result<std::shared_ptr<const Cluster>> ReadSide::cluster(const ClusterId& id) {
  using Shared = std::shared_ptr<const Cluster>;
  return through<Shared>(clusters_, id, [&](ReadView& view) -> Result<Shared> {
    auto row = view.cluster(id);
    if (!row) return std::unexpected(std::move(row.error()));
    return *row ? std::make_shared<const Cluster>(std::move(**row)) : Shared{};
  });
}

Result<std::shared_ptr<const ReadSide::Memberships>> ReadSide::memberships(const UserId& user) {
  using Shared = std::shared_ptr<const Memberships>;
  return through<Shared>(memberships_, user, [&](ReadView& view) -> Result<Shared> {
    auto rows = view.organizations_of(user);
    if (!rows) return std::unexpected(std::move(rows.error()));
    auto out = std::make_shared<Memberships>();
    for (const auto& [organization, role] : *rows) out->emplace_back(organization.id, role);
    return Shared(std::move(out));
  });
}

Result<std::optional<Credential>> ReadSide::credential(const Digest& token) {
  using Maybe = std::optional<Credential>;
  if (is_reliable()) {
    if (auto hit = credentials_.get(token)) return Maybe(std::move(*hit));
  }
  const auto generation = credentials_.generation(token);
  auto lease = views_.lease();
  if (!lease) return std::unexpected(std::move(lease.error()));
  ReadView& view = **lease;
  Credential out;
  auto session = view.session_by_access(token);
  if (!session) return std::unexpected(std::move(session.error()));
  if (*session) {
    out.principal.user = (*session)->user;
    out.principal.session = (*session)->id;
    out.expires_at = (*session)->access_expires_at;
  } else {
    auto key = view.api_key_by_secret(token);
    if (!key) return std::unexpected(std::move(key.error()));
    if (!*key) return Maybe{};  // strangers' guesses are not remembered
    out.principal.user = (*key)->user;
    out.principal.api_key = (*key)->id;
    out.expires_at = (*key)->expires_at.value_or(Timestamp{INT64_MAX});
  }
  auto user = view.user(out.principal.user);
  if (!user) return std::unexpected(std::move(user.error()));
  if (!*user || (*user)->disabled) return Maybe{};
  out.principal.username = (*user)->username;
  out.principal.is_admin = (*user)->is_admin;
  credentials_.put(token, out, generation);
  return Maybe(std::move(out));
}

void ReadSide::changed(const Deployment& d) {
  deployments_.erase(d.id);
  deployments_generation_.fetch_add(1, std::memory_order_acq_rel);
}

void ReadSide::changed(const ClusterId& id) {
  clusters_.erase(id);
  deployments_generation_.fetch_add(1, std::memory_order_acq_rel);
}

void ReadSide::heard(const Event& event) {
  const std::string_view kind = event.kind;
  const auto is = [&](std::string_view prefix) { return kind.starts_with(prefix); };
  if (is("deployment.")) {
    if (event.deployment) deployments_.erase(*event.deployment);
    deployments_generation_.fetch_add(1, std::memory_order_acq_rel);
  } else if (is("cluster.")) {
    if (event.cluster) changed(*event.cluster);
  } else if (kind != "session.opened" && !is("invite.") && kind != "key.created") {
    roles_changed();
    credentials_changed();
  }
}

void ReadSide::roles_changed() {
  roles_.clear();
  memberships_.clear();
}

}  // namespace berth
