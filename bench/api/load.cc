#include "load.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <stdexcept>

namespace berth::bench {
namespace {

using Clock = std::chrono::steady_clock;

int connect_to(std::uint16_t port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (fd < 0 || connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0)
    throw std::runtime_error("cannot connect");
  const int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  return fd;
}

// The whole answer's length, once its head is there; the server always sends Content-Length here.
std::size_t answer_length(std::string_view bytes) {
  const auto head = bytes.find("\r\n\r\n");
  if (head == std::string_view::npos) return 0;
  const auto at = bytes.substr(0, head).find("Content-Length: ");
  std::size_t length = 0;
  if (at != std::string_view::npos)
    std::from_chars(bytes.data() + at + 16, bytes.data() + head, length);
  return head + 4 + length;
}

int status_of(std::string_view bytes) {
  int status = 0;
  if (bytes.size() > 12) std::from_chars(bytes.data() + 9, bytes.data() + 12, status);
  return status;
}

struct Lane {
  int fd = -1;
  std::string in;
  Clock::time_point sent;
};

void send_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const auto n = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n <= 0) throw std::runtime_error("the connection broke while sending");
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
}

}  // namespace

double LoadResult::quantile_ms(double q) const {
  if (latency_ms.empty()) return 0;
  const auto rank = static_cast<std::size_t>(std::ceil(q * static_cast<double>(latency_ms.size())));
  return latency_ms[std::clamp<std::size_t>(rank, 1, latency_ms.size()) - 1];
}

std::string http_request(const std::string& method, const std::string& path,
                         const std::string& token, const std::string& body) {
  std::string out = fmt::format("{} {} HTTP/1.1\r\nHost: localhost\r\n", method, path);
  if (!token.empty()) out += fmt::format("Authorization: Bearer {}\r\n", token);
  if (!body.empty())
    out += fmt::format("Content-Type: application/json\r\nContent-Length: {}\r\n", body.size());
  if (body.empty() && method != "GET") out += "Content-Length: 0\r\n";
  return out + "\r\n" + body;
}

LoadResult run_load(const LoadPlan& plan) {
  const int poll = epoll_create1(EPOLL_CLOEXEC);
  std::vector<Lane> lanes(static_cast<std::size_t>(plan.connections));
  LoadResult out;
  std::uint64_t sent = 0;
  const auto began = Clock::now();
  const auto until = plan.duration.count() > 0 ? began + plan.duration : Clock::time_point::max();
  const auto go_on = [&] {
    return plan.requests == 0 ? Clock::now() < until : sent < plan.requests;
  };
  std::size_t in_flight = 0;
  const auto fire = [&](Lane& lane) {
    lane.sent = Clock::now();
    send_all(lane.fd, plan.next());
    ++sent;
    ++in_flight;
  };
  for (std::size_t i = 0; i < lanes.size(); ++i) {
    lanes[i].fd = connect_to(plan.ports.empty() ? plan.port : plan.ports[i % plan.ports.size()]);
    epoll_event want{.events = EPOLLIN, .data = {.u64 = i}};
    epoll_ctl(poll, EPOLL_CTL_ADD, lanes[i].fd, &want);
    if (go_on()) fire(lanes[i]);
  }
  std::vector<epoll_event> ready(lanes.size());
  std::vector<char> buffer(256 << 10);
  while (in_flight > 0) {
    const int n = epoll_wait(poll, ready.data(), static_cast<int>(ready.size()), 30'000);
    if (n <= 0) throw std::runtime_error("no answer within 30 s");
    for (int i = 0; i < n; ++i) {
      Lane& lane = lanes[ready[static_cast<std::size_t>(i)].data.u64];
      const auto got = recv(lane.fd, buffer.data(), buffer.size(), 0);
      if (got <= 0) throw std::runtime_error("the server closed a connection");
      lane.in.append(buffer.data(), static_cast<std::size_t>(got));
      const auto length = answer_length(lane.in);
      if (length == 0 || lane.in.size() < length) continue;
      out.latency_ms.push_back(
          std::chrono::duration<float, std::milli>(Clock::now() - lane.sent).count());
      ++out.answered;
      if (status_of(lane.in) >= 400) ++out.refused;
      if (plan.body) plan.body(std::string_view(lane.in).substr(lane.in.find("\r\n\r\n") + 4));
      lane.in.clear();
      --in_flight;
      if (go_on()) fire(lane);
    }
  }
  out.seconds = std::chrono::duration<double>(Clock::now() - began).count();
  for (auto& lane : lanes) close(lane.fd);
  close(poll);
  std::sort(out.latency_ms.begin(), out.latency_ms.end());
  return out;
}

Wire::Wire(std::uint16_t port) : fd_(connect_to(port)) {
  const timeval patience{.tv_sec = 10, .tv_usec = 0};
  setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
}
Wire::~Wire() { close(fd_); }

void Wire::send(const std::string& bytes) const { send_all(fd_, bytes); }

std::string Wire::receive() {
  std::string out(64 << 10, '\0');
  const auto got = recv(fd_, out.data(), out.size(), 0);
  out.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  return out;
}

std::pair<int, std::string> Wire::call(const std::string& request) {
  send(request);
  std::string in;
  for (;;) {
    const auto piece = receive();
    if (piece.empty()) throw std::runtime_error("no answer");
    in += piece;
    const auto length = answer_length(in);
    if (length > 0 && in.size() >= length)
      return {status_of(in), in.substr(in.find("\r\n\r\n") + 4)};
  }
}

}  // namespace berth::bench
