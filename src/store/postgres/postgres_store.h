// The store of an installation of several processes: PostgreSQL 15 or newer. Each process has one
// writing connection and one for each view.
#pragma once
#include <memory>
#include <vector>

#include "store/postgres/link.h"
#include "store/sql/migrations.h"
#include "store/store.h"

namespace berth::postgres {

// Without changing anything.
[[nodiscard]] Result<std::vector<sql::MigrationState>> migration_status(const std::string& url);
// Applies what is missing; processes that do so at the same time wait for each other. Refuses the
// database of a newer version.
[[nodiscard]] Result<void> migrate(const std::string& url);

class PostgresStore final : public Store {
 public:
  // Throws std::runtime_error with a sentence: when the database cannot be reached, or its schema
  // is not this program's. It is never changed here; see migrate().
  explicit PostgresStore(Options options);
  ~PostgresStore() override;

  Result<std::unique_ptr<ReadView>> open_view() override;
  Result<std::unique_ptr<ReadView>> open_snapshot() override;
  Result<TransactionPtr> begin() override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace berth::postgres
