#include "app/runtimes.h"

#include "runtime/process/process_runtime.h"
#include "runtime/simulated/simulated_runtime.h"

namespace berth::app {
namespace {

std::vector<NodeCapacity> capacities(const std::vector<Node>& nodes) {
  std::vector<NodeCapacity> out;
  for (const auto& node : nodes) out.push_back({node.name, node.capacity, node.gpu_model});
  return out;
}

}  // namespace

RuntimeFactory runtime_factory(const ServeConfig& config, std::filesystem::path root,
                               asio::io_context& io, asio::thread_pool& files, const Clock& clock) {
  process::MachineOptions machine_options;
  machine_options.root = root.string();
  const auto machine = std::make_shared<process::Machine>(std::move(machine_options), files);
  process::Options processes;
  processes.root = root.string();
  processes.separate_users = config.separate_users;
  return [&io, &clock, machine,
          processes](const Cluster& cluster) -> Result<std::unique_ptr<Runtime>> {
    switch (cluster.runtime.kind) {
      case RuntimeKind::simulated: {
        simulated::Options options;
        options.speed = cluster.runtime.speed;
        options.nodes = capacities(cluster.nodes);
        return std::make_unique<simulated::SimulatedRuntime>(io.get_executor(), clock,
                                                             std::move(options));
      }
      case RuntimeKind::process: {
        process::Options options = processes;
        options.scope = cluster.id.str();
        return std::make_unique<process::ProcessRuntime>(io.get_executor(), machine,
                                                         std::move(options));
      }
      default:
        break;
    }
    return fail(Code::invalid_argument, "not_offered", "This server does not offer that runtime.");
  };
}

}  // namespace berth::app
