// How a process becomes ready, how it ends, and that all of it ends.
#include <netinet/in.h>
#include <sys/socket.h>

#include "net/http_client.h"
#include "runtime/process_fixture.h"

namespace berth::testing {
namespace {

using ProcessLife = ProcessTest;

constexpr char kServer[] = R"(
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == '/ready' and os.path.exists('warm') else 503)
        self.send_header('Content-Length', '0')
        self.end_headers()
http.server.HTTPServer(('127.0.0.1', int(os.environ['PORT'])), Handler).serve_forever()
)";

// A socket that listens on a port of the kernel's choice.
class Listener {
 public:
  Listener() : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof at;
    EXPECT_EQ(::bind(fd_.get(), reinterpret_cast<sockaddr*>(&at), size), 0);
    EXPECT_EQ(::listen(fd_.get(), 1), 0);
    ::getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&at), &size);
    port_ = ntohs(at.sin_port);
  }
  [[nodiscard]] std::uint16_t port() const { return port_; }
  void close() { fd_ = process::Fd(); }

 private:
  process::Fd fd_;
  std::uint16_t port_ = 0;
};

std::uint16_t free_port() { return Listener().port(); }

TEST_F(ProcessLife, IsReadyWhenItsPortAnswers) {
  Launch launch = command({"/usr/bin/python3", "-m", "http.server"});
  launch.spec.command = {"sh", "-c", "exec /usr/bin/python3 -m http.server $PORT"};
  launch.spec.port = free_port();
  ASSERT_TRUE(run(launch));
  EXPECT_EQ(see(launch.key)->phase, Phase::starting);
  ASSERT_TRUE(reaches(launch.key, Phase::running));
  const std::string address = fmt::format("127.0.0.1:{}", *launch.spec.port);
  EXPECT_EQ(see(launch.key)->endpoint, address);
  EXPECT_EQ(last_news(launch.key)->phase, Phase::running);
  EXPECT_EQ(
      net::fetch({"GET", "http://" + address + "/", {}, "", seconds(10), "", {}}).value().status,
      200);
}

TEST_F(ProcessLife, IsReadyWhenItsPathAnswersWell) {
  Launch launch = python(kServer);
  launch.spec.port = free_port();
  launch.spec.readiness.path = "/ready";
  ASSERT_TRUE(run(launch));
  const std::string url = fmt::format("http://127.0.0.1:{}/ready", *launch.spec.port);
  ASSERT_TRUE(loop_.until([&] {
    const auto answer = net::fetch({"GET", url, {}, "", seconds(10), "", {}});
    return answer && answer->status == 503;
  }));
  EXPECT_EQ(see(launch.key)->phase, Phase::starting);
  std::ofstream(process::parse_launch(read_text(folder(launch.key) / "launch"))->work + "/warm")
      << "yes";
  EXPECT_TRUE(reaches(launch.key, Phase::running));
}

TEST_F(ProcessLife, ReadinessIsRememberedAcrossARestartOfTheServer) {
  Launch launch = python(kServer);
  launch.spec.port = free_port();
  launch.spec.readiness = {"/ready", seconds(3)};
  ASSERT_TRUE(run(launch));
  const auto warm = process::parse_launch(read_text(folder(launch.key) / "launch"))->work + "/warm";
  std::ofstream(warm) << "yes";
  ASSERT_TRUE(reaches(launch.key, Phase::running));
  fs::remove(warm);
  open();
  EXPECT_EQ(see(launch.key)->phase, Phase::running);
  EXPECT_EQ(see(launch.key)->endpoint, fmt::format("127.0.0.1:{}", *launch.spec.port));
}

TEST_F(ProcessLife, IsEndedWhenItDoesNotBecomeReady) {
  Launch launch = command({"sleep", "1000"});
  launch.spec.port = free_port();
  launch.spec.readiness.timeout = seconds(1);
  ASSERT_TRUE(run(launch));
  const auto end = end_of(launch.key);
  ASSERT_TRUE(end);
  EXPECT_TRUE(end->ready_timeout);
  EXPECT_FALSE(end->run_timeout);
  EXPECT_EQ(end->signal, SIGTERM);
}

TEST_F(ProcessLife, TheTimeToBecomeReadyCountsFromTheStartAlsoAcrossARestart) {
  Launch launch = command({"sleep", "1000"});
  launch.spec.port = free_port();
  launch.spec.readiness.timeout = seconds(1);
  ASSERT_TRUE(run(launch));
  close();
  std::this_thread::sleep_for(milliseconds(1100));  // the time itself is what is tested
  open();
  const auto end = end_of(launch.key);
  ASSERT_TRUE(end);
  EXPECT_TRUE(end->ready_timeout);
}

TEST_F(ProcessLife, ATakenPortIsReplaced) {
  Listener taken;
  Launch launch = shell("echo port $PORT; sleep 1000");
  launch.spec.port = taken.port();
  ASSERT_TRUE(run(launch));
  const auto endpoint = see(launch.key)->endpoint;
  EXPECT_NE(endpoint, fmt::format("127.0.0.1:{}", taken.port()));
  EXPECT_TRUE(prints(launch.key, "port " + endpoint->substr(endpoint->find(':') + 1) + "\n"));
}

TEST_F(ProcessLife, TwoLiveAttemptsNeverShareAPort) {
  const auto port = free_port();
  Launch first = command({"sleep", "1000"}), second = command({"sleep", "1000"}),
         third = command({"sleep", "1000"});
  for (auto* launch : {&first, &second, &third}) launch->spec.port = port;
  ASSERT_TRUE(run(first));
  ASSERT_TRUE(run(second));
  EXPECT_EQ(see(first.key)->endpoint, fmt::format("127.0.0.1:{}", port));
  EXPECT_NE(see(second.key)->endpoint, see(first.key)->endpoint);
  open();  // a server that comes later knows as well
  ASSERT_TRUE(run(third));
  EXPECT_NE(see(third.key)->endpoint, see(first.key)->endpoint);
  EXPECT_NE(see(third.key)->endpoint, see(second.key)->endpoint);
  // What has ended gives it back.
  ASSERT_TRUE(gone(first.key, milliseconds(1000)));
  Launch again = command({"sleep", "1000"});
  again.spec.port = port;
  ASSERT_TRUE(run(again));
  EXPECT_EQ(see(again.key)->endpoint, fmt::format("127.0.0.1:{}", port));
}

TEST_F(ProcessLife, AProgramThatIsNotThereIsRefusedAtOnce) {
  const Launch launch = command({"pyton3", "x"});
  const auto refused = run(launch);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::invalid_argument);
  EXPECT_EQ(refused.error().message, "Cannot run 'pyton3': no such file.");
  EXPECT_TRUE(list().empty());
  EXPECT_FALSE(fs::exists(folder(launch.key)));
  EXPECT_TRUE(cgroups_of(launch.key).empty());
  EXPECT_TRUE(news_.empty());
}

TEST_F(ProcessLife, EachWayNotToBeAProgramHasItsSentence) {
  const auto make = [&](const char* name, const std::string& text, mode_t mode) {
    const auto path = dir_.path() / name;
    std::ofstream(path) << text;
    ::chmod(path.c_str(), mode);
    return path.string();
  };
  const auto plain = make("plain", "#!/bin/sh\n", 0644);
  const auto orphan = make("orphan", "#!/no/such/interpreter\n", 0755);
  const auto text = make("text", "just a text\n", 0755);
  const std::pair<std::string, std::string> cases[] = {
      {plain, "permission denied"},
      {orphan, "the interpreter that it names is missing"},
      {text, "it is not a program that this machine can run"},
      {"/no/such/folder/x", "no such file"},
      {"/tmp", "permission denied"}};
  for (const auto& [program, why] : cases) {
    const std::string message = run(command({program})).error().message;
    const std::string wanted = fmt::format("Cannot run '{}': {}.", program, why);
    if (options_.separate_users && why == "permission denied") {
      // What the server may read its workloads may not: the sentence says who was refused.
      EXPECT_TRUE(message.starts_with(wanted.substr(0, wanted.size() - 1) + " to its own user 21"))
          << message;
    } else {
      EXPECT_EQ(message, wanted);
    }
  }
}

TEST_F(ProcessLife, WhatCannotBeAProcessIsRefused) {
  EXPECT_EQ(run(command({})).error().reason, "no_command");
  EXPECT_EQ(run(command({""})).error().reason, "no_command");
  EXPECT_EQ(run(command({std::string("a\0b", 3)})).error().reason, "invalid_text");
  Launch image = command({"true"});
  image.spec.image = "docker.io/library/busybox";
  EXPECT_EQ(run(image).error().reason, "no_images");
}

TEST_F(ProcessLife, ArgumentsReachTheProgramAsTheyAre) {
  EXPECT_EQ(output_of(command({"printf", "[%s]", "a b", "$HOME", "*", "; id", ""})),
            "[a b][$HOME][*][; id][]");
}

TEST_F(ProcessLife, TellsTheSignalThatEndedIt) {
  const Launch launch = shell("kill -SEGV $$");
  ASSERT_TRUE(run(launch));
  const auto end = end_of(launch.key);
  ASSERT_TRUE(end);
  EXPECT_EQ(end->signal, SIGSEGV);
  EXPECT_FALSE(end->exit_code);
  EXPECT_FALSE(end->out_of_memory);
}

TEST_F(ProcessLife, AsksBeforeItKills) {
  const Launch launch = shell("trap 'exit 7' TERM; echo up; while :; do sleep 0.01; done");
  ASSERT_TRUE(run(launch));
  ASSERT_TRUE(prints(launch.key, "up"));
  ASSERT_TRUE(gone(launch.key, milliseconds(20'000)));
  EXPECT_EQ(status(launch.key)->exit_code, 7);
  EXPECT_EQ(status(launch.key)->reason, "stop");
}

TEST_F(ProcessLife, KillsWhatDoesNotListen) {
  const Launch launch = shell("trap '' TERM; echo up; while :; do sleep 0.01; done");
  ASSERT_TRUE(run(launch));
  ASSERT_TRUE(prints(launch.key, "up"));
  const auto pid = status(launch.key)->pid;
  ASSERT_TRUE(gone(launch.key, milliseconds(200)));
  EXPECT_FALSE(lives(pid));
  EXPECT_EQ(status(launch.key)->signal, SIGKILL);
}

TEST_F(ProcessLife, AHaltedProcessStillHears) {
  const Launch launch =
      shell("trap 'exit 7' TERM; echo up; kill -STOP $$; while :; do sleep 0.01; done");
  ASSERT_TRUE(run(launch));
  ASSERT_TRUE(prints(launch.key, "up"));
  ASSERT_TRUE(gone(launch.key, milliseconds(20'000)));
  EXPECT_EQ(status(launch.key)->exit_code, 7);
}

TEST_F(ProcessLife, ASecondStopCanShortenTheGrace) {
  const Launch launch = shell("trap '' TERM; echo up; while :; do sleep 0.01; done");
  ASSERT_TRUE(run(launch));
  ASSERT_TRUE(prints(launch.key, "up"));
  bool patient = false;
  asio::co_spawn(
      loop_.executor(), runtime_->ensure_gone(launch.key, std::chrono::hours(1)),
      [&patient](const std::exception_ptr&, Result<void> r) { patient = r.has_value(); });
  ASSERT_TRUE(gone(launch.key, milliseconds(0)));
  EXPECT_TRUE(loop_.until([&patient] { return patient; }));
}

constexpr char kFamily[] = R"(
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
def daemon(name):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            print(name, os.getpid())
            open(name, 'w').close()
            time.sleep(1000)
        os._exit(0)
    os.wait()
    while not os.path.exists(name): time.sleep(0.001)
daemon('first'); daemon('second')
print('up')
)";

std::vector<std::int64_t> pids_in(const std::string& text) {
  std::vector<std::int64_t> out;
  std::istringstream in(text);
  for (std::string word; in >> word;) {
    if (word == "first" || word == "second") {
      in >> word;
      out.push_back(std::stoll(word));
    }
  }
  return out;
}

class ProcessTree : public ProcessTest, public ::testing::WithParamInterface<process::Level> {
 protected:
  ProcessTree() { options_.best_level = GetParam(); }
};

TEST_P(ProcessTree, AStopEndsDaemonsToo) {
  const Launch launch = python(std::string(kFamily) + "time.sleep(1000)");
  ASSERT_TRUE(run(launch));
  ASSERT_TRUE(prints(launch.key, "up"));
  const auto pids = pids_in(output(launch.key));
  ASSERT_EQ(pids.size(), 2U);
  for (const auto pid : pids) EXPECT_TRUE(lives(pid));
  ASSERT_TRUE(gone(launch.key, milliseconds(100)));
  for (const auto pid : pids) EXPECT_FALSE(lives(pid));
  EXPECT_TRUE(cgroups_of(launch.key).empty());
}

TEST_P(ProcessTree, WhatAProgramLeavesBehindEndsWithIt) {
  Launch launch = python(std::string(kFamily) + "os._exit(5)");
  launch.spec.stop_grace = milliseconds(100);
  ASSERT_TRUE(run(launch));
  const auto end = end_of(launch.key);
  ASSERT_TRUE(end);
  EXPECT_EQ(end->exit_code, 5);
  const auto pids = pids_in(output(launch.key));
  ASSERT_EQ(pids.size(), 2U);
  for (const auto pid : pids) EXPECT_FALSE(lives(pid));
  EXPECT_TRUE(cgroups_of(launch.key).empty());
}

TEST_P(ProcessTree, WithoutTheSupervisorNothingGoesOn) {
  const Launch launch = python(std::string(kFamily) + "time.sleep(1000)");
  ASSERT_TRUE(run(launch));
  ASSERT_TRUE(prints(launch.key, "up"));
  auto pids = pids_in(output(launch.key));
  pids.push_back(status(launch.key)->pid);
  kill_hard(status(launch.key)->supervisor);
  const auto end = end_of(launch.key);
  ASSERT_TRUE(end);
  EXPECT_EQ(end->message, "Its supervisor process was killed, and it with it.");
  for (const auto pid : pids) EXPECT_FALSE(lives(pid));
  EXPECT_TRUE(cgroups_of(launch.key).empty());
  EXPECT_EQ(last_news(launch.key)->phase, Phase::exited);
}

TEST_P(ProcessTree, ASupervisorKilledWhileNoServerRanIsNoticedByTheNext) {
  const Launch launch = python(std::string(kFamily) + "time.sleep(1000)");
  ASSERT_TRUE(run(launch));
  ASSERT_TRUE(prints(launch.key, "up"));
  const auto pids = pids_in(output(launch.key));
  const auto supervisor = status(launch.key)->supervisor;
  close();
  kill_hard(supervisor);
  open();
  ASSERT_TRUE(end_of(launch.key));
  for (const auto pid : pids) EXPECT_FALSE(lives(pid));
  ASSERT_TRUE(run(launch));
  EXPECT_EQ(see(launch.key)->phase, Phase::exited);
}

INSTANTIATE_TEST_SUITE_P(Levels, ProcessTree,
                         ::testing::Values(process::Level::cgroup_v2, process::Level::rlimits),
                         [](const auto& param) {
                           return std::string(param.param == process::Level::rlimits ? "Rlimits"
                                                                                     : "Cgroups");
                         });

TEST_F(ProcessLife, RunTimeEndsAlsoWhileNoServerRuns) {
  Launch launch = command({"sleep", "1000"});
  launch.spec.max_run_time = milliseconds(150);
  ASSERT_TRUE(run(launch));
  close();
  ASSERT_TRUE(loop_.until([&] { return status(launch.key) && status(launch.key)->over(); }));
  open();
  const auto seen = see(launch.key);
  ASSERT_TRUE(seen);
  EXPECT_EQ(seen->phase, Phase::exited);
  EXPECT_TRUE(seen->run_timeout);
}

TEST_F(ProcessLife, TheSupervisorHandsATerminationOn) {
  const Launch launch = shell("trap 'exit 7' TERM; echo up; while :; do sleep 0.01; done");
  ASSERT_TRUE(run(launch));
  ASSERT_TRUE(prints(launch.key, "up"));
  ::kill(static_cast<pid_t>(status(launch.key)->supervisor), SIGTERM);
  const auto end = end_of(launch.key);
  ASSERT_TRUE(end);
  EXPECT_EQ(end->exit_code, 7);
}

}  // namespace
}  // namespace berth::testing
