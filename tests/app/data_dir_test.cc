// The data directory: who may pass through it, and what they may read there.
#include "app/data_dir.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "store/sqlite/sqlite_store.h"

namespace berth::app {
namespace {

namespace fs = std::filesystem;

class DataDirTest : public ::testing::Test {
 protected:
  DataDirTest() {
    char name[] = "/tmp/berth-data-XXXXXX";
    if (::mkdtemp(name) == nullptr) throw std::runtime_error("no temporary directory");
    top_ = name;
    old_mask_ = ::umask(022);
  }
  ~DataDirTest() override {
    ::umask(old_mask_);
    std::error_code ec;
    fs::remove_all(top_, ec);
  }
  static unsigned mode(const fs::path& file) {
    struct stat info{};
    EXPECT_EQ(::stat(file.c_str(), &info), 0) << file;
    return info.st_mode & 07777U;
  }

  fs::path top_;
  mode_t old_mask_ = 0;
};

TEST_F(DataDirTest, IsClosedUnlessWorkloadsMustPass) {
  EXPECT_TRUE(DataDir::open(top_ / "closed", false, top_ / "closed" / "berth.db"));
  EXPECT_EQ(mode(top_ / "closed"), 0700U);
  EXPECT_TRUE(DataDir::open(top_ / "passable", true, top_ / "passable" / "berth.db"));
  EXPECT_EQ(mode(top_ / "passable"), 0711U);
}

TEST_F(DataDirTest, NobodyElseReadsTheDatabase) {
  const auto dir = DataDir::open(top_ / "data", true, top_ / "data" / "berth.db");
  ASSERT_TRUE(dir);
  const sqlite::SqliteStore store(sqlite::Options{(dir->path() / "berth.db").string()});
  int files = 0;
  for (const auto& entry : fs::directory_iterator(dir->path())) {
    EXPECT_EQ(mode(entry.path()), 0600U) << entry.path();
    ++files;
  }
  EXPECT_EQ(files, 4);  // the database, what SQLite keeps beside it, and the lock
}

TEST_F(DataDirTest, ADatabaseThatWasOpenIsClosed) {
  fs::create_directory(top_ / "data");
  for (const char* name : {"berth.db", "berth.db-wal", "berth.db-shm"})
    std::ofstream(top_ / "data" / name) << "";
  ASSERT_TRUE(DataDir::open(top_ / "data", true, top_ / "data" / "berth.db"));
  for (const char* name : {"berth.db", "berth.db-wal", "berth.db-shm"})
    EXPECT_EQ(mode(top_ / "data" / name), 0600U);
}

TEST_F(DataDirTest, OneServerAtATime) {
  const auto first = DataDir::open(top_ / "data", false, top_ / "data" / "berth.db");
  ASSERT_TRUE(first);
  const auto second = DataDir::open(top_ / "data", false, top_ / "data" / "berth.db");
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().reason, "data_dir_in_use");
}

}  // namespace
}  // namespace berth::app
