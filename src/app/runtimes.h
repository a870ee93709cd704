// Which adapter runs a cluster of which kind. They answer on `io`; `files` does their slow file
// work.
#pragma once
#include <boost/asio/thread_pool.hpp>
#include <filesystem>

#include "app/config.h"
#include "service/runner.h"

namespace berth::app {

[[nodiscard]] RuntimeFactory runtime_factory(const ServeConfig& config, std::filesystem::path root,
                                             asio::io_context& io, asio::thread_pool& files,
                                             const Clock& clock);

}  // namespace berth::app
