// Pages: opaque cursors, and no entry twice or lost while things come and go.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <thread>

#include "harness.h"

namespace berth::test {
namespace {

// Every entry of a list, page by page; `between` runs after each page.
std::vector<std::string> walk(
    TestServer& s, const std::string& path, const std::string& token, std::string_view member,
    const std::function<void()>& between = [] {}) {
  std::vector<std::string> out;
  std::string cursor;
  for (int page = 0; page < 1000; ++page) {
    const auto answer = s.get(path + (cursor.empty() ? "" : "&cursor=" + cursor), token);
    EXPECT_EQ(answer.status, 200) << answer;
    if (answer.status != 200) break;
    for (const auto& item : answer.at("/items").as_array())
      out.emplace_back(item.at(member).as_string());
    cursor = answer.text("/next");
    if (cursor.empty()) return out;
    between();
  }
  ADD_FAILURE() << "the list does not end";
  return out;
}

TEST(Pages, FiveHundredDeploymentsUnderChurn) {
  Site site({{"cpu", 1}, {"memory", 0}, {"gpu", 0}});
  constexpr int kStable = 500;
  std::vector<std::string> stable;
  std::vector<std::string> passing;
  const auto submit = [&] {
    return site.server.submit(site.cluster, fresh("p"), site.owner, {{"cpu", 1}}).text("/id");
  };
  for (int i = 0; i < kStable; ++i) {
    stable.push_back(submit());
    if (i % 10 == 0) passing.push_back(submit());
  }
  const auto churn = [&] {
    for (int i = 0; i < 3; ++i) submit();
    for (int i = 0; i < 2 && !passing.empty(); ++i) {
      site.server.post("/api/v1/deployments/" + passing.back() + "/stop", site.owner.token);
      const auto gone =
          site.server.remove("/api/v1/deployments/" + passing.back(), site.owner.token);
      EXPECT_EQ(gone.status, 204) << gone;
      passing.pop_back();
    }
  };
  passing.erase(passing.begin());  // the first one got in front of the queue and may run
  auto seen = walk(site.server, "/api/v1/deployments?limit=25&organization_id=" + site.organization,
                   site.owner.token, "id", churn);
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end(), std::greater<>()));
  EXPECT_EQ(std::adjacent_find(seen.begin(), seen.end()), seen.end());
  std::sort(seen.begin(), seen.end());
  EXPECT_TRUE(std::includes(seen.begin(), seen.end(), stable.begin(), stable.end()));
}

TEST(Pages, TheQueueUnderChurn) {
  Site site({{"cpu", 1}, {"memory", 0}, {"gpu", 0}});
  site.submit("runs", {{"cpu", 1}});
  site.until("runs", "running");
  std::vector<std::string> stable;
  for (int i = 0; i < 100; ++i) {
    stable.push_back(fmt::format("s-{:03}", i));
    site.submit(stable.back(), {{"cpu", 1}}, {{"priority", i < 50 ? "high" : "low"}});
  }
  for (int i = 0; i < 20; ++i)
    site.submit(fmt::format("x-{:03}", i), {{"cpu", 1}}, {{"priority", "high"}});
  int round = 0;
  const auto churn = [&] {
    site.submit(fresh("new"), {{"cpu", 1}}, {{"priority", "high"}});
    site.submit(fresh("new"), {{"cpu", 1}});
    for (int i = 0; i < 2 && round < 20; ++i, ++round) {
      site.server.post("/api/v1/deployments/" + site.id(fmt::format("x-{:03}", round)) + "/stop",
                       site.owner.token);
    }
  };
  const auto seen = walk(site.server, "/api/v1/clusters/" + site.cluster + "/queue?limit=7",
                         site.owner.token, "name", churn);
  std::map<std::string, int> times;
  for (const auto& name : seen) ++times[name];
  for (const auto& name : stable) EXPECT_EQ(times[name], 1) << name;
  for (const auto& [name, n] : times) EXPECT_EQ(n, 1) << name;
}

TEST(Pages, EveryListHasThem) {
  Site site;
  auto& s = site.server;
  const auto org = "/api/v1/organizations/" + site.organization;
  for (int i = 0; i < 4; ++i) {
    const auto who = s.person(fresh("member"));
    s.join(site.organization, site.owner, who, "viewer");
    s.cluster(site.organization, fmt::format("c-{}", i), site.owner, {{"cpu", 1}});
  }
  EXPECT_EQ(walk(s, org + "/members?limit=2", site.owner.token, "user_id").size(), 5U);
  EXPECT_EQ(walk(s, org + "/invites?limit=3", site.owner.token, "id").size(), 4U);
  EXPECT_EQ(walk(s, "/api/v1/clusters?limit=2&organization_id=" + site.organization,
                 site.owner.token, "id")
                .size(),
            5U);
  const auto kinds = walk(s, org + "/audit?limit=1", site.owner.token, "kind");
  EXPECT_EQ(kinds.size(), 14U);
  EXPECT_EQ(kinds.back(), "organization.created");
  EXPECT_EQ(walk(s, org + "/audit?limit=1&kind=cluster.", site.owner.token, "kind").size(), 5U);
}

TEST(Pages, GarbageCursorsAreRefused) {
  Site site({{"cpu", 1}});
  for (int i = 0; i < 3; ++i) site.submit(fresh("d"), {{"cpu", 1}});
  auto& s = site.server;
  const auto org = "/api/v1/organizations/" + site.organization;
  const std::string good =
      s.get("/api/v1/deployments?limit=1&cluster_id=" + site.cluster, site.owner.token)
          .text("/next");
  ASSERT_FALSE(good.empty());
  EXPECT_EQ(good.find("dep_"), std::string::npos);  // opaque
  const std::string events = s.get(org + "/audit?limit=1", site.owner.token).text("/next");
  std::string flipped = good;
  flipped[3] = flipped[3] == 'A' ? 'B' : 'A';
  for (const auto& list :
       {std::string("/api/v1/deployments?x=1"), std::string("/api/v1/clusters?"), org + "/members?",
        org + "/invites?", org + "/audit?", "/api/v1/clusters/" + site.cluster + "/queue?"}) {
    const auto path = list.substr(0, list.find('?')) + "?cursor=";
    for (const auto& bad :
         {std::string(), std::string("x"), std::string("AAAAAAAAAAAAAAAAAAAA"), flipped, good + "A",
          good.substr(1), std::string(5000, 'A'), std::string("dep_01jd4qz3kfe8mv0c9x7r2t5w6y"),
          std::string("1"), std::string("..%2f..%2fetc")}) {
      const auto refused = s.get(path + bad, site.owner.token);
      EXPECT_EQ(refused.status, 400) << path << bad.substr(0, 60);
      EXPECT_EQ(refused.fields(), "cursor");
    }
  }
  EXPECT_EQ(s.get("/api/v1/clusters?cursor=%00", site.owner.token).status, 400);
  // A good cursor of another list.
  EXPECT_EQ(s.get("/api/v1/deployments?cursor=" + events, site.owner.token).fields(), "cursor");
  EXPECT_EQ(s.get("/api/v1/clusters/" + site.cluster + "/queue?cursor=" + good, site.owner.token)
                .fields(),
            "cursor");
}

}  // namespace
}  // namespace berth::test
