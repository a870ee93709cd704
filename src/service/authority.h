// Which clusters this process decides about. Deciding without having proved it in the same
// transaction is a bug.
#pragma once
#include "service/change.h"

namespace berth {

class Authority {
 public:
  virtual ~Authority() = default;
  // As far as this process knows; it may have lost the cluster a moment ago. From any thread.
  [[nodiscard]] virtual bool holds(const ClusterId& cluster) const = 0;
  // Grows each time that the cluster was somebody else's meanwhile. From any thread.
  [[nodiscard]] virtual std::int64_t term(const ClusterId& cluster) const {
    static_cast<void>(cluster);
    return 0;
  }
  // True in the database, and until the commit: the cluster is held, and nobody else may take it.
  // Errors: aborted with reason lease_lost.
  virtual Result<void> prove(Change& change, const ClusterId& cluster) = 0;
};

// The only process there is.
class SoleAuthority final : public Authority {
 public:
  [[nodiscard]] bool holds(const ClusterId&) const override { return true; }
  Result<void> prove(Change&, const ClusterId&) override { return {}; }
};

// A process that answers requests and decides about nothing.
class NoAuthority final : public Authority {
 public:
  [[nodiscard]] bool holds(const ClusterId&) const override { return false; }
  Result<void> prove(Change&, const ClusterId&) override {
    return fail(Code::aborted, "lease_lost", "This process does not decide about clusters.");
  }
};

}  // namespace berth
