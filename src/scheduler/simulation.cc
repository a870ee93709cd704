#include "scheduler/simulation.h"

#include <algorithm>
#include <functional>
#include <queue>
#include <tuple>
#include <unordered_map>

#include "base/ensure.h"
#include "scheduler/outlook.h"

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
  VirtualRun(ClusterEngine engine, std::span<const SimulatedJob> jobs,
             const SimulationOptions& options)
      : engine_(std::move(engine)), jobs_(jobs), options_(options) {
    out_.jobs.resize(jobs.size());
    if (!options_.mix) return;
    nodes_of_.resize(jobs.size());
    unusable_.resize(engine_.status().nodes.size());
    for (std::uint32_t n = 0; n < unusable_.size(); ++n) measure(n);
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
    carry_out(std::span(&event, 1));
    for (std::size_t i = 0; i < displaced_.size(); ++i) {
      const std::array<EngineEvent, 2> events{Released{simulated_id(displaced_[i])},
                                              queued(displaced_[i])};
      carry_out(events);
    }
  }

  void carry_out(std::span<const EngineEvent> events) {
    ++out_.events;
    if (asks()) outlook_.before(engine_, events, now_);
    const Decisions decisions = engine_.decide(events, now_);
    if (asks()) outlook_.after(decisions, now_);
    if (options_.mix) note_nodes(events, decisions);
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
    if (asks()) note_start(job);
    endings_.push({now_ + jobs_[job].duration, out_.jobs[job].evictions, job});
    ++out_.decisions;
  }

  [[nodiscard]] Queued queued(std::uint64_t index) const {
    const SimulatedJob& job = jobs_[index];
    return {simulated_id(index), job.priority, index + 1,      job.demand,   false,     job.submit,
            job.limit,           false,        job.constraint, job.replicas, job.tenant};
  }

  void submit(std::size_t index) {
    const SimulatedJob& job = jobs_[index];
    ensure(job.submit >= now_ && job.duration > 0, "the jobs of a simulation are out of order");
    now_ = job.submit;
    if (engine_.never_fits(job.demand, job.constraint, job.replicas)) {
      out_.jobs[index].refused = true;
      return;
    }
    apply(queued(index));
    if (asks() && out_.jobs[index].start == SimulatedOutcome::kNever &&
        had_to_wait_++ % options_.forecast_every == 0) {
      foretell(index);
    }
  }

  // --- fragmentation: only the nodes that an event touched are measured again ------------------

  void measure(std::uint32_t node) {
    const NodeState state = engine_.node_state(node);
    const double now = unusable_gpu(*options_.mix, state.free, state.gpu_free_milli);
    unusable_sum_ += now - unusable_[node];
    unusable_[node] = now;
  }

  void note_nodes(std::span<const EngineEvent> events, const Decisions& decisions) {
    for (const EngineEvent& event : events) {
      const auto* released = std::get_if<Released>(&event);
      if (released == nullptr) continue;
      for (const std::uint32_t node : nodes_of_[index_of(released->id)]) measure(node);
    }
    for (const Start& start : decisions.starts) {
      auto& nodes = nodes_of_[index_of(start.id)];
      nodes.clear();
      for_each_place(start, [&](const Placement& place) { nodes.push_back(place.node); });
      for (const std::uint32_t node : nodes) measure(node);
    }
    auto& points = out_.fragmentation;
    if (!points.empty() && points.back().when == now_) points.pop_back();
    points.push_back({now_, unusable_sum_});
  }

  // --- forecasts: fed and asked as a service does ---------------------------------------------

  [[nodiscard]] bool asks() const { return options_.forecast_every > 0; }

  void foretell(std::size_t index) {
    const DeploymentId id = simulated_id(index);
    SimulatedForecast out{.job = index, .asked = now_, .forecast = {}};
    if (auto told = outlook_.promise(engine_, now_, id).of(id)) {
      out.forecast = std::move(*told);
    } else {
      out.forecast.priority = jobs_[index].priority;
    }
    foretold_.emplace(index, out_.forecasts.size());
    out_.forecasts.push_back(std::move(out));
  }

  void note_start(std::uint64_t job) {
    const auto found = foretold_.find(job);
    if (found == foretold_.end()) return;
    out_.forecasts[found->second].start = now_;
    foretold_.erase(found);
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
  SimulationOptions options_;
  Outlook outlook_;
  std::size_t had_to_wait_ = 0;
  std::vector<std::vector<std::uint32_t>> nodes_of_;  // of each job, only with a mix
  std::vector<double> unusable_;                      // by node
  double unusable_sum_ = 0;
  std::unordered_map<std::uint64_t, std::size_t> foretold_;  // job -> its forecast
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

SimulationResult simulate(ClusterEngine engine, std::span<const SimulatedJob> jobs,
                          const SimulationOptions& options) {
  return VirtualRun(std::move(engine), jobs, options).run();
}

}  // namespace berth
