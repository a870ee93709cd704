// `berth replay`: submits a real trace through the API to a simulated cluster, on the trace's own
// clock but faster, and audits what comes out.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <cmath>
#include <mutex>
#include <thread>

#include "cli/commands.h"
#include "cli/output.h"
#include "cli/replay_audit.h"
#include "cli/replay_decisions.h"
#include "cli/trace.h"

namespace berth::cli {
namespace {

namespace js = boost::json;
using SteadyClock = std::chrono::steady_clock;

struct Args {
  std::string trace, nodes, cluster, org;
  double speed = 10'000;
  std::int64_t gpus = 0;
  std::size_t limit = 0;
  bool keep = false;
};

// --- the cluster ---------------------------------------------------------------------------------

std::vector<Node> nodes_for(const Args& a) {
  auto nodes = nodes_for_trace(a.trace, a.nodes, a.gpus);
  if (!nodes) throw file_failure(nodes.error());
  return *std::move(nodes);
}

std::string create_cluster(Client& client, const Args& a, const std::vector<Node>& nodes) {
  js::array list;
  for (const auto& node : nodes) {
    js::object one{{"name", node.name},
                   {"resources", js::object{{"cpu", cpu_text(node.capacity.cpu_milli)},
                                            {"memory", node.capacity.memory_bytes},
                                            {"gpu", gpu_text(node.capacity.gpu_milli)}}}};
    if (!node.gpu_model.empty()) one["gpu_model"] = node.gpu_model;
    list.push_back(std::move(one));
  }
  const auto made =
      client.post("/api/v1/clusters",
                  js::object{{"organization_id", client.organization_id(a.org)},
                             {"name", a.cluster},
                             {"runtime", js::object{{"kind", "simulated"}, {"speed", a.speed}}},
                             {"nodes", std::move(list)}});
  return text_at(made, "id");
}

// --- the audit beside it
// ---------------------------------------------------------------------------

// Reads the event stream on a thread of its own; the ledger is behind a mutex for the progress
// line.
class Follower {
 public:
  Follower(const Global& global, std::string cluster, const std::vector<Node>& nodes)
      : global_(global), cluster_(std::move(cluster)), audit_(nodes) {
    thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
  }
  template <class Look>
  auto look(Look look_at) {
    const std::lock_guard lock(mutex_);
    return look_at(audit_);
  }
  // How many ends to wait for; the stream ends by itself then.
  void expect(std::size_t ends) { expected_ = static_cast<std::int64_t>(ends); }
  [[nodiscard]] bool done() const { return done_; }

 private:
  void run(const std::stop_token& stop) {
    while (!stop.stop_requested() && !done_) {
      try {
        Client client(global_);
        client.stream(
            fmt::format("/api/v1/events?cluster_id={}&after={}", cluster_,
                        look([](auto& a) { return a.last_seq(); })),
            [&](std::string_view piece) { return take(piece) && !stop.stop_requested(); });
      } catch (const Failure&) {
        std::this_thread::sleep_for(
            std::chrono::milliseconds(200));  // and resume from where it was
      }
      pending_.clear();
    }
  }
  bool take(std::string_view piece) {
    pending_ += piece;
    const std::lock_guard lock(mutex_);
    for (auto end = pending_.find("\n\n"); end != std::string::npos; end = pending_.find("\n\n")) {
      const std::string frame = pending_.substr(0, end);
      pending_.erase(0, end + 2);
      const auto data = frame.find("data: ");
      if (data == std::string::npos || frame.find("event: bookmark") != std::string::npos) continue;
      if (const auto event = json::parse(std::string_view(frame).substr(data + 6)))
        audit_.see(*event);
    }
    const auto expected = expected_.load();
    if (expected >= 0 && audit_.ended() >= static_cast<std::size_t>(expected)) done_ = true;
    return !done_;
  }

  const Global& global_;
  std::string cluster_;
  std::mutex mutex_;
  ReplayAudit audit_;  // guarded by mutex_
  std::string pending_;
  std::atomic<std::int64_t> expected_ = -1;
  std::atomic<bool> done_ = false;
  std::jthread thread_;
};

// --- progress ------------------------------------------------------------------------------------

class Progress {
 public:
  Progress(const Global& global, std::size_t jobs)
      : jobs_(jobs), shown_(!global.quiet), bar_(is_terminal(STDERR_FILENO)) {}
  void show(std::size_t submitted, Follower& follower) {
    const auto now = SteadyClock::now();
    if (!shown_ || now - last_ < std::chrono::milliseconds(bar_ ? 100 : 5000)) return;
    last_ = now;
    const auto [ended, active, high, low] = follower.look([](const ReplayAudit& a) {
      return std::tuple(a.ended(), a.active(), a.waiting(Priority::high), a.waiting(Priority::low));
    });
    const std::size_t width = 30, full = jobs_ == 0 ? width : width * ended / jobs_;
    std::string line =
        fmt::format("[{}{}] submitted {}/{}, waiting {} high {} low, running {}, ended {}",
                    std::string(full, '#'), std::string(width - std::min(width, full), '.'),
                    submitted, jobs_, high, low, active, ended);
    fmt::print(stderr, "{}{}{}", bar_ ? "\r" : "", line, bar_ ? "\x1b[K" : "\n");
    std::fflush(stderr);
  }
  void finish() const {
    if (shown_ && bar_) fmt::print(stderr, "\r\x1b[K");
  }

 private:
  std::size_t jobs_;
  bool shown_, bar_;
  SteadyClock::time_point last_;
};

// --- submitting ----------------------------------------------------------------------------------

struct Submitted {
  std::size_t accepted = 0;
  std::size_t refused = 0;  // no node could ever hold them
  double worst_lag_s = 0;   // how late the submitter itself was, in real seconds
};

js::object body_of(const TraceJob& job, std::size_t number, const std::string& cluster) {
  return js::object{
      {"cluster_id", cluster},
      {"name", fmt::format("{}-{}", job.name, number)},
      {"kind", "job"},
      {"priority", to_text(job.priority)},
      {"resources", js::object{{"cpu", cpu_text(job.demand.cpu_milli)},
                               {"memory", job.demand.memory_bytes},
                               {"gpu", gpu_text(job.demand.gpu_milli)}}},
      {"simulate",
       js::object{{"duration", fmt::format("{}s", static_cast<std::int64_t>(job.duration_s))}}}};
}

// A server that is shedding load says so; everything else ends the replay.
void submit(Client& client, const js::object& body, Submitted& tally) {
  for (;;) {
    try {
      client.post("/api/v1/deployments", body);
      ++tally.accepted;
      return;
    } catch (const Failure& f) {
      if (f.code == "exceeds_cluster") {
        ++tally.refused;
        return;
      }
      if (f.code != "quota_exceeded" && f.code != "overloaded") throw;
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
  }
}

Submitted submit_all(Client& client, const std::vector<TraceJob>& jobs, const std::string& cluster,
                     double speed, Follower& follower, Progress& progress) {
  Submitted tally;
  const auto began = SteadyClock::now();
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    const auto due = began + std::chrono::duration_cast<SteadyClock::duration>(
                                 std::chrono::duration<double>(jobs[i].submit_s / speed));
    while (SteadyClock::now() < due) {
      progress.show(i, follower);
      std::this_thread::sleep_until(
          std::min(due, SteadyClock::now() + std::chrono::milliseconds(50)));
    }
    tally.worst_lag_s = std::max(tally.worst_lag_s,
                                 std::chrono::duration<double>(SteadyClock::now() - due).count());
    submit(client, body_of(jobs[i], i, cluster), tally);
    progress.show(i + 1, follower);
  }
  return tally;
}

// --- the report ----------------------------------------------------------------------------------

struct Delays {
  std::vector<double> seconds;  // of the trace's clock
  [[nodiscard]] double mean() const {
    double sum = 0;
    for (const double s : seconds) sum += s;
    return seconds.empty() ? 0 : sum / static_cast<double>(seconds.size());
  }
  // Nearest rank; the values are sorted.
  [[nodiscard]] double quantile(double q) const {
    if (seconds.empty()) return 0;
    const auto rank = static_cast<std::size_t>(std::ceil(q * static_cast<double>(seconds.size())));
    return seconds[std::clamp<std::size_t>(rank, 1, seconds.size()) - 1];
  }
};

struct Report {
  std::map<Priority, Delays> delays;
  double span_s = 0;
  double cpu = 0, memory = 0, gpu = 0;  // utilization, 0 to 1
};

double share(double used, std::int64_t capacity, double span) {
  return capacity == 0 || span <= 0 ? 0 : used / (static_cast<double>(capacity) * span);
}

Report report_of(const ReplayAudit& audit, const std::vector<Node>& nodes, double speed) {
  Report out;
  Resources total;
  for (const auto& node : nodes) total += node.capacity;
  std::optional<Timestamp> first, last;
  double cpu = 0, memory = 0, gpu = 0;
  for (const auto& [id, job] : audit.jobs()) {
    if (!job.ended || job.attempts == 0) continue;
    const auto seconds = [&](Timestamp from, Timestamp to) {
      return static_cast<double>(to.micros - from.micros) / 1e6 * speed;
    };
    out.delays[job.priority].seconds.push_back(seconds(job.queued_at, job.started_at));
    const double held = seconds(job.started_at, job.ended_at);
    cpu += held * static_cast<double>(job.demand.cpu_milli);
    memory += held * static_cast<double>(job.demand.memory_bytes);
    gpu += held * static_cast<double>(job.demand.gpu_milli);
    if (!first || job.queued_at < *first) first = job.queued_at;
    if (!last || *last < job.ended_at) last = job.ended_at;
  }
  for (auto& [priority, d] : out.delays) std::sort(d.seconds.begin(), d.seconds.end());
  if (first) out.span_s = static_cast<double>(last->micros - first->micros) / 1e6 * speed;
  out.cpu = share(cpu, total.cpu_milli, out.span_s);
  out.memory = share(memory, total.memory_bytes, out.span_s);
  out.gpu = share(gpu, total.gpu_milli, out.span_s);
  return out;
}

std::string time_text(double seconds) {
  return humane(std::chrono::microseconds(static_cast<std::int64_t>(seconds * 1e6)));
}

void print_report(const Global& global, const Report& r, const Submitted& tally,
                  const ReplayAudit& audit, double speed) {
  js::array rows;
  Table table({"PRIORITY", "JOBS", "MEAN WAIT", "P50", "P99", "LONGEST"});
  for (const auto& [priority, d] : r.delays) {
    table.add({std::string(to_text(priority)), std::to_string(d.seconds.size()),
               time_text(d.mean()), time_text(d.quantile(0.5)), time_text(d.quantile(0.99)),
               time_text(d.quantile(1.0))});
    rows.push_back(js::object{{"priority", to_text(priority)},
                              {"jobs", d.seconds.size()},
                              {"mean_s", d.mean()},
                              {"p50_s", d.quantile(0.5)},
                              {"p99_s", d.quantile(0.99)},
                              {"longest_s", d.quantile(1.0)}});
  }
  const bool held = audit.findings().empty() && audit.all_free();
  const js::object whole{
      {"jobs", tally.accepted},
      {"refused", tally.refused},
      {"starts", audit.starts()},
      {"speed", speed},
      {"span_s", r.span_s},
      {"queueing", std::move(rows)},
      {"utilization", js::object{{"cpu", r.cpu}, {"memory", r.memory}, {"gpu", r.gpu}}},
      {"invariants_held", held},
      {"findings", js::array(audit.findings().begin(), audit.findings().end())}};
  print_value(global, whole, table);
  if (global.output != "table") return;
  fmt::print("\n{} jobs over {} of the trace, {} refused because no node could ever hold them.\n",
             tally.accepted, time_text(r.span_s), tally.refused);
  fmt::print("utilization: cpu {:.1f} %, memory {:.1f} %, gpu {:.1f} %\n", r.cpu * 100,
             r.memory * 100, r.gpu * 100);
  fmt::print("One millisecond of the server is {} of the trace at this speed.\n",
             time_text(speed / 1000));
  if (held) {
    fmt::print(
        "invariants: held. {} starts and {} ends audited from the events: nothing over-committed "
        "on any node or device, "
        "nothing started twice, no low one before a waiting high one, everything given back.\n",
        audit.starts(), audit.ended());
  }
}

int replay(const Global& global, Args a) {
  if (!(a.speed >= 1))
    throw Failure{kUsage, "--speed is how many times faster than real time: 1 or more.", "", {}};
  auto jobs = read_trace(a.trace);
  if (!jobs) throw file_failure(jobs.error());
  if (a.limit > 0 && jobs->size() > a.limit) jobs->resize(a.limit);
  if (jobs->empty()) throw Failure{kRejected, fmt::format("{} has no jobs.", a.trace), "", {}};
  const auto nodes = nodes_for(a);
  Client client(global);
  if (a.cluster.empty()) a.cluster = fmt::format("replay-{}", SystemClock().now().micros / 1000);
  const auto cluster = create_cluster(client, a, nodes);
  Resources total;
  for (const auto& node : nodes) total += node.capacity;
  if (!global.quiet) {
    fmt::print(stderr, "{} jobs over {}, {} times faster, on {} nodes with {} (cluster {})\n",
               jobs->size(), time_text(jobs->back().submit_s), a.speed, nodes.size(),
               resources_text(total), a.cluster);
  }
  Follower follower(global, cluster, nodes);
  Progress progress(global, jobs->size());
  const auto tally = submit_all(client, *jobs, cluster, a.speed, follower, progress);
  follower.expect(tally.accepted);
  while (!follower.done() && tally.accepted > 0) {
    progress.show(jobs->size(), follower);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  progress.finish();
  if (tally.worst_lag_s * a.speed > 60 && !global.quiet) {
    fmt::print(
        stderr,
        "The submitter was up to {} late on the trace's clock; a smaller --speed is truer.\n",
        time_text(tally.worst_lag_s * a.speed));
  }
  const int code = follower.look([&](const ReplayAudit& audit) {
    print_report(global, report_of(audit, nodes, a.speed), tally, audit, a.speed);
    for (const auto& finding : audit.findings())
      fmt::print(stderr, "berth: INVARIANT BROKEN: {}\n", finding);
    return audit.findings().empty() && audit.all_free() ? kOk : kFailed;
  });
  if (!a.keep) client.remove("/api/v1/clusters/" + cluster);
  return code;
}

}  // namespace

void add_replay_command(CLI::App& app, Global& global, Selected& selected) {
  auto a = std::make_shared<Args>();
  auto decisions = std::make_shared<DecisionsArgs>();
  auto* c = app.add_subcommand(
      "replay",
      "Submit a real trace to a simulated cluster and audit the outcome; or decide once more what "
      "was decided");
  c->add_option("trace", a->trace, "CSV file: openb pods or a Philly slice");
  c->add_option("--nodes", a->nodes, "CSV file with the nodes; for openb the one beside the trace");
  c->add_option("--gpus", a->gpus,
                "Only as many nodes as have so many GPUs; without a node list, machines of eight");
  c->add_option("--speed", a->speed, "How many times faster than real time")->capture_default_str();
  c->add_option("--limit", a->limit, "Only the first so many jobs");
  c->add_option("--cluster", a->cluster, "Name of the cluster that is made for it");
  c->add_option("--org", a->org, "Organization");
  c->add_flag("--keep", a->keep, "Leave the cluster there");
  auto* again = c->add_option("--decisions", decisions->cluster,
                              "Replay what was decided for this cluster, and compare")
                    ->expected(0, 1);
  c->add_option("--file", decisions->file, "With --decisions: a record that was saved")
      ->needs(again);
  c->add_option("--save", decisions->save, "With --decisions: keep the record in this file")
      ->needs(again);
  c->footer(
      "Examples: berth replay openb_pods.csv --gpus 64 --speed 200000\n"
      "          berth replay --decisions lab --save lab.record\n"
      "          berth replay --decisions --file lab.record\n"
      "It ends with 8 when an invariant did not hold, or when a decision differs.");
  c->callback([&selected, &global, a, decisions, again] {
    const bool decide = again->count() > 0;
    selected = [&global, a, decisions, decide] {
      if (decide) return replay_decisions(global, *decisions);
      if (a->trace.empty())
        throw Failure{kUsage, "Say a trace, or --decisions with a cluster.", "", {}};
      return replay(global, *a);
    };
  });
}

}  // namespace berth::cli
