// A real `berth serve` as a child process on a free port, for as long as one of these lives.
#pragma once
#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <string>

namespace berth::bench {

class ServerProcess {
 public:
  // Starts it and waits until it is ready. Throws std::runtime_error.
  ServerProcess(std::string program, std::string data_dir);
  ~ServerProcess();  // SIGTERM, then waits
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;

  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] std::chrono::microseconds ready_after() const { return ready_after_; }
  [[nodiscard]] std::int64_t resident_bytes() const;  // private and shared, /proc/PID/status VmRSS

 private:
  pid_t pid_ = -1;
  std::uint16_t port_ = 0;
  std::chrono::microseconds ready_after_{0};
};

// A directory that goes when this goes.
class TemporaryDirectory {
 public:
  explicit TemporaryDirectory(const std::string& parent);
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace berth::bench
