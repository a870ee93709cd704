// Durable submissions through the store port, 64 units in one transaction as group commit makes
// them, against a bare libpq loop that writes the same rows with prepared statements, one round
// trip each, and against one that sends a whole transaction as one pipeline. Give it a database of
// its own:
//   scripts/dev/postgres.sh start DIR; store_bench URL --scratch DIR
#include <fmt/format.h>
#include <libpq-fe.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>

#include "base/random.h"
#include "store/postgres/postgres_store.h"
#include "store/sqlite/sqlite_store.h"

namespace berth::bench {
namespace {

using SteadyClock = std::chrono::steady_clock;
constexpr int kUnits = 64;

template <class T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message);
  return std::move(*result);
}
void must(Result<void> result) {
  if (!result) throw std::runtime_error(result.error().message);
}

struct World {
  World() {
    org = {OrganizationId::make(now, random), "bench-" + OrganizationId::make(now, random).str(),
           now, 1};
    cluster.id = ClusterId::make(now, random);
    cluster.organization = org.id;
    cluster.name = "bench";
    cluster.nodes = {{"n1", {4000, 1 << 30, 0}, ""}};
    cluster.created_at = now;
  }
  void prepare(Store& store) const {
    auto tx = must(store.begin());
    must(tx->insert(org));
    must(tx->insert(cluster));
    must(tx->commit());
  }
  Deployment fresh() {
    Deployment d;
    d.id = DeploymentId::make(SystemClock().now(), random);
    d.organization = org.id;
    d.cluster = cluster.id;
    d.name = "d" + to_hex(std::string_view(reinterpret_cast<const char*>(d.id.bytes().data()), 16));
    d.spec.command = {"python3", "serve.py", "--model", "digits"};
    d.spec.env = {{"LOG_LEVEL", "info"}};
    d.spec.resources = {500, 1 << 28, 0};
    d.created_at = d.updated_at = now;
    return d;
  }
  Event event(const Deployment& d) const {
    return {0,      now,
            org.id, cluster.id,
            d.id,   "deployment.queued",
            "usr",  "ada",
            "req",  R"({"priority":"low","order":17})"};
  }
  SystemRandom random;
  Timestamp now = SystemClock().now();
  Organization org;
  Cluster cluster;
};

void through_the_store(Store& store, World& world) {
  auto tx = must(store.begin());
  for (int i = 0; i < kUnits; ++i) {
    must(tx->mark());
    auto d = world.fresh();
    d.order = must(tx->take_order(world.cluster.id));
    must(tx->insert(d));
    tx->append(world.event(d));
    must(tx->keep());
  }
  must(tx->commit());
}

class Bare {
 public:
  explicit Bare(const std::string& url) : db_(PQconnectdb(url.c_str())) {
    prepare("o",
            "UPDATE clusters SET next_order = next_order + 1 WHERE id = $1 RETURNING next_order");
    prepare("d",
            "INSERT INTO deployments (id, org_id, cluster_id, name, priority, state, ord, cpu, "
            "memory, gpu, spec, created_by, created_at, updated_at, version) "
            "VALUES ($1, $2, $3, $4, 'low', 'queued', 1, 500, 268435456, 0, $5, $2, 1, 1, 1)");
    prepare("e",
            "WITH t AS (UPDATE event_counter SET value = value + 1 RETURNING value) INSERT INTO "
            "events (seq, at, org_id, cluster_id, deployment_id, kind, actor, "
            "actor_name, request_id, data) SELECT value, 1, $2, $3, $1, 'deployment.queued', "
            "'usr', 'ada', 'req', $4 FROM t");
  }
  ~Bare() { PQfinish(db_); }
  Bare(const Bare&) = delete;
  Bare& operator=(const Bare&) = delete;

  void transaction(World& world, bool pipelined) {
    if (pipelined) PQenterPipelineMode(db_);
    command("BEGIN", pipelined);
    for (int i = 0; i < kUnits; ++i) {
      const auto d = world.fresh();
      const auto view = [](const auto& id) {
        return std::string_view(reinterpret_cast<const char*>(id.bytes().data()), 16);
      };
      static const std::string spec =
          R"({"command":["python3","serve.py","--model","digits"],"env":{"LOG_LEVEL":"info"}})";
      send("o", {view(world.cluster.id)}, pipelined);
      send("d", {view(d.id), view(world.org.id), view(world.cluster.id), d.name, spec}, pipelined);
      send("e",
           {view(d.id), view(world.org.id), view(world.cluster.id),
            R"({"priority":"low","order":17})"},
           pipelined);
    }
    command("COMMIT", pipelined);
    if (!pipelined) return;
    PQpipelineSync(db_);
    for (;;) {
      PGresult* r = PQgetResult(db_);
      const auto status = PQresultStatus(r);
      if (r != nullptr && status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK &&
          status != PGRES_PIPELINE_SYNC)
        throw std::runtime_error(PQerrorMessage(db_));
      PQclear(r);
      if (status == PGRES_PIPELINE_SYNC) break;
    }
    PQexitPipelineMode(db_);
  }

 private:
  void check(PGresult* r) {
    const auto status = PQresultStatus(r);
    PQclear(r);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
      throw std::runtime_error(PQerrorMessage(db_));
  }
  void prepare(const char* name, const char* sql) { check(PQprepare(db_, name, sql, 0, nullptr)); }
  void command(const char* sql, bool pipelined) {
    if (pipelined) {
      PQsendQueryParams(db_, sql, 0, nullptr, nullptr, nullptr, nullptr, 1);
    } else {
      check(PQexec(db_, sql));
    }
  }
  void send(const char* name, const std::vector<std::string_view>& values, bool pipelined) {
    std::array<const char*, 8> data{};
    std::array<int, 8> sizes{}, formats{};
    for (std::size_t i = 0; i < values.size(); ++i)
      data[i] = values[i].data(), sizes[i] = static_cast<int>(values[i].size()), formats[i] = 1;
    const int count = static_cast<int>(values.size());
    if (pipelined) {
      PQsendQueryPrepared(db_, name, count, data.data(), sizes.data(), formats.data(), 1);
    } else {
      check(PQexecPrepared(db_, name, count, data.data(), sizes.data(), formats.data(), 1));
    }
  }
  PGconn* db_;
};

int run(const std::string& url, const std::string& scratch, int rounds) {
  must(postgres::migrate(url));
  postgres::PostgresStore postgres_store(postgres::Options{url});
  const std::string file = scratch + "/store_bench.db";
  for (const auto* suffix : {"", "-wal", "-shm"}) std::filesystem::remove(file + suffix);
  sqlite::SqliteStore sqlite_store(sqlite::Options{file});
  World world;
  world.prepare(postgres_store);
  world.prepare(sqlite_store);
  Bare bare(url);
  struct Way {
    const char* name;
    std::function<void()> once;
    std::vector<double> rates;
  };
  std::vector<Way> ways{
      {"PostgreSQL through the store", [&] { through_the_store(postgres_store, world); }, {}},
      {"bare libpq, a round trip each", [&] { bare.transaction(world, false); }, {}},
      {"bare libpq, one pipeline", [&] { bare.transaction(world, true); }, {}},
      {"SQLite through the store", [&] { through_the_store(sqlite_store, world); }, {}}};
  constexpr int kTransactions = 20;
  for (int round = 0; round < rounds; ++round) {
    for (auto& way : ways) {  // in turns, so that all see the same machine
      const auto began = SteadyClock::now();
      for (int i = 0; i < kTransactions; ++i) way.once();
      way.rates.push_back(kTransactions * kUnits /
                          std::chrono::duration<double>(SteadyClock::now() - began).count());
    }
  }
  for (auto& way : ways) {
    std::ranges::sort(way.rates);
    fmt::print("{:<32} {:>8.0f} units/s (median of {}; {:.0f} to {:.0f})\n", way.name,
               way.rates[way.rates.size() / 2], rounds, way.rates.front(), way.rates.back());
  }
  return 0;
}

}  // namespace
}  // namespace berth::bench

int main(int argc, char** argv) {
  CLI::App app{"Benchmark of the store: durable submissions, 64 in a transaction"};
  std::string url, scratch = ".";
  int rounds = 15;
  app.add_option("url", url, "postgresql://...")->required();
  app.add_option("--scratch", scratch, "Where the SQLite database lies")->capture_default_str();
  app.add_option("--rounds", rounds, "Each figure is the median of so many")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  return berth::bench::run(url, scratch, rounds);
}
