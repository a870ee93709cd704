#include "files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace berth::process {
namespace {

bool write_all(int fd, const char* data, std::size_t size) {
  while (size > 0) {
    const ssize_t n = ::write(fd, data, size);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    data += n;
    size -= static_cast<std::size_t>(n);
  }
  return true;
}

Bytes read_open(int fd) {
  Bytes out;
  if (fd < 0) return out;
  std::size_t room = 4096;
  out.data = static_cast<char*>(::malloc(room));
  while (out.data != nullptr) {
    const ssize_t n = ::read(fd, out.data + out.size, room - out.size - 1);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      ::free(out.data);
      out = {};
      break;
    }
    if (n == 0) break;
    out.size += static_cast<std::size_t>(n);
    if (room - out.size < 2) {
      room *= 2;
      out.data = static_cast<char*>(::realloc(out.data, room));
    }
  }
  if (out.data != nullptr) out.data[out.size] = 0;
  ::close(fd);
  return out;
}

std::int64_t clock_value(clockid_t clock, std::int64_t per_second) {
  timespec t{};
  ::clock_gettime(clock, &t);
  return t.tv_sec * per_second + t.tv_nsec / (1'000'000'000 / per_second);
}

}  // namespace

void TextList::add(char* text) {
  if (size_ + 1 >= room_) {
    room_ = room_ == 0 ? 16 : room_ * 2;
    items_ =
        static_cast<char**>(::realloc(items_, sizeof(char*) * static_cast<std::size_t>(room_)));
    if (items_ == nullptr) ::abort();
  }
  items_[size_++] = text;
  items_[size_] = nullptr;
}

Bytes read_file(int folder, const char* name) {
  return read_open(::openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
}

Bytes read_path(const char* path) { return read_open(::open(path, O_RDONLY | O_CLOEXEC)); }

bool write_path(const char* path, const char* text) {
  const int fd = ::open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool whole = write_all(fd, text, ::strlen(text));
  const int error = errno;
  ::close(fd);
  errno = error;
  return whole;
}

bool exists(int folder, const char* name) {
  struct stat info{};
  return ::fstatat(folder, name, &info, AT_SYMLINK_NOFOLLOW) == 0;
}

bool replace_file(int folder, const char* name, const char* data, std::size_t size, bool durable) {
  char fresh[64] = "";
  ::strncat(fresh, name, sizeof fresh - 8);
  ::strcat(fresh, ".new");
  ::unlinkat(folder, fresh, 0);
  const int fd =
      ::openat(folder, fresh, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) return false;
  const bool whole = write_all(fd, data, size) && (!durable || ::fdatasync(fd) == 0);
  ::close(fd);
  if (!whole || ::renameat(folder, fresh, folder, name) != 0) return false;
  if (durable) ::fsync(folder);
  return true;
}

std::int64_t number(const char* text) {
  std::int64_t out = 0;
  for (; *text >= '0' && *text <= '9'; ++text) out = out * 10 + (*text - '0');
  return out;
}

std::int64_t now_ms() { return clock_value(CLOCK_BOOTTIME, 1000); }
std::int64_t wall_micros() { return clock_value(CLOCK_REALTIME, 1'000'000); }

}  // namespace berth::process
