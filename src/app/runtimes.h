// Which adapter runs a cluster of which kind.
#pragma once
#include <filesystem>

#include "app/config.h"
#include "service/runner.h"

namespace berth::app {

[[nodiscard]] RuntimeFactory runtime_factory(const ServeConfig& config, std::filesystem::path root,
                                             asio::io_context& io, const Clock& clock,
                                             Random& random);

}  // namespace berth::app
