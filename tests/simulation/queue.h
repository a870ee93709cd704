// The queue as one process reaches it: the memory adapter behind a network that loses, repeats and
// reorders, and a server that forgets everything.
#pragma once
#include "queue/memory/memory_queue.h"
#include "simulation/links.h"

namespace berth::sim {

// The server, shared by all processes.
struct QueueServer {
  memory::MemoryQueue queue;
  Bell published, nudged;
  bool away = false;

  void flush();  // forgets every list
};

class SimulatedQueue final : public WorkQueue {
 public:
  SimulatedQueue(QueueServer& server, Weather& weather, Machine& machine)
      : server_(server), weather_(weather), machine_(machine) {}

  Result<void> publish(std::span<const QueueChange> changes) override;
  Result<void> rebuild(const ClusterId& cluster, std::span<const WaitingEntry> waiting,
                       std::int64_t seq) override;
  Result<void> remove(const ClusterId& cluster) override;
  Result<QueueContent> content(const ClusterId& cluster) override;
  Result<std::vector<QueueMark>> marks(std::span<const ClusterId> clusters) override;
  Result<std::vector<ClusterId>> clusters() override;
  Result<std::unique_ptr<WakeReader>> reader(const std::string& name) override;
  Result<void> forget_readers(std::span<const std::string> living) override;
  Result<std::string> generation(std::string_view proposal) override;
  Result<void> nudge() override;
  Result<std::unique_ptr<NudgeReader>> nudges() override;
  Result<std::vector<std::string>> warnings() override { return std::vector<std::string>{}; }

 private:
  template <class Answer, class Call>
  Answer exchange(const char* what, Call call);

  QueueServer& server_;
  Weather& weather_;
  Machine& machine_;
};

}  // namespace berth::sim
