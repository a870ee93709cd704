#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <csignal>
#include <fstream>
#include <iostream>
#include <iterator>
#include <thread>

#include "cli/commands.h"
#include "cli/deployment_tables.h"
#include "cli/output.h"
#include "cli/prompt.h"
#include "json/quantity.h"
#include "json/yaml.h"
#include "net/url.h"

namespace berth::cli {
namespace {

namespace js = boost::json;
using SteadyClock = std::chrono::steady_clock;

struct DeployArgs {
  std::string name, cluster, organization, file, kind, priority, cpu, memory, gpu, image,
      ready_path, access, max_run_time, duration;
  std::vector<std::string> env, labels, after, node_labels, command;
  std::string gpu_model;
  int port = 0, max_attempts = 0, replicas = 0;
  bool wait = false;
  std::string timeout = "10m";
};

std::atomic<bool> interrupted = false;

// Ctrl-C detaches; what was submitted goes on.
class Interrupts {
 public:
  Interrupts() {
    interrupted = false;
    old_ = std::signal(SIGINT, [](int) {
      if (interrupted.exchange(true)) std::_Exit(kInterrupted);
    });
  }
  ~Interrupts() { std::signal(SIGINT, old_); }

 private:
  void (*old_)(int);
};

std::pair<std::string, std::string> split_pair(const std::string& text, const char* flag) {
  const auto equals = text.find('=');
  if (equals == std::string::npos || equals == 0)
    throw Failure{
        kUsage, fmt::format("{} takes NAME=VALUE; '{}' is not that.", flag, text), "", {}};
  return {text.substr(0, equals), text.substr(equals + 1)};
}

js::object document_of(const std::string& file) {
  if (file.empty()) return {};
  std::string text;
  if (file == "-") {
    text.assign(std::istreambuf_iterator<char>(std::cin), {});
  } else {
    std::ifstream in(file);
    if (!in) throw Failure{kUsage, fmt::format("Cannot read {}.", file), "", {}};
    text.assign(std::istreambuf_iterator<char>(in), {});
  }
  auto value = json::from_yaml(text);
  if (!value) throw Failure{kRejected, fmt::format("{}: {}", file, value.error().message), "", {}};
  if (!value->is_object())
    throw Failure{kRejected,
                  fmt::format("{}: a deployment is a list of 'field: value' lines.", file),
                  "",
                  {}};
  return value->as_object();
}

js::object& object_at(js::object& body, std::string_view key) {
  auto& member = body[key];
  if (!member.is_object()) member = js::object();
  return member.as_object();
}

// Flags win over the file.
js::object body_of(Client& client, const DeployArgs& a) {
  js::object body = document_of(a.file);
  std::string cluster = a.cluster;
  if (auto* named = body.if_contains("cluster"); named != nullptr) {
    if (cluster.empty() && named->is_string()) cluster = std::string(named->as_string());
    body.erase("cluster");
  }
  if (!body.contains("cluster_id") || !cluster.empty())
    body["cluster_id"] = client.cluster_id(cluster);
  if (!a.organization.empty()) body["organization_id"] = client.organization_id(a.organization);
  const auto put = [&](const char* key, const std::string& value) {
    if (!value.empty()) body[key] = value;
  };
  put("name", a.name), put("kind", a.kind), put("priority", a.priority), put("image", a.image),
      put("access", a.access);
  put("max_run_time", a.max_run_time), put("gpu_model", a.gpu_model);
  if (!a.command.empty()) body["command"] = js::array(a.command.begin(), a.command.end());
  for (const auto& pair : a.env) {
    auto [name, value] = split_pair(pair, "--env");
    object_at(body, "env")[name] = value;
  }
  for (const auto& one : a.after) {
    const auto colon = one.find(':');
    js::object dependency{{"deployment", one.substr(0, colon)}};
    if (colon != std::string::npos) dependency["until"] = one.substr(colon + 1);
    if (!body.contains("depends_on")) body["depends_on"] = js::array();
    body["depends_on"].as_array().push_back(std::move(dependency));
  }
  for (const auto& pair : a.node_labels) {
    auto [name, value] = split_pair(pair, "--node-label");
    object_at(body, "node_labels")[name] = value;
  }
  for (const auto& pair : a.labels) {
    auto [name, value] = split_pair(pair, "--label");
    object_at(body, "labels")[name] = value;
  }
  if (a.port != 0) body["port"] = a.port;
  if (a.replicas != 0) body["replicas"] = a.replicas;
  if (!a.ready_path.empty()) object_at(body, "readiness")["path"] = a.ready_path;
  if (a.max_attempts != 0) object_at(body, "restart")["max_attempts"] = a.max_attempts;
  if (!a.duration.empty()) object_at(body, "simulate")["duration"] = a.duration;
  auto& r = object_at(body, "resources");
  if (!a.cpu.empty()) r["cpu"] = a.cpu;
  if (!a.memory.empty()) r["memory"] = a.memory;
  if (!a.gpu.empty()) r["gpu"] = a.gpu;
  return body;
}

bool ended(const std::string& state) {
  return state == "stopped" || state == "succeeded" || state == "failed" || state == "cancelled";
}

int exit_of(const Value& d, bool job) {
  const auto state = text_at(d, "state");
  if (state == "failed") return kFailed;
  if (state == "succeeded" || (!job && state == "running")) return kOk;
  return ended(state) ? kFailed : kTimedOut;
}

struct Progress {
  std::string key;  // what changed, without what only counts down
  std::string line;
};

Progress progress_of(Client& client, const Value& d) {
  const auto state = text_at(d, "state");
  if (state != "queued") {
    const auto message = text_at(d, "message");
    const auto line = message.empty() ? state : state + ": " + message;
    return {line, line};
  }
  const auto why = client.get("/api/v1/deployments/" + text_at(d, "id") + "/explain");
  const auto reason = text_at(why, "reason");
  if (reason.empty()) return {state, state};
  return {fmt::format("{} {} {}", reason, text_at(why, "position"), text_at(d, "attempt")),
          fmt::format("queued: {}: {}", reason, text_at(why, "message"))};
}

// A sentence about how it ended badly, and where to look.
void tell_failure(const Value& d) {
  fmt::print(stderr, "It failed: {}\n", safe_text(text_at(d, "message")));
  if (!text_at(d, "started_at").empty() || !text_at(d, "exit_code").empty()) {
    fmt::print(stderr, "Its log: berth logs {}\n", safe_text(text_at(d, "name")));
  }
}

// Prints each change of state with its reason until it runs (service) or has ended (job).
int wait_for(const Global& global, Client& client, const std::string& id,
             SteadyClock::time_point deadline) {
  const Interrupts guard;
  std::string last;
  for (;;) {
    const auto d = client.get("/api/v1/deployments/" + id);
    const auto state = text_at(d, "state");
    const bool job = text_at(d, "kind") == "job";
    const auto name = safe_text(text_at(d, "name"));
    const auto progress = progress_of(client, d);
    if (progress.key != last && !global.quiet) {
      fmt::print(stderr, "{}  {}\n", name, safe_text(progress.line));
    }
    last = progress.key;
    if (ended(state) || (!job && state == "running")) {
      if (state == "failed") tell_failure(d);
      return exit_of(d, job);
    }
    if (interrupted) {
      fmt::print(stderr, "\nDetached; it goes on. To stop it: berth stop {}\n", name);
      return kInterrupted;
    }
    if (SteadyClock::now() >= deadline) {
      fmt::print(stderr, "Still {}. It goes on; look again with: berth explain {}\n", state, name);
      return kTimedOut;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
}

int deploy(const Global& global, const DeployArgs& a) {
  const auto timeout = json::parse_duration(a.timeout);
  if (!timeout)
    throw Failure{
        kUsage,
        fmt::format("--timeout takes a duration such as 90s or 10m; '{}' is not that.", a.timeout),
        "",
        {}};
  Client client(global);
  const auto made = client.post("/api/v1/deployments", body_of(client, a));
  const auto id = text_at(made, "id");
  if (!a.wait) {
    print_value(global, made, deployment_table({made}, global.output == "wide"));
    hint(global, fmt::format("Next: berth explain {0}, berth logs -f {0}", text_at(made, "name")));
    return kOk;
  }
  const int code =
      wait_for(global, client, id, SteadyClock::now() + std::chrono::microseconds(*timeout));
  const auto now = client.get("/api/v1/deployments/" + id);
  print_value(global, now, deployment_table({now}, global.output == "wide"));
  if (code == kOk && !text_at(now, "endpoint").empty())
    hint(global, fmt::format("Endpoint: {}{}", client.context().server, text_at(now, "endpoint")));
  return code;
}

struct PsArgs {
  std::string cluster, state, priority;
  bool all = false;
  std::size_t limit = 200;
};

int ps(const Global& global, const PsArgs& a) {
  Client client(global);
  std::string query;
  if (!a.cluster.empty()) query += "&cluster_id=" + client.cluster_id(a.cluster);
  if (!a.priority.empty()) query += "&priority=" + net::percent_encode(a.priority);
  std::vector<std::string> states{a.state};  // empty: any
  // Asked for by state: however much has ended since, what runs is shown.
  if (!a.all && a.state.empty())
    states = {"queued", "starting", "running", "stopping", "preempting"};
  std::vector<Value> items;
  for (const auto& state : states) {
    const auto filter = state.empty() ? query : "&state=" + net::percent_encode(state) + query;
    const auto path = "/api/v1/deployments" + (filter.empty() ? "" : "?" + filter.substr(1));
    for (auto& d : client.list(path, a.limit)) items.push_back(std::move(d));
  }
  std::sort(items.begin(), items.end(), [](const Value& x, const Value& y) {
    return text_at(x, "id") > text_at(y, "id");  // newest first: ids grow with time
  });
  const bool more = items.size() >= a.limit;
  if (items.size() > a.limit) items.resize(a.limit);
  print_list(global, items, deployment_table(items, global.output == "wide"));
  if (items.empty()) {
    hint(global,
         a.all ? "There is no deployment." : "Nothing runs or waits; --all shows what has ended.");
  }
  if (more) hint(global, fmt::format("The newest {} are shown; more with --limit.", a.limit));
  return kOk;
}

int explain(const Global& global, const std::string& name) {
  Client client(global);
  const auto why = client.get("/api/v1/deployments/" + client.deployment_id(name) + "/explain");
  const auto reason = text_at(why, "reason");
  if (global.output != "table" && global.output != "wide") {
    Table table({"NAME", "STATE", "REASON", "MESSAGE"});
    table.add({safe_text(name), text_at(why, "state"), reason, safe_text(text_at(why, "message"))});
    return print_value(global, why, table), static_cast<int>(kOk);
  }
  fmt::print("{}: {}{}\n{}\n", safe_text(name), text_at(why, "state"),
             reason.empty() ? "" : ", " + reason, safe_text(text_at(why, "message")));
  if (reason.empty()) return kOk;
  if (const auto& all = at(why, "all_reasons"); all.is_array() && all.as_array().size() > 1) {
    fmt::print("all causes: ");
    for (const auto& r : all.as_array()) fmt::print("{} ", std::string(r.as_string()));
    fmt::print("\n");
  }
  for (const auto& [key, said] : {std::pair("blockers", "would have room if these ended"),
                                  std::pair("displaced", "being displaced for it")}) {
    const auto& set = at(why, key);
    if (!set.is_array() || set.as_array().empty()) continue;
    fmt::print("{}:", said);
    for (const auto& one : set.as_array()) {
      const auto whom = text_at(one, "name");
      fmt::print(" {}", whom.empty() ? text_at(one, "deployment_id") + " (another organization's)"
                                     : safe_text(whom));
    }
    fmt::print("\n");
  }
  if (const auto& smaller = at(why, "would_start_now"); smaller.is_object())
    fmt::print("would start now: {}\n", amounts(smaller));
  if (const auto& forecast = at(why, "forecast"); !text_at(forecast, "latest").empty()) {
    fmt::print("start expected between {} and {} ({})\n", text_at(forecast, "earliest"),
               text_at(forecast, "latest"), text_at(forecast, "method"));
  }
  if (const auto bound = text_at(at(why, "forecast"), "never_later"); !bound.empty())
    fmt::print("guaranteed by {}, whatever else is submitted\n", bound);
  // A pause is up to people, but says so itself.
  if (reason != "ClusterPaused") {
    fmt::print("{}\n",
               at(why, "needs_action").as_bool() ? "Somebody has to act." : "It only needs time.");
  }
  return kOk;
}

struct LogsArgs {
  std::string name;
  bool follow = false;
  int attempt = 0, replica = 0;
};

int logs(const Global& global, const LogsArgs& a) {
  Client client(global);
  const auto id = client.deployment_id(a.name);
  auto path = fmt::format("/api/v1/deployments/{}/logs?follow={}", id, a.follow);
  if (a.attempt > 0) path += fmt::format("&attempt={}", a.attempt);
  if (a.replica != 0) path += fmt::format("&replica={}", a.replica);
  const Interrupts guard;
  client.stream(path, [](std::string_view piece) {
    std::fwrite(piece.data(), 1, piece.size(), stdout);
    std::fflush(stdout);
    return !interrupted;
  });
  return interrupted ? kInterrupted : kOk;
}

int stop(const Global& global, const std::vector<std::string>& names, bool yes, bool wait) {
  Client client(global);
  if (!yes && is_terminal(STDIN_FILENO))
    confirm(fmt::format("Stop {}?", fmt::join(names, ", ")), false);
  const bool lines = global.output == "table" || global.output == "wide";
  std::vector<Value> stopped;
  int failures = 0;
  for (const auto& name : names) {
    try {
      const auto id = client.deployment_id(name);
      auto d = client.post("/api/v1/deployments/" + id + "/stop");
      while (wait && !ended(text_at(d, "state"))) {
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
        d = client.get("/api/v1/deployments/" + id);
      }
      if (lines) fmt::print("{}  {}\n", safe_text(text_at(d, "name")), text_at(d, "state"));
      stopped.push_back(std::move(d));
    } catch (const Failure& failure) {
      if (names.size() == 1) throw;
      report(failure);
      ++failures;
    }
  }
  if (!lines) print_list(global, stopped, deployment_table(stopped, false));
  return failures == 0 ? kOk : kPartial;
}

std::string event_line(const Value& e) {
  return fmt::format("{}  {:<28} {}  {}", text_at(e, "at"), text_at(e, "kind"),
                     safe_text(text_at(e, "actor_name")), safe_text(text_at(e, "data")));
}

// Frames of the event stream, as they come; remembers how far it got.
class EventPrinter {
 public:
  explicit EventPrinter(const Global& global) : global_(global) {}
  bool take(std::string_view piece) {
    pending_ += piece;
    for (auto end = pending_.find("\n\n"); end != std::string::npos; end = pending_.find("\n\n")) {
      const std::string frame = pending_.substr(0, end);
      pending_.erase(0, end + 2);
      if (const auto id = frame.find("id: "); id != std::string::npos) {
        last_ = frame.substr(id + 4, frame.find('\n', id) - id - 4);
      }
      const auto data = frame.find("data: ");
      if (data == std::string::npos || frame.find("event: bookmark") != std::string::npos) continue;
      const std::string text = frame.substr(data + 6);
      const auto event = json::parse(text);
      fmt::print("{}\n", global_.output == "json" || !event ? text : event_line(*event));
      std::fflush(stdout);
    }
    return !interrupted;
  }
  // For the path of the next connection; half a frame of the last one is worth nothing.
  std::string resume() {
    pending_.clear();
    return last_.empty() ? "" : "&after=" + last_;
  }

 private:
  const Global& global_;
  std::string pending_, last_;
};

int follow_events(const Global& global, Client& client, const std::string& deployment) {
  const Interrupts guard;
  hint(global, "Following; Ctrl-C ends it.");
  EventPrinter printer(global);
  const auto path = "/api/v1/events?" + (deployment.empty() ? "" : "deployment_id=" + deployment);
  for (bool first = true; !interrupted; first = false) {
    try {
      client.stream(path + printer.resume(),
                    [&](std::string_view piece) { return printer.take(piece); });
    } catch (const Failure& failure) {
      if (first || failure.exit_code != kUnreachable) throw;
    }
    // The server restarted, or was too fast for us: it goes on where it was.
    if (!interrupted) std::this_thread::sleep_for(std::chrono::milliseconds(500));
  }
  return kInterrupted;
}

int events(const Global& global, const std::string& name, bool follow) {
  Client client(global);
  const auto id = name.empty() ? "" : client.deployment_id(name);
  if (follow || name.empty()) return follow_events(global, client, id);
  const auto items = client.list("/api/v1/deployments/" + id + "/events");
  Table table({"SEQ", "AT", "WHAT", "WHO", "DETAILS"});
  for (const auto& e : items) {
    table.add({text_at(e, "seq"), text_at(e, "at"), text_at(e, "kind"),
               safe_text(text_at(e, "actor_name")), safe_text(text_at(e, "data"))});
  }
  print_list(global, items, table);
  return kOk;
}

void add_deploy(CLI::App& app, Global& global, Selected& selected) {
  auto a = std::make_shared<DeployArgs>();
  auto* c = app.add_subcommand(
      "deploy",
      "Submit a deployment: flags, a YAML file (-f), or both; the command comes after --");
  c->alias("apply");
  c->add_option("name", a->name, "Its name");
  c->add_option("-f,--file", a->file,
                "YAML or JSON file with the fields of the API; - for standard input");
  c->add_option("--cluster", a->cluster, "Where; not needed when there is one");
  c->add_option("--organization,--org", a->organization,
                "Whose it is, on a cluster that is shared with several of yours");
  c->add_option("--kind", a->kind, "service (until stopped) or job (until it ends)");
  c->add_option("--priority", a->priority, "high or low");
  c->add_option("--cpu", a->cpu, "Cores, such as 2 or 500m");
  c->add_option("--memory", a->memory, "Such as 512MiB");
  c->add_option("--gpu", a->gpu, "Devices, or a share of one such as 0.25");
  c->add_option("--image", a->image, "Container image");
  c->add_option("--port", a->port, "It serves HTTP on the port in PORT");
  c->add_option("--ready", a->ready_path, "HTTP path that answers 2xx when it is ready");
  c->add_option("--env,-e", a->env, "NAME=VALUE; repeatable");
  c->add_option("--label", a->labels, "NAME=VALUE; repeatable");
  c->add_option("--gpu-model", a->gpu_model, "Only on nodes with such GPUs: A100, or A100|H100");
  c->add_option("--node-label", a->node_labels,
                "NAME=VALUE: only on nodes that have it; repeatable");
  c->add_option("--after", a->after,
                "It waits for NAME, or NAME:running, or NAME:succeeded; repeatable");
  c->add_option("--access", a->access, "Who may use its endpoint: organization or public");
  c->add_option("--replicas", a->replicas,
                "So many start together or not at all, each with what it needs for itself");
  c->add_option("--max-attempts", a->max_attempts, "Attempts in a row, the first included");
  c->add_option("--max-run-time", a->max_run_time, "It is stopped after this, such as 2h");
  c->add_option("--simulate", a->duration, "On a simulated cluster: how long it runs");
  c->add_flag("--wait", a->wait, "Wait until it runs (service) or has ended (job)");
  c->add_option("--timeout", a->timeout, "For --wait")->capture_default_str();
  c->add_option("command", a->command, "Program and arguments, after --");
  c->footer(
      "Example: berth deploy web --cpu 1 --memory 256MiB --port 8080 --wait -- sh -c "
      "'exec python3 -m http.server $PORT'");
  c->callback([&selected, &global, a] { selected = [&global, a] { return deploy(global, *a); }; });
}

}  // namespace

void add_deployment_commands(CLI::App& app, Global& global, Selected& selected) {
  add_deploy(app, global, selected);

  auto p = std::make_shared<PsArgs>();
  auto* list = app.add_subcommand("ps", "What runs and waits");
  list->add_option("--cluster", p->cluster, "Only on this cluster");
  list->add_option("--state", p->state, "Only in this state");
  list->add_option("--priority", p->priority, "high or low");
  list->add_option("--limit", p->limit, "At most so many")->capture_default_str();
  list->add_flag("--all,-a", p->all, "Also what has ended");
  list->callback([&selected, &global, p] { selected = [&global, p] { return ps(global, *p); }; });

  auto name = std::make_shared<std::string>();
  auto* why = app.add_subcommand("explain", "Why it waits");
  why->add_option("name", *name, "Deployment, by name or id")->required();
  why->callback([&selected, &global, name] {
    selected = [&global, name] { return explain(global, *name); };
  });

  auto* show = app.add_subcommand("get", "One deployment, whole");
  show->add_option("name", *name, "Deployment, by name or id")->required();
  show->callback([&selected, &global, name] {
    selected = [&global, name] {
      Client client(global);
      const auto d = client.get("/api/v1/deployments/" + client.deployment_id(*name));
      print_value(global, d, deployment_table({d}, true));
      const bool lines = global.output == "table" || global.output == "wide";
      if (lines && has_placements(d)) {
        fmt::print("\n");
        replica_table(d).print();
      }
      return static_cast<int>(kOk);
    };
  });

  auto l = std::make_shared<LogsArgs>();
  auto* log = app.add_subcommand("logs", "What it printed");
  log->add_option("name", l->name, "Deployment, by name or id")->required();
  log->add_flag("-f,--follow", l->follow, "Go on until it ends");
  log->add_option("--attempt", l->attempt, "Of this attempt; the latest when absent");
  log->add_option("--replica", l->replica, "Of this replica, counted from 0")
      ->capture_default_str();
  log->callback([&selected, &global, l] { selected = [&global, l] { return logs(global, *l); }; });

  auto names = std::make_shared<std::vector<std::string>>();
  auto yes = std::make_shared<bool>(false);
  auto wait = std::make_shared<bool>(false);
  auto* halt = app.add_subcommand("stop", "Stop deployments, or take them back while they wait");
  halt->add_option("names", *names, "Deployments, by name or id")->required();
  halt->add_flag("--yes,-y", *yes, "Do not ask");
  halt->add_flag("--wait", *wait, "Until nothing of them runs any more");
  halt->callback([&selected, &global, names, yes, wait] {
    selected = [&global, names, yes, wait] { return stop(global, *names, *yes, *wait); };
  });

  auto* remove = app.add_subcommand("delete", "Delete a deployment that has ended, with its logs");
  remove->add_option("name", *name, "Deployment, by name or id")->required();
  remove->callback([&selected, &global, name] {
    selected = [&global, name] {
      Client client(global);
      client.remove("/api/v1/deployments/" + client.deployment_id(*name));
      fmt::print("Deleted {}.\n", *name);
      return static_cast<int>(kOk);
    };
  });

  auto level = std::make_shared<std::string>();
  auto* set = app.add_subcommand("priority", "Change the priority of a deployment that waits");
  set->add_option("name", *name, "Deployment, by name or id")->required();
  set->add_option("priority", *level, "high or low")->required();
  set->callback([&selected, &global, name, level] {
    selected = [&global, name, level] {
      Client client(global);
      const auto d = client.patch("/api/v1/deployments/" + client.deployment_id(*name),
                                  js::object{{"priority", *level}});
      print_value(global, d, deployment_table({d}, false));
      return static_cast<int>(kOk);
    };
  });

  auto watch = std::make_shared<bool>(false);
  auto* history = app.add_subcommand(
      "events", "What happened to a deployment; without a name, what happens now");
  history->add_option("name", *name, "Deployment, by name or id");
  history->add_flag("-f,--follow,--watch", *watch, "Go on");
  history->callback([&selected, &global, name, watch] {
    selected = [&global, name, watch] { return events(global, *name, *watch); };
  });
}

}  // namespace berth::cli
