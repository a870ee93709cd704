// Hands a result from a foreign thread to the coroutine that waits for it, on that coroutine's own
// executor.
#pragma once
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/post.hpp>
#include <functional>
#include <utility>

#include "async/task.h"

namespace berth {

template <class T>
using Completion = std::move_only_function<void(T)>;

// Suspends, calls `start` with a completion that may be called once, from any thread, and resumes
// with the value on the coroutine's executor.
template <class T, class Start>
Task<T> suspend_for(Start start) {
  co_return co_await asio::async_initiate<const asio::use_awaitable_t<Executor>, void(T)>(
      [start = std::move(start)](auto handler) mutable {
        auto executor = asio::get_associated_executor(handler);
        // Outstanding work keeps the waiting thread's io_context alive until the answer is there.
        auto work = asio::prefer(executor, asio::execution::outstanding_work.tracked);
        start(
            Completion<T>([handler = std::move(handler), work = std::move(work)](T value) mutable {
              asio::post(work, [handler = std::move(handler), value = std::move(value)]() mutable {
                std::move(handler)(std::move(value));
              });
            }));
      },
      use_task);
}

}  // namespace berth
