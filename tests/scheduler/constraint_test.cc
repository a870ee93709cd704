// Which nodes a deployment may run on.
#include <gtest/gtest.h>

#include "core/constraint.h"
#include "support.h"

namespace berth {
namespace {

TEST(GpuModel, IsNamedByWholeWords) {
  struct Case {
    const char* wanted;
    const char* model;
    bool expected;
  };
  for (const Case& c : std::initializer_list<Case>{
           {"A100", "NVIDIA A100-SXM4-80GB", true},
           {"a100", "NVIDIA A100-SXM4-80GB", true},
           {"A100-SXM4", "NVIDIA A100-SXM4-80GB", true},
           {"NVIDIA A100-SXM4-80GB", "nvidia a100-sxm4-80gb", true},
           {"A100", "A1000", false},
           {"A100", "NVIDIA RTX A1000", false},
           {"100", "A100", false},
           {"SXM", "NVIDIA A100-SXM4-80GB", false},
           {"V100|H100", "NVIDIA H100 PCIe", true},
           {"V100 | H100", "NVIDIA H100 PCIe", true},
           {"V100|T4", "NVIDIA H100 PCIe", false},
           {"A100", "", false},
           {"|", "A100", false},
           {" ", "A100", false},
           {"A100|", "A1000", false},
           {"A10", "A100 A10", true},
       }) {
    EXPECT_EQ(names_gpu_model(c.wanted, c.model), c.expected) << c.wanted << " in " << c.model;
  }
}

Node labelled(std::string name, std::int64_t cpu, std::string model,
              std::map<std::string, std::string> labels) {
  Node out = machine(std::move(name), cpu, 64);
  out.gpu_model = std::move(model);
  out.labels = std::move(labels);
  return out;
}

TEST(Constraint, EveryLabelMustBeEqual) {
  const Node node = labelled("n", 8, "A100", {{"zone", "east"}, {"disk", "fast"}});
  EXPECT_TRUE(allows({}, node));
  EXPECT_TRUE(allows({"", {{"zone", "east"}}}, node));
  EXPECT_TRUE(allows({"A100", {{"zone", "east"}, {"disk", "fast"}}}, node));
  EXPECT_FALSE(allows({"", {{"zone", "west"}}}, node));
  EXPECT_FALSE(allows({"", {{"zone", "east"}, {"rack", "1"}}}, node));
  EXPECT_FALSE(allows({"H100", {{"zone", "east"}}}, node));
}

Queued on(std::uint64_t number, Priority priority, Resources demand, Constraint constraint) {
  Queued out = queued(number, priority, demand);
  out.constraint = std::move(constraint);
  return out;
}

ClusterEngine east_and_west(Rules rules = {}) {
  return {
      Policy::strict,
      {labelled("a", 8, "A100", {{"zone", "east"}}), labelled("b", 4, "H100", {{"zone", "west"}}),
       labelled("c", 2, "A100", {{"zone", "west"}})},
      false,
      std::move(rules)};
}
const Constraint kWest{"", {{"zone", "west"}}};

std::string node_of(const ClusterEngine& engine, const std::vector<Start>& starts) {
  return starts.size() == 1 ? engine.node(starts[0].placement.node).name : "";
}

TEST(Constraint, ItRunsWhereItIsAllowed) {
  ClusterEngine engine = east_and_west();
  EXPECT_EQ(node_of(engine, engine.apply(on(1, Priority::low, res(1), kWest))), "c");
  EXPECT_EQ(node_of(engine, engine.apply(on(2, Priority::low, res(3), kWest))), "b");
  EXPECT_EQ(node_of(engine, engine.apply(on(3, Priority::low, res(1), {"A100", {}}))), "c");
  // Two cores are free on a; west has one left.
  EXPECT_TRUE(engine.apply(on(4, Priority::low, res(2), kWest)).empty());
  EXPECT_EQ(node_of(engine, engine.apply(queued(5, Priority::low, res(2)))), "a");
  engine.check();
  EXPECT_EQ(numbers(engine.apply(Released{dep(2)})), (Numbers{4}));
}

TEST(Constraint, EqualDemandsWithDifferentConstraintsHaveDifferentFates) {
  ClusterEngine engine = east_and_west();
  (void)engine.apply(on(1, Priority::low, res(8), {"", {{"zone", "east"}}}));
  (void)engine.apply(on(2, Priority::low, res(4), {"H100", {}}));
  EXPECT_TRUE(engine.apply(on(3, Priority::low, res(3), {"H100", {}})).empty());
  EXPECT_TRUE(engine.apply(on(4, Priority::low, res(3), {"", {{"zone", "east"}}})).empty());
  EXPECT_TRUE(engine.apply(queued(5, Priority::low, res(3))).empty());
  EXPECT_EQ(numbers(engine.apply(Released{dep(1)})), (Numbers{4, 5}));
  EXPECT_EQ(numbers(engine.apply(Released{dep(2)})), (Numbers{3}));
}

TEST(Constraint, HundredsOfThemOnEqualDemands) {
  std::map<std::string, std::string> labels;
  for (int i = 0; i < 300; ++i) labels["l" + std::to_string(i)] = "";
  ClusterEngine engine(Policy::strict, {labelled("a", 1, "", labels), machine("b", 1, 64)}, false);
  (void)engine.apply(on(1, Priority::high, res(1), {"", {{"l0", ""}}}));
  (void)engine.apply(queued(2, Priority::high, res(1)));
  for (std::uint64_t i = 0; i < 300; ++i) {
    const Constraint one{"", {{"l" + std::to_string(i), ""}}};
    ASSERT_TRUE(engine.apply(on(1'000 - i, Priority::high, res(1), one)).empty());
  }
  engine.check();
  EXPECT_TRUE(engine.apply(Released{dep(2)}).empty());  // none is allowed on b
  std::uint64_t runs = 1;
  for (std::uint64_t next = 701; next <= 1'000; ++next) {
    ASSERT_EQ(numbers(engine.apply(Released{dep(runs)})), (Numbers{next}));
    runs = next;
  }
  engine.check();
}

TEST(Constraint, NeverFitsNamesWhatNobodySatisfies) {
  const ClusterEngine engine = east_and_west();
  EXPECT_EQ(engine.never_fits(res(4), kWest), std::nullopt);
  const auto small = engine.never_fits(res(8), kWest);
  ASSERT_TRUE(small);
  EXPECT_EQ(small->largest, res(4));
  EXPECT_EQ(small->node, "b");
  EXPECT_TRUE(small->unsatisfied.empty());
  const auto model = engine.never_fits(res(1), {"V100", {{"zone", "west"}, {"rack", "9"}}});
  ASSERT_TRUE(model);
  EXPECT_EQ(model->unsatisfied, (Constraint{"V100", {{"rack", "9"}}}));
  EXPECT_EQ(model->node, "");
  // East exists and H100 exists, but not together.
  const auto both = engine.never_fits(res(1), {"H100", {{"zone", "east"}}});
  ASSERT_TRUE(both);
  EXPECT_EQ(both->unsatisfied, (Constraint{"H100", {{"zone", "east"}}}));
}

TEST(Constraint, ExplainLooksAtAllowedNodesOnly) {
  ClusterEngine engine = east_and_west();
  (void)engine.apply(on(1, Priority::low, res(3), {"H100", {}}));
  EXPECT_TRUE(engine.apply(on(2, Priority::low, res(3), kWest)).empty());
  const auto why = engine.explain(dep(2));
  ASSERT_TRUE(why);
  EXPECT_EQ(why->constraint, kWest);
  EXPECT_EQ(why->allowed_nodes, 2U);
  EXPECT_EQ(why->reason, Reason::fragmented);  // one core on b, two on c
  EXPECT_EQ(why->free_total.cpu_milli, 3'000);
  EXPECT_EQ(why->nearest_node, "c");
  EXPECT_EQ(why->missing, res(1));
  EXPECT_EQ(why->largest_hole.cpu_milli, 2'000);
  EXPECT_EQ(why->would_fit, res(2));
  EXPECT_EQ(engine.blockers(dep(2)), (std::vector{dep(1)}));
}

TEST(Constraint, OneThatNoNodeSatisfiesAnyMoreBlocksNobody) {
  ClusterEngine engine = east_and_west();
  (void)engine.apply(on(1, Priority::high, res(4), {"H100", {}}));
  EXPECT_TRUE(engine.apply(on(2, Priority::high, res(1), {"H100", {}})).empty());
  EXPECT_TRUE(engine.apply(queued(3, Priority::low, res(1))).empty());
  (void)engine.apply(Withdrawn{dep(2)});
  EXPECT_TRUE(engine.is_active(dep(3)));
  EXPECT_TRUE(engine.apply(on(4, Priority::high, res(1), {"H100", {}})).empty());
  EXPECT_TRUE(engine.apply(queued(5, Priority::low, res(1))).empty());
  // The node gets another model: 4 can never start, and 5 may.
  auto nodes = engine.status().nodes;
  std::vector<Node> next;
  for (const NodeState& state : nodes) next.push_back(state.node);
  next[1].gpu_model = "V100";
  EXPECT_EQ(numbers(engine.apply(Resized{next})), (Numbers{5}));
  const auto why = engine.explain(dep(4));
  ASSERT_TRUE(why);
  EXPECT_EQ(why->reason, Reason::exceeds_cluster);
  EXPECT_EQ(why->too_large->unsatisfied, (Constraint{"H100", {}}));
  engine.check();
}

TEST(Constraint, PreemptsOnlyWhereItMayRun) {
  ClusterEngine engine = east_and_west({.preempt = true});
  (void)engine.decide(queued(1, Priority::low, res(8)), 0);
  (void)engine.decide(on(2, Priority::low, res(4), {"H100", {}}), 0);
  const auto out = engine.decide(on(3, Priority::high, res(3), kWest), 0);
  EXPECT_EQ(out.evictions, (std::vector<Evict>{{dep(2), dep(3)}}));
}

TEST(Constraint, FillsInWhereTheWaitingOneMayNotRun) {
  ClusterEngine engine = east_and_west({.backfill = true});
  (void)engine.decide(on(1, Priority::high, res(4), {"H100", {}}), 0);
  EXPECT_EQ(engine.decide(on(2, Priority::high, res(4), {"H100", {}}), 0), Decisions{});
  Queued low = queued(3, Priority::low, res(6));
  low.max_run = 1'000;
  EXPECT_EQ(numbers(engine.decide(low, 0).starts), (Numbers{3}));
}

TEST(Constraint, OrderOfTheNodesIsTheSameForFewAndForMany) {
  // Above 64 nodes the best one is found through sorted lists; the last of many must be found too.
  std::vector<Node> nodes;
  for (int n = 0; n < 200; ++n) {
    nodes.push_back(labelled("n" + std::to_string(n), 4 + n % 3, "A100",
                             {{"half", n % 2 == 0 ? "left" : "right"}}));
  }
  nodes[199].labels["only"] = "here";
  ClusterEngine engine(Policy::strict, nodes, false);
  EXPECT_EQ(node_of(engine, engine.apply(on(1, Priority::low, res(1), {"", {{"only", "here"}}}))),
            "n199");
  // The fullest right one with two free: n199 has four left of five, n3 is the first with four.
  EXPECT_EQ(node_of(engine, engine.apply(on(2, Priority::low, res(2), {"", {{"half", "right"}}}))),
            "n3");
  EXPECT_EQ(node_of(engine, engine.apply(on(3, Priority::low, res(1), {"", {{"half", "left"}}}))),
            "n0");
}

}  // namespace
}  // namespace berth
