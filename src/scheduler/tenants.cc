#include "scheduler/tenants.h"

#include "base/ensure.h"
#include "scheduler/node_table.h"
#include "scheduler/policies/policies.h"

namespace berth {
namespace {

constexpr std::uint32_t kMostTenants = 1 << 20;  // they are numbered one after the other

// Adds what counts against a quota: nothing of a resource that it does not speak of.
void add_counted(Resources& sum, const Resources& amount, const Resources& nominal, int sign) {
  if (nominal.cpu_milli != kNoQuota) sum.cpu_milli += sign * amount.cpu_milli;
  if (nominal.memory_bytes != kNoQuota) sum.memory_bytes += sign * amount.memory_bytes;
  if (nominal.gpu_milli != kNoQuota) sum.gpu_milli += sign * amount.gpu_milli;
}

}  // namespace

const std::optional<Quota> Tenants::kNone;

Tenants::Tenants(const Rules& rules)
    : apart_(rules.fair || !rules.quotas.empty()), has_quotas_(!rules.quotas.empty()) {
  for (const Quota& quota : rules.quotas) {
    ensure(quota.tenant < kMostTenants, "a tenant's number is too large");
    ensure(fits_into({}, quota.nominal), "a quota is negative");
    if (quota.tenant >= states_.size()) states_.resize(quota.tenant + 1);
    ensure(!states_[quota.tenant].quota, "a tenant has two quotas");
    states_[quota.tenant].quota = quota;
    add_counted(unused_nominal_, quota.nominal, quota.nominal, 1);
  }
}

Resources Tenants::headroom(std::uint32_t tenant) const {
  const auto& own = quota(tenant);
  if (!own) return kUnlimited;
  return policies::headroom(*own, states_[tenant].used, unused_nominal_);
}

void Tenants::change(std::uint32_t tenant, const Resources& amount, int sign) {
  if (!apart_) return;
  ensure(tenant < kMostTenants, "a tenant's number is too large");
  if (tenant >= states_.size()) states_.resize(tenant + 1);
  State& state = states_[tenant];
  add_counted(state.used, amount, {}, sign);
  if (state.quota) add_counted(unused_nominal_, amount, state.quota->nominal, -sign);
}

}  // namespace berth
