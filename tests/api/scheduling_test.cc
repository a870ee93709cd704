// The scheduling rules and the reasons for waiting, seen through the API.
#include <fmt/format.h>

#include "harness.h"

namespace berth::test {
namespace {

js::object amounts(js::value cpu, js::value memory = 0, js::value gpu = 0) {
  return {{"cpu", std::move(cpu)}, {"memory", std::move(memory)}, {"gpu", std::move(gpu)}};
}

// One step: submit "name priority cpu", stop "name", or change the capacity.
struct Step {
  const char* what;
  const char* name;
  int cpu = 0;
};
struct Table {
  const char* rule;
  int capacity;
  std::vector<Step> steps;
  const char* running;
  const char* queue;
};

void PrintTo(const Table& table, std::ostream* out) { *out << table.rule; }

class Rules : public testing::TestWithParam<Table> {};

TEST_P(Rules, Hold) {
  const auto& table = GetParam();
  Site site(amounts(table.capacity));
  auto& s = site.server;
  const auto path = "/api/v1/clusters/" + site.cluster;
  for (const auto& step : table.steps) {
    const std::string what = step.what;
    if (what == "high" || what == "low") {
      ASSERT_EQ(site.submit(step.name, amounts(step.cpu), {{"priority", what}}).status, 201)
          << step.name;
    } else if (what == "stop") {
      s.post("/api/v1/deployments/" + site.id(step.name) + "/stop", site.owner.token);
      s.until("/api/v1/deployments/" + site.id(step.name), site.owner.token,
              [](const Answer& a) { return a.has("/ended_at"); });
    } else if (what == "capacity") {
      ASSERT_EQ(s.patch(path, {{"resources", amounts(step.cpu)}}, site.owner.token).status, 200);
    } else if (what == "raise" || what == "lower") {
      const auto answer =
          s.patch("/api/v1/deployments/" + site.id(step.name),
                  {{"priority", what == "raise" ? "high" : "low"}}, site.owner.token);
      ASSERT_EQ(answer.status, 200) << answer;
    } else {
      ASSERT_EQ(s.post(path + "/" + what, site.owner.token).status, 200);
    }
  }
  // Decisions are made with the write that caused them: the queue is final at once.
  EXPECT_EQ(site.queue(), table.queue);
  std::string running;
  std::istringstream expected(table.running);
  for (std::string name; expected >> name;) site.until(name, "running");
  for (const auto& [name, id] : site.ids) {
    if (site.state(name) == "running") running += (running.empty() ? "" : " ") + name;
  }
  EXPECT_EQ(running, table.running);
}

INSTANTIATE_TEST_SUITE_P(
    Scheduling, Rules,
    testing::Values(
        Table{"what fits starts at once", 4, {{"low", "a", 2}, {"high", "b", 2}}, "a b", ""},
        Table{"high goes before low",
              2,
              {{"low", "a", 2}, {"low", "b", 2}, {"high", "c", 2}, {"stop", "a"}},
              "c",
              "b"},
        Table{"within a queue the order of admission",
              1,
              {{"low", "a", 1}, {"low", "b", 1}, {"low", "c", 1}, {"stop", "a"}},
              "b",
              "c"},
        Table{"high ones overtake a high one that does not fit",
              4,
              {{"high", "a", 3}, {"high", "b", 2}, {"high", "c", 1}},
              "a c",
              "b"},
        Table{"low starts only when high is empty",
              4,
              {{"high", "a", 3}, {"high", "b", 2}, {"low", "c", 1}},
              "a",
              "b c"},
        Table{"low ones overtake a low one that does not fit",
              4,
              {{"low", "a", 3}, {"low", "b", 2}, {"low", "c", 1}},
              "a c",
              "b"},
        Table{"low catches up when the last high one has left",
              4,
              {{"high", "a", 3}, {"high", "b", 2}, {"low", "c", 1}, {"stop", "b"}},
              "a c",
              ""},
        Table{"a stop starts as many as fit",
              4,
              {{"low", "a", 4}, {"low", "b", 1}, {"low", "c", 1}, {"low", "d", 3}, {"stop", "a"}},
              "b c",
              "d"},
        Table{"cancelling frees the way",
              2,
              {{"low", "a", 1}, {"high", "b", 2}, {"low", "c", 1}, {"stop", "b"}},
              "a c",
              ""},
        Table{"growth starts what fits",
              1,
              {{"low", "a", 1}, {"low", "b", 1}, {"high", "c", 1}, {"capacity", "", 2}},
              "a c",
              "b"},
        Table{"growth lets all in",
              1,
              {{"low", "a", 1}, {"low", "b", 1}, {"high", "c", 1}, {"capacity", "", 3}},
              "a b c",
              ""},
        Table{"nothing starts while paused",
              4,
              {{"pause", ""}, {"high", "a", 1}, {"low", "b", 1}},
              "",
              "a b"},
        Table{"resume starts in order",
              2,
              {{"pause", ""}, {"low", "a", 1}, {"high", "b", 2}, {"resume", ""}},
              "b",
              "a"},
        Table{"raising overtakes low ones",
              1,
              {{"low", "a", 1}, {"low", "b", 1}, {"low", "c", 1}, {"raise", "c"}, {"stop", "a"}},
              "c",
              "b"},
        Table{"raising keeps the admission order among high ones",
              1,
              {{"low", "a", 1}, {"low", "b", 1}, {"high", "c", 1}, {"raise", "b"}},
              "a",
              "b c"},
        Table{"lowering lets the low queue go",
              2,
              {{"low", "a", 1}, {"high", "b", 2}, {"low", "c", 1}, {"lower", "b"}},
              "a c",
              "b"},
        Table{"what exceeds a shrunken cluster blocks nobody",
              4,
              {{"low", "a", 1}, {"high", "b", 4}, {"capacity", "", 3}, {"low", "c", 1}},
              "a c",
              "b"}),
    [](const auto& info) {
      std::string name = info.param.rule;
      for (auto& c : name) c = std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
      return name;
    });

TEST(Scheduling, AGpuShareStaysOnOneDevice) {
  Site site(amounts(8, 0, 2));
  site.submit("a", amounts(0, 0, 0.6));
  site.submit("b", amounts(0, 0, 0.6));
  site.submit("c", amounts(0, 0, 0.6));
  site.until("a", "running");
  site.until("b", "running");
  EXPECT_NE(site.show("a").number("/place/gpus/0/device"),
            site.show("b").number("/place/gpus/0/device"));
  EXPECT_EQ(site.queue(), "c");  // 0.8 is free in total, 0.4 on a device
}

TEST(Scheduling, StateAndQueueSurviveARestart) {
  TestServer s;
  Site site(amounts(2), s);
  site.submit("runs", amounts(2), {{"priority", "low"}});
  site.submit("low-1", amounts(1));
  site.submit("high-1", amounts(2), {{"priority", "high"}});
  site.until("runs", "running");
  const auto before = s.get("/api/v1/clusters/" + site.cluster + "/queue", site.owner.token);
  s.restart();
  const auto after = s.get("/api/v1/clusters/" + site.cluster + "/queue", site.owner.token);
  EXPECT_EQ(before.items("name"), "high-1 low-1");
  EXPECT_EQ(before.at("/items"), after.at("/items"));
  EXPECT_EQ(site.state("runs"), "running");
  s.post("/api/v1/deployments/" + site.id("runs") + "/stop", site.owner.token);
  site.until("high-1", "running");
}

// A reason as the queue, explain and the detail tell it.
struct Waiting {
  Answer queue, explain, detail;
};
Waiting look(Site& site, const std::string& name) {
  Waiting w;
  const auto list =
      site.server.get("/api/v1/clusters/" + site.cluster + "/queue", site.owner.token);
  for (const auto& item : list.at("/items").as_array()) {
    if (item.at("name").as_string() == name) w.queue.json = item;
  }
  w.explain =
      site.server.get("/api/v1/deployments/" + site.id(name) + "/explain", site.owner.token);
  w.detail = site.show(name);
  EXPECT_EQ(w.queue.text("/reason"), w.explain.text("/reason"));
  EXPECT_EQ(w.queue.at("/needs_action"), w.explain.at("/needs_action"));
  EXPECT_EQ(w.queue.text("/forecast/method"), "unknown");
  EXPECT_EQ(w.explain.text("/forecast/method"), "unknown");
  EXPECT_EQ(w.explain.text("/all_reasons/0"), w.explain.text("/reason"));
  EXPECT_EQ(w.explain.text("/state"), "queued");
  EXPECT_EQ(w.detail.text("/state"), "queued");
  return w;
}

TEST(Reasons, WaitingForCapacityNamesWhatIsMissing) {
  Site site(amounts(4, "8GiB", 1));
  site.submit("runs", amounts(3, "6GiB", 1));
  site.submit("waits", amounts(2, "4GiB", 1));
  site.until("runs", "running");
  const auto w = look(site, "waits");
  EXPECT_EQ(w.explain.text("/reason"), "WaitingForCapacity");
  EXPECT_EQ(w.explain.at("/needs_action"), js::value(false));
  EXPECT_EQ(w.explain.text("/nearest_node"), "node-1");
  EXPECT_EQ(js::serialize(w.explain.at("/missing")), R"({"cpu":1,"memory":2147483648,"gpu":1})");
  EXPECT_EQ(js::serialize(w.explain.at("/free_total")), R"({"cpu":1,"memory":2147483648,"gpu":0})");
  EXPECT_EQ(w.explain.text("/message"),
            "It needs cpu 2, memory 4GiB, gpu 1: cpu 1, memory 2GiB, gpu 1 more on node node-1, "
            "which misses least "
            "(it has cpu 1, memory 2GiB, gpu 0 free). It is next.");
  EXPECT_EQ(w.explain.number("/position"), 1);
}

TEST(Reasons, FragmentedNamesTheLargestHole) {
  Site site;
  site.cluster = site.server.cluster_of_nodes(site.organization, "frag", site.owner,
                                              {{{"name", "a"}, {"resources", amounts(4, "8GiB")}},
                                               {{"name", "b"}, {"resources", amounts(4, "8GiB")}}});
  site.submit("one", amounts(3));
  site.submit("two", amounts(3));
  site.until("one", "running");
  site.until("two", "running");
  site.submit("waits", amounts(2));
  const auto w = look(site, "waits");
  EXPECT_EQ(w.explain.text("/reason"), "Fragmented");
  EXPECT_EQ(w.explain.number("/free_total/cpu"), 2);
  EXPECT_EQ(w.explain.number("/largest_hole/cpu"), 1);
  EXPECT_EQ(w.explain.number("/missing/cpu"), 1);
  EXPECT_NE(w.explain.text("/message").find("2, memory 16GiB free in total"), std::string::npos)
      << w.explain;
}

TEST(Reasons, BehindHigherPriorityCountsThem) {
  Site site(amounts(4));
  site.submit("runs", amounts(3));
  site.submit("h1", amounts(2), {{"priority", "high"}});
  site.submit("h2", amounts(3), {{"priority", "high"}});
  site.submit("waits", amounts(1));
  const auto w = look(site, "waits");
  EXPECT_EQ(w.explain.text("/reason"), "BehindHigherPriority");
  EXPECT_EQ(w.explain.number("/ahead_high"), 2);
  EXPECT_EQ(w.explain.number("/ahead_low"), 0);
  EXPECT_EQ(w.explain.number("/position"), 3);
  EXPECT_EQ(w.queue.number("/position"), 3);
  EXPECT_EQ(w.explain.text("/message"),
            "Low-priority deployments start only when no high-priority one waits; 2 high wait now. "
            "It is number 3 in the queue.");
}

TEST(Reasons, ExceedsClusterNeedsSomebodyToAct) {
  Site site(amounts(4));
  site.submit("runs", amounts(1));
  site.until("runs", "running");
  site.submit("waits", amounts(4), {{"priority", "high"}});
  ASSERT_EQ(
      site.server
          .patch("/api/v1/clusters/" + site.cluster, {{"resources", amounts(2)}}, site.owner.token)
          .status,
      200);
  const auto w = look(site, "waits");
  EXPECT_EQ(w.explain.text("/reason"), "ExceedsCluster");
  EXPECT_EQ(w.explain.at("/needs_action"), js::value(true));
  EXPECT_EQ(w.explain.number("/largest_possible/largest/cpu"), 2);
  EXPECT_EQ(w.explain.text("/largest_possible/node"), "node-1");
  EXPECT_NE(w.explain.text("/message").find("no node could ever hold cpu 4"), std::string::npos)
      << w.explain;
  // It comes back to life when the cluster grows again.
  site.server.post("/api/v1/deployments/" + site.id("runs") + "/stop", site.owner.token);
  site.until("runs", "stopped");
  ASSERT_EQ(
      site.server
          .patch("/api/v1/clusters/" + site.cluster, {{"resources", amounts(4)}}, site.owner.token)
          .status,
      200);
  site.until("waits", "running");
}

TEST(Reasons, ClusterPaused) {
  Site site(amounts(4));
  site.server.post("/api/v1/clusters/" + site.cluster + "/pause", site.owner.token);
  site.submit("waits", amounts(1));
  EXPECT_EQ(look(site, "waits").explain.text("/reason"), "ClusterPaused");
}

TEST(Reasons, BackoffAfterFailureSaysWhichAttemptAndWhen) {
  Site site(amounts(4));
  site.submit("flaky", amounts(1),
              {{"simulate", {{"duration", 0.02}, {"exit_code", 9}}},
               {"restart", {{"max_attempts", 3}, {"backoff", "5m"}}}});
  site.server.until("/api/v1/deployments/" + site.id("flaky"), site.owner.token,
                    [](const Answer& a) { return a.has("/retry_at"); });
  const auto w = look(site, "flaky");
  EXPECT_EQ(w.explain.text("/reason"), "BackoffAfterFailure");
  EXPECT_EQ(w.queue.text("/retry_at"), w.detail.text("/retry_at"));
  EXPECT_EQ(w.queue.number("/position"), 0);
  EXPECT_FALSE(w.explain.has("/position"));
  EXPECT_TRUE(
      w.explain.text("/message")
          .starts_with("Attempt 1 of 3 failed: It ended with exit status 9. The next try is in "))
      << w.explain;
  EXPECT_NE(w.explain.text("/message").find(" in 4m 5"), std::string::npos) << w.explain;
  // It blocks nobody meanwhile, can be raised, and can be cancelled.
  site.submit("other", amounts(4));
  site.until("other", "running");
  EXPECT_EQ(site.server
                .patch("/api/v1/deployments/" + site.id("flaky"), {{"priority", "high"}},
                       site.owner.token)
                .status,
            200);
  site.submit("low", amounts(0, 0, 0), {{"priority", "low"}});
  site.until("low", "running");
  EXPECT_EQ(site.server.post("/api/v1/deployments/" + site.id("flaky") + "/stop", site.owner.token)
                .text("/state"),
            "cancelled");
  EXPECT_EQ(site.queue(), "");
}

TEST(Forecast, ComesFromDeclaredRunTimesAndTheEngine) {
  Site site(amounts(4));
  const auto started = [&](const std::string& name) {
    const auto events =
        site.server.get("/api/v1/deployments/" + site.id(name) + "/events", site.owner.token);
    const auto at = *from_rfc3339(events.text("/items/1/at"));  // "deployment.starting"
    return Timestamp{at.micros / 1000 * 1000};                  // the engine counts milliseconds
  };
  site.submit("one-hour", amounts(2), {{"max_run_time", "1h"}, {"stop_grace", 10}});
  site.submit("two-hours", amounts(2), {{"max_run_time", "2h"}, {"stop_grace", 0}});
  site.until("one-hour", "running");
  site.until("two-hours", "running");
  site.submit("small", amounts(2), {{"priority", "high"}});
  site.submit("next", amounts(2), {{"priority", "high"}});
  site.submit("behind", amounts(1));
  const auto latest = [&](const std::string& name) {
    const auto why =
        site.server.get("/api/v1/deployments/" + site.id(name) + "/explain", site.owner.token);
    return why.text("/forecast/method") + " " + why.text("/forecast/latest");
  };
  using std::chrono::seconds;
  EXPECT_EQ(latest("small"),
            "from_runtime_limits " + to_rfc3339(started("one-hour").plus(seconds(3610))));
  EXPECT_EQ(latest("next"), "unknown ");  // nobody knows how long "small" runs
  EXPECT_EQ(latest("behind"), "unknown ");
  // Whoever comes: what "one-hour" holds suffices for "small", and nobody is before it.
  const auto why =
      site.server.get("/api/v1/deployments/" + site.id("small") + "/explain", site.owner.token);
  EXPECT_EQ(why.at("/forecast/guaranteed"), js::value(true)) << why;
  EXPECT_EQ(why.text("/forecast/never_later"), to_rfc3339(started("one-hour").plus(seconds(3610))));
  EXPECT_LT(why.text("/forecast/earliest"), why.text("/forecast/latest"));
  const auto queue =
      site.server.get("/api/v1/clusters/" + site.cluster + "/queue", site.owner.token);
  EXPECT_EQ(queue.text("/items/0/forecast/latest"),
            to_rfc3339(started("one-hour").plus(seconds(3610))));
  EXPECT_EQ(queue.text("/items/2/forecast/method"), "unknown");
  // Only asked: nothing has moved.
  EXPECT_EQ(site.queue(), "small next behind");
}

TEST(Reasons, WhatDoesNotWaitSaysSo) {
  Site site(amounts(4));
  site.submit("runs", amounts(1));
  site.until("runs", "running");
  const auto why =
      site.server.get("/api/v1/deployments/" + site.id("runs") + "/explain", site.owner.token);
  EXPECT_EQ(why.text("/message"), "It does not wait: it is running.");
  EXPECT_FALSE(why.has("/reason"));
  EXPECT_EQ(js::serialize(why.at("/all_reasons")), "[]");
}

}  // namespace
}  // namespace berth::test
