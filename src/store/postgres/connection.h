// The shared statements' connection to PostgreSQL. Commands whose answer nobody waits for (BEGIN,
// savepoints) travel together with the next statement, so they cost no round trip. A lost
// connection is opened anew for the next transaction or look, never within one.
#pragma once
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "store/postgres/link.h"
#include "store/sql/connection.h"

namespace berth::postgres {

class Connection;

class Statement final : public sql::Statement {
 public:
  Statement(Connection& connection, const char* sql, std::size_t number);
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  void bind_integer(int index, std::int64_t value) override;
  void bind_real(int index, double value) override;
  void bind_flag(int index, bool value) override;
  void bind_text(int index, std::string_view value) override;
  void bind_bytes(int index, std::string_view value) override;
  void bind_null(int index, sql::Kind kind) override;
  void bind_array(int index, unsigned type, std::string bytes);
  Result<bool> step() override;
  Result<std::int64_t> run() override;
  void stream() override { streamed_ = true; }
  void reset() override;
  bool is_null(int column) override;
  std::int64_t integer(int column) override;
  double real(int column) override;
  std::string_view text(int column) override { return bytes(column); }
  std::string_view bytes(int column) override;

 private:
  friend class Connection;
  struct Parameter {
    unsigned type = 0;
    bool null = false;
    std::string bytes;
  };
  Parameter& at(int index, unsigned type);
  [[nodiscard]] bool send_prepare(PGconn* to) const;
  [[nodiscard]] bool send(PGconn* to) const;

  Connection& connection_;
  std::string text_;
  std::string name_;
  std::vector<Parameter> parameters_;
  std::uint64_t prepared_in_ = 0;  // the connection's generation; 0: not yet
  ResultPtr result_;
  int row_ = -1;
  bool executed_ = false;
  bool streamed_ = false;
};

class Connection final : public sql::Connection {
 public:
  Connection(Options options, bool read_only);
  ~Connection() override;

  // Connects unless it is connected, as far as can be seen.
  Result<void> reach();

  sql::Statement& statement(const char* sql) override;
  Result<void> begin() override;
  void rollback() override;
  Result<void> mark() override;
  Result<void> undo() override;
  Result<void> keep() override;
  Result<std::int64_t> commit(std::span<const Event> events) override;
  Result<void> freeze() override;
  Result<std::vector<std::string>> check_integrity() override;

 private:
  friend class Statement;
  struct Answers {
    ResultPtr statement;
    ResultPtr last;
  };
  // In one round trip: what is pending, the statement if there is one, and a last command if there
  // is one.
  Result<Answers> exchange(Statement* statement, const char* last);
  Result<Answers> exchange_once(Statement* statement, const char* last);
  [[nodiscard]] bool prepare_commands();
  Result<void> send(Statement* statement, const char* last);
  Result<Answers> receive(Statement* statement, bool prepared_now, std::size_t before,
                          const char* last);
  // The next answer; its end is read, too.
  Result<ResultPtr> answer();
  Result<ResultPtr> next_streamed();
  void finish_stream();
  Statement& write_events_statement(std::span<const Event> events);
  [[nodiscard]] std::chrono::milliseconds patience() const;
  Error drop();

  const Options options_;
  const bool read_only_;
  std::unique_ptr<Link> link_;
  std::uint64_t generation_ = 0;
  std::unordered_map<const void*, std::unique_ptr<Statement>> statements_;
  std::vector<const char*> pending_;
  bool in_transaction_ = false;
  bool begun_ = false;  // the server knows of it
  bool streaming_ = false;
};

}  // namespace berth::postgres
