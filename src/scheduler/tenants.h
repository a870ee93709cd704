// What the tenants of a cluster hold, and what their quotas leave them.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "core/resources.h"
#include "scheduler/engine.h"

namespace berth {

class Tenants {
 public:
  Tenants() = default;
  explicit Tenants(const Rules& rules);

  // Whether it matters to whom a deployment belongs. Else nothing here is kept up to date.
  [[nodiscard]] bool apart() const { return apart_; }
  [[nodiscard]] std::size_t size() const { return states_.size(); }
  [[nodiscard]] bool has_quotas() const { return has_quotas_; }
  [[nodiscard]] const std::optional<Quota>& quota(std::uint32_t tenant) const {
    return tenant < states_.size() ? states_[tenant].quota : kNone;
  }
  [[nodiscard]] Resources used(std::uint32_t tenant) const {
    return tenant < states_.size() ? states_[tenant].used : Resources{};
  }
  // Of all nominal quotas together what nobody uses; negative where more is used, because a lender
  // has taken its own while others still hold what they have borrowed.
  [[nodiscard]] const Resources& unused_nominal() const { return unused_nominal_; }
  // The most that one deployment of the tenant, with all replicas, may ask for now.
  [[nodiscard]] Resources headroom(std::uint32_t tenant) const;

  void take(std::uint32_t tenant, const Resources& amount) { change(tenant, amount, 1); }
  void give(std::uint32_t tenant, const Resources& amount) { change(tenant, amount, -1); }

 private:
  struct State {
    std::optional<Quota> quota;
    Resources used;
  };
  static const std::optional<Quota> kNone;
  void change(std::uint32_t tenant, const Resources& amount, int sign);

  bool apart_ = false;
  bool has_quotas_ = false;
  std::vector<State> states_;
  Resources unused_nominal_;  // only of what has a quota
};

}  // namespace berth
