// Deployments: what may be asked for, what is shown, and how they end.
#include <fmt/format.h>

#include "harness.h"

namespace berth::test {
namespace {

const js::object kSmall{{"cpu", 1}, {"memory", "512MiB"}, {"gpu", 0}};

js::object amounts(js::value cpu, js::value memory = "512MiB", js::value gpu = 0) {
  return {{"cpu", std::move(cpu)}, {"memory", std::move(memory)}, {"gpu", std::move(gpu)}};
}

TEST(Deployments, ShowWhatWasAskedFor) {
  Site site;
  const auto made = site.submit("full", amounts("500m", "16GiB", 0.25),
                                {{"kind", "job"},
                                 {"image", "registry.example.org/model:1"},
                                 {"command", {"python3", "-c", "print('a b')"}},
                                 {"env", {{"MODE", "fast"}}},
                                 {"port", 9000},
                                 {"priority", "HIGH"},
                                 {"readiness", {{"path", "/ready"}, {"timeout", "30s"}}},
                                 {"restart", {{"max_attempts", 3}, {"backoff", "250ms"}}},
                                 {"stop_grace", 2.5},
                                 {"max_run_time", "2h"},
                                 {"access", "public"},
                                 {"simulate", {{"duration", 3600}, {"exit_code", 3}}},
                                 {"labels", {{"team", "vision"}}}});
  ASSERT_EQ(made.status, 201) << made;
  EXPECT_EQ(made.header("Location"), "/api/v1/deployments/" + made.text("/id"));
  EXPECT_EQ(made.header("ETag"), "\"1\"");
  auto body = made.json.as_object();
  for (const char* name :
       {"id", "organization_id", "cluster_id", "created_at", "updated_at", "endpoint"})
    body.erase(name);
  EXPECT_EQ(js::value(body),
            js::parse(R"json({"name":"full","kind":"job","state":"queued","priority":"high",
    "resources":{"cpu":0.5,"memory":17179869184,"gpu":0.25},"image":"registry.example.org/model:1",
    "command":["python3","-c","print('a b')"],"env":{"MODE":"fast"},"port":9000,"readiness":{"path":"/ready","timeout":30},
    "restart":{"max_attempts":3,"backoff":0.25},"stop_grace":2.5,"max_run_time":7200,"access":"public",
    "simulate":{"duration":3600,"exit_code":3},"labels":{"team":"vision"},"depends_on":[],"node_labels":{},"replicas":1,"attempt":0,"placements":[],"version":1})json"))
      << made;
}

TEST(Deployments, DefaultsAreShown) {
  Site site;
  const auto made = site.submit("plain", kSmall);
  EXPECT_EQ(made.text("/kind"), "service");
  EXPECT_EQ(made.text("/priority"), "low");
  EXPECT_EQ(made.text("/access"), "organization");
  EXPECT_EQ(made.number("/restart/max_attempts"), 5);
  EXPECT_EQ(made.number("/stop_grace"), 10);
  const auto unnamed =
      site.server.post("/api/v1/deployments", {{"cluster_id", site.cluster}, {"resources", kSmall}},
                       site.owner.token);
  EXPECT_TRUE(unnamed.text("/name").starts_with("d-"));
}

TEST(Deployments, EveryMistakeIsNamedByItsPointer) {
  Site site;
  struct Case {
    js::object change;
    const char* fields;
    const char* word;
  };
  for (const auto& c : std::initializer_list<Case>{
           {{{"priority", "urgent"}}, "/priority", "not_a_choice"},
           {{{"priority", 1}}, "/priority", "wrong_type"},
           {{{"kind", "Service"}}, "/kind", "not_a_choice"},
           {{{"name", "a b"}}, "/name", "invalid_format"},
           {{{"name", ""}}, "/name", "too_short"},
           {{{"port", 0}}, "/port", "out_of_range"},
           {{{"port", 65536}}, "/port", "out_of_range"},
           {{{"port", 80.5}}, "/port", "wrong_type"},
           {{{"port", "80"}}, "/port", "wrong_type"},
           {{{"command", "python3 serve.py"}}, "/command", "wrong_type"},
           {{{"command", js::array{}}}, "/command", "too_short"},
           {{{"command", {"python3", 5}}}, "/command/1", "wrong_type"},
           {{{"command", {""}}}, "/command/0", "too_short"},
           {{{"env", {{"1BAD", "x"}}}}, "/env/1BAD", "invalid_format"},
           {{{"env", {{"PORT", "1"}}}}, "/env/PORT", "reserved"},
           {{{"env", {{"BERTH_X", "1"}}}}, "/env/BERTH_X", "reserved"},
           {{{"env", {{"A", 1}}}}, "/env/A", "wrong_type"},
           {{{"resources", amounts("1.5x")}}, "/resources/cpu", "invalid_format"},
           {{{"resources", amounts(0.0001)}}, "/resources/cpu", "invalid_format"},
           {{{"resources", amounts(-1)}}, "/resources/cpu", "out_of_range"},
           {{{"resources", amounts(1, "16gib")}}, "/resources/memory", "invalid_format"},
           {{{"resources", amounts(1, 1.5)}}, "/resources/memory", "invalid_format"},
           {{{"resources", amounts(1, 1, 1.5)}}, "/resources/gpu", "invalid_format"},
           {{{"resources", js::object{{"cpu", 1}, {"memory", 1}, {"gpu", 0}, {"tpu", 1}}}},
            "/resources/tpu",
            "unknown_field"},
           {{{"readiness", {{"path", "/ok"}}}}, "/readiness/path", "needs_port"},
           {{{"readiness", {{"path", "ok"}}}, {"port", 80}}, "/readiness/path", "invalid_format"},
           {{{"restart", {{"max_attempts", 0}}}}, "/restart/max_attempts", "out_of_range"},
           {{{"stop_grace", "2 h"}}, "/stop_grace", "invalid_format"},
           {{{"max_run_time", 0}}, "/max_run_time", "out_of_range"},
           {{{"simulate", {{"exit_code", 256}}}}, "/simulate/exit_code", "out_of_range"},
           {{{"labels", {{"a b", "x"}}}}, "/labels/a b", "invalid_format"},
           {{{"image", nullptr}}, "/image", "wrong_type"},
           {{{"cluster_id", 7}}, "/cluster_id", "wrong_type"},
           {{{"prority", "high"}}, "/prority", "unknown_field"}}) {
    const auto refused = site.submit(fresh("bad"), kSmall, c.change);
    EXPECT_EQ(refused.status, 400) << js::serialize(c.change) << refused;
    EXPECT_EQ(refused.fields(), c.fields) << refused;
    EXPECT_EQ(refused.text("/errors/0/code"), c.word) << refused;
    EXPECT_EQ(refused.code(), "invalid_request");
  }
  const auto several = site.submit("bad", amounts(-1), {{"port", 0}, {"kind", "x"}});
  EXPECT_EQ(several.fields(), "/resources/cpu /port /kind") << several;
}

TEST(Deployments, ThePossibleMeaningOfATypoIsSaid) {
  Site site;
  const auto refused = site.submit("typo", kSmall, {{"prority", "high"}});
  EXPECT_NE(refused.text("/errors/0/message").find("priority"), std::string::npos) << refused;
}

TEST(Deployments, WhatNoNodeCouldEverHoldIsRefusedWithTheLargestSize) {
  Site site(amounts(8, "32GiB", 2));
  const auto refused = site.submit("huge", amounts(9, "64GiB", 4));
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(refused.code(), "exceeds_cluster");
  EXPECT_EQ(refused.fields(), "/resources/cpu /resources/memory /resources/gpu");
  EXPECT_EQ(refused.text("/errors/0/message"), "At most 8 fits.");
  EXPECT_EQ(refused.text("/errors/1/message"), "At most 32GiB fits.");
  EXPECT_EQ(refused.text("/errors/2/message"), "At most 2 fits.");
  EXPECT_NE(refused.text("/detail").find("cpu 8, memory 32GiB, gpu 2"), std::string::npos)
      << refused;
  EXPECT_EQ(site.submit("just", amounts(8, "32GiB", 2)).status, 201);
}

TEST(Deployments, NamesAreUniqueAmongTheUnfinished) {
  Site site;
  site.submit("same", kSmall);
  const auto again = site.submit("same", kSmall);
  EXPECT_EQ(again.status, 409);
  EXPECT_EQ(again.code(), "name_taken");
  EXPECT_EQ(again.fields(), "/name");
  site.until("same", "running");
  site.server.post("/api/v1/deployments/" + site.id("same") + "/stop", site.owner.token);
  site.until("same", "stopped");
  EXPECT_EQ(site.submit("same", kSmall).status, 201);
}

TEST(Deployments, AreFiltered) {
  Site site(amounts(2, "32GiB"));
  const auto second = site.server.cluster(site.organization, "second", site.owner, amounts(8));
  site.submit("r1", kSmall, {{"priority", "high"}});
  site.submit("r2", kSmall);
  site.until("r1", "running");
  site.until("r2", "running");
  site.submit("w1", kSmall, {{"priority", "high"}});
  site.submit("w2", kSmall);
  site.server.submit(second, "s1", site.owner, kSmall);
  const auto list = [&](const std::string& query) {
    return site.server.get("/api/v1/deployments?" + query, site.owner.token);
  };
  EXPECT_EQ(list("organization_id=" + site.organization).items("name"),
            "s1 w2 w1 r2 r1");  // newest first
  EXPECT_EQ(list("cluster_id=" + site.cluster).items("name"), "w2 w1 r2 r1");
  EXPECT_EQ(list("cluster_id=" + site.cluster + "&state=queued").items("name"), "w2 w1");
  EXPECT_EQ(list("cluster_id=" + site.cluster + "&state=queued&priority=HIGH").items("name"), "w1");
  EXPECT_EQ(list("cluster_id=" + site.cluster + "&name=r2").items("name"), "r2");
  EXPECT_EQ(list("cluster_id=" + second).items("name"), "s1");
  EXPECT_EQ(list("state=asleep").fields(), "state");
  EXPECT_EQ(list("priority=medium&limit=0").fields(), "limit priority");
  EXPECT_EQ(list("color=red").fields(), "color");
  EXPECT_EQ(list("state=queued&state=running").fields(), "state");
}

TEST(Deployments, PriorityChangesWhileQueued) {
  Site site(amounts(1));
  site.submit("runs", kSmall);
  site.submit("first", kSmall);
  site.submit("second", kSmall);
  EXPECT_EQ(site.queue(), "first second");
  const auto path = "/api/v1/deployments/" + site.id("second");
  const auto changed = site.server.patch(path, {{"priority", "High"}}, site.owner.token);
  EXPECT_EQ(changed.status, 200);
  EXPECT_EQ(changed.text("/priority"), "high");
  EXPECT_EQ(site.queue(), "second first");
  site.until("runs", "running");
  const auto late = site.server.patch("/api/v1/deployments/" + site.id("runs"),
                                      {{"priority", "high"}}, site.owner.token);
  EXPECT_EQ(late.status, 409);
  EXPECT_EQ(late.code(), "wrong_state");
}

TEST(Deployments, StopIsRepeatableAndCancelsWhatWaits) {
  Site site(amounts(1));
  site.submit("runs", kSmall);
  site.submit("waits", kSmall);
  site.until("runs", "running");
  const auto stop = [&](const std::string& name) {
    return site.server.post("/api/v1/deployments/" + site.id(name) + "/stop", site.owner.token);
  };
  EXPECT_EQ(stop("waits").text("/state"), "cancelled");
  EXPECT_EQ(stop("waits").text("/state"), "cancelled");
  EXPECT_EQ(stop("runs").text("/state"), "stopping");
  site.until("runs", "stopped");
  EXPECT_EQ(stop("runs").text("/state"), "stopped");
  EXPECT_TRUE(site.show("runs").has("/ended_at"));
  EXPECT_FALSE(site.show("runs").has("/place"));
}

TEST(Deployments, AreDeletedOnlyWhenTheyHaveEnded) {
  Site site;
  site.submit("gone", kSmall);
  const auto path = "/api/v1/deployments/" + site.id("gone");
  EXPECT_EQ(site.server.remove(path, site.owner.token).code(), "wrong_state");
  site.until("gone", "running");
  site.server.post(path + "/stop", site.owner.token);
  site.until("gone", "stopped");
  EXPECT_EQ(site.server.remove(path, site.owner.token, {{"If-Match", "\"1\""}}).status, 412);
  EXPECT_EQ(site.server.remove(path, site.owner.token).status, 204);
  EXPECT_EQ(site.server.get(path, site.owner.token).status, 404);
  EXPECT_EQ(
      site.server.get("/api/v1/deployments?organization_id=" + site.organization, site.owner.token)
          .items("name"),
      "");
}

TEST(Deployments, JobsEndByTheirExitStatus) {
  Site site;
  site.submit("good", kSmall, {{"kind", "job"}, {"simulate", {{"duration", 0.05}}}});
  site.submit("bad", kSmall,
              {{"kind", "job"}, {"simulate", {{"duration", 0.05}, {"exit_code", 7}}}});
  site.until("good", "succeeded");
  site.until("bad", "failed");
  EXPECT_EQ(site.show("good").number("/exit_code"), 0);
  EXPECT_FALSE(site.show("good").has("/message"));
  EXPECT_EQ(site.show("bad").number("/exit_code"), 7);
  EXPECT_EQ(site.show("bad").text("/message"), "It ended with exit status 7.");
  EXPECT_EQ(site.show("bad").number("/attempt"), 1);
}

TEST(Deployments, ServicesAreTriedAgainWithAPauseThatGrows) {
  Site site;
  site.submit("flaky", kSmall,
              {{"simulate", {{"duration", 0.02}, {"exit_code", 1}}},
               {"restart", {{"max_attempts", 3}, {"backoff", 0.05}}}});
  site.until("flaky", "failed");
  const auto d = site.show("flaky");
  EXPECT_EQ(d.number("/attempt"), 3);
  EXPECT_EQ(d.number("/exit_code"), 1);
  const auto events =
      site.server.get("/api/v1/deployments/" + site.id("flaky") + "/events", site.owner.token);
  EXPECT_EQ(events.items("kind"),
            "deployment.queued deployment.starting deployment.running "
            "deployment.queued deployment.retrying deployment.starting deployment.running "
            "deployment.queued deployment.retrying deployment.starting deployment.running "
            "deployment.failed");
  // The pauses as recorded: 50 ms, then 100 ms.
  std::vector<std::int64_t> pauses;
  for (const auto& e : events.at("/items").as_array()) {
    const auto& data = e.at("data").as_object();
    if (!data.contains("retry_at")) continue;
    const auto at = from_rfc3339(std::string_view(e.at("at").as_string()));
    const auto retry = from_rfc3339(std::string_view(data.at("retry_at").as_string()));
    pauses.push_back(retry->since(*at).count());
  }
  EXPECT_EQ(pauses, (std::vector<std::int64_t>{50'000, 100'000}));
}

TEST(Deployments, AServiceThatEndsWellIsTriedAgainToo) {
  Site site;
  site.submit(
      "short", kSmall,
      {{"simulate", {{"duration", 0.02}}}, {"restart", {{"max_attempts", 2}, {"backoff", 0.01}}}});
  site.until("short", "succeeded");
  EXPECT_EQ(site.show("short").number("/attempt"), 2);
}

TEST(Deployments, MaxRunTimeEndsThem) {
  Site site;
  site.submit("long", kSmall, {{"kind", "job"}, {"max_run_time", 0.05}});
  site.until("long", "failed");
  EXPECT_EQ(site.show("long").text("/message"),
            "It ran longer than its max_run_time and was stopped.");
}

TEST(Deployments, EventsAreTheHistoryOldestFirstInPages) {
  Site site;
  site.submit("history", kSmall);
  site.until("history", "running");
  site.server.post("/api/v1/deployments/" + site.id("history") + "/stop", site.owner.token);
  site.until("history", "stopped");
  const auto path = "/api/v1/deployments/" + site.id("history") + "/events";
  const auto all = site.server.get(path, site.owner.token);
  EXPECT_EQ(all.items("kind"),
            "deployment.queued deployment.starting deployment.running deployment.stopping "
            "deployment.stopped");
  EXPECT_EQ(all.items("actor_name"),
            fmt::format("{0} scheduler runtime {0} runtime", site.owner.name));
  const auto first = site.server.get(path + "?limit=2", site.owner.token);
  EXPECT_EQ(first.items("kind"), "deployment.queued deployment.starting");
  EXPECT_EQ(site.server.get(path + "?limit=2&cursor=" + first.text("/next"), site.owner.token)
                .items("kind"),
            "deployment.running deployment.stopping");
}

TEST(Deployments, LogsAreTextByOffsetTailAndAttempt) {
  Site site;
  site.submit("logs", kSmall,
              {{"kind", "job"}, {"simulate", {{"duration", 0.05}, {"exit_code", 4}}}});
  site.until("logs", "failed");
  const auto path = "/api/v1/deployments/" + site.id("logs") + "/logs";
  const auto all = site.server.get(path, site.owner.token);
  EXPECT_EQ(all.status, 200);
  EXPECT_EQ(all.header("Content-Type"), "text/plain; charset=utf-8");
  EXPECT_TRUE(all.body.ends_with("simulated: ended with exit status 4\n")) << all.body;
  EXPECT_EQ(site.server.get(path + "?tail=10", site.owner.token).body, " status 4\n");
  EXPECT_EQ(site.server.get(path + "?offset=11&attempt=1", site.owner.token).body,
            all.body.substr(11));
  EXPECT_EQ(site.server.get(path + "?offset=99999", site.owner.token).body, "");
  EXPECT_EQ(site.server.get(path + "?attempt=2", site.owner.token).fields(), "attempt");
  EXPECT_EQ(site.server.get(path + "?tail=0", site.owner.token).fields(), "tail");
  EXPECT_EQ(site.server.get(path + "?follow=maybe", site.owner.token).fields(), "follow");
}

TEST(Deployments, LogsAreFollowedToTheEnd) {
  Site site;
  site.submit("follow", kSmall, {{"kind", "job"}, {"simulate", {{"duration", 0.3}}}});
  site.until("follow", "running");
  const auto all = site.server.get("/api/v1/deployments/" + site.id("follow") + "/logs?follow=true",
                                   site.owner.token);
  EXPECT_TRUE(all.body.ends_with("simulated: ended with exit status 0\n")) << all.body;
}

TEST(Deployments, LogsOfWhatNeverStartedAreEmpty) {
  Site site(amounts(1));
  site.submit("runs", kSmall);
  site.submit("waits", kSmall);
  const auto logs =
      site.server.get("/api/v1/deployments/" + site.id("waits") + "/logs", site.owner.token);
  EXPECT_EQ(logs.status, 200);
  EXPECT_EQ(logs.body, "");
}

TEST(Deployments, AnEndpointThatIsNotReadySaysWhy) {
  Site site(amounts(1));
  site.submit("runs", kSmall);
  site.submit("waits", kSmall, {{"port", 8080}});
  const auto path = "/serve/" + site.organization + "/waits/predict";
  EXPECT_EQ(site.server.get(path).status, 401);
  const auto waiting = site.server.get(path, site.owner.token);
  EXPECT_EQ(waiting.status, 503);
  EXPECT_EQ(waiting.code(), "not_ready");
  EXPECT_NE(waiting.text("/detail").find("It needs cpu 1"), std::string::npos) << waiting;
  EXPECT_EQ(site.server.get("/serve/" + site.organization + "/nothing/x", site.owner.token).status,
            404);
  EXPECT_EQ(site.server.get("/serve/" + site.organization, site.owner.token).status, 404);
  EXPECT_EQ(site.server.get("/serve/" + site.organization + "/runs/x", site.owner.token).code(),
            "no_endpoint");
}

}  // namespace
}  // namespace berth::test
