#include "app/runtimes.h"

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
                               asio::io_context& io, const Clock& clock, Random& random) {
  (void)config, (void)root, (void)random;
  return [&io, &clock](const Cluster& cluster) -> Result<std::unique_ptr<Runtime>> {
    switch (cluster.runtime.kind) {
      case RuntimeKind::simulated: {
        simulated::Options options;
        options.speed = cluster.runtime.speed;
        options.nodes = capacities(cluster.nodes);
        return std::make_unique<simulated::SimulatedRuntime>(io.get_executor(), clock,
                                                             std::move(options));
      }
      default:
        break;
    }
    return fail(Code::invalid_argument, "not_offered", "This server does not offer that runtime.");
  };
}

}  // namespace berth::app
