// From SQLite to PostgreSQL, with rows of every kind.
#include "store/move/move.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <map>

#include "postgres_fixture.h"
#include "store/sqlite/connection.h"
#include "store/sqlite/sqlite_store.h"
#include "store_contract_world.h"

namespace berth::test {
namespace {

using namespace std::string_literals;

struct Source {
  Source() {
    std::string name = (std::filesystem::temp_directory_path() / "berth-move-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary directory");
    folder = name;
    store = std::make_unique<sqlite::SqliteStore>(sqlite::Options{file()});
  }
  ~Source() {
    store.reset();
    std::filesystem::remove_all(folder);
  }
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;
  [[nodiscard]] std::string file() const { return folder + "/berth.db"; }
  void sql(const std::string& script) const {
    sqlite::Connection db(file(), false, 100);
    must(db.execute(script));
  }
  std::string folder;
  std::unique_ptr<sqlite::SqliteStore> store;
};

struct Target {
  Target() : name(postgres_server().create_database()), url(postgres_server().url_of(name)) {}
  ~Target() { postgres_server().drop_database(name); }
  Target(const Target&) = delete;
  Target& operator=(const Target&) = delete;
  std::string sql(const std::string& script) const { return postgres_server().run(script, name); }
  std::string name, url;
};

struct Filled : Source {
  Filled() {
    ada = {UserId::make(kThen, random), "ada", "ada@example.org", "hash", true, false, kThen, 3};
    const User eve{
        UserId::make(kThen, random), "Eve", "eve@example.org", "hash", false, true, kThen, 1};
    lab = {OrganizationId::make(kThen, random), "lab", kThen, 2};
    pool.id = ClusterId::make(kThen, random);
    pool.organization = lab.id;
    pool.name = "pool";
    pool.runtime.speed = 2.5;
    pool.paused = true;
    pool.fair = true;
    pool.nodes = {{"n1", {4000, 8 << 20, 2000}, "A100"}, {"n2", {2000, 4 << 20, 0}, ""}};
    pool.created_at = kThen;
    Deployment waiting = fresh("waiting");
    running = fresh("running");
    running.spec.replicas = 2;
    auto tx = must(store->begin());
    must(tx->insert(ada));
    must(tx->insert(eve));
    berth::Session login{
        SessionId::make(kThen, random), ada.id, sha256("a"), kThen, sha256("p"), kThen, kThen};
    must(tx->insert(login));
    login.refresh = sha256("r");  // the one before is spent
    must(tx->update(login));
    must(tx->insert(berth::Session{SessionId::make(kThen, random), eve.id, sha256("b"), kThen,
                                   sha256("s"), kThen, kThen}));
    must(tx->insert(ApiKey{ApiKeyId::make(kThen, random), ada.id, "ci", "berth_key_", sha256("k"),
                           kThen, std::nullopt}));
    must(tx->put_setup_token(SetupToken{sha256("t"), kThen}));
    must(tx->insert(lab));
    must(tx->insert(Member{lab.id, ada.id, "", "", Role::owner, kThen, 1}));
    must(tx->insert(Invite{InviteId::make(kThen, random), lab.id, sha256("i"), "berth_inv_",
                           Role::viewer, kThen, ada.id, kThen, 3, 0, std::nullopt}));
    must(tx->insert(pool));
    guest = {OrganizationId::make(kThen, random), "guest", kThen, 1};
    must(tx->insert(guest));
    must(tx->put_share(pool.id, Share{guest.id, 0, Resources{1, kNoQuota, 0}, std::nullopt}));
    must(tx->take_order(pool.id));
    must(tx->insert(waiting));
    must(tx->insert(running));
    must(tx->add_dependency(waiting.id, {running.id, Milestone::succeeded}));
    running.state = State::running;
    running.attempt = 1;
    running.version = 2;
    running.grant = Grant{"n1", running.spec.resources, {{1, 500}}};
    running.gang.more = {Grant{"n1", running.spec.resources, {{0, 500}}}};
    running.gang.replicas.resize(2);
    running.message = "na\u00efve";
    must(tx->update(running, State::queued));
    for (const auto& key : running.attempt_keys())
      must(tx->reserve(pool.id, key, running.grant_of(key.replica)));
    must(tx->store_reply("scope", "key", {sha256("f"), 201, "{}", "/l", "\"1\""}, kThen));
    must(tx->keep_alive("s1", "127.0.0.1:1", std::chrono::hours(1)));
    must(tx->take_lease(pool.id, "s1"));
    must(tx->advance_relay(0, 2));
    must(tx->append_journal(pool.id, kThen, true, "\0\xFF"s));
    must(tx->append_journal(pool.id, kThen, false, "next"));
    for (const auto* kind : {"one", "two", "three"})
      tx->append(Event{0, kThen, lab.id, pool.id, std::nullopt, kind, "a", "A", "r", "{}"});
    must(tx->commit());
  }
  Deployment fresh(const std::string& name) {
    Deployment d;
    d.id = DeploymentId::make(kThen, random);
    d.organization = lab.id;
    d.cluster = pool.id;
    d.name = name;
    d.spec.command = {"run"};
    d.spec.resources = {1000, 1 << 20, 500};
    d.created_by = ada.id;
    d.created_at = d.updated_at = kThen;
    return d;
  }

  SeededRandom random{11};
  User ada;
  Organization lab, guest;
  Cluster pool;
  Deployment running;
};

TEST(Move, EverythingArrivesAndTheInstallationGoesOnFromThere) {
  Filled from;
  const Target to;
  const auto report = must(move::move_all(from.file(), to.url));
  std::map<std::string, std::int64_t> rows;
  for (const auto& table : report.tables) rows[table.name] = table.rows;
  EXPECT_EQ(rows, (std::map<std::string, std::int64_t>{
                      {"users", 2},        {"sessions", 2},     {"spent_refresh", 1},
                      {"api_keys", 1},     {"setup_token", 1},  {"organizations", 2},
                      {"members", 1},      {"invites", 1},      {"clusters", 1},
                      {"nodes", 2},        {"gpus", 2},         {"deployments", 2},
                      {"dependencies", 1}, {"reservations", 2}, {"events", 3},
                      {"journal", 2},      {"replies", 1},      {"schedulers", 1},
                      {"leases", 1},       {"installation", 1}, {"cluster_shares", 1}}));
  EXPECT_EQ(report.repaired_texts, 0);

  postgres::PostgresStore store(postgres::Options{to.url});
  auto view = must(store.open_view()), old = must(from.store->open_view());
  const auto deployment = must(view->deployment(from.running.id));
  ASSERT_TRUE(deployment);
  EXPECT_EQ(deployment->grant, from.running.grant);
  EXPECT_EQ(deployment->gang, from.running.gang);
  EXPECT_EQ(deployment->spec.replicas, 2);
  EXPECT_EQ(deployment->message, "na\u00efve");
  EXPECT_EQ(must(view->cluster(from.pool.id))->nodes, from.pool.nodes);
  EXPECT_EQ(must(view->cluster(from.pool.id))->runtime.speed, 2.5);
  EXPECT_TRUE(must(view->cluster(from.pool.id))->paused);
  EXPECT_TRUE(must(view->cluster(from.pool.id))->fair);
  EXPECT_EQ(must(view->cluster(from.pool.id))->shares,
            (std::vector<Share>{{from.guest.id, 1, Resources{1, kNoQuota, 0}, std::nullopt}}));
  EXPECT_TRUE(must(view->user_by_name("EVE"))->disabled);
  EXPECT_TRUE(must(view->user_by_name("ada"))->is_admin);
  EXPECT_EQ(must(view->session_by_refresh(sha256("p")))->user, from.ada.id);
  EXPECT_EQ(must(view->lease(from.pool.id))->epoch, 1);
  EXPECT_EQ(must(view->relayed()), 2);
  EXPECT_EQ(must(view->installation_secret()), must(old->installation_secret()));
  EXPECT_TRUE(must(view->audit_ledger()).empty());
  auto tx = must(store.begin());
  EXPECT_EQ(must(tx->take_order(from.pool.id)), 2u);
  tx->append(Event{0, kThen, from.lab.id, std::nullopt, std::nullopt, "four", "a", "A", "r", "{}"});
  EXPECT_EQ(must(tx->commit()), 4) << "the history goes on without a gap";
}

TEST(Move, ATargetWithRowsIsRefusedAndLeftAlone) {
  Filled from;
  const Target to;
  must(postgres::migrate(to.url));
  to.sql("INSERT INTO replies VALUES ('s', 'k', sha256('x'), 200, '', '', '', 1)");
  const auto secret = to.sql("SELECT secret FROM installation");
  const auto moved = move::move_all(from.file(), to.url);
  ASSERT_FALSE(moved);
  EXPECT_EQ(moved.error().reason, "target_not_empty");
  EXPECT_EQ(to.sql("SELECT count(*) FROM users"), "0");
  EXPECT_EQ(to.sql("SELECT secret FROM installation"), secret);
  to.sql("DELETE FROM replies");
  must(move::move_all(from.file(), to.url));
  EXPECT_EQ(move::move_all(from.file(), to.url).error().reason, "target_not_empty") << "not twice";
}

TEST(Move, ASchemaWithMoreThanIsKnownIsRefused) {
  Filled from;
  from.sql("ALTER TABLE users ADD COLUMN shoe_size INTEGER");
  const Target to;
  const auto moved = move::move_all(from.file(), to.url);
  ASSERT_FALSE(moved);
  EXPECT_EQ(moved.error().reason, "schema_unknown");
  EXPECT_EQ(to.sql("SELECT count(*) FROM organizations"), "0");
}

TEST(Move, AnOlderSqliteIsAskedToBeStartedOnce) {
  Filled from;
  from.sql("DELETE FROM schema_migrations WHERE name = '0002_leases'");
  const Target to;
  EXPECT_EQ(move::move_all(from.file(), to.url).error().reason, "schema_old");
}

TEST(Move, TextsThatPostgresDoesNotTakeAreRepairedAndCounted) {
  Filled from;
  from.sql("UPDATE deployments SET message = CAST(x'41ff42' AS TEXT) WHERE name = 'waiting'");
  const Target to;
  const auto report = must(move::move_all(from.file(), to.url));
  EXPECT_EQ(report.repaired_texts, 1);
  EXPECT_EQ(to.sql("SELECT message FROM deployments WHERE name = 'waiting'"),
            "A\xEF\xBF\xBD"
            "B");
}

TEST(Move, ADifferenceAfterCopyingUndoesAll) {
  Filled from;
  const Target to;
  must(postgres::migrate(to.url));
  // A stranger's trigger that changes what is written: such a database must not be trusted.
  to.sql(
      "CREATE FUNCTION louder() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN new.kind = "
      "upper(new.kind); RETURN new; END $$; "
      "CREATE TRIGGER louder BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION louder()");
  const auto moved = move::move_all(from.file(), to.url);
  ASSERT_FALSE(moved);
  EXPECT_EQ(moved.error().reason, "move_differs");
  EXPECT_EQ(to.sql("SELECT count(*) FROM users"), "0");
}

}  // namespace
}  // namespace berth::test
