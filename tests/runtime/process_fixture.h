// A process runtime in a temporary directory, with helpers that say what a test means.
#pragma once
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/process/folder.h"
#include "runtime/process/process_runtime.h"
#include "runtime/process/protocol.h"
#include "runtime/support.h"

namespace berth::testing {

class ProcessTest : public ::testing::Test {
 protected:
  ProcessTest() {
    options_.root = dir_.str();
    options_.scope = "cluster";
    options_.separate_users = ::geteuid() == 0;
  }
  ~ProcessTest() override {
    if (!runtime_) open();
    for (const auto& one : list()) (void)gone(one.key, milliseconds(0));
  }

  std::unique_ptr<Runtime> make_runtime() { return make_runtime(loop_); }
  std::unique_ptr<Runtime> make_runtime(Loop& loop) {
    process::MachineOptions machine;
    machine.root = options_.root;
    return std::make_unique<process::ProcessRuntime>(
        loop.executor(), std::make_shared<process::Machine>(std::move(machine), loop.files()),
        options_);
  }
  void open() {
    runtime_.reset();
    runtime_ = make_runtime();
    runtime_->listen([this](const Observation& seen) { news_.push_back(seen); });
  }
  void close() { runtime_.reset(); }

  Launch command(std::vector<std::string> arguments, AttemptKey key = new_key()) {
    Launch out = launch_of(key);
    out.spec.command = std::move(arguments);
    out.spec.stop_grace = milliseconds(2000);
    return out;
  }
  Launch shell(const std::string& script, AttemptKey key = new_key()) {
    return command({"sh", "-c", script}, key);
  }
  Launch python(const std::string& script, AttemptKey key = new_key()) {
    return command({"/usr/bin/python3", "-u", "-c", script}, key);
  }

  Result<void> run(const Launch& launch) {
    if (!runtime_) open();
    return loop_.wait(runtime_->ensure_running(launch));
  }
  Result<void> gone(const AttemptKey& key, milliseconds grace) {
    return loop_.wait(runtime_->ensure_gone(key, grace));
  }
  std::vector<Observation> list() { return loop_.wait(runtime_->list()).value(); }
  std::optional<Observation> see(const AttemptKey& key) { return find(list(), key); }
  bool reaches(const AttemptKey& key, Phase phase) {
    return loop_.until([&] {
      const auto seen = see(key);
      return seen && seen->phase == phase;
    });
  }
  std::optional<Observation> end_of(const AttemptKey& key) {
    return reaches(key, Phase::exited) ? see(key) : std::nullopt;
  }
  // What the listener was told last about it.
  std::optional<Observation> last_news(const AttemptKey& key) {
    std::optional<Observation> out;
    for (const auto& one : news_) {
      if (one.key == key) out = one;
    }
    return out;
  }
  std::string output(const AttemptKey& key) {
    const auto chunk = loop_.wait(runtime_->logs(key, {0, 64U << 20}));
    return chunk ? chunk->bytes : "";
  }
  bool prints(const AttemptKey& key, const std::string& text) {
    return loop_.until([&] { return output(key).find(text) != std::string::npos; });
  }
  // Runs it to its end and returns what it printed.
  std::string output_of(const Launch& launch) {
    EXPECT_TRUE(run(launch));
    EXPECT_TRUE(reaches(launch.key, Phase::exited));
    return output(launch.key);
  }

  fs::path home() const { return fs::path(options_.root) / options_.scope; }
  fs::path folder(const AttemptKey& key) const { return home() / key.str(); }
  std::optional<process::StatusFile> status(const AttemptKey& key) const {
    return process::parse_status(read_text(folder(key) / "status"));
  }

  static bool lives(std::int64_t pid) {
    // One that waits to be collected by somebody else is dead.
    const std::string stat = read_text(fmt::format("/proc/{}/stat", pid));
    const auto bracket = stat.rfind(')');
    return bracket != std::string::npos && stat[bracket + 2] != 'Z' && stat[bracket + 2] != 'X';
  }
  static void kill_hard(std::int64_t pid) { ::kill(static_cast<pid_t>(pid), SIGKILL); }
  // Folders in the cgroup trees that carry the attempt's name.
  static std::vector<std::string> cgroups_of(const AttemptKey& key) {
    std::vector<std::string> out;
    std::error_code ec;
    for (const auto& tree : fs::directory_iterator("/sys/fs/cgroup", ec)) {
      const auto at = tree.path() / "berth" / key.str();
      if (fs::exists(at, ec)) out.push_back(at.string());
    }
    const auto unified = fs::path("/sys/fs/cgroup/berth") / key.str();
    if (fs::exists(unified, ec)) out.push_back(unified.string());
    return out;
  }
  std::string enforcement() {
    if (!runtime_) open();
    return loop_.wait(runtime_->health()).enforcement;
  }

  TempDir dir_;
  process::Options options_;
  Loop loop_;
  std::unique_ptr<Runtime> runtime_;
  std::vector<Observation> news_;
};

}  // namespace berth::testing
