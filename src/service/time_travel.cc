#include "service/time_travel.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/time.h"
#include "service/restore.h"
#include "service/sentences.h"

namespace berth {

Result<std::shared_ptr<const Cluster>> TimeTravel::cluster(const Caller& caller,
                                                           const ClusterId& id,
                                                           Operation operation) {
  auto found = reads_.cluster(id);
  if (!found) return found;
  if (!*found) return not_found("cluster");
  if (auto fine = authorize(reads_, caller, **found, operation); !fine)
    return std::unexpected(std::move(fine.error()));
  return found;
}

Task<Result<ClusterStatus>> TimeTravel::status(Caller caller, ClusterId id, When when) {
  auto found = cluster(caller, id, Operation::cluster_status);
  if (!found) co_return std::unexpected(std::move(found.error()));
  auto then = co_await past_.at(id, when);
  if (!then) co_return std::unexpected(std::move(then.error()));
  ClusterStatus out;
  out.cluster = **found;
  std::vector<TenantNow> tenants;
  then->moment->look([&](const ClusterEngine& engine) {
    out.engine = engine.status();
    if (!out.cluster.shares.empty()) tenants = engine.tenants();
  });
  if (!out.cluster.shares.empty()) {
    auto view = reads_.view();
    if (!view) co_return std::unexpected(std::move(view.error()));
    auto rows = quota_rows(**view, out.cluster, tenants, true);
    if (!rows) co_return std::unexpected(std::move(rows.error()));
    out.quotas = std::move(*rows);
  }
  out.index = then->moment->index();
  out.at = then->at;
  co_return out;
}

Result<std::string> TimeTravel::name_of(const Caller& caller, const Cluster& cluster,
                                        const DeploymentId& id) {
  auto mine = reads_.memberships(caller.principal.user);
  if (!mine) return std::unexpected(std::move(mine.error()));
  auto row = reads_.deployment(id);
  if (!row) return std::unexpected(std::move(row.error()));
  if (*row) return is_member(**mine, (*row)->organization) ? (*row)->name : "";
  for (const auto& [organization, role] : **mine) {  // deleted: whose it was, its history says
    if (!cluster.serves(organization)) continue;
    auto name = past_.name_of(organization, id);
    if (!name || !name->empty()) return name;
  }
  return std::string();
}

Result<WaitExplanation::Named> TimeTravel::named(const Caller& caller, const Cluster& cluster,
                                                 const std::vector<DeploymentId>& ids) {
  WaitExplanation::Named out;
  for (const auto& id : ids) {
    auto name = name_of(caller, cluster, id);
    if (!name) return std::unexpected(std::move(name.error()));
    out.emplace_back(id, std::move(*name));
  }
  return out;
}

Result<QueueItem> TimeTravel::item(const Caller& caller, const Cluster& cluster,
                                   const QueueEntry& entry, Timestamp at) {
  QueueItem out;
  out.entry = entry;
  out.queued_at = entry.id.made_at();
  auto name = name_of(caller, cluster, entry.id);
  if (!name) return std::unexpected(std::move(name.error()));
  out.name = std::move(*name);
  out.mine = !out.name.empty();
  auto row = reads_.deployment(entry.id);
  if (!row) return std::unexpected(std::move(row.error()));
  if (!*row) return out;
  out.replicas = (*row)->spec.replicas;
  out.queued_at = (*row)->created_at;
  if (entry.position != 0) return out;
  auto then = past_.as_of(**row, at);  // in back-off: until when it was
  if (!then) return std::unexpected(std::move(then.error()));
  out.retry_at = then->retry_at;
  return out;
}

Task<Result<QueuePage>> TimeTravel::queue(Caller caller, ClusterId id, When when,
                                          std::optional<QueuePlace> after, std::size_t limit) {
  auto found = cluster(caller, id, Operation::cluster_queue);
  if (!found) co_return std::unexpected(std::move(found.error()));
  auto then = co_await past_.at(id, when);
  if (!then) co_return std::unexpected(std::move(then.error()));
  std::vector<QueueEntry> entries;
  Outlook::Starts starts;
  then->moment->look([&](const ClusterEngine& engine) {
    entries = queue_behind(engine, after, limit);
    starts = then->moment->outlook().tell(engine, engine_time(engine, then->at));
  });
  QueuePage out;
  out.index = then->moment->index();
  out.at = then->at;
  for (const auto& entry : entries) {
    auto one = item(caller, **found, entry, then->at);
    if (!one) co_return std::unexpected(std::move(one.error()));
    one->forecast = starts.of(entry.id);
    out.items.push_back(std::move(*one));
  }
  co_return out;
}

Result<std::string> TimeTravel::awaited_sentence(const Caller& caller, const Cluster& cluster,
                                                 const Deployment& now, Timestamp at) {
  auto unmet = past_.unmet(now, at);
  if (!unmet) return std::unexpected(std::move(unmet.error()));
  std::string list;
  for (const auto& one : *unmet) {
    auto name = name_of(caller, cluster, one.on);
    if (!name) return std::unexpected(std::move(name.error()));
    list += fmt::format("{}{} to {}", list.empty() ? "" : ", ", *name,
                        one.until == Milestone::running ? "run" : "succeed");
    auto row = reads_.deployment(one.on);
    if (!row) return std::unexpected(std::move(row.error()));
    if (!*row) continue;
    auto was = past_.as_of(**row, at);
    if (!was) return std::unexpected(std::move(was.error()));
    list += fmt::format(" (it was {})", to_text(was->state));
  }
  if (list.empty()) return "It waited for deployments that it depends on.";
  return fmt::format("It waited for {}.", list);
}

Task<Result<WaitExplanation>> TimeTravel::explain(Caller caller, DeploymentId id, When when) {
  auto row = reads_.deployment(id);
  if (!row) co_return std::unexpected(std::move(row.error()));
  if (!*row) co_return not_found("deployment");
  const Deployment now = **row;
  auto role =
      authorize(reads_, caller, now.organization, Operation::deployment_explain, "deployment");
  if (!role) co_return std::unexpected(std::move(role.error()));
  auto then = co_await past_.at(now.cluster, when);
  if (!then) co_return std::unexpected(std::move(then.error()));
  // An entry of the record that has it may seem older than it is: who decides took its own time
  // when it began, and then waited for who submitted.
  const bool recorded = std::holds_alternative<std::int64_t>(when) &&
                        then->moment->look([&](const ClusterEngine& engine) {
                          return engine.is_waiting(id) || engine.is_active(id);
                        });
  if (!recorded && then->at < now.created_at) {
    co_return fail_field(
        "at", "before_submission",
        fmt::format("It was submitted at {}; ask about a time since.", to_rfc3339(now.created_at)));
  }
  auto was = past_.as_of(now, std::max(then->at, now.created_at));
  if (!was) co_return std::unexpected(std::move(was.error()));
  WaitExplanation out;
  out.index = then->moment->index();
  out.at = then->at;
  std::vector<DeploymentId> blockers;
  then->moment->look([&](const ClusterEngine& engine) {
    out.detail = engine.explain(id);
    blockers = blockers_of(engine, id);
    if (!out.detail) return;
    out.forecast = then->moment->outlook().tell(engine, engine_time(engine, then->at), id).of(id);
  });
  if (out.detail) {
    was->state = State::queued;
    was->priority = out.detail->priority;
    auto in = reads_.cluster(now.cluster);
    if (!in) co_return std::unexpected(std::move(in.error()));
    if (!*in) co_return not_found("cluster");
    auto block = named(caller, **in, blockers);
    if (!block) co_return std::unexpected(std::move(block.error()));
    out.blockers = std::move(*block);
    auto displaced = named(caller, **in, out.detail->displaced);
    if (!displaced) co_return std::unexpected(std::move(displaced.error()));
    out.displaced = std::move(*displaced);
    if (out.detail->reason == Reason::waiting_for_dependency) {
      auto sentence = awaited_sentence(caller, **in, now, then->at);
      if (!sentence) co_return std::unexpected(std::move(sentence.error()));
      out.sentence = std::move(*sentence);
    } else {
      out.sentence = explain_sentence(*was, *out.detail, (*in)->name, then->at);
    }
  } else {
    out.sentence = progress_sentence(*was, then->at);
  }
  out.deployment = std::make_shared<const Deployment>(std::move(*was));
  co_return out;
}

Result<std::vector<JournalEntry>> TimeTravel::record(const Caller& caller, const ClusterId& id,
                                                     std::int64_t from, std::size_t limit) {
  auto found = cluster(caller, id, Operation::cluster_record);
  if (!found) return std::unexpected(std::move(found.error()));
  auto view = reads_.view();
  if (!view) return std::unexpected(std::move(view.error()));
  return (*view)->journal(id, from, limit);
}

}  // namespace berth
