#include "server_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <thread>
#include <vector>

#include "load.h"

extern char** environ;

namespace berth::bench {
namespace {

std::uint16_t free_port() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof at;
  if (bind(fd, reinterpret_cast<sockaddr*>(&at), sizeof at) != 0 ||
      getsockname(fd, reinterpret_cast<sockaddr*>(&at), &size) != 0) {
    throw std::runtime_error("no free port");
  }
  close(fd);
  return ntohs(at.sin_port);
}

bool ready(std::uint16_t port) {
  try {
    return Wire(port).call(http_request("GET", "/readyz", "")).first == 200;
  } catch (const std::runtime_error&) {
    return false;
  }
}

}  // namespace

ServerProcess::ServerProcess(std::string program, std::string data_dir) : port_(free_port()) {
  std::vector<std::string> words{
      std::move(program), "serve",  "--listen",     fmt::format("127.0.0.1:{}", port_),
      "--data-dir",       data_dir, "--rate-limit", "off"};
  std::vector<char*> argv;
  for (auto& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
  const auto began = std::chrono::steady_clock::now();
  if (posix_spawn(&pid_, argv[0], &files, nullptr, argv.data(), environ) != 0)
    throw std::runtime_error("cannot start " + words[0]);
  posix_spawn_file_actions_destroy(&files);
  while (!ready(port_)) {
    if (std::chrono::steady_clock::now() - began > std::chrono::seconds(60))
      throw std::runtime_error("the server did not get ready");
    if (waitpid(pid_, nullptr, WNOHANG) == pid_)
      throw std::runtime_error("the server ended at once");
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  ready_after_ = std::chrono::duration_cast<std::chrono::microseconds>(
      std::chrono::steady_clock::now() - began);
}

ServerProcess::~ServerProcess() {
  kill(pid_, SIGTERM);
  waitpid(pid_, nullptr, 0);
}

std::int64_t ServerProcess::resident_bytes() const {
  std::ifstream status(fmt::format("/proc/{}/status", pid_));
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmRSS:")) return std::strtoll(line.c_str() + 6, nullptr, 10) * 1024;
  }
  return 0;
}

TemporaryDirectory::TemporaryDirectory(const std::string& parent) {
  std::string name = parent + "/berth-bench-XXXXXX";
  if (mkdtemp(name.data()) == nullptr)
    throw std::runtime_error("cannot make a directory in " + parent);
  path_ = name;
}
TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ec;
  std::filesystem::remove_all(path_, ec);
}

}  // namespace berth::bench
