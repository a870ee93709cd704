#include "simulation/queue.h"

#include <algorithm>

namespace berth::sim {
namespace {

using std::chrono::milliseconds;

std::unexpected<Error> unreachable() {
  return fail(Code::unavailable, "queue_unavailable", "The queue cannot be reached.");
}

Time time_of(milliseconds d) { return std::chrono::microseconds(d).count(); }

class Wakes final : public WakeReader {
 public:
  Wakes(QueueServer& server, Weather& weather, Machine& machine, std::unique_ptr<WakeReader> inner)
      : server_(server), weather_(weather), machine_(machine), inner_(std::move(inner)) {}

  Result<std::vector<Wake>> wait(milliseconds patience) override {
    auto& sim = weather_.simulator;
    sim.sleep(sim.between(50, kMilli));
    if (machine_.queue_cut || server_.away) return unreachable();
    auto got = inner_->wait(milliseconds(0));
    if (got && got->empty()) {
      sim.wait(server_.published, time_of(patience));
      if (machine_.queue_cut || server_.away) return unreachable();
      got = inner_->wait(milliseconds(0));
    }
    if (!got || got->empty()) return got;
    if (weather_.strikes(Fault::wake_lost, 0.02)) got->clear();
    if (!got->empty() && weather_.strikes(Fault::wake_repeated, 0.02)) got->push_back(got->front());
    if (got->size() > 1 && weather_.strikes(Fault::wakes_reordered, 0.05))
      std::ranges::reverse(*got);
    return got;
  }

 private:
  QueueServer& server_;
  Weather& weather_;
  Machine& machine_;
  std::unique_ptr<WakeReader> inner_;
};

class Nudges final : public NudgeReader {
 public:
  Nudges(QueueServer& server, Weather& weather, Machine& machine,
         std::unique_ptr<NudgeReader> inner)
      : server_(server), weather_(weather), machine_(machine), inner_(std::move(inner)) {}

  Result<bool> wait(milliseconds patience) override {
    auto& sim = weather_.simulator;
    sim.sleep(sim.between(50, kMilli));
    if (machine_.queue_cut || server_.away) return unreachable();
    auto got = inner_->wait(milliseconds(0));
    if (got && !*got) {
      sim.wait(server_.nudged, time_of(patience));
      if (machine_.queue_cut || server_.away) return unreachable();
      got = inner_->wait(milliseconds(0));
    }
    return got;
  }

 private:
  QueueServer& server_;
  Weather& weather_;
  Machine& machine_;
  std::unique_ptr<NudgeReader> inner_;
};

}  // namespace

void QueueServer::flush() {
  const auto all = queue.clusters();
  for (const auto& cluster : *all) (void)queue.remove(cluster);
}

template <class Answer, class Call>
Answer SimulatedQueue::exchange(const char* what, Call call) {
  auto& sim = weather_.simulator;
  sim.note(what);
  sim.sleep(sim.between(50, kMilli));
  if (machine_.queue_cut || server_.away) {
    sim.sleep(sim.between(kMilli, kSecond));
    return unreachable();
  }
  if (weather_.strikes(Fault::queue_call_failed, 0.003)) return unreachable();
  Answer answer = call();
  sim.sleep(sim.between(50, kMilli));
  if (weather_.strikes(Fault::queue_answer_lost, 0.003)) return unreachable();
  return answer;
}

Result<void> SimulatedQueue::publish(std::span<const QueueChange> changes) {
  return exchange<Result<void>>("queue: publish", [&]() -> Result<void> {
    auto done = server_.queue.publish(changes);
    auto& sim = weather_.simulator;
    sim.ring(server_.published);
    if (!changes.empty() && weather_.strikes(Fault::publication_repeated, 0.02)) {
      // As by another relay, that was slower.
      std::vector<QueueChange> again(changes.begin(), changes.end());
      sim.after(sim.between(kMilli, 3 * kSecond), nullptr,
                [this_server = &server_, again = std::move(again)] {
                  (void)this_server->queue.publish(again);
                });
    }
    return done;
  });
}
Result<void> SimulatedQueue::rebuild(const ClusterId& cluster,
                                     std::span<const WaitingEntry> waiting, std::int64_t seq) {
  return exchange<Result<void>>("queue: rebuild",
                                [&] { return server_.queue.rebuild(cluster, waiting, seq); });
}
Result<void> SimulatedQueue::remove(const ClusterId& cluster) {
  return exchange<Result<void>>("queue: remove", [&] { return server_.queue.remove(cluster); });
}
Result<QueueContent> SimulatedQueue::content(const ClusterId& cluster) {
  return exchange<Result<QueueContent>>("queue: content",
                                        [&] { return server_.queue.content(cluster); });
}
Result<std::vector<QueueMark>> SimulatedQueue::marks(std::span<const ClusterId> clusters) {
  return exchange<Result<std::vector<QueueMark>>>("queue: marks",
                                                  [&] { return server_.queue.marks(clusters); });
}
Result<std::vector<ClusterId>> SimulatedQueue::clusters() {
  return exchange<Result<std::vector<ClusterId>>>("queue: clusters",
                                                  [&] { return server_.queue.clusters(); });
}
Result<std::unique_ptr<WakeReader>> SimulatedQueue::reader(const std::string& name) {
  using Answer = Result<std::unique_ptr<WakeReader>>;
  return exchange<Answer>("queue: reader", [&]() -> Answer {
    auto inner = server_.queue.reader(name);
    if (!inner) return inner;
    return std::make_unique<Wakes>(server_, weather_, machine_, std::move(*inner));
  });
}
Result<void> SimulatedQueue::forget_readers(std::span<const std::string> living) {
  return exchange<Result<void>>("queue: forget readers",
                                [&] { return server_.queue.forget_readers(living); });
}
Result<std::string> SimulatedQueue::generation(std::string_view proposal) {
  return exchange<Result<std::string>>("queue: generation",
                                       [&] { return server_.queue.generation(proposal); });
}

Result<void> SimulatedQueue::nudge() {
  return exchange<Result<void>>("queue: nudge", [&] {
    weather_.simulator.ring(server_.nudged);
    return server_.queue.nudge();
  });
}
Result<std::unique_ptr<NudgeReader>> SimulatedQueue::nudges() {
  using Answer = Result<std::unique_ptr<NudgeReader>>;
  return exchange<Answer>("queue: nudges", [&]() -> Answer {
    auto inner = server_.queue.nudges();
    if (!inner) return inner;
    return std::make_unique<Nudges>(server_, weather_, machine_, std::move(*inner));
  });
}

}  // namespace berth::sim
