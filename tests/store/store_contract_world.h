// The world that the contract's tests start from.
#pragma once
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "base/ensure.h"
#include "base/random.h"
#include "store/store.h"

namespace berth::test {

inline const Timestamp kThen{1'700'000'000'000'000};

// The value, or the test ends with the error's sentence.
template <class T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().reason + ": " + result.error().message);
  return std::move(*result);
}
inline void must(Result<void> result) {
  if (!result) throw std::runtime_error(result.error().reason + ": " + result.error().message);
}

template <class Fixture>
class StoreContract : public ::testing::Test {
 protected:
  void SetUp() override {
    ada = {UserId::make(kThen, random), "ada", "ada@example.org", "hash", false, false, kThen, 1};
    lab = {OrganizationId::make(kThen, random), "lab", kThen, 1};
    pool.id = ClusterId::make(kThen, random);
    pool.organization = lab.id;
    pool.name = "pool";
    pool.nodes = {{"n1", {4000, 8 << 20, 2000}, "A100"}, {"n2", {2000, 4 << 20, 0}, ""}};
    pool.created_at = kThen;
    commit([&](Transaction& tx) {
      must(tx.insert(ada));
      must(tx.insert(lab));
      must(tx.insert(Member{lab.id, ada.id, "", "", Role::owner, kThen, 1}));
      must(tx.insert(pool));
    });
  }
  template <class Work>
  std::int64_t commit(Work work) {  // the number of the first event
    auto tx = must(world.store().begin());
    work(*tx);
    return must(tx->commit());
  }
  // Runs it and throws the transaction away.
  template <class Work>
  void abandon(Work work) {
    auto tx = must(world.store().begin());
    work(*tx);
  }
  std::unique_ptr<ReadView> view() { return must(world.store().open_view()); }

  Deployment waiting(const std::string& name, Priority priority = Priority::low) {
    Deployment d;
    d.id = DeploymentId::make(kThen.plus(std::chrono::milliseconds(++made)), random);
    d.organization = lab.id;
    d.cluster = pool.id;
    d.name = name;
    d.priority = priority;
    d.order = static_cast<std::uint64_t>(made);
    d.spec.command = {"run", "it now"};
    d.spec.env = {{"A", "1"}, {"B", "zwei \"zwei\""}};
    d.spec.port = 8080;
    d.spec.resources = {1000, 1 << 20, 500};
    d.created_by = ada.id;
    d.created_at = d.updated_at = kThen;
    return d;
  }
  static Grant grant_on(const std::string& node, Resources r, std::vector<GpuShare> gpus = {}) {
    return {node, r, std::move(gpus)};
  }
  // Queued, then started on a node with its reservation, in one transaction.
  Deployment started(const std::string& name, const std::string& node, std::vector<GpuShare> gpus) {
    Deployment d = waiting(name);
    commit([&](Transaction& tx) {
      must(tx.insert(d));
      d.state = State::starting;
      d.attempt = 1;
      d.version += 1;
      d.admitted_at = kThen;
      d.grant = grant_on(node, d.spec.resources, std::move(gpus));
      must(tx.update(d, State::queued));
      must(tx.reserve(pool.id, d.attempt_key(), *d.grant));
    });
    return d;
  }

  Fixture world;
  SeededRandom random{7};
  User ada;
  Organization lab;
  Cluster pool;
  int made = 0;
};

TYPED_TEST_SUITE_P(StoreContract);

}  // namespace berth::test
