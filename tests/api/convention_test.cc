// What holds for every route: content types, methods, limits, tags, request ids.
#include <fmt/format.h>

#include "harness.h"

namespace berth::test {
namespace {

constexpr const char* kOrganizations = "/api/v1/organizations";

TEST(Conventions, WrongContentTypesAreRefused) {
  auto& s = shared_server();
  const auto who = s.person(fresh("type"));
  for (const char* type :
       {"text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
        "application/jsonx", "application/xml", "text/json"}) {
    const auto refused =
        s.call({"POST", kOrganizations, who.token, R"({"name":"x"})", {{"Content-Type", type}}});
    EXPECT_EQ(refused.status, 415) << type;
    EXPECT_EQ(refused.code(), "unsupported_media_type");
  }
  for (const char* type :
       {"application/json", "application/json; charset=utf-8", "Application/JSON"}) {
    const auto made = s.call({"POST",
                              kOrganizations,
                              who.token,
                              fmt::format(R"({{"name":"{}"}})", fresh("typed")),
                              {{"Content-Type", type}}});
    EXPECT_EQ(made.status, 201) << type;
  }
  EXPECT_EQ(s.call({"POST", kOrganizations, who.token, "", {}}).status, 415);  // a body is needed
}

TEST(Conventions, TooLargeBodiesAreRefused) {
  auto& s = shared_server();
  const auto who = s.person(fresh("large"));
  const std::string body = R"({"name":")" + std::string(1 << 20, 'x') + R"("})";
  net::ClientRequest ask;
  ask.method = "POST";
  ask.url = s.url(kOrganizations);
  ask.headers = {{"Authorization", "Bearer " + who.token}, {"Content-Type", "application/json"}};
  ask.body = body;
  const auto got = net::fetch(ask);
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(got->status, 413);
  const auto problem = js::parse(got->body);
  EXPECT_EQ(problem.at("code").as_string(), "content_too_large");
  EXPECT_EQ(problem.at("request_id").as_string(), net::find_header(got->headers, "X-Request-Id"));
  EXPECT_NE(problem.at("request_id").as_string(), "none");
  EXPECT_EQ(s.get("/api/v1/auth/me", who.token).status, 200);
}

TEST(Conventions, UnknownPathsAndMethods) {
  auto& s = shared_server();
  const auto who = s.person(fresh("paths"));
  for (const char* path :
       {"/api/v1/nothing", "/api/v1/", "/api/v2/organizations", "/api/v1/organizations/",
        "/api/v1//organizations", "/metrics/", "/swagger/nothing.js", "/swagger/../api/v1/auth/me",
        "/api/v1/clusters/x/y/z"}) {
    const auto missing = s.get(path, who.token);
    EXPECT_EQ(missing.status, 404) << path;
    EXPECT_EQ(missing.code(), "no_such_route") << path;
  }
  const auto refused = s.call({"PUT", kOrganizations, who.token, "{}", {}});
  EXPECT_EQ(refused.status, 405);
  EXPECT_EQ(refused.header("Allow"), "POST, GET");
  EXPECT_EQ(s.call({"DELETE", "/api/v1/auth/login", "", "", {}}).header("Allow"), "POST");
  EXPECT_EQ(s.call({"PATCH", "/healthz", "", "", {}}).header("Allow"), "GET");
}

TEST(Conventions, HeadIsGetWithoutTheBody) {
  auto& s = shared_server();
  const auto who = s.person(fresh("head"));
  const auto head = s.call({"HEAD", "/api/v1/auth/me", who.token, "", {}});
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.body, "");
  EXPECT_EQ(head.header("Content-Length"),
            std::to_string(s.get("/api/v1/auth/me", who.token).body.size()));
}

TEST(Conventions, RequestIdsAreTakenOrMade) {
  auto& s = shared_server();
  EXPECT_EQ(s.get("/healthz", "", {{"X-Request-Id", "trace-42_a.b"}}).header("X-Request-Id"),
            "trace-42_a.b");
  for (const auto& bad :
       {std::string("a b"), std::string(65, 'x'), std::string("a\"b"), std::string("<script>")}) {
    const auto answer = s.get("/healthz", "", {{"X-Request-Id", bad}});
    EXPECT_TRUE(answer.header("X-Request-Id").starts_with("req_")) << bad;
  }
  EXPECT_NE(s.get("/healthz").header("X-Request-Id"), s.get("/healthz").header("X-Request-Id"));
}

TEST(Conventions, IfMatchGuardsChanges) {
  Site site;
  auto& s = site.server;
  const auto path = "/api/v1/clusters/" + site.cluster;
  const auto rename = [&](const char* tag) {
    return s.patch(path, {{"name", fresh("n")}}, site.owner.token, {{"If-Match", tag}});
  };
  EXPECT_EQ(rename("\"1\"").status, 200);
  const auto stale = rename("\"1\"");
  EXPECT_EQ(stale.status, 412);
  EXPECT_EQ(stale.code(), "version_mismatch");
  EXPECT_EQ(rename("\"2\"").header("ETag"), "\"3\"");
  EXPECT_EQ(rename("W/\"3\"").status, 412);  // weak tags never match here
  EXPECT_EQ(rename("\"abc\"").status, 412);
  EXPECT_EQ(rename("\"\"").status, 412);
  EXPECT_EQ(rename("abc").status, 400);
  EXPECT_EQ(rename("*").status, 200);
}

TEST(Conventions, OneOfTwoWritersLoses) {
  Site site({{"cpu", 1}, {"memory", 0}, {"gpu", 0}});
  site.submit("runs", {{"cpu", 1}});
  site.submit("waits", {{"cpu", 1}});
  const auto path = "/api/v1/deployments/" + site.id("waits");
  const auto tag = site.show("waits").header("ETag");
  EXPECT_EQ(
      site.server.patch(path, {{"priority", "high"}}, site.owner.token, {{"If-Match", tag}}).status,
      200);
  EXPECT_EQ(
      site.server.patch(path, {{"priority", "low"}}, site.owner.token, {{"If-Match", tag}}).status,
      412);
  EXPECT_EQ(site.show("waits").text("/priority"), "high");
}

TEST(Conventions, IfNoneMatchSavesTheBody) {
  Site site;
  site.submit("d", {{"cpu", 1}});
  site.until("d", "running");
  for (const auto& path :
       {"/api/v1/deployments/" + site.id("d"), "/api/v1/clusters/" + site.cluster,
        "/api/v1/organizations/" + site.organization}) {
    const auto tag = site.server.get(path, site.owner.token).header("ETag");
    ASSERT_FALSE(tag.empty()) << path;
    for (const auto& known : {tag, "W/" + tag, "\"0\", " + tag, std::string("*")}) {
      const auto same = site.server.get(path, site.owner.token, {{"If-None-Match", known}});
      EXPECT_EQ(same.status, 304) << path << ' ' << known;
      EXPECT_EQ(same.header("ETag"), tag);
    }
    EXPECT_EQ(site.server.get(path, site.owner.token, {{"If-None-Match", "\"0\""}}).status, 200);
  }
}

TEST(Conventions, UnknownAndRepeatedParametersAreRefused) {
  auto& s = shared_server();
  const auto who = s.person(fresh("params"));
  EXPECT_EQ(s.get("/api/v1/auth/me?verbose=1", who.token).fields(), "verbose");
  EXPECT_EQ(s.get("/api/v1/clusters?limit=1&limit=2", who.token).fields(), "limit");
  for (const char* limit : {"0", "201", "-1", "1e2", "", "ten", "99999999999999999999"}) {
    EXPECT_EQ(s.get(std::string("/api/v1/clusters?limit=") + limit, who.token).fields(), "limit")
        << limit;
  }
  EXPECT_EQ(s.get("/api/v1/clusters?limit=%zz", who.token).status, 400);
}

TEST(Conventions, RoutesWithoutABodyRefuseOne) {
  Site site;
  const auto path = "/api/v1/clusters/" + site.cluster + "/pause";
  EXPECT_EQ(site.server.post(path, {{"until", "tomorrow"}}, site.owner.token).code(),
            "unexpected_body");
  EXPECT_EQ(site.server.post(path, js::object{}, site.owner.token).status, 200);
}

TEST(Conventions, ForeignIdsAnswerExactlyAsUnknownOnes) {
  // The matrix of authorization_test.cc asks every route; this one asks by id inside bodies and
  // filters.
  Site mine, theirs;
  const std::string unknown_cluster = "clu_01jd4qz3kfe8mv0c9x7r2t5w6y",
                    unknown_org = "org_01jd4qz3kfe8mv0c9x7r2t5w6y";
  const auto same = [](Answer a, Answer b) {
    EXPECT_EQ(a.status, 404) << a;
    a.json.as_object().erase("request_id");
    b.json.as_object().erase("request_id");
    a.json.as_object().erase("instance");
    b.json.as_object().erase("instance");
    EXPECT_EQ(a.json, b.json);
  };
  auto& s = mine.server;
  const auto submit = [&](const std::string& cluster) {
    return s.submit(cluster, "x", mine.owner, {{"cpu", 1}});
  };
  same(submit(theirs.cluster), submit(unknown_cluster));
  const auto make = [&](const std::string& org) {
    return s.post("/api/v1/clusters",
                  {{"organization_id", org},
                   {"name", "x"},
                   {"runtime", {{"kind", "simulated"}}},
                   {"resources", {{"cpu", 1}}}},
                  mine.owner.token);
  };
  same(make(theirs.organization), make(unknown_org));
  const auto list = [&](const std::string& query) {
    return s.get("/api/v1/deployments?" + query, mine.owner.token);
  };
  same(list("cluster_id=" + theirs.cluster), list("cluster_id=" + unknown_cluster));
  same(list("organization_id=" + theirs.organization), list("organization_id=" + unknown_org));
  // A foreign cluster inside one's own organization.
  same(list("organization_id=" + mine.organization + "&cluster_id=" + theirs.cluster),
       list("organization_id=" + mine.organization + "&cluster_id=" + unknown_cluster));
  const auto watch = [&](const std::string& query) {
    return s.get("/api/v1/events?after=0&" + query, mine.owner.token);
  };
  same(watch("organization_id=" + theirs.organization), watch("organization_id=" + unknown_org));
  same(watch("cluster_id=" + theirs.cluster), watch("cluster_id=" + unknown_cluster));
  same(s.patch("/api/v1/organizations/" + mine.organization + "/members",
               {{"user_id", theirs.owner.id}, {"role", "viewer"}}, mine.owner.token),
       s.patch("/api/v1/organizations/" + mine.organization + "/members",
               {{"user_id", "usr_01jd4qz3kfe8mv0c9x7r2t5w6y"}, {"role", "viewer"}},
               mine.owner.token));
}

TEST(Limits, ARateLimitSaysSoAndRecovers) {
  auto config = TestServer::quick();
  config.rate_per_second = 20;
  TestServer s(config);
  Answer last;
  int allowed = 0;
  for (int i = 0; i < 200 && last.status != 429; ++i) {
    last = s.get("/api/v1/version");
    if (last.status == 200) {
      ++allowed;
      EXPECT_EQ(last.header("RateLimit-Policy"), "\"default\";q=20;w=1");
      EXPECT_TRUE(last.header("RateLimit").starts_with("\"default\";r="))
          << last.header("RateLimit");
    }
  }
  EXPECT_EQ(last.status, 429);
  EXPECT_EQ(last.code(), "quota_exceeded");
  EXPECT_TRUE(last.header("RateLimit").starts_with("\"default\";r=0;t="))
      << last.header("RateLimit");
  EXPECT_GE(allowed, 30);  // the burst is twice the rate
  EXPECT_EQ(s.until("/api/v1/version", "", [](const Answer& a) { return a.status == 200; }).status,
            200);
}

TEST(Limits, HealthIsNotLimited) {
  auto config = TestServer::quick();
  config.rate_per_second = 1;
  TestServer s(config);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(s.get("/healthz").status, 200);
}

TEST(Limits, CallersDoNotShareABucket) {
  TestServer s;
  const auto a = s.person("first-caller"), b = s.person("second-caller");
  s.restart([](app::ServeConfig& c) { c.rate_per_second = 5; });
  Answer last;
  for (int i = 0; i < 100 && last.status != 429; ++i) last = s.get("/api/v1/auth/me", a.token);
  EXPECT_EQ(last.status, 429);
  EXPECT_EQ(s.get("/api/v1/auth/me", b.token).status, 200);
}

}  // namespace
}  // namespace berth::test
