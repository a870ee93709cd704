#include "app/data_dir.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cerrno>
#include <chrono>
#include <cstring>

namespace berth::app {
namespace {

std::unexpected<Error> system_error(const std::string& what) {
  const int error = errno;
  const auto code = error == EACCES || error == EPERM ? Code::permission_denied : Code::unavailable;
  return fail(code, "data_dir", fmt::format("{}: {}.", what, std::strerror(error)));
}

// The folder may be open to passers-by, so each file must be closed by itself. What SQLite makes
// beside the database gets the database's permissions.
bool close_database(const std::filesystem::path& file) {
  const int fd = ::open(file.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) return false;
  const bool closed = fchmod(fd, 0600) == 0;
  ::close(fd);
  for (const char* suffix : {"-wal", "-shm"}) {
    if (chmod((file.string() + suffix).c_str(), 0600) != 0 && errno != ENOENT) return false;
  }
  return closed;
}

Result<std::filesystem::path> make_folder(const std::filesystem::path& path, bool traversable) {
  umask(077);  // whatever the server writes is its own alone, unless a line says otherwise
  std::error_code ec;
  const auto absolute = std::filesystem::absolute(path, ec);
  std::filesystem::create_directories(absolute.parent_path(), ec);
  if (mkdir(absolute.c_str(), 0700) != 0 && errno != EEXIST) {
    return system_error(fmt::format("cannot create the data directory {}", absolute.string()));
  }
  // Workloads with a user of their own must get through to their folder, and see nothing else.
  if (chmod(absolute.c_str(), traversable ? 0711 : 0700) != 0) {
    return system_error(fmt::format("cannot use the data directory {}", absolute.string()));
  }
  return absolute;
}

// A process that was killed while it started another holds its locks until that one has begun.
constexpr auto kPatience = std::chrono::seconds(1);
constexpr auto kAgain = std::chrono::milliseconds(5);

bool locked_within(int fd, std::chrono::milliseconds patience) {
  const auto until = std::chrono::steady_clock::now() + patience;
  boost::asio::io_context io;
  while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK || std::chrono::steady_clock::now() >= until) return false;
    boost::asio::steady_timer(io, kAgain).wait();  // a lock tells nobody that it is free
  }
  return true;
}

}  // namespace

Result<void> DataDir::lock(const std::filesystem::path& file) {
  const int fd = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0)
    return system_error(fmt::format("cannot write to the data directory {}", path_.string()));
  if (!locked_within(fd, kPatience)) {
    char holder[32] = {};
    const auto n = ::read(fd, holder, sizeof holder - 1);
    ::close(fd);
    return fail(Code::failed_precondition, "data_dir_in_use",
                fmt::format("Another berth (process {}) uses the data directory {}. Stop it, or "
                            "give another --data-dir.",
                            n > 0 ? holder : "unknown", file.parent_path().string()));
  }
  locks_.push_back(fd);
  const std::string pid = std::to_string(getpid());
  if (ftruncate(fd, 0) != 0 || pwrite(fd, pid.data(), pid.size(), 0) < 0)
    return system_error("cannot write the lock file");
  return {};
}

Result<DataDir> DataDir::open(const std::filesystem::path& path, bool traversable,
                              const std::filesystem::path& database) {
  auto made = open_shared(path, traversable);
  if (!made) return made;
  if (auto locked = made->lock(made->path_ / "lock"); !locked)
    return std::unexpected(std::move(locked.error()));
  std::error_code ec;
  const auto file = std::filesystem::absolute(database, ec);
  if (file.parent_path() != made->path_) {  // a database elsewhere has one server, too
    std::filesystem::create_directories(file.parent_path(), ec);
    if (auto locked = made->lock(file.string() + ".lock"); !locked)
      return std::unexpected(std::move(locked.error()));
  }
  if (!close_database(file)) return system_error("cannot write the database file");
  return made;
}

Result<DataDir> DataDir::open_shared(const std::filesystem::path& path, bool traversable) {
  auto folder = make_folder(path, traversable);
  if (!folder) return std::unexpected(std::move(folder.error()));
  return DataDir(*folder);
}

DataDir::DataDir(DataDir&& other) noexcept
    : path_(std::move(other.path_)), locks_(std::exchange(other.locks_, {})) {}

DataDir::~DataDir() {
  for (const int fd : locks_) ::close(fd);
}

Result<void> DataDir::write_secret(const std::filesystem::path& file, const std::string& text) {
  const int fd = ::open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return system_error(fmt::format("cannot write {}", file.string()));
  const bool whole = ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  ::close(fd);
  if (!whole) return system_error(fmt::format("cannot write {}", file.string()));
  return {};
}

}  // namespace berth::app
