// Waiting for time to pass, as a parameter: the machine's steady clock in production, a simulated
// one where a test decides what happens when.
#pragma once
#include <boost/asio/basic_waitable_timer.hpp>
#include <chrono>
#include <memory>

#include "async/offload.h"

namespace berth {

class Timer {
 public:
  virtual ~Timer() = default;
  // `done` learns on the loop's thread whether the time has passed; false: cancelled. Waiting anew
  // cancels the wait before.
  virtual void wait(std::chrono::microseconds d, Completion<bool> done) = 0;
  virtual void cancel() = 0;
};

class Timers {
 public:
  virtual ~Timers() = default;
  [[nodiscard]] virtual std::unique_ptr<Timer> make(asio::io_context& io) const = 0;
};

class SteadyTimers final : public Timers {
 public:
  [[nodiscard]] std::unique_ptr<Timer> make(asio::io_context& io) const override {
    return std::make_unique<Steady>(io);
  }

 private:
  class Steady final : public Timer {
   public:
    explicit Steady(asio::io_context& io) : timer_(io.get_executor()) {}
    void wait(std::chrono::microseconds d, Completion<bool> done) override {
      timer_.expires_after(d);
      timer_.async_wait(
          [done = std::move(done)](const boost::system::error_code& ec) mutable { done(!ec); });
    }
    void cancel() override { timer_.cancel(); }

   private:
    asio::basic_waitable_timer<std::chrono::steady_clock,
                               asio::wait_traits<std::chrono::steady_clock>, Executor>
        timer_;
  };
};

// False: cancelled before.
inline Task<bool> elapsed(Timer& timer, std::chrono::microseconds d) {
  auto start = [&timer, d](Completion<bool> done) { timer.wait(d, std::move(done)); };
  co_return co_await suspend_for<bool>(std::move(start));
}

}  // namespace berth
