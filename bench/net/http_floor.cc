// The least a request can cost: a constant answer through HttpServer, for wrk or its like.
//   http_floor [port] [threads], then: wrk -t1 -c64 -d10s http://127.0.0.1:8900/
#include <signal.h>

#include <cstdio>
#include <cstdlib>

#include "net/http_server.h"

namespace {

class Constant final : public berth::net::Handler {
 public:
  berth::net::BodyPolicy body_policy(const berth::net::Request&) override {
    return berth::net::BodyPolicy::whole;
  }
  berth::Task<berth::net::Response> handle(berth::net::Request) override {
    berth::net::Response response;
    response.body = "hello world\n";
    co_return response;
  }
  berth::net::Response refuse(int status, std::string_view why) override {
    berth::net::Response response;
    response.status = status;
    response.body = why;
    return response;
  }
};

}  // namespace

int main(int argc, char** argv) {
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGINT);
  sigaddset(&ends, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &ends, nullptr);  // before any thread, so that all inherit it

  Constant handler;
  berth::net::ServerOptions options;
  options.port = static_cast<std::uint16_t>(argc > 1 ? std::atoi(argv[1]) : 8900);
  options.threads = argc > 2 ? std::atoi(argv[2]) : 1;
  berth::net::HttpServer server(options, handler);
  if (const auto started = server.start(); !started) {
    std::fprintf(stderr, "%s\n", started.error().message.c_str());
    return 1;
  }
  int signal = 0;
  sigwait(&ends, &signal);
}
