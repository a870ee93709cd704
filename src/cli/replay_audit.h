// Follows a cluster's history from outside and keeps a ledger of its own: whatever the server
// believes, the events that it published must add up. Pure: events in, findings and figures out.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/time.h"
#include "core/cluster.h"
#include "core/deployment.h"
#include "json/value.h"

namespace berth::cli {

struct AuditedJob {
  Priority priority = Priority::low;
  Resources demand;
  Timestamp queued_at;
  Timestamp started_at;  // of the latest attempt
  Timestamp ended_at;
  std::int64_t attempts = 0;
  bool active = false;
  bool ended = false;
  bool succeeded = false;
  std::string node;
  std::vector<GpuShare> gpus;
};

class ReplayAudit {
 public:
  explicit ReplayAudit(const std::vector<Node>& nodes);

  // Events of one cluster, in the order of their sequence numbers. Others are ignored.
  void see(const json::Value& event);

  [[nodiscard]] const std::vector<std::string>& findings() const { return findings_; }
  [[nodiscard]] const std::unordered_map<std::string, AuditedJob>& jobs() const { return jobs_; }
  [[nodiscard]] std::size_t ended() const { return ended_; }
  [[nodiscard]] std::size_t active() const { return active_; }
  [[nodiscard]] std::size_t waiting(Priority p) const { return waiting_.at(p); }
  [[nodiscard]] std::int64_t last_seq() const { return last_seq_; }
  [[nodiscard]] std::uint64_t starts() const { return starts_; }
  // Everything that was taken has come back.
  [[nodiscard]] bool all_free() const;

 private:
  struct Books {
    Resources capacity;
    Resources free;
    std::vector<std::int64_t> devices;  // thousandths free
  };
  void queued(AuditedJob& job, const json::Value& data, Timestamp at);
  void started(const std::string& id, AuditedJob& job, const json::Value& data, Timestamp at);
  void released(const std::string& id, AuditedJob& job);
  void find(std::string what);

  std::map<std::string, Books, std::less<>> nodes_;
  std::unordered_map<std::string, AuditedJob> jobs_;
  std::map<Priority, std::size_t> waiting_{{Priority::high, 0}, {Priority::low, 0}};
  std::vector<std::string> findings_;
  std::size_t ended_ = 0, active_ = 0;
  std::uint64_t starts_ = 0;
  std::int64_t last_seq_ = 0;
};

}  // namespace berth::cli
