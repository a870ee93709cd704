#include "net/port_owner.h"

#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string_view>

namespace berth::net {
namespace {

namespace fs = std::filesystem;

// Inodes of sockets that listen on the port. A line of /proc/net/tcp reads
//   sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode ...
// with the address as HEXADDR:HEXPORT and 0A for the state "listen".
std::set<std::string> listening_inodes(std::uint16_t port) {
  std::set<std::string> out;
  const std::string wanted = fmt::format(":{:04X}", port);
  for (const char* table : {"/proc/net/tcp", "/proc/net/tcp6"}) {
    std::ifstream in(table);
    std::string line;
    std::getline(in, line);  // the headings
    while (std::getline(in, line)) {
      std::istringstream words(line);
      std::string slot, local, remote, state, queues, timer, retransmits, user, timeout, inode;
      words >> slot >> local >> remote >> state >> queues >> timer >> retransmits >> user >>
          timeout >> inode;
      if (state == "0A" && local.ends_with(wanted)) out.insert("socket:[" + inode + "]");
    }
  }
  return out;
}

}  // namespace

std::optional<std::string> port_owner(std::uint16_t port) {
  const auto inodes = listening_inodes(port);
  if (inodes.empty()) return std::nullopt;
  // Processes come and go while we look, so every step may fail and then means "not this one".
  std::error_code ec;
  for (fs::directory_iterator it("/proc", ec), end; !ec && it != end; it.increment(ec)) {
    const auto pid = it->path().filename().string();
    if (pid.find_first_not_of("0123456789") != std::string::npos) continue;
    std::error_code inner;
    for (fs::directory_iterator fd(it->path() / "fd", inner), last; !inner && fd != last;
         fd.increment(inner)) {
      std::error_code unreadable;
      const auto link = fs::read_symlink(fd->path(), unreadable);
      if (unreadable || !inodes.contains(link.string())) continue;
      std::ifstream in(it->path() / "comm");
      std::string name;
      std::getline(in, name);
      return fmt::format("process {} ({})", pid, name);
    }
  }
  return std::nullopt;
}

}  // namespace berth::net
