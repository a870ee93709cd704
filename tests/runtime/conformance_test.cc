// The contract of runtime/runtime.h, sentence by sentence, for every runtime.
#include "runtime/process/process_runtime.h"
#include "runtime/simulated/simulated_runtime.h"
#include "runtime/support.h"

namespace berth::testing {
namespace {

// How to say the same thing to different runtimes.
class Subject {
 public:
  virtual ~Subject() = default;
  // A runtime object on the same backend as those before it.
  virtual std::unique_ptr<Runtime> open(Loop& loop) = 0;
  virtual void run_for_ever(Launch& launch) = 0;
  virtual void exit_with(Launch& launch, int code) = 0;  // soon
  // An exit code, and more than this many bytes of log before.
  virtual std::size_t log_size() const = 0;
};

class Simulated final : public Subject {
 public:
  std::unique_ptr<Runtime> open(Loop& loop) override {
    simulated::Options options;
    options.nodes = {{"here", {4000, 1 << 30, 0}, ""}};
    return std::make_unique<simulated::SimulatedRuntime>(loop.executor(), clock_,
                                                         std::move(options));
  }
  void run_for_ever(Launch&) override {}
  void exit_with(Launch& launch, int code) override {
    launch.spec.simulation = Simulation{milliseconds(20), code};
  }
  std::size_t log_size() const override { return 40; }

 private:
  SystemClock clock_;
};

class Processes final : public Subject {
 public:
  explicit Processes(process::Level best) : best_(best) {}
  std::unique_ptr<Runtime> open(Loop& loop) override {
    process::MachineOptions machine;
    machine.root = dir_.str();
    process::Options options;
    options.root = dir_.str();
    options.scope = "cluster";
    options.separate_users = ::geteuid() == 0;
    options.best_level = best_;
    return std::make_unique<process::ProcessRuntime>(
        loop.executor(), std::make_shared<process::Machine>(std::move(machine), loop.files()),
        std::move(options));
  }
  void run_for_ever(Launch& launch) override { launch.spec.command = {"sleep", "1000"}; }
  void exit_with(Launch& launch, int code) override {
    launch.spec.command = {"sh", "-c",
                           "echo " + std::string(60, 'x') + "; exit " + std::to_string(code)};
  }
  std::size_t log_size() const override { return 40; }

 private:
  process::Level best_;
  TempDir dir_;
};

struct Case {
  const char* name;
  std::function<std::unique_ptr<Subject>()> make;
};

class Conformance : public ::testing::TestWithParam<Case> {
 protected:
  Conformance() : subject_(GetParam().make()) { reopen(); }
  ~Conformance() override {
    for (const auto& one : list()) loop_.wait(runtime_->ensure_gone(one.key, milliseconds(0)));
  }

  void reopen() {
    runtime_.reset();
    runtime_ = subject_->open(loop_);
    runtime_->listen([this](const Observation& seen) { news_.push_back(seen); });
  }
  Launch for_ever(AttemptKey key = new_key()) {
    Launch out = launch_of(key);
    subject_->run_for_ever(out);
    return out;
  }
  Launch exits(int code, AttemptKey key = new_key()) {
    Launch out = launch_of(key);
    subject_->exit_with(out, code);
    return out;
  }
  Result<void> run(const Launch& launch) { return loop_.wait(runtime_->ensure_running(launch)); }
  Result<void> gone(const AttemptKey& key) {
    return loop_.wait(runtime_->ensure_gone(key, milliseconds(2000)));
  }
  std::vector<Observation> list() { return loop_.wait(runtime_->list()).value(); }
  std::optional<Observation> see(const AttemptKey& key) { return find(list(), key); }
  bool reaches(const AttemptKey& key, Phase phase) {
    return loop_.until([&] {
      const auto seen = see(key);
      return seen && seen->phase == phase;
    });
  }
  Result<LogChunk> logs(const AttemptKey& key, LogQuery query = {}) {
    return loop_.wait(runtime_->logs(key, query));
  }

  std::unique_ptr<Subject> subject_;
  Loop loop_;
  std::unique_ptr<Runtime> runtime_;
  std::vector<Observation> news_;
};

TEST_P(Conformance, StartsAndSaysSo) {
  const Launch launch = for_ever();
  ASSERT_TRUE(run(launch));
  EXPECT_TRUE(reaches(launch.key, Phase::running));
  EXPECT_TRUE(loop_.until([&] {
    return std::ranges::any_of(news_, [&](const Observation& o) {
      return o.key == launch.key && o.phase == Phase::running;
    });
  }));
}

TEST_P(Conformance, StartingAgainIsTheSameStart) {
  const Launch launch = for_ever();
  ASSERT_TRUE(run(launch));
  ASSERT_TRUE(run(launch));
  EXPECT_EQ(list().size(), 1U);
}

TEST_P(Conformance, StartsAtTheSameTimeAreOneStart) {
  const Launch launch = for_ever();
  int done = 0;
  for (int i = 0; i < 5; ++i) {
    asio::co_spawn(loop_.executor(), runtime_->ensure_running(launch),
                   [&done](const std::exception_ptr&, Result<void> r) { done += r ? 1 : 0; });
  }
  EXPECT_TRUE(loop_.until([&done] { return done == 5; }));
  EXPECT_EQ(list().size(), 1U);
}

TEST_P(Conformance, TellsHowItEnded) {
  const Launch bad = exits(3), good = exits(0);
  ASSERT_TRUE(run(bad));
  ASSERT_TRUE(run(good));
  ASSERT_TRUE(reaches(bad.key, Phase::exited));
  ASSERT_TRUE(reaches(good.key, Phase::exited));
  EXPECT_EQ(see(bad.key)->exit_code, 3);
  EXPECT_EQ(see(good.key)->exit_code, 0);
  EXPECT_EQ(see(bad.key)->message, "");
  EXPECT_TRUE(loop_.until([&] {
    return std::ranges::any_of(
        news_, [&](const Observation& o) { return o.key == bad.key && o.exit_code == 3; });
  }));
}

TEST_P(Conformance, WhatHasExitedIsNotStartedAgain) {
  const Launch launch = exits(3);
  ASSERT_TRUE(run(launch));
  ASSERT_TRUE(reaches(launch.key, Phase::exited));
  ASSERT_TRUE(run(launch));
  EXPECT_EQ(see(launch.key)->phase, Phase::exited);
  EXPECT_EQ(see(launch.key)->exit_code, 3);
}

TEST_P(Conformance, ExitedStaysListedUntilGone) {
  const Launch launch = exits(0);
  ASSERT_TRUE(run(launch));
  ASSERT_TRUE(reaches(launch.key, Phase::exited));
  EXPECT_TRUE(see(launch.key));
  ASSERT_TRUE(gone(launch.key));
  EXPECT_FALSE(see(launch.key));
}

TEST_P(Conformance, GoneIsNotListed) {
  const Launch launch = for_ever();
  ASSERT_TRUE(run(launch));
  ASSERT_TRUE(gone(launch.key));
  EXPECT_FALSE(see(launch.key));
  ASSERT_TRUE(gone(launch.key));
}

TEST_P(Conformance, AbsentAlreadyIsGone) {
  EXPECT_TRUE(gone(new_key()));
  EXPECT_TRUE(list().empty());
}

TEST_P(Conformance, ALateStartIsRefused) {
  const Launch launch = for_ever(), never = for_ever();
  ASSERT_TRUE(run(launch));
  ASSERT_TRUE(gone(launch.key));
  ASSERT_TRUE(gone(never.key));
  for (const auto& late : {launch, never}) {
    const auto refused = run(late);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::invalid_argument);
    EXPECT_EQ(refused.error().reason, "attempt_over");
  }
  EXPECT_TRUE(list().empty());
}

TEST_P(Conformance, AStopHitsItsOwnAttemptOnly) {
  const Launch first = for_ever();
  const Launch second = for_ever({first.key.deployment, 2});
  const Launch twelfth = for_ever({first.key.deployment, 12});
  for (const auto& one : {first, second, twelfth}) ASSERT_TRUE(run(one));
  ASSERT_TRUE(gone(first.key));
  EXPECT_TRUE(reaches(second.key, Phase::running));
  EXPECT_TRUE(reaches(twelfth.key, Phase::running));
  EXPECT_EQ(list().size(), 2U);
}

TEST_P(Conformance, ReplicasAreApartFromEachOther) {
  const Launch first = for_ever();
  const auto replica = [&](std::int32_t number) {
    Launch out = for_ever({first.key.deployment, 1, number});
    out.spec.replicas = 12;
    return out;
  };
  const Launch second = replica(1), eleventh = replica(10);
  for (const auto& one : {first, second, eleventh}) ASSERT_TRUE(run(one));
  for (const auto& one : {first, second, eleventh})
    EXPECT_TRUE(reaches(one.key, Phase::running)) << one.key.str();
  ASSERT_TRUE(gone(second.key));
  EXPECT_FALSE(see(second.key));
  EXPECT_TRUE(reaches(first.key, Phase::running));
  EXPECT_TRUE(reaches(eleventh.key, Phase::running));
  EXPECT_EQ(list().size(), 2U);
  EXPECT_FALSE(run(second)) << "it is over, though the others are not";
}

TEST_P(Conformance, EndsWhatRunsTooLong) {
  Launch launch = for_ever();
  launch.spec.max_run_time = milliseconds(50);
  launch.spec.stop_grace = milliseconds(1000);
  ASSERT_TRUE(run(launch));
  EXPECT_TRUE(reaches(launch.key, Phase::exited));
}

TEST_P(Conformance, LogsAreReadByOffset) {
  ASSERT_TRUE(runtime_->capabilities().logs);
  const Launch launch = exits(0);
  ASSERT_TRUE(run(launch));
  ASSERT_TRUE(reaches(launch.key, Phase::exited));
  const auto all = logs(launch.key).value();
  ASSERT_GT(all.bytes.size(), subject_->log_size());
  EXPECT_EQ(all.offset, 0);
  EXPECT_EQ(all.next_offset, static_cast<std::int64_t>(all.bytes.size()));
  EXPECT_TRUE(all.end);
  const auto middle = logs(launch.key, {5, 7}).value();
  EXPECT_EQ(middle.bytes, all.bytes.substr(5, 7));
  EXPECT_EQ(middle.offset, 5);
  EXPECT_EQ(middle.next_offset, 12);
  EXPECT_FALSE(middle.end);
  const auto tail = logs(launch.key, {-4, 100}).value();
  EXPECT_EQ(tail.bytes, all.bytes.substr(all.bytes.size() - 4));
  EXPECT_EQ(tail.next_offset, all.next_offset);
  EXPECT_TRUE(tail.end);
  const auto longer = logs(launch.key, {-100'000, 100'000}).value();
  EXPECT_EQ(longer.bytes, all.bytes);
  const auto beyond = logs(launch.key, {1'000'000, 10}).value();
  EXPECT_EQ(beyond.bytes, "");
  EXPECT_EQ(beyond.offset, all.next_offset);
  EXPECT_TRUE(beyond.end);
}

TEST_P(Conformance, LogsOfWhatRunsHaveNoEnd) {
  const Launch launch = for_ever();
  ASSERT_TRUE(run(launch));
  ASSERT_TRUE(reaches(launch.key, Phase::running));
  EXPECT_FALSE(logs(launch.key, {1'000'000, 10}).value().end);
}

TEST_P(Conformance, LogsOutliveTheAttemptUntilItIsForgotten) {
  const Launch launch = exits(0);
  ASSERT_TRUE(run(launch));
  ASSERT_TRUE(reaches(launch.key, Phase::exited));
  ASSERT_TRUE(gone(launch.key));
  EXPECT_GT(logs(launch.key).value().bytes.size(), subject_->log_size());
  EXPECT_TRUE(logs(launch.key).value().end);
  ASSERT_TRUE(loop_.wait(runtime_->forget(launch.key.deployment)));
  ASSERT_FALSE(logs(launch.key));
  EXPECT_EQ(logs(launch.key).error().code, Code::not_found);
  EXPECT_EQ(logs(new_key()).error().code, Code::not_found);
}

TEST_P(Conformance, ForgettingIsForOneDeployment) {
  const Launch one = exits(0), other = exits(0);
  for (const auto& launch : {one, other}) {
    ASSERT_TRUE(run(launch));
    ASSERT_TRUE(reaches(launch.key, Phase::exited));
    ASSERT_TRUE(gone(launch.key));
  }
  ASSERT_TRUE(loop_.wait(runtime_->forget(one.key.deployment)));
  EXPECT_TRUE(logs(other.key));
}

TEST_P(Conformance, ARestartOfTheServerLosesNothing) {
  const Launch running = for_ever(), exited = exits(4), stopped = for_ever();
  for (const auto& launch : {running, exited, stopped}) ASSERT_TRUE(run(launch));
  ASSERT_TRUE(reaches(running.key, Phase::running));
  ASSERT_TRUE(reaches(exited.key, Phase::exited));
  ASSERT_TRUE(gone(stopped.key));
  reopen();
  if (!runtime_->capabilities().survives_restart) {
    // Then the caller repeats the starts, and the end comes again by the time of the admission.
    EXPECT_TRUE(list().empty());
    ASSERT_TRUE(run(running));
    ASSERT_TRUE(run(exited));
  }
  EXPECT_TRUE(reaches(running.key, Phase::running));
  ASSERT_TRUE(reaches(exited.key, Phase::exited));
  EXPECT_EQ(see(exited.key)->exit_code, 4);
  EXPECT_FALSE(see(stopped.key));
  ASSERT_TRUE(run(running));
  EXPECT_EQ(list().size(), 2U);
  news_.clear();
  ASSERT_TRUE(gone(running.key));
  EXPECT_FALSE(see(running.key));
}

TEST_P(Conformance, AnEndAfterTheRestartIsNews) {
  Launch launch = for_ever();
  launch.spec.max_run_time = milliseconds(300);
  launch.spec.stop_grace = milliseconds(1000);
  ASSERT_TRUE(run(launch));
  reopen();
  if (!runtime_->capabilities().survives_restart) ASSERT_TRUE(run(launch));
  (void)list();  // adopts
  EXPECT_TRUE(loop_.until([&] {
    return std::ranges::any_of(news_, [&](const Observation& o) {
      return o.key == launch.key && o.phase == Phase::exited;
    });
  }));
}

TEST_P(Conformance, KnowsItsCapacityAndHealth) {
  const auto nodes = loop_.wait(runtime_->capacity()).value();
  ASSERT_EQ(nodes.size(), 1U);
  EXPECT_FALSE(nodes[0].name.empty());
  EXPECT_GE(nodes[0].resources.cpu_milli, 100);
  EXPECT_GE(nodes[0].resources.memory_bytes, 64 << 20);
  const auto health = loop_.wait(runtime_->health());
  EXPECT_TRUE(health.reachable);
  EXPECT_FALSE(health.message.empty());
  EXPECT_FALSE(health.enforcement.empty());
}

INSTANTIATE_TEST_SUITE_P(
    Runtimes, Conformance,
    ::testing::Values(Case{"Simulated", [] { return std::make_unique<Simulated>(); }},
                      Case{"Process",
                           [] { return std::make_unique<Processes>(process::Level::cgroup_v2); }},
                      Case{"ProcessWithoutCgroups",
                           [] { return std::make_unique<Processes>(process::Level::rlimits); }}),
    [](const auto& param) { return std::string(param.param.name); });

}  // namespace
}  // namespace berth::testing
