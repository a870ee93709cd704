// JSON to structs, strictly. All wrong fields are reported at once, each with its JSON pointer.
#pragma once
#include <boost/json/fwd.hpp>
#include <span>
#include <string_view>

#include "base/result.h"
#include "json/quantity.h"
#include "json/rules.h"

namespace berth::json {

using Value = boost::json::value;

// Servers refuse fields they do not know; clients ignore them, so that a reply may grow.
enum class Unknown { refuse, ignore };

// Errors: invalid_argument, whose fields have the codes unknown_field, required, wrong_type,
// out_of_range, too_short, too_long, too_many, invalid_format, not_a_choice; and those of parse().
template <class T>
[[nodiscard]] Result<T> read(const Value& value, Unknown unknown = Unknown::refuse);
template <class T>
[[nodiscard]] Result<T> read_text(std::string_view text, Unknown unknown = Unknown::refuse);

namespace detail {

// The way from the document's root to a value: a list on the stack, so that it costs nothing until
// something is refused.
struct Path {
  const Path* parent = nullptr;
  std::string_view key{};
  std::size_t index = 0;
  bool is_index = false;
};

class Reading {
 public:
  explicit Reading(Unknown unknown) : unknown_(unknown) {}
  void refuse(const Path& at, std::string_view code, std::string_view rest);
  void refuse_type(const Path& at, const Value& found, std::string_view wanted);
  [[nodiscard]] Unknown unknown() const { return unknown_; }
  [[nodiscard]] bool failed() const { return !fields_.empty(); }
  [[nodiscard]] Error error() &&;

 private:
  Unknown unknown_;
  std::vector<FieldError> fields_;
};

using Take = void (*)(Reading&, const Value&, const Path&, const Rules&, void* out);

// One field of a struct with its type erased.
struct Slot {
  std::string_view name;
  const Rules* rules;
  Take take;
};

// Each leaves `out` alone and records why when the value is refused.
void take_bool(Reading&, const Value&, const Path&, bool& out);
void take_integer(Reading&, const Value&, const Path&, const Rules&, std::int64_t& out);
void take_unsigned(Reading&, const Value&, const Path&, const Rules&, std::uint64_t& out);
void take_double(Reading&, const Value&, const Path&, const Rules&, double& out);
void take_string(Reading&, const Value&, const Path&, const Rules&, std::string& out);
void take_choice(Reading&, const Value&, const Path&, std::span<const std::string_view> choices,
                 bool any_case, std::size_t& out);
void take_quantity(Reading&, const Value&, const Path&, const Rules&, const QuantityKind&,
                   std::int64_t& out);
void take_raw(const Value&, std::string& out);
// Absent when the value is not a string.
std::optional<std::string_view> as_text(const Value&);
bool is_null(const Value&);
// The number of elements, or absent after a refusal.
std::optional<std::size_t> array_size(Reading&, const Value&, const Path&, const Rules&);
const Value& array_item(const Value&, std::size_t i);
// Calls `each` for every element with the key as the path's last part.
void take_map(Reading&, const Value&, const Path&, const Rules&, void* out, Take each);
void take_object(Reading&, const Value&, const Path&, std::span<const Slot> slots, void* out);
// Parses and hands over the document, which lives only during the call.
Result<void> with_document(std::string_view text, void* out, void (*use)(const Value&, void* out));

template <class T>
void take(Reading& reading, const Value& value, const Path& at, const Rules& rules, T& out);

// A member of type optional<U> is read as U: being there or not is what the optional says.
template <class T, std::size_t I>
void take_member(Reading& reading, const Value& value, const Path& at, const Rules& rules,
                 void* out) {
  auto& member = static_cast<T*>(out)->*(std::get<I>(Schema<T>::fields).member);
  if constexpr (is_optional<MemberType<T, I>>) {
    take(reading, value, at, rules, member.emplace());
  } else {
    take(reading, value, at, rules, member);
  }
}

template <Described T>
inline constexpr auto slots = []<std::size_t... I>(std::index_sequence<I...>) {
  static_assert(sizeof...(I) <= 64, "fields that were given are marked in 64 bits");
  return std::array<Slot, sizeof...(I)>{Slot{std::get<I>(Schema<T>::fields).name,
                                             &std::get<I>(Schema<T>::fields).rules,
                                             &take_member<T, I>}...};
}(std::make_index_sequence<field_count<T>>{});

template <class U>
void take_entry(Reading& reading, const Value& value, const Path& at, const Rules& rules,
                void* out) {
  auto& map = *static_cast<std::map<std::string, U>*>(out);
  take(reading, value, at, rules, map[std::string(at.key)]);
}

template <class T>
void take(Reading& reading, const Value& value, const Path& at, const Rules& rules, T& out) {
  if constexpr (std::same_as<T, bool>) {
    take_bool(reading, value, at, out);
  } else if constexpr (Integer<T> && std::is_signed_v<T>) {
    Rules narrow = rules;
    narrow.min = std::max<std::int64_t>(narrow.min, std::numeric_limits<T>::min());
    narrow.max = std::min<std::int64_t>(narrow.max, std::numeric_limits<T>::max());
    std::int64_t wide = out;
    take_integer(reading, value, at, narrow, wide);
    out = static_cast<T>(wide);
  } else if constexpr (Integer<T> && sizeof(T) < sizeof(std::int64_t)) {
    Rules narrow = rules;
    narrow.min = std::max<std::int64_t>(narrow.min, 0);
    narrow.max = std::min<std::int64_t>(narrow.max, std::numeric_limits<T>::max());
    std::int64_t wide = out;
    take_integer(reading, value, at, narrow, wide);
    out = static_cast<T>(wide);
  } else if constexpr (Integer<T>) {
    std::uint64_t wide = out;
    take_unsigned(reading, value, at, rules, wide);
    out = static_cast<T>(wide);
  } else if constexpr (std::same_as<T, double>) {
    take_double(reading, value, at, rules, out);
  } else if constexpr (std::same_as<T, std::string>) {
    take_string(reading, value, at, rules, out);
  } else if constexpr (Named<T>) {
    std::size_t choice = choices<T>.size();
    take_choice(reading, value, at, choices<T>, CaseInsensitive<T>, choice);
    if (choice < choices<T>.size()) out = Names<T>::table[choice].first;
  } else if constexpr (Quantity<T>) {
    std::int64_t base = QuantityForm<T>::get(out);
    take_quantity(reading, value, at, rules, QuantityForm<T>::kind(), base);
    QuantityForm<T>::set(out, base);
  } else if constexpr (Textual<T>) {
    const auto text = as_text(value);
    if (!text) return reading.refuse_type(at, value, TextForm<T>::expected);
    if (auto parsed = TextForm<T>::parse(*text)) {
      out = std::move(*parsed);
    } else {
      reading.refuse(at, "invalid_format", "must be " + std::string(TextForm<T>::expected) + ".");
    }
  } else if constexpr (std::same_as<T, RawJson>) {
    take_raw(value, out.text);
  } else if constexpr (is_optional<T>) {
    if (is_null(value)) {
      out.reset();
    } else {
      take(reading, value, at, rules, out.emplace());
    }
  } else if constexpr (is_vector<T>) {
    static_assert(!std::same_as<typename T::value_type, bool>);
    const auto size = array_size(reading, value, at, rules);
    if (!size) return;
    const Rules inner = item_rules(rules);
    out.clear();
    out.reserve(*size);
    for (std::size_t i = 0; i < *size; ++i) {
      take(reading, array_item(value, i), Path{&at, {}, i, true}, inner, out.emplace_back());
    }
  } else if constexpr (is_map<T>) {
    out.clear();
    take_map(reading, value, at, rules, &out, &take_entry<typename T::mapped_type>);
  } else {
    static_assert(Described<T>, "no JSON form: specialise json::Schema or json::TextForm");
    take_object(reading, value, at, slots<T>, &out);
  }
}

}  // namespace detail

template <class T>
Result<T> read(const Value& value, Unknown unknown) {
  detail::Reading reading(unknown);
  T out{};
  detail::take(reading, value, detail::Path{}, Rules{}, out);
  if (reading.failed()) return pass(std::move(reading).error());
  return out;
}

template <class T>
Result<T> read_text(std::string_view text, Unknown unknown) {
  struct Job {
    Unknown unknown;
    Result<T> out;
  } job{unknown, T{}};
  auto parsed = detail::with_document(text, &job, [](const Value& value, void* raw) {
    auto& mine = *static_cast<Job*>(raw);
    mine.out = read<T>(value, mine.unknown);
  });
  if (!parsed) return pass(std::move(parsed).error());
  return std::move(job.out);
}

}  // namespace berth::json
