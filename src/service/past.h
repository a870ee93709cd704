// Time travel: what a cluster's engine was at some moment, rebuilt from its decision journal. Reads
// the database alone, on a thread of its own, so any process can answer. The engines that were
// asked for last are kept: the next page of an answer is cheap, and so is a moment soon after.
#pragma once
#include <atomic>
#include <boost/asio/thread_pool.hpp>
#include <functional>
#include <list>
#include <memory>
#include <variant>

#include "async/offload.h"
#include "scheduler/engine.h"
#include "scheduler/outlook.h"
#include "service/read_side.h"

namespace berth {

// Which moment a question is about: a time, or an index of the cluster's journal.
using When = std::variant<Timestamp, std::int64_t>;

// The engine right after an entry of its journal.
class Moment {
 public:
  Moment(JournalMark mark, ClusterEngine engine, Outlook outlook)
      : mark_(mark), engine_(std::move(engine)), outlook_(std::move(outlook)) {}

  [[nodiscard]] std::int64_t index() const { return mark_.index; }
  [[nodiscard]] Timestamp at() const { return mark_.at; }
  // One at a time: what an engine remembers of answers is not for two threads.
  template <class Use>
  auto look(Use use) const {
    const std::lock_guard lock(mutex_);
    return use(engine_);
  }
  // What was learnt by then.
  [[nodiscard]] const Outlook& outlook() const { return outlook_; }

 private:
  JournalMark mark_;
  mutable std::mutex mutex_;
  const ClusterEngine engine_;
  const Outlook outlook_;
};

struct AsOf {
  std::shared_ptr<const Moment> moment;
  Timestamp at;  // as asked; the entry's own time where an index was
};

class Past {
 public:
  Past(ReadSide& reads, const Clock& clock);
  ~Past();      // stop()
  void stop();  // before the event loops that wait for answers are destroyed

  // Errors: invalid_argument for a time in the future or before the record begins, and for an index
  // that is not there; unavailable "overloaded"; internal when the journal is damaged.
  using Answer = Result<AsOf>;
  Task<Answer> at(ClusterId cluster, When when);

  // The deployment as it was at a time, as far as its history says: state, attempt, priority,
  // message, and until when it is in back-off.
  Result<Deployment> as_of(const Deployment& now, Timestamp time);
  // Of what it depends on, what had not come far enough at that time.
  Result<std::vector<Dependency>> unmet(const Deployment& now, Timestamp time);
  // The name of one that was deleted; empty when nothing is known of it any more.
  Result<std::string> name_of(const OrganizationId& organization, const DeploymentId& id);

 private:
  struct Kept {
    ClusterId cluster;
    std::shared_ptr<const Moment> moment;
    std::size_t weight = 0;  // how many deployments it holds
  };
  Result<void> each_event(const OrganizationId& organization, const DeploymentId& id,
                          const std::function<bool(const Event&)>& use);
  Answer rebuild(const ClusterId& cluster, const When& when);
  Result<JournalMark> mark_of(ReadView& view, const ClusterId& cluster, const When& when);
  Result<std::shared_ptr<const Moment>> moment_at(ReadView& view, const ClusterId& cluster,
                                                  JournalMark mark);
  [[nodiscard]] std::shared_ptr<const Moment> newest(const ClusterId& cluster, std::int64_t until);
  void keep(const ClusterId& cluster, std::shared_ptr<const Moment> moment, std::size_t weight);

  ReadSide& reads_;
  const Clock& clock_;
  boost::asio::thread_pool pool_{1};
  std::atomic<int> waiting_ = 0;
  std::list<Kept> kept_;  // the last used first; of the pool's thread alone
};

}  // namespace berth
