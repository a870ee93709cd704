#include "store/postgres/link.h"

#include <fmt/format.h>
#include <poll.h>

#include <array>

#include "store/sql/errors.h"

namespace berth::postgres {
namespace {

using Millis = std::chrono::milliseconds;
using SteadyClock = std::chrono::steady_clock;

bool wait_for(PGconn* connection, short events, SteadyClock::time_point until) {
  pollfd watched{PQsocket(connection), events, 0};
  const auto left = std::chrono::ceil<Millis>(until - SteadyClock::now());
  return left.count() > 0 && poll(&watched, 1, static_cast<int>(left.count())) > 0;
}

Error unavailable(std::string message) {
  return {
      Code::unavailable, "storage_unavailable", std::move(message), {}, std::chrono::seconds(1)};
}

Result<std::unique_ptr<Link>> refuse(std::string message) {
  return std::unexpected(unavailable(std::move(message)));
}

// A machine that vanished is noticed in some ten seconds, whatever the system's own settings.
PGconn* connect(const Options& options) {
  const std::string seconds =
      std::to_string(std::max<std::int64_t>(2, options.connect_timeout.count() / 1000));
  const std::array<const char*, 9> names{"dbname",
                                         "connect_timeout",
                                         "client_encoding",
                                         "fallback_application_name",
                                         "keepalives_idle",
                                         "keepalives_interval",
                                         "keepalives_count",
                                         "tcp_user_timeout",
                                         nullptr};
  const std::array<const char*, 9> values{
      options.url.c_str(), seconds.c_str(), "UTF8", "berth", "5", "2", "3", "10000", nullptr};
  return PQconnectdbParams(names.data(), values.data(), 1);
}

}  // namespace

std::string first_line(const char* text) {
  std::string_view line(text == nullptr ? "" : text);
  return std::string(line.substr(0, line.find('\n')));
}

Error lost() {
  return unavailable(
      "The connection to the database was lost; whether the change was kept is not known. Look, "
      "and "
      "repeat it.");
}

Error error_of(const PGresult* result) {
  const auto field = [&](int code) {
    const char* text = PQresultErrorField(result, code);
    return std::string_view(text == nullptr ? "" : text);
  };
  const std::string_view state = field(PG_DIAG_SQLSTATE), text = field(PG_DIAG_MESSAGE_PRIMARY);
  if (state == "23505") return sql::taken(field(PG_DIAG_CONSTRAINT_NAME));
  if (state == "23514") return sql::refused_by_check(text);
  if (state.starts_with("23")) return sql::refused_by_constraint(text);
  if (state == "53100") return sql::disk_full();
  if (state == "58030" || state.starts_with("XX")) {
    return {Code::unavailable, "storage_failed", fmt::format("The database failed: {}.", text)};
  }
  // Connections, resources, an operator's intervention, rolled back or locked out by others, a
  // server that only serves reading, an idle transaction that was ended.
  for (const auto* group : {"08", "53", "57", "40", "55P03", "25006", "25P03"}) {
    if (state.starts_with(group)) {
      return unavailable(fmt::format("The database cannot do that now: {}. Repeat it.", text));
    }
  }
  return {Code::internal, "storage_error",
          fmt::format("The database failed: {} ({}).", text, state)};
}

Result<std::unique_ptr<Link>> Link::open(const Options& options, bool read_only) {
  std::unique_ptr<Link> link(new Link(connect(options)));
  PGconn* connection = link->get();
  if (connection == nullptr || PQstatus(connection) != CONNECTION_OK) {
    return refuse(fmt::format("the database cannot be reached: {}",
                              first_line(connection == nullptr ? "" : PQerrorMessage(connection))));
  }
  const char* encoding = PQparameterStatus(connection, "server_encoding");
  if (encoding == nullptr || std::string_view(encoding) != "UTF8") {
    return refuse(fmt::format("the database's encoding is {}, but Berth needs UTF8",
                              encoding == nullptr ? "unknown" : encoding));
  }
  // What the server says unasked is in its own log.
  PQsetNoticeProcessor(connection, [](void*, const char*) {}, nullptr);
  // Whoever is answered must find the change after a power cut: a server that is set to answer
  // earlier is told not to.
  const auto set = link->run(fmt::format(
      "SET statement_timeout = {}; SET lock_timeout = {}; "
      "SET idle_in_transaction_session_timeout = {}; SET default_transaction_read_only = {}; "
      "SET standard_conforming_strings = on; SET client_min_messages = warning; "
      "SELECT set_config('synchronous_commit', 'on', false) "
      "WHERE current_setting('synchronous_commit') = 'off'",
      options.statement_timeout.count(), options.lock_timeout.count(),
      options.idle_in_transaction_timeout.count(), read_only ? "on" : "off"));
  if (!set) return std::unexpected(set.error());
  return link;
}

Link::~Link() { PQfinish(connection_); }

bool Link::looks_alive() {
  if (PQstatus(connection_) != CONNECTION_OK) return false;
  // At rest the server says nothing, except for farewells and notes about its settings.
  pollfd watched{PQsocket(connection_), POLLIN, 0};
  for (int i = 0; i < 8 && poll(&watched, 1, 0) > 0; ++i) {
    if (PQconsumeInput(connection_) == 0) return false;
  }
  return PQstatus(connection_) == CONNECTION_OK;
}

bool Link::flush(Millis within) {
  const auto until = SteadyClock::now() + within;
  for (;;) {
    const int rest = PQflush(connection_);
    if (rest <= 0) return rest == 0;
    if (!wait_for(connection_, POLLIN | POLLOUT, until)) return false;
    if (PQconsumeInput(connection_) == 0) return false;
  }
}

Result<ResultPtr> Link::next(Millis within) {
  const auto until = SteadyClock::now() + within;
  while (PQisBusy(connection_) != 0) {
    if (!wait_for(connection_, POLLIN, until)) return std::unexpected(lost());
    if (PQconsumeInput(connection_) == 0) break;
  }
  ResultPtr result(PQgetResult(connection_));
  if (PQstatus(connection_) != CONNECTION_OK) return std::unexpected(lost());
  return result;
}

Result<ResultPtr> Link::run(const std::string& script) {
  ResultPtr result(PQexec(connection_, script.c_str()));
  switch (PQresultStatus(result.get())) {
    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:
    case PGRES_COPY_IN:
      return result;
    default:
      if (PQstatus(connection_) != CONNECTION_OK) return std::unexpected(lost());
      return std::unexpected(error_of(result.get()));
  }
}

Result<void> Link::each_row(const std::string& sql,
                            const std::function<void(const PGresult&, int row)>& use) {
  if (PQsendQueryParams(connection_, sql.c_str(), 0, nullptr, nullptr, nullptr, nullptr, 1) == 0 ||
      PQsetSingleRowMode(connection_) == 0) {
    return std::unexpected(lost());
  }
  Result<void> outcome;
  for (;;) {
    const ResultPtr result(PQgetResult(connection_));
    if (result == nullptr) break;
    const auto status = PQresultStatus(result.get());
    if (status == PGRES_FATAL_ERROR) outcome = std::unexpected(error_of(result.get()));
    for (int row = 0; status == PGRES_SINGLE_TUPLE && row < PQntuples(result.get()); ++row) {
      use(*result, row);
    }
  }
  return PQstatus(connection_) == CONNECTION_OK ? outcome : std::unexpected(lost());
}

}  // namespace berth::postgres
