#include "app/data_dir.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
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
bool close_database(const std::filesystem::path& folder) {
  const int fd =
      ::open((folder / "berth.db").c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) return false;
  const bool closed = fchmod(fd, 0600) == 0;
  ::close(fd);
  for (const char* beside : {"berth.db-wal", "berth.db-shm"}) {
    if (chmod((folder / beside).c_str(), 0600) != 0 && errno != ENOENT) return false;
  }
  return closed;
}

}  // namespace

Result<DataDir> DataDir::open(const std::filesystem::path& path, bool traversable) {
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
  const auto lock_file = absolute / "lock";
  const int fd = ::open(lock_file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0)
    return system_error(fmt::format("cannot write to the data directory {}", absolute.string()));
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    char holder[32] = {};
    const auto n = ::read(fd, holder, sizeof holder - 1);
    ::close(fd);
    return fail(Code::failed_precondition, "data_dir_in_use",
                fmt::format("Another berth (process {}) uses the data directory {}. Stop it, or "
                            "give another --data-dir.",
                            n > 0 ? holder : "unknown", absolute.string()));
  }
  const std::string pid = std::to_string(getpid());
  if (ftruncate(fd, 0) != 0 || pwrite(fd, pid.data(), pid.size(), 0) < 0) {
    ::close(fd);
    return system_error("cannot write the lock file");
  }
  if (!close_database(absolute)) {
    ::close(fd);
    return system_error("cannot write the database file");
  }
  return DataDir(absolute, fd);
}

DataDir::DataDir(DataDir&& other) noexcept
    : path_(std::move(other.path_)), lock_(std::exchange(other.lock_, -1)) {}

DataDir::~DataDir() {
  if (lock_ >= 0) ::close(lock_);
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
