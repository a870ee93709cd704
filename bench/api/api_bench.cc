// What the whole server does over HTTP, against floors measured in the same run:
//   reads       GET of one deployment and of a list of 20, against /healthz of the same server
//   creates     durable submissions, against a bare SQLite loop that writes the same rows
//   start       from a submission to running, on an idle simulated cluster, beside one fsync
//   next        from a stop to the next one running, with 1k, 10k, 100k waiting
//   recovery    start-up with 100k deployments on record
//   memory      resident bytes for each waiting deployment
// It prints a table. Sizes and times can be made smaller for a quick look.
#include <fcntl.h>
#include <fmt/format.h>
#include <sqlite3.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>

#include "json/value.h"
#include "load.h"
#include "server_process.h"

namespace berth::bench {
namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  std::string program;
  std::string scratch = ".";
  int seconds = 4;
  int rounds = 3;
  int starts = 1000;
  std::size_t waiting = 100'000;
  bool only_reads = false, only_creates = false, only_scheduling = false;
  [[nodiscard]] bool all() const { return !only_reads && !only_creates && !only_scheduling; }
};

double ms_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double, std::milli>(to - from).count();
}

double quantile(std::vector<double> values, double q) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const auto rank = static_cast<std::size_t>(std::ceil(q * static_cast<double>(values.size())));
  return values[std::clamp<std::size_t>(rank, 1, values.size()) - 1];
}

std::string field(std::string_view body, std::string_view key) {
  const auto value = json::parse(body);
  if (!value || !value->is_object())
    throw std::runtime_error(fmt::format("not an object: {}", body));
  const auto* found = value->as_object().if_contains(key);
  if (found == nullptr || !found->is_string())
    throw std::runtime_error(fmt::format("no {} in {}", key, body));
  return std::string(found->as_string());
}

void row(std::string_view what, std::string_view figure, std::string_view against,
         std::string_view goal) {
  fmt::print("| {:<38} | {:<34} | {:<40} | {:<18} |\n", what, figure, against, goal);
  std::fflush(stdout);
}

// One account, one organization, clusters as asked for.
class World {
 public:
  World(const ServerProcess& server, const std::string& data_dir)
      : server_(server), wire_(server.port()) {
    std::string setup;
    std::getline(std::ifstream(data_dir + "/setup-token"), setup);
    const auto login = must(
        "POST", "/api/v1/setup",
        fmt::format(
            R"({{"token":"{}","username":"bench","email":"bench@example.org","password":"a long enough one 7","organization":"bench"}})",
            setup));
    token_ = field(login, "access_token");
    const auto list = json::parse(must("GET", "/api/v1/organizations", ""));
    organization_ = std::string(list->at("items").as_array().at(0).at("id").as_string());
  }
  std::string must(const std::string& method, const std::string& path, const std::string& body) {
    auto [status, answer] = wire_.call(http_request(method, path, token_, body));
    if (status >= 400)
      throw std::runtime_error(fmt::format("{} {}: {} {}", method, path, status, answer));
    return answer;
  }
  std::string cluster(const std::string& name, std::string_view cpu) {
    return field(
        must(
            "POST", "/api/v1/clusters",
            fmt::format(
                R"({{"organization_id":"{}","name":"{}","runtime":{{"kind":"simulated"}},"resources":{{"cpu":{},"memory":"1TiB"}}}})",
                organization_, name, cpu)),
        "id");
  }
  [[nodiscard]] static std::string wish(const std::string& cluster, std::string_view name,
                                        std::string_view cpu = "1") {
    return fmt::format(
        R"({{"cluster_id":"{}","name":"{}","kind":"service","priority":"low","resources":{{"cpu":{},"memory":"1GiB"}}}})",
        cluster, name, cpu);
  }
  // A cluster whose only place is taken, so that everything else waits.
  std::string full_cluster(const std::string& name) {
    const auto id = cluster(name, "1");
    must("POST", "/api/v1/deployments", wish(id, name + "-holder"));
    return id;
  }
  LoadResult fill(const std::string& cluster, const std::string& prefix, std::size_t count) {
    std::uint64_t number = 0;
    LoadPlan plan{.port = server_.port(), .connections = 64, .requests = count};
    plan.next = [&, this] {
      return http_request("POST", "/api/v1/deployments", token_,
                          wish(cluster, fmt::format("{}-{}", prefix, number++)));
    };
    return run_load(plan);
  }
  [[nodiscard]] const std::string& token() const { return token_; }
  [[nodiscard]] std::uint16_t port() const { return server_.port(); }

 private:
  const ServerProcess& server_;
  Wire wire_;
  std::string token_, organization_;
};

// The event stream of one cluster, read as it comes.
class Stream {
 public:
  Stream(World& world, const std::string& cluster) : wire_(world.port()) {
    wire_.send(http_request("GET", "/api/v1/events?cluster_id=" + cluster, world.token()));
    while (in_.find(": connected") == std::string::npos) pull();
    in_.clear();
  }
  // Reads on until the event of this kind; answers the deployment it is about.
  std::string next(std::string_view kind) {
    for (;;) {
      for (auto end = in_.find("\n\n"); end != std::string::npos; end = in_.find("\n\n")) {
        const std::string frame = in_.substr(0, end);
        in_.erase(0, end + 2);
        if (frame.find(fmt::format("event: {}\n", kind)) == std::string::npos) continue;
        const auto at = frame.find("\"deployment_id\":\"");
        return frame.substr(at + 17, 30);
      }
      pull();
    }
  }

 private:
  void pull() {
    const auto piece = wire_.receive();
    if (piece.empty()) throw std::runtime_error("the event stream ended");
    in_ += piece;
  }
  Wire wire_;
  std::string in_;
};

// --- reads ---------------------------------------------------------------------------------------

void bench_reads(World& world, const Options& o) {
  const auto cluster = world.full_cluster("reads");
  std::string one;
  for (int i = 0; i < 40; ++i)
    one = field(
        world.must("POST", "/api/v1/deployments", World::wish(cluster, fmt::format("r{}", i))),
        "id");
  struct Kind {
    std::string name, request;
    std::vector<double> rates = {};
    std::vector<double> p99 = {};
  };
  std::vector<Kind> kinds{
      {"/healthz", http_request("GET", "/healthz", "")},
      {"one", http_request("GET", "/api/v1/deployments/" + one, world.token())},
      {"list", http_request("GET", "/api/v1/deployments?limit=20", world.token())}};
  for (int round = 0; round < o.rounds; ++round) {
    for (auto& kind : kinds) {
      LoadPlan plan{.port = world.port(), .duration = std::chrono::seconds(o.seconds), .next = [&] {
                      return kind.request;
                    }};
      const auto result = run_load(plan);
      if (result.refused > 0) throw std::runtime_error(kind.name + " was refused");
      kind.rates.push_back(result.rate());
      kind.p99.push_back(result.quantile_ms(0.99));
    }
  }
  const double floor = quantile(kinds[0].rates, 0.5);
  const auto line = [&](const Kind& kind, const char* what, const char* goal) {
    const double rate = quantile(kind.rates, 0.5);
    row(what, fmt::format("{:.0f}/s, p99 {:.2f} ms", rate, quantile(kind.p99, 0.5)),
        fmt::format("{:.2f}x of /healthz ({:.0f}/s)", rate / floor, floor), goal);
  };
  line(kinds[1], "GET one deployment, 64 connections", ">= 0.6x");
  line(kinds[2], "GET list of 20, 64 connections", ">= 0.3x");
}

// --- durable creates
// -------------------------------------------------------------------------------

void must_sql(sqlite3* db, const char* sql) {
  if (sqlite3_exec(db, sql, nullptr, nullptr, nullptr) != SQLITE_OK)
    throw std::runtime_error(sqlite3_errmsg(db));
}

// Copies the rows that the server wrote, with fresh keys, into an empty database of the same
// schema, in transactions of 64. Nothing else: no JSON, no decisions, no HTTP.
double bare_sqlite_rate(const std::string& server_db, const std::string& scratch,
                        std::size_t count) {
  const std::string file = scratch + "/bare.db";
  std::filesystem::remove(file);
  sqlite3* db = nullptr;
  if (sqlite3_open(file.c_str(), &db) != SQLITE_OK) throw std::runtime_error("cannot open " + file);
  must_sql(db,
           "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=OFF; PRAGMA "
           "cache_size=-4096;");
  must_sql(db, fmt::format("ATTACH '{}' AS src", server_db).c_str());
  std::vector<std::string> schema;
  sqlite3_exec(
      db,
      "SELECT sql FROM src.sqlite_master WHERE tbl_name IN ('deployments','events','clusters') AND "
      "type <> 'trigger' AND sql IS NOT NULL ORDER BY type DESC",
      [](void* out, int, char** cells, char**) {
        return static_cast<std::vector<std::string>*>(out)->emplace_back(cells[0]), 0;
      },
      &schema, nullptr);
  for (const auto& sql : schema) must_sql(db, sql.c_str());
  must_sql(db, "INSERT INTO main.clusters SELECT * FROM src.clusters");
  must_sql(
      db,
      "CREATE TEMP TABLE d AS SELECT * FROM src.deployments WHERE state = 'queued' LIMIT 20000;"
      "CREATE TEMP TABLE e AS SELECT * FROM src.events WHERE kind = 'deployment.queued' LIMIT "
      "20000;");
  must_sql(db, "DETACH src");
  sqlite3_stmt *from_d = nullptr, *from_e = nullptr, *put_d = nullptr, *put_e = nullptr,
               *order = nullptr;
  const auto prepare = [&](const std::string& sql, sqlite3_stmt*& out) {
    if (sqlite3_prepare_v2(db, sql.c_str(), -1, &out, nullptr) != SQLITE_OK)
      throw std::runtime_error(sqlite3_errmsg(db));
  };
  prepare("SELECT * FROM temp.d", from_d);
  prepare("SELECT * FROM temp.e", from_e);
  const auto marks = [](int n) {
    std::string out = "?";
    for (int i = 1; i < n; ++i) out += ",?";
    return out;
  };
  const int columns_d = sqlite3_column_count(from_d), columns_e = sqlite3_column_count(from_e);
  prepare("INSERT INTO main.deployments VALUES (" + marks(columns_d) + ")", put_d);
  prepare("INSERT INTO main.events VALUES (" + marks(columns_e) + ")", put_e);
  prepare("UPDATE main.clusters SET next_order = next_order + 1 RETURNING next_order", order);
  const auto copy = [&](sqlite3_stmt* from, sqlite3_stmt* to, int columns) {
    if (sqlite3_step(from) != SQLITE_ROW) throw std::runtime_error("too few rows to copy");
    for (int c = 0; c < columns; ++c) sqlite3_bind_value(to, c + 1, sqlite3_column_value(from, c));
    if (sqlite3_step(to) != SQLITE_DONE) throw std::runtime_error(sqlite3_errmsg(db));
    sqlite3_reset(to);
  };
  const auto began = Clock::now();
  for (std::size_t i = 0; i < count; ++i) {
    if (i % 64 == 0) must_sql(db, "BEGIN IMMEDIATE");
    sqlite3_step(order);
    sqlite3_reset(order);
    copy(from_d, put_d, columns_d);
    copy(from_e, put_e, columns_e);
    if (i % 64 == 63 || i + 1 == count) must_sql(db, "COMMIT");
  }
  const double seconds = std::chrono::duration<double>(Clock::now() - began).count();
  for (auto* s : {from_d, from_e, put_d, put_e, order}) sqlite3_finalize(s);
  sqlite3_close(db);
  return static_cast<double>(count) / seconds;
}

void bench_creates(World& world, const Options& o, const std::string& data_dir,
                   const std::string& scratch) {
  const auto cluster = world.full_cluster("creates");
  constexpr std::size_t kCount = 15'000;
  std::vector<double> rates, p99, bare;
  for (int round = 0; round < o.rounds; ++round) {
    const auto result = world.fill(cluster, fmt::format("c{}", round), kCount);
    if (result.refused > 0) throw std::runtime_error("creates were refused");
    rates.push_back(result.rate());
    p99.push_back(result.quantile_ms(0.99));
    bare.push_back(bare_sqlite_rate(data_dir + "/berth.db", scratch, kCount));
  }
  row("durable create, 64 connections",
      fmt::format("{:.0f}/s, p99 {:.2f} ms", quantile(rates, 0.5), quantile(p99, 0.5)),
      fmt::format("{:.2f}x of bare SQLite by 64 ({:.0f}/s)",
                  quantile(rates, 0.5) / quantile(bare, 0.5), quantile(bare, 0.5)),
      ">= 0.5x");
}

// --- scheduling
// ------------------------------------------------------------------------------------

double fsync_ms(const std::string& scratch) {
  const std::string file = scratch + "/fsync";
  const int fd = open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  const std::string block(4096, 'x');
  std::vector<double> times;
  for (int i = 0; i < 200; ++i) {
    if (pwrite(fd, block.data(), block.size(), i * 4096) < 0)
      throw std::runtime_error("cannot write");
    const auto began = Clock::now();
    fdatasync(fd);
    times.push_back(ms_between(began, Clock::now()));
  }
  close(fd);
  unlink(file.c_str());
  return quantile(times, 0.5);
}

void bench_start(World& world, const Options& o, const std::string& scratch) {
  const auto cluster = world.cluster("idle", "64");
  Stream stream(world, cluster);
  std::vector<double> times;
  for (int i = 0; i < o.starts; ++i) {
    const auto began = Clock::now();
    const auto id = field(
        world.must("POST", "/api/v1/deployments", World::wish(cluster, fmt::format("s{}", i))),
        "id");
    while (stream.next("deployment.running") != id) {
    }
    times.push_back(ms_between(began, Clock::now()));
    world.must("POST", "/api/v1/deployments/" + id + "/stop", "");
    while (stream.next("deployment.stopped") != id) {
    }
  }
  row("submit to running, idle cluster",
      fmt::format("p50 {:.2f} ms, p99 {:.2f} ms", quantile(times, 0.5), quantile(times, 0.99)),
      fmt::format("one fdatasync: {:.2f} ms", fsync_ms(scratch)), "<= 1.5 / 8 ms");
}

double next_ms(World& world, const std::string& cluster, int rounds) {
  Stream stream(world, cluster);
  const auto list =
      json::parse(world.must("GET", "/api/v1/deployments?state=running&cluster_id=" + cluster, ""));
  std::string running(list->at("items").as_array().at(0).at("id").as_string());
  std::vector<double> times;
  for (int i = 0; i < rounds; ++i) {
    const auto began = Clock::now();
    world.must("POST", "/api/v1/deployments/" + running + "/stop", "");
    running = stream.next("deployment.running");
    times.push_back(ms_between(began, Clock::now()));
  }
  return quantile(times, 0.5);
}

// Answers the cluster with the longest queue.
std::string bench_next(World& world, const Options& o, const ServerProcess& server) {
  const auto before = server.resident_bytes();
  std::vector<std::pair<std::size_t, std::string>> sizes;
  for (std::size_t n = 1000; n <= o.waiting; n *= 10)
    sizes.emplace_back(n, world.full_cluster(fmt::format("next-{}", n)));
  std::size_t total = 0;
  for (const auto& [n, cluster] : sizes) {
    world.fill(cluster, fmt::format("n{}", n), n);
    total += n;
  }
  const auto after = server.resident_bytes();
  std::map<std::size_t, std::vector<double>> times;
  for (int round = 0; round < o.rounds; ++round) {
    for (const auto& [n, cluster] : sizes) times[n].push_back(next_ms(world, cluster, 100));
  }
  const double base = quantile(times[sizes.front().first], 0.5);
  for (const auto& [n, cluster] : sizes) {
    const double now = quantile(times[n], 0.5);
    row(fmt::format("stop to next running, {} waiting", n), fmt::format("p50 {:.2f} ms", now),
        fmt::format("{:.2f}x of {} waiting", now / base, sizes.front().first), "<= 1.3x");
  }
  row("memory for each waiting deployment",
      fmt::format("{:.0f} B", static_cast<double>(after - before) / static_cast<double>(total)),
      fmt::format("{} waiting, resident {} MiB", total, after >> 20), "<= 300 B");
  return sizes.back().second;
}

// From exec to the first answer about the longest queue, which needs the whole engine.
double start_ms(const Options& o, const std::string& data_dir, const std::string& token,
                const std::string& cluster) {
  const auto began = Clock::now();
  const ServerProcess server(o.program, data_dir);
  const auto [status, body] =
      Wire(server.port())
          .call(http_request("GET", "/api/v1/clusters/" + cluster + "/queue?limit=1", token));
  if (status != 200)
    throw std::runtime_error(fmt::format("no queue after the start: {} {}", status, body));
  return ms_between(began, Clock::now());
}

int run(const Options& o) {
  const TemporaryDirectory scratch(o.scratch);
  const std::string data_dir = scratch.path() + "/data";
  fmt::print("| {:<38} | {:<34} | {:<40} | {:<18} |\n|{:-<40}|{:-<36}|{:-<42}|{:-<20}|\n",
             "measured", "figure", "against, in this run", "goal", "", "", "", "");
  std::string token, longest;
  {
    const ServerProcess server(o.program, data_dir);
    World world(server, data_dir);
    token = world.token();
    if (o.all() || o.only_reads) bench_reads(world, o);
    if (o.all() || o.only_creates) bench_creates(world, o, data_dir, scratch.path());
    if (o.all() || o.only_scheduling) {
      bench_start(world, o, scratch.path());
      longest = bench_next(world, o, server);
    }
  }
  if (longest.empty()) return 0;
  std::vector<double> starts;
  for (int i = 0; i < o.rounds; ++i) starts.push_back(start_ms(o, data_dir, token, longest));
  row(fmt::format("start-up, over {} on record", o.waiting),
      fmt::format("{:.0f} ms", quantile(starts, 0.5)),
      "from exec to the longest queue's first page", "<= 1000 ms");
  return 0;
}

}  // namespace
}  // namespace berth::bench

int main(int argc, char** argv) {
  CLI::App app{"Benchmark of a whole berth server over HTTP"};
  berth::bench::Options o;
  app.add_option("program", o.program, "The berth binary")->required();
  app.add_option("--scratch", o.scratch, "Where the databases lie: the disk that counts")
      ->capture_default_str();
  app.add_option("--seconds", o.seconds, "Of each load of reads")->capture_default_str();
  app.add_option("--rounds", o.rounds, "Each figure is the median of so many")
      ->capture_default_str();
  app.add_option("--waiting", o.waiting, "The longest queue")->capture_default_str();
  app.add_option("--starts", o.starts, "Submissions on the idle cluster")->capture_default_str();
  app.add_flag("--reads", o.only_reads), app.add_flag("--creates", o.only_creates),
      app.add_flag("--scheduling", o.only_scheduling);
  CLI11_PARSE(app, argc, argv);
  try {
    return berth::bench::run(o);
  } catch (const std::exception& e) {
    fmt::print(stderr, "bench: {}\n", e.what());
    return 1;
  }
}
