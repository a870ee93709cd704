// Idempotency-Key: one effect, the same answer.
#include <fmt/format.h>

#include <atomic>
#include <set>
#include <thread>

#include "harness.h"

namespace berth::test {
namespace {

net::Headers key(const std::string& text) { return {{"Idempotency-Key", text}}; }

TEST(Idempotency, ARepetitionIsAnsweredByteForByte) {
  Site site;
  auto& s = site.server;
  struct Case {
    std::string path;
    js::object body;
  };
  for (const auto& c :
       {Case{"/api/v1/organizations", {{"name", fresh("once")}}},
        Case{"/api/v1/clusters",
             {{"organization_id", site.organization},
              {"name", "once"},
              {"runtime", {{"kind", "simulated"}}},
              {"resources", {{"cpu", 1}}}}},
        Case{"/api/v1/deployments",
             {{"cluster_id", site.cluster}, {"name", "once"}, {"resources", {{"cpu", 1}}}}},
        Case{"/api/v1/organizations/" + site.organization + "/invites", {{"role", "viewer"}}},
        Case{"/api/v1/auth/keys", {{"name", "once"}}}}) {
    const auto first = s.post(c.path, c.body, site.owner.token, key("k-1"));
    ASSERT_EQ(first.status, 201) << first;
    const auto second = s.post(c.path, c.body, site.owner.token, key("k-1"));
    EXPECT_EQ(second.status, 201);
    EXPECT_EQ(second.body, first.body);
    EXPECT_EQ(second.header("ETag"), first.header("ETag"));
    EXPECT_EQ(second.header("Location"), first.header("Location"));
    EXPECT_EQ(second.header("Idempotent-Replayed"), "true");
    auto other = c.body;
    if (other.contains("name")) other["name"] = fresh("other");
    if (other.contains("role")) other["role"] = "developer";
    const auto refused = s.post(c.path, other, site.owner.token, key("k-1"));
    EXPECT_EQ(refused.status, 422) << c.path;
    EXPECT_EQ(refused.code(), "idempotency_key_reused");
  }
  EXPECT_EQ(s.get("/api/v1/deployments?organization_id=" + site.organization, site.owner.token)
                .items("name"),
            "once");
}

TEST(Idempotency, TheReplyIsTheOldOneThoughThingsWentOn) {
  Site site;
  const js::object body{
      {"cluster_id", site.cluster}, {"name", "moved"}, {"resources", {{"cpu", 1}}}};
  const auto first = site.server.post("/api/v1/deployments", body, site.owner.token, key("k"));
  site.server.until_state(first.text("/id"), site.owner.token, "running");
  EXPECT_EQ(
      site.server.post("/api/v1/deployments", body, site.owner.token, key("k")).text("/state"),
      "queued");
}

TEST(Idempotency, KeysBelongToTheirCallerAndPath) {
  auto& s = shared_server();
  const auto a = s.person(fresh("idem")), b = s.person(fresh("idem"));
  const auto first =
      s.post("/api/v1/organizations", {{"name", fresh("scope")}}, a.token, key("same"));
  const auto other =
      s.post("/api/v1/organizations", {{"name", fresh("scope")}}, b.token, key("same"));
  EXPECT_EQ(other.status, 201);
  EXPECT_NE(first.text("/id"), other.text("/id"));
  EXPECT_EQ(s.post("/api/v1/auth/keys", {{"name", "x"}}, a.token, key("same")).status, 201);
}

TEST(Idempotency, ARefusalIsNotKept) {
  Site site({{"cpu", 1}, {"memory", 0}, {"gpu", 0}});
  const js::object body{{"cluster_id", site.cluster}, {"name", "d"}, {"resources", {{"cpu", 2}}}};
  EXPECT_EQ(site.server.post("/api/v1/deployments", body, site.owner.token, key("grow")).status,
            400);
  site.server.patch("/api/v1/clusters/" + site.cluster, {{"resources", {{"cpu", 2}}}},
                    site.owner.token);
  EXPECT_EQ(site.server.post("/api/v1/deployments", body, site.owner.token, key("grow")).status,
            201);
}

TEST(Idempotency, OddKeysAreRefused) {
  auto& s = shared_server();
  const auto who = s.person(fresh("idem"));
  for (const auto& text :
       {std::string(), std::string(256, 'k'), std::string("a b"), std::string("\xC3\xA4")}) {
    EXPECT_EQ(
        s.post("/api/v1/organizations", {{"name", fresh("odd")}}, who.token, key(text)).fields(),
        "Idempotency-Key")
        << text;
  }
  EXPECT_EQ(s.post("/api/v1/organizations", {{"name", fresh("odd")}}, who.token,
                   key(std::string(255, 'k')))
                .status,
            201);
}

TEST(Idempotency, ConcurrentDuplicatesHaveOneEffect) {
  Site site({{"cpu", 1}, {"memory", 0}, {"gpu", 0}});
  constexpr int kRounds = 20, kThreads = 8;
  for (int round = 0; round < kRounds; ++round) {
    std::mutex mutex;
    std::set<std::string> bodies;
    std::atomic<int> good = 0;
    {
      std::vector<std::jthread> threads;
      for (int i = 0; i < kThreads; ++i) {
        threads.emplace_back([&] {
          net::ClientRequest ask;
          ask.method = "POST";
          ask.url = site.server.url("/api/v1/deployments");
          ask.headers = {{"Authorization", "Bearer " + site.owner.token},
                         {"Content-Type", "application/json"},
                         {"Idempotency-Key", fmt::format("round-{}", round)}};
          ask.body =
              js::serialize(js::object{{"cluster_id", site.cluster}, {"resources", {{"cpu", 1}}}});
          const auto got = net::fetch(ask);
          if (got && got->status == 201) ++good;
          const std::lock_guard lock(mutex);
          bodies.insert(got ? got->body : got.error().message);
        });
      }
    }
    EXPECT_EQ(good, kThreads);
    EXPECT_EQ(bodies.size(), 1U);
  }
  const auto all = site.server.get(
      "/api/v1/deployments?limit=200&organization_id=" + site.organization, site.owner.token);
  EXPECT_EQ(all.at("/items").as_array().size(), static_cast<std::size_t>(kRounds));
}

TEST(Idempotency, SurvivesARestart) {
  TestServer s;
  const auto who = s.person("restarted");
  const auto first = s.post("/api/v1/organizations", {{"name", "kept"}}, who.token, key("k"));
  ASSERT_EQ(first.status, 201);
  s.restart();
  EXPECT_EQ(s.post("/api/v1/organizations", {{"name", "kept"}}, who.token, key("k")).body,
            first.body);
}

TEST(Secrets, AreNotInTheDataDirectory) {
  TestServer s;
  const auto who = s.person("keeper");
  const auto org = s.organization("kept", who);
  const std::string name = "an-idempotency-key-of-the-test";
  const auto made = s.post("/api/v1/auth/keys", {{"name", "visible-name"}}, who.token, key(name));
  const auto invite = s.post("/api/v1/organizations/" + org + "/invites", {{"role", "viewer"}},
                             who.token, key(name));
  EXPECT_EQ(
      s.post("/api/v1/auth/keys", {{"name", "visible-name"}}, who.token, key(name)).text("/key"),
      made.text("/key"));
  for (const auto& secret :
       {kPassword, who.token, who.refresh, made.text("/key"), invite.text("/code"), name}) {
    ASSERT_GT(secret.size(), 10U);
    EXPECT_EQ(s.files_with(secret), "") << secret;
  }
  EXPECT_NE(s.files_with("visible-name"), "");  // one does see what is there
}

TEST(Idempotency, ARepetitionNeedsTheRightStill) {
  auto& s = shared_server();
  Site site;
  const auto dev = s.person(fresh("left"));
  s.join(site.organization, site.owner, dev, "developer");
  const js::object body{
      {"cluster_id", site.cluster}, {"name", "secret"}, {"resources", {{"cpu", 1}}}};
  ASSERT_EQ(s.post("/api/v1/deployments", body, dev.token, key("k")).status, 201);
  s.remove("/api/v1/organizations/" + site.organization + "/members/" + dev.id, site.owner.token);
  EXPECT_EQ(s.post("/api/v1/deployments", body, dev.token, key("k")).status, 404);
}

}  // namespace
}  // namespace berth::test
