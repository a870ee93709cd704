#include "service/watch.h"

#include <boost/asio/redirect_error.hpp>

namespace berth {
namespace {

constexpr std::size_t kQueue = 4096;  // events a slow reader may be behind

}  // namespace

Task<std::shared_ptr<const Event>> WatchHub::Subscription::next(
    std::chrono::milliseconds patience) {
  bell_.expires_after(patience);
  for (;;) {
    {
      const std::lock_guard lock(mutex_);
      if (!queue_.empty()) {
        auto event = std::move(queue_.front());
        queue_.pop_front();
        co_return event;
      }
    }
    if (dropped_ || bell_.expiry() <= std::chrono::steady_clock::now()) co_return nullptr;
    boost::system::error_code ec;
    co_await bell_.async_wait(asio::redirect_error(use_task, ec));
    if (!ec) co_return nullptr;  // patience is over
  }
}

void WatchHub::Subscription::offer(const std::shared_ptr<const Event>& event,
                                   const std::shared_ptr<Subscription>& self) {
  bool wake = false;
  {
    const std::lock_guard lock(mutex_);
    if (dropped_) return;
    if (event == nullptr || queue_.size() >= kQueue) {
      dropped_ = true;
      wake = true;
    } else {
      wake = queue_.empty();
      queue_.push_back(event);
    }
  }
  if (wake) asio::post(bell_.get_executor(), [self] { self->bell_.cancel(); });
}

std::shared_ptr<WatchHub::Subscription> WatchHub::subscribe(Executor executor) {
  auto subscription = std::make_shared<Subscription>(executor);
  const std::lock_guard lock(mutex_);
  if (closed_) subscription->dropped_ = true;
  std::erase_if(subscriptions_, [](const auto& weak) { return weak.expired(); });
  subscriptions_.push_back(subscription);
  return subscription;
}

void WatchHub::publish(std::vector<Event> events) {
  std::vector<std::shared_ptr<Subscription>> living;
  {
    const std::lock_guard lock(mutex_);
    if (!events.empty()) last_seq_ = events.back().seq;
    living.reserve(subscriptions_.size());
    for (const auto& weak : subscriptions_) {
      if (auto strong = weak.lock()) living.push_back(std::move(strong));
    }
  }
  if (living.empty()) return;
  for (auto& event : events) {
    const auto shared = std::make_shared<const Event>(std::move(event));
    for (const auto& subscription : living) subscription->offer(shared, subscription);
  }
}

void WatchHub::close() {
  std::vector<std::weak_ptr<Subscription>> all;
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    all.swap(subscriptions_);
  }
  for (const auto& weak : all) {
    if (auto strong = weak.lock()) strong->offer(nullptr, strong);
  }
}

std::size_t WatchHub::subscribers() {
  const std::lock_guard lock(mutex_);
  return static_cast<std::size_t>(std::count_if(subscriptions_.begin(), subscriptions_.end(),
                                                [](const auto& weak) { return !weak.expired(); }));
}

}  // namespace berth
