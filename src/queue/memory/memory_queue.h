// The queues of a single process, and the plainest form of the contract.
#pragma once
#include <memory>

#include "queue/work_queue.h"

namespace berth::memory {

class MemoryQueue final : public WorkQueue {
 public:
  MemoryQueue();
  ~MemoryQueue() override;

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
  Result<std::vector<std::string>> warnings() override;

 private:
  struct State;  // shared with the readers, which may outlive the queue
  std::shared_ptr<State> state_;
};

}  // namespace berth::memory
