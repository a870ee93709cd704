// What only shows between several stores on one database, and when the server fails.
#include <gtest/gtest.h>
#include <signal.h>

#include <atomic>
#include <barrier>
#include <fstream>
#include <functional>
#include <mutex>
#include <set>
#include <thread>

#include "postgres_fixture.h"
#include "store_contract_world.h"

namespace berth::test {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr int kWriters = 4;

// An organization with one cluster, and as many stores as there would be processes.
struct World : PostgresFixture {
  World() {
    lab = {OrganizationId::make(kThen, random), "lab", kThen, 1};
    pool.id = ClusterId::make(kThen, random);
    pool.organization = lab.id;
    pool.name = "pool";
    pool.nodes = {{"n1", {1'000'000, std::int64_t{1} << 40, 1000}, "A100"}};
    pool.created_at = kThen;
    commit(store(), [&](Transaction& tx) {
      must(tx.insert(lab));
      must(tx.insert(pool));
      must(tx.keep_alive("s1", "", hours(1)));
      must(tx.keep_alive("s2", "", hours(1)));
    });
  }
  template <class Work>
  static std::int64_t commit(Store& store, Work work) {
    auto tx = must(store.begin());
    work(*tx);
    return must(tx->commit());
  }
  Deployment waiting(Random& from, const std::string& name) const {
    Deployment d;
    d.id = DeploymentId::make(kThen, from);
    d.organization = lab.id;
    d.cluster = pool.id;
    d.name = name;
    d.spec.command = {"run"};
    d.spec.resources = {1, 1, 1000};
    d.created_at = d.updated_at = kThen;
    return d;
  }
  Event note(std::string kind) const {
    return {0, kThen, lab.id, pool.id, std::nullopt, std::move(kind), "a", "A", "r", "{}"};
  }
  std::vector<Event> history(ReadView& view, std::int64_t after) const {
    EventFilter filter;
    filter.organizations = {lab.id};
    filter.after = after;
    filter.limit = 100'000;
    return must(view.events(filter));
  }
  std::int64_t backend_of_the_writer() {
    return std::stoll(
        sql("SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND "
            "state = 'idle in transaction'"));
  }

  SeededRandom random{7};
  Organization lab;
  Cluster pool;
};

// Each on a thread of its own, as separate as processes: nothing is shared but the database.
void in_parallel(int count, const std::function<void(int)>& work) {
  std::vector<std::jthread> threads;
  std::mutex mutex;
  std::string failure;
  for (int i = 0; i < count; ++i) {
    threads.emplace_back([&, i] {
      try {
        work(i);
      } catch (const std::exception& e) {
        const std::lock_guard lock(mutex);
        failure = e.what();
      }
    });
  }
  threads.clear();
  EXPECT_EQ(failure, "");
}

void poll_until(const std::function<bool()>& condition, const char* what) {
  const auto deadline = steady_clock::now() + std::chrono::seconds(20);
  while (!condition()) {
    if (steady_clock::now() > deadline)
      throw std::runtime_error(std::string(what) + " did not happen");
    std::this_thread::yield();
  }
}

bool is_unavailable(const Error& error) {
  return error.code == Code::unavailable && error.reason == "storage_unavailable" &&
         error.retry_after == std::chrono::seconds(1);
}

TEST(PostgresRaces, TheLastGpuIsGivenToExactlyOneOfFour) {
  World world;
  constexpr int kRounds = 200;
  std::array<std::atomic<int>, kRounds> wins{}, refusals{};
  std::vector<std::pair<DeploymentId, int>> winner(kRounds);
  std::barrier round_begins(kWriters), round_ends(kWriters);
  const Grant all_of_it{"n1", {1, 1, 1000}, {{0, 1000}}};
  in_parallel(kWriters, [&](int me) {
    auto store = world.another();
    SeededRandom random(static_cast<std::uint64_t>(100 + me));
    for (int round = 0; round < kRounds; ++round) {
      round_begins.arrive_and_wait();
      auto d = world.waiting(random, "r" + std::to_string(round) + "w" + std::to_string(me));
      auto tx = must(store->begin());
      must(tx->insert(d));
      must(tx->mark());
      const auto held = tx->reserve(world.pool.id, {d.id, 1}, all_of_it);
      if (held) {
        d.state = State::starting;
        d.attempt = 1;
        d.version = 2;
        d.grant = all_of_it;
        must(tx->update(d, State::queued));
        must(tx->keep());
        winner[static_cast<std::size_t>(round)].first = d.id;
      } else {
        EXPECT_EQ(held.error().reason, "over_commit");
        must(tx->undo());
      }
      must(tx->commit());
      ++(held ? wins : refusals)[static_cast<std::size_t>(round)];
      tx.reset();
      round_ends.arrive_and_wait();
      if (me != 0) continue;
      World::commit(*store, [&](Transaction& next) {
        const auto& id = winner[static_cast<std::size_t>(round)].first;
        must(next.release(world.pool.id, {id, 1}));
        auto done = must(next.deployment(id));
        done->state = State::stopped;
        done->version += 1;
        done->grant.reset();
        must(next.update(*done, State::starting));
      });
    }
  });
  for (std::size_t round = 0; round < kRounds; ++round) {
    EXPECT_EQ(wins[round], 1) << "round " << round;
    EXPECT_EQ(refusals[round], kWriters - 1) << "round " << round;
  }
  auto view = must(world.store().open_view());
  EXPECT_TRUE(must(view->audit_ledger()).empty());
}

TEST(PostgresRaces, EventsOfManyWritersAppearInOrderAndWithoutHoles) {
  World world;
  constexpr int kCommits = 60;
  std::atomic<int> writing = kWriters;
  std::atomic<int> looks = 0;
  std::mutex mutex;
  std::vector<std::pair<std::int64_t, std::string>> promised;  // what each commit answered
  in_parallel(kWriters + 2, [&](int me) {
    if (me >= kWriters) {  // readers: whoever sees n has seen all before it
      auto view = must(world.store().open_view());
      std::int64_t seen = 0;
      while (writing > 0) {
        ++looks;
        const auto last = must(view->last_event());
        const auto events = world.history(*view, seen);
        for (const auto& e : events) {
          ASSERT_EQ(e.seq, seen + 1) << "a hole";
          seen = e.seq;
        }
        ASSERT_GE(seen, last);
      }
      return;
    }
    auto store = world.another();
    for (int i = 0; i < kCommits; ++i) {
      const auto kind = "w" + std::to_string(me) + "." + std::to_string(i);
      auto tx = must(store->begin());
      const int events = 1 + (i + me) % 3;
      for (int n = 0; n < events; ++n) tx->append(world.note(kind));
      if (i % 7 == 3) continue;  // thrown away: it must leave no hole
      const auto first = must(tx->commit());
      const std::lock_guard lock(mutex);
      for (int n = 0; n < events; ++n) promised.emplace_back(first + n, kind);
    }
    --writing;
  });
  auto view = must(world.store().open_view());
  std::vector<std::pair<std::int64_t, std::string>> kept;
  for (const auto& e : world.history(*view, 0)) kept.emplace_back(e.seq, e.kind);
  std::ranges::sort(promised);
  EXPECT_EQ(kept, promised);
  EXPECT_GT(kept.size(), 300u);
  EXPECT_GT(looks, 10);
  EXPECT_TRUE(must(view->audit_ledger()).empty());
}

TEST(PostgresRaces, OrdersAreGivenOnceToManyProcesses) {
  World world;
  std::mutex mutex;
  std::set<std::uint64_t> given;
  in_parallel(kWriters, [&](int) {
    auto store = world.another();
    for (int i = 0; i < 50; ++i) {
      std::uint64_t order = 0;
      World::commit(*store, [&](Transaction& tx) { order = must(tx.take_order(world.pool.id)); });
      const std::lock_guard lock(mutex);
      EXPECT_TRUE(given.insert(order).second) << order << " was given twice";
    }
  });
  EXPECT_EQ(given.size(), 200u);
  EXPECT_EQ(*given.rbegin(), 200u);
}

TEST(PostgresRaces, NobodyTakesALeaseWhileItsHolderCommitsUnderIt) {
  World world;
  World::commit(world.store(),
                [&](Transaction& tx) { EXPECT_EQ(must(tx.take_lease(world.pool.id, "s1")), 1); });
  auto other = world.another();
  auto tx = must(world.store().begin());
  ASSERT_TRUE(must(tx->fence(world.pool.id, "s1", 1)));
  // Now its deadline passes, and another one comes for the cluster.
  World::commit(*other, [&](Transaction& late) { must(late.keep_alive("s1", "", hours(-1))); });
  std::atomic<bool> taken = false;
  std::jthread taker([&] {
    World::commit(*other, [&](Transaction& mine) {
      EXPECT_EQ(must(mine.take_lease(world.pool.id, "s2")), 2);
      taken = true;
    });
  });
  poll_until([&] { return world.sql("SELECT count(*) FROM pg_locks WHERE NOT granted") != "0"; },
             "waiting for the lease");
  EXPECT_FALSE(taken) << "the row is held until our commit";
  tx->append(world.note("decided"));
  EXPECT_EQ(must(tx->commit()), 1);
  tx.reset();
  taker.join();
  World::commit(world.store(), [&](Transaction& mine) {
    EXPECT_FALSE(must(mine.fence(world.pool.id, "s1", 1)));
    EXPECT_TRUE(must(mine.fence(world.pool.id, "s2", 2)));
  });
}

TEST(PostgresRaces, AFenceThatCameTooLateFindsTheLeaseGone) {
  World world;
  World::commit(world.store(), [&](Transaction& tx) {
    EXPECT_EQ(must(tx.take_lease(world.pool.id, "s1")), 1);
    must(tx.keep_alive("s1", "", hours(-1)));
  });
  auto other = world.another();
  auto taking = must(other->begin());
  EXPECT_EQ(must(taking->take_lease(world.pool.id, "s2")), 2);
  World::commit(world.store(),
                [&](Transaction& tx) { must(tx.keep_alive("s1", "", hours(1))); });  // it wakes up
  std::jthread late([&] {
    auto store = world.another();
    World::commit(*store,
                  [&](Transaction& tx) { EXPECT_FALSE(must(tx.fence(world.pool.id, "s1", 1))); });
  });
  poll_until([&] { return world.sql("SELECT count(*) FROM pg_locks WHERE NOT granted") != "0"; },
             "waiting for the lease");
  must(taking->commit());
}

TEST(PostgresRaces, ATakerThatWaitedSeesThatTheNewHolderLives) {
  World world;
  auto other = world.another();
  auto first = must(world.store().begin());
  must(first->keep_alive("s3", "", hours(1)));  // known to nobody before this commits
  EXPECT_EQ(must(first->take_lease(world.pool.id, "s3")), 1);
  std::optional<std::int64_t> second = 0;
  std::jthread taker([&] {
    World::commit(*other,
                  [&](Transaction& tx) { second = must(tx.take_lease(world.pool.id, "s2")); });
  });
  poll_until([&] { return world.sql("SELECT count(*) FROM pg_locks WHERE NOT granted") != "0"; },
             "waiting for the lease");
  must(first->commit());
  taker.join();
  EXPECT_EQ(second, std::nullopt);
  EXPECT_EQ(must(must(world.store().open_view())->lease(world.pool.id))->holder, "s3");
}

TEST(PostgresRaces, ARefusedStatementThatWasNotUndoneIsNeverCommitted) {
  World world;
  auto tx = must(world.store().begin());
  must(tx->take_order(world.pool.id));
  EXPECT_EQ(tx->insert(world.lab).error().code, Code::already_exists);
  const auto committed = tx->commit();
  ASSERT_FALSE(committed);
  EXPECT_EQ(committed.error().code, Code::aborted);
  tx.reset();
  EXPECT_EQ(must(must(world.store().open_view())->cluster(world.pool.id))->next_order, 1u);
}

TEST(PostgresFailures, ATransactionWhoseBackendIsKilledFailsAndTheNextOneWorks) {
  World world;
  SeededRandom random(3);
  const auto d = world.waiting(random, "lost");
  auto view = must(world.store().open_view());
  EXPECT_EQ(must(view->last_event()), 0);
  {
    auto tx = must(world.store().begin());
    must(tx->insert(d));
    world.sql("SELECT pg_terminate_backend(" + std::to_string(world.backend_of_the_writer()) +
              ", 10000)");
    EXPECT_TRUE(is_unavailable(tx->count_users().error()));
    EXPECT_TRUE(is_unavailable(tx->insert(world.waiting(random, "after")).error()))
        << "never quietly on a new connection";
    const auto committed = tx->commit();
    ASSERT_FALSE(committed) << "half a transaction is no transaction";
    EXPECT_TRUE(is_unavailable(committed.error())) << committed.error().message;
  }
  World::commit(world.store(), [&](Transaction& tx) {
    EXPECT_FALSE(must(tx.deployment(d.id)));
    must(tx.insert(d));
    tx.append(world.note("kept"));
  });
  EXPECT_TRUE(must(view->deployment(d.id)));
  world.sql(
      "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = "
      "current_database() AND pid <> pg_backend_pid()");
  EXPECT_EQ(must(view->last_event()), 1) << "a view finds its way back by itself";
}

TEST(PostgresFailures, ATransactionThatAskedNothingYetDoesNotMindAKilledBackend) {
  World world;
  auto tx = must(world.store().begin());
  must(tx->mark());
  world.sql(
      "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = "
      "current_database() AND pid <> pg_backend_pid()");
  EXPECT_EQ(must(tx->take_order(world.pool.id)), 1u);
  must(tx->keep());
  must(tx->commit());
  tx.reset();
  EXPECT_EQ(must(must(world.store().open_view())->cluster(world.pool.id))->next_order, 2u);
}

TEST(PostgresFailures, ACommitOnAKilledBackendIsNoSuccess) {
  World world;
  auto tx = must(world.store().begin());
  must(tx->take_order(world.pool.id));
  tx->append(world.note("never"));
  world.sql("SELECT pg_terminate_backend(" + std::to_string(world.backend_of_the_writer()) +
            ", 10000)");
  const auto committed = tx->commit();
  ASSERT_FALSE(committed);
  EXPECT_TRUE(is_unavailable(committed.error())) << committed.error().message;
  tx.reset();
  EXPECT_EQ(must(must(world.store().open_view())->last_event()), 0);
}

TEST(PostgresFailures, WhoWaitsTooLongForALockIsToldToComeBack) {
  World world;
  postgres::Options hasty{world.url()};
  hasty.lock_timeout = milliseconds(50);
  postgres::PostgresStore other(hasty);
  auto tx = must(world.store().begin());
  must(tx->take_order(world.pool.id));
  auto waiting = must(other.begin());
  must(waiting->mark());
  const auto refused = waiting->take_order(world.pool.id);
  ASSERT_FALSE(refused);
  EXPECT_TRUE(is_unavailable(refused.error())) << refused.error().message;
  must(waiting->undo());
  must(waiting->keep_alive("s9", "", hours(1)));
  must(waiting->commit());
  must(tx->commit());
}

TEST(PostgresFailures, AServerThatFreezesIsGivenUpAfterAWhile) {
  World world;
  postgres::Options hasty{world.url()};
  hasty.statement_timeout = milliseconds(100);
  postgres::PostgresStore store(hasty);
  {
    auto tx = must(store.begin());
    must(tx->keep_alive("s7", "", hours(1)));
    const auto backend = static_cast<pid_t>(world.backend_of_the_writer());
    ASSERT_EQ(kill(backend, SIGSTOP), 0);
    const auto asked = tx->count_users();
    const auto committed = tx->commit();
    EXPECT_EQ(kill(backend, SIGCONT), 0);
    ASSERT_FALSE(asked);
    EXPECT_TRUE(is_unavailable(asked.error()));
    ASSERT_FALSE(committed);
    EXPECT_TRUE(is_unavailable(committed.error()));
  }
  World::commit(store, [&](Transaction& tx) { must(tx.keep_alive("s8", "", hours(1))); });
  std::set<std::string> living;
  for (const auto& row : must(must(store.open_view())->living_schedulers())) living.insert(row.id);
  EXPECT_EQ(living, (std::set<std::string>{"s1", "s2", "s8"}));
}

TEST(PostgresFailures, AStatementThatTakesTooLongIsEndedByTheServer) {
  World world;
  postgres::Options hasty{world.url()};
  hasty.statement_timeout = milliseconds(50);
  hasty.lock_timeout = {};  // none
  postgres::PostgresStore other(hasty);
  auto tx = must(world.store().begin());
  must(tx->take_order(world.pool.id));
  auto waiting = must(other.begin());
  EXPECT_TRUE(is_unavailable(waiting->take_order(world.pool.id).error()));
}

TEST(PostgresFailures, TwoThatWaitForEachOtherAreBothAnswered) {
  World world;
  Cluster second = world.pool;
  second.id = ClusterId::make(kThen, world.random);
  second.name = "second";
  World::commit(world.store(), [&](Transaction& tx) { must(tx.insert(second)); });
  std::atomic<int> done = 0, refused = 0;
  std::barrier both_hold_one(2);
  in_parallel(2, [&](int me) {
    auto store = world.another();
    auto tx = must(store->begin());
    must(tx->mark());
    must(tx->take_order(me == 0 ? world.pool.id : second.id));
    both_hold_one.arrive_and_wait();
    const auto order = tx->take_order(me == 0 ? second.id : world.pool.id);
    if (order) {
      must(tx->keep());
    } else {
      EXPECT_TRUE(is_unavailable(order.error())) << order.error().message;
      must(tx->undo());
      ++refused;
    }
    must(tx->commit());
    ++done;
  });
  EXPECT_EQ(done, 2);
  EXPECT_EQ(refused, 1);
}

TEST(PostgresFailures, NothingThatWasAcknowledgedIsLostWhenTheServerCrashes) {
  PostgresServer server;  // its own: it is crashed
  ASSERT_TRUE(postgres::migrate(server.url()));
  postgres::PostgresStore store(postgres::Options{server.url()});
  auto view = must(store.open_view());
  SeededRandom random(5);
  const auto add = [&](int i) -> Result<std::int64_t> {
    auto tx = store.begin();
    if (!tx) return std::unexpected(tx.error());
    const std::string name = "u" + std::to_string(i);
    const User user{
        UserId::make(kThen, random), name, name + "@example.org", "h", false, false, kThen, 1};
    if (auto made = (*tx)->insert(user); !made) return std::unexpected(made.error());
    (*tx)->append(
        Event{0, kThen, std::nullopt, std::nullopt, std::nullopt, name, "a", "A", "r", "{}"});
    return (*tx)->commit();
  };
  std::int64_t acknowledged = 0;
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 20; ++i) EXPECT_EQ(must(add(round * 20 + i)), ++acknowledged);
    {
      auto half = must(store.begin());
      must(half->insert(User{UserId::make(kThen, random), "half", "half@example.org", "h", false,
                             false, kThen, 1}));
      server.crash();
      const auto committed = half->commit();
      ASSERT_FALSE(committed);
      EXPECT_TRUE(is_unavailable(committed.error())) << committed.error().message;
    }
    const auto refused = add(1000);
    ASSERT_FALSE(refused);
    EXPECT_TRUE(is_unavailable(refused.error())) << refused.error().message;
    EXPECT_TRUE(is_unavailable(view->count_users().error()));
    EXPECT_TRUE(is_unavailable(store.open_view().error()));
    EXPECT_TRUE(is_unavailable(store.open_snapshot().error()));
    server.start();
    EXPECT_EQ(must(view->count_users()), acknowledged);
    EXPECT_EQ(must(view->last_event()), acknowledged);
    EXPECT_FALSE(must(view->user_by_name("half")));
  }
  EXPECT_TRUE(must(view->audit_ledger()).empty());
  EXPECT_TRUE(must(view->check_integrity()).empty());
}

TEST(PostgresFailures, DamageIsFoundAndNamed) {
  PostgresServer server;  // its own: it is damaged
  must(postgres::migrate(server.url()));
  postgres::PostgresStore store(postgres::Options{server.url()});
  World::commit(store, [&](Transaction& tx) {
    SeededRandom random(1);
    must(tx.insert(
        User{UserId::make(kThen, random), "u", "u@example.org", "h", false, false, kThen, 1}));
    tx.append(Event{0, kThen, std::nullopt, std::nullopt, std::nullopt, "k", "a", "A", "r", "{}"});
  });
  auto view = must(store.open_view());
  EXPECT_EQ(must(view->check_integrity()), std::vector<std::string>{});
  server.run("UPDATE event_counter SET value = 0");
  EXPECT_EQ(must(view->check_integrity()),
            std::vector<std::string>{"The event counter, 0, is behind the history."});
  const std::string file =
      server.folder() + "/data/" + server.run("SELECT pg_relation_filepath('users')");
  server.stop();
  {
    std::fstream page(file, std::ios::in | std::ios::out | std::ios::binary);
    page << std::string(64, 'x');  // over the header of the first page
    ASSERT_TRUE(page.flush());
  }
  server.start();
  const auto found = must(view->check_integrity());
  ASSERT_EQ(found.size(), 2u);
  EXPECT_TRUE(found[0].starts_with("Table users: The database failed: invalid page in block 0"))
      << found[0];
  const auto read = view->user_by_name("u");
  EXPECT_TRUE(!read || *read) << "never quietly somebody who is not there";
}

TEST(PostgresFailures, ASnapshotWhoseServerWentAwayDoesNotGoOnWithAnotherState) {
  World world;
  auto snapshot = must(world.store().open_snapshot());
  EXPECT_EQ(must(snapshot->last_event()), 0);
  world.sql(
      "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = "
      "current_database() AND pid <> pg_backend_pid()");
  World::commit(world.store(), [&](Transaction& tx) { tx.append(world.note("later")); });
  const auto after = snapshot->last_event();
  ASSERT_FALSE(after);
  EXPECT_TRUE(is_unavailable(after.error()));
}

}  // namespace
}  // namespace berth::test
