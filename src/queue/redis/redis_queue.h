// The queues in Redis 6.2 or newer, where every process of an installation sees them. The keys are
// described in docs/scaled-out.md. A user of Redis needs no more than
//   ACL SETUSER berth on >PASSWORD resetkeys ~berth:* resetchannels &berth:* -@all +@read +@write
//     +@connection +@transaction +@pubsub +@scripting -@dangerous +info +config|get
// of which the last two only serve warnings().
#pragma once
#include <memory>
#include <mutex>

#include "queue/redis/connection.h"
#include "queue/redis/scripts.h"
#include "queue/work_queue.h"

namespace berth::redis {

class RedisQueue final : public WorkQueue {
 public:
  // Does not connect: the first call does, and each one after a failure.
  explicit RedisQueue(Options options);
  ~RedisQueue() override;

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
  // Words of a command, with the names of scripts as this connection has learned them.
  using Compose = std::function<void(Pipeline&)>;
  // Holds the connection until all replies are there; whoever waits for that too long gives up.
  // Once more when the server has forgotten the scripts, or holds something else in place of the
  // wakes or the list of clusters.
  Result<Replies> exchange(const Compose& compose);
  // True: an obstacle that was found in the replies is out of the way, try again.
  Result<bool> cleared(const Replies& replies);
  [[nodiscard]] std::string_view name_of(Script script) const;
  void call(Pipeline& to, Script script, std::span<const std::string_view> keys,
            std::span<const std::string> words) const;

  Result<QueueMark> mark(const ClusterId& cluster);
  Result<QueueContent> content_at_once(const ClusterId& cluster);
  // Empty: it changed meanwhile.
  Result<std::optional<QueueContent>> content_in_pages(const ClusterId& cluster,
                                                       const QueueMark& mark);
  Result<bool> add_page(const Keys& keys, Priority priority, std::vector<WaitingEntry>& to);
  Result<void> publish_some(std::span<const QueueChange> changes);
  Result<void> write_fresh(const Keys& fresh, std::span<const WaitingEntry> waiting);

  const Options options_;
  const std::string wake_, clusters_, nudge_, generation_;
  std::timed_mutex mutex_;
  Connection connection_;
};

}  // namespace berth::redis
