// The data directory: created with tight permissions, and held by one server at a time where the
// database lies in it.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"

namespace berth::app {

class DataDir {
 public:
  // Creates it if need be and takes the lock. Errors: failed_precondition, naming the process that
  // holds it; permission_denied; unavailable.
  // `database`: the file of SQLite, made and closed to others, and locked like the folder.
  [[nodiscard]] static Result<DataDir> open(const std::filesystem::path& path, bool traversable,
                                            const std::filesystem::path& database);
  // Without a database and without a lock: schedulers of one machine share what runs there.
  [[nodiscard]] static Result<DataDir> open_shared(const std::filesystem::path& path,
                                                   bool traversable);
  DataDir(DataDir&& other) noexcept;
  DataDir& operator=(DataDir&&) = delete;
  ~DataDir();

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] std::filesystem::path runtimes() const { return path_ / "runtime"; }

  // Writes a file that only its owner can read.
  [[nodiscard]] static Result<void> write_secret(const std::filesystem::path& file,
                                                 const std::string& text);

 private:
  explicit DataDir(std::filesystem::path path) : path_(std::move(path)) {}
  Result<void> lock(const std::filesystem::path& file);

  std::filesystem::path path_;
  std::vector<int> locks_;
};

}  // namespace berth::app
