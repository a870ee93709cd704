// The one coroutine type. A concrete executor (no type erasure) because it is measurably faster;
// every thread that runs tasks runs one io_context.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace berth {

namespace asio = boost::asio;
using Executor = asio::io_context::executor_type;

template <class T = void>
using Task = asio::awaitable<T, Executor>;

// Completion token for `co_await object.async_x(..., use_task)`.
inline constexpr asio::use_awaitable_t<Executor> use_task{};

}  // namespace berth
