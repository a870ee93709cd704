#include "store/postgres/connection.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "base/ensure.h"
#include "store/postgres/encoding.h"

namespace berth::postgres {
namespace {

// What every transaction says again and again is prepared with the connection, under its own text.
constexpr const char* kBegin = "BEGIN ISOLATION LEVEL READ COMMITTED";
constexpr const char* kMark = "SAVEPOINT unit";
constexpr const char* kUndo = "ROLLBACK TO SAVEPOINT unit";
constexpr const char* kKeep = "RELEASE SAVEPOINT unit";
constexpr const char* kCommit = "COMMIT";
constexpr const char* kRollback = "ROLLBACK";
constexpr const char* kPrepared[] = {kBegin, kMark, kUndo, kKeep, kCommit, kRollback};

// The counter's row stays locked until the commit that travels with this statement.
constexpr const char* kWriteEvents =
    "WITH taken AS (UPDATE event_counter SET value = value + ?1 WHERE one = 1 "
    "RETURNING value - ?1 AS before), written AS (INSERT INTO events (seq, at, org_id, cluster_id, "
    "deployment_id, kind, actor, actor_name, request_id, data) SELECT t.before + e.n, e.at, "
    "e.org_id, e.cluster_id, e.deployment_id, e.kind, e.actor, e.actor_name, e.request_id, e.data "
    "FROM taken t CROSS JOIN unnest(?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) WITH ORDINALITY "
    "AS e (at, org_id, cluster_id, deployment_id, kind, actor, actor_name, request_id, data, n)) "
    "SELECT before + 1 FROM taken";

template <class IdType>
std::optional<std::string_view> bytes_of(const std::optional<IdType>& id) {
  if (!id) return std::nullopt;
  return std::string_view(reinterpret_cast<const char*>(id->bytes().data()), id->bytes().size());
}

}  // namespace

Connection::Connection(Options options, bool read_only)
    : options_(std::move(options)), read_only_(read_only) {}
Connection::~Connection() = default;

Error Connection::drop() {
  link_.reset();
  streaming_ = false;
  return lost();
}

std::chrono::milliseconds Connection::patience() const {
  return options_.statement_timeout + std::chrono::seconds(2);
}

Result<void> Connection::reach() {
  if (link_ != nullptr && link_->looks_alive()) return {};
  link_.reset();
  auto opened = Link::open(options_, read_only_);
  if (!opened) return std::unexpected(std::move(opened.error()));
  link_ = std::move(*opened);
  ++generation_;
  if (!read_only_ && !prepare_commands()) return std::unexpected(drop());
  const bool ready =
      PQsetnonblocking(link_->get(), 1) == 0 && PQenterPipelineMode(link_->get()) == 1;
  if (!ready) return std::unexpected(drop());
  return {};
}

bool Connection::prepare_commands() {
  return std::ranges::all_of(kPrepared, [&](const char* sql) {
    const ResultPtr done(PQprepare(link_->get(), sql, sql, 0, nullptr));
    return PQresultStatus(done.get()) == PGRES_COMMAND_OK;
  });
}

sql::Statement& Connection::statement(const char* sql) {
  auto& found = statements_[sql];
  if (found == nullptr) found = std::make_unique<Statement>(*this, sql, statements_.size());
  return *found;
}

Result<Connection::Answers> Connection::exchange(Statement* statement, const char* last) {
  ensure(!streaming_, "nothing is asked while rows are streaming");
  if (!in_transaction_) {
    if (auto reached = reach(); !reached) return std::unexpected(std::move(reached.error()));
  }
  // What left no trace is repeated on a new connection: a look, and a transaction's first
  // statement.
  const bool repeatable = in_transaction_ ? !begun_ && last == nullptr : read_only_;
  const auto before = repeatable ? pending_ : std::vector<const char*>{};
  auto answers = exchange_once(statement, last);
  if (answers || link_ != nullptr || !repeatable) return answers;
  if (auto reached = reach(); !reached) return std::unexpected(std::move(reached.error()));
  pending_ = before;
  return exchange_once(statement, last);
}

Result<Connection::Answers> Connection::exchange_once(Statement* statement, const char* last) {
  if (link_ == nullptr) return std::unexpected(lost());
  const bool prepare = statement != nullptr && statement->prepared_in_ != generation_;
  const std::size_t before = pending_.size();
  const auto sent = send(statement, last);
  pending_.clear();
  if (in_transaction_) begun_ = true;
  if (!sent) return std::unexpected(sent.error());
  return receive(statement, prepare, before, last);
}

Result<void> Connection::send(Statement* statement, const char* last) {
  PGconn* to = link_->get();
  const auto command = [&](const char* sql) {
    if (std::ranges::find(kPrepared, sql) != std::end(kPrepared)) {
      return PQsendQueryPrepared(to, sql, 0, nullptr, nullptr, nullptr, 1) == 1;
    }
    return PQsendQueryParams(to, sql, 0, nullptr, nullptr, nullptr, nullptr, 1) == 1;
  };
  bool sent = true;
  for (const char* sql : pending_) sent = sent && command(sql);
  if (statement != nullptr) {
    if (statement->prepared_in_ != generation_) sent = sent && statement->send_prepare(to);
    sent = sent && statement->send(to);
  }
  if (last != nullptr) sent = sent && command(last);
  sent = sent && PQpipelineSync(to) == 1 && link_->flush(patience());
  if (!sent) return std::unexpected(drop());
  return {};
}

Result<ResultPtr> Connection::answer() {
  auto result = link_->next(patience());
  if (!result) return std::unexpected(drop());
  if (*result == nullptr) return std::unexpected(drop());
  if (auto end = link_->next(patience()); !end || *end != nullptr) return std::unexpected(drop());
  return result;
}

Result<Connection::Answers> Connection::receive(Statement* statement, bool prepared_now,
                                                std::size_t before, const char* last) {
  std::optional<Error> refused;  // the first one; what follows it was not executed
  const auto take = [&]() -> Result<ResultPtr> {
    auto result = answer();
    if (result && !refused && PQresultStatus(result->get()) == PGRES_FATAL_ERROR) {
      refused = error_of(result->get());
    }
    return result;
  };
  Answers out;
  for (std::size_t i = 0; i < before + (prepared_now ? 1U : 0U); ++i) {
    if (auto result = take(); !result) return std::unexpected(std::move(result.error()));
  }
  if (prepared_now && !refused) statement->prepared_in_ = generation_;
  if (statement != nullptr && statement->streamed_ && !refused) {
    ensure(PQsetSingleRowMode(link_->get()) == 1, "the statement's rows can be streamed");
    streaming_ = true;
    return out;
  }
  for (auto* kept : {&out.statement, &out.last}) {
    if (kept == &out.statement ? statement == nullptr : last == nullptr) continue;
    auto result = take();
    if (!result) return std::unexpected(std::move(result.error()));
    *kept = std::move(*result);
  }
  auto end = link_->next(patience());
  if (!end || PQresultStatus(end->get()) != PGRES_PIPELINE_SYNC) return std::unexpected(drop());
  if (refused) return std::unexpected(std::move(*refused));
  return out;
}

Result<ResultPtr> Connection::next_streamed() {
  if (!streaming_) return ResultPtr{};
  auto result = link_->next(patience());
  if (!result) return std::unexpected(drop());
  if (PQresultStatus(result->get()) == PGRES_SINGLE_TUPLE) return result;
  std::optional<Error> refused;
  if (PQresultStatus(result->get()) == PGRES_FATAL_ERROR) refused = error_of(result->get());
  streaming_ = false;
  for (;;) {  // the command's end, then the round trip's
    auto end = link_->next(patience());
    if (!end) return std::unexpected(drop());
    if (*end != nullptr && PQresultStatus(end->get()) == PGRES_PIPELINE_SYNC) break;
  }
  if (refused) return std::unexpected(std::move(*refused));
  return ResultPtr{};
}

void Connection::finish_stream() {
  while (streaming_) {
    if (!next_streamed()) return;  // lost: nothing streams any more
  }
}

Result<void> Connection::begin() {
  if (auto reached = reach(); !reached) return reached;
  pending_.assign(1, kBegin);
  in_transaction_ = true;
  begun_ = false;
  return {};
}

void Connection::rollback() {
  pending_.clear();
  // Still in the transaction, so that a lost connection is not opened for this.
  if (begun_ && link_ != nullptr && !exchange_once(nullptr, kRollback)) (void)drop();
  in_transaction_ = begun_ = false;
}

Result<void> Connection::mark() {
  pending_.push_back(kMark);
  return {};
}
Result<void> Connection::undo() {
  if (!pending_.empty() && pending_.back() == kMark) {
    pending_.pop_back();
    return {};
  }
  pending_.push_back(kUndo);
  return keep();
}
Result<void> Connection::keep() {
  if (!pending_.empty() && pending_.back() == kMark) {
    pending_.pop_back();
    return {};
  }
  pending_.push_back(kKeep);
  return {};
}

Statement& Connection::write_events_statement(std::span<const Event> events) {
  Array at(kInt8), org(kBytes), cluster(kBytes), deployment(kBytes), kind(kText), actor(kText),
      actor_name(kText), request(kText), data(kText);
  for (const auto& e : events) {
    at.add(e.at.micros);
    org.add_bytes(bytes_of(e.organization));
    cluster.add_bytes(bytes_of(e.cluster));
    deployment.add_bytes(bytes_of(e.deployment));
    kind.add_text(e.kind);
    actor.add_text(e.actor);
    actor_name.add_text(e.actor_name);
    request.add_text(e.request_id);
    data.add_text(e.data);
  }
  auto& out = static_cast<Statement&>(statement(kWriteEvents));
  out.bind_integer(1, static_cast<std::int64_t>(events.size()));
  out.bind_array(2, kInt8Array, at.finish());
  int index = 3;
  for (const auto* ids : {&org, &cluster, &deployment}) {
    out.bind_array(index++, kBytesArray, ids->finish());
  }
  for (const auto* texts : {&kind, &actor, &actor_name, &request, &data}) {
    out.bind_array(index++, kTextArray, texts->finish());
  }
  return out;
}

Result<std::int64_t> Connection::commit(std::span<const Event> events) {
  if (link_ == nullptr) return std::unexpected(lost());
  if (!begun_ && events.empty()) {  // nothing was asked of the server
    pending_.clear();
    in_transaction_ = false;
    return 0;
  }
  Statement* write = events.empty() ? nullptr : &write_events_statement(events);
  auto answers = exchange_once(write, kCommit);
  if (!answers) return std::unexpected(std::move(answers.error()));
  in_transaction_ = begun_ = false;
  // A transaction in which a statement was refused, and not undone, ends with this word instead.
  if (std::string_view(PQcmdStatus(answers->last.get())) != "COMMIT") {
    return fail(Code::aborted, "not_committed",
                "Part of the change was refused, so nothing of it was kept.");
  }
  if (write == nullptr) return 0;
  return number_of({PQgetvalue(answers->statement.get(), 0, 0), 8});
}

Result<void> Connection::freeze() {
  if (auto reached = reach(); !reached) return reached;
  pending_.assign(1, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
  in_transaction_ = true;
  // The state is taken by the first statement, so one follows at once.
  auto taken = exchange_once(nullptr, "SELECT 1");
  if (!taken) return std::unexpected(std::move(taken.error()));
  return {};
}

Result<std::vector<std::string>> Connection::check_integrity() {
  Options patient = options_;
  patient.statement_timeout = std::chrono::hours(1);
  Connection own(std::move(patient), true);
  std::vector<std::string> out;
  // Every row of every table is read whole; a damaged page or value is an error of the server.
  for (const auto* table :
       {"users", "sessions", "spent_refresh", "api_keys", "setup_token", "organizations", "members",
        "invites", "clusters", "nodes", "gpus", "deployments", "reservations", "event_counter",
        "events", "replies", "schedulers", "leases", "installation"}) {
    const auto sql = fmt::format("SELECT sum(hashtext(t::text)) FROM {} t", table);
    const auto read = own.exchange(nullptr, sql.c_str());
    if (read) continue;
    if (read.error().reason != "storage_failed") return std::unexpected(read.error());
    out.push_back(fmt::format("Table {}: {}", table, read.error().message));
  }
  auto q = own.query(
      "SELECT 'The server counted ' || checksum_failures || ' damaged pages.' "
      "FROM pg_stat_database WHERE datname = current_database() AND checksum_failures > 0 "
      "UNION ALL SELECT 'The server runs with ' || name || ' off: a power cut can lose what was "
      "answered.' FROM pg_settings WHERE name IN ('fsync', 'full_page_writes') AND setting = 'off' "
      "UNION ALL SELECT 'The event counter, ' || value || ', is behind the history.' "
      "FROM event_counter WHERE value < (SELECT max(seq) FROM events)");
  auto sentences = sql::all<std::string>(q, [](sql::Query& row) { return row.text(); });
  if (!sentences) return sentences;
  std::ranges::move(*sentences, std::back_inserter(out));
  return out;
}

}  // namespace berth::postgres
