// berth plan: what would happen if, asked in words.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <map>
#include <sstream>

#include "cli/commands.h"
#include "cli/output.h"

namespace berth::cli {
namespace {

namespace js = boost::json;

struct Args {
  std::vector<std::string> commands;
  std::string cluster, over;
};

[[noreturn]] void misunderstood(const std::string& command, const std::string& why) {
  throw Failure{
      kUsage,
      fmt::format(
          "'{}': {} Commands are: submit [cpu=N] [memory=N] [gpu=N] [priority=high] "
          "[max_run_time=D] [replicas=N] [organization=NAME], stop NAME, prioritize NAME high|low, "
          "add-node NAME cpu=N memory=N [gpu=N], lose-node NAME; each may end with after=D.",
          command, why),
      "",
      {}};
}

// Words of one command: the verb, what stands alone, and what is written key=value.
struct Words {
  std::string text, verb;
  std::vector<std::string> alone;
  std::map<std::string, std::string> pairs;

  std::string take(const std::string& key) {
    const auto found = pairs.find(key);
    if (found == pairs.end()) return {};
    std::string out = found->second;
    pairs.erase(found);
    return out;
  }
};

Words words_of(const std::string& text) {
  Words out{text, {}, {}, {}};
  std::istringstream in(text);
  in >> out.verb;
  for (std::string word; in >> word;) {
    if (const auto equals = word.find('='); equals != std::string::npos) {
      out.pairs[word.substr(0, equals)] = word.substr(equals + 1);
    } else {
      out.alone.push_back(word);
    }
  }
  return out;
}

std::int64_t number_of(const Words& words, const std::string& text) {
  std::int64_t out = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (ec != std::errc{} || end != text.data() + text.size())
    misunderstood(words.text, fmt::format("'{}' is not a whole number.", text));
  return out;
}

js::object amounts_of(Words& words) {
  js::object out;
  for (const auto* key : {"cpu", "memory", "gpu"}) {
    if (auto value = words.take(key); !value.empty()) out[key] = value;
  }
  return out;
}

class Questions {
 public:
  Questions(Client& client, std::string cluster) : client_(client), cluster_(std::move(cluster)) {}

  js::object command(const std::string& text) {
    Words words = words_of(text);
    const std::string after = words.take("after");
    js::object out = body(words);
    if (!after.empty()) out["after"] = after;
    if (!words.pairs.empty())
      misunderstood(text, fmt::format("what is '{}='?", words.pairs.begin()->first));
    return out;
  }

 private:
  js::object body(Words& words) {
    const auto need = [&](std::size_t count, const char* what) {
      if (words.alone.size() != count) misunderstood(words.text, what);
    };
    if (words.verb == "submit") {
      need(0, "a submission has no name here.");
      js::object out{{"kind", "submit"}, {"resources", amounts_of(words)}};
      for (const auto* key : {"priority", "max_run_time"}) {
        if (auto value = words.take(key); !value.empty()) out[key] = value;
      }
      if (const auto count = words.take("replicas"); !count.empty())
        out["replicas"] = number_of(words, count);
      if (const auto whose = words.take("organization"); !whose.empty())
        out["organization_id"] = client_.organization_id(whose);
      return out;
    }
    if (words.verb == "stop") {
      need(1, "which deployment?");
      return {{"kind", "stop"}, {"deployment_id", client_.deployment_id(words.alone[0])}};
    }
    if (words.verb == "prioritize") {
      need(2, "which deployment, and high or low?");
      return {{"kind", "prioritize"},
              {"deployment_id", client_.deployment_id(words.alone[0])},
              {"priority", words.alone[1]}};
    }
    if (words.verb == "lose-node") {
      need(1, "which node?");
      return {{"kind", "lose_node"}, {"node", words.alone[0]}};
    }
    if (words.verb == "add-node") {
      need(1, "what is it called?");
      js::object node{{"name", words.alone[0]}, {"resources", amounts_of(words)}};
      nodes().push_back(std::move(node));
      return {{"kind", "resize"}, {"nodes", nodes()}};
    }
    misunderstood(words.text, fmt::format("there is no '{}'.", words.verb));
  }

  // Those of the cluster, and what earlier commands have added.
  js::array& nodes() {
    if (nodes_.empty())
      nodes_ = at(client_.get("/api/v1/clusters/" + cluster_), "nodes").as_array();
    return nodes_;
  }

  Client& client_;
  std::string cluster_;
  js::array nodes_;
};

// Its name, or which command would submit it.
class Called {
 public:
  explicit Called(const Value& answer) {
    std::size_t number = 0;
    for (const auto& step : at(answer, "steps").as_array()) {
      ++number;
      if (const auto id = text_at(step, "deployment_id"); !id.empty())
        submitted_[id] = fmt::format("(of {})", number);
    }
  }
  [[nodiscard]] std::string operator()(const Value& row, const char* id = "deployment_id",
                                       const char* name = "name") const {
    if (const auto known = text_at(row, name); !known.empty()) return safe_text(known);
    const auto found = submitted_.find(text_at(row, id));
    return found == submitted_.end() ? text_at(row, id) : found->second;
  }

 private:
  std::map<std::string, std::string> submitted_;
};

void print_step(const Value& step, const std::string& command, std::size_t number,
                const Called& called) {
  fmt::print("{}. {}\n", number, safe_text(command));
  if (const auto refused = text_at(step, "refused"); !refused.empty()) {
    fmt::print("   does nothing: {}\n", safe_text(refused));
    return;
  }
  bool anything = false;
  for (const auto& evict : at(step, "evictions").as_array()) {
    fmt::print("   displaces {} for {}\n", called(evict),
               called(evict, "for_deployment_id", "for_name"));
    anything = true;
  }
  for (const auto& start : at(step, "starts").as_array()) {
    std::string where = safe_text(text_at(start, "node"));
    for (const auto& other : at(start, "other_nodes").as_array())
      where += ", " + safe_text(std::string(other.as_string()));
    fmt::print("   starts {} on {}\n", called(start), where);
    anything = true;
  }
  if (const auto& returns = at(step, "returns").as_array(); !returns.empty()) {
    fmt::print("   sends {} back to the queue\n", returns.size());
    anything = true;
  }
  if (!anything) fmt::print("   nothing starts\n");
}

void print_steps(const Args& a, const Value& answer, const Called& called) {
  const auto& steps = at(answer, "steps").as_array();
  for (std::size_t i = 0; i < steps.size(); ++i) print_step(steps[i], a.commands[i], i + 1, called);
}

Table moves_table(const Value& answer, const Called& called) {
  const auto place = [](const std::string& position) { return position == "0" ? "-" : position; };
  Table table({"NAME", "POSITION NOW", "POSITION THEN"});
  for (const auto& move : at(answer, "moves").as_array())
    table.add({called(move), place(text_at(move, "before")), place(text_at(move, "after"))});
  return table;
}

Table happened_table(const Value& answer, const Called& called) {
  Table table({"AT", "WHAT", "NAME", "NODE"});
  for (const auto& one : at(answer, "happened").as_array())
    table.add(
        {text_at(one, "at"), text_at(one, "what"), called(one), safe_text(text_at(one, "node"))});
  return table;
}

Table shifts_table(const Value& answer, const Called& called) {
  const auto when = [](const std::string& time) { return time.empty() ? "later" : time; };
  Table table({"NAME", "STARTS WITHOUT", "STARTS WITH"});
  for (const auto& shift : at(answer, "shifts").as_array())
    table.add({called(shift), when(text_at(shift, "before")), when(text_at(shift, "after"))});
  return table;
}

int plan_now(const Global& global, const Args& a, const Value& answer) {
  const Called called(answer);
  const Table moves = moves_table(answer, called);
  if (global.output != "table" && global.output != "wide")
    return print_value(global, answer, moves), static_cast<int>(kOk);
  print_steps(a, answer, called);
  if (!at(answer, "moves").as_array().empty()) {
    fmt::print("\n");
    moves.print();
  }
  hint(global, "Nothing was done.");
  return kOk;
}

int plan_in_time(const Global& global, const Args& a, const Value& answer) {
  const Called called(answer);
  const Table happened = happened_table(answer, called);
  if (global.output != "table" && global.output != "wide")
    return print_value(global, answer, happened), static_cast<int>(kOk);
  print_steps(a, answer, called);
  fmt::print("\n");
  happened.print();
  if (!at(answer, "shifts").as_array().empty()) {
    fmt::print("\n");
    shifts_table(answer, called).print();
  }
  if (at(answer, "cut").as_bool()) hint(global, "More would happen; look less far with --over.");
  hint(global, "Nothing was done.");
  return kOk;
}

int plan(const Global& global, const Args& a) {
  Client client(global);
  const auto cluster = client.cluster_id(a.cluster);
  Questions questions(client, cluster);
  js::array commands;
  for (const auto& command : a.commands) commands.push_back(questions.command(command));
  if (commands.empty() && a.over.empty()) {
    throw Failure{
        kUsage, "Say what to try, such as: berth plan 'submit gpu=1 priority=high'", "", {}};
  }
  const auto path = "/api/v1/clusters/" + cluster;
  js::object body{{"commands", std::move(commands)}};
  if (a.over.empty()) return plan_now(global, a, client.post(path + "/plan", std::move(body)));
  body["horizon"] = a.over;
  return plan_in_time(global, a, client.post(path + "/simulate", std::move(body)));
}

}  // namespace

void add_plan_command(CLI::App& app, Global& global, Selected& selected) {
  auto a = std::make_shared<Args>();
  auto* command = app.add_subcommand("plan", "What would happen if; nothing is done");
  command->add_option(
      "commands", a->commands,
      "Each in quotes: 'submit cpu=2 gpu=1 replicas=2 priority=high max_run_time=2h', "
      "'stop NAME', 'prioritize NAME high', 'add-node NAME cpu=8 memory=32GiB "
      "gpu=2', 'lose-node NAME'");
  command->add_option("--cluster", a->cluster, "By name or id; not needed when there is one");
  command->add_option("--over", a->over,
                      "Look so far ahead (such as 24h): who starts when, and whose start moves; "
                      "commands may then end with after=10m");
  command->callback(
      [&selected, &global, a] { selected = [&global, a] { return plan(global, *a); }; });
}

}  // namespace berth::cli
