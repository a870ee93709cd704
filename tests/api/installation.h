// What the API's tests run against: one process over SQLite, or, with BERTH_SHAPE=scaled in the
// environment, three API processes and three schedulers over a real PostgreSQL and a real Redis.
// The "processes" are servers of this program: everything between them is as in production.
#pragma once
#include <atomic>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "app/server.h"

namespace berth::test {

class Installation {
 public:
  explicit Installation(app::ServeConfig config);
  ~Installation();

  void start();
  void stop();
  app::ServeConfig config;

  // The one that the next request goes to: in turns.
  [[nodiscard]] std::uint16_t next_port();
  [[nodiscard]] std::vector<std::uint16_t> ports() const;  // of every process
  [[nodiscard]] app::Server& first() { return *servers_.front(); }
  // Everything that was committed until now has reached every process.
  void settle();
  // The one-time token of a fresh installation.
  [[nodiscard]] std::string setup_token();
  // Where bytes are kept.
  [[nodiscard]] std::filesystem::path bytes() const;

 private:
  struct Scaled;
  std::filesystem::path folder_;
  std::unique_ptr<Scaled> scaled_;
  std::vector<std::unique_ptr<app::Server>> servers_;  // those that answer requests come first
  std::size_t answering_ = 1;
  std::atomic<std::size_t> turn_ = 0;
};

}  // namespace berth::test
