#include "harness.h"

#include <fmt/format.h>

#include <atomic>
#include <cmath>
#include <fstream>
#include <map>
#include <sstream>
#include <thread>

namespace berth::test {
namespace {

const js::value kNothing;

std::string joined(std::string list, std::string_view next) {
  if (!list.empty()) list += ' ';
  return list += next;
}

// A page, not an answer of the API: cached, and with a policy of its own.
bool is_page(std::string_view path) {
  return path == "/" || path == "/setup" || path == "/problems" || path.starts_with("/pages/") ||
         path.starts_with("/swagger/") || path == "/openapi.json";
}

void check_problem(const Ask& ask, const Answer& a) {
  EXPECT_EQ(a.header("Content-Type"), "application/problem+json");
  EXPECT_EQ(a.number("/status"), a.status);
  EXPECT_EQ(a.text("/type"), "/problems#" + a.code());
  EXPECT_FALSE(a.text("/title").empty());
  EXPECT_FALSE(a.text("/detail").empty());
  EXPECT_EQ(a.text("/instance"), ask.path.substr(0, ask.path.find('?')));
  EXPECT_EQ(a.text("/request_id"), a.header("X-Request-Id"));
  EXPECT_TRUE(a.at("/errors").is_array());
  if (a.at("/errors").is_array()) {
    for (const auto& e : a.at("/errors").as_array()) {
      EXPECT_TRUE(e.at("pointer").is_string() && e.at("code").is_string() &&
                  !e.at("message").as_string().empty());
    }
  }
  EXPECT_NE(a.status, 500);
  if (a.status == 401) {
    EXPECT_FALSE(a.header("WWW-Authenticate").empty());
  }
  if (a.status == 429 || a.status == 503) {
    EXPECT_FALSE(a.header("Retry-After").empty());
  }
  if (a.status == 405) {
    EXPECT_FALSE(a.header("Allow").empty());
  }
}

}  // namespace

const js::value& Answer::at(std::string_view pointer) const {
  boost::system::error_code ec;
  const auto* found = json.find_pointer(pointer, ec);
  return found == nullptr ? kNothing : *found;
}
std::string Answer::text(std::string_view pointer) const {
  const auto& value = at(pointer);
  return value.is_string() ? std::string(value.as_string()) : std::string();
}
std::int64_t Answer::number(std::string_view pointer) const {
  const auto& value = at(pointer);
  return value.is_int64() ? value.as_int64() : INT64_MIN;
}
std::string Answer::fields() const {
  std::string out;
  if (!at("/errors").is_array()) return out;
  for (const auto& e : at("/errors").as_array())
    out = joined(std::move(out), std::string_view(e.at("pointer").as_string()));
  return out;
}
std::string Answer::items(std::string_view member) const {
  std::string out;
  if (!at("/items").is_array()) return out;
  for (const auto& item : at("/items").as_array()) {
    const auto& value = item.as_object().contains(member) ? item.at(member) : kNothing;
    out = joined(std::move(out),
                 value.is_string() ? std::string(value.as_string()) : js::serialize(value));
  }
  return out;
}
std::ostream& operator<<(std::ostream& out, const Answer& a) {
  return out << a.status << ' ' << a.body.substr(0, 2000);
}

void check_conventions(const Ask& ask, const Answer& a) {
  SCOPED_TRACE(fmt::format("{} {} {} -> {} {}", ask.method, ask.path, ask.body.substr(0, 300),
                           a.status, a.body.substr(0, 600)));
  EXPECT_FALSE(a.header("X-Request-Id").empty());
  EXPECT_EQ(a.header("X-Content-Type-Options"), "nosniff");
  EXPECT_EQ(a.header("Referrer-Policy"), "no-referrer");
  EXPECT_EQ(a.header("Cross-Origin-Opener-Policy"), "same-origin");
  const std::string policy = a.header("Content-Security-Policy");
  EXPECT_NE(policy.find("default-src 'none'"), std::string::npos) << policy;
  EXPECT_NE(policy.find("frame-ancestors 'none'"), std::string::npos) << policy;
  EXPECT_EQ(policy.find("unsafe-eval"), std::string::npos) << policy;
  if (a.status >= 400 || !is_page(ask.path)) {
    EXPECT_EQ(a.header("Cache-Control"), "no-store");
  }
  EXPECT_TRUE(a.header("Access-Control-Allow-Origin").empty());
  EXPECT_TRUE(a.header("Server").empty());
  if (a.status >= 400 && ask.method != "HEAD") check_problem(ask, a);
  if (a.status == 204 || a.status == 304) {
    EXPECT_EQ(a.body, "");
  }
}

app::ServeConfig TestServer::quick() {
  app::ServeConfig config;
  config.port = 0;
  config.threads = 2;
  config.rate_per_second = 0;
  config.free_failures = 1'000'000;
  config.process_runtime = false;
  config.bookmark_every = std::chrono::milliseconds(200);
  return config;
}

TestServer::TestServer(app::ServeConfig config) : installation_(std::move(config)) {
  description_ = std::make_unique<Description>(call({.path = "/openapi.json"}).json);
}

void TestServer::restart(std::function<void(app::ServeConfig&)> change) {
  installation_.stop();
  if (change) change(installation_.config);
  installation_.start();
}

std::string TestServer::url(std::string_view path) {
  return fmt::format("http://127.0.0.1:{}{}", installation_.next_port(), path);
}

std::string TestServer::files_with(const std::string& text) const {
  std::string out;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(installation_.bytes())) {
    if (!entry.is_regular_file()) continue;
    std::ifstream file(entry.path(), std::ios::binary);
    const std::string bytes((std::istreambuf_iterator<char>(file)),
                            std::istreambuf_iterator<char>());
    if (bytes.find(text) != std::string::npos)
      out = joined(std::move(out), entry.path().filename().string());
  }
  return out;
}

Answer TestServer::call(const Ask& ask) {
  net::ClientRequest request;
  request.method = ask.method;
  request.url = url(ask.path);
  request.headers = ask.headers;
  if (!ask.token.empty()) request.headers.push_back({"Authorization", "Bearer " + ask.token});
  if (!ask.body.empty() && !net::has_header(request.headers, "Content-Type")) {
    request.headers.push_back({"Content-Type", "application/json"});
  }
  request.body = ask.body;
  auto got = net::fetch(request);
  Answer answer;
  if (!got) {
    ADD_FAILURE() << ask.method << ' ' << ask.path << ": " << got.error().message;
    return answer;
  }
  answer.status = got->status;
  answer.headers = std::move(got->headers);
  answer.body = std::move(got->body);
  if (ask.method != "HEAD" && is_json_type(answer.header("Content-Type"))) {
    boost::system::error_code ec;
    js::parse_options options;
    options.max_depth = 64;
    answer.json = js::parse(answer.body, ec, {}, options);
    EXPECT_FALSE(ec) << ask.path << " does not answer JSON: " << answer.body.substr(0, 200);
  }
  // The next request may go to another process.
  if (ask.method != "GET" && ask.method != "HEAD") installation_.settle();
  check_conventions(ask, answer);
  if (description_) {
    const auto complaint =
        description_->judge(ask.method, ask.path.substr(0, ask.path.find('?')), answer);
    EXPECT_EQ(complaint, "") << ask.method << ' ' << ask.path << ' ' << ask.body.substr(0, 300)
                             << "\n-> " << answer;
  }
  return answer;
}

Answer TestServer::get(const std::string& path, const std::string& token, net::Headers headers) {
  return call({"GET", path, token, "", std::move(headers)});
}
Answer TestServer::post(const std::string& path, const js::value& body, const std::string& token,
                        net::Headers headers) {
  return call({"POST", path, token, js::serialize(body), std::move(headers)});
}
Answer TestServer::post(const std::string& path, const std::string& token) {
  return call({"POST", path, token, "", {}});
}
Answer TestServer::patch(const std::string& path, const js::value& body, const std::string& token,
                         net::Headers headers) {
  return call({"PATCH", path, token, js::serialize(body), std::move(headers)});
}
Answer TestServer::remove(const std::string& path, const std::string& token, net::Headers headers) {
  return call({"DELETE", path, token, "", std::move(headers)});
}

Answer TestServer::metrics(const std::string& token) {
  auto answer = get("/metrics", token);
  if (installation_.ports().size() == 1) return answer;
  std::vector<std::string> order;  // comments and series, each once
  std::map<std::string, double> sums;
  for (const auto port : installation_.ports()) {
    net::ClientRequest ask;
    ask.url = fmt::format("http://127.0.0.1:{}/metrics", port);
    if (!token.empty()) ask.headers.push_back({"Authorization", "Bearer " + token});
    const auto got = net::fetch(ask);
    if (!got || got->status != 200) throw std::runtime_error("a process shows no metrics");
    std::istringstream lines(got->body);
    for (std::string line; std::getline(lines, line);) {
      const bool comment = line.empty() || line.front() == '#';
      const auto end = comment ? line.size() : line.rfind(' ');
      const auto [place, fresh] = sums.emplace(line.substr(0, end), 0);
      if (fresh) order.push_back(place->first);
      if (!comment) place->second += std::stod(line.substr(end + 1));
    }
  }
  answer.body.clear();
  for (const auto& line : order) {
    const bool comment = line.empty() || line.front() == '#';
    const double sum = sums[line];
    answer.body += comment                  ? line + "\n"
                   : sum == std::floor(sum) ? fmt::format("{} {:.0f}\n", line, sum)
                                            : fmt::format("{} {}\n", line, sum);
  }
  return answer;
}

Answer TestServer::until(const std::string& path, const std::string& token,
                         const std::function<bool(const Answer&)>& so) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  for (;;) {
    auto answer = get(path, token);
    if (so(answer)) {
      installation_.settle();  // who is asked next knows it, too
      return answer;
    }
    if (std::chrono::steady_clock::now() > deadline) {
      ADD_FAILURE() << "not within 20 s: " << path << " is " << answer;
      return answer;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

Answer TestServer::until_state(const std::string& deployment, const std::string& token,
                               const std::string& state) {
  return until("/api/v1/deployments/" + deployment, token,
               [&](const Answer& a) { return a.text("/state") == state; });
}

Person TestServer::person(const std::string& name) {
  const auto made =
      post("/api/v1/auth/register",
           {{"username", name}, {"email", name + "@example.org"}, {"password", kPassword}});
  EXPECT_EQ(made.status, 201) << made;
  const auto login = post("/api/v1/auth/login", {{"username", name}, {"password", kPassword}});
  EXPECT_EQ(login.status, 200) << login;
  return {made.text("/id"), name, login.text("/access_token"), login.text("/refresh_token")};
}

std::string TestServer::organization(const std::string& name, const Person& owner) {
  const auto made = post("/api/v1/organizations", {{"name", name}}, owner.token);
  EXPECT_EQ(made.status, 201) << made;
  return made.text("/id");
}

void TestServer::join(const std::string& organization, const Person& owner, const Person& who,
                      const std::string& role) {
  const auto invite =
      post("/api/v1/organizations/" + organization + "/invites", {{"role", role}}, owner.token);
  EXPECT_EQ(invite.status, 201) << invite;
  const auto joined = post("/api/v1/invites/redeem", {{"code", invite.text("/code")}}, who.token);
  EXPECT_EQ(joined.status, 200) << joined;
}

std::string TestServer::cluster(const std::string& organization, const std::string& name,
                                const Person& who, const js::value& resources) {
  const auto made = post("/api/v1/clusters",
                         {{"organization_id", organization},
                          {"name", name},
                          {"runtime", {{"kind", "simulated"}}},
                          {"resources", resources}},
                         who.token);
  EXPECT_EQ(made.status, 201) << made;
  return made.text("/id");
}

std::string TestServer::cluster_of_nodes(const std::string& organization, const std::string& name,
                                         const Person& who, const js::array& nodes) {
  const auto made = post("/api/v1/clusters",
                         {{"organization_id", organization},
                          {"name", name},
                          {"runtime", {{"kind", "simulated"}}},
                          {"nodes", nodes}},
                         who.token);
  EXPECT_EQ(made.status, 201) << made;
  return made.text("/id");
}

Answer TestServer::submit(const std::string& cluster, const std::string& name, const Person& who,
                          const js::object& resources, const js::object& extra) {
  js::object body{{"cluster_id", cluster}, {"name", name}, {"resources", resources}};
  for (const auto& [key, value] : extra) body[key] = value;
  return post("/api/v1/deployments", body, who.token);
}

namespace {
std::unique_ptr<TestServer> the_server;

class Stop : public testing::Environment {
 public:
  void TearDown() override { the_server.reset(); }
};
const auto* const kStop = testing::AddGlobalTestEnvironment(new Stop);
}  // namespace

TestServer& shared_server() {
  if (!the_server) the_server = std::make_unique<TestServer>();
  return *the_server;
}

std::string fresh(const std::string& stem) {
  static std::atomic<int> number = 0;
  return fmt::format("{}-{}", stem, ++number);
}

Site::Site(const js::value& resources, TestServer& s)
    : server(s),
      owner(s.person(fresh("owner"))),
      organization(s.organization(fresh("org"), owner)),
      cluster(s.cluster(organization, "lab", owner, resources)) {
  // What is submitted before somebody decides about the cluster would be decided all at once.
  server.until("/api/v1/clusters/" + cluster + "/status", owner.token,
               [](const Answer& a) { return a.status == 200; });
}

Answer Site::submit(const std::string& name, const js::object& resources, const js::object& extra) {
  auto made = server.submit(cluster, name, owner, resources, extra);
  if (made.status == 201) ids[name] = made.text("/id");
  return made;
}
Answer Site::show(const std::string& name) {
  return server.get("/api/v1/deployments/" + id(name), owner.token);
}
void Site::until(const std::string& name, const std::string& state) {
  server.until_state(id(name), owner.token, state);
}
std::string Site::queue() {
  return server.get("/api/v1/clusters/" + cluster + "/queue", owner.token).items("name");
}

}  // namespace berth::test
