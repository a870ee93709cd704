#include "scheduler/simulation.h"

#include <algorithm>
#include <functional>
#include <queue>
#include <tuple>

#include "base/ensure.h"

namespace berth {
namespace {

std::uint64_t index_of(const DeploymentId& id) {
  std::uint64_t out = 0;
  for (std::size_t i = 8; i < 16; ++i) out = out << 8 | id.bytes()[i];
  return out;
}

struct Ending {
  SimulatedTime when = 0;
  std::uint32_t attempt = 0;  // an eviction makes the ending of the attempt void
  std::uint64_t job = 0;
  [[nodiscard]] auto key() const { return std::tuple(when, job, attempt); }
  friend bool operator>(const Ending& a, const Ending& b) { return a.key() > b.key(); }
};

class VirtualRun {
 public:
  VirtualRun(ClusterEngine engine, std::span<const SimulatedJob> jobs)
      : engine_(std::move(engine)), jobs_(jobs) {
    out_.jobs.resize(jobs.size());
  }

  SimulationResult run() {
    std::size_t next = 0;
    while (next < jobs_.size() || !endings_.empty()) {
      if (!endings_.empty() &&
          (next == jobs_.size() || endings_.top().when <= jobs_[next].submit)) {
        const Ending ending = endings_.top();
        endings_.pop();
        end(ending);
      } else {
        submit(next++);
      }
    }
    out_.end = now_;
    const EngineStatus status = engine_.status();
    out_.left_waiting = status.high_waiting + status.low_waiting + status.parked;
    return std::move(out_);
  }

 private:
  // One event, and those that follow from evictions: who is displaced is gone and waits again.
  void apply(const EngineEvent& event) {
    displaced_.clear();
    carry_out(engine_.decide(event, now_));
    for (std::size_t i = 0; i < displaced_.size(); ++i) {
      const std::array<EngineEvent, 2> events{Released{simulated_id(displaced_[i])},
                                              queued(displaced_[i])};
      carry_out(engine_.decide(events, now_));
    }
  }

  void carry_out(const Decisions& decisions) {
    ++out_.events;
    for (const Start& start : decisions.starts) began(index_of(start.id));
    for (const Evict& evict : decisions.evictions) {
      const std::uint64_t job = index_of(evict.id);
      ++out_.decisions;
      ++out_.jobs[job].evictions;
      out_.jobs[job].wasted += now_ - out_.jobs[job].start;
      displaced_.push_back(job);
    }
  }

  void began(std::uint64_t job) {
    out_.jobs[job].start = now_;
    endings_.push({now_ + jobs_[job].duration, out_.jobs[job].evictions, job});
    ++out_.decisions;
  }

  [[nodiscard]] Queued queued(std::uint64_t index) const {
    const SimulatedJob& job = jobs_[index];
    return {simulated_id(index), job.priority, index + 1, job.demand, false, job.submit, job.limit};
  }

  void submit(std::size_t index) {
    const SimulatedJob& job = jobs_[index];
    ensure(job.submit >= now_ && job.duration > 0, "the jobs of a simulation are out of order");
    now_ = job.submit;
    if (engine_.never_fits(job.demand)) {
      out_.jobs[index].refused = true;
      return;
    }
    apply(queued(index));
  }

  void end(const Ending& ending) {
    SimulatedOutcome& job = out_.jobs[ending.job];
    if (ending.attempt != job.evictions) return;
    now_ = ending.when;
    job.end = now_;
    apply(Released{simulated_id(ending.job)});
  }

  ClusterEngine engine_;
  std::span<const SimulatedJob> jobs_;
  SimulationResult out_;
  SimulatedTime now_ = 0;
  std::vector<std::uint64_t> displaced_;
  std::priority_queue<Ending, std::vector<Ending>, std::greater<>> endings_;
};

}  // namespace

DeploymentId simulated_id(std::uint64_t index) {
  IdBytes bytes{};
  for (std::size_t i = 0; i < 8; ++i) bytes[15 - i] = static_cast<std::uint8_t>(index >> (8 * i));
  return DeploymentId(bytes);
}

SimulationResult simulate(ClusterEngine engine, std::span<const SimulatedJob> jobs) {
  return VirtualRun(std::move(engine), jobs).run();
}

}  // namespace berth
