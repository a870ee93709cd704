// The simulation itself: a seed is a history, what is broken on purpose is found, and a failure
// says how to see it again.
#include <gtest/gtest.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "simulation/options.h"

namespace berth::sim {
namespace {

class Simulation : public ::testing::Test {
 protected:
  void SetUp() override { spdlog::set_level(spdlog::level::off); }
};

TEST_F(Simulation, ASeedIsAHistory) {
  const auto once = run({.seed = 7}), again = run({.seed = 7}), other = run({.seed = 8});
  EXPECT_EQ(once.broken, "");
  EXPECT_GE(once.transitions, 500U);
  EXPECT_EQ(once.hash, again.hash);
  EXPECT_EQ(once.steps, again.steps);
  EXPECT_EQ(once.faults, again.faults);
  EXPECT_NE(once.hash, other.hash);
}

TEST_F(Simulation, WritingTheTraceChangesNothing) {
  EXPECT_EQ(run({.seed = 9, .lines = 40}).hash, run({.seed = 9}).hash);
}

TEST_F(Simulation, AFailureSaysHowToSeeItAgain) {
  Options options;
  options.broken = {"effects_first"};
  const auto text = replay(options, 2);
  EXPECT_TRUE(text.starts_with("seed 2 breaks: ")) << text;
  EXPECT_TRUE(text.ends_with("Run it again: simulation --first 2 --broken effects_first\n"))
      << text;
  EXPECT_EQ(std::ranges::count(text, '\n'), 42)
      << "the sentence, 40 lines of the trace, the command";
}

// Each variant takes a defence away, and must be found by what it breaks.
struct Variant {
  const char* name;
  std::vector<std::string> broken;
  std::vector<std::string> by;  // the invariants that may find it
  std::uint64_t within;         // seeds
};
void PrintTo(const Variant& variant, std::ostream* out) { *out << variant.name; }

class BrokenVariant : public ::testing::TestWithParam<Variant> {};

TEST_P(BrokenVariant, IsFound) {
  spdlog::set_level(spdlog::level::off);
  const auto& variant = GetParam();
  Options options;
  options.broken = variant.broken;
  std::vector<std::string> others;
  for (std::uint64_t seed = 1; seed <= variant.within; ++seed) {
    const auto found = run(wish_of(options, seed)).broken;
    const auto is_it = [&](const std::string& one) { return found.starts_with(one + ": "); };
    if (std::ranges::any_of(variant.by, is_it)) return;
    if (!found.empty()) others.push_back(found);
  }
  FAIL() << "not in " << variant.within
         << " seeds; found instead: " << ::testing::PrintToString(others);
}

INSTANTIATE_TEST_SUITE_P(
    Simulation, BrokenVariant,
    ::testing::Values(
        // While the cluster is held nobody else writes to its nodes: by itself it does no harm.
        Variant{"BlindReservation", {"blind_reservation", "no_hold"}, {"conservation"}, 400},
        Variant{"NoFence", {"no_fence"}, {"only the current epoch decides"}, 400},
        Variant{"NoHold", {"no_hold"}, {"nothing low starts while a high one waits"}, 200},
        Variant{"EffectsFirst", {"effects_first"}, {"what starts was decided in a commit"}, 20},
        Variant{"StopByName", {"stop_by_name"}, {"a stop hits its own attempt"}, 20},
        Variant{"NoTombstone",
                {"no_tombstone"},
                {"what runs fits its node", "two attempts of a deployment never run at once"},
                20},
        Variant{"StopFirstOnly",
                {"stop_first_only"},
                {"what runs fits its node", "two attempts of a deployment never run at once"},
                20}),
    [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace berth::sim
