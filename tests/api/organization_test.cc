// Organizations, members, invites and the audit list.
#include <fmt/format.h>

#include <atomic>
#include <thread>

#include "harness.h"

namespace berth::test {
namespace {

struct Team {
  TestServer& s = shared_server();
  Person owner = s.person(fresh("boss"));
  std::string org = s.organization(fresh("team"), owner);
  std::string path = "/api/v1/organizations/" + org;

  Person member(const std::string& role) {
    auto who = s.person(fresh(role));
    s.join(org, owner, who, role);
    return who;
  }
  Answer invite(const js::value& body, const Person& who) {
    return s.post(path + "/invites", body, who.token);
  }
  Answer redeem(const std::string& code, const Person& who) {
    return s.post("/api/v1/invites/redeem", {{"code", code}}, who.token);
  }
};

TEST(Organizations, AreMadeRenamedAndListed) {
  Team t;
  const auto name = fresh("renamed");
  const auto shown = t.s.get(t.path, t.owner.token);
  EXPECT_EQ(shown.text("/role"), "owner");
  EXPECT_EQ(shown.header("ETag"), "\"1\"");
  const auto renamed = t.s.patch(t.path, {{"name", name}}, t.owner.token, {{"If-Match", "\"1\""}});
  EXPECT_EQ(renamed.status, 200);
  EXPECT_EQ(renamed.text("/name"), name);
  EXPECT_EQ(renamed.header("ETag"), "\"2\"");
  EXPECT_EQ(t.s.patch(t.path, {{"name", "late"}}, t.owner.token, {{"If-Match", "\"1\""}}).status,
            412);
  EXPECT_EQ(t.s.get("/api/v1/organizations", t.owner.token).items("name"), name);
}

TEST(Organizations, NamesAreUniqueInAnyCase) {
  Team t;
  const auto name = fresh("unique");
  ASSERT_EQ(t.s.post("/api/v1/organizations", {{"name", name}}, t.owner.token).status, 201);
  const auto again =
      t.s.post("/api/v1/organizations", {{"name", "UNIQUE" + name.substr(6)}}, t.owner.token);
  EXPECT_EQ(again.status, 409);
  EXPECT_EQ(again.code(), "name_taken");
  EXPECT_EQ(again.fields(), "/name");
  const auto renamed = t.s.patch(t.path, {{"name", name}}, t.owner.token);
  EXPECT_EQ(renamed.status, 409);
  EXPECT_EQ(renamed.fields(), "/name");
}

TEST(Members, AreListedWithTheirRoles) {
  Team t;
  const auto dev = t.member("developer");
  const auto list = t.s.get(t.path + "/members", dev.token);
  EXPECT_EQ(list.items("username"), t.owner.name + " " + dev.name);
  EXPECT_EQ(list.items("role"), "owner developer");
}

TEST(Members, RolesTakeEffectAtOnce) {
  Team t;
  const auto dev = t.member("viewer");
  EXPECT_EQ(t.s.get(t.path + "/audit", dev.token).status, 403);
  const auto changed =
      t.s.patch(t.path + "/members", {{"user_id", dev.id}, {"role", "admin"}}, t.owner.token);
  EXPECT_EQ(changed.status, 200);
  EXPECT_EQ(changed.text("/role"), "admin");
  EXPECT_EQ(t.s.get(t.path + "/audit", dev.token).status, 200);
  t.s.patch(t.path + "/members", {{"user_id", dev.id}, {"role", "viewer"}}, t.owner.token);
  EXPECT_EQ(t.s.get(t.path + "/audit", dev.token).status, 403);
  EXPECT_EQ(t.s.remove(t.path + "/members/" + dev.id, t.owner.token).status, 204);
  EXPECT_EQ(t.s.get(t.path, dev.token).status, 404);
}

TEST(Members, OnlyOwnersTouchOwners) {
  Team t;
  const auto admin = t.member("admin");
  const auto dev = t.member("developer");
  for (const auto& body : {js::object{{"user_id", t.owner.id}, {"role", "viewer"}},
                           js::object{{"user_id", admin.id}, {"role", "owner"}},
                           js::object{{"user_id", dev.id}, {"role", "owner"}}}) {
    const auto refused = t.s.patch(t.path + "/members", body, admin.token);
    EXPECT_EQ(refused.status, 403) << js::serialize(body);
    EXPECT_EQ(refused.code(), "role_too_small");
  }
  EXPECT_EQ(t.s.remove(t.path + "/members/" + t.owner.id, admin.token).status, 403);
  EXPECT_EQ(
      t.s.patch(t.path + "/members", {{"user_id", dev.id}, {"role", "admin"}}, admin.token).status,
      200);
}

TEST(Members, TheLastOwnerStays) {
  Team t;
  const auto leave = t.s.remove(t.path + "/members/" + t.owner.id, t.owner.token);
  EXPECT_EQ(leave.status, 409);
  EXPECT_EQ(leave.code(), "last_owner");
  EXPECT_EQ(
      t.s.patch(t.path + "/members", {{"user_id", t.owner.id}, {"role", "admin"}}, t.owner.token)
          .code(),
      "last_owner");
  const auto second = t.member("developer");
  EXPECT_EQ(
      t.s.patch(t.path + "/members", {{"user_id", second.id}, {"role", "owner"}}, t.owner.token)
          .status,
      200);
  EXPECT_EQ(t.s.remove(t.path + "/members/" + t.owner.id, t.owner.token).status, 204);
  EXPECT_EQ(t.s.get(t.path, t.owner.token).status, 404);
  EXPECT_EQ(t.s.remove(t.path + "/members/" + second.id, second.token).code(), "last_owner");
}

TEST(Members, AnybodyMayLeave) {
  Team t;
  const auto viewer = t.member("viewer");
  const auto other = t.member("viewer");
  EXPECT_EQ(t.s.remove(t.path + "/members/" + other.id, viewer.token).status, 403);
  EXPECT_EQ(t.s.remove(t.path + "/members/" + viewer.id, viewer.token).status, 204);
  EXPECT_EQ(t.s.remove(t.path + "/members/" + viewer.id, t.owner.token).status, 404);
}

TEST(Invites, GiveAtMostTheRoleOfTheirMaker) {
  Team t;
  const auto admin = t.member("admin");
  const auto refused = t.invite({{"role", "owner"}}, admin);
  EXPECT_EQ(refused.status, 403);
  EXPECT_EQ(refused.code(), "role_too_small");
  EXPECT_EQ(t.invite({{"role", "admin"}}, admin).status, 201);
  EXPECT_EQ(t.invite({{"role", "owner"}}, t.owner).status, 201);
  EXPECT_EQ(t.invite({{"role", "viewer"}}, t.member("developer")).status, 403);
}

TEST(Invites, TheCodeIsShownOnceAndLongEnough) {
  Team t;
  const auto made = t.invite({{"role", "viewer"}}, t.owner);
  const auto code = made.text("/code");
  EXPECT_EQ(code.size(), std::string("berth_inv_").size() + 43);  // 258 bits
  EXPECT_EQ(made.number("/max_uses"), 1);
  EXPECT_EQ(t.s.get(t.path + "/invites", t.owner.token).body.find(code), std::string::npos);
}

TEST(Invites, AreUsedUp) {
  Team t;
  const auto code = t.invite({{"role", "viewer"}, {"max_uses", 2}}, t.owner).text("/code");
  const auto a = t.s.person(fresh("a")), b = t.s.person(fresh("b")), c = t.s.person(fresh("c"));
  const auto joined = t.redeem(code, a);
  EXPECT_EQ(joined.status, 200);
  EXPECT_EQ(joined.text("/id"), t.org);
  EXPECT_EQ(joined.text("/role"), "viewer");
  // Whoever is a member already does not use it up.
  const auto again = t.redeem(code, a);
  EXPECT_EQ(again.status, 409);
  EXPECT_EQ(again.code(), "already_member");
  EXPECT_EQ(t.s.post("/api/v1/organizations/join", {{"invite_code", code}}, b.token).status, 200);
  const auto late = t.redeem(code, c);
  EXPECT_EQ(late.status, 404);
  EXPECT_EQ(late.code(), "invite_not_usable");
  EXPECT_EQ(t.s.get(t.path + "/invites", t.owner.token).items("uses"), "2");
}

TEST(Invites, RevokedExpiredUsedAndUnknownLookTheSame) {
  Team t;
  const auto who = t.s.person(fresh("late"));
  const auto revoked = t.invite({{"role", "viewer"}}, t.owner);
  EXPECT_EQ(t.s.remove(t.path + "/invites/" + revoked.text("/id"), t.owner.token).status, 204);
  const auto expired = t.invite({{"role", "viewer"}, {"expires_in", 1}}, t.owner);
  const auto used = t.invite({{"role", "viewer"}}, t.owner);
  EXPECT_EQ(t.redeem(used.text("/code"), t.s.person(fresh("first"))).status, 200);
  const auto until = from_rfc3339(expired.text("/expires_at"));
  ASSERT_TRUE(until);
  while (SystemClock().now() <= *until) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  std::set<std::string> answers;
  for (const auto& code : {revoked.text("/code"), expired.text("/code"), used.text("/code"),
                           std::string("berth_inv_unknown")}) {
    auto refused = t.redeem(code, who);
    EXPECT_EQ(refused.status, 404) << code;
    refused.json.as_object().erase("request_id");
    answers.insert(js::serialize(refused.json));
  }
  EXPECT_EQ(answers.size(), 1U);
}

TEST(Invites, ASingleUseIsGivenToExactlyOneOfAHundred) {
  Team t;
  constexpr int kPeople = 100, kThreads = 10;
  // API keys of ten users would be members twice; a hundred users it must be.
  std::vector<Person> people;
  for (int i = 0; i < kPeople; ++i) people.push_back(t.s.person(fresh("rush")));
  const auto code = t.invite({{"role", "viewer"}}, t.owner).text("/code");
  std::atomic<int> joined = 0, refused = 0;
  {
    std::vector<std::jthread> threads;
    for (int n = 0; n < kThreads; ++n) {
      threads.emplace_back([&, n] {
        for (int i = n; i < kPeople; i += kThreads) {
          net::ClientRequest ask;
          ask.method = "POST";
          ask.url = t.s.url("/api/v1/invites/redeem");
          ask.headers = {{"Authorization", "Bearer " + people[static_cast<std::size_t>(i)].token},
                         {"Content-Type", "application/json"}};
          ask.body = js::serialize(js::object{{"code", code}});
          const auto got = net::fetch(ask);
          if (got && got->status == 200) ++joined;
          if (got && got->status == 404) ++refused;
        }
      });
    }
  }
  EXPECT_EQ(joined, 1);
  EXPECT_EQ(refused, kPeople - 1);
  EXPECT_EQ(t.s.get(t.path + "/members", t.owner.token).at("/items").as_array().size(), 2U);
}

TEST(Invites, GuessingIsSlowedDown) {
  auto config = TestServer::quick();
  config.free_failures = 1;
  TestServer s(config);
  const auto who = s.person("guesser");
  int refused = 0;
  Answer last;
  for (int i = 0; i < 10 && last.status != 429; ++i) {
    last = s.post("/api/v1/invites/redeem", {{"code", fmt::format("berth_inv_{}", i)}}, who.token);
    if (last.status == 404) ++refused;
  }
  EXPECT_EQ(last.status, 429);
  EXPECT_EQ(refused, 3);  // two are free, the third begins the pause
}

TEST(Audit, TellsWhoDidWhatNewestFirst) {
  Team t;
  const auto dev = t.member("developer");
  t.s.cluster(t.org, "lab", t.owner, {{"cpu", 1}, {"memory", "1GiB"}, {"gpu", 0}});
  const auto list = t.s.get(t.path + "/audit", t.owner.token);
  EXPECT_EQ(list.items("kind"),
            "cluster.created member.joined invite.created organization.created");
  EXPECT_EQ(list.items("actor_name"), fmt::format("{0} {1} {0} {0}", t.owner.name, dev.name));
  EXPECT_EQ(t.s.get(t.path + "/audit?kind=member.", t.owner.token).items("kind"), "member.joined");
  EXPECT_EQ(list.body.find("berth_"), std::string::npos);  // no secret
}

TEST(Audit, CarriesTheRequestId) {
  Team t;
  t.s.patch(t.path, {{"name", fresh("audited")}}, t.owner.token,
            {{"X-Request-Id", "req-of-the-rename"}});
  EXPECT_EQ(t.s.get(t.path + "/audit?limit=1", t.owner.token).items("request_id"),
            "req-of-the-rename");
}

}  // namespace
}  // namespace berth::test
