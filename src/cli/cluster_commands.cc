#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <fstream>
#include <iterator>

#include "cli/commands.h"
#include "cli/deployment_tables.h"
#include "cli/output.h"
#include "cli/prompt.h"
#include "json/yaml.h"

namespace berth::cli {
namespace {

namespace js = boost::json;

struct Args {
  std::string name, org, runtime = "process", cpu, memory, gpu, nodes_file;
  std::string policy, placement, age_bound;
  std::optional<bool> fair;
  double speed = 1;
  std::size_t limit = 50;
  bool yes = false;
};
using Shared = std::shared_ptr<Args>;

Value read_document(const std::string& file) {
  std::ifstream in(file);
  if (!in) throw Failure{kUsage, fmt::format("Cannot read {}.", file), "", {}};
  auto value = json::from_yaml(std::string(std::istreambuf_iterator<char>(in), {}));
  if (!value) throw Failure{kRejected, fmt::format("{}: {}", file, value.error().message), "", {}};
  return std::move(*value);
}

// `whole`: what is not given would be zero.
void put_capacity(js::object& body, const Args& a, bool whole) {
  if (!a.nodes_file.empty()) {
    const auto document = read_document(a.nodes_file);
    body["nodes"] = document.is_object() ? at(document, "nodes") : document;
    return;
  }
  if (a.cpu.empty() && a.memory.empty() && a.gpu.empty()) return;
  if (whole && (a.cpu.empty() || a.memory.empty())) {
    throw Failure{
        kUsage,
        "Say both --cpu and --memory (and --gpu, if there are any); without all three the "
        "cluster has what this server's machine has.",
        "",
        {}};
  }
  js::object r;
  if (!a.cpu.empty()) r["cpu"] = a.cpu;
  if (!a.memory.empty()) r["memory"] = a.memory;
  if (!a.gpu.empty()) r["gpu"] = a.gpu;
  body["resources"] = std::move(r);
}

void put_rules(js::object& body, const Args& a) {
  if (!a.policy.empty()) body["policy"] = a.policy;
  if (!a.placement.empty()) body["placement"] = a.placement;
  if (!a.age_bound.empty()) body["age_bound"] = a.age_bound;
  if (a.fair) body["fair"] = *a.fair;
}

Table cluster_table(const std::vector<Value>& clusters) {
  Table table({"NAME", "RUNTIME", "POLICY", "NODES", "CAPACITY", "STATE", "ID"});
  for (const auto& c : clusters) {
    table.add({safe_text(text_at(c, "name")), text_at(at(c, "runtime"), "kind"),
               text_at(c, "policy"), std::to_string(at(c, "nodes").as_array().size()),
               amounts(at(c, "resources")), at(c, "paused").as_bool() ? "paused" : "open",
               text_at(c, "id")});
  }
  return table;
}

int create(const Global& global, const Args& a) {
  Client client(global);
  js::object runtime{{"kind", a.runtime}};
  if (a.runtime == "simulated") runtime["speed"] = a.speed;
  js::object body{{"organization_id", client.organization_id(a.org)},
                  {"name", a.name},
                  {"runtime", std::move(runtime)}};
  put_capacity(body, a, true);
  put_rules(body, a);
  const auto made = client.post("/api/v1/clusters", std::move(body));
  print_value(global, made, cluster_table({made}));
  hint(global,
       fmt::format("Next: berth deploy NAME --cluster {} --cpu 1 --memory 512MiB -- COMMAND",
                   a.name));
  return kOk;
}

int list(const Global& global, const Args&) {
  Client client(global);
  const auto all = client.list("/api/v1/clusters");
  print_list(global, all, cluster_table(all));
  if (all.empty()) hint(global, "There is no cluster yet: berth cluster create NAME");
  return kOk;
}

int status(const Global& global, const Args& a) {
  Client client(global);
  const auto s = client.get("/api/v1/clusters/" + client.cluster_id(a.name) + "/status");
  Table table({"NODE", "CAPACITY", "RESERVED", "AVAILABLE", "GPUS FREE", "RUNNING"});
  for (const auto& n : at(s, "nodes").as_array()) {
    std::string gpus;
    for (const auto& g : at(n, "gpus").as_array())
      gpus += fmt::format("{}{}", gpus.empty() ? "" : " ", text_at(g, "available"));
    table.add({safe_text(text_at(n, "name")), amounts(at(n, "capacity")),
               amounts(at(n, "reserved")), amounts(at(n, "available")), gpus.empty() ? "-" : gpus,
               text_at(n, "running")});
  }
  print_value(global, s, table);
  if (global.output == "table") {
    const auto& q = at(s, "queue");
    fmt::print("\nwaiting: {} high, {} low, {} in back-off; running: {}; runtime: {}{}\n",
               text_at(q, "high"), text_at(q, "low"), text_at(q, "backoff"), text_at(s, "active"),
               safe_text(text_at(at(s, "runtime"), "message")),
               at(s, "paused").as_bool() ? "; PAUSED" : "");
    for (const auto& one : at(s, "quotas").as_array()) {
      const bool has_quota = at(one, "quota").is_object();
      fmt::print("{}: uses {}{}; {} wait\n", safe_text(text_at(one, "organization")),
                 amounts(at(one, "used")),
                 has_quota ? fmt::format(" of its quota of {}, {} of that borrowed",
                                         limits(at(one, "quota")), amounts(at(one, "borrowed")))
                           : "",
                 text_at(one, "waiting"));
    }
  }
  return kOk;
}

int update(const Global& global, const Args& a) {
  Client client(global);
  js::object body;
  put_capacity(body, a, false);
  put_rules(body, a);
  if (body.empty()) {
    throw Failure{kUsage,
                  "Say what changes: --cpu, --memory, --gpu, --nodes FILE, --policy, --placement, "
                  "--age-bound or --fair.",
                  "",
                  {}};
  }
  const auto id = client.cluster_id(a.name);
  if (auto* r = body.if_contains("resources"); r != nullptr) {
    // What is not given stays.
    const auto now = client.get("/api/v1/clusters/" + id);
    for (const auto* key : {"cpu", "memory", "gpu"}) {
      if (!r->as_object().contains(key)) r->as_object()[key] = at(at(now, "resources"), key);
    }
  }
  const auto changed = client.patch("/api/v1/clusters/" + id, std::move(body));
  print_value(global, changed, cluster_table({changed}));
  return kOk;
}

int queue(const Global& global, const Args& a) {
  Client client(global);
  const auto page = client.get(
      fmt::format("/api/v1/clusters/{}/queue?limit={}", client.cluster_id(a.name), a.limit));
  Table table({"POS", "NAME", "PRIORITY", "NEEDS", "WAITING", "REASON"});
  std::vector<Value> items;
  for (const auto& i : at(page, "items").as_array()) {
    const auto position = text_at(i, "position");
    const auto mark = at(i, "needs_action").as_bool() ? " (act)" : "";
    const auto name = text_at(i, "name");
    table.add({position == "0" ? "-" : position, name.empty() ? "(another's)" : safe_text(name),
               text_at(i, "priority"), needs_of(i), ago(text_at(i, "queued_at")),
               text_at(i, "reason") + mark});
    items.push_back(i);
  }
  print_list(global, items, table);
  if (items.empty()) hint(global, "Nobody waits.");
  if (!text_at(page, "next").empty())
    hint(global, fmt::format("The first {} are shown; more with --limit.", items.size()));
  return kOk;
}

template <class Work>
CLI::App* on(CLI::App* command, Global& global, Selected& selected, const Shared& args, Work work,
             bool named = true) {
  if (named)
    command->add_option("name", args->name, "Cluster, by name or id; not needed when there is one");
  command->callback([&selected, &global, args, work] {
    selected = [&global, args, work] { return work(global, *args); };
  });
  return command;
}

void add_capacity(CLI::App* command, const Shared& a) {
  command->add_option("--cpu", a->cpu, "Cores, such as 8 or 500m");
  command->add_option("--memory", a->memory, "Such as 32GiB");
  command->add_option("--gpu", a->gpu, "GPU devices");
  command->add_option("--nodes", a->nodes_file, "YAML or JSON file with the list of nodes");
}

void add_rules(CLI::App* command, const Shared& a) {
  command->add_option("--policy", a->policy, "strict, backfill, preempt or backfill+preempt");
  command->add_option("--placement", a->placement,
                      "best_fit, or fgd: leave the least GPU capacity unusable for what is usually "
                      "asked for");
  command->add_option("--age-bound", a->age_bound,
                      "What has waited this long (such as 4h) is not overtaken any more; 0: none");
  command->add_flag_function(
      "--fair,!--no-fair", [a](std::int64_t said) { a->fair = said > 0; },
      "Organizations that share it take turns by what they hold");
}

int act(const Global& global, const Args& a, const char* verb, const char* said) {
  Client client(global);
  client.post("/api/v1/clusters/" + client.cluster_id(a.name) + "/" + verb);
  fmt::print("{} {}.\n", said, a.name);
  return kOk;
}

}  // namespace

void add_cluster_commands(CLI::App& app, Global& global, Selected& selected) {
  auto* cluster = app.add_subcommand("cluster", "Pools of nodes")->require_subcommand(1);
  auto a = std::make_shared<Args>();
  auto* make =
      on(cluster->add_subcommand(
             "create", "Create one; without amounts it has what this server's machine has"),
         global, selected, a, create);
  make->get_option("name")->required();
  make->add_option("--runtime", a->runtime, "process or simulated")->capture_default_str();
  make->add_option("--speed", a->speed, "simulated: how many times faster than real time");
  make->add_option("--org", a->org, "Organization");
  add_capacity(make, a);
  add_rules(make, a);
  on(cluster->add_subcommand("list", "List them"), global, selected, a, list, false);
  on(cluster->add_subcommand("status", "Capacity, reservations, queue lengths"), global, selected,
     a, status);
  auto* grow = on(cluster->add_subcommand("update", "Change its capacity or how it schedules"),
                  global, selected, a, update);
  add_capacity(grow, a);
  add_rules(grow, a);
  on(cluster->add_subcommand("pause", "Let nothing start"), global, selected, a,
     [](const Global& g, const Args& args) { return act(g, args, "pause", "Paused"); });
  on(cluster->add_subcommand("resume", "Let deployments start again"), global, selected, a,
     [](const Global& g, const Args& args) { return act(g, args, "resume", "Resumed"); });
  add_quota_commands(*cluster, global, selected);
  auto* remove = on(cluster->add_subcommand("delete", "Delete one on which nothing waits or runs"),
                    global, selected, a, [](const Global& g, const Args& args) {
                      Client client(g);
                      const auto id = client.cluster_id(args.name);
                      confirm(fmt::format("Delete the cluster {}?", args.name), args.yes);
                      client.remove("/api/v1/clusters/" + id);
                      fmt::print("Deleted {}.\n", args.name);
                      return static_cast<int>(kOk);
                    });
  remove->add_flag("--yes,-y", a->yes, "Do not ask");

  auto* waiting =
      on(app.add_subcommand("queue", "Who waits, in order, and why"), global, selected, a, queue);
  waiting->add_option("--limit", a->limit, "How many")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
}

}  // namespace berth::cli
