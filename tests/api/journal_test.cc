// The record of decisions from outside: time travel answers what was answered, and a replay decides
// what was decided.
#include <fmt/format.h>

#include <random>

#include "base/base64.h"
#include "harness.h"
#include "scheduler/journal.h"

namespace berth::test {
namespace {

js::object cores(int cpu) { return {{"cpu", cpu}, {"memory", 0}, {"gpu", 0}}; }

struct Record {
  std::vector<std::pair<std::int64_t, std::string>> entries;  // index, bytes
  std::vector<std::string> times;
};

Record record_of(Site& site, const std::string& query = "") {
  const auto answer =
      site.server.get("/api/v1/clusters/" + site.cluster + "/record" + query, site.owner.token);
  EXPECT_EQ(answer.status, 200) << answer;
  EXPECT_EQ(answer.header("Content-Type"), "application/jsonl");
  Record out;
  std::istringstream lines(answer.body);
  for (std::string line; std::getline(lines, line);) {
    const auto value = js::parse(line).as_object();
    const auto bytes = from_base64(std::string(value.at("entry").as_string()));
    EXPECT_TRUE(bytes);
    out.entries.emplace_back(value.at("index").as_int64(), bytes.value_or(""));
    out.times.emplace_back(value.at("at").as_string());
  }
  return out;
}

journal::Replay replayed(const Record& record) {
  journal::Replay replay(journal::Mode::compare);
  for (const auto& [index, bytes] : record.entries) {
    const auto done = replay.take(index, bytes);
    EXPECT_TRUE(done) << done.error().message;
    if (!done) break;
  }
  return replay;
}

// The runtime's health is of now, and until when a back-off lasts comes from the row, which may be
// a moment ahead of the engine: neither is compared.
js::value comparable(js::value answer) {
  auto& object = answer.as_object();
  for (const auto* key : {"runtime", "next"}) object.erase(key);
  const auto* reason = object.if_contains("reason");
  const bool by_clock = reason == nullptr || *reason == "BackoffAfterFailure";
  if (object.contains("message") && by_clock) object.erase("message");
  if (auto* items = object.if_contains("items")) {
    for (auto& item : items->as_array()) item.as_object().erase("retry_at");
  }
  return answer;
}

// What depends on the moment of asking, too.
js::value timeless(js::value answer) {
  auto& object = answer.as_object();
  for (const auto* key : {"at", "forecast"}) object.erase(key);
  if (auto* items = object.if_contains("items")) {
    for (auto& item : items->as_array()) item.as_object().erase("forecast");
  }
  return answer;
}

struct Told {
  std::string path;
  std::int64_t index;
  std::string at;
  js::value answer;
};

class Witness {
 public:
  explicit Witness(Site& site) : site_(site) {}
  void look(const std::string& path) {
    const auto answer = site_.server.get(path, token());
    ASSERT_EQ(answer.status, 200) << answer;
    if (path.ends_with("/explain") && answer.text("/state") != "queued") return;
    ++asked_;
    if (answer.has("/index"))
      told_.push_back({path, answer.number("/index"), answer.text("/at"), comparable(answer.json)});
  }
  void look_around() {
    const auto cluster = "/api/v1/clusters/" + site_.cluster;
    look(cluster + "/status");
    look(cluster + "/queue?limit=1000");
    const auto queue = site_.server.get(cluster + "/queue?limit=3", token());
    for (const auto& item : queue.at("/items").as_array()) {
      const std::string id(item.as_object().at("deployment_id").as_string());
      look("/api/v1/deployments/" + id + "/explain");
    }
  }
  void compare() {
    EXPECT_GT(told_.size() * 10, asked_ * 9) << "answers say where in the record they are";
    for (const auto& one : told_) {
      const auto path = one.path + (one.path.contains('?') ? "&at=" : "?at=");
      const auto by_index = site_.server.get(path + fmt::format("index:{}", one.index), token());
      ASSERT_EQ(by_index.status, 200) << path << "\n" << by_index;
      EXPECT_EQ(timeless(comparable(by_index.json)), timeless(one.answer)) << path << one.index;
      const auto by_time = site_.server.get(path + one.at, token());
      ASSERT_EQ(by_time.status, 200) << path << "\n" << by_time;
      EXPECT_EQ(comparable(by_time.json), one.answer) << path << one.at;
      ranges_ += by_time.body.contains("from_recent_rate") ? 1 : 0;
    }
  }
  [[nodiscard]] std::size_t told() const { return told_.size(); }
  // Answers about the past with a range for a start.
  [[nodiscard]] std::size_t ranges() const { return ranges_; }

 private:
  [[nodiscard]] const std::string& token() const { return site_.owner.token; }
  Site& site_;
  std::vector<Told> told_;
  std::size_t asked_ = 0, ranges_ = 0;
};

class RandomUser {
 public:
  RandomUser(Site& site, std::uint64_t seed) : site_(site), random_(seed) {}
  void act() {
    const auto cluster = "/api/v1/clusters/" + site_.cluster;
    const auto& token = site_.owner.token;
    const auto dice = below(20);
    if (dice == 0) {
      site_.server.post(cluster + (below(2) == 0 ? "/pause" : "/resume"), token);
    } else if (dice == 1) {
      site_.server.patch(cluster, {{"resources", cores(6 + static_cast<int>(below(6)))}}, token);
    } else if (dice < 6 && !names_.empty()) {
      site_.server.post("/api/v1/deployments/" + site_.id(any()) + "/stop", token);
    } else if (dice < 9 && !names_.empty()) {
      site_.server.patch("/api/v1/deployments/" + site_.id(any()),
                         {{"priority", below(2) == 0 ? "high" : "low"}}, token);
    } else {
      const auto name = fmt::format("d{}", names_.size());
      js::object extra{{"kind", "job"}, {"priority", below(3) == 0 ? "high" : "low"}};
      js::object simulate{{"duration", fmt::format("{}ms", 20 + below(200))}};
      if (below(4) == 0) simulate["exit_code"] = 3;
      extra["simulate"] = std::move(simulate);
      extra["restart"] = js::object{{"max_attempts", 2}, {"backoff", "50ms"}};
      const auto made = site_.submit(name, cores(1 + static_cast<int>(below(5))), extra);
      ASSERT_EQ(made.status, 201) << made;
      names_.push_back(name);
    }
  }

 private:
  std::uint64_t below(std::uint64_t n) { return random_() % n; }
  const std::string& any() { return names_[below(names_.size())]; }
  Site& site_;
  std::mt19937_64 random_;
  std::vector<std::string> names_;
};

TEST(TimeTravel, AnswersWhatWasAnswered) {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    Site site(cores(8));
    Witness witness(site);
    RandomUser user(site, seed);
    // Where several schedulers share the clusters, a new one is soon somebody's.
    site.server.until("/api/v1/clusters/" + site.cluster + "/status", site.owner.token,
                      [](const Answer& a) { return a.status == 200; });
    for (int i = 0; i < 60; ++i) {
      user.act();
      if (i % 2 == 0) witness.look_around();
    }
    witness.compare();
    EXPECT_GT(witness.told(), 60U);
    const auto replay = replayed(record_of(site));
    EXPECT_GT(replay.counts().starts, 5U);
    replay.engine()->check();
  }
}

TEST(TimeTravel, TellsTheForecastsThatWereTold) {
  Site site(cores(2));
  for (const auto* name : {"one", "two", "three", "four"}) {
    site.submit(name, cores(2), {{"kind", "job"}, {"simulate", {{"duration", "20ms"}}}});
  }
  site.until("four", "succeeded");
  Witness witness(site);
  site.submit("runs", cores(2), {{"priority", "high"}});
  site.submit("waits", cores(1));
  witness.look_around();
  site.submit("too", cores(2), {{"priority", "high"}});
  witness.look_around();
  const auto why =
      site.server.get("/api/v1/deployments/" + site.id("waits") + "/explain", site.owner.token);
  EXPECT_EQ(why.text("/forecast/method"), "from_recent_rate");
  // What is asked for and does not come true teaches something.
  for (const auto* name : {"runs", "too", "waits"}) {
    site.server.post("/api/v1/deployments/" + site.id(name) + "/stop", site.owner.token);
    site.until(name, "stopped");
    witness.look_around();
  }
  witness.compare();
  EXPECT_GT(witness.ranges(), 4U);
}

// What the past taught is in the record; whoever decides next goes on from there.
TEST(TimeTravel, ForecastsOutliveARestart) {
  Site site(cores(2));
  for (const auto* name : {"one", "two", "three", "four"}) {
    site.submit(name, cores(2), {{"kind", "job"}, {"simulate", {{"duration", "20ms"}}}});
  }
  site.until("four", "succeeded");
  site.server.restart();
  site.server.until("/api/v1/clusters/" + site.cluster + "/status", site.owner.token,
                    [](const Answer& a) { return a.status == 200; });
  Witness witness(site);
  site.submit("runs", cores(2), {{"priority", "high"}});
  site.submit("waits", cores(1));
  const auto path = "/api/v1/deployments/" + site.id("waits") + "/explain";
  const auto why = site.server.get(path, site.owner.token);
  EXPECT_EQ(why.text("/forecast/method"), "from_recent_rate") << why;
  witness.look_around();
  site.server.restart();
  site.server.until(path, site.owner.token, [](const Answer& a) { return a.status == 200; });
  witness.compare();
  EXPECT_GT(witness.ranges(), 1U);
}

TEST(TimeTravel, GoesToTimesAndPagesThroughTheQueue) {
  Site site(cores(2));
  auto& s = site.server;
  const auto path = "/api/v1/clusters/" + site.cluster;
  const auto& token = site.owner.token;
  site.submit("runs", cores(2), {{"priority", "high"}});
  site.submit("a", cores(1), {{"priority", "high"}});
  site.submit("b", cores(2));
  site.submit("c", cores(1));
  const auto before = s.get(path + "/queue", token);
  ASSERT_EQ(before.items("name"), "a b c");
  const auto then = to_rfc3339(SystemClock().now());
  for (const auto* name : {"a", "b", "c"}) {
    s.post("/api/v1/deployments/" + site.id(name) + "/stop", token);
  }
  s.remove("/api/v1/deployments/" + site.id("b"), token);
  EXPECT_EQ(site.queue(), "");

  const auto past = s.get(path + "/queue?at=" + then, token);
  EXPECT_EQ(past.items("name"), "a b c") << "a deleted one keeps its name";
  EXPECT_EQ(past.items("reason"), before.items("reason"));
  EXPECT_EQ(past.items("queued_at").substr(0, 20), before.items("queued_at").substr(0, 20));
  EXPECT_EQ(past.text("/at"), then);
  EXPECT_EQ(past.number("/index"), before.number("/index"));
  const auto first = s.get(path + "/queue?limit=2&at=" + then, token);
  EXPECT_EQ(first.items("name"), "a b");
  const auto second =
      s.get(path + "/queue?limit=2&at=" + then + "&cursor=" + first.text("/next"), token);
  EXPECT_EQ(second.items("name"), "c");
  EXPECT_FALSE(second.has("/next"));

  const auto status = s.get(path + "/status?at=" + then, token);
  EXPECT_EQ(status.number("/queue/high"), 1);
  EXPECT_EQ(status.number("/queue/low"), 2);
  EXPECT_EQ(status.number("/active"), 1);
  EXPECT_FALSE(status.has("/runtime")) << "its health is not recorded";

  const auto why = s.get("/api/v1/deployments/" + site.id("c") + "/explain?at=" + then, token);
  EXPECT_EQ(why.text("/state"), "queued");
  EXPECT_EQ(why.text("/reason"), "WaitingForCapacity");
  EXPECT_EQ(why.number("/ahead_high"), 1);
  EXPECT_EQ(why.number("/ahead_low"), 1);
  const auto ran = s.get("/api/v1/deployments/" + site.id("runs") + "/explain?at=" + then, token);
  EXPECT_TRUE(ran.text("/state") == "starting" || ran.text("/state") == "running") << ran;
  EXPECT_FALSE(ran.has("/reason"));
}

TEST(TimeTravel, SaysWhenThereIsNoAnswer) {
  Site site(cores(2));
  auto& s = site.server;
  const auto path = "/api/v1/clusters/" + site.cluster + "/status?at=";
  const auto& token = site.owner.token;
  const auto refused = [&](const std::string& at) {
    const auto answer = s.get(path + at, token);
    EXPECT_EQ(answer.status, 400) << answer;
    EXPECT_EQ(answer.fields(), "at") << answer;
    return answer.text("/errors/0/code");
  };
  EXPECT_EQ(refused("2020-01-02T03:04:05Z"), "before_record");
  site.submit("a", cores(1));
  // Where others decide, too, an answer waits until what it is about is written down.
  EXPECT_EQ(s.get("/api/v1/clusters/" + site.cluster + "/status", token).status, 200);
  EXPECT_EQ(refused("2020-01-02T03:04:05Z"), "before_record");
  EXPECT_EQ(refused("2999-01-02T03:04:05Z"), "in_the_future");
  EXPECT_EQ(refused("index:0"), "out_of_range");
  EXPECT_EQ(refused("index:1000000"), "out_of_range");
  EXPECT_EQ(refused("index:"), "invalid_format");
  EXPECT_EQ(refused("index:1x"), "invalid_format");
  EXPECT_EQ(refused("yesterday"), "invalid_format");
  const auto then = to_rfc3339(SystemClock().now());
  site.submit("b", cores(1));
  const auto early = s.get("/api/v1/deployments/" + site.id("b") + "/explain?at=" + then, token);
  EXPECT_EQ(early.status, 400) << early;
  EXPECT_EQ(early.text("/errors/0/code"), "before_submission");
}

TEST(TimeTravel, NamesWhatWasWaitedFor) {
  Site site(cores(4));
  auto& s = site.server;
  site.submit("database", cores(1));
  site.submit("data", cores(4), {{"kind", "job"}});
  site.until("database", "running");
  js::array on{js::object{{"deployment", "database"}}, js::object{{"deployment", "data"}}};
  ASSERT_EQ(site.submit("train", cores(1), {{"depends_on", on}}).status, 201);
  const auto path = "/api/v1/deployments/" + site.id("train") + "/explain";
  const auto live = s.get(path, site.owner.token);
  ASSERT_EQ(live.text("/message"), "It waits for data to succeed (it is queued).");
  s.post("/api/v1/deployments/" + site.id("train") + "/stop", site.owner.token);
  s.post("/api/v1/deployments/" + site.id("data") + "/stop", site.owner.token);
  const auto then =
      s.get(fmt::format("{}?at=index:{}", path, live.number("/index")), site.owner.token);
  EXPECT_EQ(then.text("/message"), "It waited for data to succeed (it was queued).") << then;
  EXPECT_EQ(then.text("/reason"), "WaitingForDependency");
}

TEST(TimeTravel, IsForMembersAsTheLiveAnswersAre) {
  Site site(cores(2));
  auto& s = site.server;
  site.submit("a", cores(1));
  const auto stranger = s.person(fresh("stranger"));
  const auto viewer = s.person(fresh("viewer"));
  s.join(site.organization, site.owner, viewer, "viewer");
  for (const auto& path : {"/api/v1/clusters/" + site.cluster + "/status?at=index:1",
                           "/api/v1/clusters/" + site.cluster + "/queue?at=index:1",
                           "/api/v1/deployments/" + site.id("a") + "/explain?at=index:1",
                           "/api/v1/clusters/" + site.cluster + "/record"}) {
    EXPECT_EQ(s.get(path).status, 401) << path;
    EXPECT_EQ(s.get(path, stranger.token).status, 404) << path;
    const auto seen = s.get(path, viewer.token);
    EXPECT_TRUE(seen.status == 200 || seen.text("/errors/0/code") == "before_submission") << seen;
  }
}

TEST(Records, GoOnOverARestart) {
  TestServer server;
  Site site(cores(4), server);
  for (int i = 0; i < 6; ++i) site.submit(fmt::format("d{}", i), cores(2));
  const auto status = "/api/v1/clusters/" + site.cluster + "/status";
  const auto before = server.get(status, site.owner.token);
  const auto first = record_of(site);
  server.restart();
  site.submit("late", cores(2));
  server.post("/api/v1/deployments/" + site.id("d0") + "/stop", site.owner.token);
  site.until("d0", "stopped");
  const auto whole = record_of(site);
  ASSERT_GT(whole.entries.size(), first.entries.size());
  EXPECT_TRUE(std::equal(first.entries.begin(), first.entries.end(), whole.entries.begin()))
      << "what is recorded stays";
  EXPECT_TRUE(std::ranges::is_sorted(whole.times));
  const auto replay = replayed(whole);
  EXPECT_GE(replay.counts().reloads, 1U);
  EXPECT_EQ(replay.counts().starts, 3U);
  EXPECT_EQ(replay.index(), static_cast<std::int64_t>(whole.entries.size()));
  const auto then =
      server.get(fmt::format("{}?at={}", status, before.text("/at")), site.owner.token);
  EXPECT_EQ(comparable(then.json), comparable(before.json));
}

TEST(Records, OfASharedClusterDecideTheSame) {
  Site site(cores(8));
  auto& s = site.server;
  const auto guest = s.person(fresh("guest"));
  const auto guests = s.organization(fresh("guests"), guest);
  s.join(guests, guest, site.owner, "viewer");  // so that he may look at everything
  const auto path = "/api/v1/clusters/" + site.cluster;
  const auto give = [&](const std::string& org, js::value quota, js::value borrowing) {
    const js::object terms{{"quota", std::move(quota)}, {"borrowing", std::move(borrowing)}};
    return s.call({"PUT", path + "/quotas/" + org, site.owner.token, js::serialize(terms), {}})
        .status;
  };
  ASSERT_EQ(give(guests, js::object{{"cpu", 3}}, nullptr), 200);
  ASSERT_EQ(give(site.organization, js::object{{"cpu", 5}}, nullptr), 200);
  s.patch(path, {{"fair", true}}, site.owner.token);
  RandomUser user(site, 7);
  Witness witness(site);
  for (int i = 0; i < 40; ++i) {
    user.act();
    s.submit(site.cluster, fmt::format("g{}", i), guest, cores(1 + i % 4),
             {{"kind", "job"},
              {"priority", i % 3 == 0 ? "high" : "low"},
              {"simulate", {{"duration", fmt::format("{}ms", 20 + 7 * i)}}}});
    if (i % 8 == 7) {
      ASSERT_EQ(give(guests, js::object{{"cpu", 1 + i % 5}}, js::object{{"cpu", i % 3}}), 200);
    }
    if (i % 4 == 0) witness.look_around();
  }
  witness.compare();
  s.post(path + "/resume", site.owner.token);
  const auto enough = [](const Answer& events) {
    const std::string kinds = events.items("kind");
    std::size_t starts = 0;
    for (auto at = kinds.find("starting"); at != std::string::npos;
         at = kinds.find("starting", at + 1))
      ++starts;
    return starts > 8;
  };
  s.until("/api/v1/organizations/" + site.organization + "/audit?kind=deployment.starting&limit=50",
          site.owner.token, enough);
  s.until("/api/v1/organizations/" + guests + "/audit?kind=deployment.starting&limit=50",
          guest.token, enough);
  const auto replay = replayed(record_of(site));
  EXPECT_GT(replay.counts().starts, 16U);
  replay.engine()->check();
  EXPECT_EQ(replay.engine()->rules().quotas.size(), 2U);
  EXPECT_TRUE(replay.engine()->rules().fair);
}

TEST(Records, AreReadInParts) {
  Site site(cores(1));
  for (int i = 0; i < 5; ++i) {
    site.submit(fmt::format("d{}", i), cores(1));
    site.server.get("/api/v1/clusters/" + site.cluster + "/status", site.owner.token);
  }
  const auto whole = record_of(site);
  ASSERT_GE(whole.entries.size(), 3U);
  EXPECT_EQ(whole.entries.front().first, 1);
  const auto part = record_of(site, "?from=2&limit=1");
  ASSERT_EQ(part.entries.size(), 1U);
  EXPECT_EQ(part.entries[0], whole.entries[1]);
  EXPECT_TRUE(record_of(site, "?from=1000000").entries.empty());
  const auto wrong =
      site.server.get("/api/v1/clusters/" + site.cluster + "/record?from=0", site.owner.token);
  EXPECT_EQ(wrong.status, 400);
}

// --- what was planned ----------------------------------------------------------------------------

constexpr int kNodes = 3;

js::array nodes_of(int cpu) {
  js::array out;
  for (int i = 0; i < kNodes; ++i)
    out.push_back(js::object{{"name", fmt::format("n{}", i)}, {"resources", cores(cpu)}});
  return out;
}

// Says in advance what a command will do, gives it, and reads in the record what it did.
class Planner {
 public:
  Planner(Site& site, std::uint64_t seed) : site_(site), random_(seed) {}

  void act() {
    const auto dice = below(20);
    if (dice < 12 || names_.empty()) return submit();
    if (dice < 17) return stop();
    if (dice < 19) return prioritize();
    resize();
  }
  [[nodiscard]] std::size_t starts() const { return starts_; }
  [[nodiscard]] std::size_t evictions() const { return evictions_; }

 private:
  std::uint64_t below(std::uint64_t n) { return random_() % n; }
  const std::string& any() { return names_[below(names_.size())]; }
  [[nodiscard]] std::string path() const { return "/api/v1/clusters/" + site_.cluster; }

  void submit() {
    const auto name = fmt::format("d{}", names_.size());
    const auto* const priority = below(3) == 0 ? "high" : "low";
    const auto demand = cores(1 + static_cast<int>(below(4)));
    js::object command{{"kind", "submit"}, {"priority", priority}, {"resources", demand}};
    js::object extra{{"kind", "job"}, {"priority", priority}, {"stop_grace", 0}};
    if (below(2) == 0)
      command["max_run_time"] = extra["max_run_time"] = fmt::format("{}h", 1 + below(9));
    plan(std::move(command));
    const auto made = site_.submit(name, demand, extra);
    const bool taken = made.status == 201;
    ASSERT_TRUE(taken || made.code() == "exceeds_cluster") << made;
    EXPECT_EQ(planned_.has("/steps/0/refused"), !taken) << planned_ << made;
    if (taken) names_.push_back(name);
    compare(made.text("/id"));
  }
  void stop() {
    const auto id = site_.id(any());
    const auto state = site_.server.get("/api/v1/deployments/" + id, site_.owner.token);
    if (state.has("/ended_at")) return;
    plan({{"kind", "stop"}, {"deployment_id", id}});
    site_.server.post("/api/v1/deployments/" + id + "/stop", site_.owner.token);
    site_.server.until("/api/v1/deployments/" + id, site_.owner.token,
                       [](const Answer& a) { return a.has("/ended_at"); });
    compare("");
  }
  void prioritize() {
    const auto name = any();
    if (site_.state(name) != "queued") return;
    const auto* const priority = below(2) == 0 ? "high" : "low";
    plan({{"kind", "prioritize"}, {"deployment_id", site_.id(name)}, {"priority", priority}});
    const auto done = site_.server.patch("/api/v1/deployments/" + site_.id(name),
                                         {{"priority", priority}}, site_.owner.token);
    ASSERT_EQ(done.status, 200) << done;
    compare("");
  }
  void resize() {
    const auto nodes = nodes_of(3 + static_cast<int>(below(4)));
    plan({{"kind", "resize"}, {"nodes", nodes}});
    const auto done = site_.server.patch(path(), {{"nodes", nodes}}, site_.owner.token);
    ASSERT_TRUE(done.status == 200 || done.code() == "capacity_in_use") << done;
    EXPECT_EQ(planned_.has("/steps/0/refused"), done.status != 200) << planned_ << done;
    compare("");
  }

  void plan(js::object command) {
    planned_ = site_.server.post(path() + "/plan", {{"commands", js::array{std::move(command)}}},
                                 site_.owner.token);
    ASSERT_EQ(planned_.status, 200) << planned_;
    ASSERT_TRUE(planned_.has("/index")) << planned_;
  }

  // `submitted` was made up when it was planned.
  void compare(const std::string& submitted) {
    const auto real = [&](const js::object& one, const char* key) {
      std::string id(one.at(key).as_string());
      return id == planned_.text("/steps/0/deployment_id") ? submitted : id;
    };
    std::string foreseen;
    for (const auto& one : planned_.at("/steps/0/evictions").as_array()) {
      const auto& evict = one.as_object();
      const auto id = real(evict, "deployment_id");
      foreseen += fmt::format("{} goes for {}\n", id, real(evict, "for_deployment_id"));
      ++evictions_;
      site_.server.until("/api/v1/deployments/" + id, site_.owner.token,
                         [](const Answer& a) { return a.text("/state") != "preempting"; });
    }
    for (const auto& one : planned_.at("/steps/0/starts").as_array()) {
      const auto& start = one.as_object();
      foreseen += fmt::format("{} on {}\n", real(start, "deployment_id"),
                              std::string_view(start.at("node").as_string()));
      ++starts_;
    }
    EXPECT_EQ(decided_since(planned_.number("/index")), foreseen) << planned_;
  }

  std::string decided_since(std::int64_t index) {
    std::string evictions, starts;
    for (const auto& [at, bytes] : record_of(site_, fmt::format("?from={}", index + 1)).entries) {
      const auto records = journal::open(bytes);
      EXPECT_TRUE(records);
      for (const auto& record : records.value_or(std::vector<journal::Record>{})) {
        const auto* const step = std::get_if<journal::Step>(&record);
        if (step == nullptr) continue;
        for (const auto& one : step->decided.evictions)
          evictions += fmt::format("{} goes for {}\n", one.id.str(), one.for_whom.str());
        for (const auto& one : step->decided.starts)
          starts += fmt::format("{} on n{}\n", one.id.str(), one.placement.node);
      }
    }
    return evictions + starts;
  }

  Site& site_;
  std::mt19937_64 random_;
  std::vector<std::string> names_;
  Answer planned_;
  std::size_t starts_ = 0, evictions_ = 0;
};

TEST(Plans, AreJustWhatThenHappens) {
  std::size_t starts = 0, evictions = 0;
  for (const auto* policy : {"strict", "backfill", "preempt", "backfill+preempt"}) {
    Site site(cores(1));
    site.cluster =
        site.server.cluster_of_nodes(site.organization, "several", site.owner, nodes_of(5));
    const auto path = "/api/v1/clusters/" + site.cluster;
    ASSERT_EQ(site.server.patch(path, {{"policy", policy}}, site.owner.token).status, 200);
    site.server.until(path + "/status", site.owner.token,
                      [](const Answer& a) { return a.status == 200; });
    Planner planner(site, 1);
    for (int i = 0; i < 60 && !testing::Test::HasFailure(); ++i) planner.act();
    starts += planner.starts();
    evictions += planner.evictions();
  }
  EXPECT_GT(starts, 40U);
  EXPECT_GT(evictions, 3U);
}

}  // namespace
}  // namespace berth::test
