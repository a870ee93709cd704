// A thin layer over libsqlite3: a connection with cached prepared statements.
#pragma once
#include <string>
#include <unordered_map>

#include "store/sql/connection.h"

struct sqlite3;
struct sqlite3_stmt;

namespace berth::sqlite {

class Statement final : public sql::Statement {
 public:
  Statement(sqlite3* db, const char* sql);
  ~Statement() override;
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  void bind_integer(int index, std::int64_t value) override;
  void bind_real(int index, double value) override;
  void bind_flag(int index, bool value) override;
  void bind_text(int index, std::string_view value) override;
  void bind_bytes(int index, std::string_view value) override;
  void bind_null(int index, sql::Kind kind) override;
  Result<bool> step() override;
  Result<std::int64_t> run() override;
  void stream() override {}  // it always does
  void reset() override;
  bool is_null(int column) override;
  std::int64_t integer(int column) override;
  double real(int column) override;
  std::string_view text(int column) override;
  std::string_view bytes(int column) override;

 private:
  sqlite3* db_;
  sqlite3_stmt* statement_ = nullptr;
};

class Connection final : public sql::Connection {
 public:
  // Throws std::runtime_error with a sentence: opening belongs to start-up.
  Connection(const std::string& file, bool read_only, int cache_kib);
  ~Connection() override;
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  sql::Statement& statement(const char* sql) override;
  Result<void> begin() override;
  void rollback() override;
  Result<void> mark() override;
  Result<void> undo() override;
  Result<void> keep() override;
  Result<std::int64_t> commit(std::span<const Event> events) override;
  Result<void> freeze() override;
  Result<std::vector<std::string>> check_integrity() override;

  [[nodiscard]] Result<void> execute(const std::string& script);

 private:
  sqlite3* db_ = nullptr;
  std::unordered_map<const void*, Statement> statements_;
};

// What the connection's last failure means to a caller.
[[nodiscard]] Error error_of(sqlite3* db);

}  // namespace berth::sqlite
