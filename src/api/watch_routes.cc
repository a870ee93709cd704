// Server-sent events: the history from a given entry on, then what happens, with bookmarks so that
// idle readers move on too. 410 when the history does not reach back that far.
#include <fmt/format.h>

#include <charconv>

#include "api/api.h"
#include "api/page.h"
#include "api/schemas.h"

namespace berth::api {
namespace {

constexpr std::size_t kHistoryPage = 500;

struct WatchQuery {
  std::optional<OrganizationId> organization;
  std::optional<ClusterId> cluster;
  std::optional<DeploymentId> deployment;
  std::int64_t after = 0;
};

std::string frame(const Event& e) {
  return fmt::format("id: {}\nevent: {}\ndata: {}\n\n", e.seq, e.kind, json::to_text(view(e)));
}

class Watcher {
 public:
  Watcher(const Services& services, Caller caller, std::string token, WatchQuery query,
          std::chrono::milliseconds bookmark)
      : s_(services),
        caller_(std::move(caller)),
        token_(std::move(token)),
        query_(query),
        bookmark_(bookmark) {}

  Task<void> run(net::BodySink& sink) {
    // Subscribed first, read second: nothing can fall between history and present.
    auto subscription = s_.hub.subscribe(co_await asio::this_coro::executor);
    auto sent = co_await catch_up(sink);
    while (sent) {
      const auto event = co_await subscription->next(bookmark_);
      if (event) {
        if (event->seq <= query_.after) continue;
        query_.after = event->seq;
        if (!still_allowed()) co_return;
        if (!wanted(*event)) continue;
        sent = co_await sink.write(frame(*event));
      } else {
        if (subscription->dropped()) co_return;  // the reader resumes from where it was
        if (!still_allowed()) co_return;
        sent = co_await sink.write(fmt::format("id: {}\nevent: bookmark\ndata: {{\"seq\":{}}}\n\n",
                                               query_.after, query_.after));
      }
    }
  }

 private:
  // Whoever loses a membership stops seeing its events at once.
  bool wanted(const Event& e) {
    if (!e.organization) return false;
    if (query_.organization && *e.organization != *query_.organization) return false;
    if (query_.cluster && e.cluster != query_.cluster) return false;
    if (query_.deployment && e.deployment != query_.deployment) return false;
    const auto role = s_.reads.role(*e.organization, caller_.principal.user);
    return role && *role && allows_kind(**role, e.kind);
  }
  // What only administrators may list, only they may watch.
  static bool allows_kind(Role role, std::string_view kind) {
    return kind.starts_with("deployment.") || kind.starts_with("cluster.") ||
           allows(Operation::audit_read, role);
  }
  // A stream must not outlive its credential.
  bool still_allowed() {
    if (!s_.accounts.authenticate(token_)) return false;
    return !query_.organization ||
           s_.reads.role(*query_.organization, caller_.principal.user).value_or(std::nullopt);
  }

  Task<Result<void>> catch_up(net::BodySink& sink) {
    for (;;) {
      std::vector<Event> page;
      {
        auto mine = s_.reads.memberships(caller_.principal.user);
        if (!mine) co_return std::unexpected(std::move(mine.error()));
        EventFilter filter;
        for (const auto& [org, role] : **mine) filter.organizations.push_back(org);
        filter.after = query_.after;
        filter.limit = kHistoryPage;
        auto lease = s_.reads.view();
        if (!lease) co_return std::unexpected(std::move(lease.error()));
        auto rows = (*lease)->events(filter);
        if (!rows) co_return std::unexpected(std::move(rows.error()));
        page = std::move(*rows);
      }
      std::string frames;
      for (const auto& e : page) {
        query_.after = e.seq;
        if (wanted(e)) frames += frame(e);
      }
      if (frames.empty() && page.empty()) frames = ": connected\n\n";
      auto sent = co_await sink.write(frames);
      if (!sent || page.size() < kHistoryPage) co_return sent;
    }
  }

  Services s_;
  Caller caller_;
  std::string token_;
  WatchQuery query_;
  std::chrono::milliseconds bookmark_;
};

Result<WatchQuery> query_of(Context& c, const Services& s) {
  WatchQuery q;
  auto org = c.query_id<OrganizationId>("organization_id");
  if (!org) return std::unexpected(std::move(org.error()));
  auto cluster = c.query_id<ClusterId>("cluster_id");
  if (!cluster) return std::unexpected(std::move(cluster.error()));
  auto deployment = c.query_id<DeploymentId>("deployment_id");
  if (!deployment) return std::unexpected(std::move(deployment.error()));
  q.organization = *org;
  q.cluster = *cluster;
  q.deployment = *deployment;
  if (q.organization) {
    auto role =
        authorize(s.reads, c.who(), *q.organization, Operation::organization_read, "organization");
    if (!role) return std::unexpected(std::move(role.error()));
  }
  if (q.cluster) {
    auto seen = s.clusters.get(c.who(), *q.cluster, Operation::cluster_read);
    if (!seen) return std::unexpected(std::move(seen.error()));
  }
  if (q.deployment) {
    auto seen = s.deployments.get(c.who(), *q.deployment, Operation::deployment_read);
    if (!seen) return std::unexpected(std::move(seen.error()));
  }
  auto after = c.query_int("after", 0, INT64_MAX);
  if (!after) return std::unexpected(std::move(after.error()));
  std::optional<std::int64_t> from = *after;
  const auto last = net::find_header(c.request.headers, "Last-Event-ID");
  if (!last.empty()) {
    std::int64_t seq = 0;
    const auto [end, ec] = std::from_chars(last.data(), last.data() + last.size(), seq);
    if (ec != std::errc{} || end != last.data() + last.size() || seq < 0) {
      return fail_field("Last-Event-ID", "invalid_format",
                        "The 'id' of the last event that you saw.");
    }
    from = seq;
  }
  q.after = from.value_or(s.hub.last_seq());
  if (!from) return q;
  auto lease = s.reads.view();
  if (!lease) return std::unexpected(std::move(lease.error()));
  const auto first = (*lease)->first_event();
  if (!first) return std::unexpected(first.error());
  if (q.after + 1 < *first) {
    return fail(Code::not_found, "history_gone",
                fmt::format("The history begins at {}; list what there is, then watch from now on.",
                            *first));
  }
  return q;
}

}  // namespace

void add_watch_routes(std::vector<Route>& table, const Services& s,
                      std::chrono::milliseconds bookmark) {
  Route route{"GET",
              "/api/v1/events",
              Operation::event_watch,
              "watchEvents",
              "Watch",
              "Events as they happen (server-sent events); resumes by Last-Event-ID",
              {{"after", "Begin after this sequence number; from now on when absent.",
                R"({"type":"integer","minimum":0})"},
               {"organization_id", "Only of this organization."},
               {"cluster_id", "Only of this cluster."},
               {"deployment_id", "Only of this deployment."}}};
  route.response_type = "text/event-stream";
  table.push_back(raw(std::move(route), [s, bookmark](Context& c) -> Task<net::Response> {
    auto query = query_of(c, s);
    if (!query) {
      auto refused = problem(query.error(), c.request.path(), c.request_id);
      if (query.error().reason == "history_gone") {
        refused = problem(410, query.error().reason, query.error().message, c.request.path(),
                          c.request_id);
      }
      co_return refused;
    }
    net::Response out;
    out.headers.push_back({"Content-Type", "text/event-stream"});
    auto watcher = std::make_shared<Watcher>(s, c.who(), std::string(c.bearer()), *query, bookmark);
    out.stream = [watcher](net::BodySink& sink) { return watcher->run(sink); };
    co_return out;
  }));
}

}  // namespace berth::api
