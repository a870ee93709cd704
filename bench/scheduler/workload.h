// A full cluster with a long queue, and the event that matters most: something ends, and whatever
// fits into the room starts. Shapes and nodes are those of a published trace.
#pragma once
#include <array>
#include <cstdint>
#include <functional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "scheduler/engine.h"

namespace berth::bench {

// What the n-th deployment asks for.
using Demands = std::function<Resources(std::uint64_t n)>;
// What it asks for beyond that.
using Wishes = std::function<void(std::uint64_t n, Queued& queued)>;

struct Inputs {
  std::vector<Resources> pods;  // one per row of the trace, so common shapes are common
  std::vector<Node> nodes;
};
// From the folder with openb_pods.csv and openb_nodes.csv, or the slices of the tests.
[[nodiscard]] Inputs read_inputs(const std::string& folder);

[[nodiscard]] std::vector<Node> openb_nodes(const Inputs& inputs, std::size_t count);
// One node that stands for a cluster without node boundaries.
[[nodiscard]] std::vector<Node> one_vector(std::int64_t gpus);
[[nodiscard]] Demands openb_demands(const Inputs& inputs);
[[nodiscard]] Demands all_different();
[[nodiscard]] Demands all_equal();
[[nodiscard]] Demands huge_at_the_head();
[[nodiscard]] Demands alternating();      // every second one fits no node while others run
[[nodiscard]] Demands anti_correlated();  // much CPU and little memory, or the reverse

[[nodiscard]] Wishes some_models(const Inputs& inputs);  // every second one minds
// Each has a constraint of its own, and all of them allow only the node with these labels.
[[nodiscard]] Wishes own_constraints();
[[nodiscard]] Wishes gangs();  // every fourth is two to eight
[[nodiscard]] Wishes tenants(std::uint32_t count);

[[nodiscard]] DeploymentId id_of(std::uint64_t n);

class FullCluster {
 public:
  FullCluster(std::vector<Node> nodes, Demands demands, std::size_t waiting, Rules rules = {},
              Wishes wishes = {});

  // One ends, what fits starts, and for each that started a new one is queued. Answers the starts.
  std::size_t stop_and_refill();
  [[nodiscard]] std::uint64_t decisions() const { return decisions_; }
  [[nodiscard]] const ClusterEngine& engine() const { return engine_; }
  [[nodiscard]] std::size_t running() const { return running_.size(); }

 private:
  void refill_queue(std::size_t missing);
  bool is_refused(const Queued& queued);

  ClusterEngine engine_;
  Demands demands_;
  Wishes wishes_;
  std::mt19937_64 random_{7};
  std::vector<DeploymentId> running_;
  std::set<std::array<std::int64_t, 3>> refused_;
  std::uint64_t next_ = 0;
  std::uint64_t decisions_ = 0;
};

// The plain way: the queue as a list, gone through from the front after every stop.
class PlainScan {
 public:
  PlainScan(std::vector<Node> nodes, Demands demands, std::size_t waiting);
  std::size_t stop_and_refill();

 private:
  struct Entry {
    std::uint64_t id = 0;
    Resources demand;
  };
  struct Running {
    Resources demand;
    Placement placement;
  };
  struct Machine {
    Resources free;
    std::vector<std::int32_t> devices;
  };
  [[nodiscard]] bool place(const Resources& demand, Placement& out) const;
  std::size_t go_through();

  std::vector<Machine> machines_;
  std::vector<Entry> queue_;
  std::vector<Running> running_;
  Demands demands_;
  std::mt19937_64 random_{7};
  std::uint64_t next_ = 0;
};

}  // namespace berth::bench
