// People who ask: submit, stop, change, look, and believe what they are answered.
#pragma once
#include "simulation/invariants.h"
#include "simulation/process.h"

namespace berth::sim {

class Clients {
 public:
  using SomeApi = std::function<Process*()>;
  Clients(Simulator& simulator, Invariants& invariants, SomeApi some_api)
      : simulator_(simulator), invariants_(invariants), some_api_(std::move(some_api)) {}

  void prepare(Tables& tables);  // the organization, its member and the clusters
  void start();
  void stop_asking() { asking_ = false; }
  void stop();  // for good
  [[nodiscard]] std::uint64_t answered() const { return answered_; }

 private:
  void live();
  void submit();
  void stop_one();
  void reprioritize();
  void remove();
  void resize();
  void pause();
  void share();
  void create_cluster();
  void remove_cluster();
  [[nodiscard]] Policy some_policy();
  [[nodiscard]] std::vector<Node> some_nodes(std::size_t count);
  [[nodiscard]] std::optional<Resources> some_limits();
  [[nodiscard]] std::optional<DeploymentId> some_deployment();
  template <class T>
  std::optional<T> ask(const std::function<Task<T>(Process&)>& what);

  Simulator& simulator_;
  Invariants& invariants_;
  SomeApi some_api_;
  Owner people_{"people"};
  Caller caller_;
  OrganizationId organization_;
  OrganizationId guests_;  // of whom the same person is a member; some clusters are shared with it
  std::vector<ClusterId> clusters_;
  std::vector<DeploymentId> known_;
  bool shares_ = false;  // in some worlds clusters are one organization's alone
  bool asking_ = true;
  std::uint64_t answered_ = 0;
  int names_ = 0;
};

}  // namespace berth::sim
