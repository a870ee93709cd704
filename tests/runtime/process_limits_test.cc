// What holds a workload to what it asked for.
#include "runtime/process_fixture.h"

namespace berth::testing {
namespace {

using ::testing::HasSubstr;

class ProcessLimits : public ProcessTest {
 protected:
  Launch limited(Launch launch, std::int64_t cpu_milli, std::int64_t memory_bytes) {
    launch.spec.resources = launch.grant.resources = {cpu_milli, memory_bytes, 0};
    return launch;
  }
  static std::string allocate(int mebibytes) {
    return fmt::format(
        "x = bytearray({} << 20)\nfor i in range(0, len(x), 4096): x[i] = 1\nprint('got it')",
        mebibytes);
  }
  bool has_cgroups() { return enforcement() != "rlimits"; }
};

TEST_F(ProcessLimits, SaysHowItEnforces) {
  options_.best_level = process::Level::rlimits;
  EXPECT_EQ(enforcement(), "rlimits");
  options_.best_level = process::Level::cgroup_v2;
  open();
  EXPECT_THAT((std::vector<std::string>{"cgroup v2", "cgroup v1", "rlimits"}),
              ::testing::Contains(enforcement()));
}

TEST_F(ProcessLimits, TooMuchMemoryEndsItAndIsSaid) {
  const Launch launch = limited(python(allocate(512)), 1000, 64 << 20);
  ASSERT_TRUE(run(launch));
  const auto end = end_of(launch.key);
  ASSERT_TRUE(end);
  EXPECT_EQ(end->out_of_memory, has_cgroups());
  if (has_cgroups()) EXPECT_EQ(end->signal, SIGKILL);
  EXPECT_NE(end->exit_code, 0);
  EXPECT_EQ(output(launch.key).find("got it"), std::string::npos);
  EXPECT_TRUE(cgroups_of(launch.key).empty());
}

TEST_F(ProcessLimits, MemoryThatItAskedForIsThere) {
  EXPECT_EQ(output_of(limited(python(allocate(40)), 1000, 128 << 20)), "got it\n");
}

TEST_F(ProcessLimits, AKillThatIsNoLackOfMemoryIsNotCalledOne) {
  const Launch launch = limited(shell("kill -KILL $$"), 1000, 64 << 20);
  ASSERT_TRUE(run(launch));
  const auto end = end_of(launch.key);
  ASSERT_TRUE(end);
  EXPECT_EQ(end->signal, SIGKILL);
  EXPECT_FALSE(end->out_of_memory);
}

TEST_F(ProcessLimits, WithoutCgroupsMemoryIsRefusedToEachProcess) {
  options_.best_level = process::Level::rlimits;
  const Launch launch = limited(python(allocate(512)), 1000, 64 << 20);
  EXPECT_THAT(output_of(launch), HasSubstr("MemoryError"));
  EXPECT_EQ(see(launch.key)->exit_code, 1);
}

TEST_F(ProcessLimits, AFractionOfACpuIsThrottled) {
  const Launch launch = limited(python("while True: pass"), 100, 0);
  ASSERT_TRUE(run(launch));
  if (!has_cgroups()) return;
  const auto folders = cgroups_of(launch.key);
  const auto throttled = [&folders] {
    for (const auto& folder : folders) {
      const std::string stat = read_text(folder + "/cpu.stat");
      const auto at = stat.find("nr_throttled ");
      if (at != std::string::npos && std::stol(stat.substr(at + 13)) > 3) return true;
    }
    return false;
  };
  EXPECT_TRUE(loop_.until(throttled));
}

TEST_F(ProcessLimits, TheQuotaIsTheDemand) {
  for (const auto& [milli, share] : {std::pair<int, double>{2500, 2.5}, {100, 0.1}, {1, 0.001}}) {
    const Launch launch = limited(command({"sleep", "1000"}), milli, 0);
    ASSERT_TRUE(run(launch)) << milli;
    if (enforcement() != "cgroup v1") return;
    const std::string at = "/sys/fs/cgroup/cpu/berth/" + launch.key.str();
    const double quota = std::stod(read_text(at + "/cpu.cfs_quota_us")),
                 period = std::stod(read_text(at + "/cpu.cfs_period_us"));
    EXPECT_DOUBLE_EQ(quota / period, share);
  }
}

constexpr char kBomb[] = R"(
import os, time
n = 0
try:
    while n < 500:
        if os.fork() == 0:
            time.sleep(1000)
            os._exit(0)
        n += 1
    print('unbounded')
except OSError:
    print('bounded', n < 64)
time.sleep(1000)
)";

class ProcessCount : public ProcessLimits, public ::testing::WithParamInterface<process::Level> {};

TEST_P(ProcessCount, AForkBombIsBoundedAndEnded) {
  options_.best_level = GetParam();
  options_.processes = 64;
  const Launch launch = python(kBomb);
  // By rlimits the count is by user, so there it takes a user of its own.
  if (!has_cgroups() && !options_.separate_users) return;
  ASSERT_TRUE(run(launch));
  EXPECT_TRUE(prints(launch.key, "bounded True"));
  ASSERT_TRUE(gone(launch.key, milliseconds(0)));
  EXPECT_TRUE(cgroups_of(launch.key).empty());
}

TEST_P(ProcessCount, AForkBombThatGoesOnIsEnded) {
  options_.best_level = GetParam();
  options_.processes = 64;
  if (!has_cgroups() && !options_.separate_users) return;
  const Launch launch = python(
      "import os, signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('up')\n"
      "while True:\n  try: os.fork()\n  except OSError: pass");
  ASSERT_TRUE(run(launch));
  ASSERT_TRUE(prints(launch.key, "up"));
  ASSERT_TRUE(gone(launch.key, milliseconds(100)));
  EXPECT_TRUE(cgroups_of(launch.key).empty());
}

INSTANTIATE_TEST_SUITE_P(Levels, ProcessCount,
                         ::testing::Values(process::Level::cgroup_v2, process::Level::rlimits),
                         [](const auto& param) {
                           return std::string(param.param == process::Level::rlimits ? "Rlimits"
                                                                                     : "Cgroups");
                         });

}  // namespace
}  // namespace berth::testing
