#include "app/databases.h"

#include <stdexcept>

#include "queue/memory/memory_queue.h"
#include "queue/redis/redis_queue.h"
#include "store/postgres/postgres_store.h"
#include "store/sqlite/sqlite_store.h"

namespace berth::app {

std::unique_ptr<Store> open_store(const ServeConfig& config) {
  if (const auto file = sqlite_file(config); !file.empty())
    return std::make_unique<sqlite::SqliteStore>(sqlite::Options{file.string()});
  postgres::Options options;
  options.url = config.database;
  return std::make_unique<postgres::PostgresStore>(std::move(options));
}

std::unique_ptr<WorkQueue> open_queue(const ServeConfig& config) {
  if (config.queue == "memory") return std::make_unique<memory::MemoryQueue>();
  auto options = redis::parse_redis_url(config.queue);
  if (!options) throw std::runtime_error(options.error().message);
  return std::make_unique<redis::RedisQueue>(std::move(*options));
}

}  // namespace berth::app
