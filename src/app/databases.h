// From URLs to adapters.
#pragma once
#include <memory>

#include "app/config.h"
#include "queue/work_queue.h"
#include "store/store.h"

namespace berth::app {

// Throws std::runtime_error with a sentence when it cannot be used.
[[nodiscard]] std::unique_ptr<Store> open_store(const ServeConfig& config);
[[nodiscard]] std::unique_ptr<WorkQueue> open_queue(const ServeConfig& config);

}  // namespace berth::app
