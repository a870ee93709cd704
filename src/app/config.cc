#include "app/config.h"

#include <unistd.h>

#include <charconv>
#include <cstdlib>

namespace berth::app {

Result<void> set_listen(ServeConfig& config, const std::string& listen) {
  const auto colon = listen.rfind(':');
  std::string host = colon == std::string::npos ? "" : listen.substr(0, colon);
  const std::string port = colon == std::string::npos ? listen : listen.substr(colon + 1);
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']')
    host = host.substr(1, host.size() - 2);
  std::uint16_t number = 0;
  const auto [end, ec] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (ec != std::errc{} || end != port.data() + port.size()) {
    return fail(
        Code::invalid_argument, "invalid_listen",
        "--listen takes HOST:PORT, for example 127.0.0.1:8000; '" + listen + "' is not that.");
  }
  if (!host.empty()) config.host = host == "localhost" ? "127.0.0.1" : host;
  config.port = number;
  return {};
}

std::filesystem::path default_data_dir() {
  if (const char* given = std::getenv("BERTH_DATA_DIR"); given != nullptr && *given != 0)
    return given;
  if (geteuid() == 0) return "/var/lib/berth";
  const char* home = std::getenv("HOME");
  return std::filesystem::path(home == nullptr ? "." : home) / ".local/share/berth";
}

}  // namespace berth::app
