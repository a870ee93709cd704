// argon2id on a few threads of its own with a short queue: 19 MiB a hash would otherwise be an easy
// way to exhaust the memory.
#pragma once
#include <atomic>
#include <boost/asio/thread_pool.hpp>
#include <string>

#include "async/offload.h"
#include "base/result.h"

namespace berth {

class Passwords {
 public:
  explicit Passwords(int threads);
  ~Passwords();

  // A PHC string. Errors: resource_exhausted when too many wait.
  Task<Result<std::string>> hash(std::string password);
  // Takes as long for an empty hash (an unknown user) as for a real one.
  Task<Result<bool>> verify(std::string hash, std::string password);
  // For tools without an event loop.
  [[nodiscard]] static std::string hash_now(const std::string& password);

 private:
  template <class T>
  Task<Result<T>> run(std::move_only_function<Result<T>()> work);

  boost::asio::thread_pool pool_;
  std::atomic<int> waiting_ = 0;
};

// Rules for a new password; empty when it is fine, else a sentence.
[[nodiscard]] std::string password_complaint(std::string_view password, std::string_view username);

}  // namespace berth
