// How the decision engine scales, as a table in Markdown.
//
//   scheduler_scaling [FOLDER WITH TRACES]
#include <fmt/format.h>

#include <algorithm>
#include <ctime>

#include "workload.h"

namespace berth::bench {
namespace {

// The processor time of this process, so that others on the machine count less.
double now_seconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}
double seconds_since(double from) { return now_seconds() - from; }

struct Measured {
  double nanoseconds = 0;  // per stop with its refill, the median over batches
  double decisions_per_second = 0;
  double p99_nanoseconds = 0;
  double starts_per_stop = 0;
  double bytes_per_waiting = 0;
};

Measured measure(FullCluster& cluster, std::size_t batches = 15, std::size_t batch = 4'000) {
  for (std::size_t i = 0; i < batch; ++i) cluster.stop_and_refill();  // into a steady state
  Measured out;
  std::vector<double> per_stop;
  std::vector<double> rate;
  std::size_t starts = 0;
  for (std::size_t b = 0; b < batches; ++b) {
    const std::uint64_t before = cluster.decisions();
    const auto began = now_seconds();
    for (std::size_t i = 0; i < batch; ++i) starts += cluster.stop_and_refill();
    const double took = seconds_since(began);
    per_stop.push_back(took * 1e9 / static_cast<double>(batch));
    rate.push_back(static_cast<double>(cluster.decisions() - before) / took);
  }
  std::vector<double> single;
  for (std::size_t i = 0; i < batch; ++i) {
    const auto began = now_seconds();
    cluster.stop_and_refill();
    single.push_back(seconds_since(began) * 1e9);
  }
  std::ranges::sort(per_stop);
  std::ranges::sort(rate);
  std::ranges::sort(single);
  out.nanoseconds = per_stop[per_stop.size() / 2];
  out.decisions_per_second = rate[rate.size() / 2];
  out.p99_nanoseconds = single[single.size() * 99 / 100];
  out.starts_per_stop = static_cast<double>(starts) / static_cast<double>(batches * batch);
  const EngineStatus status = cluster.engine().status();
  out.bytes_per_waiting = static_cast<double>(cluster.engine().memory_bytes()) /
                          static_cast<double>(status.high_waiting + status.low_waiting);
  return out;
}

void print_row(const std::string& name, std::size_t nodes, std::size_t waiting, const Measured& m) {
  fmt::print("| {} | {} | {} | {:.0f} | {:.0f} | {:.2f} | {:.2f} M | {:.0f} |\n", name, nodes,
             waiting, m.nanoseconds, m.p99_nanoseconds, m.starts_per_stop,
             m.decisions_per_second / 1e6, m.bytes_per_waiting);
  std::fflush(stdout);
}

void header() {
  fmt::print(
      "| input | nodes | waiting | ns per stop and refill | p99 ns | starts per stop | "
      "decisions/s | bytes per waiting |\n|---|---|---|---|---|---|---|---|\n");
}

void scaling(const Inputs& inputs) {
  header();
  for (const std::size_t waiting : {1'000UL, 10'000UL, 100'000UL, 1'000'000UL}) {
    FullCluster cluster(one_vector(64), openb_demands(inputs), waiting);
    print_row("openb shapes, one vector", 1, waiting, measure(cluster));
  }
  for (const std::size_t nodes : {10UL, 1'000UL, 10'000UL}) {
    for (const std::size_t waiting : {1'000UL, 1'000'000UL}) {
      FullCluster cluster(openb_nodes(inputs, nodes), openb_demands(inputs), waiting);
      print_row("openb shapes", nodes, waiting, measure(cluster));
    }
  }
}

void adversarial(const Inputs& inputs) {
  struct Case {
    const char* name;
    Demands demands;
    std::size_t waiting;
  };
  for (const Case& one : {Case{"all demands different", all_different(), 100'000},
                          Case{"all demands different", all_different(), 1'000'000},
                          Case{"all demands equal", all_equal(), 1'000'000},
                          Case{"huge ones at the head", huge_at_the_head(), 1'000'000},
                          Case{"feasible and infeasible in turn", alternating(), 1'000'000},
                          Case{"anti-correlated CPU and memory", anti_correlated(), 1'000'000}}) {
    FullCluster cluster(openb_nodes(inputs, 100), one.demands, one.waiting);
    print_row(one.name, 100, one.waiting, measure(cluster, 5, 500));
  }
}

std::vector<Quota> equal_quotas(const std::vector<Node>& nodes, std::uint32_t tenants) {
  std::int64_t gpus = 0;
  for (const Node& node : nodes) gpus += node.capacity.gpu_milli;
  std::vector<Quota> out;
  for (std::uint32_t t = 0; t < tenants; ++t) {
    out.push_back({t, {kNoQuota, kNoQuota, gpus / tenants}});
  }
  return out;
}

void wishes(const Inputs& inputs) {
  constexpr std::size_t kWaiting = 100'000;
  auto nodes = openb_nodes(inputs, 100);
  const auto row = [&](const char* name, Rules rules, Wishes wishes) {
    FullCluster cluster(nodes, openb_demands(inputs), kWaiting, std::move(rules),
                        std::move(wishes));
    print_row(name, nodes.size(), kWaiting, measure(cluster, 5, 500));
  };
  row("openb shapes", {}, {});
  row("every second GPU one minds the model", {}, some_models(inputs));
  row("every fourth has 2 to 8 replicas", {}, gangs());
  Rules rules;
  rules.quotas = equal_quotas(nodes, 64);
  row("64 tenants with quotas", rules, tenants(64));
  rules.fair = true;
  row("64 tenants with quotas, fair", rules, tenants(64));
  nodes.front().labels["first"] = "";
  for (int i = 0; i < 64; ++i) nodes.front().labels["n" + std::to_string(i)] = "";
  row("each its own row, none allows the freed node", {}, own_constraints());
}

void against_the_scan(const Inputs& inputs) {
  fmt::print("\n| waiting | engine, ns | plain scan, ns | ratio |\n|---|---|---|---|\n");
  for (const std::size_t waiting : {1'000UL, 10'000UL, 100'000UL}) {
    FullCluster cluster(openb_nodes(inputs, 10), openb_demands(inputs), waiting);
    const double engine = measure(cluster).nanoseconds;
    PlainScan scan(openb_nodes(inputs, 10), openb_demands(inputs), waiting);
    const std::size_t rounds = 2'000'000 / waiting + 5;
    const auto began = now_seconds();
    for (std::size_t i = 0; i < rounds; ++i) scan.stop_and_refill();
    const double plain = seconds_since(began) * 1e9 / static_cast<double>(rounds);
    fmt::print("| {} | {:.0f} | {:.0f} | {:.0f} |\n", waiting, engine, plain, plain / engine);
  }
}

void reading(const Inputs& inputs) {
  fmt::print("\n| what | nodes | demands | milliseconds |\n|---|---|---|---|\n");
  for (const std::size_t nodes : {10UL, 1'000UL, 10'000UL}) {
    for (const bool different : {false, true}) {
      const FullCluster cluster(openb_nodes(inputs, nodes),
                                different ? all_different() : openb_demands(inputs), 1'000'000);
      const char* const demands = different ? "all different" : "openb";
      auto began = now_seconds();
      const auto rows = cluster.engine().queue(500'000, 1'000);
      fmt::print("| 1,000 rows of the queue with reasons, 1,000,000 wait | {} | {} | {:.2f} |\n",
                 nodes, demands, seconds_since(began) * 1e3);
      std::vector<DeploymentId> ids;
      for (const QueueEntry& row : rows) ids.push_back(row.id);
      began = now_seconds();
      std::size_t explained = 0;
      for (const auto& one : cluster.engine().explain(ids)) explained += one->position > 0;
      fmt::print("| explain {} of them in full | {} | {} | {:.2f} |\n", explained, nodes, demands,
                 seconds_since(began) * 1e3);
      began = now_seconds();
      explained += cluster.engine().explain(ids.front())->position > 0;
      fmt::print("| explain one | {} | {} | {:.3f} |\n", nodes, demands,
                 seconds_since(began) * 1e3);
    }
  }
}

void many_clusters(const Inputs& inputs) {
  std::vector<FullCluster> clusters;
  const auto began = now_seconds();
  for (std::size_t i = 0; i < 10'000; ++i) {
    clusters.emplace_back(openb_nodes(inputs, 2), openb_demands(inputs), 100);
  }
  fmt::print("| 10,000 clusters of 2 nodes with 100 waiting each: set up | 2 | openb | {:.0f} |\n",
             seconds_since(began) * 1e3);
  const auto then = now_seconds();
  for (int round = 0; round < 10; ++round) {
    for (FullCluster& cluster : clusters) cluster.stop_and_refill();
  }
  fmt::print("| one stop and refill in each of the 10,000 | 2 | openb | {:.1f} |\n",
             seconds_since(then) * 1e3 / 10);
  std::size_t bytes = 0;
  for (const FullCluster& cluster : clusters) bytes += cluster.engine().memory_bytes();
  fmt::print("\n{:.0f} bytes of waiting deployments per cluster.\n",
             static_cast<double>(bytes) / 10'000);
}

}  // namespace
}  // namespace berth::bench

int main(int argc, char** argv) {
  using namespace berth::bench;
  const Inputs inputs = read_inputs(argc > 1 ? argv[1] : BERTH_TRACES);
  scaling(inputs);
  adversarial(inputs);
  wishes(inputs);
  against_the_scan(inputs);
  reading(inputs);
  many_clusters(inputs);
  return 0;
}
