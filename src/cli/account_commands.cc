#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "cli/commands.h"
#include "cli/output.h"
#include "cli/prompt.h"
#include "net/url.h"

namespace berth::cli {
namespace {

namespace js = boost::json;

struct Credentials {
  std::string username, email, password_file, invite;
  std::string token_file, organization;
  bool no_cluster = false;
};

void keep_login(Client& client, const Value& tokens) {
  client.context().access_token = text_at(tokens, "access_token");
  client.context().refresh_token = text_at(tokens, "refresh_token");
  client.context().username = text_at(at(tokens, "user"), "username");
  client.contexts().current = client.context_name();
  client.save();
}

int login(const Global& global, Credentials c) {
  Client client(global);
  if (c.username.empty()) c.username = ask("Username or email");
  const auto password =
      c.password_file.empty() ? ask_secret("Password") : read_secret_file(c.password_file);
  const auto tokens = client.post("/api/v1/auth/login",
                                  js::object{{"username", c.username}, {"password", password}});
  keep_login(client, tokens);
  fmt::print("Logged in to {} as {}.\n", client.context().server, client.context().username);
  return kOk;
}

int register_user(const Global& global, Credentials c) {
  Client client(global);
  if (c.username.empty()) c.username = ask("Username");
  if (c.email.empty()) c.email = ask("Email");
  const auto password =
      c.password_file.empty() ? ask_secret("Password") : read_secret_file(c.password_file);
  js::object body{{"username", c.username}, {"email", c.email}, {"password", password}};
  if (!c.invite.empty()) body["invite_code"] = c.invite;
  client.post("/api/v1/auth/register", std::move(body));
  const auto tokens = client.post("/api/v1/auth/login",
                                  js::object{{"username", c.username}, {"password", password}});
  keep_login(client, tokens);
  fmt::print("Registered and logged in as {}.\n", c.username);
  hint(global, "Next: berth org create NAME, or berth invite redeem CODE");
  return kOk;
}

// The first administrator, without a browser.
int set_up(const Global& global, Credentials c) {
  Client client(global);
  if (c.username.empty()) c.username = ask("Username");
  if (c.email.empty()) c.email = ask("Email");
  if (c.organization.empty()) c.organization = ask("Organization");
  const auto password =
      c.password_file.empty() ? ask_secret("Password") : read_secret_file(c.password_file);
  const auto tokens =
      client.post("/api/v1/setup", js::object{{"token", read_secret_file(c.token_file)},
                                              {"username", c.username},
                                              {"email", c.email},
                                              {"password", password},
                                              {"organization", c.organization},
                                              {"take_this_machine", !c.no_cluster}});
  keep_login(client, tokens);
  fmt::print("Set up {}: you are its administrator, and the owner of {}.\n",
             client.context().server, c.organization);
  hint(global, c.no_cluster ? "Next: berth cluster create NAME"
                            : "This machine is your first cluster: berth cluster status local");
  return kOk;
}

void add_tokens(CLI::App& app, Global& global, Selected& selected) {
  auto* token = app.add_subcommand("token", "API keys, for scripts")->require_subcommand(1);
  auto* create = token->add_subcommand("create", "Make an API key; it is shown once");
  auto name = std::make_shared<std::string>();
  create->add_option("name", *name, "To recognise it by")->required();
  create->callback([&selected, &global, name] {
    selected = [&global, name] {
      Client client(global);
      const auto key = client.post("/api/v1/auth/keys", js::object{{"name", *name}});
      if (global.output != "table" && global.output != "wide") {
        Table table({"NAME", "KEY"});
        table.add({text_at(key, "name"), text_at(key, "key")});
        return print_value(global, key, table), static_cast<int>(kOk);
      }
      fmt::print("{}\n", text_at(key, "key"));
      hint(global, "Keep it: it is shown once. Use it as BERTH_TOKEN, or as a bearer token.");
      return static_cast<int>(kOk);
    };
  });
  token->add_subcommand("list", "List your API keys")->callback([&selected, &global] {
    selected = [&global] {
      Client client(global);
      const auto keys = client.get("/api/v1/auth/keys");
      Table table({"ID", "NAME", "PREFIX", "CREATED"});
      std::vector<Value> items;
      for (const auto& k : at(keys, "items").as_array()) {
        table.add({text_at(k, "id"), safe_text(text_at(k, "name")), text_at(k, "prefix"),
                   ago(text_at(k, "created_at")) + " ago"});
        items.push_back(k);
      }
      print_list(global, items, table);
      return static_cast<int>(kOk);
    };
  });
  auto* revoke = token->add_subcommand("delete", "Revoke an API key");
  auto id = std::make_shared<std::string>();
  revoke->add_option("id", *id, "From 'berth token list'")->required();
  revoke->callback([&selected, &global, id] {
    selected = [&global, id] {
      Client client(global);
      client.remove("/api/v1/auth/keys/" + net::percent_encode(*id));
      fmt::print("Revoked {}.\n", *id);
      return static_cast<int>(kOk);
    };
  });
}

void add_contexts(CLI::App& app, Global& global, Selected& selected) {
  auto* context = app.add_subcommand("context", "Servers and logins that this machine knows")
                      ->require_subcommand(1);
  context->add_subcommand("list", "List them")->callback([&selected, &global] {
    selected = [&global] {
      auto contexts = load_contexts();
      if (!contexts) throw Failure{kUsage, contexts.error().message, "", {}};
      Table table({"", "NAME", "SERVER", "USER"});
      std::vector<Value> items;
      for (const auto& [name, c] : contexts->all) {
        table.add({name == contexts->current ? "*" : "", name, c.server, c.username});
        items.emplace_back(js::object{{"name", name},
                                      {"server", c.server},
                                      {"username", c.username},
                                      {"current", name == contexts->current}});
      }
      print_list(global, items, table);
      return static_cast<int>(kOk);
    };
  });
  auto* use = context->add_subcommand("use", "Make one the current one");
  auto name = std::make_shared<std::string>();
  use->add_option("name", *name)->required();
  use->callback([&selected, name] {
    selected = [name] {
      auto contexts = load_contexts();
      if (!contexts) throw Failure{kUsage, contexts.error().message, "", {}};
      if (!contexts->all.contains(*name))
        throw Failure{kUsage, fmt::format("There is no context '{}'.", *name), "", {}};
      contexts->current = *name;
      if (auto saved = save_contexts(*contexts); !saved)
        throw Failure{kUnexpected, saved.error().message, "", {}};
      fmt::print("Using {}.\n", *name);
      return static_cast<int>(kOk);
    };
  });
}

}  // namespace

void add_account_commands(CLI::App& app, Global& global, Selected& selected) {
  auto c = std::make_shared<Credentials>();
  auto* in = app.add_subcommand("login", "Log in, and remember it");
  in->add_option("--username,-u", c->username, "Username or email");
  in->add_option("--password-file", c->password_file,
                 "File with the password; - for standard input");
  in->callback([&selected, &global, c] { selected = [&global, c] { return login(global, *c); }; });

  auto* reg = app.add_subcommand("register", "Make an account and log in");
  reg->add_option("--username,-u", c->username, "Username");
  reg->add_option("--email", c->email, "Email address");
  reg->add_option("--password-file", c->password_file,
                  "File with the password; - for standard input");
  reg->add_option("--invite", c->invite, "Invite code of an organization");
  reg->callback(
      [&selected, &global, c] { selected = [&global, c] { return register_user(global, *c); }; });

  auto* setup = app.add_subcommand("setup", "Make the first administrator of a fresh server");
  setup
      ->add_option("--token-file", c->token_file,
                   "The setup-token file in the server's data directory; - for standard input")
      ->required();
  setup->add_option("--username,-u", c->username, "Username");
  setup->add_option("--email", c->email, "Email address");
  setup->add_option("--password-file", c->password_file,
                    "File with the password; - for standard input");
  setup->add_option("--org", c->organization, "Name of the first organization");
  setup->add_flag("--no-cluster", c->no_cluster,
                  "Do not make the server's machine the first cluster, named local");
  setup->callback(
      [&selected, &global, c] { selected = [&global, c] { return set_up(global, *c); }; });

  auto everywhere = std::make_shared<bool>(false);
  auto* out = app.add_subcommand("logout", "End this login");
  out->add_flag("--everywhere", *everywhere, "End every login of this account");
  out->callback([&selected, &global, everywhere] {
    selected = [&global, everywhere] {
      Client client(global);
      client.post("/api/v1/auth/logout", js::object{{"everywhere", *everywhere}});
      client.context().access_token.clear();
      client.context().refresh_token.clear();
      client.save();
      fmt::print("Logged out.\n");
      return static_cast<int>(kOk);
    };
  });

  app.add_subcommand("whoami", "Who is logged in")->callback([&selected, &global] {
    selected = [&global] {
      Client client(global);
      const auto me = client.get("/api/v1/auth/me");
      Table table({"USERNAME", "EMAIL", "SERVER"});
      table.add({text_at(me, "username"), text_at(me, "email"), client.context().server});
      print_value(global, me, table);
      return static_cast<int>(kOk);
    };
  });
  add_tokens(app, global, selected);
  add_contexts(app, global, selected);
}

}  // namespace berth::cli
