#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "base/hash.h"
#include "store/sqlite/connection.h"
#include "store/sqlite/migrations.h"
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

// As it was before replicas: one reservation for each deployment.
constexpr const char* kOneRuns = R"sql(
INSERT INTO organizations VALUES (x'01000000000000000000000000000000', 'lab', 0, 1);
INSERT INTO clusters (id, org_id, name, runtime, policy, created_at, version) VALUES
  (x'02000000000000000000000000000000', x'01000000000000000000000000000000', 'c', 'simulated',
   'strict', 0, 1);
INSERT INTO nodes (cluster_id, name, ordinal, cpu, memory, gpus, free_cpu, free_memory) VALUES
  (x'02000000000000000000000000000000', 'n1', 0, 4000, 100, 1, 3000, 90);
INSERT INTO gpus VALUES (x'02000000000000000000000000000000', 'n1', 0, 500);
INSERT INTO deployments (id, org_id, cluster_id, name, priority, state, ord, cpu, memory, gpu, spec,
                         attempt, node, gpu_grant, created_by, created_at, updated_at, version)
  VALUES (x'03000000000000000000000000000000', x'01000000000000000000000000000000',
          x'02000000000000000000000000000000', 'one', 'high', 'running', 1, 1000, 10, 500, '{}', 2,
          'n1', '0:500', x'01000000000000000000000000000000', 0, 0, 1);
INSERT INTO reservations (deployment_id, attempt, cluster_id, node, cpu, memory, gpu_grant) VALUES
  (x'03000000000000000000000000000000', 2, x'02000000000000000000000000000000', 'n1', 1000, 10,
   '0:500');
)sql";

TEST(SqliteStore, WhatRunsInAnOlderDatabaseKeepsItsReservation) {
  SqliteFixture world;
  world.open.reset();
  for (const auto& entry : std::filesystem::directory_iterator(world.folder))
    std::filesystem::remove_all(entry);
  {
    sqlite::Connection db(world.file(), false, 100);
    must(
        db.execute("CREATE TABLE schema_migrations (name TEXT PRIMARY KEY, digest BLOB NOT NULL, "
                   "applied_at INTEGER NOT NULL) STRICT"));
    for (const auto& migration : sqlite::migrations()) {
      if (migration.name >= "0005") break;
      must(db.execute(std::string(migration.sql)));
      must(sql::done(db.query("INSERT INTO schema_migrations VALUES (?1, ?2, ?3)")
                         .with(migration.name, sha256(migration.sql), kThen)
                         .run()));
    }
    must(db.execute(kOneRuns));
  }
  world.reopen();
  auto view = must(world.store().open_view());
  EXPECT_TRUE(must(view->audit_ledger()).empty());
  const DeploymentId id(IdBytes{3});
  const auto one = must(view->deployment(id));
  ASSERT_TRUE(one);
  EXPECT_EQ(one->spec.replicas, 1);
  EXPECT_EQ(one->gang, Gang{});
  EXPECT_EQ(one->grant, (Grant{"n1", {1000, 10, 500}, {{0, 500}}}));
  auto tx = must(world.store().begin());
  must(tx->release(one->cluster, one->attempt_key()));
  const auto all = Grant{"n1", {4000, 100, 1000}, {{0, 1000}}};
  must(tx->reserve(one->cluster, one->attempt_key(), all));
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
