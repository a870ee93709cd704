#include <gtest/gtest.h>

#include "core/deployment.h"
#include "core/resources.h"

namespace berth {
namespace {

struct QuantityCase {
  const char* text;
  std::int64_t expected;  // -1: refused
};

TEST(Quantities, Cpu) {
  for (const auto& c : std::initializer_list<QuantityCase>{{"2", 2000},
                                                           {"2.5", 2500},
                                                           {"500m", 500},
                                                           {"0.001", 1},
                                                           {"0", 0},
                                                           {"0.0001", -1},
                                                           {"", -1},
                                                           {"-1", -1},
                                                           {"1e3", -1},
                                                           {" 1", -1},
                                                           {"1.", -1},
                                                           {".5", -1},
                                                           {"m", -1},
                                                           {"9223372036854775807", -1},
                                                           {"0x10", -1},
                                                           {"1,5", -1}}) {
    const auto got = parse_cpu(c.text);
    EXPECT_EQ(got.value_or(-1), c.expected) << c.text;
  }
}

TEST(Quantities, Memory) {
  for (const auto& c : std::initializer_list<QuantityCase>{{"1024", 1024},
                                                           {"16GiB", 17'179'869'184},
                                                           {"512MiB", 536'870'912},
                                                           {"1.5Gi", 1'610'612'736},
                                                           {"2GB", 2'000'000'000},
                                                           {"1k", 1000},
                                                           {"10B", 10},
                                                           {"0.5B", -1},
                                                           {"16 GiB", -1},
                                                           {"GiB", -1},
                                                           {"16gib", -1},
                                                           {"99999999999TiB", -1}}) {
    EXPECT_EQ(parse_memory(c.text).value_or(-1), c.expected) << c.text;
  }
}

TEST(Quantities, GpuIsWholeOrAShareOfOne) {
  for (const auto& c : std::initializer_list<QuantityCase>{
           {"0", 0}, {"0.25", 250}, {"1", 1000}, {"8", 8000}, {"1.5", -1}, {"0.0001", -1}}) {
    EXPECT_EQ(parse_gpu(c.text).value_or(-1), c.expected) << c.text;
  }
}

TEST(Quantities, PrintsWhatItReads) {
  EXPECT_EQ(cpu_text(2500), "2.5");
  EXPECT_EQ(gpu_text(250), "0.25");
  EXPECT_EQ(memory_text(17'179'869'184), "16GiB");
  EXPECT_EQ(memory_text(1'610'612'736), "1.5GiB");
  EXPECT_EQ(memory_text(700), "700B");
  EXPECT_EQ(resources_text({2000, 17'179'869'184, 1000}), "cpu 2, memory 16GiB, gpu 1");
  EXPECT_EQ(resources_text({}), "nothing");
  EXPECT_EQ(limits_text({2000, kNoQuota, 0}), "cpu 2, gpu 0") << "what is not limited is left out";
  EXPECT_EQ(limits_text(kUnlimited), "no limit");
}

TEST(Lifecycle, EveryPairOfStateAndCauseIsDecided) {
  // The whole table, written out once more by hand: state, cause, next state.
  const std::map<std::pair<std::string_view, std::string_view>, std::string_view> expected{
      {{"queued", "admitted"}, "starting"},
      {{"queued", "stop_requested"}, "cancelled"},
      {{"starting", "ready"}, "running"},
      {{"starting", "exited_zero"}, "succeeded"},
      {{"starting", "exited_nonzero"}, "failed"},
      {{"starting", "start_failed"}, "failed"},
      {{"starting", "retry"}, "queued"},
      {{"starting", "stop_requested"}, "stopping"},
      {{"starting", "preempt"}, "preempting"},
      {{"running", "exited_zero"}, "succeeded"},
      {{"running", "exited_nonzero"}, "failed"},
      {{"running", "retry"}, "queued"},
      {{"running", "stop_requested"}, "stopping"},
      {{"running", "preempt"}, "preempting"},
      {{"stopping", "gone"}, "stopped"},
      {{"preempting", "gone"}, "queued"},
      {{"preempting", "stop_requested"}, "stopping"},
  };
  for (const auto& [state, state_name] : Names<State>::table) {
    for (const auto& [cause, cause_name] : Names<Cause>::table) {
      const auto next = next_state(state, cause);
      const auto row = expected.find({state_name, cause_name});
      EXPECT_EQ(next ? to_text(*next) : "none", row == expected.end() ? "none" : row->second)
          << state_name << " on " << cause_name;
    }
  }
}

}  // namespace
}  // namespace berth
