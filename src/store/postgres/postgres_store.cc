#include "store/postgres/postgres_store.h"

#include <fmt/format.h>

#include <mutex>
#include <stdexcept>

#include "store/postgres/connection.h"
#include "store/sql/session.h"

namespace berth::postgres {
namespace {

void check_schema(const Options& options) {
  const auto states = migration_status(options.url);
  if (!states) throw std::runtime_error(states.error().message);
  if (const auto why = sql::objection(*states)) throw std::runtime_error(*why);
  for (const auto& state : *states) {
    if (state.applied_at) continue;
    throw std::runtime_error(fmt::format(
        "the database's schema lacks {}; run `berth admin migrate up` once, then start again",
        state.name));
  }
}

}  // namespace

struct PostgresStore::Impl {
  explicit Impl(Options o)
      : options(std::move(o)), writer(std::make_unique<Connection>(options, false)) {
    check_schema(options);
  }
  Options options;
  std::mutex writing;  // one transaction at a time in this process
  sql::Session writer;
};

PostgresStore::PostgresStore(Options options) : impl_(std::make_unique<Impl>(std::move(options))) {}
PostgresStore::~PostgresStore() = default;

Result<std::unique_ptr<ReadView>> PostgresStore::open_view() {
  auto connection = std::make_unique<Connection>(impl_->options, true);
  if (auto reached = connection->reach(); !reached) return std::unexpected(reached.error());
  return std::make_unique<sql::Session>(std::move(connection));
}

Result<std::unique_ptr<ReadView>> PostgresStore::open_snapshot() {
  // Its reader works between the statements, for longer than a writer may.
  Options patient = impl_->options;
  patient.idle_in_transaction_timeout = std::chrono::minutes(1);
  auto session = std::make_unique<sql::Session>(std::make_unique<Connection>(patient, true));
  if (auto frozen = session->freeze(); !frozen) return std::unexpected(std::move(frozen.error()));
  return session;
}

Result<TransactionPtr> PostgresStore::begin() {
  impl_->writing.lock();
  TransactionPtr lent(&impl_->writer, [impl = impl_.get()](Transaction*) {
    if (impl->writer.is_open()) impl->writer.rollback();
    impl->writing.unlock();
  });
  if (auto begun = impl_->writer.begin(); !begun) return std::unexpected(std::move(begun.error()));
  return lent;
}

}  // namespace berth::postgres
