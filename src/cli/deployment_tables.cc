#include "cli/deployment_tables.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace berth::cli {
namespace {

// Each node once, in the order of the replicas.
std::string nodes_of(const Value& d) {
  std::vector<std::string> nodes;
  const auto add = [&](const Value& place) {
    auto node = safe_text(text_at(place, "node"));
    if (!node.empty() && std::ranges::find(nodes, node) == nodes.end())
      nodes.push_back(std::move(node));
  };
  add(at(d, "place"));
  if (const auto& all = at(d, "placements"); all.is_array()) {
    for (const auto& one : all.as_array()) add(at(one, "place"));
  }
  return nodes.empty() ? "-" : fmt::format("{}", fmt::join(nodes, ","));
}

}  // namespace

std::string needs_of(const Value& d) {
  const auto replicas = text_at(d, "replicas");
  const auto each = amounts(at(d, "resources"));
  return replicas.empty() || replicas == "1" ? each : fmt::format("{} x {}", replicas, each);
}

bool has_placements(const Value& d) {
  const auto& all = at(d, "placements");
  return all.is_array() && !all.as_array().empty();
}

Table replica_table(const Value& d) {
  Table table({"REPLICA", "STATE", "NODE", "EXIT", "MESSAGE"});
  for (const auto& one : at(d, "placements").as_array()) {
    const auto node = text_at(at(one, "place"), "node");
    const auto exit = text_at(one, "exit_code");
    table.add({text_at(one, "replica"), text_at(one, "state"), node.empty() ? "-" : safe_text(node),
               exit.empty() ? "-" : exit, safe_text(text_at(one, "message"))});
  }
  return table;
}

Table deployment_table(const std::vector<Value>& items, bool wide) {
  std::vector<std::string> head{"NAME", "STATE", "PRIORITY", "NEEDS", "NODE", "AGE"};
  if (wide) head.insert(head.end(), {"ATTEMPT", "ENDPOINT", "ID"});
  Table table(std::move(head));
  for (const auto& d : items) {
    std::vector<std::string> row{safe_text(text_at(d, "name")),
                                 text_at(d, "state"),
                                 text_at(d, "priority"),
                                 needs_of(d),
                                 nodes_of(d),
                                 ago(text_at(d, "created_at"))};
    if (wide)
      row.insert(row.end(), {text_at(d, "attempt"), text_at(d, "endpoint"), text_at(d, "id")});
    table.add(std::move(row));
  }
  return table;
}

}  // namespace berth::cli
