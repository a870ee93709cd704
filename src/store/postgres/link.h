// A connection to the server, as libpq has it: opened within a bound, waited for within a bound,
// and with its failures in our words.
#pragma once
#include <libpq-fe.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "base/result.h"

namespace berth::postgres {

struct Options {
  std::string url;  // postgresql://...
  std::chrono::milliseconds connect_timeout{2000};
  // On the server. We wait a little longer than that, and then give the connection up.
  std::chrono::milliseconds statement_timeout{10'000};
  std::chrono::milliseconds lock_timeout{5000};
  // A transaction of a frozen process must not hold its locks for ever.
  std::chrono::milliseconds idle_in_transaction_timeout{5000};
};

struct FreeResult {
  void operator()(PGresult* result) const { PQclear(result); }
};
using ResultPtr = std::unique_ptr<PGresult, FreeResult>;

class Link {
 public:
  // The message of its error is for operators: it may name the server's address.
  static Result<std::unique_ptr<Link>> open(const Options& options, bool read_only);
  ~Link();
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  [[nodiscard]] PGconn* get() const { return connection_; }
  // Whether the server is still there, as far as can be seen without asking it.
  [[nodiscard]] bool looks_alive();
  // Everything sent so far is on its way; false: the time is over or the connection lost.
  [[nodiscard]] bool flush(std::chrono::milliseconds within);
  // The next answer, or null between the answers of two commands. Lost connections and expired
  // times are errors; refused commands are answers.
  [[nodiscard]] Result<ResultPtr> next(std::chrono::milliseconds within);

  // Simple commands, for whoever is not in a hurry: scripts of several statements, each row of a
  // query in binary form, and rows in COPY's binary form.
  Result<ResultPtr> run(const std::string& script);
  Result<void> each_row(const std::string& sql,
                        const std::function<void(const PGresult&, int row)>& use);

 private:
  explicit Link(PGconn* connection) : connection_(connection) {}
  PGconn* connection_;
};

// What a refused command means to a caller.
[[nodiscard]] Error error_of(const PGresult* result);
// The connection is gone, and with it the answer.
[[nodiscard]] Error lost();
// The first line of what libpq has to say.
[[nodiscard]] std::string first_line(const char* text);

}  // namespace berth::postgres
