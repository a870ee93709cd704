// Who listens on a TCP port of this machine, as far as /proc lets us see.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

namespace berth::net {

// "process 4711 (nginx)"; empty when it belongs to someone whose files we may not read.
[[nodiscard]] std::optional<std::string> port_owner(std::uint16_t port);

}  // namespace berth::net
