#include "api/api.h"
#include "api/page.h"
#include "api/schemas.h"
#include "net/url.h"

namespace berth::api {
namespace {

Reply<DeploymentView> deployment_reply(const Deployment& d, int status) {
  Reply<DeploymentView> out = reply(view(d), status);
  out.etag = etag_of(d.version);
  if (status == 201) out.location = "/api/v1/deployments/" + d.id.str();
  return out;
}

using DeploymentAnswer = Task<Result<Reply<DeploymentView>>>;

Result<DeploymentQuery> query_of(Context& c) {
  DeploymentQuery q;
  auto limit = c.limit();
  auto org = c.query_id<OrganizationId>("organization_id");
  auto cluster = c.query_id<ClusterId>("cluster_id");
  auto state = c.query_choice<State>("state");
  auto priority = c.query_choice<Priority>("priority");
  auto before = c.cursor_id<DeploymentId>();
  Error error{Code::invalid_argument, "invalid_request", "The query has mistakes."};
  const auto take = [&](auto& result) {
    if (!result)
      std::move(result.error().fields.begin(), result.error().fields.end(),
                std::back_inserter(error.fields));
  };
  take(limit), take(org), take(cluster), take(state), take(priority), take(before);
  if (!error.fields.empty()) return std::unexpected(std::move(error));
  q.limit = *limit;
  q.organization = *org;
  q.cluster = *cluster;
  q.state = *state;
  q.priority = *priority;
  q.before = *before;
  q.name = c.query_text("name");
  return q;
}

// Pages are kept ready-made until any deployment changes: dashboards and scripts ask the same
// question over and over.
class PageCache {
 public:
  using Body = std::shared_ptr<const std::string>;
  struct Entry {
    std::uint64_t generation;
    Body body;
  };
  Body find(const std::string& key, std::uint64_t generation) {
    const std::lock_guard lock(mutex_);
    const auto found = entries_.find(key);
    return found != entries_.end() && found->second.generation == generation ? found->second.body
                                                                             : nullptr;
  }
  void put(std::string key, std::uint64_t generation, Body body) {
    constexpr std::size_t kEntries = 256;
    const std::lock_guard lock(mutex_);
    if (entries_.size() >= kEntries) entries_.clear();
    entries_.insert_or_assign(std::move(key), Entry{generation, std::move(body)});
  }

 private:
  std::mutex mutex_;
  std::unordered_map<std::string, Entry> entries_;
};

Result<std::string> render_page(Deployments& deployments, Context& c) {
  auto query = query_of(c);
  if (!query) return std::unexpected(std::move(query.error()));
  const auto limit = query->limit;
  query->limit += 1;
  auto rows = deployments.list(c.who(), *query);
  if (!rows) return std::unexpected(std::move(rows.error()));
  Page<DeploymentView> page;
  for (std::size_t i = 0; i < rows->size() && i < limit; ++i)
    page.items.push_back(view(*(*rows)[i]));
  if (rows->size() > limit) page.next = seal_cursor((*rows)[limit - 1]->id.str());
  return json::to_text(page);
}

Route list_route(Deployments& deployments, ReadSide& reads) {
  auto params = kPageParams;
  params.push_back({"organization_id", "Only of this organization."});
  params.push_back({"cluster_id", "Only of this cluster."});
  params.push_back(
      {"state", "Only in this state.",
       R"({"type":"string","enum":["queued","starting","running","stopping","preempting","stopped","succeeded","failed","cancelled"]})"});
  params.push_back(
      {"priority", "Only of this priority.", R"({"type":"string","enum":["high","low"]})"});
  params.push_back({"name", "Only with this name."});
  Route route{"GET",
              "/api/v1/deployments",
              Operation::deployment_list,
              "listDeployments",
              "Deployments",
              "List deployments, newest first",
              params};
  route.response_schema = [](json::SchemaSet& set) {
    return json::schema_ref<Page<DeploymentView>>(set);
  };
  auto cache = std::make_shared<PageCache>();
  return raw(std::move(route), [&deployments, &reads, cache](Context& c) -> Task<net::Response> {
    // Memberships first: a page may be reused by whoever may see just the same organizations.
    auto mine = reads.memberships(c.who().principal.user);
    if (!mine) co_return problem(mine.error(), c.request.path(), c.request_id);
    std::string key = c.request.target;
    for (const auto& [org, role] : **mine)
      key.append(reinterpret_cast<const char*>(org.bytes().data()), 16);
    const auto generation = reads.deployments_generation();
    auto body = cache->find(key, generation);
    if (!body) {
      auto rendered = render_page(deployments, c);
      if (!rendered) co_return problem(rendered.error(), c.request.path(), c.request_id);
      body = std::make_shared<const std::string>(std::move(*rendered));
      cache->put(std::move(key), generation, body);
    }
    net::Response out;
    out.headers.push_back({"Content-Type", "application/json"});
    out.shared_body = std::move(body);
    co_return out;
  });
}

void add_crud(std::vector<Route>& table, Deployments& deployments, ReadSide& reads) {
  Route create{"POST",
               "/api/v1/deployments",
               Operation::deployment_create,
               "createDeployment",
               "Deployments",
               "Submit a deployment",
               {},
               201};
  create.request_example =
      R"({"cluster_id":"clu_01jd4qz3kfe8mv0c9x7r2t5w6y","name":"digits","command":["python3","serve.py"],"port":8080,"resources":{"cpu":1,"memory":"512MiB","gpu":0},"priority":"high"})";
  table.push_back(typed<CreateDeploymentRequest, DeploymentView>(
      std::move(create),
      [&deployments](Context& c, CreateDeploymentRequest body) -> DeploymentAnswer {
        auto key = c.idempotency();
        if (!key) co_return std::unexpected(std::move(key.error()));
        std::function<StoredReply(const Deployment&)> render = [](const Deployment& d) {
          return stored(deployment_reply(d, 201));
        };
        auto wish = wish_of(std::move(body));
        auto made = co_await deployments.submit(c.who(), std::move(wish), std::move(*key),
                                                std::move(render));
        if (!made) co_return std::unexpected(std::move(made.error()));
        if (auto* replay = std::get_if<StoredReply>(&*made))
          co_return Reply<DeploymentView>{std::move(*replay)};
        co_return deployment_reply(std::get<Deployment>(*made), 201);
      }));

  table.push_back(list_route(deployments, reads));

  table.push_back(typed<NoBody, DeploymentView>(
      {"GET", "/api/v1/deployments/{deployment_id}", Operation::deployment_read, "getDeployment",
       "Deployments", "Get a deployment"},
      [&deployments](Context& c) -> DeploymentAnswer {
        auto id = c.id<DeploymentId>("deployment_id", "deployment");
        if (!id) co_return std::unexpected(std::move(id.error()));
        auto d = deployments.get(c.who(), *id, Operation::deployment_read);
        if (!d) co_return std::unexpected(std::move(d.error()));
        co_return deployment_reply(**d, 200);
      }));

  table.push_back(typed<UpdateDeploymentRequest, DeploymentView>(
      {"PATCH", "/api/v1/deployments/{deployment_id}", Operation::deployment_update,
       "updateDeployment", "Deployments", "Change the priority while it is queued"},
      [&deployments](Context& c, UpdateDeploymentRequest body) -> DeploymentAnswer {
        auto id = c.id<DeploymentId>("deployment_id", "deployment");
        if (!id) co_return std::unexpected(std::move(id.error()));
        auto version = c.if_match();
        if (!version) co_return std::unexpected(std::move(version.error()));
        auto changed = co_await deployments.set_priority(c.who(), *id, body.priority, *version);
        if (!changed) co_return std::unexpected(std::move(changed.error()));
        co_return deployment_reply(*changed, 200);
      }));

  table.push_back(typed<NoBody, NoContent>(
      {"DELETE", "/api/v1/deployments/{deployment_id}", Operation::deployment_delete,
       "deleteDeployment", "Deployments", "Delete a deployment that has ended"},
      [&deployments](Context& c) -> Task<Result<Reply<NoContent>>> {
        auto id = c.id<DeploymentId>("deployment_id", "deployment");
        if (!id) co_return std::unexpected(std::move(id.error()));
        auto version = c.if_match();
        if (!version) co_return std::unexpected(std::move(version.error()));
        auto done = co_await deployments.remove(c.who(), *id, *version);
        if (!done) co_return std::unexpected(std::move(done.error()));
        co_return reply(NoContent{}, 204);
      }));

  table.push_back(typed<NoBody, DeploymentView>(
      {"POST", "/api/v1/deployments/{deployment_id}/stop", Operation::deployment_stop,
       "stopDeployment", "Deployments", "Stop it, or take it back while it is queued"},
      [&deployments](Context& c) -> DeploymentAnswer {
        auto id = c.id<DeploymentId>("deployment_id", "deployment");
        if (!id) co_return std::unexpected(std::move(id.error()));
        auto stopped = co_await deployments.stop(c.who(), *id);
        if (!stopped) co_return std::unexpected(std::move(stopped.error()));
        co_return deployment_reply(*stopped, 200);
      }));
}

void add_insight(std::vector<Route>& table, Deployments& deployments, TimeTravel& past) {
  table.push_back(typed<NoBody, ExplanationView>(
      {"GET",
       "/api/v1/deployments/{deployment_id}/explain",
       Operation::deployment_explain,
       "explainDeployment",
       "Deployments",
       "Why it waits",
       {kAtParam}},
      [&deployments, &past](Context& c) -> Task<Result<Reply<ExplanationView>>> {
        auto id = c.id<DeploymentId>("deployment_id", "deployment");
        if (!id) co_return std::unexpected(std::move(id.error()));
        auto when = c.query_when();
        if (!when) co_return std::unexpected(std::move(when.error()));
        auto why = *when ? co_await past.explain(c.who(), *id, **when)
                         : co_await deployments.explain(c.who(), *id);
        if (!why) co_return std::unexpected(std::move(why.error()));
        co_return reply(view(*why));
      }));

  table.push_back(typed<NoBody, Page<EventView>>(
      {"GET", "/api/v1/deployments/{deployment_id}/events", Operation::deployment_events,
       "listDeploymentEvents", "Deployments", "What happened to it, oldest first", kPageParams},
      [&deployments](Context& c) -> Task<Result<Reply<Page<EventView>>>> {
        auto id = c.id<DeploymentId>("deployment_id", "deployment");
        if (!id) co_return std::unexpected(std::move(id.error()));
        auto limit = c.limit();
        if (!limit) co_return std::unexpected(std::move(limit.error()));
        auto after = c.cursor_seq();
        if (!after) co_return std::unexpected(std::move(after.error()));
        auto rows = deployments.events(c.who(), *id, after->value_or(0), *limit + 1);
        if (!rows) co_return std::unexpected(std::move(rows.error()));
        co_return reply(page_of<EventView>(*rows, *limit,
                                           [](const Event& e) { return std::to_string(e.seq); }));
      }));
}

// Follows a log: whole pieces as they come, until the attempt has ended or the reader leaves.
Task<void> follow_log(Accounts& accounts, std::string token, Deployments& deployments,
                      Caller caller, DeploymentId id, Instance instance, LogQuery query,
                      net::BodySink& sink) {
  constexpr auto kPoll = std::chrono::milliseconds(200);
  asio::basic_waitable_timer<std::chrono::steady_clock,
                             asio::wait_traits<std::chrono::steady_clock>, Executor>
      timer(co_await asio::this_coro::executor);
  for (;;) {
    if (!accounts.authenticate(token)) co_return;  // a stream must not outlive its credential
    auto chunk = co_await deployments.logs(caller, id, instance, query);
    if (!chunk) co_return;
    if (!chunk->bytes.empty()) {
      const auto sent = co_await sink.write(chunk->bytes);
      if (!sent) co_return;
    }
    query.offset = chunk->next_offset;
    if (chunk->end) co_return;
    if (chunk->bytes.empty()) {
      timer.expires_after(kPoll);
      co_await timer.async_wait(use_task);
    }
  }
}

void add_logs(std::vector<Route>& table, Accounts& accounts, Deployments& deployments) {
  Route route{
      "GET",
      "/api/v1/deployments/{deployment_id}/logs",
      Operation::deployment_logs,
      "getDeploymentLogs",
      "Deployments",
      "What it printed",
      {{"follow", "Go on until it ends.", R"({"type":"boolean","default":false})"},
       {"tail", "Begin this many bytes before the end.",
        R"({"type":"integer","minimum":1,"maximum":67108864})"},
       {"offset", "Begin at this byte.", R"({"type":"integer","minimum":0})"},
       {"attempt", "Of this attempt; the latest when absent.", R"({"type":"integer","minimum":1})"},
       {"replica", "Of this replica, when there are several.",
        R"({"type":"integer","minimum":0,"default":0})"}}};
  route.response_type = "text/plain";
  table.push_back(
      raw(std::move(route), [&accounts, &deployments](Context& c) -> Task<net::Response> {
        const auto refused = [&](const Error& e) {
          return problem(e, c.request.path(), c.request_id);
        };
        auto id = c.id<DeploymentId>("deployment_id", "deployment");
        if (!id) co_return refused(id.error());
        auto follow = c.query_flag("follow");
        if (!follow) co_return refused(follow.error());
        auto tail = c.query_int("tail", 1, 64 << 20);
        if (!tail) co_return refused(tail.error());
        auto offset = c.query_int("offset", 0, INT64_MAX);
        if (!offset) co_return refused(offset.error());
        auto number = c.query_int("attempt", 1, INT32_MAX);
        if (!number) co_return refused(number.error());
        auto replica = c.query_int("replica", 0, INT32_MAX);
        if (!replica) co_return refused(replica.error());
        LogQuery query;
        query.offset = *tail ? -**tail : offset->value_or(0);
        query.max_bytes = *follow ? 64 << 10 : 1 << 20;
        const Instance instance{static_cast<std::int32_t>(number->value_or(0)),
                                static_cast<std::int32_t>(replica->value_or(0))};
        auto first = co_await deployments.logs(c.who(), *id, instance, query);
        if (!first) co_return refused(first.error());
        net::Response out;
        out.headers.push_back({"Content-Type", "text/plain; charset=utf-8"});
        out.headers.push_back({"Berth-Log-Offset", std::to_string(first->offset)});
        if (!*follow) {
          out.headers.push_back({"Berth-Log-Next-Offset", std::to_string(first->next_offset)});
          out.body = std::move(first->bytes);
          co_return out;
        }
        query.offset = first->offset;
        out.stream = [&accounts, &deployments, token = std::string(c.bearer()), caller = c.who(),
                      id = *id, instance, query](net::BodySink& sink) {
          return follow_log(accounts, token, deployments, caller, id, instance, query, sink);
        };
        co_return out;
      }));
}

}  // namespace

void add_deployment_routes(std::vector<Route>& table, const Services& s) {
  add_crud(table, s.deployments, s.reads);
  add_insight(table, s.deployments, s.time_travel);
  add_logs(table, s.accounts, s.deployments);
}

}  // namespace berth::api
