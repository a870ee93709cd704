#include <array>

#include "base/ensure.h"
#include "store/postgres/connection.h"
#include "store/postgres/encoding.h"
#include "store/sql/dialect.h"

namespace berth::postgres {
namespace {

constexpr sql::Dialect kDialect{
    .now = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint",
    .nocase = "lower(@ COLLATE \"C\")",
    .hex = "encode(@, 'hex')",
    .for_update = "FOR UPDATE",
    .for_share_of = "FOR SHARE OF @",
    .parameter = '$',
};
constexpr int kBinary = 1;
constexpr std::size_t kMostParameters = 32;

}  // namespace

Statement::Statement(Connection& connection, const char* sql, std::size_t number)
    : connection_(connection),
      text_(sql::expand(sql, kDialect)),
      name_("s" + std::to_string(number)) {}

Statement::Parameter& Statement::at(int index, unsigned type) {
  const auto place = static_cast<std::size_t>(index - 1);
  ensure(place < kMostParameters, "a statement has few parameters");
  if (parameters_.size() <= place) parameters_.resize(place + 1);
  auto& out = parameters_[place];
  ensure(out.type == 0 || out.type == type, "a parameter keeps its type");
  out.type = type;
  out.null = false;
  out.bytes.clear();
  return out;
}

void Statement::bind_integer(int index, std::int64_t value) {
  put_number(at(index, kInt8).bytes, value);
}
void Statement::bind_real(int index, double value) {
  put_number(at(index, kFloat8).bytes, bits_of(value));
}
void Statement::bind_flag(int index, bool value) {
  at(index, kBool).bytes.assign(1, value ? '\1' : '\0');
}
void Statement::bind_text(int index, std::string_view value) {
  auto& out = at(index, kText).bytes;
  if (is_clean(value)) {
    out.assign(value);
  } else {
    out = cleaned(value);
  }
}
void Statement::bind_bytes(int index, std::string_view value) {
  at(index, kBytes).bytes.assign(value);
}
void Statement::bind_null(int index, sql::Kind kind) { at(index, type_of(kind)).null = true; }
void Statement::bind_array(int index, unsigned type, std::string bytes) {
  at(index, type).bytes = std::move(bytes);
}

bool Statement::send_prepare(PGconn* to) const {
  std::array<Oid, kMostParameters> types{};
  for (std::size_t i = 0; i < parameters_.size(); ++i) types[i] = parameters_[i].type;
  return PQsendPrepare(to, name_.c_str(), text_.c_str(), static_cast<int>(parameters_.size()),
                       types.data()) == 1;
}

bool Statement::send(PGconn* to) const {
  std::array<const char*, kMostParameters> values{};
  std::array<int, kMostParameters> lengths{}, formats{};
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    values[i] = parameters_[i].null ? nullptr : parameters_[i].bytes.data();
    lengths[i] = static_cast<int>(parameters_[i].bytes.size());
    formats[i] = kBinary;
  }
  return PQsendQueryPrepared(to, name_.c_str(), static_cast<int>(parameters_.size()), values.data(),
                             lengths.data(), formats.data(), kBinary) == 1;
}

Result<bool> Statement::step() {
  if (!executed_) {
    auto answers = connection_.exchange(this, nullptr);
    if (!answers) return std::unexpected(std::move(answers.error()));
    executed_ = true;
    row_ = -1;
    result_ = std::move(answers->statement);
  }
  if (streamed_) {
    auto row = connection_.next_streamed();
    if (!row) return std::unexpected(std::move(row.error()));
    result_ = std::move(*row);
    row_ = 0;
    return result_ != nullptr;
  }
  return ++row_ < PQntuples(result_.get());
}

Result<std::int64_t> Statement::run() {
  auto answers = connection_.exchange(this, nullptr);
  if (!answers) return std::unexpected(std::move(answers.error()));
  const std::string_view changed = PQcmdTuples(answers->statement.get());
  std::int64_t out = 0;
  for (const char c : changed) out = out * 10 + (c - '0');
  return out;
}

void Statement::reset() {
  if (streamed_ && executed_) connection_.finish_stream();
  result_.reset();
  executed_ = streamed_ = false;
}

bool Statement::is_null(int column) { return PQgetisnull(result_.get(), row_, column) == 1; }
std::string_view Statement::bytes(int column) {
  return {PQgetvalue(result_.get(), row_, column),
          static_cast<std::size_t>(PQgetlength(result_.get(), row_, column))};
}
std::int64_t Statement::integer(int column) { return number_of(bytes(column)); }
double Statement::real(int column) { return real_of(bytes(column)); }

}  // namespace berth::postgres
