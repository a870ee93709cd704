#include "service/log.h"

#include <spdlog/spdlog.h>

namespace berth {

void log_info(std::string_view what, std::string_view detail) {
  detail.empty() ? spdlog::info("{}", what) : spdlog::info("{}: {}", what, detail);
}
void log_error(std::string_view what, std::string_view detail) {
  detail.empty() ? spdlog::error("{}", what) : spdlog::error("{}: {}", what, detail);
}

}  // namespace berth
