// Tables, JSON, YAML and names on stdout; hints and progress on stderr. Colour only on a terminal.
#pragma once
#include <string>
#include <vector>

#include "cli/client.h"

namespace berth::cli {

class Table {
 public:
  explicit Table(std::vector<std::string> head) : head_(std::move(head)) {}
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  void print() const;
  void print_csv() const;

 private:
  std::vector<std::string> head_;
  std::vector<std::vector<std::string>> rows_;
};

// Prints one object, or a list of them, as asked for by -o; `table` is used for table, wide and
// csv.
void print_value(const Global& global, const Value& value, const Table& table);
void print_list(const Global& global, const std::vector<Value>& items, const Table& table);

void hint(const Global& global,
          const std::string& text);  // stderr, not with --quiet or off a terminal
// Control characters out: what others wrote must not steer a terminal.
[[nodiscard]] std::string safe_text(std::string_view text);
[[nodiscard]] std::string amounts(const Value& resources);  // "1 cpu, 512MiB, 0.5 gpu"
[[nodiscard]] std::string limits(const Value& amounts);  // "cpu 1, gpu 2"; "-" when there are none
[[nodiscard]] std::string ago(const std::string& rfc3339);
[[nodiscard]] bool is_terminal(int fd);

}  // namespace berth::cli
