// A database that the tests of the relay write into, without services: rows and their events.
#pragma once
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "service/relay.h"
#include "store/sqlite/sqlite_store.h"
#include "support.h"

namespace berth::test {

inline const Timestamp kThen{1'700'000'000'000'000};

class RelayWorld {
 public:
  RelayWorld() {
    std::string name = (std::filesystem::temp_directory_path() / "berth-relay-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary directory");
    folder_ = name;
    store_ = open();
    view_ = must(store_->open_view());
    write([this](Transaction& tx) {
      organization_ = OrganizationId::make(next(), random_);
      must(tx.insert(Organization{organization_, "lab", kThen, 1}));
      tx.append(event("organization.created", {}, {}));
    });
  }
  ~RelayWorld() {
    view_.reset();
    store_.reset();
    std::filesystem::remove_all(folder_);
  }
  RelayWorld(const RelayWorld&) = delete;
  RelayWorld& operator=(const RelayWorld&) = delete;

  // As another process has it.
  [[nodiscard]] std::unique_ptr<sqlite::SqliteStore> open() const {
    return std::make_unique<sqlite::SqliteStore>(sqlite::Options{folder_ + "/berth.db"});
  }
  [[nodiscard]] ReadView& view() const { return *view_; }
  [[nodiscard]] const std::string& folder() const { return folder_; }

  template <class Work>
  void write(Work work) {
    auto tx = must(store_->begin());
    work(*tx);
    must(tx->commit());
  }
  Event event(const std::string& kind, std::optional<ClusterId> cluster,
              std::optional<DeploymentId> deployment, const std::string& actor = "ada") {
    return Event{0, kThen, organization_, cluster, deployment, kind, actor, actor, "", "{}"};
  }

  ClusterId create_cluster() {
    Cluster c;
    c.id = ClusterId::make(next(), random_);
    c.organization = organization_;
    c.name = c.id.str();
    c.nodes = {{"n1", {64'000, std::int64_t{1} << 40, 0}, ""}};
    c.created_at = kThen;
    write([&](Transaction& tx) {
      must(tx.insert(c));
      tx.append(event("cluster.created", c.id, {}));
    });
    return c.id;
  }
  void delete_cluster(const ClusterId& id) {
    write([&](Transaction& tx) {
      must(tx.remove_cluster(id));
      tx.append(event("cluster.deleted", id, {}));
    });
  }
  OrganizationId add_organization(const std::string& name) {
    const auto id = OrganizationId::make(next(), random_);
    write([&](Transaction& tx) { must(tx.insert(Organization{id, name, kThen, 1})); });
    return id;
  }
  DeploymentId submit(const ClusterId& cluster, Priority priority = Priority::low,
                      Resources demand = {500, 1 << 20, 0}) {
    return submit_as(organization_, cluster, priority, demand);
  }
  DeploymentId submit_as(const OrganizationId& whose, const ClusterId& cluster,
                         Priority priority = Priority::low, Resources demand = {500, 1 << 20, 0}) {
    Deployment d;
    d.id = DeploymentId::make(next(), random_);
    d.organization = whose;
    d.cluster = cluster;
    d.name = d.id.str();
    d.priority = priority;
    d.spec.resources = demand;
    d.created_at = d.updated_at = kThen;
    write([&](Transaction& tx) {
      d.order = must(tx.take_order(cluster));
      must(tx.insert(d));
      Event queued = event("deployment.queued", cluster, d.id);
      queued.organization = whose;
      tx.append(std::move(queued));
    });
    return d.id;
  }
  // Changes the row and writes an event of that kind about it.
  template <class Edit>
  void edit(const DeploymentId& id, const std::string& kind, Edit change,
            const std::string& actor = "ada") {
    write([&](Transaction& tx) {
      Deployment d = *must(tx.deployment(id));
      const auto from = d.state;
      change(d);
      d.version += 1;
      must(tx.update(d, from));
      tx.append(event(kind, d.cluster, id, actor));
    });
  }
  void to_state(const DeploymentId& id, State state) {
    edit(id, "deployment." + std::string(to_text(state)), [&](Deployment& d) {
      d.state = state;
      d.retry_at.reset();
      if (is_terminal(state)) d.ended_at = kThen;
    });
  }
  void park(const DeploymentId& id) {
    edit(
        id, "deployment.queued",
        [](Deployment& d) {
          d.state = State::queued;
          d.retry_at = kThen;
        },
        "runtime");
  }
  void unpark(const DeploymentId& id) {
    edit(id, "deployment.retrying", [](Deployment& d) { d.retry_at.reset(); }, "runtime");
  }
  void remove(const DeploymentId& id) {
    write([&](Transaction& tx) {
      const auto cluster = must(tx.deployment(id))->cluster;
      must(tx.remove_deployment(id));
      tx.append(event("deployment.deleted", cluster, id));
    });
  }

  // What the queue should be, and of which event, from the rows alone.
  [[nodiscard]] QueueContent recorded(const ClusterId& cluster) const {
    QueueContent out;
    must(view_->for_each_waiting(cluster, [&](const WaitingRow& row) {
      if (row.retry_at) return;
      auto& list = row.priority == Priority::high ? out.high : out.low;
      list.push_back({row.id, row.priority, row.order, row.demand});
    }));
    return out;
  }

 private:
  Timestamp next() { return kThen.plus(milliseconds(++made_)); }

  std::string folder_;
  std::unique_ptr<sqlite::SqliteStore> store_;
  std::unique_ptr<ReadView> view_;
  SeededRandom random_{11};
  std::int64_t made_ = 0;
  OrganizationId organization_;
};

// The same, and that it is whole.
inline void expect_as_recorded(const RelayWorld& world, WorkQueue& queue,
                               const ClusterId& cluster) {
  auto content = must(queue.content(cluster));
  ASSERT_TRUE(content.seq) << cluster.str();
  EXPECT_LE(*content.seq, must(world.view().last_event()));
  content.seq.reset();
  EXPECT_EQ(content, world.recorded(cluster)) << cluster.str();
}

}  // namespace berth::test
