// A closed-loop HTTP load generator on one thread: N kept connections, each with one request in
// flight.
#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace berth::bench {

struct LoadResult {
  double seconds = 0;
  std::uint64_t answered = 0;
  std::uint64_t refused = 0;      // status 400 or more
  std::vector<float> latency_ms;  // sorted
  [[nodiscard]] double rate() const {
    return seconds > 0 ? static_cast<double>(answered) / seconds : 0;
  }
  [[nodiscard]] double quantile_ms(double q) const;
};

struct LoadPlan {
  std::uint16_t port = 0;
  std::vector<std::uint16_t> ports = {};  // several servers: the connections go round; or none
  int connections = 64;
  std::chrono::milliseconds duration{0};  // 0: until `requests` are answered
  std::uint64_t requests = 0;             // 0: until `duration` is over
  // The next whole request, head and body.
  std::function<std::string()> next;
  // Sees each body, if set.
  std::function<void(std::string_view)> body = {};
};

// Throws std::runtime_error when a connection breaks.
LoadResult run_load(const LoadPlan& plan);

[[nodiscard]] std::string http_request(const std::string& method, const std::string& path,
                                       const std::string& token, const std::string& body = "");

// A blocking connection for one request at a time, without anything that costs more than a system
// call.
class Wire {
 public:
  explicit Wire(std::uint16_t port);
  ~Wire();
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;

  // Status and body.
  std::pair<int, std::string> call(const std::string& request);
  // For streams: sends, then hands over bytes until `more` says no.
  void send(const std::string& bytes) const;
  // What is there now, at least one byte. Empty: closed, or nothing within 10 s.
  std::string receive();

 private:
  int fd_ = -1;
};

}  // namespace berth::bench
