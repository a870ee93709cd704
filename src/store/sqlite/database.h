// A thin layer over libsqlite3: a connection with cached prepared statements, and rows. Statement
// texts are literals; their address is the cache key.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/hash.h"
#include "base/id.h"
#include "base/result.h"
#include "base/time.h"

struct sqlite3;
struct sqlite3_stmt;

namespace berth::sqlite {

// One execution of a prepared statement. Parameters bind in order: ?1, ?2, ...
class Query {
 public:
  Query(sqlite3* db, sqlite3_stmt* statement) : db_(db), statement_(statement) {}
  ~Query();
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;

  Query& bind(std::int64_t value);
  Query& bind(std::int32_t value) { return bind(std::int64_t{value}); }
  Query& bind(std::uint64_t value) { return bind(static_cast<std::int64_t>(value)); }
  Query& bind(bool value) { return bind(std::int64_t{value}); }
  Query& bind(double value);
  Query& bind(std::string_view value);
  Query& bind(const std::string& value) { return bind(std::string_view(value)); }
  Query& bind(const char* value) { return bind(std::string_view(value)); }
  Query& bind(Timestamp value) { return bind(value.micros); }
  Query& bind(const Digest& value) { return bind_blob(value.data(), value.size()); }
  template <class Tag>
  Query& bind(const Id<Tag>& value) {
    return bind_blob(value.bytes().data(), value.bytes().size());
  }
  template <class T>
  Query& bind(const std::optional<T>& value) {
    return value ? bind(*value) : bind_null();
  }
  template <class... T>
  Query& with(const T&... values) {
    (bind(values), ...);
    return *this;
  }

  // True while there is a row. Errors: see Connection::error().
  Result<bool> step();
  // For statements without rows; answers how many rows changed.
  Result<std::int64_t> run();

  // Columns of the present row, in order of the calls.
  std::int64_t integer();
  bool flag() { return integer() != 0; }
  double real();
  std::string text();
  std::string_view text_view();  // valid until the next step
  Timestamp time() { return {integer()}; }
  std::optional<std::int64_t> maybe_integer();
  std::optional<Timestamp> maybe_time();
  template <class IdType>
  IdType id() {
    IdBytes bytes{};
    copy_blob(bytes.data(), bytes.size());
    return IdType(bytes);
  }
  template <class IdType>
  std::optional<IdType> maybe_id() {
    if (is_null()) return ++column_, std::nullopt;
    return id<IdType>();
  }
  Digest digest() {
    Digest out{};
    copy_blob(out.data(), out.size());
    return out;
  }
  std::optional<Digest> maybe_digest() {
    if (is_null()) return ++column_, std::nullopt;
    return digest();
  }

 private:
  Query& bind_blob(const void* data, std::size_t size);
  Query& bind_null();
  [[nodiscard]] bool is_null() const;
  void copy_blob(void* out, std::size_t size);

  sqlite3* db_;
  sqlite3_stmt* statement_;
  int parameter_ = 1;
  int column_ = 0;
};

class Connection {
 public:
  // Throws std::runtime_error with a sentence: opening belongs to start-up.
  Connection(const std::string& file, bool read_only, int cache_kib);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // `sql` must be a literal, or live as long as the connection.
  [[nodiscard]] Query query(const char* sql);
  [[nodiscard]] Result<void> execute(const std::string& script);
  [[nodiscard]] bool in_transaction() const;
  [[nodiscard]] std::int64_t last_row() const;  // rowid of the latest insert

 private:
  sqlite3* db_ = nullptr;
  std::unordered_map<const void*, sqlite3_stmt*> statements_;
};

// What the connection's last failure means to a caller.
[[nodiscard]] Error error_of(sqlite3* db);

}  // namespace berth::sqlite
