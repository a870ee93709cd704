// What a server process needs to know, from flags and environment; validated before anything
// starts.
#pragma once
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>

#include "base/result.h"

namespace berth::app {

// What one process does. `serve` is everything in one.
enum class ProcessRole { serve, api, scheduler };

struct ServeConfig {
  ProcessRole role = ProcessRole::serve;
  std::string database;  // URL; empty: the file of SQLite in the data directory
  std::string queue = "memory";
  std::chrono::milliseconds lease{5000};  // how long a silent scheduler keeps its clusters
  std::string advertise;                  // host:port where other processes reach it; empty: listen
  std::string host = "127.0.0.1";
  std::uint16_t port = 8000;
  std::filesystem::path data_dir;
  int threads = 0;                      // 0: one for each core, at most four
  std::int64_t rate_per_second = 2000;  // per caller; 0: no limit
  bool open_registration = true;
  bool process_runtime = true;
  bool separate_users = geteuid() == 0;  // workloads get a user of their own; needs root
  std::chrono::days keep_events{90};
  std::chrono::seconds access_lifetime{3600};        // of an access token
  int free_failures = 5;                             // wrong passwords before the pauses begin
  std::chrono::milliseconds bookmark_every{15'000};  // on an event stream where nothing happens
};

// "127.0.0.1:8000", ":8000", "8000", "[::1]:8000".
[[nodiscard]] Result<void> set_listen(ServeConfig& config, const std::string& listen);
// The file of a sqlite: URL, or of none at all; empty when the database is PostgreSQL.
[[nodiscard]] std::filesystem::path sqlite_file(const ServeConfig& config);
// Several processes may work on such a database.
[[nodiscard]] inline bool is_shared(const ServeConfig& config) {
  return sqlite_file(config).empty();
}
// Refuses what cannot be safe or is not understood, with a sentence that says what to do.
[[nodiscard]] Result<void> check(const ServeConfig& config);
[[nodiscard]] std::string_view to_text(ProcessRole role);
// $BERTH_DATA_DIR, else /var/lib/berth for root, else ~/.local/share/berth.
[[nodiscard]] std::filesystem::path default_data_dir();

}  // namespace berth::app
