#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "store/sqlite/connection.h"
#include "store/sqlite/sqlite_store.h"
#include "store_contract.h"

namespace berth::test {
namespace {

struct SqliteFixture {
  SqliteFixture() {
    std::string name = (std::filesystem::temp_directory_path() / "berth-store-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary directory");
    folder = name;
    reopen();
  }
  ~SqliteFixture() {
    open.reset();
    std::filesystem::remove_all(folder);
  }
  void reopen() {
    open.reset();
    open = std::make_unique<sqlite::SqliteStore>(sqlite::Options{file()});
  }
  [[nodiscard]] std::string file() const { return folder + "/berth.db"; }
  Store& store() { return *open; }

  std::string folder;
  std::unique_ptr<sqlite::SqliteStore> open;
};

INSTANTIATE_TYPED_TEST_SUITE_P(Sqlite, StoreContract, SqliteFixture);

TEST(SqliteStore, AReadOnlyLookIsFrozenWhileOthersWrite) {
  SqliteFixture world;
  auto look = must(sqlite::SqliteStore::open_read_only(world.file()));
  EXPECT_EQ(must(look->count_users()), 0);
  SeededRandom random(1);
  auto tx = must(world.store().begin());
  must(tx->insert(
      User{UserId::make(kThen, random), "a", "a@example.org", "h", false, false, kThen, 1}));
  must(tx->commit());
  EXPECT_EQ(must(look->count_users()), 0) << "one state until it is closed";
  EXPECT_EQ(must(must(world.store().open_view())->count_users()), 1);
  EXPECT_TRUE(must(look->check_integrity()).empty());
}

TEST(SqliteStore, ASchemaOfAnotherVersionIsLeftAlone) {
  SqliteFixture world;
  for (const auto& state : must(sqlite::migration_status(world.file())))
    EXPECT_TRUE(state.applied_at) << state.name;
  world.open.reset();
  const auto refusal = [&](const std::string& change) {
    {
      sqlite::Connection db(world.file(), false, 100);
      must(db.execute(change));
    }
    try {
      world.reopen();
      return std::string();
    } catch (const std::runtime_error& e) {
      return std::string(e.what());
    }
  };
  EXPECT_EQ(refusal("INSERT INTO schema_migrations VALUES ('9999_future', x'00', 1)"),
            "the database was written by a newer version of Berth (it has 9999_future); use that "
            "version");
  EXPECT_TRUE(refusal("DELETE FROM schema_migrations WHERE name = '9999_future'; "
                      "UPDATE schema_migrations SET digest = x'00' WHERE name = '0001_initial'")
                  .starts_with("the database's schema 0001_initial differs"));
  EXPECT_FALSE(sqlite::migration_status(world.folder + "/absent.db"));
}

TEST(SqliteStore, AFullDiskIsSaidSoAndUndone) {
  SqliteFixture world;
  SeededRandom random(1);
  const auto insert = [&](Transaction& tx, int i) {
    const std::string name = "u" + std::to_string(i);
    return tx.insert(User{UserId::make(kThen, random), name, name + "@example.org",
                          std::string(4000, 'h'), false, false, kThen, 1});
  };
  world.open->limit_pages(80);
  Error refused;
  int made = 0;
  for (; made < 1000; ++made) {
    auto tx = must(world.store().begin());
    auto step = insert(*tx, made);
    if (step) {
      if (auto done = tx->commit(); !done) step = std::unexpected(done.error());
    }
    if (step) continue;
    refused = step.error();
    break;
  }
  ASSERT_LT(made, 1000);
  EXPECT_EQ(refused.code, Code::unavailable);
  EXPECT_EQ(refused.reason, "storage_full");
  EXPECT_EQ(must(must(world.store().open_view())->count_users()), made)
      << "reads go on, and nothing of the refused one is there";
  world.open->limit_pages(10'000);
  auto tx = must(world.store().begin());
  must(insert(*tx, made));
  must(tx->commit());
  EXPECT_EQ(must(must(world.store().open_view())->count_users()), made + 1)
      << "it recovers by itself";
}

}  // namespace
}  // namespace berth::test
