// With which organizations a cluster is shared, and how much each of them may hold there.
#pragma once
#include "service/access.h"
#include "service/committer.h"
#include "service/runner.h"

namespace berth {

// What an organization has of a cluster, may have, and waits for.
struct QuotaRow {
  OrganizationId organization;
  std::string name;
  std::optional<Resources> quota;  // as in Share
  std::optional<Resources> borrowing;
  Resources used;
  Resources borrowed;       // of what it uses, beyond its quota
  std::size_t waiting = 0;  // without those in back-off
};

// What it may have from now on.
struct QuotaSet {
  OrganizationId organization;
  std::string name;
  std::optional<Resources> quota;
  std::optional<Resources> borrowing;
  std::int64_t version = 0;  // of the cluster
};

struct QuotaWish {
  std::optional<Resources> quota;
  std::optional<Resources> borrowing;
  std::optional<std::int64_t> if_version;  // of the cluster
};

class Quotas {
 public:
  Quotas(ReadSide& reads, Committer& committer, Scheduling& scheduling)
      : reads_(reads), committer_(committer), scheduling_(scheduling) {}

  // The cluster's own organization comes first.
  Task<Result<std::vector<QuotaRow>>> list(Caller caller, ClusterId id);
  // Shares the cluster with the organization, if it is not shared with it yet, on these terms. It
  // counts at once.
  Task<Result<QuotaSet>> put(Caller caller, ClusterId id, OrganizationId organization,
                             QuotaWish wish);
  // Ends the sharing; of the cluster's own organization only the quota. Error: failed_precondition
  // with reason share_in_use while deployments of the organization wait or run there.
  Task<Result<void>> remove(Caller caller, ClusterId id, OrganizationId organization,
                            std::optional<std::int64_t> if_version);

 private:
  Result<void> apply_put(Change& change, const Caller& caller, Cluster& cluster,
                         const Organization& organization, const QuotaWish& wish);
  Result<void> write(Change& change, const Caller& caller, Cluster& cluster, const Rules& before,
                     const char* kind, const Organization& organization, const Share& share);

  ReadSide& reads_;
  Committer& committer_;
  Scheduling& scheduling_;
};

// Who is what to the engine. `tenants` are what it knows; where `as_then`, also the quotas are its,
// else they are the record's.
[[nodiscard]] Result<std::vector<QuotaRow>> quota_rows(ReadView& view, const Cluster& cluster,
                                                       const std::vector<TenantNow>& tenants,
                                                       bool as_then);
// Whose a submission of the organization counts as. Held, so that the sharing does not end before
// the deployment is there. Error: invalid_argument when it has ended.
[[nodiscard]] Result<std::uint32_t> still_shared(Change& change, const ClusterId& cluster,
                                                 const OrganizationId& organization);
// What of the headroom would be borrowed; kNoQuota where nothing is limited.
[[nodiscard]] Resources borrowable(const QuotaExcess& excess);
[[nodiscard]] std::string quota_sentence(const QuotaExcess& excess, const std::string& cluster);

}  // namespace berth
