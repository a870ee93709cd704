#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "cli/commands.h"
#include "cli/output.h"
#include "cli/prompt.h"
#include "net/url.h"

namespace berth::cli {
namespace {

namespace js = boost::json;

struct Args {
  std::string name, org, role = "developer", expires = "7d";
  int uses = 1;
  bool yes = false;
};
using Shared = std::shared_ptr<Args>;

std::string org_path(Client& client, const Args& a, std::string_view rest) {
  return "/api/v1/organizations/" + client.organization_id(a.org) + std::string(rest);
}

int list_orgs(const Global& global) {
  Client client(global);
  const auto mine = client.get("/api/v1/organizations");
  Table table({"ID", "NAME", "ROLE"});
  std::vector<Value> items;
  for (const auto& o : at(mine, "items").as_array()) {
    table.add({text_at(o, "id"), safe_text(text_at(o, "name")), text_at(o, "role")});
    items.push_back(o);
  }
  print_list(global, items, table);
  return kOk;
}

int create_org(const Global& global, const Args& a) {
  Client client(global);
  const auto made = client.post("/api/v1/organizations", js::object{{"name", a.name}});
  if (client.context().organization.empty()) {
    client.context().organization = text_at(made, "id");
    client.save();
  }
  Table table({"ID", "NAME", "ROLE"});
  table.add({text_at(made, "id"), text_at(made, "name"), text_at(made, "role")});
  print_value(global, made, table);
  hint(global, "Next: berth cluster create NAME, or berth invite create");
  return kOk;
}

int members(const Global& global, const Args& a) {
  Client client(global);
  const auto items = client.list(org_path(client, a, "/members"));
  Table table({"USER", "NAME", "EMAIL", "ROLE"});
  for (const auto& m : items) {
    table.add({text_at(m, "user_id"), safe_text(text_at(m, "username")),
               safe_text(text_at(m, "email")), text_at(m, "role")});
  }
  print_list(global, items, table);
  return kOk;
}

// A member by name or id.
std::string member_id(Client& client, const Args& a) {
  for (const auto& m : client.list(org_path(client, a, "/members"))) {
    if (text_at(m, "user_id") == a.name || text_at(m, "username") == a.name)
      return text_at(m, "user_id");
  }
  throw Failure{
      kForbidden, fmt::format("No member '{}'; 'berth member list' shows them.", a.name), "", {}};
}

int audit(const Global& global, const Args& a) {
  Client client(global);
  const auto items = client.list(org_path(client, a, "/audit"), 100);
  Table table({"SEQ", "AT", "WHO", "WHAT", "DETAILS"});
  for (const auto& e : items) {
    table.add({text_at(e, "seq"), text_at(e, "at"), safe_text(text_at(e, "actor_name")),
               text_at(e, "kind"), safe_text(text_at(e, "data"))});
  }
  print_list(global, items, table);
  return kOk;
}

int create_invite(const Global& global, const Args& a) {
  Client client(global);
  const auto made =
      client.post(org_path(client, a, "/invites"),
                  js::object{{"role", a.role}, {"max_uses", a.uses}, {"expires_in", a.expires}});
  if (global.output != "table" && global.output != "wide") {
    Table table({"CODE", "ROLE", "EXPIRES"});
    table.add({text_at(made, "code"), text_at(made, "role"), text_at(made, "expires_at")});
    return print_value(global, made, table), static_cast<int>(kOk);
  }
  fmt::print("{}\n", text_at(made, "code"));
  hint(global, fmt::format("It gives the role {} to {} and ends at {}. It is shown once.\nThey "
                           "run: berth invite redeem CODE",
                           a.role, a.uses == 1 ? "one person" : fmt::format("{} people", a.uses),
                           text_at(made, "expires_at")));
  return kOk;
}

int list_invites(const Global& global, const Args& a) {
  Client client(global);
  const auto items = client.list(org_path(client, a, "/invites"));
  Table table({"ID", "PREFIX", "ROLE", "USES", "EXPIRES", "STATE"});
  for (const auto& i : items) {
    const bool used = number_at(i, "uses") >= number_at(i, "max_uses");
    const auto state = !text_at(i, "revoked_at").empty() ? "revoked" : used ? "used up" : "open";
    table.add({text_at(i, "id"), text_at(i, "prefix"), text_at(i, "role"),
               text_at(i, "uses") + "/" + text_at(i, "max_uses"), text_at(i, "expires_at"), state});
  }
  print_list(global, items, table);
  return kOk;
}

int redeem(const Global& global, const Args& a) {
  Client client(global);
  const auto joined = client.post("/api/v1/invites/redeem", js::object{{"code", a.name}});
  fmt::print("Joined {} as {}.\n", text_at(joined, "name"), text_at(joined, "role"));
  return kOk;
}

template <class Work>
void on(CLI::App* command, Global& global, Selected& selected, Shared args, Work work) {
  command->callback([&selected, &global, args, work] {
    selected = [&global, args, work] { return work(global, *args); };
  });
}

void add_orgs(CLI::App& app, Global& global, Selected& selected) {
  auto* org = app.add_subcommand("org", "Organizations")->require_subcommand(1);
  auto a = std::make_shared<Args>();
  on(org->add_subcommand("list", "List yours"), global, selected, a,
     [](const Global& g, const Args&) { return list_orgs(g); });
  auto* create = org->add_subcommand("create", "Create one; you become its owner");
  create->add_option("name", a->name)->required();
  on(create, global, selected, a, create_org);
  auto* use = org->add_subcommand("use", "Use it when --org is not given");
  use->add_option("name", a->name)->required();
  on(use, global, selected, a, [](const Global& g, const Args& args) {
    Client client(g);
    client.context().organization = client.organization_id(args.name);
    client.save();
    fmt::print("Using {}.\n", args.name);
    return static_cast<int>(kOk);
  });
  auto* log = org->add_subcommand("audit", "What happened, newest first");
  log->add_option("--org", a->org, "Organization");
  on(log, global, selected, a, audit);
}

void add_members(CLI::App& app, Global& global, Selected& selected) {
  auto* member = app.add_subcommand("member", "Members of an organization")->require_subcommand(1);
  auto a = std::make_shared<Args>();
  auto* list = member->add_subcommand("list", "List them");
  list->add_option("--org", a->org, "Organization");
  on(list, global, selected, a, members);
  auto* role = member->add_subcommand("update", "Give a member another role");
  role->add_option("user", a->name, "Username or id")->required();
  role->add_option("--role", a->role, "owner, admin, developer or viewer")->required();
  role->add_option("--org", a->org, "Organization");
  on(role, global, selected, a, [](const Global& g, const Args& args) {
    Client client(g);
    client.patch(org_path(client, args, "/members"),
                 js::object{{"user_id", member_id(client, args)}, {"role", args.role}});
    fmt::print("{} is {} now.\n", args.name, args.role);
    return static_cast<int>(kOk);
  });
  auto* remove = member->add_subcommand("delete", "Remove a member");
  remove->add_option("user", a->name, "Username or id")->required();
  remove->add_option("--org", a->org, "Organization");
  remove->add_flag("--yes,-y", a->yes, "Do not ask");
  on(remove, global, selected, a, [](const Global& g, const Args& args) {
    Client client(g);
    const auto id = member_id(client, args);
    confirm(fmt::format("Remove {} from the organization?", args.name), args.yes);
    client.remove(org_path(client, args, "/members/" + id));
    fmt::print("Removed {}.\n", args.name);
    return static_cast<int>(kOk);
  });
}

void add_invites(CLI::App& app, Global& global, Selected& selected) {
  auto* invite = app.add_subcommand("invite", "Codes that let people join")->require_subcommand(1);
  auto a = std::make_shared<Args>();
  auto* create = invite->add_subcommand("create", "Make a code; it is shown once");
  create->add_option("--role", a->role, "owner, admin, developer or viewer")->capture_default_str();
  create->add_option("--expires", a->expires, "For how long, such as 7d or 12h")
      ->capture_default_str();
  create->add_option("--uses", a->uses, "How many may join by it")->capture_default_str();
  create->add_option("--org", a->org, "Organization");
  on(create, global, selected, a, create_invite);
  auto* list = invite->add_subcommand("list", "List them");
  list->add_option("--org", a->org, "Organization");
  on(list, global, selected, a, list_invites);
  auto* revoke = invite->add_subcommand("delete", "Take one back");
  revoke->add_option("id", a->name, "From 'berth invite list'")->required();
  revoke->add_option("--org", a->org, "Organization");
  on(revoke, global, selected, a, [](const Global& g, const Args& args) {
    Client client(g);
    client.remove(org_path(client, args, "/invites/" + net::percent_encode(args.name)));
    fmt::print("Revoked {}.\n", args.name);
    return static_cast<int>(kOk);
  });
  auto* join = invite->add_subcommand("redeem", "Join by a code");
  join->add_option("code", a->name)->required();
  on(join, global, selected, a, redeem);
}

}  // namespace

void add_organization_commands(CLI::App& app, Global& global, Selected& selected) {
  add_orgs(app, global, selected);
  add_members(app, global, selected);
  add_invites(app, global, selected);
}

}  // namespace berth::cli
