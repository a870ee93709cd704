// Parts of the API layer that need no socket: cursors, tags, statuses, content types.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <set>

#include "api/context.h"
#include "api/cursor.h"
#include "api/forward.h"
#include "api/problem.h"
#include "api/route.h"

namespace berth::api {
namespace {

RC_GTEST_PROP(Cursors, OpenWhatTheySealed, (const std::string& place)) {
  RC_PRE(!place.empty() && place.size() <= 100);
  RC_ASSERT(open_cursor(seal_cursor(place)) == place);
}

RC_GTEST_PROP(Cursors, RefuseWhatWasChanged, (std::uint64_t where, std::uint64_t what)) {
  constexpr std::string_view kLetters =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::string cursor = seal_cursor("dep_01jd4qz3kfe8mv0c9x7r2t5w6y");
  char& letter = cursor[where % cursor.size()];
  const char other = kLetters[what % 64];
  RC_PRE(letter != other);
  letter = other;
  RC_ASSERT(!open_cursor(cursor));
}

TEST(Cursors, RefuseGarbage) {
  for (const auto& text :
       {std::string(), std::string("A"), std::string("AAAAAAAA"), std::string("AAAAAAAAAA"),
        std::string("!!!!"), std::string(257, 'A'), seal_cursor("x") + "A", seal_cursor("x") + "=",
        " " + seal_cursor("x"), std::string("\0", 1)}) {
    EXPECT_FALSE(open_cursor(text)) << text;
  }
}

Context with_header(std::string name, std::string value) {
  Context c;
  c.request.headers.push_back({std::move(name), std::move(value)});
  return c;
}

TEST(Tags, IfMatchIsAVersion) {
  struct Case {
    const char* text;
    std::optional<std::int64_t> version;
    bool refused = false;
  };
  for (const auto& c : std::initializer_list<Case>{{"*", std::nullopt},
                                                   {"\"3\"", 3},
                                                   {"3", 3},
                                                   {"\"0\"", -1},
                                                   {"\"-1\"", -1},
                                                   {"\"x\"", -1},
                                                   {"\"\"", -1},
                                                   {"W/\"3\"", -1},
                                                   {"\"99999999999999999999\"", -1},
                                                   {"x", {}, true},
                                                   {"\"3", {}, true},
                                                   {"3\"", {}, true}}) {
    const auto got = with_header("If-Match", c.text).if_match();
    EXPECT_EQ(!got.has_value(), c.refused) << c.text;
    if (got) {
      EXPECT_EQ(*got, c.version) << c.text;
    }
  }
  EXPECT_EQ(Context{}.if_match().value(), std::nullopt);
}

TEST(Tags, IfNoneMatchIsAList) {
  for (const auto& [list, found] :
       std::initializer_list<std::pair<const char*, bool>>{{"\"7\"", true},
                                                           {"W/\"7\"", true},
                                                           {"*", true},
                                                           {"\"1\", \"7\"", true},
                                                           {"\"1\" ,W/\"7\"", true},
                                                           {"\"77\"", false},
                                                           {"7", false},
                                                           {"", false},
                                                           {",", false},
                                                           {"\"1\",\"2\"", false}}) {
    EXPECT_EQ(matches_any(list, "\"7\""), found) << list;
  }
}

TEST(ContentTypes, OnlyJson) {
  for (const auto& [type, fine] : std::initializer_list<std::pair<const char*, bool>>{
           {"application/json", true},
           {"Application/JSON", true},
           {"application/json;charset=utf-8", true},
           {"application/json ; charset=utf-8", true},
           {"", false},
           {"application/jsonp", false},
           {"text/json", false},
           {"application/problem+json", false},
           {" application/json", false},
           {";", false}}) {
    EXPECT_EQ(is_json(type), fine) << type;
  }
}

TEST(Bearer, IsReadFromTheHeader) {
  for (const auto& [header, token] :
       std::initializer_list<std::pair<const char*, const char*>>{{"Bearer abc", "abc"},
                                                                  {"bearer abc", "abc"},
                                                                  {"BEARER abc", "abc"},
                                                                  {"Bearer", ""},
                                                                  {"Bearer ", ""},
                                                                  {"Basic abc", ""},
                                                                  {"Bearerabc", ""},
                                                                  {"abc", ""},
                                                                  {"", ""}}) {
    EXPECT_EQ(with_header("Authorization", header).bearer(), token) << header;
  }
}

TEST(Problems, EachCodeHasItsStatus) {
  const std::pair<Error, int> table[] = {
      {{Code::invalid_argument, "invalid_request", ""}, 400},
      {{Code::invalid_argument, "unsupported_media_type", ""}, 415},
      {{Code::unauthenticated, "invalid_token", ""}, 401},
      {{Code::permission_denied, "role_too_small", ""}, 403},
      {{Code::not_found, "not_found", ""}, 404},
      {{Code::already_exists, "name_taken", ""}, 409},
      {{Code::failed_precondition, "wrong_state", ""}, 409},
      {{Code::failed_precondition, "idempotency_key_reused", ""}, 422},
      {{Code::aborted, "version_mismatch", ""}, 412},
      {{Code::resource_exhausted, "quota_exceeded", ""}, 429},
      {{Code::too_large, "too_large", ""}, 413},
      {{Code::unavailable, "overloaded", ""}, 503},
      {{Code::internal, "bug", ""}, 500}};
  for (const auto& [error, status] : table) EXPECT_EQ(status_of(error), status) << error.reason;
}

TEST(Problems, AnInternalErrorTellsNothing) {
  const auto answer =
      problem(Error{Code::internal, "sqlite", "disk I/O error in /secret/path"}, "/x", "req_1");
  EXPECT_EQ(answer.status, 500);
  EXPECT_EQ(answer.body.find("secret"), std::string::npos);
}

TEST(InternalProof, IsForOneRequestOneMinuteAndOneSecret) {
  const Timestamp now{1'700'000'000'000'000};
  net::Request request;
  request.method = "GET";
  request.target = "/api/v1/clusters/x/status?a=1";
  request.peer = "192.0.2.7";
  const std::string proof = internal_proof("secret", now, request);
  request.peer = "10.0.0.1";  // as the receiver sees it
  request.headers = {{"Berth-Internal", proof}};
  EXPECT_EQ(check_internal("secret", now, request), "192.0.2.7");
  EXPECT_EQ(check_internal("secret", now.plus(std::chrono::seconds(59)), request), "192.0.2.7");
  EXPECT_EQ(check_internal("secret", now.plus(std::chrono::seconds(-59)), request), "192.0.2.7");
  EXPECT_FALSE(check_internal("secret", now.plus(std::chrono::seconds(61)), request));
  EXPECT_FALSE(check_internal("secret", now.plus(std::chrono::seconds(-61)), request));
  EXPECT_FALSE(check_internal("another", now, request));
  auto other = net::Request{};
  other.headers = request.headers;
  other.method = "POST";
  other.target = request.target;
  EXPECT_FALSE(check_internal("secret", now, other)) << "another method";
  other.method = "GET";
  other.target += "&b=2";
  EXPECT_FALSE(check_internal("secret", now, other)) << "another target";
  other.target = request.target;
  other.headers = {{"Berth-Internal", proof.substr(0, proof.size() - 2) + "00"}};
  EXPECT_FALSE(check_internal("secret", now, other)) << "changed";
  other.headers = {};
  EXPECT_FALSE(check_internal("secret", now, other)) << "none at all";
}

TEST(PassesOn, WhatIsOfOneConnectionStaysThere) {
  for (const auto* name : {"Connection", "te", "Upgrade", "Berth-Internal", "X-Forwarded-For",
                           "forwarded", "Keep-Alive", "X-Own"}) {
    EXPECT_FALSE(passes_on(name, "close, x-own")) << name;
  }
  for (const auto* name : {"Content-Type", "Authorization", "Cookie", "Accept"})
    EXPECT_TRUE(passes_on(name, "close")) << name;
}

}  // namespace
}  // namespace berth::api
