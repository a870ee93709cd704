#include "service/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

namespace berth {
namespace {

// Standard output is for results: what a program reads there must not be mixed with this.
spdlog::logger& lines() {
  static const auto logger = spdlog::stderr_logger_mt("berth");
  return *logger;
}

}  // namespace

void log_info(std::string_view what, std::string_view detail) {
  detail.empty() ? lines().info("{}", what) : lines().info("{}: {}", what, detail);
}
void log_error(std::string_view what, std::string_view detail) {
  detail.empty() ? lines().error("{}", what) : lines().error("{}: {}", what, detail);
}

}  // namespace berth
