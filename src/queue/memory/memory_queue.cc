#include "queue/memory/memory_queue.h"

#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>

#include "base/ensure.h"

namespace berth::memory {
namespace {

constexpr std::size_t kKeptWakes = 100'000;

struct Queue {
  std::int64_t seq = 0;
  std::map<std::pair<std::uint64_t, DeploymentId>, WaitingEntry> high, low;
  std::unordered_map<DeploymentId, std::pair<Priority, std::uint64_t>> places;

  auto& list(Priority priority) { return priority == Priority::high ? high : low; }
  void leave(const DeploymentId& id) {
    const auto place = places.find(id);
    if (place == places.end()) return;
    list(place->second.first).erase({place->second.second, id});
    places.erase(place);
  }
  void enter(const WaitingEntry& entry) {
    ensure(entry.order < kOrderLimit, "admission numbers are exact as doubles");
    leave(entry.id);
    list(entry.priority).emplace(std::pair(entry.order, entry.id), entry);
    places.emplace(entry.id, std::pair(entry.priority, entry.order));
  }
};

}  // namespace

struct MemoryQueue::State {
  std::mutex mutex;
  std::condition_variable something;
  std::map<ClusterId, Queue> queues;
  std::deque<Wake> wakes;
  std::uint64_t first_wake = 0;  // the number of the oldest one kept
  std::uint64_t nudges = 0;
  std::string generation;

  [[nodiscard]] std::uint64_t next_wake() const { return first_wake + wakes.size(); }
};

namespace {

// Whether it is so at last. Who has no patience only looks, without the system's help.
template <class State, class So>
bool await(State& state, std::unique_lock<std::mutex>& lock, std::chrono::milliseconds patience,
           So so) {
  if (patience <= std::chrono::milliseconds(0)) return so();
  return state.something.wait_for(lock, patience, std::move(so));
}

template <class State>
class Wakes final : public WakeReader {
 public:
  Wakes(std::shared_ptr<State> state, std::uint64_t next) : state_(std::move(state)), next_(next) {}

  Result<std::vector<Wake>> wait(std::chrono::milliseconds patience) override {
    std::unique_lock lock(state_->mutex);
    await(*state_, lock, patience, [this] { return state_->next_wake() > next_; });
    next_ = std::max(next_, state_->first_wake);
    const auto from = static_cast<std::ptrdiff_t>(next_ - state_->first_wake);
    std::vector<Wake> out(state_->wakes.begin() + from, state_->wakes.end());
    next_ = state_->next_wake();
    return out;
  }

 private:
  std::shared_ptr<State> state_;
  std::uint64_t next_;
};

template <class State>
class Nudges final : public NudgeReader {
 public:
  Nudges(std::shared_ptr<State> state, std::uint64_t seen)
      : state_(std::move(state)), seen_(seen) {}

  Result<bool> wait(std::chrono::milliseconds patience) override {
    std::unique_lock lock(state_->mutex);
    const bool nudged = await(*state_, lock, patience, [this] { return state_->nudges != seen_; });
    seen_ = state_->nudges;
    return nudged;
  }

 private:
  std::shared_ptr<State> state_;
  std::uint64_t seen_;
};

}  // namespace

MemoryQueue::MemoryQueue() : state_(std::make_shared<State>()) {}
MemoryQueue::~MemoryQueue() = default;

Result<void> MemoryQueue::publish(std::span<const QueueChange> changes) {
  const std::scoped_lock lock(state_->mutex);
  for (const auto& change : changes) {
    const auto found = state_->queues.find(change.cluster);
    if (found != state_->queues.end() && found->second.seq < change.after) {
      state_->queues.erase(found);
    } else if (found != state_->queues.end() && found->second.seq < change.seq) {
      if (change.leave) found->second.leave(*change.leave);
      if (change.enter) found->second.enter(*change.enter);
      found->second.seq = change.seq;
    }
    state_->wakes.push_back({change.seq, change.kind, change.cluster});
  }
  while (state_->wakes.size() > kKeptWakes) {
    state_->wakes.pop_front();
    ++state_->first_wake;
  }
  state_->something.notify_all();
  return {};
}

Result<void> MemoryQueue::rebuild(const ClusterId& cluster, std::span<const WaitingEntry> waiting,
                                  std::int64_t seq) {
  Queue fresh;
  fresh.seq = seq;
  for (const auto& entry : waiting) fresh.enter(entry);
  const std::scoped_lock lock(state_->mutex);
  auto& queue = state_->queues[cluster];
  // What was there is destroyed without the lock, behind it.
  if (queue.seq <= seq) std::swap(queue, fresh);
  return {};
}

Result<void> MemoryQueue::remove(const ClusterId& cluster) {
  const std::scoped_lock lock(state_->mutex);
  state_->queues.erase(cluster);
  return {};
}

Result<QueueContent> MemoryQueue::content(const ClusterId& cluster) {
  const std::scoped_lock lock(state_->mutex);
  QueueContent out;
  const auto found = state_->queues.find(cluster);
  if (found == state_->queues.end()) return out;
  out.seq = found->second.seq;
  for (const auto& [place, entry] : found->second.high) out.high.push_back(entry);
  for (const auto& [place, entry] : found->second.low) out.low.push_back(entry);
  return out;
}

Result<std::vector<QueueMark>> MemoryQueue::marks(std::span<const ClusterId> clusters) {
  const std::scoped_lock lock(state_->mutex);
  std::vector<QueueMark> out;
  for (const auto& cluster : clusters) {
    const auto found = state_->queues.find(cluster);
    out.push_back(
        found == state_->queues.end()
            ? QueueMark{}
            : QueueMark{found->second.seq, found->second.high.size(), found->second.low.size()});
  }
  return out;
}

Result<std::vector<ClusterId>> MemoryQueue::clusters() {
  const std::scoped_lock lock(state_->mutex);
  std::vector<ClusterId> out;
  for (const auto& [cluster, queue] : state_->queues) out.push_back(cluster);
  return out;
}

Result<std::unique_ptr<WakeReader>> MemoryQueue::reader(const std::string&) {
  const std::scoped_lock lock(state_->mutex);
  return std::make_unique<Wakes<State>>(state_, state_->next_wake());
}

// Nothing is kept for readers: each has its place in the one list.
Result<void> MemoryQueue::forget_readers(std::span<const std::string>) { return {}; }

Result<std::string> MemoryQueue::generation(std::string_view proposal) {
  const std::lock_guard lock(state_->mutex);
  if (state_->generation.empty()) state_->generation = proposal;
  return state_->generation;
}

Result<void> MemoryQueue::nudge() {
  const std::scoped_lock lock(state_->mutex);
  ++state_->nudges;
  state_->something.notify_all();
  return {};
}

Result<std::unique_ptr<NudgeReader>> MemoryQueue::nudges() {
  const std::scoped_lock lock(state_->mutex);
  return std::make_unique<Nudges<State>>(state_, state_->nudges);
}

Result<std::vector<std::string>> MemoryQueue::warnings() { return std::vector<std::string>{}; }

}  // namespace berth::memory
