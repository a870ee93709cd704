// `berth simulate`: a trace through the decision engine itself, without a server, on a virtual
// clock.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <set>

#include "cli/commands.h"
#include "cli/fgd_protocol.h"
#include "cli/output.h"
#include "cli/simulation_report.h"
#include "cli/trace.h"
#include "json/quantity.h"

namespace berth::cli {
namespace {

namespace js = boost::json;
using SteadyClock = std::chrono::steady_clock;

struct Args {
  std::string trace, nodes, plot;
  std::string policy = "strict", protocol, placement;
  std::size_t seeds = 10;
  std::string age_bound;
  std::vector<std::string> compare;
  std::int64_t gpus = 0;
  std::size_t limit = 0;
  bool vector = false;
  std::size_t forecast_every = 0;
  bool undeclared = false;
  double over_declared = 1;
  std::vector<std::string> beside;
  bool quotas = false, no_borrowing = false, fair = false;
  std::int64_t split = 0;
};

SimulatedTime milliseconds(double seconds) { return std::llround(seconds * 1000); }

std::vector<SimulatedJob> simulated(const Args& a, const std::vector<TraceJob>& jobs) {
  std::vector<SimulatedJob> out;
  for (const TraceJob& job : jobs) {
    // Traces that declare no limits are run as if users knew, or knew within a factor.
    const double limit = job.limit_s.value_or(job.duration_s * a.over_declared);
    out.push_back({job.demand, job.priority, milliseconds(job.submit_s),
                   std::max<SimulatedTime>(1, milliseconds(job.duration_s)),
                   a.undeclared ? 0 : std::max<SimulatedTime>(1, milliseconds(limit))});
  }
  return out;
}

SimulatedTime milliseconds_of(const std::string& duration) {
  const bool bare = duration.find_first_not_of("0123456789.") == std::string::npos;
  const auto micros = json::parse_duration(bare ? duration + "s" : duration);
  if (!micros) throw Failure{kUsage, micros.error().message, "", {}};
  return *micros / 1000;
}

// The names of all tenants, in order; the number of one is its place. The one without a name comes
// first.
std::vector<std::string> tenants_of(const std::vector<TraceJob>& jobs) {
  std::set<std::string> names;
  for (const TraceJob& job : jobs) names.insert(job.tenant);
  return {names.begin(), names.end()};
}

// A job of more than so many GPUs as replicas that start together, each with an equal part.
void split_job(SimulatedJob& job, std::int64_t gpus) {
  const std::int64_t replicas = (job.demand.gpu_milli / kGpuDevice + gpus - 1) / gpus;
  if (replicas <= 1 || job.demand.gpu_milli / kGpuDevice % replicas != 0) return;
  job.demand = {job.demand.cpu_milli / replicas, job.demand.memory_bytes / replicas,
                job.demand.gpu_milli / replicas};
  job.replicas = static_cast<std::uint32_t>(replicas);
}

// What the trace declares beyond the demand, and how it is to be run.
void add_wishes(const Args& a, const std::vector<TraceJob>& jobs, std::vector<SimulatedJob>& out) {
  const auto tenants = tenants_of(jobs);
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    out[i].constraint = jobs[i].constraint;
    if (a.split > 0) split_job(out[i], a.split);
    const auto at = std::ranges::lower_bound(tenants, jobs[i].tenant);
    out[i].tenant = static_cast<std::uint32_t>(at - tenants.begin());
  }
}

// The GPUs, or where nobody asks for one the CPUs, divided in proportion to what each tenant asks
// for over time.
std::vector<Quota> quotas_by_use(const Args& a, const std::vector<SimulatedJob>& jobs,
                                 const Resources& capacity) {
  const bool gpus =
      std::ranges::any_of(jobs, [](const SimulatedJob& job) { return job.demand.gpu_milli > 0; });
  const auto resource = gpus ? &Resources::gpu_milli : &Resources::cpu_milli;
  std::map<std::uint32_t, double> use;
  double sum = 0;
  for (const SimulatedJob& job : jobs) {
    const double held = static_cast<double>(job.demand.*resource) * job.replicas *
                        static_cast<double>(job.duration);
    use[job.tenant] += held;
    sum += held;
  }
  std::vector<Quota> out;
  for (const auto& [tenant, held] : use) {
    Quota quota{tenant, kUnlimited};
    const double part = sum > 0 ? held / sum : 0;
    quota.nominal.*resource =
        static_cast<std::int64_t>(part * static_cast<double>(capacity.*resource));
    if (a.no_borrowing) quota.borrowing = Resources{};
    out.push_back(quota);
  }
  return out;
}

// All nodes as one, to see what the borders between them cost.
std::vector<Node> as_one(const std::vector<Node>& nodes) {
  Resources sum;
  for (const Node& node : nodes) sum += node.capacity;
  return {{"all", sum, ""}};
}

std::string time_text(double seconds) {
  return humane(std::chrono::microseconds(static_cast<std::int64_t>(seconds * 1e6)));
}

js::object json_of(const WaitSummary& w) {
  return {{"jobs", w.jobs},
          {"mean_s", w.mean_s},
          {"p50_s", w.p50_s},
          {"p99_s", w.p99_s},
          {"longest_s", w.longest_s}};
}

js::object json_of(const ForecastSummary& f) {
  return {{"cases", f.cases},
          {"inside", f.inside},
          {"before", f.before},
          {"after", f.after},
          {"guaranteed", f.guaranteed},
          {"guarantees_broken", f.guarantees_broken},
          {"median_wait_s", f.median_wait_s},
          {"median_width_s", f.median_width_s},
          {"median_relative_width", f.median_relative_width}};
}

js::object json_of(const SimulationReport& r) {
  js::object priorities;
  for (const auto& [priority, waits] : r.by_priority)
    priorities[to_text(priority)] = json_of(waits);
  js::object sizes;
  for (const auto& [size, waits] : r.by_size) sizes[size] = json_of(waits);
  js::object forecasts;
  for (const auto& [method, outcome] : r.forecasts) forecasts[method] = json_of(outcome);
  const auto& c = r.curve;
  return {{"policy", r.policy},
          {"jobs", r.jobs},
          {"finished", r.finished},
          {"refused", r.refused},
          {"span_s", r.span_s},
          {"waits_by_priority", std::move(priorities)},
          {"waits_by_size", std::move(sizes)},
          {"utilization", js::object{{"cpu", r.cpu}, {"memory", r.memory}, {"gpu", r.gpu}}},
          {"fragmentation", r.fragmentation ? js::value(*r.fragmentation) : js::value()},
          {"bounded_slowdown", r.bounded_slowdown},
          {"evictions", r.evictions},
          {"wasted_s", r.wasted_s},
          {"events", r.events},
          {"forecasts", std::move(forecasts)},
          {"curve", js::object{{"cpu", js::array(c.cpu.begin(), c.cpu.end())},
                               {"gpu", js::array(c.gpu.begin(), c.gpu.end())},
                               {"unusable_gpu", js::array(c.unusable.begin(), c.unusable.end())},
                               {"waiting", js::array(c.waiting.begin(), c.waiting.end())}}}};
}

void add_rows(Table& table, const SimulationReport& r) {
  const auto row = [&](std::string which, const WaitSummary& w) {
    table.add({r.policy, std::move(which), std::to_string(w.jobs), time_text(w.mean_s),
               time_text(w.p50_s), time_text(w.p99_s), time_text(w.longest_s)});
  };
  for (const auto& [priority, waits] : r.by_priority) row(std::string(to_text(priority)), waits);
  for (const auto& [size, waits] : r.by_size) row(size, waits);
}

void add_tenants(Table& table, const SimulationReport& r, const std::vector<std::string>& names,
                 js::object& out) {
  js::object by_tenant;
  for (const auto& [tenant, w] : r.by_tenant) {
    table.add({r.policy, names[tenant], std::to_string(w.jobs), time_text(w.mean_s),
               time_text(w.p50_s), time_text(w.p99_s), time_text(w.longest_s)});
    by_tenant[names[tenant]] = json_of(w);
  }
  out["waits_by_tenant"] = std::move(by_tenant);
}

void print_summary(const SimulationReport& r, double took_s) {
  fmt::print(
      "\n{}: {} of {} jobs ended within {}, {} refused because no node could ever hold them.\n",
      r.policy, r.finished, r.jobs, time_text(r.span_s), r.refused);
  const auto unusable =
      r.fragmentation
          ? fmt::format("fragmentation: {:.1f} % of the gpus free but unusable for the mix; ",
                        *r.fragmentation * 100)
          : "";
  fmt::print(
      "  utilization: cpu {:.1f} %, memory {:.1f} %, gpu {:.1f} %; {}bounded slowdown {:.1f}\n",
      r.cpu * 100, r.memory * 100, r.gpu * 100, unusable, r.bounded_slowdown);
  if (r.evictions > 0) {
    fmt::print("  {} evictions threw away {} of work\n", r.evictions, time_text(r.wasted_s));
  }
  for (const auto& [method, f] : r.forecasts) {
    fmt::print(
        "  forecasts {}: {} of {} inside ({:.1f} %), {} before, {} after; median wait {}, width {} "
        "({:.1f} times the wait); {} guaranteed, {} of them broken\n",
        method, f.inside, f.cases,
        100 * static_cast<double>(f.inside) /
            static_cast<double>(std::max<std::size_t>(f.cases, 1)),
        f.before, f.after, time_text(f.median_wait_s), time_text(f.median_width_s),
        f.median_relative_width, f.guaranteed, f.guarantees_broken);
  }
  fmt::print("  {} events in {}, {:.0f} a second\n", r.events, time_text(took_s),
             static_cast<double>(r.events) / std::max(took_s, 1e-9));
}

void write_file(const std::string& file, const std::string& text) {
  std::ofstream out(file);
  out << text;
  out.flush();
  if (!out) throw Failure{kRejected, fmt::format("Cannot write {}.", file), "", {}};
}

TaskMix mix_of(const std::vector<SimulatedJob>& jobs) {
  std::vector<Resources> demands;
  for (const SimulatedJob& job : jobs) demands.push_back(job.demand);
  return TaskMix::of(demands);
}

ClusterEngine engine_for(const Args& a, const std::string& policy,
                         const std::vector<SimulatedJob>& jobs, std::vector<Node> nodes) {
  Rules rules;
  rules.backfill = policy == "backfill" || policy == "backfill+preempt";
  rules.preempt = policy == "preempt" || policy == "backfill+preempt";
  if (!rules.backfill && !rules.preempt && policy != "strict") {
    throw Failure{kUsage,
                  fmt::format("'{}' is no policy; there are strict, backfill, preempt and "
                              "backfill+preempt.",
                              policy),
                  "",
                  {}};
  }
  if (!a.age_bound.empty()) rules.age_bound = milliseconds_of(a.age_bound);
  if (a.placement == "fgd") rules.mix = mix_of(jobs);
  rules.fair = a.fair;
  if (a.quotas) {
    Resources capacity;
    for (const Node& node : nodes) capacity += node.capacity;
    rules.quotas = quotas_by_use(a, jobs, capacity);
  }
  return {Policy::strict, std::move(nodes), false, std::move(rules)};
}

int run_fgd_protocol(const Global& global, const Args& a, const std::vector<TraceJob>& jobs,
                     const std::vector<Node>& nodes) {
  std::vector<Resources> pods;
  for (const TraceJob& job : jobs) pods.push_back(job.demand);
  Table table({"SEED", "AT 95 %", "AT 100 %", "AT 130 %"});
  js::array rows;
  FgdAllocation mean;
  const auto add = [&](const std::string& name, const FgdAllocation& r) {
    table.add({name, fmt::format("{:.2f}", r.at_95), fmt::format("{:.2f}", r.at_100),
               fmt::format("{:.2f}", r.at_130)});
    rows.push_back(
        js::object{{"seed", name}, {"at_95", r.at_95}, {"at_100", r.at_100}, {"at_130", r.at_130}});
  };
  for (std::size_t seed = 1; seed <= a.seeds; ++seed) {
    const auto one = fgd_protocol(pods, nodes, seed, a.placement != "best_fit");
    add(std::to_string(seed), one);
    const double part = 1.0 / static_cast<double>(a.seeds);
    mean.at_95 += one.at_95 * part;
    mean.at_100 += one.at_100 * part;
    mean.at_130 += one.at_130 * part;
  }
  add("mean", mean);
  print_value(global,
              js::object{{"placement", a.placement.empty() ? "fgd" : a.placement},
                         {"allocation", std::move(rows)}},
              table);
  return kOk;
}

int simulate_trace(const Global& global, const Args& a) {
  std::vector<std::string> files{a.trace};
  files.insert(files.end(), a.beside.begin(), a.beside.end());
  auto jobs = read_traces(files);
  if (!jobs) throw file_failure(jobs.error());
  if (a.limit > 0 && jobs->size() > a.limit) jobs->resize(a.limit);
  if (jobs->empty()) throw Failure{kRejected, fmt::format("{} has no jobs.", a.trace), "", {}};
  auto nodes = nodes_for_trace(a.trace, a.nodes, a.gpus);
  if (!nodes) throw file_failure(nodes.error());
  if (a.vector) nodes = as_one(*nodes);
  Resources capacity;
  for (const Node& node : *nodes) capacity += node.capacity;
  if (!global.quiet) {
    fmt::print(stderr, "{} jobs over {} on {} nodes with {}\n", jobs->size(),
               time_text(jobs->back().submit_s), nodes->size(), resources_text(capacity));
  }
  if (a.protocol == "fgd") return run_fgd_protocol(global, a, *jobs, *nodes);
  auto input = simulated(a, *jobs);
  add_wishes(a, *jobs, input);
  const auto tenants = tenants_of(*jobs);
  // One node has no neighbours among which anything could be scattered.
  const SimulationOptions options{.forecast_every = a.forecast_every,
                                  .mix = a.vector ? std::nullopt : std::optional(mix_of(input))};
  js::array whole;
  Table table({"POLICY", "JOBS OF", "NUMBER", "MEAN WAIT", "P50", "P99", "LONGEST"});
  std::vector<std::pair<SimulationReport, double>> reports;
  for (const auto& policy : a.compare.empty() ? std::vector{a.policy} : a.compare) {
    ClusterEngine engine = engine_for(a, policy, input, *nodes);
    const auto began = SteadyClock::now();
    const auto result = simulate(std::move(engine), input, options);
    const double took = std::chrono::duration<double>(SteadyClock::now() - began).count();
    reports.emplace_back(report_on(policy, input, result, capacity), took);
    add_rows(table, reports.back().first);
    whole.push_back(json_of(reports.back().first));
    if (tenants.size() > 1) {
      add_tenants(table, reports.back().first, tenants, whole.back().as_object());
    }
  }
  print_value(global, js::object{{"simulations", std::move(whole)}}, table);
  if (global.output == "table") {
    for (const auto& [report, took] : reports) print_summary(report, took);
  }
  if (!a.plot.empty()) write_file(a.plot, svg_of(reports.front().first));
  return kOk;
}

}  // namespace

void add_simulate_command(CLI::App& app, Global& global, Selected& selected) {
  auto a = std::make_shared<Args>();
  auto* c = app.add_subcommand(
      "simulate",
      "Run a trace through the scheduler on a virtual clock, without a server, and report waiting "
      "and use");
  c->add_option("--trace", a->trace,
                "openb pods or a Philly slice (CSV), or Standard Workload Format (.swf)")
      ->required();
  c->add_option("--nodes", a->nodes, "CSV file with the nodes; for openb the one beside the trace");
  c->add_option("--gpus", a->gpus,
                "Only as many nodes as have so many GPUs; without a node list, machines of eight");
  c->add_flag("--one-node", a->vector, "Put all nodes together into one");
  c->add_option("--policy", a->policy, "strict, backfill, preempt or backfill+preempt")
      ->capture_default_str();
  c->add_option("--compare", a->compare, "Several policies, separated by commas")->delimiter(',');
  c->add_option("--protocol", a->protocol,
                "fgd: fill the GPU nodes with pods in random order up to 130 % of their GPUs and "
                "report how much is allocated")
      ->check(CLI::IsMember({"fgd"}));
  c->add_option("--placement", a->placement,
                "best_fit, or fgd: leave the least GPU capacity unusable for the mix of the trace; "
                "if not said, fgd with --protocol fgd and else best_fit")
      ->check(CLI::IsMember({"fgd", "best_fit"}));
  c->add_option("--seeds", a->seeds, "For --protocol fgd: how many orders")->capture_default_str();
  c->add_option(
      "--age-bound", a->age_bound,
      "Nobody who has waited so long (2h, 90s, a number of seconds) is overtaken any more");
  c->add_option("--forecast", a->forecast_every,
                "Ask for each so many-th job that has to wait when it will start, and report how "
                "the answers turned out")
      ->check(CLI::PositiveNumber);
  c->add_flag("--undeclared", a->undeclared, "Nobody declares a longest run time");
  c->add_option("--over-declared", a->over_declared,
                "Where the trace has no limits: they are so many times the run time")
      ->check(CLI::Range(1.0, 1000.0));
  c->add_option(
      "--beside", a->beside,
      "Another trace that runs at the same time; each file is a tenant of its own, and so "
      "is each virtual cluster where the file has a column vc");
  c->add_flag("--quota-by-vc", a->quotas,
              "Divide the GPUs (or CPUs, where nobody asks for GPUs) among the tenants in "
              "proportion to what they ask for over time; they lend what they do not use");
  c->add_flag("--no-borrowing", a->no_borrowing, "With --quota-by-vc: nobody gets more than that");
  c->add_flag("--fair", a->fair, "The tenant that holds least of its quota goes first");
  c->add_option(
       "--split", a->split,
       "A job of more than so many GPUs becomes equal replicas, on one node or several, that "
       "start together")
      ->check(CLI::PositiveNumber);
  c->add_option("--limit", a->limit, "Only the first so many jobs");
  c->add_option("--plot", a->plot,
                "Write a picture (SVG) of use and of the queue over time, of the first policy");
  c->footer("Example: berth simulate --trace openb_pods.csv --gpus 64 --plot use.svg");
  c->callback(
      [&selected, &global, a] { selected = [&global, a] { return simulate_trace(global, *a); }; });
}

}  // namespace berth::cli
