// The records that server and supervisor exchange, and the names in folders.
#include "runtime/process/environment.h"
#include "runtime/process/folder.h"
#include "runtime/process/machine.h"
#include "runtime/process_fixture.h"

namespace berth::testing {
namespace {

process::LaunchFile full_record() {
  process::LaunchFile out;
  out.arguments = {"python3", "-c", "print('a=b')\n", ""};
  out.environment = {"A=1", "B=x=y\nz"};
  out.marks = {"M=1"};
  out.cgroups = {"/sys/fs/cgroup/cpu/berth/x"};
  out.settings = {"/sys/fs/cgroup/cpu/berth/x/cpu.shares 2"};
  out.wishes = {"/w 1"};
  out.rlimits = {"4 0"};
  out.kill_file = "/k";
  out.oom_file = "/o";
  out.pids_file = "/p";
  out.work = "/data/work";
  out.uid = 210'007;
  out.run_ms = 5000;
  out.grace_ms = 10'000;
  out.log_bytes = 1 << 20;
  out.port = 8080;
  out.ready_path = "/health?x=1";
  out.ready_ms = 60'000;
  return out;
}

TEST(ProcessFiles, ALaunchRecordComesBackAsItWas) {
  const auto text = process::to_text(full_record());
  const auto back = process::parse_launch(text);
  ASSERT_TRUE(back);
  EXPECT_EQ(process::to_text(*back), text);
  EXPECT_EQ(back->arguments, (std::vector<std::string>{"python3", "-c", "print('a=b')\n", ""}));
  EXPECT_EQ(back->environment, (std::vector<std::string>{"A=1", "B=x=y\nz"}));
  EXPECT_EQ(back->uid, 210'007U);
  EXPECT_EQ(back->port, 8080);
  EXPECT_EQ(back->ready_path, "/health?x=1");
}

TEST(ProcessFiles, ATornLaunchRecordIsNone) {
  const auto text = process::to_text(full_record());
  for (std::size_t n = 0; n < text.size(); ++n)
    EXPECT_FALSE(process::parse_launch(text.substr(0, n))) << n;
  EXPECT_FALSE(process::parse_launch("berth-launch=2" + text.substr(14)));
}

TEST(ProcessFiles, ATornStatusIsNone) {
  const std::string text =
      "berth-status=1\nstate=exited\nsupervisor=7\npid=8\nstart=9\nboot=b\nstarted_at=10\nsignal="
      "9\noom=1\n"
      "reason=stop\nerror=A sentence = that.\nend=\n";
  for (std::size_t n = 0; n < text.size(); ++n)
    EXPECT_FALSE(process::parse_status(text.substr(0, n))) << n;
  const auto status = process::parse_status(text);
  ASSERT_TRUE(status);
  EXPECT_EQ(status->state, process::StatusFile::State::exited);
  EXPECT_EQ(status->supervisor, 7);
  EXPECT_EQ(status->signal, 9);
  EXPECT_FALSE(status->exit_code);
  EXPECT_TRUE(status->out_of_memory);
  EXPECT_EQ(status->reason, "stop");
  EXPECT_EQ(status->error, "A sentence = that.");
}

TEST(ProcessFiles, OnlyNamesOfAttemptsAreKeys) {
  const AttemptKey key = new_key(12);
  EXPECT_EQ(process::parse_key(key.str()), key);
  const AttemptKey replica{key.deployment, 12, 3};
  EXPECT_EQ(replica.str(), key.str() + ".3");
  EXPECT_EQ(process::parse_key(replica.str()), replica);
  const std::string id = key.deployment.str();
  for (const std::string& name :
       {id, id + "-", id + "-x", id + "-01", id + "-1 ", id + "--1", id + "-99999999999",
        id + "-1.", id + "-1.0", id + "-1.01", id + "-1.x", id + "-1.2.3", id + ".2",
        id + "-1.99999999999", "../" + id + "-1", id + "-1/..", std::string("-1"), std::string()}) {
    EXPECT_FALSE(process::parse_key(name)) << name;
  }
}

TEST(ProcessFiles, TheLockIsSeenWithoutBeingTaken) {
  TempDir dir;
  const process::Fd root(::open(dir.str().c_str(), O_RDONLY | O_DIRECTORY));
  const auto folder = process::Folder::create(root.get(), "x", false).value();
  EXPECT_FALSE(folder.locked());
  const process::Fd holder(::openat(folder.fd(), "lock", O_RDWR | O_CREAT, 0600));
  EXPECT_FALSE(folder.locked());
  struct flock wanted{};
  wanted.l_type = F_WRLCK;
  ASSERT_EQ(::fcntl(holder.get(), F_OFD_SETLK, &wanted), 0);
  EXPECT_TRUE(folder.locked());
  EXPECT_TRUE(folder.locked());
  wanted.l_type = F_UNLCK;
  ASSERT_EQ(::fcntl(holder.get(), F_OFD_SETLK, &wanted), 0);
  EXPECT_FALSE(folder.locked());
}

TEST(ProcessFiles, UsersAreHandedOutOnceAndComeBack) {
  process::MachineOptions options;
  options.first_uid = 210'000;
  options.last_uid = 210'001;
  asio::thread_pool files{1};
  process::Machine machine(options, files);
  const auto first = machine.claim_uid(5).value(), second = machine.claim_uid(5).value();
  EXPECT_EQ(first, 210'001U);
  EXPECT_EQ(second, 210'000U);
  EXPECT_EQ(machine.claim_uid(5).error().code, Code::unavailable);
  process::LaunchFile file;
  file.uid = first;
  machine.release(file);
  EXPECT_EQ(machine.claim_uid(0).value(), first);
}

TEST(ProcessFiles, AUserThatRunsSomethingIsNotHandedOut) {
  process::MachineOptions options;
  options.first_uid = ::geteuid();  // ours: it runs this test
  options.last_uid = ::geteuid() + 1;
  asio::thread_pool files{1};
  EXPECT_EQ(process::Machine(options, files).claim_uid(0).value(), ::geteuid() + 1);
}

TEST(ProcessFiles, TheSupervisorIsWrittenOnceAndRepaired) {
  TempDir dir;
  process::MachineOptions options;
  options.root = dir.str();
  asio::thread_pool files{1};
  const auto path = process::Machine(options, files).supervisor().value();
  EXPECT_EQ(::access(path.c_str(), X_OK), 0);
  const auto size = fs::file_size(path);
  std::ofstream(path, std::ios::trunc) << "half";
  EXPECT_EQ(process::Machine(options, files).supervisor().value(), path);
  EXPECT_EQ(fs::file_size(path), size);
}

}  // namespace
}  // namespace berth::testing
