// Health, metrics, pages and the description.
#include <fmt/format.h>

#include <regex>
#include <set>
#include <thread>

#include "harness.h"

namespace berth::test {
namespace {

TEST(Operate, HealthNeedsNobody) {
  auto& s = shared_server();
  for (const char* path : {"/healthz", "/livez", "/readyz"})
    EXPECT_EQ(s.get(path).text("/status"), "ok") << path;
  EXPECT_EQ(s.get("/readyz").items("x"), "");
  EXPECT_EQ(s.get("/api/v1/version").text("/api"), "v1");
}

// The text format of Prometheus, line by line; the sample lines.
std::vector<std::string> samples(const std::string& text) {
  static const std::regex comment(
      "^# (HELP [a-z_]+ .+|TYPE [a-z_]+ (counter|gauge|histogram|summary))$");
  static const std::regex sample(R"(^[a-z_]+(\{([a-z_]+="[^"\\]*",?)*\})? [-+0-9.eE]+(Inf|NaN)?$)");
  std::vector<std::string> out;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.empty()) continue;
    if (line.front() == '#') {
      EXPECT_TRUE(std::regex_match(line, comment)) << line;
    } else {
      EXPECT_TRUE(std::regex_match(line, sample)) << line;
      out.push_back(line);
    }
  }
  return out;
}

TEST(Operate, MetricsParseAndNameNobody) {
  Site site;
  site.submit("d", {{"cpu", 1}});
  site.until("d", "running");
  site.server.get("/api/v1/auth/me", "wrong");
  const auto answer = site.server.metrics();
  EXPECT_EQ(answer.status, 200);
  EXPECT_TRUE(answer.header("Content-Type").starts_with("text/plain; version=0.0.4"));
  std::set<std::string> names;
  for (const auto& line : samples(answer.body)) {
    const auto name = line.substr(0, line.find_first_of("{ "));
    names.insert(name);
    EXPECT_TRUE(name.starts_with("berth_")) << line;
  }
  for (const char* name :
       {"berth_build_info", "berth_http_requests_total",
        "berth_http_request_duration_seconds_bucket", "berth_queue_waiting", "berth_capacity",
        "berth_reserved", "berth_accounting_drift", "berth_auth_failures_total",
        "berth_rate_limited_total", "berth_reconcile_repairs_total", "berth_commits_total"}) {
    EXPECT_TRUE(names.contains(name)) << name;
  }
  EXPECT_NE(answer.body.find("berth_accounting_drift 0\n"), std::string::npos);
  // No ids, and for strangers no names either.
  static const std::regex id("(usr|org|clu|dep|key|inv|ses|req)_[0-9a-z]{16,26}");
  EXPECT_FALSE(std::regex_search(answer.body, id));
  EXPECT_EQ(answer.body.find("cluster="), std::string::npos);
  EXPECT_EQ(site.server.metrics(site.owner.token).body.find("cluster="), std::string::npos);
}

TEST(Operate, CountersOnlyGrowAndCountsAreRight) {
  TestServer s;
  const auto value = [&](const std::string& line) {
    for (const auto& sample : samples(s.metrics().body)) {
      if (sample.starts_with(line + " ")) return std::stod(sample.substr(line.size() + 1));
    }
    return -1.0;
  };
  const std::string line = R"(berth_http_requests_total{route="getMe",status="4xx"})";
  EXPECT_EQ(value(line), 0);
  for (int i = 0; i < 3; ++i) s.get("/api/v1/auth/me");
  EXPECT_EQ(value(line), 3);
  EXPECT_EQ(value(R"(berth_auth_failures_total{kind="missing_token"})"), 3);
  Site site({{"cpu", 2}, {"memory", "1GiB"}, {"gpu", 1}}, s);
  site.submit("runs", {{"cpu", 2}, {"gpu", 0.5}});
  site.until("runs", "running");
  site.submit("waits", {{"cpu", 1}}, {{"priority", "high"}});
  // Who decides may be another process, and hear of it in a moment.
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (value(R"(berth_queue_waiting{queue="high"})") != 1 &&
         std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_EQ(value(R"(berth_capacity{resource="cpu_cores"})"), 2);
  EXPECT_EQ(value(R"(berth_capacity{resource="memory_bytes"})"), 1073741824);
  EXPECT_EQ(value(R"(berth_reserved{resource="gpu_devices"})"), 0.5);
  EXPECT_EQ(value(R"(berth_queue_waiting{queue="high"})"), 1);
  EXPECT_EQ(value("berth_deployments_active"), 1);
}

TEST(Operate, AdministratorsSeeClustersByName) {
  TestServer s;
  const auto done = s.post("/api/v1/setup", {{"token", s.setup_token()},
                                             {"username", "boss"},
                                             {"email", "boss@example.org"},
                                             {"password", kPassword},
                                             {"organization", "first"}});
  const Person admin{done.text("/user/id"), "boss", done.text("/access_token"), ""};
  Site site({{"cpu", 2}}, s);
  site.submit("d", {{"cpu", 1}});
  site.until("d", "running");  // whoever decides about the cluster has looked at it
  const auto text = s.metrics(admin.token).body;
  const auto name = s.get("/api/v1/organizations", site.owner.token).items("name") + "/lab";
  EXPECT_NE(
      text.find("berth_cluster_capacity{cluster=\"" + name + "\",resource=\"cpu_cores\"} 2\n"),
      std::string::npos)
      << text;
  EXPECT_NE(text.find("berth_cluster_queue_waiting{cluster=\"" + name + "\",queue=\"low\"} 0\n"),
            std::string::npos);
}

TEST(Operate, EveryRouteIsDescribedAndEveryDescriptionIsARoute) {
  auto& s = shared_server();
  std::set<std::string> routes, described;
  for (const auto& route : s.server().routes()) {
    if (!route.id.empty())
      routes.insert(std::string(route.method) + " " + std::string(route.pattern));
  }
  std::set<std::string> ids;
  for (const auto& [path, item] : s.description().document().at("paths").as_object()) {
    for (const auto& [method, operation] : item.as_object()) {
      std::string upper(method);
      for (auto& c : upper) c = static_cast<char>(std::toupper(c));
      described.insert(upper + " " + std::string(path));
      EXPECT_TRUE(ids.insert(std::string(operation.at("operationId").as_string())).second) << path;
    }
  }
  EXPECT_EQ(routes, described);
}

TEST(Operate, PagesAreServedWithTheirTypes) {
  auto& s = shared_server();
  for (const auto& [path, type] : std::initializer_list<std::pair<const char*, const char*>>{
           {"/", "text/html; charset=utf-8"},
           {"/setup", "text/html; charset=utf-8"},
           {"/problems", "text/html; charset=utf-8"},
           {"/swagger/", "text/html; charset=utf-8"},
           {"/swagger/swagger-ui.css", "text/css"},
           {"/swagger/swagger-ui-bundle.js", "text/javascript"}}) {
    const auto page = s.get(path);
    EXPECT_EQ(page.status, 200) << path;
    EXPECT_EQ(page.header("Content-Type"), type) << path;
    EXPECT_FALSE(page.body.empty());
    EXPECT_EQ(page.header("Content-Security-Policy").find("script-src 'self' 'unsafe"),
              std::string::npos);
  }
}

}  // namespace
}  // namespace berth::test
