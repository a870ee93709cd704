#include "store/sql/dialect.h"

#include "base/ensure.h"

namespace berth::sql {
namespace {

std::string fill(std::string_view pattern, std::string_view argument) {
  std::string out;
  for (const char c : pattern) {
    if (c == '@') {
      out += argument;
    } else {
      out += c;
    }
  }
  return out;
}

std::string replacement(std::string_view words, const Dialect& dialect) {
  const auto argument_of = [&](std::string_view name) { return words.substr(name.size()); };
  if (words == "now") return std::string(dialect.now);
  if (words == "for update") return std::string(dialect.for_update);
  for (const auto& [name, pattern] :
       {std::pair<std::string_view, std::string_view>{"nocase ", dialect.nocase},
        {"hex ", dialect.hex},
        {"for share of ", dialect.for_share_of}}) {
    if (words.starts_with(name)) return fill(pattern, argument_of(name));
  }
  ensure(false, "a word in braces is known");
  return {};
}

}  // namespace

std::string expand(std::string_view sql, const Dialect& dialect) {
  std::string out;
  for (std::size_t at = 0; at < sql.size(); ++at) {
    if (sql[at] != '{') {
      out += sql[at];
      continue;
    }
    const auto end = sql.find('}', at);
    ensure(end != std::string_view::npos, "a brace is closed");
    out += replacement(sql.substr(at + 1, end - at - 1), dialect);
    at = end;
  }
  for (auto& c : out) {
    if (c == '?') c = dialect.parameter;
  }
  return out;
}

}  // namespace berth::sql
