#include "cli/replay_decisions.h"

#include <fmt/format.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <fstream>

#include "base/base64.h"
#include "cli/output.h"
#include "scheduler/journal.h"

namespace berth::cli {
namespace {

namespace js = boost::json;
using SteadyClock = std::chrono::steady_clock;

// Takes lines of {"index", "at", "checkpoint", "entry"}, one entry each.
class Decider {
 public:
  // False when the rest need not be read: it differs.
  bool take(std::string_view line) {
    // Not with the limits of a request: a whole state makes a long line.
    boost::system::error_code ec;
    const Value value = js::parse(js::string_view(line.data(), line.size()), ec);
    const auto bytes = ec ? std::nullopt : from_base64(text_at(value, "entry"));
    if (!bytes) {
      throw Failure{kRejected,
                    fmt::format("Line {} is no entry of a record.", replay_.counts().entries + 1),
                    "",
                    {}};
    }
    const auto index = static_cast<std::int64_t>(number_at(value, "index"));
    if (first_.empty()) first_ = text_at(value, "at");
    last_ = text_at(value, "at");
    bytes_ += bytes->size();
    const auto began = SteadyClock::now();
    const auto done = replay_.take(index, *bytes);
    spent_ += SteadyClock::now() - began;
    if (!done) difference_ = done.error();
    return done.has_value();
  }

  [[nodiscard]] int report(const Global& global) const {
    const journal::Counts& n = replay_.counts();
    if (n.entries == 0 && !difference_) throw Failure{kRejected, "The record is empty.", "", {}};
    const double seconds = std::chrono::duration<double>(spent_).count();
    const double rate = seconds > 0 ? static_cast<double>(n.events) / seconds : 0;
    js::object whole{{"identical", !difference_},
                     {"entries", n.entries},
                     {"steps", n.steps},
                     {"events", n.events},
                     {"starts", n.starts},
                     {"displaced", n.evictions},
                     {"checkpoints", n.checkpoints},
                     {"reloads", n.reloads},
                     {"bytes", bytes_},
                     {"from", first_},
                     {"to", last_},
                     {"seconds", seconds},
                     {"events_per_s", rate}};
    if (replay_.engine()) whole["state"] = fmt::format("{:016x}", replay_.engine()->state_hash());
    if (difference_) whole["difference"] = difference_->message;
    Table table({"ENTRIES", "EVENTS", "STARTS", "DISPLACED", "RELOADS", "SECONDS", "EVENTS/S"});
    table.add({std::to_string(n.entries), std::to_string(n.events), std::to_string(n.starts),
               std::to_string(n.evictions), std::to_string(n.reloads),
               fmt::format("{:.3f}", seconds), fmt::format("{:.0f}", rate)});
    print_value(global, whole, table);
    if (difference_) {
      fmt::print(stderr, "berth: {}\n", difference_->message);
      return kFailed;
    }
    if (global.output == "table") {
      fmt::print("\nidentical: every decision from {} to {} came out as it was recorded.\n", first_,
                 last_);
    }
    return kOk;
  }

 private:
  journal::Replay replay_{journal::Mode::compare};
  std::optional<Error> difference_;
  SteadyClock::duration spent_{};
  std::size_t bytes_ = 0;
  std::string first_, last_;
};

void read_file(const std::string& file, Decider& decider) {
  std::ifstream in(file);
  if (!in) throw Failure{kUsage, fmt::format("Cannot read {}.", file), "", {}};
  for (std::string line; std::getline(in, line);) {
    if (!line.empty() && !decider.take(line)) return;
  }
}

// Whole before it is compared, so that what differs is at hand.
void read_server(Client& client, const DecisionsArgs& args, Decider& decider) {
  std::ofstream out;
  if (!args.save.empty()) {
    out.open(args.save, std::ios::trunc);
    if (!out) throw Failure{kUsage, fmt::format("Cannot write {}.", args.save), "", {}};
  }
  std::string pending;
  std::size_t looked = 0;  // up to there is no end of a line
  bool same = true;
  client.stream("/api/v1/clusters/" + client.cluster_id(args.cluster) + "/record",
                [&](std::string_view piece) {
                  if (out.is_open()) out << piece;
                  pending += piece;
                  std::size_t from = 0;
                  for (auto end = pending.find('\n', looked); end != std::string::npos;
                       end = pending.find('\n', from)) {
                    const std::string_view line(pending.data() + from, end - from);
                    if (same && !line.empty()) same = decider.take(line);
                    from = end + 1;
                  }
                  pending.erase(0, from);
                  looked = pending.size();
                  return same || out.is_open();
                });
  if (out.is_open() && !out.flush()) {
    throw Failure{kUnexpected, fmt::format("Writing {} failed.", args.save), "", {}};
  }
}

}  // namespace

int replay_decisions(const Global& global, const DecisionsArgs& args) {
  if (!args.file.empty() && !args.save.empty())
    throw Failure{kUsage, "--save is for a record that comes from the server.", "", {}};
  Decider decider;
  if (!args.file.empty()) {
    read_file(args.file, decider);
  } else {
    Client client(global);
    read_server(client, args, decider);
  }
  return decider.report(global);
}

}  // namespace berth::cli
