#include "service/committer.h"

#include <algorithm>
#include <future>

namespace berth {
namespace {

// Beyond this the server is overloaded, and says so instead of growing.
constexpr std::size_t kQueue = 16'384;

}  // namespace

Committer::Committer(Store& store, const Clock& clock, Follower& follower, Publish publish,
                     CommitterRules rules)
    : store_(store),
      clock_(clock),
      follower_(follower),
      publish_(std::move(publish)),
      rules_(rules) {
  if (rules_.own_thread) thread_ = std::thread([this] { run(); });
}

Committer::~Committer() { stop(); }

void Committer::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  ring_.notify_all();
  if (thread_.joinable()) thread_.join();
}

Task<Result<void>> Committer::write(Unit unit, ClusterId lane) {
  auto start = [this, lane, unit = std::move(unit)](Completion<Result<void>> done) mutable {
    submit(std::move(unit), std::move(done), lane);
  };
  co_return co_await suspend_for<Result<void>>(std::move(start));
}

void Committer::submit(Unit unit, Completion<Result<void>> done, ClusterId lane) {
  {
    const std::lock_guard lock(mutex_);
    if (units_.size() < kQueue && !stopping_) {
      units_.push_back({std::move(unit), std::move(done), lane, ++numbers_, {}});
      if (units_.size() == 1) ring_.notify_one();
      return;
    }
  }
  done(std::unexpected(Error{Code::unavailable,
                             "overloaded",
                             "More changes are waiting than can be written; repeat in a moment.",
                             {},
                             std::chrono::seconds(1)}));
}

void Committer::look_in(std::move_only_function<void()> look) {
  const std::lock_guard lock(mutex_);
  looks_.push_back(std::move(look));
  ring_.notify_one();
}

Result<void> Committer::write_and_wait(Unit unit) {
  std::promise<Result<void>> promise;
  auto future = promise.get_future();
  submit(std::move(unit), [&promise](Result<void> r) { promise.set_value(std::move(r)); });
  return future.get();
}

CommitterStats Committer::stats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

std::size_t Committer::waiting() const {
  const std::lock_guard lock(mutex_);
  return units_.size();
}

void Committer::run() {
  for (;;) {
    std::unique_lock lock(mutex_);
    ring_.wait(lock, [&] { return stopping_ || !units_.empty() || !looks_.empty(); });
    if (!work(std::move(lock))) return;  // woken for nothing: stopping
  }
}

bool Committer::step() { return work(std::unique_lock(mutex_)); }

bool Committer::work(std::unique_lock<std::mutex> lock) {
  std::vector<Item> batch;
  std::deque<std::move_only_function<void()>> looks;
  looks.swap(looks_);
  while (!units_.empty() && batch.size() < rules_.batch) {
    batch.push_back(std::move(units_.front()));
    units_.pop_front();
  }
  lock.unlock();
  for (auto& look : looks) look();
  if (!batch.empty()) commit_batch(batch);
  return !looks.empty() || !batch.empty();
}

void Committer::run_unit(Item& item, Change& change, std::vector<ClusterId>& touched) {
  const auto events = change.events.size();
  const auto told = change.told.size();
  const auto effects = change.effects.size();
  const auto journal = change.journal.size();
  item.outcome = change.tx.mark();
  if (!item.outcome) return;
  item.outcome = item.unit(change);
  std::vector<ClusterId> decided;
  if (item.outcome && change.told.size() > told) {
    const std::vector<Told> fresh(change.told.begin() + static_cast<std::ptrdiff_t>(told),
                                  change.told.end());
    for (const auto& one : fresh) decided.push_back(one.cluster);
    item.outcome = follower_.follow(change, fresh);
  }
  touched.insert(touched.end(), decided.begin(), decided.end());
  if (item.outcome) {
    item.outcome = change.tx.keep();
    return;
  }
  if (auto undone = change.tx.undo(); !undone) item.outcome = std::move(undone);
  change.events.resize(events);
  change.told.resize(told);
  change.effects.resize(effects);
  change.journal.resize(journal);
  change.release_holds();
  follower_.forget(decided);
}

void Committer::commit_batch(std::vector<Item>& batch) {
  std::vector<ClusterId> touched;
  auto transaction = store_.begin();
  if (!transaction) {
    for (auto& item : batch) item.outcome = std::unexpected(transaction.error());
    finish(batch);
    return;
  }
  if (rules_.sharing == Sharing::shared) {
    std::ranges::sort(batch, {}, [](const Item& i) { return std::pair(i.lane, i.number); });
  }
  Change change(**transaction, clock_.now(), rules_.sharing);
  if (change.shared()) {
    for (std::size_t i = 0; i < batch.size();) {
      std::size_t end = i;
      while (end < batch.size() && batch[end].lane == batch[i].lane) ++end;
      change.expect(batch[i].lane, end - i);
      i = end;
    }
  }
  for (auto& item : batch) run_unit(item, change, touched);
  auto written = follower_.before_commit(change);
  const auto committed =
      written ? (*transaction)->commit() : std::unexpected(std::move(written.error()));
  transaction->reset();
  if (committed) {
    for (std::size_t i = 0; i < change.events.size(); ++i) {
      change.events[i].seq = *committed + static_cast<std::int64_t>(i);
    }
    const auto count = static_cast<std::int64_t>(change.events.size());
    if (count > 0) follower_.settled(touched, *committed + count - 1);
    for (const auto& effect : change.effects) effect();
    if (!change.events.empty()) publish_(std::move(change.events));
  } else {
    for (auto& item : batch) {
      if (item.outcome) item.outcome = std::unexpected(committed.error());
    }
    follower_.forget(touched);
  }
  {
    const std::lock_guard lock(mutex_);
    ++stats_.commits;
    if (!committed) ++stats_.failed_commits;
    stats_.units += batch.size();
  }
  finish(batch);
}

void Committer::finish(std::vector<Item>& batch) {
  for (auto& item : batch) item.done(std::move(item.outcome));
}

}  // namespace berth
