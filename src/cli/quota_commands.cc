// berth cluster quota: with which organizations a cluster is shared, and how much each may hold.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "cli/commands.h"
#include "cli/output.h"
#include "cli/prompt.h"

namespace berth::cli {
namespace {

namespace js = boost::json;

struct Limits {
  std::string cpu, memory, gpu;
};

struct Args {
  std::string cluster, organization;
  Limits quota, borrowing;
  bool no_borrowing = false, yes = false;
};
using Shared = std::shared_ptr<Args>;

std::string path_of(Client& client, const Args& a) {
  return "/api/v1/clusters/" + client.cluster_id(a.cluster) + "/quotas";
}

// By id, or by name: one that shares the cluster, else one of the caller's.
std::string organization_id(Client& client, const std::string& quotas, const std::string& wanted) {
  if (wanted.starts_with("org_") && wanted.size() == 30) return wanted;
  const auto list = client.get(quotas);
  for (const auto& row : at(list, "items").as_array()) {
    if (text_at(row, "organization") == wanted) return text_at(row, "organization_id");
  }
  const auto mine = client.get("/api/v1/organizations");
  for (const auto& row : at(mine, "items").as_array()) {
    if (text_at(row, "name") == wanted) return text_at(row, "id");
  }
  throw Failure{
      kForbidden,
      fmt::format("The cluster is not shared with '{}', and you are not in it. Share it by "
                  "the organization's id, which 'berth org list' tells its members.",
                  wanted),
      "",
      {}};
}

int list(const Global& global, const Args& a) {
  Client client(global);
  const auto answer = client.get(path_of(client, a));
  Table table({"ORGANIZATION", "QUOTA", "BORROWING", "USED", "BORROWED", "WAITING", "ID"});
  std::vector<Value> items;
  for (const auto& row : at(answer, "items").as_array()) {
    const bool has_quota = at(row, "quota").is_object();
    const auto& borrowing = at(row, "borrowing");
    table.add({safe_text(text_at(row, "organization")), limits(at(row, "quota")),
               has_quota && !borrowing.is_object() ? "no limit" : limits(borrowing),
               amounts(at(row, "used")), has_quota ? amounts(at(row, "borrowed")) : "-",
               text_at(row, "waiting"), text_at(row, "organization_id")});
    items.push_back(row);
  }
  print_list(global, items, table);
  return kOk;
}

js::object body_of(const Limits& l) {
  js::object out;
  if (!l.cpu.empty()) out["cpu"] = l.cpu;
  if (!l.memory.empty()) out["memory"] = l.memory;
  if (!l.gpu.empty()) out["gpu"] = l.gpu;
  return out;
}

int set(const Global& global, const Args& a) {
  Client client(global);
  js::object body;
  if (auto quota = body_of(a.quota); !quota.empty()) body["quota"] = std::move(quota);
  if (auto borrowing = body_of(a.borrowing); !borrowing.empty())
    body["borrowing"] = std::move(borrowing);
  if (a.no_borrowing) body["borrowing"] = js::object{{"cpu", 0}, {"memory", 0}, {"gpu", 0}};
  const auto path = path_of(client, a);
  const auto made =
      client.put(path + "/" + organization_id(client, path, a.organization), std::move(body));
  Table table({"ORGANIZATION", "QUOTA", "BORROWING", "ID"});
  const bool has_quota = at(made, "quota").is_object();
  const auto& borrowing = at(made, "borrowing");
  table.add({safe_text(text_at(made, "organization")), limits(at(made, "quota")),
             has_quota && !borrowing.is_object() ? "no limit" : limits(borrowing),
             text_at(made, "organization_id")});
  print_value(global, made, table);
  return kOk;
}

int remove(const Global& global, const Args& a) {
  Client client(global);
  const auto path = path_of(client, a);
  const auto id = organization_id(client, path, a.organization);
  confirm(fmt::format("End the sharing with {}?", a.organization), a.yes);
  client.remove(path + "/" + id);
  fmt::print("Removed {}.\n", a.organization);
  return kOk;
}

void add_limits(CLI::App* command, Limits& to, const std::string& prefix, const std::string& said) {
  command->add_option("--" + prefix + "cpu", to.cpu, said + "cores, such as 8 or 500m");
  command->add_option("--" + prefix + "memory", to.memory, said + "memory, such as 32GiB");
  command->add_option("--" + prefix + "gpu", to.gpu, said + "GPU devices");
}

}  // namespace

void add_quota_commands(CLI::App& cluster, Global& global, Selected& selected) {
  auto* quota =
      cluster.add_subcommand("quota", "Share it with organizations, and how much each may hold")
          ->require_subcommand(1);
  auto a = std::make_shared<Args>();
  const auto on = [&](CLI::App* command, int (*work)(const Global&, const Args&)) {
    command->callback([&selected, &global, a, work] {
      selected = [&global, a, work] { return work(global, *a); };
    });
    return command;
  };
  auto* show = on(quota->add_subcommand("list", "What each may hold, and holds"), list);
  show->add_option("cluster", a->cluster, "Cluster, by name or id; not needed when there is one");
  auto* put = on(quota->add_subcommand("set",
                                       "Share it with an organization on these terms; what "
                                       "is not said is not limited"),
                 set);
  auto* end = on(quota->add_subcommand("remove",
                                       "End the sharing; of the cluster's own "
                                       "organization, its quota"),
                 remove);
  for (auto* command : {put, end}) {
    command->add_option("cluster", a->cluster, "Cluster, by name or id")->required();
    command->add_option("organization", a->organization, "Organization, by name or id")->required();
  }
  add_limits(put, a->quota, "", "Quota: ");
  add_limits(put, a->borrowing, "borrow-", "At most beyond it, of what others leave unused: ");
  put->add_flag("--no-borrowing", a->no_borrowing, "Nothing beyond the quota");
  end->add_flag("--yes,-y", a->yes, "Do not ask");
}

}  // namespace berth::cli
