#include "runtime/process/folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>

#include "runtime/process/protocol.h"

namespace berth::process {
namespace {

std::optional<std::int64_t> to_number(std::string_view text) {
  std::int64_t out = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (ec != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return out;
}

std::int64_t number_or_zero(std::string_view text) { return to_number(text).value_or(0); }

// Calls take(key, value) for each entry; false when the record is torn or of another version.
template <class Take>
bool each_entry(std::string_view text, char separator, std::string_view version, Take take) {
  bool first = true;
  while (!text.empty()) {
    const auto stop = text.find(separator);
    if (stop == std::string_view::npos) return false;
    const auto entry = text.substr(0, stop);
    text.remove_prefix(stop + 1);
    if (first && entry != version) return false;
    if (entry == protocol::kEnd) return true;
    const auto equals = entry.find('=');
    if (!first && equals != std::string_view::npos) {
      take(entry.substr(0, equals), entry.substr(equals + 1));
    }
    first = false;
  }
  return false;
}

std::optional<std::string> read_all(int fd) {
  std::string out;
  char buffer[8192];
  for (;;) {
    const ssize_t n = ::read(fd, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return std::nullopt;
    if (n == 0) return out;
    out.append(buffer, static_cast<std::size_t>(n));
  }
}

struct Segment {
  std::int64_t offset = 0;
  std::int64_t size = 0;
  std::string name;
};

std::vector<Segment> segments(int folder) {
  std::vector<Segment> out;
  for (auto& name : names_in(folder)) {
    if (!name.starts_with(protocol::kLogPrefix)) continue;
    const auto offset = to_number(std::string_view(name).substr(std::strlen(protocol::kLogPrefix)));
    struct stat info{};
    if (!offset || ::fstatat(folder, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) continue;
    if (S_ISREG(info.st_mode)) out.push_back({*offset, info.st_size, std::move(name)});
  }
  std::ranges::sort(out, {}, &Segment::offset);
  return out;
}

// Appends bytes of one log file from `offset` on.
void read_segment(int folder, const Segment& segment, std::int64_t offset, std::size_t max,
                  std::string& into) {
  const Fd fd(
      ::openat(folder, segment.name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!fd) return;
  std::string piece(std::min(max, static_cast<std::size_t>(segment.offset + segment.size - offset)),
                    '\0');
  const ssize_t n = ::pread(fd.get(), piece.data(), piece.size(), offset - segment.offset);
  if (n > 0) into.append(piece, 0, static_cast<std::size_t>(n));
}

}  // namespace

Fd::~Fd() {
  if (fd_ >= 0) ::close(fd_);
}

std::unexpected<Error> system_failure(const std::string& what) {
  return fail(Code::unavailable, "process_runtime",
              fmt::format("{}: {}.", what, std::strerror(errno)));
}

std::string to_text(const LaunchFile& launch) {
  std::string out;
  const auto line = [&out](std::string_view text) { out.append(text).push_back('\0'); };
  const auto add = [&out](std::string_view key, std::string_view value) {
    out.append(key).append("=").append(value).push_back('\0');
  };
  const auto add_all = [&](std::string_view key, const std::vector<std::string>& values) {
    for (const auto& value : values) add(key, value);
  };
  line(protocol::kLaunchVersion);
  add_all("arg", launch.arguments);
  add_all("env", launch.environment);
  add_all("mark", launch.marks);
  add_all("cgroup", launch.cgroups);
  add_all("set", launch.settings);
  add_all("try", launch.wishes);
  add_all("rlimit", launch.rlimits);
  if (!launch.kill_file.empty()) add("kill", launch.kill_file);
  if (!launch.oom_file.empty()) add("oom", launch.oom_file);
  if (!launch.pids_file.empty()) add("pids", launch.pids_file);
  add("work", launch.work);
  if (launch.uid) add("uid", std::to_string(*launch.uid));
  add("run_ms", std::to_string(launch.run_ms));
  add("grace_ms", std::to_string(launch.grace_ms));
  add("log_bytes", std::to_string(launch.log_bytes));
  if (launch.port) add("port", std::to_string(*launch.port));
  add("ready_path", launch.ready_path);
  add("ready_ms", std::to_string(launch.ready_ms));
  line(protocol::kEnd);
  return out;
}

std::optional<LaunchFile> parse_launch(std::string_view text) {
  LaunchFile out;
  const std::map<std::string_view, std::vector<std::string>*> lists{
      {"arg", &out.arguments},  {"env", &out.environment}, {"mark", &out.marks},
      {"cgroup", &out.cgroups}, {"set", &out.settings},    {"try", &out.wishes},
      {"rlimit", &out.rlimits}};
  const std::map<std::string_view, std::string*> texts{{"kill", &out.kill_file},
                                                       {"oom", &out.oom_file},
                                                       {"pids", &out.pids_file},
                                                       {"work", &out.work},
                                                       {"ready_path", &out.ready_path}};
  const std::map<std::string_view, std::int64_t*> numbers{{"run_ms", &out.run_ms},
                                                          {"grace_ms", &out.grace_ms},
                                                          {"log_bytes", &out.log_bytes},
                                                          {"ready_ms", &out.ready_ms}};
  const auto take = [&](std::string_view key, std::string_view value) {
    if (const auto list = lists.find(key); list != lists.end()) list->second->emplace_back(value);
    if (const auto one = texts.find(key); one != texts.end()) *one->second = value;
    if (const auto one = numbers.find(key); one != numbers.end())
      *one->second = number_or_zero(value);
    if (key == "uid") out.uid = static_cast<std::uint32_t>(number_or_zero(value));
    if (key == "port") out.port = static_cast<std::uint16_t>(number_or_zero(value));
  };
  if (!each_entry(text, '\0', protocol::kLaunchVersion, take)) return std::nullopt;
  return out;
}

std::optional<StatusFile> parse_status(std::string_view text) {
  StatusFile out;
  const auto take = [&out](std::string_view key, std::string_view value) {
    if (key == "state" && value == protocol::kExited) out.state = StatusFile::State::exited;
    if (key == "state" && value == protocol::kRefused) out.state = StatusFile::State::refused;
    if (key == "supervisor") out.supervisor = number_or_zero(value);
    if (key == "pid") out.pid = number_or_zero(value);
    if (key == "started_at") out.started_at = number_or_zero(value);
    if (key == "exit_code") out.exit_code = static_cast<std::int32_t>(number_or_zero(value));
    if (key == "signal") out.signal = static_cast<std::int32_t>(number_or_zero(value));
    if (key == "oom") out.out_of_memory = value == "1";
    if (key == "reason") out.reason = value;
    if (key == "error") out.error = value;
  };
  if (!each_entry(text, '\n', protocol::kStatusVersion, take)) return std::nullopt;
  return out;
}

std::optional<Folder> Folder::open(int root, const std::string& name) {
  Fd fd(::openat(root, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) return std::nullopt;
  return Folder(std::move(fd));
}

Result<Folder> Folder::create(int root, const std::string& name, bool traversable) {
  const mode_t mode = traversable ? 0711 : 0700;
  if (::mkdirat(root, name.c_str(), mode) != 0 && errno != EEXIST) {
    return system_failure("cannot make the attempt's folder " + name);
  }
  auto made = open(root, name);
  if (!made) return system_failure("cannot open the attempt's folder " + name);
  if (::fchmod(made->fd(), mode) != 0)
    return system_failure("cannot use the attempt's folder " + name);
  return std::move(*made);
}

bool Folder::has(const char* file) const {
  struct stat info{};
  return ::fstatat(fd(), file, &info, AT_SYMLINK_NOFOLLOW) == 0;
}

std::optional<std::string> Folder::read(const char* file) const {
  const Fd in(::openat(fd(), file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  return in ? read_all(in.get()) : std::nullopt;
}

std::optional<LaunchFile> Folder::launch() const {
  const auto text = read(protocol::kLaunch);
  return text ? parse_launch(*text) : std::nullopt;
}

std::optional<StatusFile> Folder::status() const {
  const auto text = read(protocol::kStatus);
  return text ? parse_status(*text) : std::nullopt;
}

bool Folder::locked() const {
  const Fd file(::openat(fd(), protocol::kLock, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!file) return false;
  struct flock look{};
  look.l_type = F_WRLCK;
  look.l_whence = SEEK_SET;
  return ::fcntl(file.get(), F_OFD_GETLK, &look) == 0 && look.l_type != F_UNLCK;
}

Result<void> Folder::write(const char* file, std::string_view text) const {
  const std::string fresh = std::string(file) + ".part";
  ::unlinkat(fd(), fresh.c_str(), 0);
  {
    const Fd out(
        ::openat(fd(), fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!out) return system_failure(fmt::format("cannot write {}", file));
    while (!text.empty()) {
      const ssize_t n = ::write(out.get(), text.data(), text.size());
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return system_failure(fmt::format("cannot write {}", file));
      text.remove_prefix(static_cast<std::size_t>(n));
    }
  }
  if (::renameat(fd(), fresh.c_str(), fd(), file) != 0) {
    return system_failure(fmt::format("cannot write {}", file));
  }
  return {};
}

Result<void> Folder::make_control() const {
  if (::mkfifoat(fd(), protocol::kControl, 0600) != 0 && errno != EEXIST) {
    return system_failure("cannot make the control pipe");
  }
  return {};
}

bool Folder::ask_to_stop(std::chrono::milliseconds grace, const char* reason) const {
  const Fd out(::openat(fd(), protocol::kControl, O_WRONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC));
  if (!out) return false;
  const std::string text =
      fmt::format("stop {} {}\n", std::max<std::int64_t>(grace.count(), 0), reason);
  return ::write(out.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

void Folder::remove(const char* file) const { ::unlinkat(fd(), file, 0); }

std::optional<LogChunk> Folder::log(const LogQuery& query) const {
  // The oldest file may go between looking and reading; then we look once more.
  for (int look = 0; look < 3; ++look) {
    const auto files = segments(fd());
    if (files.empty()) return std::nullopt;
    const std::int64_t begin = files.front().offset;
    const std::int64_t end = files.back().offset + files.back().size;
    LogChunk out;
    const std::int64_t wanted =
        query.offset < 0 ? std::max<std::int64_t>(0, end + query.offset) : query.offset;
    out.offset = out.next_offset = std::clamp(wanted, begin, end);
    for (const auto& file : files) {
      if (out.bytes.size() >= query.max_bytes) break;
      if (out.next_offset < file.offset || out.next_offset >= file.offset + file.size) continue;
      read_segment(fd(), file, out.next_offset, query.max_bytes - out.bytes.size(), out.bytes);
      out.next_offset = out.offset + static_cast<std::int64_t>(out.bytes.size());
    }
    out.end = out.next_offset == end;
    if (!out.bytes.empty() || out.end || query.max_bytes == 0) return out;
  }
  return std::nullopt;
}

Result<void> make_private_folder(const std::string& path, std::optional<std::uint32_t> owner) {
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST)
    return system_failure("cannot make " + path);
  const Fd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) return system_failure("cannot open " + path);
  if (owner && ::fchown(fd.get(), *owner, *owner) != 0)
    return system_failure("cannot give away " + path);
  if (::fchmod(fd.get(), 0700) != 0) return system_failure("cannot close " + path);
  return {};
}

std::optional<AttemptKey> parse_key(std::string_view name) {
  const auto dash = name.rfind('-');
  if (dash == std::string_view::npos) return std::nullopt;
  const auto id = DeploymentId::parse(name.substr(0, dash));
  const auto numbers = name.substr(dash + 1);
  const auto dot = numbers.find('.');
  const auto number = to_number(numbers.substr(0, dot));
  const auto replica = dot == std::string_view::npos ? 0 : to_number(numbers.substr(dot + 1));
  const auto fits = [](const std::optional<std::int64_t>& n) {
    return n && *n >= 0 && *n <= INT32_MAX;
  };
  if (!id || !fits(number) || !fits(replica)) return std::nullopt;
  const AttemptKey key{*id, static_cast<std::int32_t>(*number),
                       static_cast<std::int32_t>(*replica)};
  if (key.str() != name) return std::nullopt;
  return key;
}

std::vector<std::string> names_in(int folder) {
  std::vector<std::string> out;
  const int copy = ::openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* dir = copy < 0 ? nullptr : ::fdopendir(copy);
  if (dir == nullptr) {
    if (copy >= 0) ::close(copy);
    return out;
  }
  while (const dirent* entry = ::readdir(dir)) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") out.emplace_back(name);
  }
  ::closedir(dir);
  return out;
}

}  // namespace berth::process
