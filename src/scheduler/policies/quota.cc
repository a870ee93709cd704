#include <algorithm>

#include "scheduler/policies/policies.h"

namespace berth::policies {
namespace {

// For one resource. What is left of the own quota is there to be taken, whatever others have
// borrowed; more can only come from what all tenants together leave unused, up to the limit.
std::int64_t headroom_of(std::int64_t nominal, std::optional<std::int64_t> may_borrow,
                         std::int64_t used, std::int64_t unused_nominal) {
  if (nominal == kNoQuota) return kNoQuota;
  const std::int64_t own = nominal - used;
  std::int64_t with_borrowed = unused_nominal;
  if (may_borrow && *may_borrow != kNoQuota) {
    with_borrowed = std::min(with_borrowed, own + *may_borrow);
  }
  return std::max({own, with_borrowed, std::int64_t{0}});
}

}  // namespace

Resources headroom(const Quota& quota, const Resources& used, const Resources& unused_nominal) {
  const auto may_borrow = [&](std::int64_t Resources::* resource) {
    return quota.borrowing ? std::optional((*quota.borrowing).*resource) : std::nullopt;
  };
  const auto of = [&](std::int64_t Resources::* resource) {
    return headroom_of(quota.nominal.*resource, may_borrow(resource), used.*resource,
                       unused_nominal.*resource);
  };
  return {of(&Resources::cpu_milli), of(&Resources::memory_bytes), of(&Resources::gpu_milli)};
}

bool leaves_quota_for_high(const ClusterEngine::Impl& state, const Shape& shape) {
  if (!state.tenants.has_quotas()) return true;
  Tenants then = state.tenants;
  then.take(shape.tenant, repeated(shape.demand, shape.replicas));
  const ShapeTable& high = state.waiting.band(Priority::high).shapes;
  return std::ranges::all_of(high.rows(), [&](ShapeTable::Row row) {
    if (!high.feasible(row) || high.waiting(row).empty()) return true;
    const Shape waits = high.shape(row);
    const Resources after = then.headroom(waits.tenant);
    return after == state.tenants.headroom(waits.tenant) ||
           fits_into(repeated(waits.demand, waits.replicas), after);
  });
}

}  // namespace berth::policies
