// What the shared statements need of a database: prepared statements, transactions, and a handful
// of things that each database does in its own way. SQLite and PostgreSQL implement it.
#pragma once
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/hash.h"
#include "base/id.h"
#include "base/result.h"
#include "base/time.h"
#include "core/records.h"

namespace berth::sql {

// Bytes that are no text.
struct Bytes {
  std::string_view value;
};

// The kinds of values that cross the border. A null has a kind too: PostgreSQL wants to know it.
enum class Kind { integer, real, flag, text, bytes };

// A prepared statement of one connection. Parameters count from 1, columns from 0.
class Statement {
 public:
  virtual ~Statement() = default;
  virtual void bind_integer(int index, std::int64_t value) = 0;
  virtual void bind_real(int index, double value) = 0;
  virtual void bind_flag(int index, bool value) = 0;
  virtual void bind_text(int index, std::string_view value) = 0;
  virtual void bind_bytes(int index, std::string_view value) = 0;
  virtual void bind_null(int index, Kind kind) = 0;

  // True while there is a row.
  virtual Result<bool> step() = 0;
  // For statements without rows; answers how many rows changed.
  virtual Result<std::int64_t> run() = 0;
  // Rows come one by one and are never all in memory. Until the last one the connection serves
  // nothing else. To be said before the first step.
  virtual void stream() = 0;
  virtual void reset() = 0;

  [[nodiscard]] virtual bool is_null(int column) = 0;
  [[nodiscard]] virtual std::int64_t integer(int column) = 0;
  [[nodiscard]] virtual double real(int column) = 0;
  // Valid until the next step.
  [[nodiscard]] virtual std::string_view text(int column) = 0;
  [[nodiscard]] virtual std::string_view bytes(int column) = 0;
};

template <class T>
constexpr Kind kind_of() {
  if constexpr (std::is_same_v<T, bool>) {
    return Kind::flag;
  } else if constexpr (std::is_integral_v<T> || std::is_same_v<T, Timestamp>) {
    return Kind::integer;
  } else if constexpr (std::is_floating_point_v<T>) {
    return Kind::real;
  } else if constexpr (std::is_convertible_v<T, std::string_view>) {
    return Kind::text;
  } else {
    return Kind::bytes;
  }
}

// One execution of a prepared statement. Parameters bind in order: ?1, ?2, ...; columns are read in
// order, too.
class Query {
 public:
  explicit Query(Statement& statement) : statement_(&statement) {}
  ~Query() { statement_->reset(); }
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;

  template <class... T>
  Query& with(const T&... values) {
    (bind(values), ...);
    return *this;
  }
  Query& streamed() {
    statement_->stream();
    return *this;
  }
  Result<bool> step() {
    column_ = 0;
    return statement_->step();
  }
  Result<std::int64_t> run() { return statement_->run(); }

  std::int64_t integer() { return statement_->integer(column_++); }
  bool flag() { return integer() != 0; }
  double real() { return statement_->real(column_++); }
  std::string_view text_view() { return statement_->text(column_++); }  // until the next step
  std::string text() { return std::string(text_view()); }
  std::string_view bytes() { return statement_->bytes(column_++); }  // until the next step
  Timestamp time() { return {integer()}; }
  std::optional<std::int64_t> maybe_integer() {
    return skip_null() ? std::nullopt : std::optional(integer());
  }
  std::optional<Timestamp> maybe_time() {
    return skip_null() ? std::nullopt : std::optional(time());
  }
  template <class IdType>
  IdType id() {
    IdBytes out{};
    copy(out);
    return IdType(out);
  }
  template <class IdType>
  std::optional<IdType> maybe_id() {
    return skip_null() ? std::nullopt : std::optional(id<IdType>());
  }
  Digest digest() {
    Digest out{};
    copy(out);
    return out;
  }
  std::optional<Digest> maybe_digest() {
    return skip_null() ? std::nullopt : std::optional(digest());
  }
  // True, and past it, when the next column is null.
  bool skip_null() {
    if (!statement_->is_null(column_)) return false;
    ++column_;
    return true;
  }

 private:
  template <class T>
  void bind(const T& value) {
    constexpr Kind kind = kind_of<T>();
    if constexpr (std::is_same_v<T, Timestamp>) {
      statement_->bind_integer(parameter_++, value.micros);
    } else if constexpr (kind == Kind::flag) {
      statement_->bind_flag(parameter_++, value);
    } else if constexpr (kind == Kind::integer) {
      statement_->bind_integer(parameter_++, static_cast<std::int64_t>(value));
    } else if constexpr (kind == Kind::real) {
      statement_->bind_real(parameter_++, value);
    } else if constexpr (kind == Kind::text) {
      statement_->bind_text(parameter_++, value);
    } else {
      bind_bytes(value);
    }
  }
  template <class T>
  void bind(const std::optional<T>& value) {
    if (value) return bind(*value);
    statement_->bind_null(parameter_++, kind_of<T>());
  }
  template <std::size_t size>
  void bind_bytes(const std::array<std::uint8_t, size>& value) {
    statement_->bind_bytes(parameter_++, {reinterpret_cast<const char*>(value.data()), size});
  }
  void bind_bytes(const Bytes& value) { statement_->bind_bytes(parameter_++, value.value); }
  template <class Tag>
  void bind_bytes(const Id<Tag>& value) {
    bind_bytes(value.bytes());
  }
  // Rows are ours, but disks rot: a value of another length reads as zeroes.
  template <std::size_t size>
  void copy(std::array<std::uint8_t, size>& out) {
    const auto have = statement_->bytes(column_++);
    if (have.size() == size) std::memcpy(out.data(), have.data(), size);
  }

  Statement* statement_;
  int parameter_ = 1;
  int column_ = 0;
};

class Connection {
 public:
  virtual ~Connection() = default;

  // `sql` is a literal, or lives as long as the connection: its address is the cache key. It is
  // written as in dialect.h.
  [[nodiscard]] Query query(const char* sql) { return Query(statement(sql)); }
  [[nodiscard]] virtual Statement& statement(const char* sql) = 0;

  // One writing transaction, and one nesting within it.
  virtual Result<void> begin() = 0;
  virtual void rollback() = 0;
  virtual Result<void> mark() = 0;
  virtual Result<void> undo() = 0;
  virtual Result<void> keep() = 0;
  // Numbers and writes the events, last of all, and commits. Answers the number of the first event,
  // or 0.
  virtual Result<std::int64_t> commit(std::span<const Event> events) = 0;
  // Everything read from now on until the connection ends is of one state: the present one.
  virtual Result<void> freeze() = 0;
  virtual Result<std::vector<std::string>> check_integrity() = 0;
};

// Forgets the answer of a statement without rows.
inline Result<void> done(Result<std::int64_t> changed) {
  if (!changed) return std::unexpected(std::move(changed.error()));
  return {};
}

// All rows of a query through `read`, or at most one.
template <class T, class Read>
Result<std::vector<T>> all(Query& query, Read read) {
  std::vector<T> out;
  for (;;) {
    const auto more = query.step();
    if (!more) return std::unexpected(more.error());
    if (!*more) return out;
    out.push_back(read(query));
  }
}
template <class T, class Read>
Result<std::optional<T>> one(Query& query, Read read) {
  const auto more = query.step();
  if (!more) return std::unexpected(more.error());
  if (!*more) return std::optional<T>{};
  return std::optional<T>(read(query));
}

}  // namespace berth::sql
