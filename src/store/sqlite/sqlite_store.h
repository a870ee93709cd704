// The embedded store: one SQLite file (WAL, synchronous=FULL), one writing connection.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "store/sql/migrations.h"
#include "store/store.h"

namespace berth::sqlite {

struct Options {
  std::string file;  // a path, or "file:NAME?mode=memory&cache=shared" for tests
  int writer_cache_kib = 4096;
  int reader_cache_kib = 1024;
};

// Without changing anything. Opening a SqliteStore applies what is missing.
[[nodiscard]] Result<std::vector<sql::MigrationState>> migration_status(const std::string& file);

class SqliteStore final : public Store {
 public:
  // Opens, creates and migrates. Throws std::runtime_error with a sentence, for example when the
  // schema is newer than this program.
  explicit SqliteStore(Options options);
  ~SqliteStore() override;

  // One frozen state of a database that another process may be writing; nothing is migrated.
  [[nodiscard]] static Result<std::unique_ptr<ReadView>> open_read_only(const std::string& file);

  Result<std::unique_ptr<ReadView>> open_view() override;
  Result<std::unique_ptr<ReadView>> open_snapshot() override;
  Result<TransactionPtr> begin() override;

  // At most so many pages of 4 KiB from now on: an installation's own limit, below the disk's.
  void limit_pages(std::int64_t pages);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace berth::sqlite
