// With which organizations a cluster is shared, and how much each may hold there.
#include "api/api.h"
#include "api/convert.h"
#include "api/schemas.h"

namespace berth::api {
namespace {

constexpr std::string_view kAll = "/api/v1/clusters/{cluster_id}/quotas";
constexpr std::string_view kOne = "/api/v1/clusters/{cluster_id}/quotas/{organization_id}";

std::optional<Resources> limits_of(const std::optional<std::optional<LimitsBody>>& given) {
  return given && *given ? std::optional(from_body(**given)) : std::nullopt;
}

// Which of them a request is about.
struct One {
  ClusterId cluster;
  OrganizationId organization;
  std::optional<std::int64_t> if_version;
};
Result<One> named_in(Context& c) {
  auto cluster = c.id<ClusterId>("cluster_id", "cluster");
  if (!cluster) return std::unexpected(std::move(cluster.error()));
  auto organization = c.id<OrganizationId>("organization_id", "organization");
  if (!organization) return std::unexpected(std::move(organization.error()));
  auto version = c.if_match();
  if (!version) return std::unexpected(std::move(version.error()));
  return One{*cluster, *organization, *version};
}

Task<Result<Reply<QuotaListView>>> answer_list(Quotas& quotas, Context& c) {
  auto id = c.id<ClusterId>("cluster_id", "cluster");
  if (!id) co_return std::unexpected(std::move(id.error()));
  auto list = co_await quotas.list(c.who(), *id);
  if (!list) co_return std::unexpected(std::move(list.error()));
  QuotaListView out;
  for (const auto& row : *list) out.items.push_back(view(row));
  co_return reply(std::move(out));
}

Task<Result<Reply<SetQuotaView>>> answer_put(Quotas& quotas, Context& c, PutQuotaRequest body) {
  auto one = named_in(c);
  if (!one) co_return std::unexpected(std::move(one.error()));
  auto changed =
      co_await quotas.put(c.who(), one->cluster, one->organization,
                          {limits_of(body.quota), limits_of(body.borrowing), one->if_version});
  if (!changed) co_return std::unexpected(std::move(changed.error()));
  auto answer = reply(SetQuotaView{changed->organization, changed->name, to_limits(changed->quota),
                                   to_limits(changed->borrowing)});
  answer.etag = etag_of(changed->version);
  co_return answer;
}

Task<Result<Reply<NoContent>>> answer_remove(Quotas& quotas, Context& c) {
  auto one = named_in(c);
  if (!one) co_return std::unexpected(std::move(one.error()));
  auto done = co_await quotas.remove(c.who(), one->cluster, one->organization, one->if_version);
  if (!done) co_return std::unexpected(std::move(done.error()));
  co_return reply(NoContent{}, 204);
}

}  // namespace

void add_quota_routes(std::vector<Route>& table, const Services& s) {
  table.push_back(typed<NoBody, QuotaListView>(
      {"GET", kAll, Operation::cluster_quota_list, "listClusterQuotas", "Clusters",
       "Which organizations share it, what they may hold, and what they hold"},
      [&quotas = s.quotas](Context& c) { return answer_list(quotas, c); }));
  table.push_back(typed<PutQuotaRequest, SetQuotaView>(
      {"PUT", kOne, Operation::cluster_quota_update, "putClusterQuota", "Clusters",
       "Share it with an organization, or change how much that may hold"},
      [&quotas = s.quotas](Context& c, PutQuotaRequest body) {
        return answer_put(quotas, c, std::move(body));
      }));
  table.push_back(typed<NoBody, NoContent>(
      {"DELETE", kOne, Operation::cluster_quota_update, "deleteClusterQuota", "Clusters",
       "End the sharing; of the cluster's own organization, its quota"},
      [&quotas = s.quotas](Context& c) { return answer_remove(quotas, c); }));
}

}  // namespace berth::api
