#include "cli/replay_audit.h"

#include <fmt/format.h>

#include "cli/client.h"

namespace berth::cli {
namespace {

constexpr std::size_t kFindings = 100;  // enough to see what is wrong

std::int64_t milli(const json::Value& value, std::string_view key) {
  return static_cast<std::int64_t>(number_at(value, key) * 1000 + 0.5);
}

Resources resources_of(const json::Value& r) {
  return {milli(r, "cpu"), static_cast<std::int64_t>(number_at(r, "memory")), milli(r, "gpu")};
}

}  // namespace

ReplayAudit::ReplayAudit(const std::vector<Node>& nodes) {
  for (const auto& node : nodes) {
    nodes_[node.name] = {
        node.capacity, node.capacity,
        std::vector<std::int64_t>(static_cast<std::size_t>(node.devices()), kGpuDevice)};
  }
}

void ReplayAudit::find(std::string what) {
  if (findings_.size() < kFindings) findings_.push_back(std::move(what));
}

void ReplayAudit::see(const json::Value& event) {
  const auto seq = static_cast<std::int64_t>(number_at(event, "seq"));
  if (seq <= last_seq_) return find(fmt::format("event {} came after event {}", seq, last_seq_));
  last_seq_ = seq;
  const std::string kind = text_at(event, "kind");
  const std::string id = text_at(event, "deployment_id");
  if (id.empty() || !kind.starts_with("deployment.")) return;
  const auto when = from_rfc3339(text_at(event, "at"));
  if (!when) return find(fmt::format("event {} has no time", seq));
  const auto state = from_text<State>(std::string_view(kind).substr(11));
  if (!state) return;  // a note, not a change of state
  AuditedJob& job = jobs_[id];
  const json::Value& data = at(event, "data");
  if (job.ended) return find(fmt::format("{} changed after its end: {}", id, kind));
  if (*state == State::starting) return started(id, job, data, *when);
  if (job.active && (*state == State::queued || is_terminal(*state))) released(id, job);
  if (*state == State::queued) return queued(job, data, *when);
  if (!is_terminal(*state)) return;
  if (*state == State::cancelled) --waiting_[job.priority];
  job.ended = true;
  job.succeeded = *state == State::succeeded;
  job.ended_at = *when;
  ++ended_;
}

void ReplayAudit::queued(AuditedJob& job, const json::Value& data, Timestamp at_time) {
  if (at(data, "resources").is_object()) {
    job.demand = resources_of(at(data, "resources"));
    job.priority = from_text<Priority>(text_at(data, "priority")).value_or(Priority::low);
    job.queued_at = at_time;
  }
  ++waiting_[job.priority];
}

void ReplayAudit::started(const std::string& id, AuditedJob& job, const json::Value& data,
                          Timestamp at_time) {
  ++starts_;
  --waiting_[job.priority];
  if (job.active) find(fmt::format("{} started twice", id));
  if (static_cast<std::int64_t>(number_at(data, "attempt")) != job.attempts + 1)
    find(fmt::format("{} skipped or repeated an attempt", id));
  if (job.priority == Priority::low && waiting_[Priority::high] > 0)
    find(fmt::format("{} is low and started while high ones waited", id));
  job.attempts += 1;
  job.active = true;
  job.started_at = at_time;
  job.node = text_at(data, "node");
  job.gpus.clear();
  ++active_;
  const auto books = nodes_.find(job.node);
  if (books == nodes_.end())
    return find(fmt::format("{} started on '{}', which is no node", id, job.node));
  const auto left = minus(books->second.free, job.demand);
  if (!left)
    return find(fmt::format("{} does not fit on node {}: it needs {} of {} free", id, job.node,
                            resources_text(job.demand), resources_text(books->second.free)));
  books->second.free = *left;
  std::int64_t granted = 0;
  if (const auto& gpus = at(data, "gpus"); gpus.is_array()) {
    for (const auto& g : gpus.as_array()) {
      const GpuShare share{static_cast<std::int32_t>(number_at(g, "device")),
                           static_cast<std::int32_t>(milli(g, "share"))};
      job.gpus.push_back(share);
      granted += share.milli;
      if (share.device < 0 ||
          static_cast<std::size_t>(share.device) >= books->second.devices.size()) {
        find(fmt::format("{} got device {} of node {}, which has not so many", id, share.device,
                         job.node));
        continue;
      }
      auto& device = books->second.devices[static_cast<std::size_t>(share.device)];
      device -= share.milli;
      if (device < 0)
        find(fmt::format("device {} of node {} is over-committed by {}", share.device, job.node,
                         id));
    }
  }
  if (granted != job.demand.gpu_milli)
    find(fmt::format("{} got {} of {} thousandths of a GPU", id, granted, job.demand.gpu_milli));
}

void ReplayAudit::released(const std::string& id, AuditedJob& job) {
  job.active = false;
  --active_;
  const auto books = nodes_.find(job.node);
  if (books == nodes_.end()) return;
  books->second.free += job.demand;
  if (!minus(books->second.capacity, books->second.free))
    find(fmt::format("{} gave back more than node {} has", id, job.node));
  for (const auto& share : job.gpus) {
    if (static_cast<std::size_t>(share.device) >= books->second.devices.size()) continue;
    auto& device = books->second.devices[static_cast<std::size_t>(share.device)];
    device += share.milli;
    if (device > kGpuDevice)
      find(fmt::format("{} gave back more of device {} of node {} than there is", id, share.device,
                       job.node));
  }
}

bool ReplayAudit::all_free() const {
  for (const auto& [name, books] : nodes_) {
    if (!(books.free == books.capacity)) return false;
  }
  return true;
}

}  // namespace berth::cli
