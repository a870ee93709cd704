// The runner against a runtime whose every answer the test decides: late, wrong, or none at all.
#include "service/runner.h"

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/redirect_error.hpp>
#include <filesystem>
#include <mutex>
#include <thread>

#include "service/restore.h"
#include "store/sqlite/sqlite_store.h"

namespace berth {
namespace {

using namespace std::chrono_literals;

// What the test and the runtime's thread share.
struct Script {
  std::mutex mutex;
  std::map<AttemptKey, Observation> there;  // what exists
  std::map<AttemptKey, int> started;        // how often it was made, not merely asked for
  std::vector<AttemptKey> removed;
  bool reachable = true;
  bool keeps_going_after_stop = false;   // ensure_gone cannot reach it
  std::atomic<bool> hold_list = false;   // list() has looked, and its answer is on its way
  std::atomic<bool> hold_start = false;  // ensure_running() takes its time
  std::atomic<int> lists_held = 0;
  std::atomic<int> lists = 0;
  std::atomic<int> start_calls = 0;
  std::atomic<int> openings_to_fail = 0;
};

class ScriptedRuntime final : public Runtime {
 public:
  ScriptedRuntime(asio::io_context& io, std::shared_ptr<Script> script)
      : io_(io), script_(std::move(script)) {}

  [[nodiscard]] Capabilities capabilities() const override { return {true, true, true}; }
  void listen(Listener listener) override { listener_ = std::move(listener); }
  Task<Result<void>> ensure_running(Launch launch) override {
    ++script_->start_calls;
    while (script_->hold_start) co_await pause(1ms);
    Observation seen;
    {
      const std::lock_guard lock(script_->mutex);
      if (!script_->reachable)
        co_return fail(Code::unavailable, "away", "The machine does not answer.");
      if (script_->there.contains(launch.key)) co_return Result<void>{};
      seen.key = launch.key;
      seen.phase = Phase::running;
      script_->there[launch.key] = seen;
      ++script_->started[launch.key];
    }
    asio::post(io_, [listener = listener_, seen] { listener(seen); });
    co_return Result<void>{};
  }
  Task<Result<void>> ensure_gone(AttemptKey key, std::chrono::milliseconds) override {
    const std::lock_guard lock(script_->mutex);
    if (!script_->reachable || script_->keeps_going_after_stop) {
      co_return fail(Code::unavailable, "away", "The machine does not answer.");
    }
    if (script_->there.erase(key) > 0) script_->removed.push_back(key);
    co_return Result<void>{};
  }
  Task<Result<std::vector<Observation>>> list() override {
    std::vector<Observation> out;
    {
      const std::lock_guard lock(script_->mutex);
      if (!script_->reachable)
        co_return fail(Code::unavailable, "away", "The machine does not answer.");
      for (const auto& [key, seen] : script_->there) out.push_back(seen);
    }
    if (script_->hold_list) ++script_->lists_held;
    while (script_->hold_list) co_await pause(1ms);
    ++script_->lists;
    co_return out;
  }
  Task<Result<LogChunk>> logs(AttemptKey, LogQuery) override { co_return LogChunk{}; }
  Task<Result<void>> forget(DeploymentId) override { co_return Result<void>{}; }
  Task<Result<std::vector<NodeCapacity>>> capacity() override {
    co_return std::vector<NodeCapacity>{};
  }
  Task<Health> health() override { co_return Health{}; }

 private:
  Task<void> pause(std::chrono::milliseconds d) {
    asio::basic_waitable_timer<std::chrono::steady_clock,
                               asio::wait_traits<std::chrono::steady_clock>, Executor>
        timer(io_.get_executor(), d);
    boost::system::error_code ec;
    co_await timer.async_wait(asio::redirect_error(use_task, ec));
  }
  asio::io_context& io_;
  std::shared_ptr<Script> script_;
  Listener listener_;
};

// The machine's clock, set wrong when the test says so.
class WrongClock final : public Clock {
 public:
  [[nodiscard]] Timestamp now() const override { return system_.now().plus(off_.load()); }
  void set_off(std::chrono::microseconds by) { off_ = by; }

 private:
  SystemClock system_;
  std::atomic<std::chrono::microseconds> off_{};
};

class RunnerTest : public ::testing::Test {
 protected:
  RunnerTest()
      : folder_(make_folder()),
        store_(sqlite::Options{folder_ + "/berth.db"}),
        reads_(store_),
        runner_(
            io_, reads_, clock_, authority_,
            [this](const Cluster&) -> Result<std::unique_ptr<Runtime>> {
              if (script_->openings_to_fail-- > 0)
                return fail(Code::unavailable, "away", "The machine does not answer.");
              return std::make_unique<ScriptedRuntime>(io_, script_);
            },
            RunnerOptions{.reconcile_every = 20ms, .repeat_after = 5ms}),
        scheduling_(runner_, authority_, [this](const Deployment& d) { reads_.changed(d); }),
        committer_(store_, clock_, scheduling_, [](const std::vector<Event>&) {}) {
    runner_.connect(committer_, scheduling_, [this](const Deployment& d) { reads_.changed(d); });
    write([this](Change& change) -> Result<void> {
      Organization org{OrganizationId::make(change.now, random_), "lab", change.now, 1};
      cluster_.id = ClusterId::make(change.now, random_);
      cluster_.organization = org.id;
      cluster_.name = "c";
      cluster_.nodes = {{"n", {1000, 1 << 30, 0}, ""}};
      cluster_.created_at = change.now;
      if (auto step = change.tx.insert(org); !step) return step;
      return change.tx.insert(cluster_);
    });
    EXPECT_TRUE(runner_.recover());
    thread_ = std::thread([this] {
      const auto work = asio::make_work_guard(io_);
      io_.run();
    });
  }
  ~RunnerTest() override {
    script_->hold_list = script_->hold_start = false;
    io_.stop();
    thread_.join();
    std::filesystem::remove_all(folder_);
  }

  static std::string make_folder() {
    std::string name = (std::filesystem::temp_directory_path() / "berth-runner-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary directory");
    return name;
  }
  void write(Committer::Unit unit) {
    const auto done = committer_.write_and_wait(std::move(unit));
    ASSERT_TRUE(done) << done.error().message;
  }
  template <class Condition>
  void eventually(Condition condition, const char* what) {
    const auto deadline = std::chrono::steady_clock::now() + 10s;
    while (!condition()) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline) << what;
      std::this_thread::yield();
    }
  }
  Deployment look(const DeploymentId& id) {
    auto view = store_.open_view();
    return **(*view)->deployment(id);
  }
  void until(const DeploymentId& id, State state) {
    eventually([&] { return look(id).state == state; }, "it gets into its state");
  }
  // Whole rounds of reconciling from now on.
  void rounds(int count) {
    const int now = script_->lists;
    eventually([&] { return script_->lists >= now + count; }, "the reconciler goes on");
  }
  DeploymentId submit(std::int32_t attempts = 1, std::int32_t replicas = 1) {
    Deployment d;
    write([&](Change& change) -> Result<void> {
      d.id = DeploymentId::make(change.now, random_);
      d.organization = cluster_.organization;
      d.cluster = cluster_.id;
      d.name = d.id.str();
      d.spec.resources = {1000 / replicas, 0, 0};
      d.spec.replicas = replicas;
      d.spec.restart = {attempts, 1ms};
      d.created_at = d.updated_at = change.now;
      d.order = *change.tx.take_order(cluster_.id);
      if (auto step = change.tx.insert(d); !step) return step;
      change.tell(cluster_.id, queued_entry(d));
      return {};
    });
    return d.id;
  }
  void stop(const DeploymentId& id) {
    write([&](Change& change) {
      auto d = *change.tx.deployment(id);
      return apply_stop(change, runner_.context(), Actor{}, *d);
    });
  }
  void set_reachable(bool reachable) {
    const std::lock_guard lock(script_->mutex);
    script_->reachable = reachable;
  }

  WrongClock clock_;
  SeededRandom random_{3};
  std::string folder_;
  std::shared_ptr<Script> script_ = std::make_shared<Script>();
  sqlite::SqliteStore store_;
  ReadSide reads_;
  SoleAuthority authority_;
  asio::io_context io_{1};
  Runner runner_;
  Scheduling scheduling_;
  Committer committer_;
  Cluster cluster_;
  std::thread thread_;
};

TEST_F(RunnerTest, AListThatIsOlderThanALaunchProvesNothingAboutIt) {
  script_->hold_start = true;
  const auto id = submit();
  eventually([&] { return script_->start_calls > 0; }, "it is being started");
  script_->hold_list = true;
  eventually([&] { return script_->lists_held > 0; }, "a list has looked before it was there");
  script_->hold_start = false;
  until(id, State::running);
  script_->hold_list = false;  // and only now it answers
  rounds(3);
  EXPECT_EQ(look(id).state, State::running) << "what runs was taken for vanished";
  EXPECT_EQ(script_->started.at({id, 1}), 1);
  EXPECT_TRUE(script_->removed.empty());
}

TEST_F(RunnerTest, AClockThatIsSetBackMakesNothingVanish) {
  script_->hold_start = true;
  const auto id = submit();
  eventually([&] { return script_->start_calls > 0; }, "it is being started");
  script_->hold_list = true;
  eventually([&] { return script_->lists_held > 0; }, "a list has looked before it was there");
  clock_.set_off(-1h);
  script_->hold_start = false;
  until(id, State::running);
  script_->hold_list = false;
  rounds(3);
  EXPECT_EQ(look(id).state, State::running) << "what runs was taken for vanished";
  EXPECT_TRUE(script_->removed.empty());
}

TEST_F(RunnerTest, ARuntimeThatCannotBeOpenedAtFirstIsOpenedLater) {
  runner_.close(cluster_.id);
  script_->openings_to_fail = 3;
  const auto id = submit();
  until(id, State::running);
  EXPECT_EQ(script_->started.at({id, 1}), 1);
}

TEST_F(RunnerTest, WhatVanishesHasFailedAndGivesItsPlaceBack) {
  const auto id = submit();
  until(id, State::running);
  rounds(1);
  {
    const std::lock_guard lock(script_->mutex);
    script_->there.clear();
  }
  until(id, State::failed);
  EXPECT_NE(look(id).message.find("vanished"), std::string::npos);
  const auto next = submit();
  until(next, State::running);
}

TEST_F(RunnerTest, ARuntimeThatIsAwayIsNotAWorkloadThatIsGone) {
  const auto id = submit();
  until(id, State::running);
  set_reachable(false);
  eventually([&] { return look(id).message.starts_with("runtime unreachable since"); },
             "people are told");
  EXPECT_EQ(look(id).state, State::running);
  EXPECT_TRUE(look(id).grant) << "its place is held";
  const auto next = submit();
  EXPECT_EQ(look(next).state, State::queued);
  set_reachable(true);
  eventually([&] { return look(id).message.empty(); }, "people are told that it is back");
  EXPECT_EQ(look(id).state, State::running);
  EXPECT_EQ(script_->started.at({id, 1}), 1);
}

TEST_F(RunnerTest, AStartIsRepeatedUntilTheRuntimeTakesIt) {
  set_reachable(false);
  const auto id = submit();
  eventually([&] { return script_->start_calls >= 3; }, "it is tried again");
  EXPECT_EQ(look(id).state, State::starting);
  set_reachable(true);
  until(id, State::running);
  EXPECT_EQ(script_->started.at({id, 1}), 1);
}

TEST_F(RunnerTest, AStopDuringAStartWaitsForItAndThenStops) {
  set_reachable(false);
  const auto id = submit();
  eventually([&] { return script_->start_calls >= 1; }, "it is being started");
  stop(id);
  EXPECT_EQ(look(id).state, State::stopping);
  EXPECT_TRUE(look(id).grant) << "held until the runtime confirms";
  set_reachable(true);
  until(id, State::stopped);
  rounds(1);
  EXPECT_TRUE(script_->there.empty());
}

TEST_F(RunnerTest, NothingIsFreeBeforeTheRuntimeConfirms) {
  const auto id = submit();
  until(id, State::running);
  {
    const std::lock_guard lock(script_->mutex);
    script_->keeps_going_after_stop = true;
  }
  stop(id);
  const auto next = submit();
  rounds(3);
  EXPECT_EQ(look(id).state, State::stopping);
  EXPECT_EQ(look(next).state, State::queued);
  {
    const std::lock_guard lock(script_->mutex);
    script_->keeps_going_after_stop = false;
  }
  until(id, State::stopped);
  until(next, State::running);
}

// Found by the simulation: a cluster was lost to another process and won back while a stop failed.
TEST_F(RunnerTest, AStopThatFailsWhileItsClusterIsLostFreesNothing) {
  const auto id = submit();
  until(id, State::running);
  const auto keep_going = [&](bool keeps_going) {
    const std::lock_guard lock(script_->mutex);
    script_->keeps_going_after_stop = keeps_going;
  };
  keep_going(true);
  stop(id);
  const auto next = submit();
  runner_.close(cluster_.id);
  runner_.open(cluster_.id);
  rounds(3);
  EXPECT_EQ(look(id).state, State::stopping);
  EXPECT_EQ(look(next).state, State::queued);
  keep_going(false);
  until(id, State::stopped);
  until(next, State::running);
}

TEST_F(RunnerTest, WhatNobodyWantsIsRemovedAndWhatIsWantedIsNot) {
  const auto id = submit();
  until(id, State::running);
  const AttemptKey stranger{DeploymentId::make(clock_.now(), random_), 1};
  const AttemptKey older{id, 7};  // of a deployment that is known, but not this attempt
  {
    const std::lock_guard lock(script_->mutex);
    for (const auto& key : {stranger, older})
      script_->there[key] = Observation{.key = key, .phase = Phase::running};
  }
  eventually(
      [&] {
        const std::lock_guard lock(script_->mutex);
        return script_->removed.size() == 2;
      },
      "orphans go");
  rounds(2);
  EXPECT_EQ(look(id).state, State::running);
  const std::lock_guard lock(script_->mutex);
  EXPECT_TRUE(script_->there.contains({id, 1}));
}

TEST_F(RunnerTest, AFailedServiceComesBackAsTheNextAttempt) {
  const auto id = submit(2);
  until(id, State::running);
  rounds(1);
  {
    const std::lock_guard lock(script_->mutex);
    script_->there[{id, 1}].phase = Phase::exited;
    script_->there[{id, 1}].exit_code = 3;
  }
  eventually([&] { return look(id).attempt == 2 && look(id).state == State::running; },
             "it is started again");
  EXPECT_EQ(script_->started.at({id, 2}), 1);
  rounds(2);
  const std::lock_guard lock(script_->mutex);
  EXPECT_FALSE(script_->there.contains({id, 1})) << "the first attempt is cleaned up";
}

TEST_F(RunnerTest, EveryReplicaIsStartedOnceAndAReplicaThatVanishesEndsItsGang) {
  const auto id = submit(1, 3);
  until(id, State::running);
  rounds(2);
  for (const std::int32_t replica : {0, 1, 2}) EXPECT_EQ(script_->started.at({id, 1, replica}), 1);
  {
    const std::lock_guard lock(script_->mutex);
    script_->there.erase({id, 1, 1});
  }
  until(id, State::failed);
  EXPECT_EQ(look(id).message, "Replica 1: It vanished: the runtime does not know it any more.");
  rounds(2);
  {
    const std::lock_guard lock(script_->mutex);
    EXPECT_TRUE(script_->there.empty()) << "the others are stopped";
  }
  const auto next = submit();
  until(next, State::running);
}

TEST_F(RunnerTest, AGangHoldsItsPlacesUntilAllOfItAreGone) {
  const auto id = submit(1, 2);
  until(id, State::running);
  {
    const std::lock_guard lock(script_->mutex);
    script_->keeps_going_after_stop = true;
    script_->there[{id, 1, 0}].phase = Phase::exited;
    script_->there[{id, 1, 0}].exit_code = 4;
  }
  eventually([&] { return look(id).gang.failed.has_value(); }, "it is seen to fail");
  const auto next = submit();
  rounds(3);
  EXPECT_EQ(look(id).state, State::running);
  EXPECT_EQ(look(next).state, State::queued);
  {
    const std::lock_guard lock(script_->mutex);
    script_->keeps_going_after_stop = false;
  }
  until(id, State::failed);
  EXPECT_EQ(look(id).exit_code, 4);
  EXPECT_EQ(look(id).message, "Replica 0 ended with exit status 4.");
  until(next, State::running);
}

TEST_F(RunnerTest, AReplicaTooManyIsAnOrphan) {
  const auto id = submit(1, 2);
  until(id, State::running);
  const AttemptKey third{id, 1, 2};
  {
    const std::lock_guard lock(script_->mutex);
    script_->there[third] = Observation{.key = third, .phase = Phase::running};
  }
  eventually(
      [&] {
        const std::lock_guard lock(script_->mutex);
        return !script_->there.contains(third);
      },
      "it goes");
  EXPECT_EQ(look(id).state, State::running);
}

}  // namespace
}  // namespace berth
