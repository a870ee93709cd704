// Several replicas that start together or not at all.
#include <fmt/format.h>

#include "harness.h"

namespace berth::test {
namespace {

js::object amounts(js::value cpu) { return {{"cpu", std::move(cpu)}, {"memory", 0}, {"gpu", 0}}; }

js::object gang(int replicas, js::object more = {}) {
  more["replicas"] = replicas;
  return more;
}

js::object job(int exit_code, js::object more = {}) {
  more["kind"] = "job";
  more["simulate"] = {{"duration", 0.02}, {"exit_code", exit_code}};
  return more;
}

// A site whose cluster has so many nodes of two CPUs each.
struct Nodes : Site {
  explicit Nodes(int count) : Site(amounts(1)) {
    js::array nodes;
    for (int i = 0; i < count; ++i)
      nodes.push_back({{"name", fmt::format("n{}", i)}, {"resources", amounts(2)}});
    cluster = server.cluster_of_nodes(organization, "several", owner, nodes);
    status();
  }
  // Of who decides, as soon as somebody does.
  Answer ask(const std::string& path) {
    return server.until(path, owner.token, [](const Answer& a) { return a.status == 200; });
  }
  Answer explain(const std::string& name) {
    return ask("/api/v1/deployments/" + id(name) + "/explain");
  }
  Answer logs(const std::string& name, const std::string& query) {
    return server.get("/api/v1/deployments/" + id(name) + "/logs?" + query, owner.token);
  }
  void stop(const std::string& name) {
    server.post("/api/v1/deployments/" + id(name) + "/stop", owner.token);
  }
  Answer status() { return ask("/api/v1/clusters/" + cluster + "/status"); }
  std::string history(const std::string& name) {
    return server.get("/api/v1/deployments/" + id(name) + "/events?limit=200", owner.token)
        .items("kind");
  }
  // How it is in that state; another process may hear of it a moment later.
  Answer reach(const std::string& name, const std::string& state) {
    return server.until_state(id(name), owner.token, state);
  }
};

// One member of each placement, joined by spaces.
std::string placements(const Answer& shown, const std::string& pointer) {
  std::string out;
  for (std::size_t i = 0; i < shown.at("/placements").as_array().size(); ++i) {
    const auto& one = shown.at(fmt::format("/placements/{}{}", i, pointer));
    out +=
        (i == 0 ? "" : " ") + (one.is_string() ? std::string(one.as_string()) : js::serialize(one));
  }
  return out;
}

TEST(Gangs, StartTogetherOrNotAtAll) {
  Nodes site(3);
  site.submit("first", amounts(1));
  site.until("first", "running");
  const auto made = site.submit("gang", amounts(2), gang(3));
  ASSERT_EQ(made.status, 201) << made;
  EXPECT_EQ(made.number("/replicas"), 3);
  EXPECT_EQ(made.at("/placements"), js::value(js::array()));
  const auto why = site.explain("gang");
  EXPECT_EQ(why.text("/reason"), "WaitingForCapacity") << why;
  EXPECT_EQ(why.text("/message"),
            "It needs 3 replicas of cpu 2 each: 2 fit now, and the next one misses cpu 1 on node "
            "n0. It is next.");
  EXPECT_EQ(why.number("/replicas_fit"), 2);
  EXPECT_EQ(why.text("/blockers/0/name"), "first");
  const auto queue = site.ask("/api/v1/clusters/" + site.cluster + "/queue");
  EXPECT_EQ(queue.number("/items/0/replicas"), 3);
  EXPECT_EQ(site.status().number("/reserved/cpu"), 1) << "not one of them has its place";
  site.stop("first");
  const auto running = site.reach("gang", "running");
  EXPECT_EQ(placements(running, "/place/node"), "n0 n1 n2");
  EXPECT_EQ(placements(running, "/state"), "running running running");
  EXPECT_EQ(site.status().number("/reserved/cpu"), 6);
  EXPECT_EQ(site.status().number("/active"), 1);
}

TEST(Gangs, FreeRoomThatIsScatteredIsExplained) {
  Nodes site(3);
  for (const auto* name : {"a", "b", "c"}) {
    site.submit(name, amounts(1));
    site.until(name, "running");
  }
  // They share two nodes, so that one is free, and one CPU of another.
  site.submit("gang", amounts(1.5), gang(2));
  const auto why = site.explain("gang");
  EXPECT_EQ(why.text("/reason"), "Fragmented") << why;
  EXPECT_EQ(why.text("/message"),
            "It needs 2 replicas of cpu 1.5 each. The cluster has cpu 3 free in total, but its "
            "nodes have no room for all of them: 1 fit now, and the next one misses cpu 0.5 on "
            "node n1. It is next.");
}

TEST(Gangs, ThatCouldNeverStartAreRefused) {
  Nodes site(3);
  const auto many = site.submit("many", amounts(2), gang(4));
  EXPECT_EQ(many.status, 400);
  EXPECT_EQ(many.code(), "exceeds_cluster");
  EXPECT_EQ(many.fields(), "/replicas");
  EXPECT_EQ(many.text("/detail"),
            "The nodes of cluster several could never hold 4 replicas of cpu 2 each at once. At "
            "most 3 fit.");
  const auto large = site.submit("large", amounts(3), gang(2));
  EXPECT_EQ(large.fields(), "/resources/cpu") << "not one of them fits";
  for (const int count : {0, 65}) {
    const auto wrong = site.submit("wrong", amounts(1), gang(count));
    EXPECT_EQ(wrong.status, 400);
    EXPECT_EQ(wrong.fields(), "/replicas");
  }
}

TEST(Gangs, HaveSucceededWhenEachReplicaHas) {
  Nodes site(2);
  site.submit("gang", amounts(1), gang(3, job(0)));
  const auto shown = site.reach("gang", "succeeded");
  EXPECT_EQ(shown.number("/exit_code"), 0);
  EXPECT_FALSE(shown.has("/message"));
  EXPECT_EQ(placements(shown, "/state"), "exited exited exited");
  EXPECT_EQ(placements(shown, "/exit_code"), "0 0 0");
  EXPECT_FALSE(shown.has("/placements/0/place")) << "their places are free again";
  EXPECT_EQ(site.status().number("/reserved/cpu"), 0);
}

TEST(Gangs, AreTriedAgainAsAWhole) {
  Nodes site(2);
  site.submit("gang", amounts(1),
              gang(3, job(3, {{"restart", {{"max_attempts", 2}, {"backoff", 0.01}}}})));
  const auto shown = site.reach("gang", "failed");
  EXPECT_EQ(shown.number("/attempt"), 2);
  EXPECT_EQ(shown.number("/exit_code"), 3);
  EXPECT_TRUE(shown.text("/message").starts_with("Replica ")) << shown;
  EXPECT_TRUE(shown.text("/message").ends_with(" ended with exit status 3.")) << shown;
  EXPECT_EQ(site.status().number("/reserved/cpu"), 0);
  const auto events = site.history("gang");
  EXPECT_NE(events.find("deployment.replica_failed"), std::string::npos) << events;
  EXPECT_TRUE(events.ends_with("deployment.failed")) << events;
}

TEST(Gangs, ThatRunTooLongAreNotTriedAgain) {
  Nodes site(2);
  site.submit("gang", amounts(1), gang(2, {{"max_run_time", "50ms"}}));
  const auto shown = site.reach("gang", "failed");
  EXPECT_EQ(shown.number("/attempt"), 1);
  EXPECT_TRUE(
      shown.text("/message").ends_with(" ran longer than its max_run_time and was stopped."))
      << shown;
}

TEST(Gangs, AreStoppedAsAWhole) {
  Nodes site(3);
  site.submit("gang", amounts(2), gang(3));
  site.until("gang", "running");
  site.submit("next", amounts(2), gang(2));
  site.stop("gang");
  EXPECT_EQ(placements(site.reach("gang", "stopped"), "/state"), "gone gone gone");
  site.until("next", "running");
  EXPECT_EQ(site.status().number("/reserved/cpu"), 4);
}

TEST(Gangs, AreDisplacedAsAWhole) {
  Nodes site(2);
  site.server.patch("/api/v1/clusters/" + site.cluster, {{"policy", "preempt"}}, site.owner.token);
  site.submit("gang", amounts(2), gang(2));
  site.until("gang", "running");
  site.submit("high", amounts(1), {{"priority", "high"}});
  site.until("high", "running");
  site.until("gang", "queued");
  EXPECT_EQ(site.status().number("/reserved/cpu"), 1);
  site.stop("high");
  const auto again = site.reach("gang", "running");
  EXPECT_EQ(again.number("/attempt"), 2);
  EXPECT_EQ(placements(again, "/state"), "running running");
}

TEST(Gangs, DisplaceWhatIsInTheirWay) {
  Nodes site(2);
  site.server.patch("/api/v1/clusters/" + site.cluster, {{"policy", "preempt"}}, site.owner.token);
  site.submit("one", amounts(2));
  site.submit("two", amounts(2));
  site.until("two", "running");
  auto urgent = gang(2);
  urgent["priority"] = "high";
  site.submit("gang", amounts(2), urgent);
  EXPECT_EQ(placements(site.reach("gang", "running"), "/state"), "running running");
  for (const auto* name : {"one", "two"}) EXPECT_EQ(site.show(name).text("/state"), "queued");
  site.stop("gang");
  for (const auto* name : {"one", "two"})
    EXPECT_EQ(site.reach(name, "running").number("/attempt"), 2);
}

TEST(Gangs, GoOnWhenTheServerStartsAnew) {
  Nodes site(3);
  site.submit("gang", amounts(2), gang(3));
  const auto before = placements(site.reach("gang", "running"), "/place/node");
  site.server.restart();
  site.status();
  const auto after = site.show("gang");
  EXPECT_EQ(after.text("/state"), "running");
  EXPECT_EQ(after.number("/attempt"), 1);
  EXPECT_EQ(placements(after, "/place/node"), before);
  EXPECT_EQ(site.status().number("/reserved/cpu"), 6);
  site.stop("gang");
  site.until("gang", "stopped");
  EXPECT_EQ(site.status().number("/reserved/cpu"), 0);
}

TEST(Gangs, HaveALogForEachReplica) {
  Nodes site(2);
  site.submit("gang", amounts(1), gang(3));
  site.until("gang", "running");
  for (const int replica : {0, 1, 2}) {
    const auto log = site.logs("gang", fmt::format("replica={}", replica));
    EXPECT_NE(log.body.find(fmt::format("is replica {} of 3\n", replica)), std::string::npos)
        << log;
  }
  EXPECT_EQ(site.logs("gang", "").body, site.logs("gang", "replica=0").body);
  const auto unknown = site.logs("gang", "replica=3");
  EXPECT_EQ(unknown.status, 404);
  EXPECT_EQ(unknown.code(), "no_such_replica");
  EXPECT_EQ(unknown.text("/detail"), "It has 3 replicas, numbers 0 to 2.");
}

TEST(Gangs, CanBePlanned) {
  Nodes site(3);
  site.submit("gang", amounts(2), gang(2));
  site.until("gang", "running");
  const auto plan =
      site.server.post("/api/v1/clusters/" + site.cluster + "/plan",
                       {{"commands",
                         {{{"kind", "submit"}, {"resources", amounts(2)}, {"replicas", 2}},
                          {{"kind", "stop"}, {"deployment_id", site.id("gang")}},
                          {{"kind", "submit"}, {"resources", amounts(2)}, {"replicas", 4}}}}},
                       site.owner.token);
  ASSERT_EQ(plan.status, 200) << plan;
  EXPECT_EQ(plan.at("/steps/0/starts"), js::value(js::array()));
  EXPECT_EQ(plan.text("/steps/1/starts/0/node"), "n0");
  EXPECT_EQ(plan.at("/steps/1/starts/0/other_nodes"), js::value(js::array{"n1"}));
  EXPECT_EQ(plan.text("/steps/2/refused"),
            "The nodes could never hold more than 3 of the 4 replicas.");
}

TEST(Gangs, AreRememberedInThePast) {
  Nodes site(2);
  site.submit("first", amounts(2));
  site.until("first", "running");
  site.submit("gang", amounts(2), gang(2));
  const auto then =
      site.server.until("/api/v1/deployments/" + site.id("gang") + "/explain", site.owner.token,
                        [](const Answer& a) { return a.has("/index") && a.has("/reason"); });
  site.stop("first");
  site.until("gang", "running");
  const auto past = site.server.get(fmt::format("/api/v1/deployments/{}/explain?at=index:{}",
                                                site.id("gang"), then.number("/index")),
                                    site.owner.token);
  EXPECT_EQ(past.text("/message"), then.text("/message")) << past;
  EXPECT_EQ(past.number("/replicas_fit"), 1);
}

}  // namespace
}  // namespace berth::test
