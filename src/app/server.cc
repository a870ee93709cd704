#include "app/server.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <stdexcept>
#include <thread>

#include "api/api.h"
#include "app/data_dir.h"
#include "app/runtimes.h"
#include "service/json_text.h"
#include "service/log.h"
#include "store/sqlite/sqlite_store.h"

namespace berth::app {
namespace {

int thread_count(const ServeConfig& config) {
  if (config.threads > 0) return config.threads;
  const auto cores = static_cast<int>(std::thread::hardware_concurrency());
  return std::clamp(cores, 1, 4);
}

DataDir open_data_dir(const ServeConfig& config) {
  auto dir = DataDir::open(config.data_dir, config.separate_users);
  if (!dir) throw std::runtime_error(dir.error().message);
  return std::move(*dir);
}

net::ServerOptions server_options(const ServeConfig& config) {
  net::ServerOptions options;
  options.host = config.host;
  options.port = config.port;
  options.threads = thread_count(config);
  return options;
}

ClusterRules cluster_rules(const ServeConfig& config) {
  ClusterRules rules;
  if (config.process_runtime) rules.runtimes.push_back(RuntimeKind::process);
  rules.runtimes.push_back(RuntimeKind::simulated);
  return rules;
}

api::ApiOptions api_options(const ServeConfig& config) {
  api::ApiOptions options;
  options.rate = {config.rate_per_second, config.rate_per_second * 2};
  options.bookmark_every = config.bookmark_every;
  return options;
}

std::string setup_token_of(const DataDir& dir) { return (dir.path() / "setup-token").string(); }

AccountRules account_rules(const ServeConfig& config, const DataDir& dir) {
  AccountRules rules;
  rules.open_registration = config.open_registration;
  rules.when_set_up = [file = setup_token_of(dir)] { ::unlink(file.c_str()); };
  rules.access_lifetime = config.access_lifetime;
  rules.free_failures = config.free_failures;
  return rules;
}

}  // namespace

struct Server::Parts {
  explicit Parts(ServeConfig c)
      : config(std::move(c)),
        dir(open_data_dir(config)),
        store(sqlite::Options{dir.database()}),
        reads(store),
        runner(runner_io, reads, clock,
               runtime_factory(config, dir.runtimes(), runner_io, clock, random), RunnerOptions{}),
        scheduling(runner, [this](const Deployment& d) { reads.changed(d); }),
        committer(store, clock, scheduling,
                  [this](std::vector<Event> events) { hub.publish(std::move(events)); }),
        passwords(std::max(1, static_cast<int>(std::thread::hardware_concurrency()) / 2)),
        accounts(reads, committer, passwords, clock, random, account_rules(config, dir)),
        organizations(reads, committer, random, config.free_failures),
        clusters(reads, committer, scheduling, runner, random, cluster_rules(config)),
        deployments(reads, committer, scheduling, runner, clock, random),
        api(api::Services{reads, committer, accounts, organizations, clusters, deployments, runner,
                          hub, clock, random},
            api_options(config)),
        http(server_options(config), api) {
    runner.connect(committer, scheduling, [this](const Deployment& d) { reads.changed(d); });
  }

  ServeConfig config;
  DataDir dir;
  SystemClock clock;
  SystemRandom random;
  sqlite::SqliteStore store;
  ReadSide reads;
  WatchHub hub;
  asio::io_context runner_io{1};
  Runner runner;
  Scheduling scheduling;
  Committer committer;
  Passwords passwords;
  Accounts accounts;
  Organizations organizations;
  Clusters clusters;
  Deployments deployments;
  api::Api api;
  net::HttpServer http;
  std::string setup_token;
  std::thread runner_thread;
  std::jthread keeper;  // housekeeping and the permanent auditor
};

Server::Server(ServeConfig config) : parts_(std::make_unique<Parts>(std::move(config))) {}
Server::~Server() { stop(); }

namespace {

// Looks at the ledger with its own arithmetic and removes what has served its time.
void keep_house(std::stop_token stop, ReadSide& reads, Committer& committer, const Clock& clock,
                api::Metrics& metrics, std::chrono::days keep_events) {
  std::mutex mutex;
  std::condition_variable_any bell;
  std::unique_lock lock(mutex);
  for (std::uint64_t round = 0; !stop.stop_requested(); ++round) {
    if (auto view = reads.view()) {
      if (auto findings = (*view)->audit_ledger()) {
        metrics.set_drift(static_cast<double>(findings->size()));
        for (const auto& f : *findings)
          log_error("broken invariant", f.invariant + ": " + f.detail);
      }
    }
    if (round % 60 == 0) {
      const Timestamp now = clock.now();
      committer.submit(
          [now, keep_events](Change& change) {
            return change.tx.prune(now.plus(-std::chrono::hours(24)), now, now.plus(-keep_events));
          },
          [](Result<void> done) {
            if (!done) log_error("housekeeping", done.error().message);
          });
    }
    bell.wait_for(lock, stop, std::chrono::minutes(1), [] { return false; });
  }
}

}  // namespace

Result<void> Server::start() {
  Parts& p = *parts_;
  if (auto view = p.reads.view()) {
    const auto last = (*view)->last_event();
    if (last) p.hub.start_from(*last);
  }
  auto token = p.accounts.issue_setup_token();
  if (!token) return std::unexpected(std::move(token.error()));
  p.setup_token = std::move(*token);
  if (!p.setup_token.empty()) {
    if (auto kept = DataDir::write_secret(setup_token_file(), p.setup_token + "\n"); !kept)
      return kept;
  } else {
    ::unlink(setup_token_file().c_str());
  }
  if (auto started = p.http.start(); !started) return started;
  if (auto recovered = p.runner.recover(); !recovered) return recovered;
  p.runner_thread = std::thread([&p] {
    const auto work = asio::make_work_guard(p.runner_io);
    p.runner_io.run();
  });
  p.keeper = std::jthread([&p](std::stop_token stop) {
    keep_house(stop, p.reads, p.committer, p.clock, p.api.metrics(), p.config.keep_events);
  });
  return {};
}

void Server::stop() {
  Parts& p = *parts_;
  p.api.drain();
  p.hub.close();
  p.http.drain();
  p.keeper = {};
  p.runner_io.stop();
  if (p.runner_thread.joinable()) p.runner_thread.join();
  p.passwords.stop();
  p.committer.stop();
  p.http.stop();  // last: the threads above answered into its loops
}

Result<User> Server::put_admin(const Registration& wish) {
  return parts_->accounts.put_admin(wish);
}

std::uint16_t Server::port() const { return parts_->http.port(); }
const std::vector<api::Route>& Server::routes() const { return parts_->api.routes(); }
const ServeConfig& Server::config() const { return parts_->config; }
std::string Server::data_dir() const { return parts_->dir.path().string(); }
const std::string& Server::setup_token() const { return parts_->setup_token; }
std::string Server::setup_token_file() const { return setup_token_of(parts_->dir); }

namespace {

std::string url_of(const Server& server) {
  const auto& host = server.config().host;
  const bool any = host == "0.0.0.0" || host == "::";
  const std::string shown = host == "127.0.0.1" || any            ? "localhost"
                            : host.find(':') != std::string::npos ? "[" + host + "]"
                                                                  : host;
  return fmt::format("http://{}:{}", shown, server.port());
}

void announce(const Server& server) {
  const std::string url = url_of(server);
  const bool fresh = !server.setup_token().empty();
  const std::string link = url + "/setup#token=" + server.setup_token();
  if (!isatty(STDOUT_FILENO)) {
    JsonText line;
    line.add("version", BERTH_VERSION).add("api", url + "/api/v1").add("docs", url + "/swagger/");
    line.add("data_dir", server.data_dir()).add("pid", getpid());
    if (fresh) line.add("setup_token_file", server.setup_token_file());
    std::puts(line.str().c_str());
  } else {
    fmt::print("Berth {}\n  data      {}\n  API       {}/api/v1\n  API docs  {}/swagger/\n",
               BERTH_VERSION, server.data_dir(), url, url);
    if (fresh) {
      fmt::print("  set up    {}   (works once, for 30 minutes)\n", link);
      fmt::print(
          "            or: berth admin create-user --data-dir {} --username NAME --email ADDRESS "
          "(with the server stopped)\n",
          server.data_dir());
    }
    fmt::print("  stop      Ctrl-C; what runs goes on and is found again at the next start\n");
  }
  std::fflush(stdout);
}

}  // namespace

int serve(ServeConfig config) {
  std::signal(SIGPIPE, SIG_IGN);
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);  // before threads: they inherit it
  try {
    Server server(std::move(config));
    if (auto started = server.start(); !started) {
      fmt::print(stderr, "berth: {}\n", started.error().message);
      return 1;
    }
    announce(server);
    int got = 0;
    sigwait(&signals, &got);
    log_info("stopping", got == SIGINT ? "interrupted" : "terminated");
    server.stop();
    return 0;
  } catch (const std::exception& e) {
    fmt::print(stderr, "berth: {}\n", e.what());
    return 1;
  }
}

int create_admin(const ServeConfig& config, const AdminUser& wish) {
  Server server(config);  // takes the data directory's lock: refused while another one runs
  const auto made = server.put_admin({wish.username, wish.email, wish.password, std::nullopt});
  if (!made) {
    fmt::print(stderr, "berth: {}\n", made.error().message);
    for (const auto& field : made.error().fields)
      fmt::print(stderr, "  {}: {}\n", field.pointer, field.message);
    return made.error().code == Code::invalid_argument ? 6 : 1;
  }
  fmt::print("Administrator {} is ready in {}.\n", made->username, server.data_dir());
  return 0;
}

}  // namespace berth::app
