// Accounts, logins, refresh tokens, API keys and the first administrator.
#include <fmt/format.h>

#include "harness.h"

namespace berth::test {
namespace {

constexpr const char* kRegister = "/api/v1/auth/register";
constexpr const char* kLogin = "/api/v1/auth/login";
constexpr const char* kRefresh = "/api/v1/auth/refresh";
constexpr const char* kMe = "/api/v1/auth/me";

Answer enter(const std::string& who, const std::string& password = kPassword) {
  return shared_server().post(kLogin, {{"username", who}, {"password", password}});
}
js::object registration(const std::string& name, const std::string& password = kPassword) {
  return {{"username", name}, {"email", name + "@example.org"}, {"password", password}};
}

TEST(Session, TheMinimalOneWorksAsWritten) {
  auto& s = shared_server();
  EXPECT_EQ(s.post(kRegister,
                   {{"username", "ada"}, {"email", "ada@example.org"}, {"password", kPassword}})
                .status,
            201);
  const auto token =
      s.post(kLogin, {{"username", "ada"}, {"password", kPassword}}).text("/access_token");
  const auto org = s.post("/api/v1/organizations", {{"name", "vision"}}, token);
  ASSERT_EQ(org.status, 201);
  const auto invite = s.post("/api/v1/organizations/" + org.text("/id") + "/invites",
                             {{"role", "developer"}}, token);
  ASSERT_EQ(invite.status, 201);
  EXPECT_TRUE(invite.text("/code").starts_with("berth_inv_"));
  const auto cluster = s.post("/api/v1/clusters",
                              {{"organization_id", org.text("/id")},
                               {"name", "lab"},
                               {"runtime", {{"kind", "simulated"}}},
                               {"resources", {{"cpu", 8}, {"memory", "32GiB"}, {"gpu", 2}}}},
                              token);
  ASSERT_EQ(cluster.status, 201);
  const auto deployment = s.post("/api/v1/deployments",
                                 {{"cluster_id", cluster.text("/id")},
                                  {"name", "digits"},
                                  {"command", {"python3", "serve.py"}},
                                  {"port", 8080},
                                  {"resources", {{"cpu", 1}, {"memory", "512MiB"}, {"gpu", 0}}},
                                  {"priority", "high"}},
                                 token);
  ASSERT_EQ(deployment.status, 201);
  EXPECT_EQ(deployment.text("/state"), "queued");
  const auto running = s.until_state(deployment.text("/id"), token, "running");
  EXPECT_EQ(running.text("/endpoint"), "/serve/" + org.text("/id") + "/digits/");
  EXPECT_EQ(s.post("/api/v1/deployments/" + deployment.text("/id") + "/stop", token).status, 200);
  s.until_state(deployment.text("/id"), token, "stopped");
}

TEST(Registration, AnswersTheProfileWithoutSecrets) {
  const auto name = fresh("reg");
  const auto made = shared_server().post(kRegister, registration(name));
  ASSERT_EQ(made.status, 201);
  EXPECT_TRUE(made.text("/id").starts_with("usr_"));
  EXPECT_EQ(made.text("/username"), name);
  EXPECT_EQ(made.text("/email"), name + "@example.org");
  EXPECT_EQ(made.at("/is_admin"), js::value(false));
  EXPECT_EQ(made.body.find("password"), std::string::npos);
}

TEST(Registration, TakenNamesAndAddressesInAnyCaseAreNamed) {
  auto& s = shared_server();
  const auto name = fresh("taken");
  ASSERT_EQ(s.post(kRegister, registration(name)).status, 201);
  auto again = registration("TAKEN" + name.substr(5));
  again["email"] = "other@example.org";
  const auto same_name = s.post(kRegister, again);
  EXPECT_EQ(same_name.status, 409);
  EXPECT_EQ(same_name.code(), "username_taken");
  EXPECT_EQ(same_name.fields(), "/username");
  auto other = registration(fresh("taken"));
  other["email"] = name + "@EXAMPLE.org";
  const auto same_mail = s.post(kRegister, other);
  EXPECT_EQ(same_mail.status, 409);
  EXPECT_EQ(same_mail.code(), "email_taken");
  EXPECT_EQ(same_mail.fields(), "/email");
}

TEST(Registration, EveryMistakeIsNamedAtOnce) {
  const auto refused = shared_server().post(
      kRegister, {{"username", "no blanks"}, {"email", "nobody"}, {"password", "short"}});
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(refused.fields(), "/username /email");
  const auto weak = shared_server().post(kRegister, registration(fresh("weak"), "short"));
  EXPECT_EQ(weak.status, 400);
  EXPECT_EQ(weak.fields(), "/password");
  EXPECT_EQ(weak.text("/errors/0/code"), "weak_password");
}

TEST(Registration, RefusesCommonPasswords) {
  for (const auto* password :
       {"password", "P@ssw0rd2024", "12345678", "qwertyuiop", "Summer2023!", "iloveyou1",
        "letmein123", "aaaaaaaaaa", "abcabcabcabc", "1qaz2wsx", "dragon!!99", "weakling"}) {
    // The last one is the username.
    auto body = registration("weakling", password);
    const auto refused = shared_server().post(kRegister, body);
    EXPECT_EQ(refused.status, 400) << password;
    EXPECT_EQ(refused.fields(), "/password") << password;
  }
}

TEST(Registration, ByInviteJoinsAtOnce) {
  Site site;
  const auto invite = site.server.post("/api/v1/organizations/" + site.organization + "/invites",
                                       {{"role", "viewer"}}, site.owner.token);
  const auto name = fresh("invited");
  auto body = registration(name);
  body["invite_code"] = invite.text("/code");
  ASSERT_EQ(site.server.post(kRegister, body).status, 201);
  const auto token = enter(name).text("/access_token");
  const auto mine = site.server.get("/api/v1/organizations", token);
  EXPECT_EQ(mine.items("id"), site.organization);
  EXPECT_EQ(mine.items("role"), "viewer");

  // Used up: nothing is registered.
  auto late = registration(fresh("late"));
  late["invite_code"] = invite.text("/code");
  const auto refused = site.server.post(kRegister, late);
  EXPECT_EQ(refused.status, 404);
  EXPECT_EQ(refused.code(), "invite_not_usable");
  EXPECT_EQ(refused.fields(), "/invite_code");
  EXPECT_EQ(enter(std::string(late["username"].as_string())).status, 401);
}

TEST(Login, ByNameOrAddress) {
  const auto who = shared_server().person(fresh("login"));
  for (const auto& name : {who.name, who.name + "@example.org", "LOGIN" + who.name.substr(5)}) {
    const auto login = enter(name);
    ASSERT_EQ(login.status, 200) << name;
    EXPECT_EQ(login.text("/token_type"), "Bearer");
    EXPECT_EQ(login.number("/expires_in"), 3600);
    EXPECT_EQ(login.text("/user/id"), who.id);
    EXPECT_EQ(shared_server().get(kMe, login.text("/access_token")).text("/username"), who.name);
  }
}

TEST(Login, WrongPasswordsAndUnknownUsersLookTheSame) {
  const auto who = shared_server().person(fresh("login"));
  auto wrong = enter(who.name, "another harbour 43");
  auto unknown = enter("nobody-of-that-name", "another harbour 43");
  EXPECT_EQ(wrong.status, 401);
  EXPECT_EQ(wrong.code(), "wrong_credentials");
  wrong.json.as_object().erase("request_id");
  unknown.json.as_object().erase("request_id");
  EXPECT_EQ(wrong.json, unknown.json);
}

TEST(Login, GuessingIsSlowedDownAndTheRightPasswordStillWorksLater) {
  auto config = TestServer::quick();
  config.free_failures = 2;
  TestServer s(config);
  const auto who = s.person("patient");
  const js::value wrong{{"username", who.name}, {"password", "another harbour 43"}};
  EXPECT_EQ(s.post(kLogin, wrong).status, 401);
  EXPECT_EQ(s.post(kLogin, wrong).status, 401);
  EXPECT_EQ(s.post(kLogin, wrong).status, 401);
  const auto slowed = s.post(kLogin, wrong);
  EXPECT_EQ(slowed.status, 429);
  EXPECT_EQ(slowed.code(), "too_many_attempts");
  EXPECT_EQ(slowed.header("Retry-After"), "1");
  // Sessions that exist go on.
  EXPECT_EQ(s.get(kMe, who.token).status, 200);
  const js::value right{{"username", who.name}, {"password", kPassword}};
  int status = 0;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (status != 200 && std::chrono::steady_clock::now() < deadline)
    status = s.post(kLogin, right).status;
  EXPECT_EQ(status, 200);
}

TEST(Refresh, RotatesBothTokens) {
  auto& s = shared_server();
  const auto who = s.person(fresh("refresh"));
  const auto next = s.post(kRefresh, {{"refresh_token", who.refresh}});
  ASSERT_EQ(next.status, 200);
  EXPECT_NE(next.text("/access_token"), who.token);
  EXPECT_NE(next.text("/refresh_token"), who.refresh);
  EXPECT_EQ(s.get(kMe, next.text("/access_token")).status, 200);
  EXPECT_EQ(s.get(kMe, who.token).status, 401);  // the old access token ended with it
}

TEST(Refresh, AReusedTokenEndsTheSession) {
  auto& s = shared_server();
  const auto who = s.person(fresh("reuse"));
  const auto other = enter(who.name);
  const auto next = s.post(kRefresh, {{"refresh_token", who.refresh}});
  ASSERT_EQ(next.status, 200);
  const auto stolen = s.post(kRefresh, {{"refresh_token", who.refresh}});
  EXPECT_EQ(stolen.status, 401);
  EXPECT_EQ(stolen.code(), "invalid_refresh_token");
  EXPECT_EQ(s.get(kMe, next.text("/access_token")).status, 401);
  EXPECT_EQ(s.post(kRefresh, {{"refresh_token", next.text("/refresh_token")}}).status, 401);
  EXPECT_EQ(s.get(kMe, other.text("/access_token")).status, 200);  // another login is not concerned
}

TEST(Refresh, AnyOlderTokenOfTheSessionEndsItToo) {
  auto& s = shared_server();
  const auto who = s.person(fresh("reuse"));
  const auto second = s.post(kRefresh, {{"refresh_token", who.refresh}});
  const auto third = s.post(kRefresh, {{"refresh_token", second.text("/refresh_token")}});
  ASSERT_EQ(third.status, 200);
  EXPECT_EQ(s.post(kRefresh, {{"refresh_token", who.refresh}}).status, 401);
  EXPECT_EQ(s.get(kMe, third.text("/access_token")).status, 401);
}

TEST(Refresh, AnAccessTokenIsNoRefreshTokenAndTheOtherWayRound) {
  auto& s = shared_server();
  const auto who = s.person(fresh("kinds"));
  EXPECT_EQ(s.post(kRefresh, {{"refresh_token", who.token}}).status, 401);
  EXPECT_EQ(s.get(kMe, who.refresh).status, 401);
  EXPECT_EQ(s.get(kMe, who.token).status, 200);
}

TEST(Logout, EndsThisLoginOrAll) {
  auto& s = shared_server();
  const auto who = s.person(fresh("logout"));
  const auto second = enter(who.name).text("/access_token"),
             third = enter(who.name).text("/access_token");
  EXPECT_EQ(s.post("/api/v1/auth/logout", who.token).status, 204);
  EXPECT_EQ(s.get(kMe, who.token).status, 401);
  EXPECT_EQ(s.post(kRefresh, {{"refresh_token", who.refresh}}).status, 401);
  EXPECT_EQ(s.get(kMe, second).status, 200);
  EXPECT_EQ(s.post("/api/v1/auth/logout", {{"everywhere", true}}, second).status, 204);
  EXPECT_EQ(s.get(kMe, second).status, 401);
  EXPECT_EQ(s.get(kMe, third).status, 401);
}

TEST(Password, ChangeEndsTheOtherLogins) {
  auto& s = shared_server();
  const auto who = s.person(fresh("change"));
  const auto other = enter(who.name).text("/access_token");
  const std::string next = "quiet lighthouse 77";
  const auto wrong =
      s.post("/api/v1/auth/password",
             {{"current_password", "not the harbour"}, {"new_password", next}}, who.token);
  EXPECT_EQ(wrong.status, 400);
  EXPECT_EQ(wrong.fields(), "/current_password");
  const auto weak =
      s.post("/api/v1/auth/password",
             {{"current_password", kPassword}, {"new_password", "password"}}, who.token);
  EXPECT_EQ(weak.status, 400);
  EXPECT_EQ(weak.fields(), "/new_password");
  EXPECT_EQ(s.get(kMe, other).status, 200);
  EXPECT_EQ(s.post("/api/v1/auth/password",
                   {{"current_password", kPassword}, {"new_password", next}}, who.token)
                .status,
            204);
  EXPECT_EQ(s.get(kMe, who.token).status, 200);
  EXPECT_EQ(s.get(kMe, other).status, 401);
  EXPECT_EQ(enter(who.name).status, 401);
  EXPECT_EQ(enter(who.name, next).status, 200);
}

TEST(Keys, ActAsTheirMakerUntilRevoked) {
  auto& s = shared_server();
  const auto who = s.person(fresh("keys"));
  const auto made = s.post("/api/v1/auth/keys", {{"name", "ci"}}, who.token);
  ASSERT_EQ(made.status, 201);
  const auto key = made.text("/key");
  EXPECT_TRUE(key.starts_with("berth_key_"));
  EXPECT_TRUE(key.starts_with(made.text("/prefix")));
  EXPECT_EQ(s.get(kMe, key).text("/id"), who.id);
  const auto list = s.get("/api/v1/auth/keys", who.token);
  EXPECT_EQ(list.items("name"), "ci");
  EXPECT_EQ(list.body.find(key), std::string::npos);
  const auto stranger = s.person(fresh("keys"));
  EXPECT_EQ(s.get("/api/v1/auth/keys", stranger.token).items("name"), "");
  EXPECT_EQ(s.remove("/api/v1/auth/keys/" + made.text("/id"), stranger.token).status, 404);
  EXPECT_EQ(s.remove("/api/v1/auth/keys/" + made.text("/id"), who.token).status, 204);
  EXPECT_EQ(s.get(kMe, key).status, 401);
  EXPECT_EQ(s.remove("/api/v1/auth/keys/" + made.text("/id"), who.token).status, 404);
}

TEST(Keys, Expire) {
  auto& s = shared_server();
  const auto who = s.person(fresh("keys"));
  const auto soon = to_rfc3339(SystemClock().now().plus(std::chrono::milliseconds(700)));
  const auto made =
      s.post("/api/v1/auth/keys", {{"name", "short"}, {"expires_at", soon}}, who.token);
  ASSERT_EQ(made.status, 201) << made;
  EXPECT_EQ(s.get(kMe, made.text("/key")).status, 200);
  const auto ended =
      s.until(kMe, made.text("/key"), [](const Answer& a) { return a.status == 401; });
  EXPECT_EQ(ended.code(), "expired_token");
  const auto past = s.post("/api/v1/auth/keys",
                           {{"name", "past"}, {"expires_at", "2020-01-01T00:00:00Z"}}, who.token);
  EXPECT_EQ(past.status, 400);
  EXPECT_EQ(past.fields(), "/expires_at");
}

TEST(Keys, SurviveAPasswordChangeAndLogoutEverywhere) {
  // They are credentials of their own, listed and revoked one by one.
  auto& s = shared_server();
  const auto who = s.person(fresh("keys"));
  const auto key = s.post("/api/v1/auth/keys", {{"name", "ci"}}, who.token).text("/key");
  EXPECT_EQ(s.post("/api/v1/auth/logout", {{"everywhere", true}}, who.token).status, 204);
  EXPECT_EQ(s.get(kMe, key).status, 200);
}

TEST(Tokens, OnlyTheExactOneIsGood) {
  auto& s = shared_server();
  const auto who = s.person(fresh("tokens"));
  const std::string good = who.token;
  std::string flipped = good;
  flipped.back() = flipped.back() == 'A' ? 'B' : 'A';
  for (const auto& token :
       {good.substr(0, good.size() - 1), good + "A", flipped, "x" + good, std::string("berth_at_"),
        std::string(5000, 'A'), std::string("eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9."),
        std::string("null"), std::string("undefined")}) {
    const auto refused = s.get(kMe, token);
    EXPECT_EQ(refused.status, 401) << token.substr(0, 80);
    EXPECT_EQ(refused.code(), "invalid_token");
  }
  EXPECT_EQ(s.get(kMe).code(), "missing_token");
  EXPECT_EQ(s.get(std::string(kMe) + "?access_token=" + good).status, 401);
  EXPECT_EQ(s.get(kMe, "", {{"Authorization", "Basic " + good}}).status, 401);
  EXPECT_EQ(s.get(kMe, "", {{"Authorization", "bEARER " + good}}).status, 200);
  EXPECT_EQ(s.get(kMe, "", {{"Cookie", "token=" + good}}).status, 401);
}

TEST(Setup, WorksOnceWithTheTokenOfTheStart) {
  TestServer s;
  const std::string token = s.setup_token();
  ASSERT_TRUE(token.starts_with("berth_setup_"));
  js::object body{{"token", "berth_setup_wrong"},
                  {"username", "root-user"},
                  {"email", "root@example.org"},
                  {"password", kPassword},
                  {"organization", "first"}};
  EXPECT_EQ(s.post("/api/v1/setup", body).status, 404);
  body["token"] = token;
  const auto done = s.post("/api/v1/setup", body);
  ASSERT_EQ(done.status, 201) << done;
  EXPECT_EQ(done.at("/user/is_admin"), js::value(true));
  const auto mine = s.get("/api/v1/organizations", done.text("/access_token"));
  EXPECT_EQ(mine.items("name"), "first");
  EXPECT_EQ(mine.items("role"), "owner");
  body["username"] = "second";
  body["email"] = "second@example.org";
  const auto again = s.post("/api/v1/setup", body);
  EXPECT_EQ(again.status, 404);
  EXPECT_EQ(again.code(), "setup_not_possible");
  s.restart();
  EXPECT_EQ(s.setup_token(), "");
  EXPECT_EQ(s.get(kMe, done.text("/access_token")).status, 200);
}

TEST(Registration, ClosedNeedsAnInvite) {
  auto config = TestServer::quick();
  TestServer s(config);
  const auto owner = s.person("first-one");
  const auto org = s.organization("closed", owner);
  s.restart([](app::ServeConfig& c) { c.open_registration = false; });
  const auto refused = s.post(kRegister, registration("stranger"));
  EXPECT_EQ(refused.status, 403);
  EXPECT_EQ(refused.code(), "registration_closed");
  const auto code =
      s.post("/api/v1/organizations/" + org + "/invites", js::object{}, owner.token).text("/code");
  auto body = registration("friend");
  body["invite_code"] = code;
  EXPECT_EQ(s.post(kRegister, body).status, 201);
}

}  // namespace
}  // namespace berth::test
