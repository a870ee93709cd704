// Organizations, members and invites.
#pragma once
#include "service/access.h"
#include "service/committer.h"
#include "service/idempotency.h"
#include "service/throttle.h"
#include "service/tokens.h"

namespace berth {

struct InviteWish {
  Role role = Role::developer;
  std::chrono::seconds lifetime{std::chrono::days(7)};
  std::int32_t max_uses = 1;
};

struct NewInvite {
  Invite invite;
  std::string code;  // shown once
};

struct OrganizationView {
  Organization organization;
  Role role = Role::viewer;  // of the caller
};

class Organizations {
 public:
  // Twice as many codes as wrong passwords may be tried before the pauses begin.
  Organizations(ReadSide& reads, Committer& committer, Random& random, int free_failures);

  Task<Result<Once<OrganizationView>>> create(
      Caller caller, std::string name, std::optional<IdempotencyKey> key,
      std::function<StoredReply(const OrganizationView&)> render);
  Result<std::vector<OrganizationView>> list(const Caller& caller);
  Result<OrganizationView> get(const Caller& caller, const OrganizationId& id, Operation operation);
  Task<Result<OrganizationView>> rename(Caller caller, OrganizationId id, std::string name,
                                        std::optional<std::int64_t> if_version);

  Result<std::vector<Member>> members(const Caller& caller, const OrganizationId& org,
                                      std::optional<UserId> after, std::size_t limit);
  // The last owner stays; only owners make or unmake owners.
  Task<Result<Member>> set_role(Caller caller, OrganizationId org, UserId user, Role role);
  Task<Result<void>> remove_member(Caller caller, OrganizationId org, UserId user);

  // The role of an invite is at most that of its maker.
  Task<Result<Once<NewInvite>>> invite(Caller caller, OrganizationId org, InviteWish wish,
                                       std::optional<IdempotencyKey> key,
                                       std::function<StoredReply(const NewInvite&)> render);
  Result<std::vector<Invite>> invites(const Caller& caller, const OrganizationId& org,
                                      std::optional<InviteId> after, std::size_t limit);
  Task<Result<void>> revoke(Caller caller, OrganizationId org, InviteId invite);
  Task<Result<OrganizationView>> redeem(Caller caller, std::string code);

  // Newest first.
  Result<std::vector<Event>> audit(const Caller& caller, const OrganizationId& org,
                                   std::string kind_prefix, std::optional<std::int64_t> before,
                                   std::size_t limit);

 private:
  ReadSide& reads_;
  Committer& committer_;
  Random& random_;
  Throttle throttle_;
};

}  // namespace berth
