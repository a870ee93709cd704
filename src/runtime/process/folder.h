// An attempt's folder, as the server sees it. Names are ours alone, every access is relative to a
// directory descriptor, and no symbolic link is followed.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "runtime/runtime.h"

namespace berth::process {

class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd();
  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] int release() { return std::exchange(fd_, -1); }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

// "PATH: what the system says."
[[nodiscard]] std::unexpected<Error> system_failure(const std::string& what);

// The launch record: read by the supervisor, and by a server that comes after this one.
struct LaunchFile {
  std::vector<std::string> arguments, environment, marks;
  std::vector<std::string> cgroups, settings, wishes, rlimits;
  std::string kill_file, oom_file, pids_file;
  std::string work;  // the working directory
  std::optional<std::uint32_t> uid;
  std::int64_t run_ms = 0;
  std::int64_t grace_ms = 0;
  std::int64_t log_bytes = 0;
  // For the server only.
  std::optional<std::uint16_t> port;
  std::string ready_path;
  std::int64_t ready_ms = 0;
};
[[nodiscard]] std::string to_text(const LaunchFile& launch);
[[nodiscard]] std::optional<LaunchFile> parse_launch(std::string_view text);

struct StatusFile {
  enum class State { started, exited, refused };
  State state = State::started;
  std::int64_t supervisor = 0;
  std::int64_t pid = 0;
  std::int64_t started_at = 0;  // microseconds, wall clock
  std::optional<std::int32_t> exit_code, signal;
  bool out_of_memory = false;
  std::string reason, error;
  [[nodiscard]] bool over() const { return state != State::started; }
};
[[nodiscard]] std::optional<StatusFile> parse_status(std::string_view text);

class Folder {
 public:
  // Absent: there is none.
  static std::optional<Folder> open(int root, const std::string& name);
  static Result<Folder> create(int root, const std::string& name, bool traversable);

  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] bool has(const char* file) const;
  [[nodiscard]] std::optional<std::string> read(const char* file) const;
  [[nodiscard]] std::optional<LaunchFile> launch() const;
  [[nodiscard]] std::optional<StatusFile> status() const;
  // Whether a supervisor lives. Looks without taking the lock.
  [[nodiscard]] bool locked() const;

  // Replaced as a whole; not waiting for the disk: after a crash of the machine nothing runs
  // anyway.
  [[nodiscard]] Result<void> write(const char* file, std::string_view text) const;
  [[nodiscard]] Result<void> make_control() const;
  // False when no supervisor listens.
  [[nodiscard]] bool ask_to_stop(std::chrono::milliseconds grace, const char* reason) const;
  void remove(const char* file) const;

  [[nodiscard]] std::optional<LogChunk> log(const LogQuery& query) const;

 private:
  explicit Folder(Fd fd) : fd_(std::move(fd)) {}
  Fd fd_;
};

// A directory that belongs to `owner`, made if need be; what is there must not be a link.
[[nodiscard]] Result<void> make_private_folder(const std::string& path,
                                               std::optional<std::uint32_t> owner);

[[nodiscard]] std::optional<AttemptKey> parse_key(std::string_view name);
[[nodiscard]] std::vector<std::string> names_in(int folder);

}  // namespace berth::process
