#include "app/server.h"

#include <fmt/format.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <stdexcept>
#include <thread>

#include "api/api.h"
#include "app/cooperation.h"
#include "app/data_dir.h"
#include "app/databases.h"
#include "app/runtimes.h"
#include "cli/exit_code.h"
#include "service/json_text.h"
#include "service/log.h"

namespace berth::app {
namespace {

int thread_count(const ServeConfig& config) {
  if (config.threads > 0) return config.threads;
  const auto cores = static_cast<int>(std::thread::hardware_concurrency());
  return std::clamp(cores, 1, 4);
}

// Where nothing runs, nothing is kept.
std::optional<DataDir> open_data_dir(const ServeConfig& config) {
  if (config.role == ProcessRole::api) return std::nullopt;
  auto dir = is_shared(config)
                 ? DataDir::open_shared(config.data_dir, config.separate_users)
                 : DataDir::open(config.data_dir, config.separate_users, sqlite_file(config));
  if (!dir) throw std::runtime_error(dir.error().message);
  return std::move(*dir);
}

std::filesystem::path runtimes_of(const std::optional<DataDir>& dir) {
  return dir ? dir->runtimes() : std::filesystem::path();
}

CommitterRules committer_rules(const ServeConfig& config) {
  CommitterRules rules;
  if (!is_shared(config)) return rules;
  rules.sharing = Sharing::shared;
  rules.batch = 64;  // of savepoints, PostgreSQL keeps so many at hand
  return rules;
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

api::ApiOptions api_options(const ServeConfig& config, ReadSide& reads, Cooperation* together) {
  api::ApiOptions options;
  options.rate = {config.rate_per_second, config.rate_per_second * 2};
  options.bookmark_every = config.bookmark_every;
  if (together != nullptr) {
    options.deciders = &together->deciders();
    auto view = reads.view();
    auto secret = view ? (*view)->installation_secret() : std::unexpected(view.error());
    if (!secret) throw std::runtime_error(secret.error().message);
    options.secret = std::move(*secret);
    options.shared = [together] {
      const auto figures = together->figures();
      return api::Metrics::Shared{figures.clusters, figures.followed, figures.leads,
                                  figures.queue_reachable};
    };
  }
  if (config.role == ProcessRole::scheduler) {
    options.internal_only = true;
    options.rate.per_second = 0;  // the API process has counted
  }
  return options;
}

// Empty: there is no place for it.
std::string setup_token_of(const ServeConfig& config, const std::optional<DataDir>& dir) {
  return dir && config.role == ProcessRole::serve ? (dir->path() / "setup-token").string() : "";
}

AccountRules account_rules(const ServeConfig& config, const std::optional<DataDir>& dir) {
  AccountRules rules;
  rules.open_registration = config.open_registration;
  rules.when_set_up = [file = setup_token_of(config, dir)] { ::unlink(file.c_str()); };
  rules.access_lifetime = config.access_lifetime;
  rules.free_failures = config.free_failures;
  return rules;
}

}  // namespace

struct Server::Parts {
  explicit Parts(ServeConfig c)
      : config(std::move(c)),
        dir(open_data_dir(config)),
        store(open_store(config)),
        reads(*store),
        together(is_shared(config) ? std::make_unique<Cooperation>(config, reads, random)
                                   : nullptr),
        runner(runner_io, reads, clock, authority(),
               runtime_factory(config, runtimes_of(dir), runner_io, files, clock), RunnerOptions{}),
        scheduling(runner, authority(), [this](const Deployment& d) { reads.changed(d); }),
        committer(
            *store, clock, scheduling,
            [this](std::vector<Event> events) {
              // Where several write, everybody follows the history, and so does this process.
              if (together) return together->wrote();
              hub.publish(std::move(events));
            },
            committer_rules(config)),
        passwords(std::max(1, static_cast<int>(std::thread::hardware_concurrency()) / 2)),
        accounts(reads, committer, passwords, clock, random, account_rules(config, dir)),
        organizations(reads, committer, random, config.free_failures),
        clusters(reads, committer, scheduling, runner, clock, random, cluster_rules(config)),
        quotas(reads, committer, scheduling),
        deployments(reads, committer, scheduling, runner, clock, random),
        past(reads, clock),
        time_travel(reads, past),
        api(api::Services{reads, committer, accounts, organizations, clusters, quotas, deployments,
                          time_travel, runner, hub, clock, random},
            api_options(config, reads, together.get())),
        http(server_options(config), api) {
    runner.connect(committer, scheduling, [this](const Deployment& d) { reads.changed(d); });
    if (together) together->connect(committer, scheduling, runner, hub);
  }
  Authority& authority() {
    if (together) return together->authority();
    return sole;
  }

  ServeConfig config;
  std::optional<DataDir> dir;
  SystemClock clock;
  SystemRandom random;
  std::unique_ptr<Store> store;
  ReadSide reads;
  WatchHub hub;
  SoleAuthority sole;
  std::unique_ptr<Cooperation> together;  // where several processes work on one database
  asio::io_context runner_io{1};
  asio::thread_pool files{1};  // after the loop: it ends first, as what it does is answered there
  Runner runner;
  Scheduling scheduling;
  Committer committer;
  Passwords passwords;
  Accounts accounts;
  Organizations organizations;
  Clusters clusters;
  Quotas quotas;
  Deployments deployments;
  Past past;
  TimeTravel time_travel;
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
                api::Metrics& metrics, std::chrono::days keep_events, Cooperation* together) {
  std::mutex mutex;
  std::condition_variable_any bell;
  std::unique_lock lock(mutex);
  for (std::uint64_t round = 0; !stop.stop_requested(); ++round) {
    bell.wait_for(lock, stop, std::chrono::seconds(round == 0 ? 1 : 60), [] { return false; });
    // Of several, one does it.
    if (stop.stop_requested() || (together != nullptr && !together->figures().leads)) continue;
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
  }
}

}  // namespace

Result<void> Server::start() {
  Parts& p = *parts_;
  if (auto shown = offer_setup(); !shown) return shown;
  if (!p.together) {
    if (auto view = p.reads.view()) {
      const auto last = (*view)->last_event();
      if (last) p.hub.start_from(*last);
    }
  }
  if (auto started = p.http.start(); !started) return started;
  if (p.together) {
    if (auto joined = p.together->start(address()); !joined) return joined;
  } else if (auto recovered = p.runner.recover(); !recovered) {
    return recovered;
  }
  p.runner_thread = std::thread([&p] {
    const auto work = asio::make_work_guard(p.runner_io);
    p.runner_io.run();
  });
  if (p.config.role == ProcessRole::api) return {};
  p.keeper = std::jthread([&p](std::stop_token stop) {
    keep_house(stop, p.reads, p.committer, p.clock, p.api.metrics(), p.config.keep_events,
               p.together.get());
  });
  return {};
}

// The one-time link of a fresh installation. With several processes it is asked for on the command
// line: they would take it from each other.
Result<void> Server::offer_setup() {
  Parts& p = *parts_;
  const std::string file = setup_token_file();
  if (file.empty()) return {};
  auto token = p.accounts.issue_setup_token();
  if (!token) return std::unexpected(std::move(token.error()));
  p.setup_token = std::move(*token);
  if (!p.setup_token.empty()) return DataDir::write_secret(file, p.setup_token + "\n");
  ::unlink(file.c_str());
  return {};
}

void Server::stop() {
  Parts& p = *parts_;
  p.api.drain();
  p.hub.close();
  p.http.drain();
  p.keeper = {};
  if (p.together) p.together->stop();
  p.runner_io.stop();
  if (p.runner_thread.joinable()) p.runner_thread.join();
  p.passwords.stop();
  p.past.stop();
  p.committer.stop();
  p.http.stop();  // last: the threads above answered into its loops
}

Result<User> Server::put_admin(const Registration& wish) {
  return parts_->accounts.put_admin(wish);
}

Result<std::string> Server::new_setup_token() { return parts_->accounts.issue_setup_token(); }
bool Server::followed(std::int64_t event) const {
  if (!parts_->together) return true;
  const auto figures = parts_->together->figures();
  return figures.followed >= event && figures.looking == 0;
}

std::uint16_t Server::port() const { return parts_->http.port(); }
const std::vector<api::Route>& Server::routes() const { return parts_->api.routes(); }
const ServeConfig& Server::config() const { return parts_->config; }
std::string Server::address() const {
  const auto& c = parts_->config;
  if (!c.advertise.empty()) return c.advertise;
  return fmt::format("{}:{}", c.host.find(':') == std::string::npos ? c.host : "[" + c.host + "]",
                     port());
}
std::string Server::data_dir() const {
  return parts_->dir ? parts_->dir->path().string() : std::string();
}
const std::string& Server::setup_token() const { return parts_->setup_token; }
std::string Server::setup_token_file() const { return setup_token_of(parts_->config, parts_->dir); }

namespace {

std::string url_of(const Server& server) {
  const auto& host = server.config().host;
  const bool any = host == "0.0.0.0" || host == "::";
  const std::string shown = host == "127.0.0.1" || any            ? "localhost"
                            : host.find(':') != std::string::npos ? "[" + host + "]"
                                                                  : host;
  return fmt::format("http://{}:{}", shown, server.port());
}

void announce_to_program(const Server& server) {
  const auto& config = server.config();
  JsonText line;
  line.add("version", BERTH_VERSION).add("role", to_text(config.role)).add("pid", getpid());
  if (config.role == ProcessRole::scheduler) {
    line.add("internal", server.address());
  } else {
    const std::string url = url_of(server);
    line.add("api", url + "/api/v1").add("docs", url + "/swagger/");
  }
  if (!server.data_dir().empty()) line.add("data_dir", server.data_dir());
  if (!server.setup_token().empty()) line.add("setup_token_file", server.setup_token_file());
  std::puts(line.str().c_str());
}

void announce_to_person(const Server& server) {
  const auto& config = server.config();
  fmt::print(
      "Berth {}{}\n", BERTH_VERSION,
      config.role == ProcessRole::serve ? "" : fmt::format(", {} process", to_text(config.role)));
  if (!server.data_dir().empty()) fmt::print("  data      {}\n", server.data_dir());
  if (config.role == ProcessRole::scheduler) {
    fmt::print("  address   {}   (for the API processes)\n", server.address());
  } else {
    const std::string url = url_of(server);
    fmt::print("  API       {}/api/v1\n  API docs  {}/swagger/\n", url, url);
    if (!server.setup_token().empty()) {
      fmt::print("  set up    {}/setup#token={}   (works once, for 30 minutes)\n", url,
                 server.setup_token());
      fmt::print(
          "            or: berth admin create-user --data-dir {} --username NAME --email ADDRESS "
          "(with the server stopped)\n",
          server.data_dir());
    }
  }
  fmt::print("  stop      Ctrl-C; what runs goes on and is found again at the next start\n");
}

void announce(const Server& server) {
  if (isatty(STDOUT_FILENO)) {
    announce_to_person(server);
  } else {
    announce_to_program(server);
  }
  std::fflush(stdout);
}

}  // namespace

int serve(ServeConfig config) {
  if (auto fine = check(config); !fine) {
    fmt::print(stderr, "berth: {}\n", fine.error().message);
    return cli::kUsage;
  }
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

int create_admin(const ServeConfig& given, const AdminUser& wish) {
  ServeConfig config = given;
  if (is_shared(config)) config.role = ProcessRole::api;  // needs no data directory
  Server server(config);  // takes the data directory's lock: refused while another one runs
  const auto made = server.put_admin({wish.username, wish.email, wish.password, std::nullopt});
  if (!made) {
    fmt::print(stderr, "berth: {}\n", made.error().message);
    for (const auto& field : made.error().fields)
      fmt::print(stderr, "  {}: {}\n", field.pointer, field.message);
    return made.error().code == Code::invalid_argument ? 6 : 1;
  }
  fmt::print("Administrator {} is ready{}.\n", made->username,
             server.data_dir().empty() ? "" : " in " + server.data_dir());
  return 0;
}

}  // namespace berth::app
