// The authorization matrix: every route of the server x every kind of caller x own, foreign and
// unknown objects. What is expected comes from kPermissions alone, not from the code that enforces
// it.
#include <fmt/format.h>

#include <map>
#include <set>
#include <thread>

#include "core/permission.h"
#include "harness.h"

namespace berth::test {
namespace {

enum class Credential { none, invalid, valid };

struct Principal {
  std::string name;
  Credential credential = Credential::valid;
  std::string token = {};
  std::string organization = {};  // where it is a member ...
  std::optional<Role> role = {};  // ... with this role
};

struct Organization {
  std::string id;
  Person owner;
  std::string cluster;
  std::string paused;  // a cluster on which everything stays queued
  std::string deployment;
};

const std::map<std::string, std::string> kUnknown{
    {"org", "org_01jd4qz3kfe8mv0c9x7r2t5w6y"}, {"clu", "clu_01jd4qz3kfe8mv0c9x7r2t5w6y"},
    {"dep", "dep_01jd4qz3kfe8mv0c9x7r2t5w6y"}, {"usr", "usr_01jd4qz3kfe8mv0c9x7r2t5w6y"},
    {"inv", "inv_01jd4qz3kfe8mv0c9x7r2t5w6y"}, {"key", "key_01jd4qz3kfe8mv0c9x7r2t5w6y"}};

// Two organizations, and everybody.
class World {
 public:
  World() {
    const auto done = s.post("/api/v1/setup", {{"token", s.setup_token()},
                                               {"username", "installation"},
                                               {"email", "i@example.org"},
                                               {"password", kPassword},
                                               {"organization", "installation"}});
    EXPECT_EQ(done.status, 201) << done;
    const Person installation{done.text("/user/id"), "installation", done.text("/access_token"),
                              ""};
    a = organization("alpha");
    b = organization("beta");
    people.push_back({"anonymous", Credential::none});
    people.push_back(
        {"garbage", Credential::invalid, "berth_at_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"});
    people.push_back({"expired", Credential::invalid, expired(a.owner)});
    people.push_back({"revoked", Credential::invalid, revoked(a.owner)});
    for (const auto role : {Role::viewer, Role::developer, Role::admin}) {
      const auto who = s.person(fresh(std::string(to_text(role))));
      s.join(a.id, a.owner, who, std::string(to_text(role)));
      people.push_back({std::string(to_text(role)), Credential::valid, key(who), a.id, role});
    }
    people.push_back({"owner", Credential::valid, key(a.owner), a.id, Role::owner});
    people.push_back({"owner of another", Credential::valid, key(b.owner), b.id, Role::owner});
    people.push_back({"installation administrator", Credential::valid, key(installation)});
  }

  // Keys, because logging out does not end them.
  std::string key(const Person& who) {
    return s.post("/api/v1/auth/keys", {{"name", fresh("k")}}, who.token).text("/key");
  }

  TestServer s;
  Organization a, b;
  std::vector<Principal> people;

 private:
  Organization organization(const std::string& name) {
    Organization o;
    o.owner = s.person(name + "-owner");
    o.owner.token = key(o.owner);  // a change of the password ends logins, not keys
    o.id = s.organization(name, o.owner);
    o.cluster = s.cluster(o.id, "lab", o.owner, {{"cpu", 1000}});
    o.paused = s.cluster(o.id, "paused", o.owner, {{"cpu", 1000}});
    s.post("/api/v1/clusters/" + o.paused + "/pause", o.owner.token);
    o.deployment =
        s.submit(o.cluster, "model", o.owner, {{"cpu", 1}}, {{"port", 8080}}).text("/id");
    s.until_state(o.deployment, o.owner.token, "running");
    return o;
  }
  std::string expired(const Person& who) {
    const auto soon = to_rfc3339(SystemClock().now().plus(std::chrono::milliseconds(300)));
    const auto token =
        s.post("/api/v1/auth/keys", {{"name", "soon"}, {"expires_at", soon}}, who.token)
            .text("/key");
    s.until("/api/v1/auth/me", token, [](const Answer& answer) { return answer.status == 401; });
    return token;
  }
  std::string revoked(const Person& who) {
    const auto made = s.post("/api/v1/auth/keys", {{"name", "gone"}}, who.token);
    s.remove("/api/v1/auth/keys/" + made.text("/id"), who.token);
    return made.text("/key");
  }
};

// The object of a request: something of an organization, or something that does not exist.
class Target {
 public:
  Target(World& w, const Organization* o) : w_(w), o_(o) {}

  [[nodiscard]] std::string org() const { return o_ == nullptr ? kUnknown.at("org") : o_->id; }
  [[nodiscard]] std::string cluster() const {
    return o_ == nullptr ? kUnknown.at("clu") : o_->cluster;
  }
  [[nodiscard]] std::string deployment() const {
    return o_ == nullptr ? kUnknown.at("dep") : o_->deployment;
  }
  std::string new_cluster() const {
    return o_ == nullptr ? kUnknown.at("clu")
                         : w_.s.cluster(o_->id, fresh("c"), o_->owner, {{"cpu", 1}});
  }
  std::string cluster_with_quota() const {
    const auto id = new_cluster();
    if (o_ != nullptr) {
      const auto put = w_.s.call({"PUT",
                                  "/api/v1/clusters/" + id + "/quotas/" + o_->id,
                                  o_->owner.token,
                                  R"({"quota":{"cpu":1}})",
                                  {}});
      EXPECT_EQ(put.status, 200) << put;
    }
    return id;
  }
  std::string queued_deployment() const {
    return o_ == nullptr ? kUnknown.at("dep")
                         : w_.s.submit(o_->paused, fresh("q"), o_->owner, {{"cpu", 1}}).text("/id");
  }
  std::string ended_deployment() const {
    const auto id = queued_deployment();
    if (o_ != nullptr) w_.s.post("/api/v1/deployments/" + id + "/stop", o_->owner.token);
    return id;
  }
  std::string invite() const {
    if (o_ == nullptr) return kUnknown.at("inv");
    return w_.s
        .post("/api/v1/organizations/" + o_->id + "/invites", {{"role", "viewer"}}, o_->owner.token)
        .text("/id");
  }
  // One and the same viewer comes and goes.
  std::string member() const {
    if (o_ == nullptr) return kUnknown.at("usr");
    static std::map<std::string, Person> guests;
    auto& guest = guests[o_->id];
    if (guest.id.empty()) guest = w_.s.person(fresh("guest"));
    if (w_.s.get("/api/v1/organizations/" + o_->id, guest.token).status == 404)
      w_.s.join(o_->id, o_->owner, guest, "viewer");
    return guest.id;
  }

 private:
  World& w_;
  const Organization* o_;
};

struct Row {
  int success;
  std::function<std::pair<std::string, std::string>(const Target&)> make;  // path and body
};

std::string text(const js::value& v) { return js::serialize(v); }

// A request for every operation id; a route without one fails the test.
std::map<std::string, Row> rows() {
  const auto org = [](const Target& t) { return "/api/v1/organizations/" + t.org(); };
  const auto cluster = [](const Target& t) { return "/api/v1/clusters/" + t.cluster(); };
  const auto deployment = [](const Target& t) { return "/api/v1/deployments/" + t.deployment(); };
  using P = std::pair<std::string, std::string>;
  const auto plain = [](std::string path) { return [path](const Target&) { return P{path, ""}; }; };
  const auto person = [] {
    return js::object{{"username", fresh("new")},
                      {"email", fresh("new") + "@example.org"},
                      {"password", kPassword}};
  };
  return {
      {"registerUser",
       {201, [=](const Target&) { return P{"/api/v1/auth/register", text(person())}; }}},
      {"login",
       {200,
        [](const Target&) {
          return P{"/api/v1/auth/login",
                   text({{"username", "installation"}, {"password", kPassword}})};
        }}},
      {"refreshTokens",
       {401,
        [](const Target&) { return P{"/api/v1/auth/refresh", text({{"refresh_token", "x"}})}; }}},
      {"logout", {204, plain("/api/v1/auth/logout")}},
      {"getMe", {200, plain("/api/v1/auth/me")}},
      {"changePassword",
       {204,
        [](const Target&) {
          return P{"/api/v1/auth/password",
                   text({{"current_password", kPassword}, {"new_password", kPassword}})};
        }}},
      {"createApiKey",
       {201, [](const Target&) { return P{"/api/v1/auth/keys", text({{"name", fresh("k")}})}; }}},
      {"listApiKeys", {200, plain("/api/v1/auth/keys")}},
      {"revokeApiKey", {404, plain("/api/v1/auth/keys/" + kUnknown.at("key"))}},
      {"setUp",
       {404,
        [=](const Target&) {
          auto body = person();
          body["token"] = "x";
          body["organization"] = "x";
          return P{"/api/v1/setup", text(body)};
        }}},
      {"createOrganization",
       {201,
        [](const Target&) { return P{"/api/v1/organizations", text({{"name", fresh("o")}})}; }}},
      {"listOrganizations", {200, plain("/api/v1/organizations")}},
      {"joinOrganization",
       {404,
        [](const Target&) {
          return P{"/api/v1/organizations/join", text({{"invite_code", "x"}})};
        }}},
      {"redeemInvite",
       {404, [](const Target&) { return P{"/api/v1/invites/redeem", text({{"code", "x"}})}; }}},
      {"getOrganization", {200, [=](const Target& t) { return P{org(t), ""}; }}},
      {"updateOrganization",
       {200, [=](const Target& t) { return P{org(t), text({{"name", fresh("o")}})}; }}},
      {"listMembers", {200, [=](const Target& t) { return P{org(t) + "/members", ""}; }}},
      {"setMemberRole",
       {200,
        [=](const Target& t) {
          return P{org(t) + "/members", text({{"user_id", t.member()}, {"role", "viewer"}})};
        }}},
      {"removeMember",
       {204, [=](const Target& t) { return P{org(t) + "/members/" + t.member(), ""}; }}},
      {"createInvite",
       {201, [=](const Target& t) { return P{org(t) + "/invites", text({{"role", "viewer"}})}; }}},
      {"listInvites", {200, [=](const Target& t) { return P{org(t) + "/invites", ""}; }}},
      {"revokeInvite",
       {204, [=](const Target& t) { return P{org(t) + "/invites/" + t.invite(), ""}; }}},
      {"listAudit", {200, [=](const Target& t) { return P{org(t) + "/audit", ""}; }}},
      {"createCluster",
       {201,
        [](const Target& t) {
          return P{"/api/v1/clusters", text({{"organization_id", t.org()},
                                             {"name", fresh("c")},
                                             {"runtime", {{"kind", "simulated"}}},
                                             {"resources", {{"cpu", 1}}}})};
        }}},
      {"listClusters",
       {200, [](const Target& t) { return P{"/api/v1/clusters?organization_id=" + t.org(), ""}; }}},
      {"getCluster", {200, [=](const Target& t) { return P{cluster(t), ""}; }}},
      {"getClusterStatus", {200, [=](const Target& t) { return P{cluster(t) + "/status", ""}; }}},
      {"getClusterQueue", {200, [=](const Target& t) { return P{cluster(t) + "/queue", ""}; }}},
      {"getClusterRecord", {200, [=](const Target& t) { return P{cluster(t) + "/record", ""}; }}},
      {"listClusterQuotas", {200, [=](const Target& t) { return P{cluster(t) + "/quotas", ""}; }}},
      // Of the cluster's own organization: it sets a quota, and takes it away.
      {"putClusterQuota",
       {200,
        [=](const Target& t) {
          return P{cluster(t) + "/quotas/" + t.org(), R"({"quota":{"cpu":1000000}})"};
        }}},
      {"deleteClusterQuota",
       {204,
        [=](const Target& t) {
          return P{"/api/v1/clusters/" + t.cluster_with_quota() + "/quotas/" + t.org(), ""};
        }}},
      {"planCluster",
       {200,
        [=](const Target& t) {
          return P{cluster(t) + "/plan",
                   R"({"commands":[{"kind":"submit","resources":{"cpu":"1m"}}]})"};
        }}},
      {"simulateCluster",
       {200, [=](const Target& t) { return P{cluster(t) + "/simulate", R"({"commands":[]})"}; }}},
      {"updateCluster",
       {200, [=](const Target& t) { return P{cluster(t), text({{"name", fresh("c")}})}; }}},
      {"pauseCluster",
       {200,
        [](const Target& t) { return P{"/api/v1/clusters/" + t.new_cluster() + "/pause", ""}; }}},
      {"resumeCluster", {200, [=](const Target& t) { return P{cluster(t) + "/resume", ""}; }}},
      {"deleteCluster",
       {204, [](const Target& t) { return P{"/api/v1/clusters/" + t.new_cluster(), ""}; }}},
      {"createDeployment",
       {201,
        [](const Target& t) {
          return P{"/api/v1/deployments",
                   text({{"cluster_id", t.cluster()}, {"resources", {{"cpu", "1m"}}}})};
        }}},
      {"listDeployments",
       {200,
        [](const Target& t) { return P{"/api/v1/deployments?cluster_id=" + t.cluster(), ""}; }}},
      {"getDeployment", {200, [=](const Target& t) { return P{deployment(t), ""}; }}},
      {"updateDeployment",
       {200,
        [](const Target& t) {
          return P{"/api/v1/deployments/" + t.queued_deployment(), text({{"priority", "high"}})};
        }}},
      {"deleteDeployment",
       {204, [](const Target& t) { return P{"/api/v1/deployments/" + t.ended_deployment(), ""}; }}},
      {"stopDeployment",
       {200,
        [](const Target& t) {
          return P{"/api/v1/deployments/" + t.queued_deployment() + "/stop", ""};
        }}},
      {"explainDeployment",
       {200, [=](const Target& t) { return P{deployment(t) + "/explain", ""}; }}},
      {"listDeploymentEvents",
       {200, [=](const Target& t) { return P{deployment(t) + "/events", ""}; }}},
      {"getDeploymentLogs", {200, [=](const Target& t) { return P{deployment(t) + "/logs", ""}; }}},
      // Past the end: answered at once instead of streaming, after the credential was looked at.
      {"watchEvents", {400, plain("/api/v1/events?after=never")}},
      {"getHealth", {200, plain("/healthz")}},
      {"getLiveness", {200, plain("/livez")}},
      {"getReadiness", {200, plain("/readyz")}},
      {"getVersion", {200, plain("/api/v1/version")}},
      {"getMetrics", {200, plain("/metrics")}},
      {"getOpenApi", {200, plain("/openapi.json")}},
  };
}

// Independently of authorize(): the table, the credential, the role in the organization of the
// object.
int expected(Operation operation, int success, const Principal& who, const Organization* object) {
  const Permission* row = nullptr;
  for (const auto& permission : kPermissions) {
    if (permission.operation == operation) row = &permission;
  }
  EXPECT_NE(row, nullptr);
  if (row->audience == Audience::everyone) return success;
  if (who.credential != Credential::valid) return 401;
  if (row->audience == Audience::authenticated) return success;
  if (object == nullptr || object->id != who.organization || !who.role) return 404;
  return static_cast<int>(*who.role) >= static_cast<int>(row->at_least) ? success : 403;
}

js::value without_place(Answer answer) {
  if (!answer.json.is_object()) return answer.json;
  answer.json.as_object().erase("request_id");
  answer.json.as_object().erase("instance");
  return answer.json;
}

TEST(Authorization, EveryRouteForEverybody) {
  World w;
  const auto table = rows();
  std::set<Operation> covered{Operation::endpoint_use};  // below
  std::size_t cells = 0;
  for (const auto& route : w.s.server().routes()) {
    covered.insert(route.operation);
    if (route.id.empty()) {  // a page: for everybody
      EXPECT_EQ(permission_of(route.operation).audience, Audience::everyone) << route.pattern;
      EXPECT_EQ(w.s.get(std::string(route.pattern)).status, 200) << route.pattern;
      continue;
    }
    const auto row = table.find(std::string(route.id));
    if (row == table.end()) {
      ADD_FAILURE() << "the matrix has no request for " << route.id;
      continue;
    }
    const bool by_object = permission_of(route.operation).audience == Audience::members;
    for (const auto& who : w.people) {
      std::optional<js::value> foreign;
      for (const Organization* object :
           std::initializer_list<const Organization*>{&w.a, &w.b, nullptr}) {
        if (!by_object && object != &w.a) continue;
        const auto [path, body] = row->second.make(Target(w, object));
        const auto answer = w.s.call({std::string(route.method), path, who.token, body, {}});
        const int wanted = expected(route.operation, row->second.success, who, object);
        EXPECT_EQ(answer.status, wanted)
            << route.id << " as " << who.name << " on "
            << (object == nullptr ? "unknown" : object->owner.name) << '\n'
            << answer;
        ++cells;
        if (wanted == 401) {
          EXPECT_EQ(answer.code(), route.operation == Operation::refresh ? "invalid_refresh_token"
                                   : who.credential == Credential::none  ? "missing_token"
                                   : who.name == "expired"               ? "expired_token"
                                                                         : "invalid_token");
        }
        if (wanted == 403) EXPECT_EQ(answer.code(), "role_too_small");
        // Foreign and unknown: the same words.
        if (by_object && who.credential == Credential::valid && wanted == 404) {
          if (!foreign) {
            foreign = without_place(answer);
          } else {
            EXPECT_EQ(without_place(answer), *foreign) << route.id << " as " << who.name;
          }
        }
      }
    }
  }
  for (int i = 0; i < static_cast<int>(Operation::count_); ++i) {
    EXPECT_TRUE(covered.contains(static_cast<Operation>(i)))
        << "operation " << i << " has no route";
  }
  EXPECT_GT(cells, 1000U);
}

// With the cluster of another organization that is shared with one's own: what the table lets
// guests do, by their role in their own organization, and nothing else.
TEST(Authorization, GuestsOfASharedCluster) {
  World w;
  // The second organization's cluster is shared with the first, whose members are all sorts.
  const auto put = w.s.call({"PUT",
                             "/api/v1/clusters/" + w.b.cluster + "/quotas/" + w.a.id,
                             w.b.owner.token,
                             R"({"quota":{"cpu":500}})",
                             {}});
  ASSERT_EQ(put.status, 200) << put;
  const auto table = rows();
  std::size_t cells = 0;
  for (const auto& route : w.s.server().routes()) {
    const auto& permission = permission_of(route.operation);
    const auto row = table.find(std::string(route.id));
    if (row == table.end() || permission.audience != Audience::members) continue;
    const Target target(w, &w.b);
    const auto [path, body] = row->second.make(target);
    // Deployments go to the one that is shared; others made here are not.
    const bool shared = path.contains(w.b.cluster) || body.contains(w.b.cluster);
    if (!shared) continue;
    for (const auto& who : w.people) {
      if (who.credential != Credential::valid || who.organization != w.a.id) continue;
      const auto request = row->second.make(target);
      const auto answer =
          w.s.call({std::string(route.method), request.first, who.token, request.second, {}});
      const bool allowed = permission.guests && *who.role >= permission.at_least;
      EXPECT_EQ(answer.status, allowed ? row->second.success : 403)
          << route.id << " as " << who.name << "\n"
          << answer;
      if (!allowed) {
        EXPECT_EQ(answer.code(), permission.guests ? "role_too_small" : "foreign_cluster")
            << route.id << " as " << who.name;
      }
      ++cells;
    }
    for (const auto& who : w.people) {  // and still not for strangers
      if (who.credential != Credential::valid || !who.organization.empty()) continue;
      EXPECT_EQ(w.s.call({std::string(route.method), path, who.token, body, {}}).status, 404)
          << route.id;
    }
  }
  EXPECT_GT(cells, 30U);
  // What is of the other organization stays its own.
  for (const auto* rest : {"", "/explain", "/events", "/logs"}) {
    EXPECT_EQ(w.s.get("/api/v1/deployments/" + w.b.deployment + rest, w.a.owner.token).status, 404)
        << rest;
  }
  EXPECT_EQ(w.s.get("/api/v1/organizations/" + w.b.id, w.a.owner.token).status, 404);
  const auto list =
      w.s.get("/api/v1/deployments?limit=200&cluster_id=" + w.b.cluster, w.a.owner.token);
  for (const auto& item : list.at("/items").as_array())
    EXPECT_EQ(item.at("organization_id").as_string(), w.a.id);
}

TEST(Authorization, EndpointsAreForMembersUnlessPublic) {
  World w;
  const auto open = w.s.submit(w.a.cluster, "open", w.a.owner, {{"cpu", 1}},
                               {{"port", 8080}, {"access", "public"}})
                        .text("/id");
  w.s.until_state(open, w.a.owner.token, "running");
  for (const auto& who : w.people) {
    const auto member = w.s.get("/serve/" + w.a.id + "/model/x", who.token);
    const auto missing = w.s.get("/serve/" + w.a.id + "/missing/x", who.token);
    const auto nowhere = w.s.get("/serve/" + kUnknown.at("org") + "/model/x", who.token);
    const bool valid = who.credential == Credential::valid;
    // A simulated instance has no address: 503 says that the caller would have been let through.
    EXPECT_EQ(member.status, !valid ? 401 : who.organization == w.a.id ? 503 : 404) << who.name;
    EXPECT_EQ(missing.status, !valid ? 401 : 404) << who.name;
    EXPECT_EQ(nowhere.status, who.credential == Credential::invalid ? 401
                              : who.credential == Credential::none  ? 401
                                                                    : 404)
        << who.name;
    if (valid && who.organization != w.a.id)
      EXPECT_EQ(without_place(member), without_place(nowhere)) << who.name;
    EXPECT_EQ(w.s.get("/serve/" + w.a.id + "/open/x", who.token).status,
              who.credential == Credential::invalid ? 401 : 503)
        << who.name;
  }
}

TEST(Authorization, NestedIdsOfAnotherOrganizationAreNotReached) {
  // The path names one's own organization, the id inside belongs to another.
  World w;
  const auto invite = Target(w, &w.b).invite(), member = Target(w, &w.b).member();
  const auto path = "/api/v1/organizations/" + w.a.id;
  EXPECT_EQ(w.s.remove(path + "/invites/" + invite, w.a.owner.token).status, 404);
  EXPECT_EQ(w.s.remove(path + "/members/" + member, w.a.owner.token).status, 404);
  EXPECT_EQ(w.s.remove(path + "/members/" + w.b.owner.id, w.a.owner.token).status, 404);
  const auto still = w.s.get("/api/v1/organizations/" + w.b.id + "/invites", w.b.owner.token);
  EXPECT_EQ(still.text("/items/0/revoked_at"), "");
}

TEST(Authorization, ListsWithoutAFilterShowOnlyOnesOwn) {
  World w;
  for (const auto& who : w.people) {
    if (who.credential != Credential::valid) continue;
    const auto clusters = w.s.get("/api/v1/clusters?limit=200", who.token),
               deployments = w.s.get("/api/v1/deployments?limit=200", who.token);
    for (const auto* list : {&clusters, &deployments}) {
      for (const auto& item : list->at("/items").as_array())
        EXPECT_EQ(item.at("organization_id").as_string(), who.organization) << who.name;
    }
    EXPECT_EQ(clusters.at("/items").as_array().empty(), who.organization.empty());
  }
}

}  // namespace
}  // namespace berth::test
