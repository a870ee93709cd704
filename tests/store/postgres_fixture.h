// A store on a database of its own, copied from one with the schema of today.
#pragma once
#include <stdexcept>

#include "postgres_server.h"
#include "store/postgres/postgres_store.h"

namespace berth::test {

// Started with the first test that needs it, stopped at the end of the program.
inline PostgresServer& postgres_server() {
  static PostgresServer server;
  return server;
}

inline const std::string& migrated_database() {
  static const std::string name = [] {
    auto& server = postgres_server();
    std::string made = server.create_database();
    if (auto done = postgres::migrate(server.url_of(made)); !done)
      throw std::runtime_error(done.error().message);
    return made;
  }();
  return name;
}

struct PostgresFixture {
  PostgresFixture() : database(postgres_server().create_database(migrated_database())) { reopen(); }
  ~PostgresFixture() {
    open.reset();
    postgres_server().drop_database(database);
  }
  PostgresFixture(const PostgresFixture&) = delete;
  PostgresFixture& operator=(const PostgresFixture&) = delete;
  void reopen() {
    open.reset();
    open = another();
  }
  // As another process would have it.
  [[nodiscard]] std::unique_ptr<postgres::PostgresStore> another() const {
    return std::make_unique<postgres::PostgresStore>(postgres::Options{url()});
  }
  [[nodiscard]] std::string url() const { return postgres_server().url_of(database); }
  Store& store() { return *open; }
  std::string sql(const std::string& script) const {
    return postgres_server().run(script, database);
  }

  std::string database;
  std::unique_ptr<postgres::PostgresStore> open;
};

}  // namespace berth::test
