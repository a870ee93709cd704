// One request on its way through the route table.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/names.h"
#include "net/http.h"
#include "service/access.h"
#include "service/idempotency.h"
#include "service/past.h"

namespace berth::api {

struct QueryParam {
  std::string_view name;
  std::string_view doc;
  // JSON Schema of the value, as text.
  std::string_view schema = R"({"type":"string"})";
};

struct Context {
  net::Request request;
  std::string request_id;
  std::optional<Caller> caller;                          // set for operations that need one
  std::map<std::string, std::string, std::less<>> path;  // by the names in the pattern
  std::vector<std::pair<std::string, std::string>> query;
  bool internal = false;    // another process of this installation asks for a client of its own
  bool forwarded = false;   // the answer is a model's, not ours
  std::string rate_policy;  // the RateLimit headers, once the caller's bucket was looked at
  std::string rate_left;

  [[nodiscard]] const Caller& who() const { return *caller; }
  // The token of 'Authorization: Bearer ...'; empty without one.
  [[nodiscard]] std::string_view bearer() const;

  // Path ids: what does not parse is answered like an unknown id.
  template <class IdType>
  [[nodiscard]] Result<IdType> id(std::string_view name, std::string_view what) const {
    const auto found = path.find(name);
    const auto parsed = found == path.end() ? std::nullopt : IdType::parse(found->second);
    if (!parsed) return not_found(what);
    return *parsed;
  }

  [[nodiscard]] std::optional<std::string> query_text(std::string_view name) const;
  [[nodiscard]] Result<std::optional<std::int64_t>> query_int(std::string_view name,
                                                              std::int64_t min,
                                                              std::int64_t max) const;
  // 'at': a time, or index:N.
  [[nodiscard]] Result<std::optional<When>> query_when() const;
  [[nodiscard]] Result<bool> query_flag(std::string_view name) const;
  [[nodiscard]] Result<std::size_t> limit(std::size_t most = 200, std::size_t initial = 50) const;
  template <class IdType>
  [[nodiscard]] Result<std::optional<IdType>> query_id(std::string_view name) const {
    const auto text = query_text(name);
    if (!text) return std::optional<IdType>{};
    const auto parsed = IdType::parse(*text);
    if (!parsed) {
      return fail_field(
          std::string(name), "invalid_format",
          "An id looks like " + std::string(IdType::prefix) + "_ and 26 letters and digits.");
    }
    return std::optional(*parsed);
  }
  // The place inside 'cursor', which open_cursor() unwraps.
  [[nodiscard]] Result<std::optional<std::string>> cursor() const;
  template <class IdType>
  [[nodiscard]] Result<std::optional<IdType>> cursor_id() const {
    const auto place = cursor();
    if (!place) return std::unexpected(place.error());
    if (!*place) return std::optional<IdType>{};
    const auto parsed = IdType::parse(**place);
    if (!parsed) return bad_cursor();
    return std::optional(*parsed);
  }
  [[nodiscard]] Result<std::optional<std::int64_t>> cursor_seq() const;
  [[nodiscard]] static std::unexpected<Error> bad_cursor();
  template <Named E>
  [[nodiscard]] Result<std::optional<E>> query_choice(std::string_view name) const {
    const auto text = query_text(name);
    if (!text) return std::optional<E>{};
    std::string lower = *text;
    for (auto& c : lower) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
    const auto value = from_text<E>(lower);
    if (!value)
      return fail_field(std::string(name), "not_a_choice", "One of: " + choices_text<E>() + ".");
    return std::optional(*value);
  }

  // If-Match as a version number. Absent and "*": no condition. A tag that is none of ours, or a
  // weak one, matches nothing: it becomes a version that never is.
  [[nodiscard]] Result<std::optional<std::int64_t>> if_match() const;
  // Idempotency-Key, when the caller sent one.
  [[nodiscard]] Result<std::optional<IdempotencyKey>> idempotency() const;
};

[[nodiscard]] std::string etag_of(std::int64_t version);
// If-None-Match: "*", or a list of tags, compared weakly.
[[nodiscard]] bool matches_any(std::string_view if_none_match, std::string_view etag);

}  // namespace berth::api
