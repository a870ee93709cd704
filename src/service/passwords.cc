#include "service/passwords.h"

#include <sodium.h>

#include <algorithm>
#include <cctype>

#include "base/ensure.h"
#include "service/common_passwords.h"

namespace berth {
namespace {

// OWASP's floor for argon2id: 19 MiB, two passes, one lane.
constexpr unsigned long long kPasses = 2;
constexpr std::size_t kMemory = std::size_t{19} << 20;
constexpr int kQueue = 64;

// Verified against when there is no user, so that both answers cost the same.
const std::string& decoy() {
  static const std::string hash = Passwords::hash_now("an account that does not exist");
  return hash;
}

}  // namespace

std::string password_complaint(std::string_view password, std::string_view username) {
  if (password.size() < 8) return "A password has at least 8 characters (15 are better).";
  if (password.size() > 256) return "A password has at most 256 characters.";
  std::string lower(password);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (is_common_password(password)) {
    return "This password is among the first that anybody would try; choose another.";
  }
  if (!username.empty() && lower == username) return "The password must not be the username.";
  return {};
}

Passwords::Passwords(int threads) : pool_(static_cast<std::size_t>(threads)) {
  ensure(sodium_init() >= 0, "libsodium starts");
  (void)decoy();
}

Passwords::~Passwords() { pool_.join(); }

template <class T>
Task<Result<T>> Passwords::run(std::move_only_function<Result<T>()> work) {
  if (waiting_.fetch_add(1) >= kQueue) {
    --waiting_;
    co_return fail(Code::unavailable, "overloaded",
                   "Too many logins at once; try again in a few seconds.");
  }
  auto start = [this, work = std::move(work)](Completion<Result<T>> done) mutable {
    auto job = [this, work = std::move(work), done = std::move(done)]() mutable {
      auto result = work();
      --waiting_;
      done(std::move(result));
    };
    // Shared, because the pool wants something that can be copied.
    auto shared = std::make_shared<decltype(job)>(std::move(job));
    boost::asio::post(pool_, [shared] { (*shared)(); });
  };
  co_return co_await suspend_for<Result<T>>(std::move(start));
}

std::string Passwords::hash_now(const std::string& password) {
  ensure(sodium_init() >= 0, "libsodium starts");
  char out[crypto_pwhash_STRBYTES];
  ensure(crypto_pwhash_str_alg(out, password.data(), password.size(), kPasses, kMemory,
                               crypto_pwhash_ALG_ARGON2ID13) == 0,
         "memory for a password hash");
  return out;
}

Task<Result<std::string>> Passwords::hash(std::string password) {
  std::move_only_function<Result<std::string>()> work =
      [password = std::move(password)]() -> Result<std::string> { return hash_now(password); };
  co_return co_await run<std::string>(std::move(work));
}

Task<Result<bool>> Passwords::verify(std::string hash, std::string password) {
  std::move_only_function<Result<bool>()> work =
      [hash = std::move(hash), password = std::move(password)]() -> Result<bool> {
    const std::string& against = hash.empty() ? decoy() : hash;
    const bool same =
        crypto_pwhash_str_verify(against.c_str(), password.data(), password.size()) == 0;
    return same && !hash.empty();
  };
  co_return co_await run<bool>(std::move(work));
}

}  // namespace berth
