#include "workload.h"

#include <algorithm>
#include <filesystem>
#include <stdexcept>

#include "cli/trace.h"

namespace berth::bench {
namespace {

constexpr std::int64_t kGiB = std::int64_t{1} << 30;

std::uint64_t scramble(std::uint64_t x) {
  x += 0x9E3779B97F4A7C15ULL;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
  return x ^ (x >> 31);
}

std::int64_t between(std::uint64_t bits, std::int64_t low, std::int64_t high) {
  return low + static_cast<std::int64_t>(bits % static_cast<std::uint64_t>(high - low + 1));
}

}  // namespace

Inputs read_inputs(const std::string& folder) {
  const auto either = [&](const char* whole, const char* slice) {
    const auto path = std::filesystem::path(folder) / whole;
    return (std::filesystem::exists(path) ? path : std::filesystem::path(folder) / slice).string();
  };
  auto jobs = cli::read_trace(either("openb_pods.csv", "openb_pods_slice.csv"));
  auto nodes = cli::read_nodes(either("openb_nodes.csv", "openb_nodes_slice.csv"));
  if (!jobs || !nodes) throw std::runtime_error("no traces in " + folder);
  Inputs out{{}, std::move(*nodes)};
  for (const auto& job : *jobs) out.pods.push_back(job.demand);
  return out;
}

std::vector<Node> openb_nodes(const Inputs& inputs, std::size_t count) {
  std::vector<Node> out;
  for (std::size_t i = 0; i < count; ++i) {
    // Spread over the list, so that few nodes have the mix of many.
    const std::size_t from = scramble(i) % inputs.nodes.size();
    out.push_back(
        {"n" + std::to_string(i), inputs.nodes[from].capacity, inputs.nodes[from].gpu_model});
  }
  return out;
}

std::vector<Node> one_vector(std::int64_t gpus) {
  return {{"all", {gpus * 20'000, gpus * 96 * kGiB, gpus * kGpuDevice}, ""}};
}

Demands openb_demands(const Inputs& inputs) {
  return [pods = inputs.pods](std::uint64_t n) { return pods[scramble(n) % pods.size()]; };
}
Demands all_different() {
  return [](std::uint64_t n) {
    const auto bits = scramble(n);
    return Resources{between(bits, 500, 64'000), between(bits >> 20, 1 << 20, 256 * kGiB),
                     between(bits >> 50, 0, 4) * kGpuDevice};
  };
}
Demands all_equal() {
  return [](std::uint64_t) { return Resources{4'000, 16 * kGiB, kGpuDevice}; };
}
Demands huge_at_the_head() {
  return [](std::uint64_t n) {
    // As much as the emptiest node could ever hold; it stays in front for good.
    if (n < 8) return Resources{64'000, 200 * kGiB, 8 * kGpuDevice};
    return Resources{2'000, 8 * kGiB, 500};
  };
}
Demands alternating() {
  return [](std::uint64_t n) {
    if (n % 2 == 0) return Resources{between(scramble(n), 60'000, 64'000), 8 * kGiB, 0};
    return Resources{between(scramble(n), 1'000, 4'000), 8 * kGiB, 0};
  };
}
Demands anti_correlated() {
  return [](std::uint64_t n) {
    const std::int64_t part = between(scramble(n), 0, 1'000'000);
    return Resources{1'000 + part * 60'000 / 1'000'000,
                     kGiB + (1'000'000 - part) * (250 * kGiB / 1'000'000), 0};
  };
}

Wishes some_models(const Inputs& inputs) {
  std::vector<std::string> models;
  for (const Node& node : inputs.nodes) {
    if (!node.gpu_model.empty()) models.push_back(node.gpu_model);
  }
  return [models](std::uint64_t n, Queued& queued) {
    const std::uint64_t bits = scramble(n);
    if (bits % 2 == 0 && queued.demand.gpu_milli > 0) {
      queued.constraint.gpu_model = models[bits / 2 % models.size()];
    }
  };
}
Wishes own_constraints() {
  return
      [label = std::map<std::string, std::string>{{"first", ""}}](std::uint64_t n, Queued& queued) {
        if (n < 2'000) return;  // those that fill the cluster
        queued.constraint = {"", label};
        queued.constraint.labels["n" + std::to_string(n % 64)] = "";
        queued.demand.memory_bytes = static_cast<std::int64_t>(n);  // a row of its own
      };
}
Wishes gangs() {
  return [](std::uint64_t n, Queued& queued) {
    const std::uint64_t bits = scramble(n);
    if (bits % 4 == 0) queued.replicas = static_cast<std::uint32_t>(2 + bits / 4 % 7);
  };
}
Wishes tenants(std::uint32_t count) {
  return [count](std::uint64_t n, Queued& queued) {
    queued.tenant = static_cast<std::uint32_t>(scramble(n) % count);
  };
}

DeploymentId id_of(std::uint64_t n) {
  IdBytes bytes{};
  const std::uint64_t low = scramble(n);
  for (std::size_t i = 0; i < 8; ++i) {
    bytes[7 - i] = static_cast<std::uint8_t>(n >> (8 * i));
    bytes[15 - i] = static_cast<std::uint8_t>(low >> (8 * i));
  }
  return DeploymentId(bytes);
}

// --- the engine -------------------------------------------------------------------------------

FullCluster::FullCluster(std::vector<Node> nodes, Demands demands, std::size_t waiting, Rules rules,
                         Wishes wishes)
    : engine_(Policy::strict, std::move(nodes), false, std::move(rules)),
      demands_(std::move(demands)),
      wishes_(std::move(wishes)) {
  refill_queue(waiting);
}

// What arrives and starts at once does not wait, so it may take more than is missing.
void FullCluster::refill_queue(std::size_t missing) {
  while (missing > 0) {
    const std::uint64_t n = next_++;
    Queued queued{id_of(n), Priority::high, n + 1, demands_(n), false};
    if (wishes_) wishes_(n, queued);
    if (is_refused(queued)) continue;
    const auto starts = engine_.apply(queued);
    ++decisions_;
    if (starts.empty()) {
      --missing;
    } else {
      running_.push_back(starts.front().id);
    }
  }
}

// As the service does. Of plain ones it is asked once: finding the nearest node for the refusal is
// not what is measured here.
bool FullCluster::is_refused(const Queued& queued) {
  if (!queued.constraint.empty() || queued.replicas > 1)
    return engine_.never_fits(queued.demand, queued.constraint, queued.replicas).has_value();
  const Resources& asked = queued.demand;
  const std::array key{asked.cpu_milli, asked.memory_bytes, asked.gpu_milli};
  if (refused_.contains(key)) return true;
  if (!engine_.never_fits(asked)) return false;
  refused_.insert(key);
  return true;
}

std::size_t FullCluster::stop_and_refill() {
  const std::size_t which = random_() % running_.size();
  const DeploymentId id = running_[which];
  running_[which] = running_.back();
  running_.pop_back();
  const std::vector<Start> starts = engine_.apply(Released{id});
  ++decisions_;
  for (const Start& start : starts) running_.push_back(start.id);
  refill_queue(starts.size());
  return starts.size();
}

// --- the plain scan ---------------------------------------------------------------------------

PlainScan::PlainScan(std::vector<Node> nodes, Demands demands, std::size_t waiting)
    : demands_(std::move(demands)) {
  for (const Node& node : nodes) {
    machines_.push_back(
        {node.capacity, std::vector<std::int32_t>(static_cast<std::size_t>(node.devices()), 1000)});
  }
  while (queue_.size() < waiting) {
    queue_.push_back({next_, demands_(next_)});
    ++next_;
    if (next_ % 4096 == 0 || queue_.size() == waiting) go_through();
  }
}

bool PlainScan::place(const Resources& demand, Placement& out) const {
  for (std::uint32_t m = 0; m < machines_.size(); ++m) {
    const Machine& machine = machines_[m];
    if (demand.cpu_milli > machine.free.cpu_milli ||
        demand.memory_bytes > machine.free.memory_bytes) {
      continue;
    }
    out = {m, {}};
    const auto share = static_cast<std::int32_t>(std::min(demand.gpu_milli, kGpuDevice));
    std::int64_t left = demand.gpu_milli;
    for (std::size_t d = 0; d < machine.devices.size() && left > 0; ++d) {
      if (machine.devices[d] < share) continue;
      out.gpus.push_back({static_cast<std::int32_t>(d), share});
      left -= share;
    }
    if (left <= 0) return true;
  }
  return false;
}

std::size_t PlainScan::go_through() {
  std::size_t starts = 0;
  Placement placement;
  const auto started = [&](const Entry& entry) {
    if (!place(entry.demand, placement)) return false;
    Machine& machine = machines_[placement.node];
    machine.free.cpu_milli -= entry.demand.cpu_milli;
    machine.free.memory_bytes -= entry.demand.memory_bytes;
    for (const GpuShare& share : placement.gpus) {
      machine.devices[static_cast<std::size_t>(share.device)] -= share.milli;
    }
    running_.push_back({entry.demand, placement});
    ++starts;
    return true;
  };
  std::erase_if(queue_, started);
  return starts;
}

std::size_t PlainScan::stop_and_refill() {
  const std::size_t which = random_() % running_.size();
  const Running gone = running_[which];
  running_[which] = running_.back();
  running_.pop_back();
  Machine& machine = machines_[gone.placement.node];
  machine.free.cpu_milli += gone.demand.cpu_milli;
  machine.free.memory_bytes += gone.demand.memory_bytes;
  for (const GpuShare& share : gone.placement.gpus) {
    machine.devices[static_cast<std::size_t>(share.device)] += share.milli;
  }
  const std::size_t starts = go_through();
  for (std::size_t i = 0; i < starts; ++i, ++next_) queue_.push_back({next_, demands_(next_)});
  return starts;
}

}  // namespace berth::bench
