// What a workload sees of the machine and of the server, and what it cannot do to them.
#include <sstream>

#include "runtime/process/environment.h"
#include "runtime/process/gpus.h"
#include "runtime/process/host.h"
#include "runtime/process_fixture.h"

namespace berth::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ProcessWorkload = ProcessTest;

std::vector<std::string> sorted_lines(const std::string& text, char separator) {
  std::vector<std::string> out;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line, separator);) out.push_back(line);
  std::ranges::sort(out);
  return out;
}

TEST_F(ProcessWorkload, HasTheEnvironmentThatIsPromisedAndNoMore) {
  ::setenv("BERTH_TEST_SECRET", "of the server", 1);
  Launch launch = command({"/usr/bin/env", "-0"});
  launch.name = "digits";
  launch.key.replica = 2;
  launch.spec.replicas = 3;
  launch.grant.node = "lab-1";
  launch.grant.gpus = {{0, 1000}, {3, 1000}};
  launch.spec.port = 20'123;
  launch.spec.env = {
      {"MODEL", "a=b c"}, {"LANG", "C"}, {"BERTH_NODE", "forged"}, {"CUDA_VISIBLE_DEVICES", "7"}};
  const auto seen = sorted_lines(output_of(launch), '\0');
  ::unsetenv("BERTH_TEST_SECRET");
  const std::string here = folder(launch.key).string();
  const auto file = process::parse_launch(read_text(folder(launch.key) / "launch"));
  ASSERT_TRUE(file);
  EXPECT_THAT(seen, ElementsAre("BERTH_ATTEMPT=1", "BERTH_DEPLOYMENT=digits",
                                "BERTH_DEPLOYMENT_ID=" + launch.key.deployment.str(),
                                "BERTH_NODE=lab-1", "BERTH_REPLICA=2", "BERTH_REPLICAS=3",
                                "CUDA_DEVICE_ORDER=PCI_BUS_ID", "CUDA_VISIBLE_DEVICES=0,3",
                                "HOME=" + here + "/work", "LANG=C", "MODEL=a=b c",
                                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                                fmt::format("PORT={}", *file->port), "PWD=" + here + "/work",
                                "TMPDIR=" + here + "/tmp"));
}

TEST_F(ProcessWorkload, WithoutAGrantOfGpusItSeesNone) {
  EXPECT_THAT(output_of(command({"/usr/bin/env"})), HasSubstr("\nCUDA_VISIBLE_DEVICES=\n"));
  EXPECT_THAT(output_of(command({"/usr/bin/env"})), Not(HasSubstr("PORT=")));
}

TEST_F(ProcessWorkload, ItsOwnPathFindsItsProgram) {
  const auto tools = dir_.path() / "tools";
  fs::create_directory(tools);
  std::ofstream(tools / "berth-test-tool") << "#!/bin/sh\necho found\n";
  ::chmod((tools / "berth-test-tool").c_str(), 0755);
  EXPECT_FALSE(run(command({"berth-test-tool"})));
  Launch launch = command({"berth-test-tool"});
  launch.spec.env["PATH"] = "/nowhere:" + tools.string();
  EXPECT_EQ(output_of(launch), "found\n");
}

TEST_F(ProcessWorkload, HasNoDescriptorOfTheServer) {
  const int leak = ::open("/etc/passwd", O_RDONLY);  // one that nobody thought of closing
  ASSERT_GE(leak, 0);
  const auto out = output_of(
      python("import os\nfor f in os.listdir('/proc/self/fd'):\n"
             "  try: print(f, os.readlink('/proc/self/fd/' + f))\n  except OSError: pass"));
  ::close(leak);
  const auto lines = sorted_lines(out, '\n');
  ASSERT_EQ(lines.size(), 3U) << out;
  EXPECT_EQ(lines[0], "0 /dev/null");
  EXPECT_THAT(lines[1], HasSubstr("1 pipe:"));
  EXPECT_THAT(lines[2], HasSubstr("2 pipe:"));
}

TEST_F(ProcessWorkload, ReadsNothingFromItsInput) {
  EXPECT_EQ(output_of(shell("cat; echo end")), "end\n");
}

TEST_F(ProcessWorkload, HasASessionOfItsOwnAndCleanSignals) {
  const auto out = output_of(python(
      "import os, signal\nprint(os.getsid(0) == os.getpid(), os.getcwd() == os.environ['HOME'],"
      " signal.pthread_sigmask(signal.SIG_BLOCK, []))\n"
      "print([l for l in open('/proc/self/status') if l.startswith('NoNewPrivs')])"));
  EXPECT_EQ(out, "True True set()\n['NoNewPrivs:\\t1\\n']\n");
}

TEST_F(ProcessWorkload, WritesToItsWorkingDirectoryAndItsTemporaryDirectory) {
  EXPECT_EQ(output_of(shell("echo a > mine && echo b > $TMPDIR/mine && cat mine $TMPDIR/mine")),
            "a\nb\n");
}

TEST_F(ProcessWorkload, ItsDirectoriesGoWithIt) {
  const Launch launch = shell(
      "echo a > mine; mkdir -p a/b; touch a/b/c; chmod 0 a/b a; mkdir -m 0 closed; sleep 1000");
  ASSERT_TRUE(run(launch));
  ASSERT_TRUE(gone(launch.key, milliseconds(1000)));
  std::vector<std::string> left;
  for (const auto& entry : fs::directory_iterator(folder(launch.key)))
    left.push_back(entry.path().filename());
  std::ranges::sort(left);
  EXPECT_THAT(left, ElementsAre("gone", "lock", "log.00000000000000000000", "status"));
}

TEST_F(ProcessWorkload, OutputPassesUnchanged) {
  const Launch launch = python(
      "import os\nos.write(1, b'\\x1b[31mred\\x1b[0m\\0\\xff\\r\\n')\nos.write(2, "
      "bytes(range(256)))");
  std::string wanted("\x1b[31mred\x1b[0m\0\xff\r\n", 16);
  for (int i = 0; i < 256; ++i) wanted.push_back(static_cast<char>(i));
  EXPECT_EQ(output_of(launch), wanted);
}

TEST_F(ProcessWorkload, TheLogIsCappedAndItsOffsetsGoOn) {
  options_.log_bytes = 64 << 10;
  const Launch launch = shell("seq 1 100000");
  ASSERT_TRUE(run(launch));
  ASSERT_TRUE(reaches(launch.key, Phase::exited));
  constexpr std::int64_t kAll = 588'895;  // bytes of the numbers from 1 to 100000, each on a line
  const auto kept = loop_.wait(runtime_->logs(launch.key, {0, 10U << 20})).value();
  EXPECT_GT(kept.offset, 0);
  EXPECT_LE(kept.bytes.size(), 64U << 10);
  EXPECT_GT(kept.bytes.size(), 32U << 10);
  EXPECT_EQ(kept.next_offset, kAll);
  EXPECT_TRUE(kept.end);
  EXPECT_TRUE(kept.bytes.ends_with("\n99998\n99999\n100000\n"));
  const auto tail = loop_.wait(runtime_->logs(launch.key, {-7, 100})).value();
  EXPECT_EQ(tail.bytes, "100000\n");
  EXPECT_EQ(tail.offset, kAll - 7);
  // Read in small steps the same comes out.
  std::string pieces;
  for (std::int64_t at = kept.offset; at < kAll;) {
    const auto piece = loop_.wait(runtime_->logs(launch.key, {at, 1000})).value();
    ASSERT_EQ(piece.offset, at);
    ASSERT_FALSE(piece.bytes.empty());
    pieces += piece.bytes;
    at = piece.next_offset;
  }
  EXPECT_EQ(pieces, kept.bytes);
}

// --- users of their own ------------------------------------------------------------------------

class ProcessUsers : public ProcessTest {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) options_.separate_users = false;
  }
  [[nodiscard]] bool separate() const { return options_.separate_users; }
};

TEST_F(ProcessUsers, EachAttemptIsAnotherUser) {
  const auto first = output_of(shell("id -u; id -g; id -G")),
             second = output_of(shell("id -u; id -g; id -G"));
  if (!separate()) {
    EXPECT_EQ(first, second);
    return;
  }
  const auto uid = std::stol(first);
  EXPECT_GE(uid, 210'000);
  EXPECT_LE(uid, 219'999);
  EXPECT_EQ(first, fmt::format("{0}\n{0}\n{0}\n", uid));
  EXPECT_NE(first, second);
}

TEST_F(ProcessUsers, CannotReadWhatIsNotItsOwn) {
  const Launch other = shell("echo secret > mine; echo up; sleep 1000");
  ASSERT_TRUE(run(other));
  ASSERT_TRUE(prints(other.key, "up"));
  const auto secret = dir_.path() / "secret";
  std::ofstream(secret) << "of the server";
  ::chmod(secret.c_str(), 0600);
  const std::string there = folder(other.key).string();
  std::string script;
  for (const auto& path : {there + "/work/mine", there + "/launch", there + "/status",
                           there + "/lock", there + "/log.00000000000000000000", secret.string()}) {
    script += fmt::format("cat '{}' && echo BROKEN;", path);
  }
  for (const auto& path : {there, there + "/work", there + "/tmp", home().string(), dir_.str()}) {
    script += fmt::format("ls '{0}' && echo BROKEN; touch '{0}/x' && echo BROKEN;", path);
  }
  script += fmt::format("echo stop 0 stop > '{}/control' && echo BROKEN;", there);
  script += fmt::format("cat /proc/{}/environ && echo BROKEN;", status(other.key)->pid);
  script += fmt::format("kill {} && echo BROKEN; kill {} && echo BROKEN;", status(other.key)->pid,
                        status(other.key)->supervisor);
  script +=
      "cat ../launch && echo BROKEN; mv ../log.* . && echo BROKEN; rm -f ../status && echo BROKEN; "
      "echo done";
  if (!separate()) return;  // without a user of its own nothing of this is promised
  const auto out = output_of(shell(script));
  EXPECT_THAT(out, HasSubstr("done"));
  EXPECT_THAT(out, HasSubstr("ermission denied"));
  EXPECT_THAT(out, Not(HasSubstr("BROKEN")));
}

TEST_F(ProcessUsers, AClosedDataDirectoryDoesNotLockThemOut) {
  ::chmod(dir_.str().c_str(), 0700);
  options_.root = (dir_.path() / "data").string();
  const Launch launch =
      shell("echo a > $HOME/mine && cat $HOME/mine && echo b > $TMPDIR/x && pwd; sleep 1000");
  ASSERT_TRUE(run(launch));
  ASSERT_TRUE(prints(launch.key, "/work\n"));
  const auto work = process::parse_launch(read_text(folder(launch.key) / "launch"))->work;
  EXPECT_EQ(output(launch.key), "a\n" + work + "\n");
  ASSERT_TRUE(gone(launch.key, milliseconds(1000)));
  EXPECT_FALSE(fs::exists(work));
  if (separate()) EXPECT_FALSE(fs::exists(fs::path(work).parent_path().parent_path()));
}

// --- tricks with links, by a workload that runs as the server's own user -------------------------

class ProcessLinks : public ProcessTest {
 protected:
  ProcessLinks() {
    options_.separate_users = false;
    std::ofstream(dir_.path() / "secret") << "of the server";
    fs::create_directory(dir_.path() / "victim");
    std::ofstream(dir_.path() / "victim" / "file") << "precious";
  }
  std::string secret() const { return (dir_.path() / "secret").string(); }
  std::string victim() const { return (dir_.path() / "victim").string(); }
};

TEST_F(ProcessLinks, ALinkInPlaceOfTheLogIsNotRead) {
  const Launch launch = shell("echo up; rm ../log.*; ln -s " + secret() +
                              " ../log.00000000000000000000; touch done; sleep 1000");
  ASSERT_TRUE(run(launch));
  ASSERT_TRUE(loop_.until([&] { return fs::exists(folder(launch.key) / "work" / "done"); }));
  EXPECT_EQ(output(launch.key), "");
}

TEST_F(ProcessLinks, LinksInPlaceOfItsDirectoriesAreNotFollowed) {
  const Launch launch = shell("cd ..; rm -rf work tmp; ln -s " + victim() + " work; ln -s " +
                              victim() + " tmp; echo up; sleep 1000");
  ASSERT_TRUE(run(launch));
  ASSERT_TRUE(prints(launch.key, "up"));
  ASSERT_TRUE(gone(launch.key, milliseconds(1000)));
  EXPECT_EQ(read_text(dir_.path() / "victim" / "file"), "precious");
  EXPECT_FALSE(fs::is_symlink(folder(launch.key) / "work"));
}

TEST_F(ProcessLinks, LinksInItsWorkingDirectoryAreNotFollowed) {
  const Launch launch = shell("ln -s " + victim() + " inside; ln -s / root; echo up; sleep 1000");
  ASSERT_TRUE(run(launch));
  ASSERT_TRUE(prints(launch.key, "up"));
  ASSERT_TRUE(gone(launch.key, milliseconds(1000)));
  ASSERT_TRUE(loop_.wait(runtime_->forget(launch.key.deployment)));
  EXPECT_EQ(read_text(dir_.path() / "victim" / "file"), "precious");
  EXPECT_FALSE(fs::exists(folder(launch.key)));
}

TEST_F(ProcessLinks, ALinkInPlaceOfTheStatusOrTheMarkIsReplaced) {
  const Launch launch =
      shell("cd ..; for f in gone.part gone status.new ready ready.part; do ln -s " + secret() +
            " $f; done; rm gone; echo up; sleep 1000");
  ASSERT_TRUE(run(launch));
  ASSERT_TRUE(prints(launch.key, "up"));
  ASSERT_TRUE(gone(launch.key, milliseconds(1000)));
  EXPECT_EQ(read_text(secret()), "of the server");
}

TEST_F(ProcessLinks, ALinkInPlaceOfTheWholeFolderIsNotFollowed) {
  const AttemptKey key = new_key();
  const std::string here = folder(key).string();
  const Launch launch = shell("echo up; mv '" + here + "' '" + here + ".away'; ln -s " + victim() +
                                  " '" + here + "'; touch '" + here + ".away/done'; sleep 1000",
                              key);
  ASSERT_TRUE(run(launch));
  ASSERT_TRUE(loop_.until([&] { return fs::exists(here + ".away/done"); }));
  EXPECT_EQ(gone(key, milliseconds(100)).error().code, Code::unavailable);
  EXPECT_FALSE(loop_.wait(runtime_->logs(key, {})));
  EXPECT_FALSE(fs::exists(dir_.path() / "victim" / "gone"));
  // With the folder back in its place it can be ended.
  fs::remove(here);
  fs::rename(here + ".away", here);
  EXPECT_TRUE(gone(key, milliseconds(100)));
}

// --- GPUs --------------------------------------------------------------------------------------

TEST(ProcessGpus, AreFoundThroughTheLibrary) {
  const auto gpus = process::find_gpus(FAKE_NVML);
  ASSERT_EQ(gpus.size(), 2U);
  EXPECT_EQ(gpus[1].model, "Imaginary X100");
  EXPECT_EQ(gpus[1].memory_bytes, 85'899'345'920);
  const auto node = process::host_capacity(FAKE_NVML);
  EXPECT_EQ(node.resources.gpu_milli, 2000);
  EXPECT_EQ(node.gpu_model, "Imaginary X100");
}

TEST(ProcessGpus, NoLibraryMeansNone) {
  EXPECT_TRUE(process::find_gpus("/no/such/library.so").empty());
  EXPECT_TRUE(process::find_gpus("libc.so.6").empty());  // there, but not what we look for
  EXPECT_EQ(process::host_capacity("/no/such/library.so").resources.gpu_milli, 0);
}

}  // namespace
}  // namespace berth::testing
