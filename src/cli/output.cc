#include "cli/output.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "base/time.h"
#include "core/resources.h"
#include "json/yaml.h"

namespace berth::cli {
namespace {

// Columns on a terminal, not bytes: continuation bytes of UTF-8 take none.
std::size_t width(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

void put(const std::string& text) { std::fwrite(text.data(), 1, text.size(), stdout); }

// What a script calls it by.
std::string name_of(const Value& value) {
  for (const auto* key : {"name", "username", "organization", "id", "deployment_id", "seq"}) {
    if (const auto text = text_at(value, key); !text.empty()) return text;
  }
  return {};
}

}  // namespace

bool is_terminal(int fd) { return isatty(fd) == 1; }

std::string safe_text(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte == '\t' || byte == '\n') {
      out += ' ';
    } else if (byte >= 0x20 && byte != 0x7F) {
      out += c;
    }
  }
  return out;
}

void Table::print() const {
  std::vector<std::size_t> widths;
  for (const auto& cell : head_) widths.push_back(width(cell));
  for (const auto& row : rows_) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width(row[i]));
  }
  const auto line = [&](const std::vector<std::string>& row) {
    std::string out;
    for (std::size_t i = 0; i < row.size(); ++i) {
      out += row[i];
      if (i + 1 < row.size()) out.append(widths[i] - width(row[i]) + 2, ' ');
    }
    put(out + "\n");
  };
  line(head_);
  for (const auto& row : rows_) line(row);
}

void Table::print_csv() const {
  const auto line = [](const std::vector<std::string>& row) {
    std::string out;
    for (std::size_t i = 0; i < row.size(); ++i) {
      std::string cell = row[i];
      if (cell.find_first_of(",\"\n") != std::string::npos) {
        std::string quoted = "\"";
        for (const char c : cell) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
        cell = quoted + "\"";
      }
      out += (i == 0 ? "" : ",") + cell;
    }
    put(out + "\n");
  };
  line(head_);
  for (const auto& row : rows_) line(row);
}

void print_value(const Global& global, const Value& value, const Table& table) {
  if (global.output == "json") return put(json::pretty(value) + "\n");
  if (global.output == "yaml") return put(json::to_yaml(value));
  if (global.output == "name") return put(name_of(value) + "\n");
  if (global.output == "csv") return table.print_csv();
  table.print();
}

void print_list(const Global& global, const std::vector<Value>& items, const Table& table) {
  if (global.output == "json" || global.output == "yaml") {
    boost::json::array list(items.begin(), items.end());
    const Value whole(boost::json::object{{"items", std::move(list)}});
    return print_value(global, whole, table);
  }
  if (global.output == "name") {
    for (const auto& item : items) put(name_of(item) + "\n");
    return;
  }
  if (global.output == "csv") return table.print_csv();
  table.print();
}

void hint(const Global& global, const std::string& text) {
  if (global.quiet || !is_terminal(STDERR_FILENO)) return;
  fmt::print(stderr, "{}\n", text);
}

std::string amounts(const Value& r) {
  std::string out =
      fmt::format("{} cpu", cpu_text(static_cast<std::int64_t>(number_at(r, "cpu") * 1000 + 0.5)));
  if (number_at(r, "memory") > 0)
    out += ", " + memory_text(static_cast<std::int64_t>(number_at(r, "memory")));
  if (number_at(r, "gpu") > 0)
    out += fmt::format(", {} gpu",
                       gpu_text(static_cast<std::int64_t>(number_at(r, "gpu") * 1000 + 0.5)));
  return out;
}

std::string limits(const Value& r) {
  if (!r.is_object()) return "-";
  const auto part = [&](const char* name, double scale) {
    if (!r.as_object().contains(name)) return kNoQuota;
    return static_cast<std::int64_t>(number_at(r, name) * scale + 0.5);
  };
  return limits_text({part("cpu", 1000), part("memory", 1), part("gpu", 1000)});
}

std::string ago(const std::string& text) {
  const auto then = from_rfc3339(text);
  return then ? humane(SystemClock().now().since(*then)) : "";
}

}  // namespace berth::cli
