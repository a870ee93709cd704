#include <fmt/format.h>

#include <cinttypes>
#include <cstdio>

#include "api/api.h"
#include "api/page.h"
#include "api/schemas.h"
#include "base/base64.h"

namespace berth::api {
namespace {

Reply<ClusterView> cluster_reply(const Cluster& c, int status) {
  Reply<ClusterView> out = reply(view(c), status);
  out.etag = etag_of(c.version);
  if (status == 201) out.location = "/api/v1/clusters/" + c.id.str();
  return out;
}

// Absent: it was not said. Inside absent: no bound.
std::optional<std::optional<std::chrono::milliseconds>> bound_of(
    const std::optional<Seconds>& given) {
  if (!given) return std::nullopt;
  const std::chrono::milliseconds bound(given->micros / 1000);
  return bound.count() > 0 ? std::optional(bound) : std::nullopt;
}

Result<ClusterWish> wish_of(CreateClusterRequest body) {
  if (body.resources && body.nodes) {
    return fail_field("/nodes", "conflict",
                      "Give either 'resources' (one node) or 'nodes', not both.");
  }
  ClusterWish wish;
  wish.organization = body.organization_id;
  wish.name = body.name;
  wish.runtime = {body.runtime.kind, body.runtime.speed.value_or(1.0)};
  wish.policy = body.policy;
  wish.placement = body.placement;
  wish.age_bound = bound_of(body.age_bound).value_or(std::nullopt);
  wish.fair = body.fair;
  if (body.resources) wish.totals = from_body(*body.resources);
  if (body.nodes) wish.nodes = from_body(*body.nodes);
  const bool nothing = !body.resources && !body.nodes;
  if (nothing && body.runtime.kind == RuntimeKind::simulated) {
    return fail_field("/resources", "required",
                      "A simulated cluster needs 'resources' or 'nodes'.");
  }
  return wish;
}

// A place in the queue is named by what stands there, not by its number, which changes while one
// reads.
Result<std::optional<QueuePlace>> queue_place(const Context& c) {
  auto text = c.cursor();
  if (!text) return std::unexpected(std::move(text.error()));
  if (!*text) return std::optional<QueuePlace>{};
  QueuePlace place;
  if (std::sscanf((*text)->c_str(), "queue %d %" SCNu64, &place.band, &place.order) != 2)
    return Context::bad_cursor();
  return std::optional(place);
}

using ClusterAnswer = Task<Result<Reply<ClusterView>>>;

void add_lists(std::vector<Route>& table, Clusters& clusters) {
  auto params = kPageParams;
  params.push_back({"organization_id", "Only of this organization."});
  table.push_back(typed<NoBody, Page<ClusterView>>(
      {"GET", "/api/v1/clusters", Operation::cluster_list, "listClusters", "Clusters",
       "List clusters", params},
      [&clusters](Context& c) -> Task<Result<Reply<Page<ClusterView>>>> {
        auto limit = c.limit();
        if (!limit) co_return std::unexpected(std::move(limit.error()));
        auto org = c.query_id<OrganizationId>("organization_id");
        if (!org) co_return std::unexpected(std::move(org.error()));
        auto after = c.cursor_id<ClusterId>();
        if (!after) co_return std::unexpected(std::move(after.error()));
        auto rows = clusters.list(c.who(), *org, *after, *limit + 1);
        if (!rows) co_return std::unexpected(std::move(rows.error()));
        co_return reply(
            page_of<ClusterView>(*rows, *limit, [](const Cluster& row) { return row.id.str(); }));
      }));

  table.push_back(
      typed<NoBody, ClusterView>({"GET", "/api/v1/clusters/{cluster_id}", Operation::cluster_read,
                                  "getCluster", "Clusters", "Get a cluster"},
                                 [&clusters](Context& c) -> ClusterAnswer {
                                   auto id = c.id<ClusterId>("cluster_id", "cluster");
                                   if (!id) co_return std::unexpected(std::move(id.error()));
                                   auto found = clusters.get(c.who(), *id, Operation::cluster_read);
                                   if (!found) co_return std::unexpected(std::move(found.error()));
                                   co_return cluster_reply(**found, 200);
                                 }));
}

void add_state(std::vector<Route>& table, Clusters& clusters, TimeTravel& past) {
  table.push_back(typed<NoBody, ClusterStatusView>(
      {"GET",
       "/api/v1/clusters/{cluster_id}/status",
       Operation::cluster_status,
       "getClusterStatus",
       "Clusters",
       "Capacity, reservations, queue lengths and runtime health",
       {kAtParam}},
      [&clusters, &past](Context& c) -> Task<Result<Reply<ClusterStatusView>>> {
        auto id = c.id<ClusterId>("cluster_id", "cluster");
        if (!id) co_return std::unexpected(std::move(id.error()));
        auto when = c.query_when();
        if (!when) co_return std::unexpected(std::move(when.error()));
        auto status = *when ? co_await past.status(c.who(), *id, **when)
                            : co_await clusters.status(c.who(), *id);
        if (!status) co_return std::unexpected(std::move(status.error()));
        co_return reply(view(*status));
      }));

  const std::vector<QueryParam> queue_params{
      {"limit", "Entries on a page.",
       R"({"type":"integer","minimum":1,"maximum":1000,"default":50})"},
      {"cursor", "'next' of the page before."},
      kAtParam};
  table.push_back(typed<NoBody, QueueView>(
      {"GET", "/api/v1/clusters/{cluster_id}/queue", Operation::cluster_queue, "getClusterQueue",
       "Clusters", "Who waits, in the order of consideration, and why", queue_params},
      [&clusters, &past](Context& c) -> Task<Result<Reply<QueueView>>> {
        auto id = c.id<ClusterId>("cluster_id", "cluster");
        if (!id) co_return std::unexpected(std::move(id.error()));
        auto limit = c.limit(1000);
        if (!limit) co_return std::unexpected(std::move(limit.error()));
        auto after = queue_place(c);
        if (!after) co_return std::unexpected(std::move(after.error()));
        auto when = c.query_when();
        if (!when) co_return std::unexpected(std::move(when.error()));
        auto rows = *when ? co_await past.queue(c.who(), *id, **when, *after, *limit + 1)
                          : co_await clusters.queue(c.who(), *id, *after, *limit + 1);
        if (!rows) co_return std::unexpected(std::move(rows.error()));
        auto page = page_of<QueueItemView>(rows->items, *limit, [](const QueueItem& item) {
          const QueuePlace place = place_of(item.entry);
          return fmt::format("queue {} {}", place.band, place.order);
        });
        co_return reply(
            QueueView{std::move(page.items), std::move(page.next), rows->index, rows->at});
      }));
}

std::string line_of(const JournalEntry& entry) {
  return fmt::format(R"({{"index":{},"at":"{}","checkpoint":{},"entry":"{}"}})", entry.index,
                     to_rfc3339(entry.at), entry.checkpoint, to_base64(entry.payload)) +
         "\n";
}

// Up to the end that the record has when it comes there. What breaks off must not look complete.
Task<void> send_record(TimeTravel& past, Caller caller, ClusterId id, std::int64_t from,
                       std::int64_t left, net::BodySink& sink) {
  constexpr std::int64_t kEntries = 64;
  while (left > 0) {
    const auto entries =
        past.record(caller, id, from, static_cast<std::size_t>(std::min(left, kEntries)));
    if (!entries) throw std::runtime_error(entries.error().message);
    for (const auto& entry : *entries) {
      if (auto sent = co_await sink.write(line_of(entry)); !sent) co_return;
    }
    if (entries->empty()) co_return;
    from = entries->back().index + 1;
    left -= static_cast<std::int64_t>(entries->size());
  }
}

void add_record(std::vector<Route>& table, TimeTravel& past) {
  Route route{
      "GET",
      "/api/v1/clusters/{cluster_id}/record",
      Operation::cluster_record,
      "getClusterRecord",
      "Clusters",
      "Everything its engine was given and decided, an entry a line",
      {{"from", "Index of the first entry.", R"({"type":"integer","minimum":1,"default":1})"},
       {"limit", "How many at most.", R"({"type":"integer","minimum":1})"}}};
  route.response_type = "application/jsonl";
  table.push_back(raw(std::move(route), [&past](Context& c) -> Task<net::Response> {
    const auto refused = [&](const Error& error) {
      return problem(error, c.request.path(), c.request_id);
    };
    auto id = c.id<ClusterId>("cluster_id", "cluster");
    if (!id) co_return refused(id.error());
    auto from = c.query_int("from", 1, INT64_MAX);
    if (!from) co_return refused(from.error());
    auto limit = c.query_int("limit", 1, INT64_MAX);
    if (!limit) co_return refused(limit.error());
    if (auto allowed = past.record(c.who(), *id, 1, 0); !allowed)
      co_return refused(allowed.error());
    net::Response out;
    out.headers.push_back({"Content-Type", "application/jsonl"});
    out.stream = [&past, caller = c.who(), id = *id, from = from->value_or(1),
                  limit = limit->value_or(INT64_MAX)](net::BodySink& sink) {
      return send_record(past, caller, id, from, limit, sink);
    };
    co_return out;
  }));
}

void add_changing(std::vector<Route>& table, Clusters& clusters) {
  table.push_back(typed<CreateClusterRequest, ClusterView>(
      {"POST",
       "/api/v1/clusters",
       Operation::cluster_create,
       "createCluster",
       "Clusters",
       "Create a cluster",
       {},
       201},
      [&clusters](Context& c, CreateClusterRequest body) -> ClusterAnswer {
        auto wish = wish_of(std::move(body));
        if (!wish) co_return std::unexpected(std::move(wish.error()));
        auto key = c.idempotency();
        if (!key) co_return std::unexpected(std::move(key.error()));
        std::function<StoredReply(const Cluster&)> render = [](const Cluster& made) {
          return stored(cluster_reply(made, 201));
        };
        auto made =
            co_await clusters.create(c.who(), std::move(*wish), std::move(*key), std::move(render));
        if (!made) co_return std::unexpected(std::move(made.error()));
        if (auto* replay = std::get_if<StoredReply>(&*made))
          co_return Reply<ClusterView>{std::move(*replay)};
        co_return cluster_reply(std::get<Cluster>(*made), 201);
      }));

  table.push_back(typed<UpdateClusterRequest, ClusterView>(
      {"PATCH", "/api/v1/clusters/{cluster_id}", Operation::cluster_update, "updateCluster",
       "Clusters", "Change a cluster's name, its capacity or how it schedules"},
      [&clusters](Context& c, UpdateClusterRequest body) -> ClusterAnswer {
        auto id = c.id<ClusterId>("cluster_id", "cluster");
        if (!id) co_return std::unexpected(std::move(id.error()));
        auto version = c.if_match();
        if (!version) co_return std::unexpected(std::move(version.error()));
        if (body.resources && body.nodes) {
          co_return fail_field("/nodes", "conflict",
                               "Give either 'resources' (one node) or 'nodes', not both.");
        }
        ClusterPatch patch;
        patch.name = body.name;
        patch.if_version = *version;
        if (body.resources) patch.totals = from_body(*body.resources);
        if (body.nodes) patch.nodes = from_body(*body.nodes);
        patch.policy = body.policy;
        patch.placement = body.placement;
        patch.age_bound = bound_of(body.age_bound);
        patch.fair = body.fair;
        auto changed = co_await clusters.update(c.who(), *id, std::move(patch));
        if (!changed) co_return std::unexpected(std::move(changed.error()));
        co_return cluster_reply(*changed, 200);
      }));

  for (const bool paused : {true, false}) {
    table.push_back(typed<NoBody, ClusterView>(
        {"POST",
         paused ? "/api/v1/clusters/{cluster_id}/pause" : "/api/v1/clusters/{cluster_id}/resume",
         Operation::cluster_pause, paused ? "pauseCluster" : "resumeCluster", "Clusters",
         paused ? "Let nothing start; what runs goes on" : "Let deployments start again"},
        [&clusters, paused](Context& c) -> ClusterAnswer {
          auto id = c.id<ClusterId>("cluster_id", "cluster");
          if (!id) co_return std::unexpected(std::move(id.error()));
          auto changed = co_await clusters.set_paused(c.who(), *id, paused);
          if (!changed) co_return std::unexpected(std::move(changed.error()));
          co_return cluster_reply(*changed, 200);
        }));
  }

  table.push_back(typed<NoBody, NoContent>(
      {"DELETE", "/api/v1/clusters/{cluster_id}", Operation::cluster_delete, "deleteCluster",
       "Clusters", "Delete a cluster on which nothing waits or runs"},
      [&clusters](Context& c) -> Task<Result<Reply<NoContent>>> {
        auto id = c.id<ClusterId>("cluster_id", "cluster");
        if (!id) co_return std::unexpected(std::move(id.error()));
        auto version = c.if_match();
        if (!version) co_return std::unexpected(std::move(version.error()));
        auto done = co_await clusters.remove(c.who(), *id, *version);
        if (!done) co_return std::unexpected(std::move(done.error()));
        co_return reply(NoContent{}, 204);
      }));
}

}  // namespace

void add_cluster_routes(std::vector<Route>& table, const Services& s) {
  add_changing(table, s.clusters);
  add_lists(table, s.clusters);
  add_state(table, s.clusters, s.time_travel);
  add_record(table, s.time_travel);
}

}  // namespace berth::api
