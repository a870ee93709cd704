#include "runtime/process_fixture.h"
namespace berth::testing {
using L = ProcessTest;
TEST_F(L, Latency) {
  for (auto level : {process::Level::cgroup_v2, process::Level::rlimits}) {
    options_.best_level = level; open(); (void)list();
    std::vector<double> ms, gone_ms;
    for (int i = 0; i < 100; ++i) {
      Launch l = command({"/bin/sleep", "1000"});
      l.grant.resources = {500, 64 << 20, 0};
      news_.clear();
      auto t0 = std::chrono::steady_clock::now();
      ASSERT_TRUE(run(l));
      ASSERT_TRUE(loop_.until([&] { return last_news(l.key).has_value(); }));
      auto t1 = std::chrono::steady_clock::now();
      ASSERT_TRUE(gone(l.key, milliseconds(5000)));
      auto t2 = std::chrono::steady_clock::now();
      ms.push_back(std::chrono::duration<double, std::milli>(t1 - t0).count());
      gone_ms.push_back(std::chrono::duration<double, std::milli>(t2 - t1).count());
    }
    std::ranges::sort(ms); std::ranges::sort(gone_ms);
    fmt::print("{}: start p50 {:.2f} p99 {:.2f} ms; stop p50 {:.2f} p99 {:.2f} ms\n", enforcement(), ms[50], ms[98], gone_ms[50], gone_ms[98]);
  }
  // 20-ms server
  std::vector<double> ms;
  for (int i = 0; i < 30; ++i) {
    Launch l = python("import socket,os,time\ntime.sleep(0)\ns=socket.create_server(('127.0.0.1',int(os.environ['PORT'])))\nwhile 1: s.accept()");
    l.spec.port = 20500 + i; 
    auto t0 = std::chrono::steady_clock::now();
    ASSERT_TRUE(run(l)); ASSERT_TRUE(loop_.until([&] { return last_news(l.key) && last_news(l.key)->phase == Phase::running; }));
    ms.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - t0).count());
    (void)gone(l.key, milliseconds(0));
  }
  std::ranges::sort(ms); fmt::print("python socket server ready p50 {:.2f} max {:.2f}\n", ms[15], ms.back());
}
}
