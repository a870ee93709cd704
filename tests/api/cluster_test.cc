// Clusters: capacity, status, pause, and what may not be taken away.
#include "harness.h"

namespace berth::test {
namespace {

js::object amounts(js::value cpu, js::value memory = 0, js::value gpu = 0) {
  return {{"cpu", std::move(cpu)}, {"memory", std::move(memory)}, {"gpu", std::move(gpu)}};
}

TEST(Clusters, AreMadeFromTotalsOrNodes) {
  Site site;
  const auto totals = site.server.get("/api/v1/clusters/" + site.cluster, site.owner.token);
  EXPECT_EQ(totals.text("/nodes/0/name"), "node-1");
  EXPECT_EQ(totals.number("/resources/cpu"), 8);
  EXPECT_EQ(totals.number("/resources/memory"), 34'359'738'368);
  EXPECT_EQ(totals.number("/resources/gpu"), 2);
  EXPECT_EQ(totals.text("/policy"), "strict");
  const auto two = site.server.cluster_of_nodes(
      site.organization, "two", site.owner,
      {{{"name", "a"}, {"resources", amounts(4, "8GiB", 1)}, {"gpu_model", "A100"}},
       {{"name", "b"}, {"resources", amounts("500m", 1024, 2)}}});
  const auto shown = site.server.get("/api/v1/clusters/" + two, site.owner.token);
  EXPECT_EQ(js::serialize(shown.at("/resources")), R"({"cpu":4.5E0,"memory":8589935616,"gpu":3})");
  EXPECT_EQ(shown.text("/nodes/0/gpu_model"), "A100");
  const auto list =
      site.server.get("/api/v1/clusters?organization_id=" + site.organization, site.owner.token);
  EXPECT_EQ(list.items("name"), "lab two");
}

TEST(Clusters, MistakesAreNamed) {
  Site site;
  struct Case {
    js::object change;
    const char* fields;
  };
  const js::object nodes{{"name", "n"}, {"resources", amounts(1)}};
  for (const auto& c :
       std::initializer_list<Case>{{{{"runtime", {{"kind", "mainframe"}}}}, "/runtime/kind"},
                                   {{{"runtime", {{"kind", "slurm"}}}}, "/runtime/kind"},
                                   {{{"name", "no blanks"}}, "/name"},
                                   {{{"resources", amounts(-1)}}, "/resources/cpu"},
                                   {{{"resources", amounts(1, "lots")}}, "/resources/memory"},
                                   {{{"resources", {{"cpu", 1}, {"mem", 1}}}}, "/resources/mem"},
                                   {{{"resources", amounts(1, 1, 0.5)}}, "/nodes/0/resources/gpu"},
                                   {{{"resources", amounts(0, 0, 0)}}, "/nodes/0/resources"},
                                   {{{"nodes", js::array{nodes}}}, "/nodes"},
                                   {{{"policy", "lottery"}}, "/policy"},
                                   {{{"state", "ready"}}, "/state"},
                                   {{{"organization_id", "org_x"}}, "/organization_id"}}) {
    js::object body{{"organization_id", site.organization},
                    {"name", fresh("c")},
                    {"runtime", {{"kind", "simulated"}}},
                    {"resources", amounts(1)}};
    for (const auto& [key, value] : c.change) body[key] = value;
    const auto refused = site.server.post("/api/v1/clusters", body, site.owner.token);
    EXPECT_EQ(refused.status, 400) << js::serialize(body);
    EXPECT_EQ(refused.fields(), c.fields) << refused;
  }
  const auto nothing = site.server.post(
      "/api/v1/clusters",
      {{"organization_id", site.organization}, {"name", "n"}, {"runtime", {{"kind", "simulated"}}}},
      site.owner.token);
  EXPECT_EQ(nothing.fields(), "/resources");
  const auto twins = site.server.post("/api/v1/clusters",
                                      {{"organization_id", site.organization},
                                       {"name", "n"},
                                       {"runtime", {{"kind", "simulated"}}},
                                       {"nodes", {nodes, nodes}}},
                                      site.owner.token);
  EXPECT_EQ(twins.fields(), "/nodes/1/name");
}

TEST(Clusters, NamesAreUniqueInTheOrganization) {
  Site site;
  const auto again = site.server.post("/api/v1/clusters",
                                      {{"organization_id", site.organization},
                                       {"name", "LAB"},
                                       {"runtime", {{"kind", "simulated"}}},
                                       {"resources", amounts(1)}},
                                      site.owner.token);
  EXPECT_EQ(again.status, 409);
  EXPECT_EQ(again.fields(), "/name");
  const auto other = site.server.cluster(site.organization, "other", site.owner, amounts(1));
  const auto renamed =
      site.server.patch("/api/v1/clusters/" + other, {{"name", "lab"}}, site.owner.token);
  EXPECT_EQ(renamed.status, 409);
  EXPECT_EQ(renamed.fields(), "/name");
}

TEST(Clusters, StatusTellsEveryNodeAndDevice) {
  Site site(amounts(8, "32GiB", 2));
  site.submit("whole", amounts(2, "4GiB", 1));
  site.submit("share", amounts("500m", "1GiB", 0.25));
  site.until("whole", "running");
  site.until("share", "running");
  site.submit("waits-high", amounts(8), {{"priority", "high"}});
  site.submit("waits-low", amounts(1));
  const auto s = site.server.get("/api/v1/clusters/" + site.cluster + "/status", site.owner.token);
  EXPECT_EQ(js::serialize(s.at("/capacity")), R"({"cpu":8,"memory":34359738368,"gpu":2})");
  EXPECT_EQ(js::serialize(s.at("/reserved")), R"({"cpu":2.5E0,"memory":5368709120,"gpu":1.25E0})");
  EXPECT_EQ(js::serialize(s.at("/available")),
            R"({"cpu":5.5E0,"memory":28991029248,"gpu":7.5E-1})");
  EXPECT_EQ(js::serialize(s.at("/nodes/0/available")),
            R"({"cpu":5.5E0,"memory":28991029248,"gpu":7.5E-1})");
  EXPECT_EQ(
      js::serialize(s.at("/nodes/0/gpus")),
      R"([{"device":0,"reserved":1,"available":0},{"device":1,"reserved":2.5E-1,"available":7.5E-1}])");
  EXPECT_EQ(s.number("/nodes/0/running"), 2);
  EXPECT_EQ(js::serialize(s.at("/queue")), R"({"high":1,"low":1,"backoff":0})");
  EXPECT_EQ(s.number("/active"), 2);
  EXPECT_EQ(s.at("/runtime/reachable"), js::value(true));
  EXPECT_EQ(js::serialize(site.show("whole").at("/place")),
            R"({"node":"node-1","gpus":[{"device":0,"share":1}]})");
}

TEST(Clusters, CapacityGrowsAndShrinksButNeverBelowWhatRuns) {
  Site site(amounts(4));
  site.submit("runs", amounts(3));
  site.until("runs", "running");
  site.submit("waits", amounts(2));
  const auto path = "/api/v1/clusters/" + site.cluster;
  const auto refused = site.server.patch(path, {{"resources", amounts(2)}}, site.owner.token);
  EXPECT_EQ(refused.status, 409);
  EXPECT_EQ(refused.code(), "capacity_in_use");
  EXPECT_NE(refused.text("/detail").find(site.id("runs")), std::string::npos) << refused;
  EXPECT_EQ(site.server.patch(path, {{"resources", amounts(3)}}, site.owner.token).status, 200);
  EXPECT_EQ(site.state("waits"), "queued");
  const auto grown = site.server.patch(path, {{"resources", amounts(5)}}, site.owner.token);
  EXPECT_EQ(grown.number("/resources/cpu"), 5);
  site.until("waits", "running");
}

TEST(Clusters, NodesComeAndGoByName) {
  Site site;
  const auto id = site.server.cluster_of_nodes(
      site.organization, "pair", site.owner,
      {{{"name", "a"}, {"resources", amounts(2)}}, {{"name", "b"}, {"resources", amounts(2)}}});
  const auto path = "/api/v1/clusters/" + id;
  const auto d = site.server.submit(id, "runs", site.owner, amounts(2));
  const auto running = site.server.until_state(d.text("/id"), site.owner.token, "running");
  const std::string used = running.text("/place/node"), idle = used == "a" ? "b" : "a";
  const auto keep = [&](const std::string& name) {
    return site.server.patch(
        path, {{"nodes", js::array{js::object{{"name", name}, {"resources", amounts(2)}}}}},
        site.owner.token);
  };
  EXPECT_EQ(keep(idle).code(), "capacity_in_use");
  EXPECT_EQ(site.server.patch(path, {{"resources", amounts(9)}}, site.owner.token).fields(),
            "/resources");  // several nodes
  EXPECT_EQ(keep(used).status, 200);
  EXPECT_EQ(site.server.get(path, site.owner.token).text("/nodes/0/name"), used);
}

TEST(Clusters, PauseLetsNothingStartAndResumeCatchesUp) {
  Site site(amounts(4));
  const auto path = "/api/v1/clusters/" + site.cluster;
  site.submit("before", amounts(1));
  site.until("before", "running");
  EXPECT_EQ(site.server.post(path + "/pause", site.owner.token).at("/paused"), js::value(true));
  site.submit("during", amounts(1), {{"priority", "high"}});
  const auto queue = site.server.get(path + "/queue", site.owner.token);
  EXPECT_EQ(queue.items("reason"), "ClusterPaused");
  EXPECT_EQ(site.state("during"), "queued");
  EXPECT_EQ(site.state("before"), "running");
  const auto why =
      site.server.get("/api/v1/deployments/" + site.id("during") + "/explain", site.owner.token);
  EXPECT_EQ(why.text("/reason"), "ClusterPaused");
  EXPECT_NE(why.text("/message").find("lab is paused"), std::string::npos) << why;
  // Twice is as good as once.
  EXPECT_EQ(site.server.post(path + "/pause", site.owner.token).status, 200);
  EXPECT_EQ(site.server.post(path + "/resume", site.owner.token).at("/paused"), js::value(false));
  site.until("during", "running");
}

TEST(Clusters, AreDeletedOnlyWhenNothingIsLeft) {
  Site site(amounts(1));
  const auto path = "/api/v1/clusters/" + site.cluster;
  site.submit("runs", amounts(1));
  site.submit("waits", amounts(1));
  site.until("runs", "running");
  const auto refused = site.server.remove(path, site.owner.token);
  EXPECT_EQ(refused.status, 409);
  EXPECT_EQ(refused.code(), "cluster_in_use");
  EXPECT_NE(refused.text("/detail").find(site.id("runs")), std::string::npos);
  EXPECT_NE(refused.text("/detail").find(site.id("waits")), std::string::npos);
  site.server.post("/api/v1/deployments/" + site.id("waits") + "/stop", site.owner.token);
  site.server.post("/api/v1/deployments/" + site.id("runs") + "/stop", site.owner.token);
  site.until("runs", "stopped");
  EXPECT_EQ(site.server.remove(path, site.owner.token, {{"If-Match", "\"99\""}}).status, 412);
  EXPECT_EQ(site.server.remove(path, site.owner.token).status, 204);
  EXPECT_EQ(site.server.get(path, site.owner.token).status, 404);
  EXPECT_EQ(site.server.get(path + "/queue", site.owner.token).status, 404);
  EXPECT_EQ(site.server.submit(site.cluster, "late", site.owner, amounts(1)).status, 404);
}

TEST(Clusters, APlanSaysWhatWouldHappenAndDoesNothing) {
  Site site(amounts(4));
  const auto path = "/api/v1/clusters/" + site.cluster;
  site.submit("runs", amounts(4));
  site.until("runs", "running");
  site.submit("waits", amounts(3));
  const auto plan = site.server.post(
      path + "/plan",
      {{"commands",
        js::array{js::object{{"kind", "submit"}, {"priority", "high"}, {"resources", amounts(2)}},
                  js::object{{"kind", "stop"}, {"deployment_id", site.id("runs")}},
                  js::object{{"kind", "lose_node"}, {"node", "nowhere"}}}}},
      site.owner.token);
  ASSERT_EQ(plan.status, 200) << plan;
  const std::string made_up = plan.text("/steps/0/deployment_id");
  EXPECT_EQ(js::serialize(plan.at("/steps/0/starts")), "[]");
  EXPECT_EQ(plan.text("/steps/1/starts/0/deployment_id"), made_up);
  EXPECT_EQ(plan.text("/steps/2/refused"), "There is no node nowhere.");
  EXPECT_EQ(js::serialize(plan.at("/moves")), "[]");  // "waits" is first before and after
  EXPECT_EQ(site.state("runs"), "running");
  EXPECT_EQ(site.state("waits"), "queued");
  const auto incomplete = site.server.post(
      path + "/plan", {{"commands", js::array{js::object{{"kind", "stop"}}}}}, site.owner.token);
  EXPECT_EQ(incomplete.status, 400);
  EXPECT_EQ(incomplete.fields(), "/commands/0/deployment_id");
}

}  // namespace
}  // namespace berth::test
