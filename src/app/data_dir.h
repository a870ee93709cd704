// The data directory: created with tight permissions and held by one server at a time.
#pragma once
#include <filesystem>
#include <string>

#include "base/result.h"

namespace berth::app {

class DataDir {
 public:
  // Creates it if need be and takes the lock. Errors: failed_precondition, naming the process that
  // holds it; permission_denied; unavailable.
  [[nodiscard]] static Result<DataDir> open(const std::filesystem::path& path, bool traversable);
  DataDir(DataDir&& other) noexcept;
  DataDir& operator=(DataDir&&) = delete;
  ~DataDir();

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] std::string database() const { return (path_ / "berth.db").string(); }
  [[nodiscard]] std::filesystem::path runtimes() const { return path_ / "runtime"; }

  // Writes a file that only its owner can read.
  [[nodiscard]] static Result<void> write_secret(const std::filesystem::path& file,
                                                 const std::string& text);

 private:
  DataDir(std::filesystem::path path, int lock) : path_(std::move(path)), lock_(lock) {}
  std::filesystem::path path_;
  int lock_ = -1;
};

}  // namespace berth::app
