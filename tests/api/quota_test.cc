// A cluster that several organizations share: what each may hold, whose turn it is, and what they
// see of each other.
#include <fmt/format.h>

#include "harness.h"

namespace berth::test {
namespace {

js::object cores(js::value cpu) { return {{"cpu", std::move(cpu)}, {"memory", 0}, {"gpu", 0}}; }
js::object cpu_limit(js::value cpu) { return {{"cpu", std::move(cpu)}}; }

// The site's organization owns the cluster; the guests may use it, too.
struct SharedSite : Site {
  explicit SharedSite(int cpu, TestServer& s = shared_server())
      : Site(cores(cpu), s),
        guest(s.person(fresh("guest"))),
        guest_name(fresh("guests")),
        guests(s.organization(guest_name, guest)) {}

  std::string path(const std::string& rest = "") const {
    return "/api/v1/clusters/" + cluster + rest;
  }
  Answer put_as(const Person& who, const std::string& org, const js::object& terms,
                net::Headers headers = {}) {
    return server.call({"PUT", path("/quotas/" + org), who.token, js::serialize(terms), headers});
  }
  // Shares it on these terms, or changes them.
  void give(const std::string& org, const js::object& terms) {
    const auto put = put_as(owner, org, terms);
    EXPECT_EQ(put.status, 200) << put;
  }
  Answer guest_submit(const std::string& name, const js::object& resources,
                      const js::object& extra = {}) {
    auto made = server.submit(cluster, name, guest, resources, extra);
    if (made.status == 201) ids[name] = made.text("/id");
    return made;
  }
  // Of whoever it belongs to.
  Answer show(const std::string& name) {
    const auto ours = server.get("/api/v1/deployments/" + id(name), owner.token);
    return ours.status == 200 ? ours : server.get("/api/v1/deployments/" + id(name), guest.token);
  }
  const Person& whose(const std::string& name) {
    const auto ours = server.get("/api/v1/deployments/" + id(name), owner.token);
    return ours.status == 200 ? owner : guest;
  }
  void until(const std::string& name, const std::string& state) {
    server.until_state(id(name), whose(name).token, state);
  }
  void stop(const std::string& name) {
    server.post("/api/v1/deployments/" + id(name) + "/stop", whose(name).token);
    server.until("/api/v1/deployments/" + id(name), whose(name).token, [](const Answer& d) {
      return d.text("/state") == "stopped" || d.text("/state") == "cancelled";
    });
  }
  // Once the scheduler has heard of it.
  Answer explain(const std::string& name) {
    return server.until("/api/v1/deployments/" + id(name) + "/explain", whose(name).token,
                        [](const Answer& answer) { return answer.status == 200; });
  }
  std::string reason(const std::string& name) { return explain(name).text("/reason"); }
  Answer quotas(const Person& who) { return server.get(path("/quotas"), who.token); }

  Person guest;
  std::string guest_name;
  std::string guests;
};

TEST(Quotas, WhatExceedsItWaitsWithExactAmounts) {
  SharedSite site(8);
  site.give(site.guests, {{"quota", cpu_limit(4)}, {"borrowing", cpu_limit(0)}});
  site.guest_submit("first", cores(3));
  site.until("first", "running");
  site.guest_submit("second", cores(2));
  const auto why = site.explain("second");
  EXPECT_EQ(why.text("/reason"), "ExceedsQuota") << why;
  EXPECT_EQ(why.at("/needs_action"), js::value(true));
  EXPECT_EQ(why.number("/quota/quota/cpu"), 4);
  EXPECT_FALSE(why.has("/quota/quota/memory")) << "not limited";
  EXPECT_EQ(why.number("/quota/borrowing/cpu"), 0);
  EXPECT_EQ(why.number("/quota/asked/cpu"), 2);
  EXPECT_EQ(why.number("/quota/used/cpu"), 3);
  EXPECT_EQ(why.number("/quota/available/cpu"), 1);
  EXPECT_EQ(why.number("/quota/borrowable/cpu"), 0);
  EXPECT_EQ(why.text("/message"),
            "It asks for cpu 2. Its organization uses cpu 3 of its quota of cpu 4 on cluster lab, "
            "and may borrow at most cpu 0 beyond. Now it may have cpu 1 more, of that cpu 0 "
            "borrowed. It starts when enough of what is used has ended, or the quota was raised.");
  EXPECT_EQ(site.server.get(site.path("/queue"), site.guest.token).items("reason"), "ExceedsQuota");
  site.guest_submit("third", cores(1));
  site.until("third", "running");
  EXPECT_EQ(site.show("second").text("/state"), "queued") << "what fits passes it";
  site.guest_submit("huge", cores(5));
  const auto never = site.explain("huge").text("/message");
  EXPECT_TRUE(
      never.ends_with("The quota could never hold it: ask for less, or have the quota "
                      "raised."))
      << never;
  // The others are not concerned.
  site.submit("ours", cores(4));
  site.until("ours", "running");
  EXPECT_FALSE(site.explain("ours").has("/quota"));
}

TEST(Quotas, WhatOthersLeaveIsBorrowedAndComesBackAsBorrowersEnd) {
  SharedSite site(8);
  site.give(site.organization, {{"quota", cpu_limit(4)}});
  site.give(site.guests, {{"quota", cpu_limit(4)}});
  for (const auto* name : {"a", "b", "c"}) {
    site.guest_submit(name, cores(2));
    site.until(name, "running");
  }
  const auto list = site.quotas(site.guest);
  EXPECT_EQ(list.items("organization_id"), site.organization + " " + site.guests) << list;
  EXPECT_EQ(list.text("/items/1/organization"), site.guest_name);
  EXPECT_EQ(list.number("/items/0/used/cpu"), 0);
  EXPECT_EQ(list.number("/items/1/quota/cpu"), 4);
  EXPECT_FALSE(list.has("/items/1/borrowing"));
  EXPECT_EQ(list.number("/items/1/used/cpu"), 6);
  EXPECT_EQ(list.number("/items/1/borrowed/cpu"), 2);
  const auto status = site.server.get(site.path("/status"), site.owner.token);
  EXPECT_EQ(status.number("/quotas/1/borrowed/cpu"), 2) << status;

  site.submit("ours", cores(4));
  EXPECT_EQ(site.reason("ours"), "WaitingForCapacity") << "its own is lent, not lost";
  site.guest_submit("more", cores(2), {{"priority", "high"}});
  site.until("more", "running");
  EXPECT_EQ(site.reason("ours"), "WaitingForCapacity");
  site.stop("a");
  site.stop("b");
  site.until("ours", "running");
  site.guest_submit("late", cores(1));
  const auto why = site.explain("late");
  EXPECT_EQ(why.text("/reason"), "ExceedsQuota") << "all is lent back";
  EXPECT_EQ(why.number("/quota/available/cpu"), 0);
  EXPECT_EQ(site.quotas(site.owner).number("/items/1/waiting"), 1);
  site.stop("ours");
  site.until("late", "running");
}

TEST(Quotas, BorrowingHasALimitAndAChangeCountsAtOnce) {
  SharedSite site(8);
  site.give(site.organization, {{"quota", cpu_limit(6)}});
  site.give(site.guests, {{"quota", cpu_limit(2)}, {"borrowing", cpu_limit(1)}});
  site.guest_submit("a", cores(3));
  site.until("a", "running");
  site.guest_submit("b", cores(1));
  const auto why = site.explain("b");
  EXPECT_EQ(why.text("/reason"), "ExceedsQuota") << why;
  EXPECT_EQ(why.number("/quota/borrowing/cpu"), 1);
  EXPECT_EQ(why.number("/quota/borrowable/cpu"), 0);
  site.give(site.guests, {{"quota", cpu_limit(2)}});
  site.until("b", "running");
  site.guest_submit("c", cores(5));
  EXPECT_EQ(site.reason("c"), "ExceedsQuota");
  site.give(site.guests, {{"quota", nullptr}, {"borrowing", nullptr}});
  EXPECT_EQ(site.reason("c"), "WaitingForCapacity") << "nothing limits it but the machine";
  // And the other way: what runs goes on, the next waits.
  site.give(site.guests, {{"quota", cpu_limit(0)}, {"borrowing", cpu_limit(0)}});
  EXPECT_EQ(site.show("a").text("/state"), "running");
  EXPECT_EQ(site.reason("c"), "ExceedsQuota");
}

TEST(Quotas, OrganizationsTakeTurnsWhereTheClusterIsFair) {
  for (const bool fair : {false, true}) {
    SharedSite site(4);
    site.give(site.guests, {});
    const auto changed = site.server.patch(site.path(), {{"fair", fair}}, site.owner.token);
    EXPECT_EQ(changed.at("/fair"), js::value(fair)) << changed;
    site.submit("fill", cores(4));
    site.until("fill", "running");
    for (const auto* name : {"o1", "o2"}) site.submit(name, cores(2));
    for (const auto* name : {"g1", "g2"}) site.guest_submit(name, cores(2));
    site.stop("fill");
    site.until("o1", "running");
    site.until(fair ? "g1" : "o2", "running");
    EXPECT_EQ(site.show(fair ? "o2" : "g1").text("/state"), "queued");
    EXPECT_EQ(site.show("g2").text("/state"), "queued");
  }
}

TEST(Quotas, AHighOneThatOnlyWaitsForItsQuotaHoldsUpNobodyElse) {
  SharedSite site(4);
  site.give(site.guests, {{"quota", cpu_limit(1)}, {"borrowing", cpu_limit(0)}});
  site.guest_submit("high", cores(2), {{"priority", "high"}});
  EXPECT_EQ(site.reason("high"), "ExceedsQuota");
  site.submit("low", cores(1));
  site.until("low", "running");
  site.guest_submit("own", cores(1));
  EXPECT_EQ(site.reason("own"), "BehindHigherPriority") << "it would take what the high one needs";
  site.give(site.guests, {{"quota", cpu_limit(3)}, {"borrowing", cpu_limit(0)}});
  site.until("high", "running");
  site.until("own", "running");
}

TEST(Quotas, SharingBeginsEndsAndIsRemembered) {
  SharedSite site(4);
  auto& s = site.server;
  EXPECT_EQ(s.get(site.path(), site.guest.token).status, 404);
  EXPECT_EQ(site.guest_submit("early", cores(1)).status, 404);
  const auto version = s.get(site.path(), site.owner.token).header("ETag");
  const auto shared =
      site.put_as(site.owner, site.guests, {{"quota", cpu_limit(2)}}, {{"If-Match", version}});
  ASSERT_EQ(shared.status, 200) << shared;
  EXPECT_NE(shared.header("ETag"), version);
  EXPECT_EQ(shared.text("/organization"), site.guest_name);
  EXPECT_EQ(site.put_as(site.owner, site.guests, {}, {{"If-Match", version}}).status, 412);
  const auto same = site.put_as(site.owner, site.guests, {{"quota", cpu_limit(2)}});
  EXPECT_EQ(same.header("ETag"), shared.header("ETag")) << "nothing changed";
  EXPECT_EQ(s.get("/api/v1/clusters", site.guest.token).items("id"), site.cluster);

  site.guest_submit("runs", cores(1));
  site.until("runs", "running");
  const auto in_use = s.remove(site.path("/quotas/" + site.guests), site.owner.token);
  EXPECT_EQ(in_use.status, 409) << in_use;
  EXPECT_EQ(in_use.code(), "share_in_use");
  site.stop("runs");
  EXPECT_EQ(s.remove(site.path("/quotas/" + site.guests), site.owner.token).status, 204);
  EXPECT_EQ(s.get(site.path(), site.guest.token).status, 404);
  EXPECT_EQ(site.guest_submit("late", cores(1)).status, 404);
  EXPECT_EQ(s.remove(site.path("/quotas/" + site.guests), site.owner.token).status, 404);
  EXPECT_EQ(site.show("runs").text("/state"), "stopped") << "what was, is theirs";
  EXPECT_EQ(s.get("/api/v1/deployments/" + site.id("runs") + "/explain", site.guest.token).status,
            200);
  site.give(site.guests, {});
  site.guest_submit("again", cores(1));
  site.until("again", "running");

  const auto kinds = [&](const std::string& org, const Person& who) {
    return s.get("/api/v1/organizations/" + org + "/audit?kind=cluster.", who.token).items("kind");
  };
  EXPECT_EQ(kinds(site.organization, site.owner),
            "cluster.shared cluster.unshared cluster.shared cluster.created");
  const auto theirs =
      s.get("/api/v1/organizations/" + site.guests + "/audit?kind=cluster.", site.guest.token);
  EXPECT_EQ(theirs.items("kind"), "cluster.shared cluster.unshared cluster.shared");
  EXPECT_EQ(theirs.body.find(site.owner.name), std::string::npos) << "not who it was";
  EXPECT_EQ(theirs.number("/items/2/data/quota/cpu"), 2);
}

TEST(Quotas, TheOwnersQuotaIsAQuotaWithoutASharing) {
  SharedSite site(4);
  site.give(site.organization, {{"quota", cpu_limit(1)}, {"borrowing", cpu_limit(0)}});
  site.submit("big", cores(2));
  EXPECT_EQ(site.reason("big"), "ExceedsQuota");
  EXPECT_EQ(site.server.remove(site.path("/quotas/" + site.organization), site.owner.token).status,
            204);
  site.until("big", "running");
  EXPECT_EQ(site.quotas(site.owner).items("organization_id"), site.organization);
}

TEST(Quotas, OnlyAdministratorsOfTheClustersOrganizationSetThem) {
  SharedSite site(4);
  auto& s = site.server;
  const auto developer = s.person(fresh("developer")), viewer = s.person(fresh("viewer")),
             stranger = s.person(fresh("stranger"));
  s.join(site.organization, site.owner, developer, "developer");
  s.join(site.guests, site.guest, viewer, "viewer");
  EXPECT_EQ(site.put_as(site.guest, site.guests, {}).status, 404);
  site.give(site.guests, {});
  const auto refused = site.put_as(site.guest, site.guests, {{"quota", cpu_limit(9)}});
  EXPECT_EQ(refused.status, 403) << refused;
  EXPECT_EQ(refused.code(), "foreign_cluster");
  EXPECT_EQ(site.put_as(developer, site.guests, {}).code(), "role_too_small");
  EXPECT_EQ(site.put_as(stranger, site.guests, {}).status, 404);
  EXPECT_EQ(site.put_as(site.owner, "org_01jd4qz3kfe8mv0c9x7r2t5w6y", {}).status, 404);
  EXPECT_EQ(s.remove(site.path("/quotas/" + site.guests), site.guest.token).status, 403);
  const auto wrong = site.put_as(site.owner, site.guests, {{"borrowing", cpu_limit(1)}});
  EXPECT_EQ(wrong.status, 400);
  EXPECT_EQ(wrong.fields(), "/borrowing");

  // What guests may, and what not.
  for (const auto* rest : {"", "/status", "/queue", "/quotas"}) {
    EXPECT_EQ(s.get(site.path(rest), viewer.token).status, 200) << rest;
    EXPECT_EQ(s.get(site.path(rest), stranger.token).status, 404) << rest;
  }
  EXPECT_EQ(s.get(site.path("/record"), site.guest.token).status, 403);
  EXPECT_EQ(s.patch(site.path(), {{"name", "mine"}}, site.guest.token).status, 403);
  EXPECT_EQ(s.post(site.path("/pause"), site.guest.token).status, 403);
  EXPECT_EQ(s.remove(site.path(), site.guest.token).status, 403);
  EXPECT_EQ(s.submit(site.cluster, "x", viewer, cores(1)).code(), "role_too_small");
  EXPECT_EQ(s.submit(site.cluster, "x", stranger, cores(1)).status, 404);
  const auto theirs = site.guest_submit("theirs", cores(1));
  EXPECT_EQ(theirs.text("/organization_id"), site.guests);
  EXPECT_EQ(s.get("/api/v1/deployments/" + site.id("theirs"), site.owner.token).status, 404);
  EXPECT_EQ(s.get("/api/v1/deployments?cluster_id=" + site.cluster, site.owner.token).items("name"),
            "");
  EXPECT_EQ(s.get("/api/v1/deployments?cluster_id=" + site.cluster, viewer.token).items("name"),
            "theirs");
}

TEST(Quotas, WhoseASubmissionIsCanBeSaidAndMustBeClear) {
  SharedSite site(8);
  auto& s = site.server;
  const auto name = fresh("second");
  const auto second = s.organization(name, site.guest);
  site.give(site.guests, {});
  EXPECT_EQ(site.guest_submit("only", cores(1)).text("/organization_id"), site.guests);
  const auto not_shared = site.guest_submit("x", cores(1), {{"organization_id", second}});
  EXPECT_EQ(not_shared.status, 400) << not_shared;
  EXPECT_EQ(not_shared.text("/errors/0/code"), "not_shared");
  site.give(second, {});
  const auto unclear = site.guest_submit("x", cores(1));
  EXPECT_EQ(unclear.status, 400) << unclear;
  EXPECT_EQ(unclear.fields(), "/organization_id");
  EXPECT_NE(unclear.text("/errors/0/message").find(site.guest_name), std::string::npos);
  EXPECT_NE(unclear.text("/errors/0/message").find(name), std::string::npos);
  EXPECT_EQ(
      site.guest_submit("said", cores(1), {{"organization_id", second}}).text("/organization_id"),
      second);
  // Of an organization that he is not in: as if there were none.
  const auto foreign = site.guest_submit("x", cores(1), {{"organization_id", site.organization}});
  const auto unknown =
      site.guest_submit("x", cores(1), {{"organization_id", "org_01jd4qz3kfe8mv0c9x7r2t5w6y"}});
  EXPECT_EQ(foreign.status, 404) << foreign;
  EXPECT_EQ(foreign.text("/detail"), unknown.text("/detail"));
  EXPECT_EQ(foreign.fields(), unknown.fields());
  // A member of the cluster's organization acts for that, unless he says otherwise.
  s.join(site.organization, site.owner, site.guest, "developer");
  EXPECT_EQ(site.guest_submit("home", cores(1)).text("/organization_id"), site.organization);
  EXPECT_EQ(site.guest_submit("out", cores(1), {{"organization_id", site.guests}})
                .text("/organization_id"),
            site.guests);
}

TEST(Quotas, OthersNamesAreNotShown) {
  SharedSite site(4);
  auto& s = site.server;
  site.give(site.guests, {});
  s.patch(site.path(), {{"policy", "preempt"}}, site.owner.token);
  site.guest_submit("secret", cores(4));
  site.until("secret", "running");
  site.submit("ours", cores(4));
  site.guest_submit("hidden", cores(4));
  const auto seen = s.get(site.path("/queue"), site.owner.token);
  EXPECT_EQ(seen.text("/items/0/name"), "ours") << seen;
  EXPECT_EQ(seen.at("/items/0/mine"), js::value(true));
  EXPECT_EQ(seen.text("/items/1/name"), "");
  EXPECT_EQ(seen.at("/items/1/mine"), js::value(false));
  EXPECT_EQ(seen.text("/items/1/deployment_id"), site.id("hidden"));
  const auto by_guest = s.get(site.path("/queue"), site.guest.token);
  EXPECT_EQ(by_guest.text("/items/0/name") + "|" + by_guest.text("/items/1/name"), "|hidden");
  const auto why = site.explain("ours");
  EXPECT_EQ(why.text("/blockers/0/deployment_id"), site.id("secret"));
  EXPECT_EQ(why.text("/blockers/0/name"), "");
  EXPECT_EQ(why.at("/blockers/0/mine"), js::value(false));
  const auto then = s.get(fmt::format("{}?at=index:{}", site.path("/queue"), seen.number("/index")),
                          site.owner.token);
  EXPECT_EQ(then.text("/items/0/name") + "|" + then.text("/items/1/name"), "ours|") << then;
  const auto past = s.get(fmt::format("/api/v1/deployments/{}/explain?at=index:{}", site.id("ours"),
                                      seen.number("/index")),
                          site.owner.token);
  EXPECT_EQ(past.text("/blockers/0/name"), "");
  EXPECT_EQ(past.at("/blockers/0/mine"), js::value(false));

  const js::object command{{"kind", "submit"}, {"priority", "high"}, {"resources", cores(4)}};
  const auto plan =
      s.post(site.path("/plan"), {{"commands", js::array{command}}}, site.owner.token);
  EXPECT_EQ(plan.text("/steps/0/evictions/0/deployment_id"), site.id("secret")) << plan;
  EXPECT_FALSE(plan.has("/steps/0/evictions/0/name"));

  site.submit("urgent", cores(4), {{"priority", "high"}, {"stop_grace", 0}});
  site.until("urgent", "running");
  site.until("secret", "queued");
  const auto events =
      s.get("/api/v1/deployments/" + site.id("secret") + "/events?limit=200", site.guest.token);
  EXPECT_EQ(events.items("kind"),
            "deployment.queued deployment.starting deployment.running deployment.preempting "
            "deployment.queued");
  EXPECT_EQ(events.text("/items/3/data/for"), site.id("urgent"));
  EXPECT_EQ(events.body.find("\"urgent\""), std::string::npos) << events;
}

TEST(Quotas, PlansCountForWhoeverAsks) {
  SharedSite site(4);
  auto& s = site.server;
  site.give(site.guests, {{"quota", cpu_limit(1)}, {"borrowing", cpu_limit(0)}});
  const auto starts = [&](const Person& who, js::object extra) {
    js::object command{{"kind", "submit"}, {"resources", cores(2)}};
    for (const auto& [key, value] : extra) command[key] = value;
    const auto plan = s.post(site.path("/plan"), {{"commands", js::array{command}}}, who.token);
    EXPECT_EQ(plan.status, 200) << plan;
    return plan.status == 200 ? plan.at("/steps/0/starts").as_array().size() : 99;
  };
  EXPECT_EQ(starts(site.owner, {}), 1U);
  EXPECT_EQ(starts(site.guest, {}), 0U);
  s.join(site.guests, site.guest, site.owner, "viewer");
  EXPECT_EQ(starts(site.owner, {{"organization_id", site.guests}}), 0U);
}

TEST(Quotas, AreKeptOverARestart) {
  SharedSite site(8);
  site.give(site.organization, {{"quota", cpu_limit(5)}});
  site.give(site.guests, {{"quota", cpu_limit(3)}, {"borrowing", cpu_limit(0)}});
  site.server.patch(site.path(), {{"fair", true}}, site.owner.token);
  site.guest_submit("a", cores(2));
  site.until("a", "running");
  site.guest_submit("b", cores(2));
  EXPECT_EQ(site.reason("b"), "ExceedsQuota");
  site.server.restart();
  site.server.until(site.path("/status"), site.owner.token,
                    [](const Answer& a) { return a.status == 200; });
  const auto list = site.quotas(site.guest);
  EXPECT_EQ(list.number("/items/1/quota/cpu"), 3) << list;
  EXPECT_EQ(list.number("/items/1/used/cpu"), 2);
  EXPECT_EQ(list.number("/items/1/waiting"), 1);
  EXPECT_EQ(site.server.get(site.path(), site.guest.token).at("/fair"), js::value(true));
  const auto why = site.explain("b");
  EXPECT_EQ(why.text("/reason"), "ExceedsQuota") << why;
  EXPECT_EQ(why.number("/quota/used/cpu"), 2);
  site.stop("a");
  site.until("b", "running");
}

}  // namespace
}  // namespace berth::test
