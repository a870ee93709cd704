// Small parts of the service layer that need no server: throttles, tokens, passwords, sentences.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <set>

#include "service/accounts.h"
#include "service/common_passwords.h"
#include "service/deployments.h"
#include "service/passwords.h"
#include "service/sealed.h"
#include "service/sentences.h"
#include "service/throttle.h"
#include "service/tokens.h"

namespace berth {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
const auto kStart = std::chrono::steady_clock::time_point{} + std::chrono::hours(1000);

TEST(Throttle, SomeFailuresAreFreeThenEachDoublesThePause) {
  Throttle throttle({.free_failures = 3, .longest = seconds(60)});
  auto now = kStart;
  for (int i = 0; i < 3; ++i) {
    throttle.failed("ada", now);
    EXPECT_EQ(throttle.must_wait("ada", now), std::nullopt) << i;
  }
  for (const int pause : {1, 2, 4, 8, 16, 32, 60, 60}) {
    throttle.failed("ada", now);
    EXPECT_EQ(throttle.must_wait("ada", now), seconds(pause));
    EXPECT_EQ(throttle.must_wait("ada", now + seconds(pause) - milliseconds(1)), seconds(1));
    EXPECT_EQ(throttle.must_wait("ada", now + seconds(pause)), std::nullopt);
    EXPECT_EQ(throttle.must_wait("eve", now), std::nullopt);  // nobody else waits
    now += seconds(pause);
  }
}

TEST(Throttle, SuccessAndTimeForgive) {
  Throttle throttle({.free_failures = 1});
  throttle.failed("a", kStart);
  throttle.failed("a", kStart);
  EXPECT_EQ(throttle.must_wait("a", kStart), seconds(1));
  throttle.succeeded("a");
  EXPECT_EQ(throttle.must_wait("a", kStart), std::nullopt);
  throttle.failed("b", kStart);
  throttle.failed("b", kStart + minutes(15) + seconds(1));
  EXPECT_EQ(throttle.must_wait("b", kStart + minutes(15) + seconds(1)), std::nullopt);
}

TEST(Throttle, RemembersABoundedNumberOfKeys) {
  Throttle throttle({.free_failures = 0, .keys = 100});
  for (int i = 0; i < 1000; ++i) throttle.failed(std::to_string(i), kStart);
  EXPECT_EQ(throttle.must_wait("999", kStart), seconds(1));
}

TEST(RateLimiter, ABurstThenTheRate) {
  RateLimiter limiter({.per_second = 10, .burst = 20});
  for (int i = 19; i >= 0; --i) {
    const auto verdict = limiter.take(1, kStart);
    EXPECT_TRUE(verdict.allowed);
    EXPECT_EQ(verdict.remaining, i);
  }
  EXPECT_FALSE(limiter.take(1, kStart).allowed);
  EXPECT_EQ(limiter.take(1, kStart).reset, seconds(2));
  EXPECT_FALSE(limiter.take(1, kStart + milliseconds(99)).allowed);
  EXPECT_TRUE(limiter.take(1, kStart + milliseconds(100)).allowed);
  EXPECT_FALSE(limiter.take(1, kStart + milliseconds(100)).allowed);
  EXPECT_TRUE(limiter.take(2, kStart).allowed);  // another caller
  int allowed = 0;
  while (limiter.take(1, kStart + seconds(3600)).allowed) ++allowed;
  EXPECT_EQ(allowed, 20);  // never more than the burst
}

TEST(RateLimiter, ManySmallStepsLoseNothing) {
  RateLimiter limiter({.per_second = 100, .burst = 1});
  int allowed = 0;
  for (int us = 0; us <= 1'000'000; us += 7) {
    if (limiter.take(1, kStart + std::chrono::microseconds(us)).allowed) ++allowed;
  }
  EXPECT_EQ(allowed, 100);  // the bucket holds one: what a late question overshoots is lost
}

TEST(RateLimiter, ZeroIsNoLimit) {
  RateLimiter limiter({});
  for (int i = 0; i < 1000; ++i) EXPECT_TRUE(limiter.take(1, kStart).allowed);
}

TEST(Tokens, AreLongRandomAndStoredHashed) {
  SystemRandom random;
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) {
    const Token token = make_token(kKeyPrefix, random);
    EXPECT_TRUE(seen.insert(token.text).second);
    EXPECT_EQ(token.text.size(), kKeyPrefix.size() + 43);
    EXPECT_EQ(token.digest, sha256(token.text));
    EXPECT_EQ(token.prefix, token.text.substr(0, kKeyPrefix.size() + 4));
    EXPECT_EQ(token.text.find_first_not_of(
                  "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"),
              std::string::npos);
  }
}

TEST(Sealed, OnlyThePhraseOpens) {
  for (const auto& text :
       {std::string(), std::string("x"), std::string(10'000, 'y'), std::string("\0\xFF", 2)}) {
    const auto sealed = seal(text, "phrase");
    EXPECT_EQ(unseal(sealed, "phrase"), text);
    EXPECT_NE(sealed, seal(text, "phrase"));
    EXPECT_EQ(unseal(sealed, "another"), std::nullopt);
    EXPECT_EQ(unseal(sealed.substr(2), "phrase"), std::nullopt);
    EXPECT_EQ(unseal(sealed + "00", "phrase"), std::nullopt);
    EXPECT_EQ(unseal(sealed + "0", "phrase"), std::nullopt);
  }
  EXPECT_EQ(unseal("", "phrase"), std::nullopt);
  EXPECT_EQ(unseal("not hex", "phrase"), std::nullopt);
}

TEST(Passwords, ThousandsOfCommonOnesAreRefused) {
  std::size_t refused = 0;
  for (const std::string word :
       {"password", "welcome", "letmein", "dragon",   "monkey",   "football", "admin",
        "qwerty",   "summer",  "winter",  "michael",  "princess", "sunshine", "iloveyou",
        "changeme", "master",  "shadow",  "superman", "secret",   "test"}) {
    std::string capital = word;
    capital[0] = static_cast<char>(capital[0] - 32);
    for (const auto& form : {word, capital}) {
      for (int year = 1960; year <= 2039; ++year) {
        for (const char* mark : {"", "!", "#"}) {
          const std::string password = fmt::format("{}{}{}", form, year, mark);
          EXPECT_TRUE(is_common_password(password)) << password;
          ++refused;
        }
      }
    }
  }
  EXPECT_GE(refused, 3000U);
  for (const char* password :
       {"P@ssw0rd",     "p4ssw0rd!",  "Passw0rd123",  "l3tm31n!!",    "12345678",    "87654321",
        "11112222",     "1234567890", "abcdefgh",     "zyxwvuts",     "qwertyui",    "asdfghjkl",
        "1qaz2wsx",     "1q2w3e4r5t", "zxcvbnm123",   "qwerty123456", "testtest",    "passpass",
        "abc123abc123", "00000000",   "aaaaaaaaaaaa", "!!password!!", "123password", "Berth2026!",
        "trustno1",     "$uperman"}) {
    EXPECT_TRUE(is_common_password(password)) << password;
  }
}

TEST(Passwords, OthersAreFine) {
  for (const char* password :
       {"correct horse battery", "sturdy harbour 42", "quiet lighthouse 77", "mk8-vtb-2qz",
        "Tr0ub4dor&3", "dragonfly-harbour-9", "passwordless future", "3.14159 is not all",
        "xkcd936comic", "das ist kein Wort"}) {
    EXPECT_EQ(password_complaint(password, "ada"), "") << password;
  }
}

TEST(Passwords, RulesAreAboutLengthAndTheName) {
  EXPECT_EQ(password_complaint("seven77", "ada"),
            "A password has at least 8 characters (15 are better).");
  EXPECT_EQ(password_complaint(std::string(257, 'x'), "ada"),
            "A password has at most 256 characters.");
  EXPECT_EQ(password_complaint("Ada-Lovelace", "ada-lovelace"),
            "The password must not be the username.");
  EXPECT_EQ(password_complaint("k9#vV2!pLq" + std::string(246, 'y'), "ada"), "");
}

TEST(Names, AreShortAndPlain) {
  for (const auto& [text, fine] :
       std::initializer_list<std::pair<std::string, bool>>{{"a", true},
                                                           {"A-b_c.9", true},
                                                           {"9lives", true},
                                                           {std::string(63, 'x'), true},
                                                           {"", false},
                                                           {std::string(64, 'x'), false},
                                                           {"-a", false},
                                                           {".a", false},
                                                           {"_a", false},
                                                           {"a b", false},
                                                           {"a/b", false},
                                                           {"a@b", false},
                                                           {"\xC3\xA4", false},
                                                           {"a\n", false}}) {
    EXPECT_EQ(is_name(text), fine) << text;
  }
  for (const auto& [text, fine] :
       std::initializer_list<std::pair<std::string, bool>>{{"a@b", true},
                                                           {"ada.l+x@mail.example.org", true},
                                                           {"a", false},
                                                           {"@b", false},
                                                           {"a@", false},
                                                           {"a@b@c", false},
                                                           {"a b@c", false},
                                                           {"<a@b>", false},
                                                           {"a@b\n", false},
                                                           {std::string(252, 'a') + "@bb", false},
                                                           {"\"a\"@b", false}}) {
    EXPECT_EQ(is_email(text), fine) << text;
  }
}

// --- sentences ----------------------------------------------------------------------------------

Explanation explanation(Reason reason) {
  Explanation e;
  e.reason = reason;
  e.demand = {2000, 4LL << 30, 1000};
  e.nearest_node = "node-1";
  e.free_there = {1000, 8LL << 30, 0};
  e.missing = {1000, 0, 1000};
  e.free_total = {3000, 16LL << 30, 1000};
  e.largest_hole = {1500, 8LL << 30, 500};
  e.position = 4;
  e.ahead_high = 2;
  e.ahead_low = 1;
  e.too_large = TooLarge{e.demand, {1000, 4LL << 30, 0}, "node-1"};
  return e;
}

TEST(Sentences, NameAmountsNodesAndWhoIsAhead) {
  Deployment d;
  d.spec.restart.max_attempts = 5;
  d.attempt = 2;
  d.message = "It ended with exit status 1.";
  d.created_at = {1'700'000'000'000'000};
  const Timestamp now = d.created_at.plus(seconds(90));
  d.retry_at = now.plus(seconds(12));
  const std::pair<Reason, const char*> table[] = {
      {Reason::exceeds_cluster,
       "Cluster lab has become too small: no node could ever hold cpu 2, memory 4GiB, gpu 1. The "
       "largest that would fit is cpu 1, memory 4GiB (node "
       "node-1). Grow the cluster, or stop this one and submit a smaller one."},
      {Reason::cluster_paused, "Cluster lab is paused: nothing starts until somebody resumes it."},
      {Reason::waiting_for_capacity,
       "It needs cpu 2, memory 4GiB, gpu 1: cpu 1, gpu 1 more on node node-1, which misses least "
       "(it has cpu 1, memory 8GiB, gpu 0 free). Ahead of it: 2 high, 1 low."},
      {Reason::fragmented,
       "It needs cpu 2, memory 4GiB, gpu 1. The cluster has cpu 3, memory 16GiB, gpu 1 free in "
       "total, but no single node: the largest hole is cpu 1.5, "
       "memory 8GiB, gpu 0.5; cpu 1, gpu 1 more on node node-1, which misses least (it has cpu 1, "
       "memory 8GiB, gpu 0 free). Ahead of it: 2 high, 1 low."},
      {Reason::behind_higher_priority,
       "Low-priority deployments start only when no high-priority one waits; 2 high wait now. It "
       "is number 4 in the queue."},
      {Reason::backoff_after_failure,
       "Attempt 2 of 5 failed: It ended with exit status 1. The next try is in 12s."},
      {Reason::pending_evaluation, "It was submitted 1m 30s ago and is about to be considered."}};
  for (const auto& [reason, sentence] : table)
    EXPECT_EQ(explain_sentence(d, explanation(reason), "lab", now), sentence) << to_text(reason);

  auto next = explanation(Reason::waiting_for_capacity);
  next.ahead_high = next.ahead_low = 0;
  EXPECT_TRUE(explain_sentence(d, next, "lab", now).ends_with("It is next."));
  next.ahead_high = 3;
  EXPECT_TRUE(explain_sentence(d, next, "lab", now).ends_with("Ahead of it: 3 high."));
}

TEST(Sentences, ARetryThatIsDueIsNotInThePast) {
  Deployment d;
  d.spec.restart.max_attempts = 3;
  d.attempt = 1;
  d.message = "It ended.";
  d.retry_at = Timestamp{1'000'000};
  EXPECT_EQ(
      explain_sentence(d, explanation(Reason::backoff_after_failure), "lab", Timestamp{9'000'000}),
      "Attempt 1 of 3 failed: It ended. The next try is due now.");
}

}  // namespace
}  // namespace berth
