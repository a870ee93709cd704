// Starts that are interrupted anywhere, servers that are killed, machines that are restarted.
#include <spawn.h>

#include <random>

#include "runtime/process_fixture.h"

namespace berth::testing {
namespace {

class ProcessCrash : public ProcessTest {
 protected:
  ProcessCrash() {
    instances_ = dir_.path() / "instances";
    std::ofstream(instances_) << "";
    ::chmod(instances_.c_str(), 0666);
  }
  // Each instance that ever runs leaves a line.
  Launch counted(AttemptKey key) {
    return shell("echo x >> " + instances_.string() + "; exec sleep 1000", key);
  }
  std::size_t instances() const { return read_text(instances_).size() / 2; }
  void forget_instances() { std::ofstream(instances_, std::ios::trunc) << ""; }

  // A server process that starts the attempt and is killed after the time.
  void killed_server(const Launch& launch, std::chrono::microseconds after) {
    int begun[2];
    ASSERT_EQ(::pipe2(begun, O_CLOEXEC), 0);
    std::vector<std::string> words{DOOMED_SERVER,
                                   options_.root,
                                   options_.scope,
                                   options_.separate_users ? "1" : "0",
                                   launch.key.deployment.str(),
                                   std::to_string(launch.key.number),
                                   launch.spec.command.back()};
    std::vector<char*> arguments;
    for (auto& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    posix_spawn_file_actions_t files;
    ::posix_spawn_file_actions_init(&files);
    ::posix_spawn_file_actions_adddup2(&files, begun[1], STDOUT_FILENO);
    pid_t pid = 0;
    const int failed =
        ::posix_spawn(&pid, DOOMED_SERVER, &files, nullptr, arguments.data(), environ);
    ::posix_spawn_file_actions_destroy(&files);
    ::close(begun[1]);
    ASSERT_EQ(failed, 0);
    char x = 0;
    EXPECT_EQ(::read(begun[0], &x, 1), 1);
    std::this_thread::sleep_for(after);
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    ::close(begun[0]);
  }

  // What the server would write, from a first life of the attempt that leaves one instance.
  process::LaunchFile record_of(const Launch& launch) {
    EXPECT_TRUE(run(launch));
    EXPECT_TRUE(loop_.until([this] { return instances() == 1; }));
    auto record = process::parse_launch(read_text(folder(launch.key) / "launch"));
    EXPECT_TRUE(gone(launch.key, milliseconds(0)));
    EXPECT_TRUE(loop_.wait(runtime_->forget(launch.key.deployment)));
    return record.value_or(process::LaunchFile{});
  }
  // As a server leaves it that is killed right before it starts the supervisor.
  void leave_record(const Launch& launch, const process::LaunchFile& record) {
    close();
    for (const char* place : {"work", "tmp"}) {
      const auto path = folder(launch.key) / place;
      fs::create_directories(path);
      if (record.uid) EXPECT_EQ(::chown(path.c_str(), *record.uid, *record.uid), 0);
    }
    ::chmod(folder(launch.key).c_str(), 0711);
    EXPECT_EQ(::mkfifo((folder(launch.key) / "control").c_str(), 0600), 0);
    std::ofstream(folder(launch.key) / "launch") << process::to_text(record);
    open();
  }

  fs::path instances_;
};

// Instants spread over a start, whatever it takes on this machine as busy as it is now: the span
// grows while starts outlast it and shrinks while they are done before, so that either happens
// often.
class Instants {
 public:
  explicit Instants(unsigned seed) : random_(seed) {}
  std::chrono::microseconds next() {
    return std::chrono::microseconds(
        std::uniform_int_distribution<std::int64_t>(0, static_cast<std::int64_t>(span_))(random_));
  }
  void learn(bool done) {
    ++(done ? after_ : before_);
    span_ *= done ? 0.85 : 1.25;
  }
  int before() const { return before_; }
  int after() const { return after_; }

 private:
  std::mt19937 random_;
  double span_ = 20'000;  // microseconds
  int before_ = 0;
  int after_ = 0;
};

TEST_F(ProcessCrash, AServerKilledWhileItStartsNeverMakesTwoInstances) {
  Instants instants(20260101);
  for (int round = 0; round < 100; ++round) {
    forget_instances();
    const Launch launch = counted(new_key());
    killed_server(launch, instants.next());
    open();
    instants.learn(see(launch.key).has_value());
    const auto again = run(launch);
    ASSERT_TRUE(again) << again.error().message;
    ASSERT_TRUE(reaches(launch.key, Phase::running)) << "round " << round;
    ASSERT_TRUE(loop_.until([this] { return instances() > 0; }));
    ASSERT_EQ(list().size(), 1U);
    ASSERT_TRUE(gone(launch.key, milliseconds(0)));
    ASSERT_EQ(instances(), 1U) << "round " << round;
    ASSERT_TRUE(loop_.wait(runtime_->forget(launch.key.deployment)));
    ASSERT_FALSE(fs::exists(folder(launch.key)));
    ASSERT_TRUE(cgroups_of(launch.key).empty());
  }
  EXPECT_GT(instants.before(), 0);
  EXPECT_GT(instants.after(), 0);
}

TEST_F(ProcessCrash, AServerKilledWhileItStartsAndThenAStopLeaveNothing) {
  Instants instants(20260102);
  for (int round = 0; round < 50; ++round) {
    forget_instances();
    const Launch launch = counted(new_key());
    killed_server(launch, instants.next());
    open();
    instants.learn(see(launch.key).has_value());
    ASSERT_TRUE(gone(launch.key, milliseconds(0)));
    const auto before = instances();
    ASSERT_LE(before, 1U);
    EXPECT_EQ(run(launch).error().reason, "attempt_over");
    ASSERT_TRUE(list().empty());
    ASSERT_TRUE(cgroups_of(launch.key).empty());
    ASSERT_EQ(instances(), before) << "round " << round;
  }
}

TEST_F(ProcessCrash, AFolderWithoutARecordIsCompleted) {
  const Launch launch = counted(new_key());
  fs::create_directories(folder(launch.key) / "work");
  ASSERT_TRUE(run(launch));
  EXPECT_TRUE(reaches(launch.key, Phase::running));
}

TEST_F(ProcessCrash, AFolderWithoutARecordThatNobodyWantsGoes) {
  const AttemptKey key = new_key();
  fs::create_directories(folder(key) / "work");
  open();
  EXPECT_TRUE(list().empty());
  EXPECT_TRUE(loop_.until([&] { return !fs::exists(folder(key)); }));
}

TEST_F(ProcessCrash, ATornRecordIsWrittenAnew) {
  const Launch launch = counted(new_key());
  fs::create_directories(folder(launch.key));
  std::ofstream(folder(launch.key) / "launch") << std::string("berth-launch=1\0arg=slee", 23);
  ASSERT_TRUE(run(launch));
  EXPECT_TRUE(reaches(launch.key, Phase::running));
}

TEST_F(ProcessCrash, ARecordWithoutASupervisorIsNotListedAndIsStartedByARepeatedStart) {
  const Launch launch = counted(new_key());
  leave_record(launch, record_of(launch));
  EXPECT_TRUE(list().empty());
  EXPECT_EQ(instances(), 1U);
  ASSERT_TRUE(run(launch));
  EXPECT_TRUE(loop_.until([this] { return instances() == 2; }));
}

// The shape that limits have with cgroup v2: one cgroup, joined by birth.
TEST_F(ProcessCrash, AnAttemptIsBornInASingleCgroup) {
  const std::string tree =
      fs::exists("/sys/fs/cgroup/cgroup.controllers") ? "/sys/fs/cgroup" : "/sys/fs/cgroup/unified";
  if (::access((tree + "/cgroup.procs").c_str(), W_OK) != 0) return;  // not ours to write
  const Launch launch = counted(new_key());
  auto record = record_of(launch);
  const std::string cgroup = tree + "/berth/" + launch.key.str();
  record.cgroups = {cgroup};
  record.settings = record.wishes = {};
  record.oom_file = record.pids_file = "";
  record.kill_file = cgroup + "/cgroup.kill";
  leave_record(launch, record);
  ASSERT_TRUE(run(launch));
  ASSERT_TRUE(loop_.until([this] { return instances() == 2; }));
  EXPECT_EQ(read_text(cgroup + "/cgroup.procs"), fmt::format("{}\n", status(launch.key)->pid));
  ASSERT_TRUE(gone(launch.key, milliseconds(0)));
  EXPECT_FALSE(fs::exists(cgroup));
}

TEST_F(ProcessCrash, ATombstoneAndALogOutliveTheServer) {
  const Launch launch = shell("echo printed; exec sleep 1000");
  ASSERT_TRUE(run(launch));
  ASSERT_TRUE(prints(launch.key, "printed\n"));
  ASSERT_TRUE(gone(launch.key, milliseconds(1000)));
  open();
  EXPECT_EQ(run(launch).error().reason, "attempt_over");
  EXPECT_TRUE(list().empty());
  EXPECT_EQ(output(launch.key), "printed\n");
}

TEST_F(ProcessCrash, ARefusedStartThatNobodyHeardOfIsRefusedAgain) {
  const Launch launch = command({"pyton3"});
  leave_record(launch, [&] {
    process::LaunchFile record;
    record.arguments = launch.spec.command;
    record.work = (folder(launch.key) / "work").string();
    return record;
  }());
  std::ofstream(folder(launch.key) / "status")
      << "berth-status=1\nstate=refused\nerror=Cannot run 'pyton3': no such file.\nend=\n";
  open();
  EXPECT_EQ(see(launch.key)->message, "Cannot run 'pyton3': no such file.");
  EXPECT_EQ(run(launch).error().message, "Cannot run 'pyton3': no such file.");
  EXPECT_TRUE(list().empty());
  EXPECT_FALSE(fs::exists(folder(launch.key)));
}

TEST_F(ProcessCrash, AnInterruptedStopIsCompleted) {
  const Launch launch = counted(new_key());
  ASSERT_TRUE(run(launch));
  const auto work = process::parse_launch(read_text(folder(launch.key) / "launch"))->work;
  close();
  // The mark was made and the request sent, then the server died.
  std::ofstream(folder(launch.key) / "gone") << "";
  open();
  EXPECT_TRUE(see(launch.key));  // it runs, and whoever looks can see it
  EXPECT_TRUE(run(launch).error().reason == "attempt_over");
  ::kill(static_cast<pid_t>(status(launch.key)->supervisor), SIGTERM);
  ASSERT_TRUE(loop_.until([&] { return status(launch.key)->over(); }));
  open();
  EXPECT_TRUE(list().empty());
  EXPECT_TRUE(
      loop_.until([&] { return !fs::exists(work) && !fs::exists(folder(launch.key) / "launch"); }));
}

// What the file thread had begun, or had not come to, finds no loop to answer into.
TEST_F(ProcessCrash, AServerThatStopsWhileItCleansGoesInPeace) {
  for (const bool begun : {true, false}) {
    SCOPED_TRACE(begun);
    const Launch launch = shell("i=0; while [ $i -lt 2000 ]; do : > $i; i=$((i+1)); done");
    ASSERT_TRUE(run(launch));
    ASSERT_TRUE(end_of(launch.key));
    close();
    {
      Loop stopping;
      const auto runtime = make_runtime(stopping);
      if (!begun) {
        asio::post(stopping.files(), [] { std::this_thread::sleep_for(milliseconds(50)); });
      }
      asio::co_spawn(stopping.executor(), runtime->ensure_gone(launch.key, milliseconds(0)),
                     [](const std::exception_ptr&, const Result<void>&) { FAIL() << "too early"; });
      EXPECT_TRUE(stopping.until([&] { return fs::exists(folder(launch.key) / "gone"); }));
    }
    open();
    EXPECT_TRUE(gone(launch.key, milliseconds(0)));
    EXPECT_FALSE(fs::exists(folder(launch.key) / "launch"));
  }
}

TEST_F(ProcessCrash, ARestartOfTheMachineIsSaid) {
  const Launch launch = counted(new_key());
  ASSERT_TRUE(run(launch));
  ASSERT_TRUE(loop_.until([this] { return instances() == 1; }));
  const auto before = *status(launch.key);
  close();
  kill_hard(before.supervisor);
  ASSERT_TRUE(loop_.until([&] { return !lives(before.supervisor) && !lives(before.pid); }));
  std::string text = read_text(folder(launch.key) / "status");
  const auto at = text.find("boot=") + 5;
  text.replace(at, text.find('\n', at) - at, "00000000-0000-0000-0000-000000000000");
  std::ofstream(folder(launch.key) / "status", std::ios::trunc) << text;
  open();
  const auto end = end_of(launch.key);
  ASSERT_TRUE(end);
  EXPECT_EQ(end->message, "The machine was restarted while it ran.");
  EXPECT_TRUE(cgroups_of(launch.key).empty());
  EXPECT_EQ(instances(), 1U);
}

TEST_F(ProcessCrash, AVanishedDirectoryIsNotAnEmptyOne) {
  const Launch launch = counted(new_key());
  ASSERT_TRUE(run(launch));
  fs::rename(home(), home().string() + ".away");
  const auto seen = loop_.wait(runtime_->list());
  fs::rename(home().string() + ".away", home());
  ASSERT_FALSE(seen);
  EXPECT_EQ(seen.error().code, Code::unavailable);
}

TEST_F(ProcessCrash, LeftoverFilesOfOthersDoNotDisturb) {
  fs::create_directories(home() / "lost+found");
  std::ofstream(home() / "dep_nonsense-1") << "";
  std::ofstream(home() / new_key().str()) << "a file, not a folder";
  open();
  EXPECT_TRUE(list().empty());
  EXPECT_TRUE(fs::exists(home() / "lost+found"));
}

}  // namespace
}  // namespace berth::testing
