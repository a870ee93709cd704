#include "app/config.h"

#include <unistd.h>

#include <charconv>
#include <cstdlib>

#include "queue/redis/redis_url.h"

namespace berth::app {

Result<void> set_listen(ServeConfig& config, const std::string& listen) {
  const auto colon = listen.rfind(':');
  std::string host = colon == std::string::npos ? "" : listen.substr(0, colon);
  const std::string port = colon == std::string::npos ? listen : listen.substr(colon + 1);
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']')
    host = host.substr(1, host.size() - 2);
  std::uint16_t number = 0;
  const auto [end, ec] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (ec != std::errc{} || end != port.data() + port.size()) {
    return fail(
        Code::invalid_argument, "invalid_listen",
        "--listen takes HOST:PORT, for example 127.0.0.1:8000; '" + listen + "' is not that.");
  }
  if (!host.empty()) config.host = host == "localhost" ? "127.0.0.1" : host;
  config.port = number;
  return {};
}

namespace {

constexpr std::string_view kSqlite = "sqlite://";

bool is_postgres(std::string_view url) {
  return url.starts_with("postgresql://") || url.starts_with("postgres://");
}
bool is_redis(std::string_view url) {
  return url.starts_with("redis://") || url.starts_with("rediss://") ||
         url.starts_with("redis+unix://");
}

std::unexpected<Error> refuse(std::string message) {
  return fail(Code::invalid_argument, "configuration", std::move(message));
}

}  // namespace

std::filesystem::path sqlite_file(const ServeConfig& config) {
  if (config.database.empty()) return config.data_dir / "berth.db";
  if (!config.database.starts_with(kSqlite)) return {};
  return config.database.substr(kSqlite.size());
}

std::string_view to_text(ProcessRole role) {
  switch (role) {
    case ProcessRole::api:
      return "api";
    case ProcessRole::scheduler:
      return "scheduler";
    default:
      return "serve";
  }
}

Result<void> check(const ServeConfig& config) {
  const auto& database = config.database;
  if (!database.empty() && !is_postgres(database) && !database.starts_with(kSqlite)) {
    return refuse("--database takes sqlite:///PATH or postgresql://USER@HOST/NAME.");
  }
  if (config.queue != "memory" && !is_redis(config.queue)) {
    return refuse(
        "--queue takes memory, redis://HOST:PORT, rediss://HOST:PORT or redis+unix:///PATH.");
  }
  if (config.queue != "memory") {
    if (auto options = redis::parse_redis_url(config.queue); !options)
      return refuse("--queue: " + options.error().message);
  }
  const auto file = sqlite_file(config);
  if (!file.empty() && file.is_relative() && !database.empty()) {
    return refuse("A database file is given with its whole path: sqlite:///var/lib/berth/berth.db");
  }
  if (config.role != ProcessRole::serve) {
    const std::string name(to_text(config.role));
    if (!is_shared(config)) {
      return refuse("berth " + name +
                    " shares its database with other processes, and SQLite serves only one: give "
                    "--database postgresql://..., or run 'berth serve', which is everything in one "
                    "process.");
    }
    if (config.queue == "memory") {
      return refuse("berth " + name +
                    " shares its queues with other processes, and those in memory are only its "
                    "own: give --queue redis://..., or run 'berth serve'.");
    }
  }
  if (!is_shared(config) && config.queue != "memory") {
    return refuse(
        "With SQLite there is one process, and its queues are in memory: leave --queue away, or "
        "give --database postgresql://... too.");
  }
  if (config.lease < std::chrono::milliseconds(500))
    return refuse("--lease is at least 500ms: a scheduler has to be heard of several times in it.");
  return {};
}

std::filesystem::path default_data_dir() {
  if (const char* given = std::getenv("BERTH_DATA_DIR"); given != nullptr && *given != 0)
    return given;
  if (geteuid() == 0) return "/var/lib/berth";
  const char* home = std::getenv("HOME");
  return std::filesystem::path(home == nullptr ? "." : home) / ".local/share/berth";
}

}  // namespace berth::app
