// One declaration per struct: its fields, their names on the wire and their rules. Reading, writing
// and the description in OpenAPI are all derived from it.
//
//   template <>
//   struct json::Schema<CreateCluster> {
//     static constexpr std::string_view name = "CreateCluster";
//     static constexpr std::string_view doc = "A cluster to register.";
//     static constexpr auto fields = std::tuple{
//         json::field("name", &CreateCluster::name, {.doc = "Unique.", .min_len = 1, .required =
//         true}), json::field("nodes", &CreateCluster::nodes, {.doc = "Its machines."})};
//   };
//
// A member of type std::optional<U> may be absent; it is left out when empty. JSON null is accepted
// only where the member's value is itself optional: std::optional<std::optional<U>> tells a field
// that was left out from one that was set to null.
#pragma once
#include <array>
#include <chrono>
#include <concepts>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/id.h"
#include "base/time.h"
#include "core/names.h"

namespace berth {
enum class Priority;
}

namespace berth::json {

// Constraints of one field; all optional.
struct Rules {
  std::string_view doc = {};      // a sentence
  std::string_view example = {};  // JSON text of an example value
  // Numbers, and the elements of an array or map of numbers; quantities in their base unit.
  std::int64_t min = INT64_MIN;
  std::int64_t max = INT64_MAX;
  std::size_t min_len = 0;  // strings: bytes; arrays and maps: items
  std::size_t max_len = 65'536;
  std::string_view pattern = {};                  // ECMA expression, for the description ...
  bool (*check)(std::string_view) = nullptr;      // ... and the predicate that decides
  bool (*key_check)(std::string_view) = nullptr;  // the same for the keys of a map
  std::string_view expected = {};  // completes "must be": "lower-case letters, digits and hyphens"
  bool required = false;           // when reading; otherwise the member keeps its initial value
  bool read_only = false;          // set by us: refused in a request
  bool write_only = false;         // described as such; keeping it out of replies is up to the type
  std::string_view format = {};    // OpenAPI: "password", "email", ...
  std::string_view key_pattern = {};
  std::string_view key_expected = {};
  std::size_t item_min_len = 0;  // strings in an array or map: bytes
  std::size_t item_max_len = 65'536;
};

template <class T, class M>
struct Field {
  std::string_view name;
  M T::* member;
  Rules rules;
};

template <class T, class M>
[[nodiscard]] constexpr Field<T, M> field(std::string_view name, M T::* member, Rules rules = {}) {
  return {name, member, rules};
}

// Specialise with `name`, `doc`, `fields` and, for what only we write, `use = Use::response`.
template <class T>
struct Schema;

template <class T>
concept Described = requires { Schema<T>::fields; };

// What a description is for. A request is closed (an unknown field is an error) and has defaults; a
// response is open (clients ignore what they do not know) and always has its plain fields.
enum class Use { request, response };

template <Described T>
[[nodiscard]] constexpr Use use_of() {
  if constexpr (requires { Schema<T>::use; }) {
    return Schema<T>::use;
  } else {
    return Use::request;
  }
}

// Whether the words of an enumeration are read in any case.
template <class E>
inline constexpr bool CaseInsensitive = false;
template <>
inline constexpr bool CaseInsensitive<Priority> = true;

// JSON that is stored and shown as it is.
struct RawJson {
  std::string text = "null";
  friend bool operator==(const RawJson&, const RawJson&) = default;
};

// A type that travels as a JSON string. Specialise with parse(), text(), expected, format,
// pattern() and example().
template <class T>
struct TextForm;

template <class T>
concept Textual = requires(const T& value, std::string_view text) {
  { TextForm<T>::parse(text) } -> std::same_as<std::optional<T>>;
  { TextForm<T>::text(value) } -> std::convertible_to<std::string>;
};

template <>
struct TextForm<Timestamp> {
  static constexpr std::string_view expected = "a time as in 2026-01-02T03:04:05Z (RFC 3339)";
  static constexpr std::string_view format = "date-time";
  static std::optional<Timestamp> parse(std::string_view text) { return from_rfc3339(text); }
  static std::string text(Timestamp value) { return to_rfc3339(value); }
  static std::string pattern() { return {}; }
  static std::string example() { return "2026-01-02T03:04:05.678901Z"; }
};

template <class Tag>
struct TextForm<Id<Tag>> {
  static constexpr std::string_view expected = "an identifier of this kind, as Berth prints it";
  static constexpr std::string_view format = "";
  static std::optional<Id<Tag>> parse(std::string_view text) { return Id<Tag>::parse(text); }
  static std::string text(const Id<Tag>& value) { return value.str(); }
  static std::string pattern() {
    return "^" + std::string(Tag::prefix) + "_[0-9a-hjkmnp-tv-z]{26}$";
  }
  static std::string example() { return std::string(Tag::prefix) + "_01jd4qz3kfe8mv0c9x7r2t5w6y"; }
};

namespace detail {

template <class T>
inline constexpr bool is_optional = false;
template <class U>
inline constexpr bool is_optional<std::optional<U>> = true;
template <class T>
inline constexpr bool is_vector = false;
template <class U>
inline constexpr bool is_vector<std::vector<U>> = true;
template <class T>
inline constexpr bool is_map = false;
template <class U>
inline constexpr bool is_map<std::map<std::string, U>> = true;

template <class T>
concept Integer = std::integral<T> && !std::same_as<T, bool> && !std::same_as<T, char>;

template <class T>
inline constexpr std::size_t field_count =
    std::tuple_size_v<std::remove_cvref_t<decltype(Schema<T>::fields)>>;

template <class T, std::size_t I>
using MemberType =
    std::remove_cvref_t<decltype(std::declval<T&>().*(std::get<I>(Schema<T>::fields).member))>;

template <Named E>
inline constexpr auto choices = [] {
  std::array<std::string_view, Names<E>::table.size()> out{};
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = Names<E>::table[i].second;
  return out;
}();

// The rules of a container, seen from one of its elements.
[[nodiscard]] constexpr Rules item_rules(const Rules& r) {
  return {.min = r.min,
          .max = r.max,
          .min_len = r.item_min_len,
          .max_len = r.item_max_len,
          .pattern = r.pattern,
          .check = r.check,
          .expected = r.expected};
}

}  // namespace detail

}  // namespace berth::json
