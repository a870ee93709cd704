#include "log.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "runtime/process/protocol.h"

namespace berth::process {
namespace {

void file_name(char (&out)[64], std::int64_t offset) {
  std::snprintf(out, sizeof out, "%s%0*lld", protocol::kLogPrefix, protocol::kLogDigits,
                static_cast<long long>(offset));
}

}  // namespace

Log::Log(int folder, std::int64_t cap) : folder_(folder), half_(cap / 2 < 1 ? 1 : cap / 2) {
  begin(0);
}

bool Log::begin(std::int64_t offset) {
  char name[64];
  file_name(name, offset);
  const int fd = ::openat(folder_, name,
                          O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) return false;
  if (fd_ >= 0) {
    ::close(fd_);
    if (previous_ >= 0) {
      file_name(name, previous_);
      ::unlinkat(folder_, name, 0);
    }
    previous_ = offset_;
  }
  fd_ = fd;
  offset_ = offset;
  size_ = 0;
  return true;
}

// What the disk does not take is lost: a full disk must not stop the workload.
void Log::append(const char* data, std::size_t size) {
  while (size > 0) {
    if (size_ >= half_ && !begin(offset_ + size_)) return;
    if (fd_ < 0 && !begin(0)) return;
    const auto room = static_cast<std::size_t>(half_ - size_);
    const ssize_t n = ::write(fd_, data, size < room ? size : room);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;
    size_ += n;
    data += n;
    size -= static_cast<std::size_t>(n);
  }
}

}  // namespace berth::process
