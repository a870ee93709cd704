// Load for an installation of several processes, one measurement a call, answered as a line of
// JSON. scaled_bench.py starts the installation and says where it is.
//   creates   durable submissions by 64 connections over the given ports
//   starts    one submission after the other, each timed until its event says that it runs
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>

#include "../api/load.h"

namespace berth::bench {
namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  std::vector<std::uint16_t> ports;
  std::string token, prefix = "c";
  std::vector<std::string> clusters;
  std::uint64_t count = 1000;
  int connections = 64;
};

std::string wish(const std::string& cluster, const std::string& name, std::string_view duration) {
  return fmt::format(
      R"({{"cluster_id":"{}","name":"{}","kind":"job","priority":"low","resources":{{"cpu":1,"memory":"1MiB"}},"simulate":{{"duration":"{}"}}}})",
      cluster, name, duration);
}

double quantile(std::vector<double> values, double q) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const auto rank = static_cast<std::size_t>(std::ceil(q * static_cast<double>(values.size())));
  return values[std::clamp<std::size_t>(rank, 1, values.size()) - 1];
}

int creates(const Options& o) {
  std::uint64_t number = 0;
  LoadPlan plan{.ports = o.ports, .connections = o.connections, .requests = o.count};
  plan.next = [&] {
    const auto& cluster = o.clusters[number % o.clusters.size()];
    return http_request("POST", "/api/v1/deployments", o.token,
                        wish(cluster, fmt::format("{}-{}", o.prefix, number++), "24h"));
  };
  const auto result = run_load(plan);
  fmt::print(R"({{"rate":{:.1f},"p50":{:.3f},"p99":{:.3f},"answered":{},"refused":{}}})"
             "\n",
             result.rate(), result.quantile_ms(0.5), result.quantile_ms(0.99), result.answered,
             result.refused);
  return 0;
}

// The stream of events of one cluster.
class Stream {
 public:
  Stream(const Options& o, const std::string& cluster) : wire_(o.ports.back()) {
    wire_.send(http_request("GET", "/api/v1/events?cluster_id=" + cluster, o.token));
    while (in_.find(": connected") == std::string::npos) pull();
    in_.clear();
  }
  void wait_for(std::string_view kind) {
    const std::string line = fmt::format("event: {}\n", kind);
    for (;;) {
      const auto at = in_.find(line);
      const auto end = at == std::string::npos ? at : in_.find("\n\n", at);
      if (end != std::string::npos) {
        in_.erase(0, end + 2);
        return;
      }
      pull();
    }
  }

 private:
  void pull() {
    const auto piece = wire_.receive();
    if (piece.empty()) throw std::runtime_error("the event stream ended");
    in_ += piece;
  }
  Wire wire_;
  std::string in_;
};

int starts(const Options& o) {
  Stream stream(o, o.clusters.front());
  Wire wire(o.ports.front());
  std::vector<double> took;
  for (std::uint64_t i = 0; i < o.count; ++i) {
    const auto request =
        http_request("POST", "/api/v1/deployments", o.token,
                     wish(o.clusters.front(), fmt::format("{}-{}", o.prefix, i), "1ms"));
    const auto began = Clock::now();
    const auto [status, body] = wire.call(request);
    if (status >= 400) throw std::runtime_error(body);
    stream.wait_for("deployment.running");
    took.push_back(std::chrono::duration<double, std::milli>(Clock::now() - began).count());
    stream.wait_for("deployment.succeeded");
  }
  fmt::print(R"({{"p50":{:.3f},"p99":{:.3f},"count":{}}})"
             "\n",
             quantile(took, 0.5), quantile(took, 0.99), took.size());
  return 0;
}

int run(int argc, char** argv) {
  CLI::App app{"Load for an installation of several processes"};
  app.require_subcommand(1);
  Options o;
  for (auto* command : {app.add_subcommand("creates"), app.add_subcommand("starts")}) {
    command->add_option("--ports", o.ports)->delimiter(',')->required();
    command->add_option("--token", o.token)->required();
    command->add_option("--clusters", o.clusters)->delimiter(',')->required();
    command->add_option("--count", o.count);
    command->add_option("--connections", o.connections);
    command->add_option("--prefix", o.prefix);
  }
  CLI11_PARSE(app, argc, argv);
  return app.got_subcommand("creates") ? creates(o) : starts(o);
}

}  // namespace
}  // namespace berth::bench

int main(int argc, char** argv) {
  try {
    return berth::bench::run(argc, argv);
  } catch (const std::exception& e) {
    fmt::print(stderr, "scaled_load: {}\n", e.what());
    return 1;
  }
}
