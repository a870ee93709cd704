#pragma once
#include "queue/work_queue.h"
#include "store/store.h"
namespace berth {
class Relay {
 public:
  Relay(Store&, WorkQueue&) {}
  Result<std::size_t> step(std::size_t = 1000) { return std::size_t{0}; }
  Result<std::size_t> heal(std::size_t) { return std::size_t{0}; }
};
}
