#include "runtime/process/machine.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/hash.h"

extern "C" {
extern const char berth_supervisor_bytes[], berth_supervisor_bytes_end[];
}

namespace berth::process {
namespace {

std::string_view supervisor_bytes() {
  return {berth_supervisor_bytes,
          static_cast<std::size_t>(berth_supervisor_bytes_end - berth_supervisor_bytes)};
}

// Free on every address of this machine. Listening is the test that old connections in TIME_WAIT do
// not disturb.
bool is_free(std::uint16_t port) {
  const Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(port);
  at.sin_addr.s_addr = htonl(INADDR_ANY);
  return ::bind(socket.get(), reinterpret_cast<sockaddr*>(&at), sizeof at) == 0 &&
         ::listen(socket.get(), 1) == 0;
}

bool has_content(const std::string& path, std::string_view wanted) {
  std::ifstream in(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  return text == wanted;
}

// Another server on this machine may hand out the same numbers.
std::set<std::uint32_t> users_with_processes() {
  std::set<std::uint32_t> out;
  const Fd proc(::open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!proc) return out;
  for (const auto& name : names_in(proc.get())) {
    struct stat info{};
    if (name.front() < '0' || name.front() > '9') continue;
    if (::fstatat(proc.get(), name.c_str(), &info, 0) == 0) out.insert(info.st_uid);
  }
  return out;
}

void open_folders(const std::filesystem::path& top) {
  namespace fs = std::filesystem;
  std::error_code ec;
  if (!fs::is_directory(fs::symlink_status(top, ec))) return;
  fs::permissions(top, fs::perms::owner_all, ec);
  const auto options = fs::directory_options::skip_permission_denied;
  for (fs::recursive_directory_iterator at(top, options, ec), end; !ec && at != end;
       at.increment(ec)) {
    std::error_code one;
    // Before the next step goes into it.
    if (fs::is_directory(at->symlink_status(one)))
      fs::permissions(at->path(), fs::perms::owner_all, one);
  }
}

Result<void> write_program(const std::string& path, std::string_view bytes) {
  const std::string fresh = fmt::format("{}.{}", path, ::getpid());
  {
    const Fd out(
        ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0700));
    if (!out) return system_failure("cannot write " + fresh);
    while (!bytes.empty()) {
      const ssize_t n = ::write(out.get(), bytes.data(), bytes.size());
      if (n <= 0) return system_failure("cannot write " + fresh);
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    if (::fsync(out.get()) != 0) return system_failure("cannot write " + fresh);
  }
  if (::rename(fresh.c_str(), path.c_str()) != 0) return system_failure("cannot write " + path);
  return {};
}

}  // namespace

Machine::Machine(MachineOptions options, asio::thread_pool& files)
    : options_(std::move(options)), files_(files) {}

void Machine::load() {
  if (std::exchange(loaded_, true)) return;
  const Fd root(::open(options_.root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root) return;
  for (const auto& cluster : names_in(root.get())) {
    const auto folder = Folder::open(root.get(), cluster);
    if (!folder) continue;
    for (const auto& name : names_in(folder->fd())) {
      if (!parse_key(name)) continue;
      const auto attempt = Folder::open(folder->fd(), name);
      const auto launch = attempt ? attempt->launch() : std::nullopt;
      if (launch) hold(*launch);
    }
  }
}

Result<std::string> Machine::supervisor() {
  if (!supervisor_.empty() && ::access(supervisor_.c_str(), X_OK) == 0) return supervisor_;
  const auto bytes = supervisor_bytes();
  const Digest digest = sha256(bytes);
  const std::string name =
      to_hex({reinterpret_cast<const char*>(digest.data()), digest.size()}).substr(0, 16);
  std::string path = options_.root + "/supervisor-" + name;
  if (!has_content(path, bytes)) {
    if (auto written = write_program(path, bytes); !written)
      return std::unexpected(written.error());
  }
  return supervisor_ = std::move(path);
}

Result<std::uint16_t> Machine::claim_port(std::optional<std::uint16_t> wanted, std::size_t seed) {
  if (wanted && !ports_.contains(*wanted) && is_free(*wanted)) {
    ports_.insert(*wanted);
    return *wanted;
  }
  const std::size_t size = options_.last_port - options_.first_port + 1U;
  for (std::size_t i = 0; i < size; ++i) {
    const auto port = static_cast<std::uint16_t>(options_.first_port + (seed + i) % size);
    if (ports_.contains(port) || !is_free(port)) continue;
    ports_.insert(port);
    return port;
  }
  return fail(Code::unavailable, "no_port", "No port is free on this machine.");
}

Result<std::uint32_t> Machine::claim_uid(std::size_t seed) {
  const std::size_t size = options_.last_uid - options_.first_uid + 1U;
  const auto running = users_with_processes();
  for (std::size_t i = 0; i < size; ++i) {
    const auto uid = static_cast<std::uint32_t>(options_.first_uid + (seed + i) % size);
    if (!running.contains(uid) && uids_.insert(uid).second) return uid;
  }
  return fail(Code::unavailable, "no_user",
              "Every user id that is set aside for workloads is in use.");
}

void Machine::hold(const LaunchFile& launch) {
  if (launch.port) ports_.insert(*launch.port);
  if (launch.uid) uids_.insert(*launch.uid);
}

void Machine::release(const LaunchFile& launch) {
  if (launch.port) ports_.erase(*launch.port);
  if (launch.uid) uids_.erase(*launch.uid);
}

Task<void> Machine::remove_tree(std::string path) {
  std::function<int()> work = [path = std::move(path)] {
    std::error_code ec;
    std::filesystem::remove_all(path, ec);
    if (!ec) return 0;
    // A server that is not root cannot empty a folder that a workload has closed.
    open_folders(path);
    std::filesystem::remove_all(path, ec);
    return 0;
  };
  (void)co_await elsewhere<int>(std::move(work));
}

}  // namespace berth::process
