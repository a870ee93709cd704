// The schema's versions on PostgreSQL, and values in its binary form.
#include <gtest/gtest.h>

#include <thread>

#include "postgres_fixture.h"
#include "store/postgres/encoding.h"
#include "store_contract_world.h"

namespace berth::test {
namespace {

using namespace std::string_literals;

// A database without any table of ours.
struct EmptyDatabase {
  EmptyDatabase()
      : name(postgres_server().create_database()), url(postgres_server().url_of(name)) {}
  ~EmptyDatabase() { postgres_server().drop_database(name); }
  EmptyDatabase(const EmptyDatabase&) = delete;
  EmptyDatabase& operator=(const EmptyDatabase&) = delete;
  std::string sql(const std::string& script) const { return postgres_server().run(script, name); }
  [[nodiscard]] std::string refusal() const {  // what a process says that does not start
    try {
      const postgres::PostgresStore store(postgres::Options{url});
      return "";
    } catch (const std::runtime_error& e) {
      return e.what();
    }
  }
  std::string name, url;
};

TEST(PostgresMigrations, AnEmptyDatabaseIsRefusedUntilItIsMigrated) {
  const EmptyDatabase empty;
  auto states = must(postgres::migration_status(empty.url));
  ASSERT_FALSE(states.empty());
  EXPECT_EQ(states[0].name, "0001_initial");
  EXPECT_FALSE(states[0].applied_at);
  EXPECT_EQ(empty.refusal(),
            "the database's schema lacks 0001_initial; run `berth admin migrate up` once, then "
            "start again");
  EXPECT_EQ(
      empty.sql("SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'"),
      "0")
      << "looking changes nothing";
  must(postgres::migrate(empty.url));
  must(postgres::migrate(empty.url));  // nothing left to do
  for (const auto& state : must(postgres::migration_status(empty.url)))
    EXPECT_TRUE(state.applied_at) << state.name;
  EXPECT_EQ(empty.refusal(), "");
}

TEST(PostgresMigrations, ProcessesThatMigrateTogetherDoItOnce) {
  const EmptyDatabase empty;
  std::array<std::string, 4> outcomes;
  {
    std::vector<std::jthread> threads;
    for (auto& outcome : outcomes) {
      threads.emplace_back([&] {
        const auto done = postgres::migrate(empty.url);
        outcome = done ? "done" : done.error().message;
      });
    }
  }
  for (const auto& outcome : outcomes) EXPECT_EQ(outcome, "done");
  EXPECT_EQ(empty.sql("SELECT count(*) FROM schema_migrations WHERE name = '0001_initial'"), "1");
  EXPECT_EQ(empty.refusal(), "");
}

TEST(PostgresMigrations, ANewerOrDifferentSchemaIsLeftAlone) {
  const EmptyDatabase empty;
  must(postgres::migrate(empty.url));
  empty.sql("INSERT INTO schema_migrations VALUES ('9999_future', '\\x00', 1)");
  EXPECT_EQ(empty.refusal(),
            "the database was written by a newer version of Berth (it has 9999_future); use that "
            "version");
  EXPECT_EQ(postgres::migrate(empty.url).error().reason, "schema_unknown");
  empty.sql(
      "DELETE FROM schema_migrations WHERE name = '9999_future'; UPDATE schema_migrations SET "
      "digest = '\\x00'");
  EXPECT_TRUE(empty.refusal().starts_with("the database's schema 0001_initial differs"))
      << empty.refusal();
  EXPECT_EQ(postgres::migrate(empty.url).error().reason, "schema_unknown");
}

TEST(PostgresMigrations, AMigrationThatFailsLeavesNothingBehind) {
  const EmptyDatabase empty;
  empty.sql("CREATE TABLE installation (x int)");  // in the way of the last statements
  const auto done = postgres::migrate(empty.url);
  ASSERT_FALSE(done);
  EXPECT_TRUE(done.error().message.starts_with("migration 0001_initial failed: "))
      << done.error().message;
  EXPECT_EQ(empty.sql("SELECT count(*) FROM information_schema.tables WHERE table_name = 'users' "
                      "AND table_schema = 'public'"),
            "0");
  empty.sql("DROP TABLE installation");
  must(postgres::migrate(empty.url));
}

TEST(PostgresMigrations, ADatabaseThatCannotServeIsRefusedWithASentence) {
  const auto refusal = [](const std::string& url) {
    try {
      const postgres::PostgresStore store(postgres::Options{url});
      return ""s;
    } catch (const std::runtime_error& e) {
      return std::string(e.what());
    }
  };
  EXPECT_TRUE(refusal("postgresql://berth@/berth?host=/nonexistent")
                  .starts_with("the database cannot be reached: "));
  EXPECT_TRUE(refusal(postgres_server().url_of("no_such_database")).find("no_such_database") !=
              std::string::npos);
  postgres_server().run(
      "CREATE DATABASE ascii TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'",
      "postgres");
  EXPECT_EQ(refusal(postgres_server().url_of("ascii")),
            "the database's encoding is SQL_ASCII, but Berth needs UTF8");
}

TEST(PostgresMigrations, AServerThatAnswersBeforeItIsDurableIsToldNotTo) {
  const EmptyDatabase empty;
  empty.sql("ALTER DATABASE " + empty.name + " SET synchronous_commit = off");
  EXPECT_EQ(empty.sql("SHOW synchronous_commit"), "on");
}

TEST(PostgresSchema, TheDatabaseItselfRefusesWhatMayNeverBe) {
  PostgresFixture world;
  const auto refused = [&](const std::string& sql) {
    try {
      world.sql(sql);
      return false;
    } catch (const std::runtime_error&) {
      return true;
    }
  };
  const std::string org = "'\\x00000000000000000000000000000001'",
                    cluster = "'\\x00000000000000000000000000000002'";
  world.sql(
      "INSERT INTO organizations VALUES (" + org +
      ", 'o', 1, 1); INSERT INTO clusters (id, org_id, name, runtime, policy, created_at, version) "
      "VALUES (" +
      cluster + ", " + org +
      ", 'c', 'process', 'strict', 1, 1); "
      "INSERT INTO nodes VALUES (" +
      cluster + ", 'n', 0, '', 10, 10, 1, 10, 10); INSERT INTO gpus VALUES (" + cluster +
      ", 'n', 0, 1000); "
      "UPDATE leases SET epoch = 5");
  EXPECT_TRUE(refused("UPDATE leases SET epoch = 4")) << "an epoch never shrinks";
  EXPECT_FALSE(refused("UPDATE leases SET epoch = 6"));
  EXPECT_TRUE(refused("UPDATE nodes SET free_cpu = free_cpu - 11"));
  EXPECT_TRUE(refused("UPDATE nodes SET free_memory = 11"));
  EXPECT_TRUE(refused("UPDATE gpus SET free = free - 1001"));
  EXPECT_TRUE(refused("UPDATE gpus SET free = 1001"));
  EXPECT_TRUE(refused("INSERT INTO organizations VALUES ('\\x01', 'short id', 1, 1)"));
  EXPECT_TRUE(refused(
      "INSERT INTO organizations VALUES ('\\x00000000000000000000000000000003', 'O', 1, 1)"))
      << "in any case";
}

TEST(PostgresSchema, EveryRefusalOfTheServerKeepsItsMeaning) {
  PostgresFixture world;
  world.sql(
      "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
      "RAISE EXCEPTION 'refused' USING ERRCODE = new.username; END $$; "
      "CREATE TRIGGER refuse BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION refuse()");
  SeededRandom random(1);
  const auto told = [&](const std::string& state) {
    auto tx = must(world.store().begin());
    const auto made = tx->insert(
        User{UserId::make(kThen, random), state, state + "@x", "h", false, false, kThen, 1});
    return made ? "accepted"s : made.error().reason;
  };
  EXPECT_EQ(told("53100"), "storage_full");         // disk_full
  EXPECT_EQ(told("53300"), "storage_unavailable");  // too_many_connections
  EXPECT_EQ(told("40001"), "storage_unavailable");  // serialization_failure
  EXPECT_EQ(told("40P01"), "storage_unavailable");  // deadlock_detected
  EXPECT_EQ(told("55P03"), "storage_unavailable");  // lock_not_available
  EXPECT_EQ(told("57014"), "storage_unavailable");  // query_canceled
  EXPECT_EQ(told("57P01"), "storage_unavailable");  // admin_shutdown
  EXPECT_EQ(told("25006"), "storage_unavailable");  // read_only_sql_transaction
  EXPECT_EQ(told("58030"), "storage_failed");       // io_error
  EXPECT_EQ(told("XX001"), "storage_failed");       // data_corrupted
  EXPECT_EQ(told("23514"), "ledger_refused");       // check_violation
  EXPECT_EQ(told("23503"), "constraint");           // foreign_key_violation
  EXPECT_EQ(told("42P01"), "storage_error");        // undefined_table
}

TEST(PostgresEncoding, WrongBytesOfTextsAreReplacedAndNothingElse) {
  const std::string fine = "plain \xC3\xA9 \xE2\x98\x83 \xF0\x9F\x98\x80";
  EXPECT_TRUE(postgres::is_clean(fine));
  EXPECT_EQ(postgres::cleaned(fine), fine);
  EXPECT_EQ(postgres::cleaned("a\0b"s),
            "a\xEF\xBF\xBD"
            "b");
  EXPECT_EQ(postgres::cleaned("\xC0\xAF"), "\xEF\xBF\xBD\xEF\xBF\xBD") << "overlong";
  EXPECT_EQ(postgres::cleaned("\xED\xA0\x80"), "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD")
      << "half a surrogate pair";
  EXPECT_EQ(postgres::cleaned("x\xE2\x98"), "x\xEF\xBF\xBD\xEF\xBF\xBD") << "cut short";
  EXPECT_EQ(postgres::cleaned("\xF4\x90\x80\x80").size(), 12u) << "beyond the last character";
}

TEST(PostgresEncoding, NumbersAreInNetworkOrderWithTheirSign) {
  std::string bytes;
  postgres::put_number(bytes, std::int64_t{-2});
  EXPECT_EQ(bytes, "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFE");
  EXPECT_EQ(postgres::number_of(bytes), -2);
  EXPECT_EQ(postgres::number_of("\xFF\xFE"), -2);
  EXPECT_EQ(postgres::number_of("\1"), 1);
  bytes.clear();
  postgres::put_number(bytes, postgres::bits_of(-0.5));
  EXPECT_EQ(postgres::real_of(bytes), -0.5);
}

}  // namespace
}  // namespace berth::test
