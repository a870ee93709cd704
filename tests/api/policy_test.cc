// Policies beyond the plain rules, at work on a cluster that runs.
#include "harness.h"

namespace berth::test {
namespace {

js::object amounts(js::value cpu) { return {{"cpu", std::move(cpu)}, {"memory", 0}, {"gpu", 0}}; }

std::string path_of(const Site& site) { return "/api/v1/clusters/" + site.cluster; }

Answer use(Site& site, js::object rules) {
  return site.server.patch(path_of(site), std::move(rules), site.owner.token);
}

// Once somebody decides about the cluster, which may be a young one.
Answer explain(Site& site, const std::string& name) {
  return site.server.until("/api/v1/deployments/" + site.id(name) + "/explain", site.owner.token,
                           [](const Answer& answer) { return answer.status == 200; });
}

// Kinds of all events of one deployment, oldest first.
std::string history(Site& site, const std::string& name) {
  return site.server
      .get("/api/v1/deployments/" + site.id(name) + "/events?limit=200", site.owner.token)
      .items("kind");
}

void stop(Site& site, const std::string& name) {
  site.server.post("/api/v1/deployments/" + site.id(name) + "/stop", site.owner.token);
}

TEST(Policies, AHighOneDisplacesALowOneWhichComesBackToItsPlace) {
  Site site(amounts(4));
  ASSERT_EQ(use(site, {{"policy", "preempt"}}).text("/policy"), "preempt");
  site.submit("low", amounts(4));
  site.until("low", "running");
  site.submit("later", amounts(4));
  site.submit("high", amounts(3), {{"priority", "high"}});
  site.until("high", "running");
  site.until("low", "queued");
  EXPECT_EQ(site.queue(), "low later");
  EXPECT_EQ(history(site, "low"),
            "deployment.queued deployment.starting deployment.running deployment.preempting "
            "deployment.queued");
  const auto events = site.server.get("/api/v1/deployments/" + site.id("low") + "/events?limit=200",
                                      site.owner.token);
  EXPECT_EQ(events.text("/items/3/data/for"), site.id("high"));
  EXPECT_EQ(events.text("/items/3/data/for_name"), "high");
  stop(site, "high");
  site.until("low", "running");
  EXPECT_EQ(site.show("low").number("/attempt"), 2);
  EXPECT_EQ(site.queue(), "later");
}

TEST(Policies, TheFewestAndTheYoungestGo) {
  Site site(amounts(6));
  use(site, {{"policy", "preempt"}});
  for (const auto* name : {"a", "b", "c"}) {
    site.submit(name, amounts(2));
    site.until(name, "running");
  }
  site.submit("high", amounts(4), {{"priority", "high"}});
  site.until("high", "running");
  site.until("b", "queued");
  site.until("c", "queued");
  EXPECT_EQ(site.state("a"), "running");
  EXPECT_EQ(site.queue(), "b c");
}

TEST(Policies, NobodyIsDisplacedByALowOneOrUnderThePlainRules) {
  Site site(amounts(2));
  site.submit("runs", amounts(2));
  site.until("runs", "running");
  site.submit("high", amounts(2), {{"priority", "high"}});
  EXPECT_EQ(site.state("runs"), "running");
  EXPECT_EQ(explain(site, "high").text("/blockers/0/name"), "runs");
  // From now on, and at once.
  use(site, {{"policy", "backfill+preempt"}});
  site.until("high", "running");
  site.until("runs", "queued");
}

TEST(Policies, BackfillLetsInWhatDelaysNoHighOne) {
  Site site(amounts(4));
  use(site, {{"policy", "backfill"}});
  site.submit("runs", amounts(3), {{"max_run_time", "1h"}});
  site.until("runs", "running");
  site.submit("high", amounts(4), {{"priority", "high"}});
  site.submit("unknown", amounts(1));
  site.submit("long", amounts(1), {{"max_run_time", "2h"}});
  site.submit("short", amounts(1), {{"max_run_time", "30m"}});
  site.until("short", "running");
  EXPECT_EQ(site.queue(), "high unknown long");
}

TEST(Policies, TheAgeBoundEndsOvertaking) {
  Site site(amounts(4));
  site.submit("runs", amounts(3));
  site.until("runs", "running");
  site.submit("large", amounts(4), {{"priority", "high"}});
  site.submit("overtakes", amounts(1), {{"priority", "high"}});
  site.until("overtakes", "running");
  stop(site, "overtakes");
  site.until("overtakes", "stopped");
  ASSERT_EQ(use(site, {{"age_bound", "1ms"}}).at("/age_bound"), js::value(0.001));
  site.submit("small", amounts(1), {{"priority", "high"}});
  EXPECT_EQ(site.queue(), "large small");
  EXPECT_FALSE(use(site, {{"age_bound", 0}}).has("/age_bound"));
  site.until("small", "running");
}

TEST(Policies, PlacementCanLookAtWhatIsAskedFor) {
  Site site({{"cpu", 8}, {"memory", "32GiB"}, {"gpu", 2}});
  site.submit("a", {{"cpu", 1}, {"memory", "1GiB"}, {"gpu", 0.5}});
  EXPECT_EQ(use(site, {{"placement", "fgd"}}).text("/placement"), "fgd");
  site.submit("b", {{"cpu", 1}, {"memory", "1GiB"}, {"gpu", 0.5}});
  site.until("b", "running");
  EXPECT_EQ(site.show("b").number("/place/gpus/0/device"), 0) << "beside the other half";
}

TEST(Policies, AreKnownByTheirNames) {
  Site site(amounts(1));
  const auto refused = use(site, {{"policy", "fifo"}});
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(refused.fields(), "/policy");
  EXPECT_NE(refused.text("/errors/0/message").find("backfill+preempt"), std::string::npos)
      << refused;
  const auto made = site.server.post("/api/v1/clusters",
                                     {{"organization_id", site.organization},
                                      {"name", fresh("c")},
                                      {"runtime", {{"kind", "simulated"}}},
                                      {"resources", amounts(1)},
                                      {"policy", "backfill"},
                                      {"age_bound", "4h"}},
                                     site.owner.token);
  EXPECT_EQ(made.text("/policy"), "backfill");
  EXPECT_EQ(made.number("/age_bound"), 14'400);
}

TEST(Policies, WhatIsBeingDisplacedIsRememberedOverARestart) {
  Site site(amounts(2));
  use(site, {{"policy", "preempt"}});
  site.submit("low", amounts(2), {{"stop_grace", "1h"}});
  site.until("low", "running");
  site.submit("high", amounts(2), {{"priority", "high"}});
  site.until("high", "running");
  site.server.restart();
  site.until("low", "queued");
  EXPECT_EQ(site.state("high"), "running");
  stop(site, "high");
  site.until("low", "running");
}

// --- dependencies -------------------------------------------------------------------------------

js::object after(std::initializer_list<js::object> on) {
  js::array list;
  for (const auto& one : on) list.push_back(one);
  return {{"depends_on", std::move(list)}};
}

TEST(Dependencies, AJobIsWaitedForUntilItHasSucceeded) {
  Site site(amounts(8));
  site.submit("prepare", amounts(1), {{"kind", "job"}, {"simulate", {{"duration", "1s"}}}});
  const auto made = site.submit("train", amounts(1), after({{{"deployment", "prepare"}}}));
  ASSERT_EQ(made.status, 201) << made;
  EXPECT_EQ(made.text("/depends_on/0/deployment"), site.id("prepare"));
  EXPECT_EQ(made.text("/depends_on/0/until"), "succeeded");
  const auto why = explain(site, "train");
  EXPECT_EQ(why.text("/reason"), "WaitingForDependency") << why;
  EXPECT_EQ(why.at("/needs_action"), js::value(false));
  EXPECT_EQ(why.text("/message").substr(0, 35), "It waits for prepare to succeed (it");
  EXPECT_EQ(site.queue(), "train");
  site.until("train", "running");
  EXPECT_EQ(site.state("prepare"), "succeeded");
  EXPECT_EQ(history(site, "train"),
            "deployment.queued deployment.dependency_met deployment.starting deployment.running");
}

TEST(Dependencies, AServiceIsWaitedForUntilItRunsAndSeveralAreAllWaitedFor) {
  Site site(amounts(2));
  site.submit("fills", amounts(2));
  site.until("fills", "running");
  site.submit("database", amounts(1));
  site.submit("cache", amounts(1));
  site.submit("web", amounts("1m"),
              after({{{"deployment", "database"}}, {{"deployment", site.id("cache")}}}));
  EXPECT_EQ(site.queue(), "database cache web");
  // What waits for others holds up nobody, high or not.
  site.server.patch("/api/v1/deployments/" + site.id("web"), {{"priority", "high"}},
                    site.owner.token);
  stop(site, "fills");
  site.until("database", "running");
  site.until("cache", "running");
  EXPECT_EQ(explain(site, "web").text("/reason"), "WaitingForCapacity");
  stop(site, "cache");
  site.until("web", "running");
}

TEST(Dependencies, WhatHasComeFarEnoughIsNotWaitedFor) {
  Site site(amounts(2));
  site.submit("done", amounts(1), {{"kind", "job"}, {"simulate", {{"duration", "1ms"}}}});
  site.until("done", "succeeded");
  site.submit("next", amounts(1), after({{{"deployment", "done"}, {"until", "running"}}}));
  site.until("next", "running");
}

TEST(Dependencies, WhatCannotComeAboutIsRefusedOrSaid) {
  Site site(amounts(2));
  const auto unknown = site.submit("a", amounts(1), after({{{"deployment", "b"}}}));
  EXPECT_EQ(unknown.status, 400) << unknown;
  EXPECT_EQ(unknown.fields(), "/depends_on/0/deployment");
  const auto self = site.submit("a", amounts(1), after({{{"deployment", "a"}}}));
  EXPECT_EQ(self.status, 400);
  EXPECT_NE(self.text("/detail").find("nothing can wait for itself"), std::string::npos) << self;

  site.submit("fails", amounts(1),
              {{"kind", "job"}, {"simulate", {{"duration", "200ms"}, {"exit_code", 1}}}});
  site.submit("waits", amounts(1), after({{{"deployment", "fails"}}}));
  site.until("fails", "failed");
  const auto why = explain(site, "waits");
  EXPECT_EQ(why.text("/reason"), "WaitingForDependency");
  EXPECT_EQ(why.at("/needs_action"), js::value(true));
  EXPECT_EQ(why.text("/message").substr(0, 30), "It waits in vain for fails to ") << why;
  const auto late = site.submit("late", amounts(1), after({{{"deployment", "fails"}}}));
  EXPECT_EQ(late.status, 400) << late;
  EXPECT_EQ(late.text("/errors/0/code"), "in_vain");
  const auto twice = site.submit("twice", amounts(1),
                                 after({{{"deployment", "waits"}}, {{"deployment", "waits"}}}));
  EXPECT_EQ(twice.fields(), "/depends_on/1/deployment");
  // Who is waited for may be stopped, and so may who waits.
  stop(site, "waits");
  site.until("waits", "cancelled");
}

TEST(Dependencies, ArePeoplesOwn) {
  Site site(amounts(2));
  Site other(amounts(2));
  other.submit("secret", amounts(1));
  const auto foreign = site.submit("a", amounts(1), after({{{"deployment", other.id("secret")}}}));
  const auto unknown = site.submit("a", amounts(1), after({{{"deployment", "secret"}}}));
  EXPECT_EQ(foreign.status, 400);
  EXPECT_EQ(foreign.text("/errors/0/code"), unknown.text("/errors/0/code"));
}

TEST(Dependencies, AreKeptOverARestart) {
  Site site(amounts(2));
  site.submit("first", amounts(2));
  site.until("first", "running");
  site.submit("second", amounts(2), {{"kind", "job"}, {"simulate", {{"duration", "50ms"}}}});
  site.submit("third", amounts(1), after({{{"deployment", "second"}}}));
  site.server.restart();
  EXPECT_EQ(explain(site, "third").text("/reason"), "WaitingForDependency");
  stop(site, "first");
  site.until("third", "running");
}

// --- where ---------------------------------------------------------------------------------------

TEST(Constraints, OnlyOnNodesThatHaveTheModelAndTheLabels) {
  Site site(amounts(1));
  const auto node = [](const char* name, const char* model, js::object labels) {
    return js::object{{"name", name},
                      {"resources", {{"cpu", 4}, {"memory", "8GiB"}, {"gpu", 1}}},
                      {"gpu_model", model},
                      {"labels", std::move(labels)}};
  };
  site.cluster =
      site.server.cluster_of_nodes(site.organization, "mixed", site.owner,
                                   {node("old", "Tesla V100-SXM2-16GB", {{"zone", "a"}}),
                                    node("new", "NVIDIA A100-SXM4-80GB", {{"zone", "b"}})});
  const js::object gpu{{"cpu", 1}, {"memory", 0}, {"gpu", 1}};
  ASSERT_EQ(site.submit("first", gpu, {{"gpu_model", "A100"}}).text("/gpu_model"), "A100");
  site.until("first", "running");
  EXPECT_EQ(site.show("first").text("/place/node"), "new");
  site.submit("second", gpu, {{"gpu_model", "a100|h100"}});
  site.submit("third", gpu, {{"node_labels", {{"zone", "a"}}}});
  site.until("third", "running");
  EXPECT_EQ(site.show("third").text("/place/node"), "old");
  EXPECT_EQ(site.queue(), "second");
  EXPECT_EQ(explain(site, "second").text("/nearest_node"), "new");
  const auto refused = site.submit("fourth", gpu, {{"gpu_model", "A1000"}});
  EXPECT_EQ(refused.status, 400) << refused;
  EXPECT_EQ(refused.fields(), "/gpu_model");
  const auto nowhere =
      site.submit("fifth", gpu, {{"gpu_model", "V100"}, {"node_labels", {{"zone", "b"}}}});
  EXPECT_EQ(nowhere.status, 400) << nowhere;
  site.server.restart();
  site.server.until(path_of(site) + "/status", site.owner.token,
                    [](const Answer& a) { return a.status == 200; });
  EXPECT_EQ(site.queue(), "second");
  stop(site, "first");
  site.until("second", "running");
  EXPECT_EQ(site.show("second").text("/place/node"), "new");
}

// --- foreseeing ---------------------------------------------------------------------------------

TEST(Foreseeing, APlanIsWhatThenHappens) {
  Site site(amounts(4));
  use(site, {{"policy", "preempt"}});
  site.submit("a", amounts(2));
  site.submit("b", amounts(2));
  site.until("a", "running");
  site.until("b", "running");
  const auto plan = site.server.post(
      path_of(site) + "/plan",
      {{"commands", js::array{js::object{
                        {"kind", "submit"}, {"priority", "high"}, {"resources", amounts(2)}}}}},
      site.owner.token);
  ASSERT_EQ(plan.status, 200) << plan;
  EXPECT_EQ(plan.text("/steps/0/evictions/0/name"), "b");
  EXPECT_EQ(plan.text("/steps/0/starts/0/deployment_id"), plan.text("/steps/0/deployment_id"));
  EXPECT_EQ(site.state("b"), "running");
  site.submit("high", amounts(2), {{"priority", "high"}});
  site.until("high", "running");
  site.until("b", "queued");
  EXPECT_EQ(site.state("a"), "running");
}

TEST(Foreseeing, ASimulationTellsWhoseStartMoves) {
  Site site(amounts(4));
  site.submit("runs", amounts(4), {{"max_run_time", "1h"}, {"stop_grace", 0}});
  site.until("runs", "running");
  site.submit("next", amounts(4), {{"max_run_time", "10m"}, {"stop_grace", 0}});
  const auto simulate = [&](js::array commands, js::value horizon) {
    return site.server.post(path_of(site) + "/simulate",
                            {{"commands", std::move(commands)}, {"horizon", std::move(horizon)}},
                            site.owner.token);
  };
  const auto anyway = simulate({}, "2h");
  ASSERT_EQ(anyway.status, 200) << anyway;
  EXPECT_EQ(anyway.at("/happened").as_array().size(), 3U) << anyway;
  EXPECT_EQ(anyway.text("/happened/0/what"), "ends");
  EXPECT_EQ(anyway.text("/happened/0/name"), "runs");
  EXPECT_EQ(anyway.text("/happened/1/what"), "starts");
  EXPECT_EQ(anyway.text("/happened/1/name"), "next");
  EXPECT_TRUE(anyway.at("/shifts").as_array().empty());
  EXPECT_TRUE(simulate({}, "10m").at("/happened").as_array().empty());

  const auto moved = simulate({js::object{{"kind", "submit"},
                                          {"priority", "high"},
                                          {"resources", amounts(4)},
                                          {"max_run_time", "30m"},
                                          {"after", "5m"}}},
                              "3h");
  ASSERT_EQ(moved.status, 200) << moved;
  EXPECT_EQ(moved.text("/shifts/0/deployment_id"), moved.text("/steps/0/deployment_id"));
  EXPECT_FALSE(moved.has("/shifts/0/before"));
  EXPECT_EQ(moved.text("/shifts/1/name"), "next");
  EXPECT_LT(moved.text("/shifts/1/before"), moved.text("/shifts/1/after"));
  EXPECT_EQ(site.state("next"), "queued");

  const auto unordered =
      simulate({js::object{{"kind", "lose_node"}, {"node", "n"}, {"after", "5m"}},
                js::object{{"kind", "lose_node"}, {"node", "n"}, {"after", "1m"}}},
               "1h");
  EXPECT_EQ(unordered.status, 400);
  EXPECT_EQ(unordered.fields(), "/commands/1/after");
}

}  // namespace
}  // namespace berth::test
