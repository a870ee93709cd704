// The event stream: in order, without gap or duplicate, and nobody else's.
#include <fmt/format.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "harness.h"

namespace berth::test {
namespace {

struct Seen {
  std::int64_t id = 0;
  std::string event;
  js::value data;
};

// Reads a stream until `enough` of the events so far.
std::vector<Seen> watch(TestServer& s, const std::string& query, const std::string& token,
                        const std::string& last_id,
                        const std::function<bool(const std::vector<Seen>&)>& enough) {
  std::vector<Seen> out;
  std::string rest;
  net::ClientRequest ask;
  ask.url = s.url("/api/v1/events" + query);
  ask.headers = {{"Authorization", "Bearer " + token}};
  if (!last_id.empty()) ask.headers.push_back({"Last-Event-ID", last_id});
  ask.timeout = std::chrono::seconds(20);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  ask.on_body = [&](std::string_view bytes) {
    rest += bytes;
    for (auto end = rest.find("\n\n"); end != std::string::npos; end = rest.find("\n\n")) {
      Seen one;
      std::istringstream lines(rest.substr(0, end));
      rest.erase(0, end + 2);
      for (std::string line; std::getline(lines, line);) {
        if (line.starts_with("id: ")) one.id = std::stoll(line.substr(4));
        if (line.starts_with("event: ")) one.event = line.substr(7);
        if (line.starts_with("data: ")) one.data = js::parse(line.substr(6));
      }
      if (!one.event.empty()) out.push_back(std::move(one));
    }
    return !enough(out) && std::chrono::steady_clock::now() < deadline;
  };
  const auto got = net::fetch(ask);
  EXPECT_TRUE(got) << got.error().message;
  if (got) {
    EXPECT_EQ(got->status, 200);
    EXPECT_EQ(net::find_header(got->headers, "Content-Type"), "text/event-stream");
    EXPECT_EQ(net::find_header(got->headers, "Cache-Control"), "no-store");
  }
  EXPECT_TRUE(enough(out)) << "the stream ended or 20 s passed";
  return out;
}

std::string kinds(const std::vector<Seen>& seen) {
  std::string out;
  for (const auto& e : seen) {
    if (e.event != "bookmark") out += (out.empty() ? "" : " ") + e.event;
  }
  return out;
}
auto bookmarks(std::size_t n) {
  return [n](const std::vector<Seen>& seen) {
    return static_cast<std::size_t>(std::count_if(
               seen.begin(), seen.end(), [](const Seen& e) { return e.event == "bookmark"; })) >= n;
  };
}

TEST(Watch, HistoryFirstThenBookmarks) {
  Site site;
  site.submit("d", {{"cpu", 1}});
  site.until("d", "running");
  const auto seen = watch(site.server, "?after=0&organization_id=" + site.organization,
                          site.owner.token, "", bookmarks(2));
  EXPECT_EQ(kinds(seen),
            "organization.created cluster.created deployment.queued deployment.starting "
            "deployment.running");
  for (const auto& e : seen) {
    if (e.event == "bookmark") continue;
    EXPECT_EQ(e.data.at("seq").as_int64(), e.id);
    EXPECT_EQ(e.data.at("organization_id").as_string(), site.organization);
  }
  for (std::size_t i = 1; i < seen.size(); ++i) EXPECT_LE(seen[i - 1].id, seen[i].id);
}

TEST(Watch, FiltersByClusterAndDeployment) {
  Site site;
  const auto other = site.server.cluster(site.organization, "other", site.owner, {{"cpu", 4}});
  site.submit("a", {{"cpu", 1}});
  site.server.submit(other, "b", site.owner, {{"cpu", 1}});
  site.until("a", "running");
  EXPECT_EQ(kinds(watch(site.server, "?after=0&cluster_id=" + site.cluster, site.owner.token, "",
                        bookmarks(1))),
            "cluster.created deployment.queued deployment.starting deployment.running");
  EXPECT_EQ(kinds(watch(site.server, "?after=0&deployment_id=" + site.id("a"), site.owner.token, "",
                        bookmarks(1))),
            "deployment.queued deployment.starting deployment.running");
}

TEST(Watch, ReconnectingSeesEveryEventOnce) {
  Site site;
  constexpr int kDeployments = 60;
  const auto begin = watch(site.server, "?after=0&organization_id=" + site.organization,
                           site.owner.token, "", bookmarks(1))
                         .back()
                         .id;
  std::jthread writer([&] {
    for (int i = 0; i < kDeployments; ++i) {
      net::ClientRequest ask;
      ask.method = "POST";
      ask.url = site.server.url("/api/v1/deployments");
      ask.headers = {{"Authorization", "Bearer " + site.owner.token},
                     {"Content-Type", "application/json"}};
      ask.body = js::serialize(js::object{{"cluster_id", site.cluster},
                                          {"name", fmt::format("w-{}", i)},
                                          {"resources", {{"cpu", "1m"}}}});
      const auto got = net::fetch(ask);
      EXPECT_TRUE(got && got->status == 201);
    }
  });
  std::vector<std::int64_t> ids;
  std::string last = std::to_string(begin);
  std::size_t running = 0;
  for (std::size_t round = 1; running < kDeployments && round < 200; ++round) {
    // Cut after a few events, wherever that is.
    const auto part =
        watch(site.server, "?organization_id=" + site.organization, site.owner.token, last,
              [&](const std::vector<Seen>& seen) { return seen.size() >= 1 + round % 7; });
    for (const auto& e : part) {
      last = std::to_string(e.id);
      if (e.event == "bookmark") continue;
      ids.push_back(e.id);
      if (e.event == "deployment.running") ++running;
    }
  }
  EXPECT_EQ(running, static_cast<std::size_t>(kDeployments));
  EXPECT_TRUE(std::is_sorted(ids.begin(), ids.end()));
  EXPECT_EQ(std::adjacent_find(ids.begin(), ids.end()), ids.end());
  EXPECT_EQ(ids.size(), 3U * kDeployments);  // queued, starting, running of each
}

TEST(Watch, ShowsNobodyElsesEvents) {
  Site mine, theirs;
  theirs.submit("secret", {{"cpu", 1}});
  theirs.until("secret", "running");
  mine.submit("open", {{"cpu", 1}});
  mine.until("open", "running");
  const auto seen = watch(mine.server, "?after=0", mine.owner.token, "", bookmarks(1));
  EXPECT_EQ(kinds(seen),
            "organization.created cluster.created deployment.queued deployment.starting "
            "deployment.running");
}

TEST(Watch, ViewersDoNotSeeWhatOnlyAdministratorsMayList) {
  Site site;
  const auto viewer = site.server.person(fresh("viewer"));
  site.server.join(site.organization, site.owner, viewer, "viewer");
  site.submit("d", {{"cpu", 1}});
  site.until("d", "running");
  EXPECT_EQ(kinds(watch(site.server, "?after=0&organization_id=" + site.organization, viewer.token,
                        "", bookmarks(1))),
            "cluster.created deployment.queued deployment.starting deployment.running");
}

TEST(Watch, EndsWithTheMembershipOrTheCredential) {
  Site site;
  auto& s = site.server;
  const auto leaver = s.person(fresh("leaver")), outsider = s.person(fresh("out"));
  s.join(site.organization, site.owner, leaver, "viewer");
  s.join(site.organization, site.owner, outsider, "viewer");
  for (const bool by_membership : {true, false}) {
    const Person& who = by_membership ? leaver : outsider;
    std::atomic<bool> open = false;
    std::atomic<int> late = 0;
    std::atomic<bool> cut = false;
    std::jthread reader([&] {
      net::ClientRequest ask;
      ask.url = s.url("/api/v1/events?organization_id=" + site.organization);
      ask.headers = {{"Authorization", "Bearer " + who.token}};
      ask.timeout = std::chrono::seconds(20);
      ask.on_body = [&](std::string_view bytes) {
        open = true;
        if (bytes.find("deployment.") != std::string_view::npos) ++late;
        return true;
      };
      (void)net::fetch(ask);  // returns when the server ends the stream
      cut = true;
    });
    const auto wait_for = [](const std::atomic<bool>& flag) {
      const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
      while (!flag && std::chrono::steady_clock::now() < deadline)
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
      return flag.load();
    };
    ASSERT_TRUE(wait_for(open));
    if (by_membership) {
      EXPECT_EQ(s.remove("/api/v1/organizations/" + site.organization + "/members/" + who.id,
                         site.owner.token)
                    .status,
                204);
    } else {
      EXPECT_EQ(s.post("/api/v1/auth/logout", who.token).status, 204);
    }
    const auto name = fresh("late");
    site.submit(name, {{"cpu", "1m"}});
    site.until(name, "running");
    EXPECT_TRUE(wait_for(cut)) << (by_membership ? "removed" : "logged out");
    EXPECT_EQ(late, 0) << (by_membership ? "removed" : "logged out");
  }
}

TEST(Watch, LostHistoryIs410) {
  TestServer s;
  Site site({{"cpu", 4}}, s);
  for (int i = 0; i < 5; ++i) site.submit(fresh("d"), {{"cpu", "1m"}});
  s.restart([](app::ServeConfig& c) { c.keep_events = std::chrono::days(0); });
  // Housekeeping runs soon after the start; the audit list shows when it has.
  s.until("/api/v1/organizations/" + site.organization + "/audit", site.owner.token,
          [](const Answer& a) {
            return a.items("kind").find("organization.created") == std::string::npos;
          });
  const auto gone =
      s.get("/api/v1/events?after=1&organization_id=" + site.organization, site.owner.token);
  EXPECT_EQ(gone.status, 410);
  EXPECT_EQ(gone.code(), "history_gone");
  EXPECT_EQ(s.get("/api/v1/events", site.owner.token, {{"Last-Event-ID", "1"}}).status, 410);
}

TEST(Watch, OddPlacesAreRefused) {
  Site site;
  auto& s = site.server;
  EXPECT_EQ(s.get("/api/v1/events?after=-1", site.owner.token).fields(), "after");
  EXPECT_EQ(s.get("/api/v1/events?after=soon", site.owner.token).fields(), "after");
  EXPECT_EQ(s.get("/api/v1/events", site.owner.token, {{"Last-Event-ID", "abc"}}).fields(),
            "Last-Event-ID");
  EXPECT_EQ(s.get("/api/v1/events?organization_id=x", site.owner.token).fields(),
            "organization_id");
}

}  // namespace
}  // namespace berth::test
