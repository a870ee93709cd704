// What the tests of runtimes stand on: a loop that runs tasks to their end, and a temporary
// directory.
#pragma once
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/thread_pool.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/random.h"
#include "runtime/runtime.h"

namespace berth::testing {

using std::chrono::milliseconds;
using std::chrono::seconds;
namespace fs = std::filesystem;

// Longer than anything that does happen takes.
inline constexpr seconds kPatience{30};

class Loop {
 public:
  [[nodiscard]] Executor executor() { return io_.get_executor(); }
  [[nodiscard]] asio::thread_pool& files() { return files_; }

  template <class T>
  T wait(Task<T> task) {
    std::optional<T> out;
    asio::co_spawn(io_, std::move(task), [&out](const std::exception_ptr& failure, T value) {
      if (failure) std::rethrow_exception(failure);
      out.emplace(std::move(value));
    });
    until([&out] { return out.has_value(); });
    if (!out) throw std::runtime_error("a task did not end in time");
    return std::move(*out);
  }

  // False when it did not become true in time.
  bool until(const std::function<bool()>& true_now) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (!true_now()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      io_.restart();
      io_.run_one_for(milliseconds(5));
    }
    return true;
  }

 private:
  asio::io_context io_{1};
  asio::thread_pool files_{1};
};

class TempDir {
 public:
  TempDir() {
    char name[] = "/tmp/berth-runtime-XXXXXX";
    if (::mkdtemp(name) == nullptr) throw std::runtime_error("no temporary directory");
    path_ = name;
    ::chmod(name, 0711);  // users of workloads get through
  }
  TempDir(const TempDir&) = delete;
  ~TempDir() {
    std::error_code ec;
    fs::remove_all(path_, ec);
  }
  [[nodiscard]] const fs::path& path() const { return path_; }
  [[nodiscard]] std::string str() const { return path_.string(); }

 private:
  fs::path path_;
};

inline std::string read_text(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline AttemptKey new_key(std::int32_t number = 1) {
  static SystemRandom random;
  return {DeploymentId::make(SystemClock{}.now(), random), number};
}

inline Launch launch_of(AttemptKey key) {
  Launch out;
  out.key = key;
  out.name = "digits";
  out.admitted_at = SystemClock{}.now();
  out.grant.node = "here";
  return out;
}

inline std::optional<Observation> find(const std::vector<Observation>& all, const AttemptKey& key) {
  for (const auto& one : all) {
    if (one.key == key) return one;
  }
  return std::nullopt;
}

}  // namespace berth::testing
