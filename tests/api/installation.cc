#include "installation.h"

#include <fmt/format.h>

#include <chrono>
#include <cstdlib>
#include <stdexcept>
#include <thread>

#include "../queue/redis_server.h"
#include "../store/postgres_server.h"
#include "store/postgres/postgres_store.h"

namespace berth::test {
namespace {

constexpr std::size_t kApis = 3, kSchedulers = 3;

bool is_scaled() {
  const char* shape = std::getenv("BERTH_SHAPE");
  return shape != nullptr && std::string_view(shape) == "scaled";
}

PostgresServer& postgres() {
  static PostgresServer server;
  return server;
}
RedisServer& redis() {
  static RedisServer server;
  return server;
}

}  // namespace

// A database and a prefix of its own on the servers that the whole program shares.
struct Installation::Scaled {
  Scaled() : database(postgres().create_database()), url(postgres().url_of(database)) {
    if (auto done = berth::postgres::migrate(url); !done)
      throw std::runtime_error(done.error().message);
    queue = redis().url();
    queue += (queue.find('?') == std::string::npos ? "?prefix=" : "&prefix=") + database;
    auto opened = berth::postgres::PostgresStore({url}).open_view();
    if (!opened) throw std::runtime_error(opened.error().message);
    view = std::move(*opened);
  }
  std::string database, url, queue;
  std::unique_ptr<ReadView> view;
};

Installation::Installation(app::ServeConfig given) : config(std::move(given)) {
  std::string name = (std::filesystem::temp_directory_path() / "berth-api-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary directory");
  folder_ = name;
  config.data_dir = folder_ / "data";
  if (is_scaled()) scaled_ = std::make_unique<Scaled>();
  start();
}

Installation::~Installation() {
  servers_.clear();
  std::error_code ec;
  std::filesystem::remove_all(folder_, ec);
}

void Installation::start() {
  const auto add = [this](app::ProcessRole role) {
    app::ServeConfig one = config;
    one.role = role;
    one.port = 0;
    if (scaled_) {
      one.database = scaled_->url;
      one.queue = scaled_->queue;
      one.lease = std::chrono::milliseconds(5000);  // a busy machine is not a dead one
    }
    servers_.push_back(std::make_unique<app::Server>(one));
    if (auto started = servers_.back()->start(); !started)
      throw std::runtime_error(started.error().message);
  };
  if (!scaled_) return add(app::ProcessRole::serve);
  for (std::size_t i = 0; i < kApis; ++i) add(app::ProcessRole::api);
  for (std::size_t i = 0; i < kSchedulers; ++i) add(app::ProcessRole::scheduler);
  // What one process counts is not for three to be tested against.
  const bool counted = config.rate_per_second > 0 || config.free_failures < 1000;
  answering_ = counted ? 1 : kApis;
  settle();
}

void Installation::stop() { servers_.clear(); }

std::uint16_t Installation::next_port() { return servers_[turn_++ % answering_]->port(); }

std::vector<std::uint16_t> Installation::ports() const {
  std::vector<std::uint16_t> out;
  for (const auto& server : servers_) out.push_back(server->port());
  return out;
}

void Installation::settle() {
  if (!scaled_) return;
  const auto last = scaled_->view->last_event();
  if (!last) throw std::runtime_error(last.error().message);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  for (const auto& server : servers_) {
    while (!server->followed(*last)) {
      if (std::chrono::steady_clock::now() > deadline)
        throw std::runtime_error("a process does not follow the history");
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
}

std::string Installation::setup_token() {
  if (!scaled_) return first().setup_token();
  auto token = first().new_setup_token();
  if (!token) throw std::runtime_error(token.error().message);
  return *token;
}

std::filesystem::path Installation::bytes() const {
  if (!scaled_) return folder_;
  (void)postgres().run("CHECKPOINT", scaled_->database);
  return postgres().folder();
}

}  // namespace berth::test
