#include "json/reader.h"

#include <boost/json/monotonic_resource.hpp>
#include <cmath>

#include "base/spelling.h"
#include "json/pointer.h"
#include "json/value.h"

namespace berth::json::detail {
namespace {

constexpr std::size_t kMaxReported = 64;                 // refused fields in one error
constexpr double kExactInteger = 9'007'199'254'740'992;  // 2^53

void append_path(std::string& pointer, const Path& at) {
  if (at.parent == nullptr) return;
  append_path(pointer, *at.parent);
  if (at.is_index) {
    append_token(pointer, at.index);
  } else {
    append_token(pointer, at.key);
  }
}

// "must be between 1 and 5.", "must be at least 1.", "must be at most 5."
std::string range_text(const std::string& low, const std::string& high) {
  if (low.empty()) return fmt::format("must be at most {}.", high);
  if (high.empty()) return fmt::format("must be at least {}.", low);
  if (low == high) return fmt::format("must be {}.", low);
  return fmt::format("must be between {} and {}.", low, high);
}

std::string integer_range(const Rules& rules) {
  return range_text(rules.min == INT64_MIN ? "" : std::to_string(rules.min),
                    rules.max == INT64_MAX ? "" : std::to_string(rules.max));
}

// A number without fraction, as long as that is exact. JSON does not tell 5 from 5.0.
bool whole(const Value& value, std::int64_t& out) {
  if (const std::int64_t* exact = value.if_int64()) {
    out = *exact;
    return true;
  }
  const double* number = value.if_double();
  if (number == nullptr || std::abs(*number) > kExactInteger || std::trunc(*number) != *number) {
    return false;
  }
  out = static_cast<std::int64_t>(*number);
  return true;
}

std::string_view kind_text(const Value& value) {
  switch (value.kind()) {
    case boost::json::kind::null:
      return "null";
    case boost::json::kind::bool_:
      return "a boolean";
    case boost::json::kind::string:
      return "a string";
    case boost::json::kind::array:
      return "an array";
    case boost::json::kind::object:
      return "an object";
    default:
      return "a number";
  }
}

bool same_word(std::string_view a, std::string_view b, bool any_case) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  if (!any_case) return a == b;
  return std::ranges::equal(a, b, {}, lower, lower);
}

std::string list_text(std::span<const std::string_view> words) {
  return fmt::format("{}", fmt::join(words, ", "));
}

void refuse_unknown(Reading& reading, const Path& at, std::span<const Slot> slots) {
  std::vector<std::string_view> names;
  for (const Slot& slot : slots) {
    if (!slot.rules->read_only) names.push_back(slot.name);
  }
  const std::string_view meant = nearest_word(at.key, names);
  if (!meant.empty()) {
    return reading.refuse(at, "unknown_field",
                          fmt::format("is not a known field; did you mean \"{}\"?", meant));
  }
  reading.refuse(at, "unknown_field",
                 fmt::format("is not a known field; known are: {}.", list_text(names)));
}

bool count_fits(Reading& reading, const Path& at, const Rules& rules, std::size_t n,
                std::string_view what) {
  if (n < rules.min_len) {
    reading.refuse(at, "too_short", fmt::format("must have at least {} {}.", rules.min_len, what));
    return false;
  }
  if (n > rules.max_len) {
    reading.refuse(at, "too_many", fmt::format("must have at most {} {}.", rules.max_len, what));
    return false;
  }
  return true;
}

}  // namespace

void Reading::refuse(const Path& at, std::string_view code, std::string_view rest) {
  if (fields_.size() >= kMaxReported) return;
  std::string pointer;
  append_path(pointer, at);
  fields_.push_back(field_error(std::move(pointer), code, rest));
}

void Reading::refuse_type(const Path& at, const Value& found, std::string_view wanted) {
  std::string rest = fmt::format("must be {}, not {}.", wanted, kind_text(found));
  if (found.is_null()) rest += " Leave a field out to leave it unset.";
  refuse(at, "wrong_type", rest);
}

Error Reading::error() && {
  Error out{Code::invalid_argument, "invalid_request", fields_.front().message};
  if (fields_.size() > 1) {
    out.message =
        fmt::format("{} fields are not valid. The first: {}", fields_.size(), out.message);
  }
  out.fields = std::move(fields_);
  return out;
}

void take_bool(Reading& reading, const Value& value, const Path& at, bool& out) {
  if (const bool* found = value.if_bool()) {
    out = *found;
  } else {
    reading.refuse_type(at, value, "true or false");
  }
}

void take_integer(Reading& reading, const Value& value, const Path& at, const Rules& rules,
                  std::int64_t& out) {
  std::int64_t found = 0;
  if (!value.is_number()) return reading.refuse_type(at, value, "a whole number");
  if (!whole(value, found)) {
    const double* number = value.if_double();
    if (number != nullptr && std::trunc(*number) != *number) {
      return reading.refuse(at, "wrong_type", "must be a whole number.");
    }
    return reading.refuse(at, "out_of_range",
                          rules.max == INT64_MAX ? "must fit in 64 bits." : integer_range(rules));
  }
  if (found < rules.min || found > rules.max) {
    return reading.refuse(at, "out_of_range", integer_range(rules));
  }
  out = found;
}

void take_unsigned(Reading& reading, const Value& value, const Path& at, const Rules& rules,
                   std::uint64_t& out) {
  // A rule reaches only to INT64_MAX, which stands for no limit.
  if (const std::uint64_t* found = value.if_uint64(); found && rules.max == INT64_MAX) {
    out = *found;
    return;
  }
  Rules narrow = rules;
  narrow.min = std::max<std::int64_t>(rules.min, 0);
  std::int64_t found = -1;
  take_integer(reading, value, at, narrow, found);
  if (found >= 0) out = static_cast<std::uint64_t>(found);
}

void take_double(Reading& reading, const Value& value, const Path& at, const Rules& rules,
                 double& out) {
  if (!value.is_number()) return reading.refuse_type(at, value, "a number");
  const double found = value.is_double()  ? value.get_double()
                       : value.is_int64() ? static_cast<double>(value.get_int64())
                                          : static_cast<double>(value.get_uint64());
  if ((rules.min != INT64_MIN && found < static_cast<double>(rules.min)) ||
      (rules.max != INT64_MAX && found > static_cast<double>(rules.max))) {
    return reading.refuse(at, "out_of_range", integer_range(rules));
  }
  out = found;
}

void take_string(Reading& reading, const Value& value, const Path& at, const Rules& rules,
                 std::string& out) {
  const boost::json::string* found = value.if_string();
  if (found == nullptr) return reading.refuse_type(at, value, "a string");
  const std::string_view text = *found;
  if (text.size() < rules.min_len) {
    if (rules.min_len == 1) return reading.refuse(at, "too_short", "must not be empty.");
    return reading.refuse(at, "too_short",
                          fmt::format("must be at least {} bytes long.", rules.min_len));
  }
  if (text.size() > rules.max_len) {
    return reading.refuse(at, "too_long",
                          fmt::format("must be at most {} bytes long.", rules.max_len));
  }
  // Files, command lines and databases end a string there: two readers would see different texts.
  if (text.find('\0') != std::string_view::npos) {
    return reading.refuse(at, "invalid_format", "must not contain the character U+0000.");
  }
  if (rules.check != nullptr && !rules.check(text)) {
    if (!rules.expected.empty()) {
      return reading.refuse(at, "invalid_format", fmt::format("must be {}.", rules.expected));
    }
    return reading.refuse(at, "invalid_format",
                          rules.pattern.empty() ? std::string("has a form that is not accepted.")
                                                : fmt::format("must match {}.", rules.pattern));
  }
  out.assign(text);
}

void take_choice(Reading& reading, const Value& value, const Path& at,
                 std::span<const std::string_view> choices, bool any_case, std::size_t& out) {
  const auto text = as_text(value);
  if (!text) {
    return reading.refuse_type(at, value, fmt::format("one of: {}", list_text(choices)));
  }
  for (std::size_t i = 0; i < choices.size(); ++i) {
    if (same_word(*text, choices[i], any_case)) {
      out = i;
      return;
    }
  }
  const std::string_view meant = nearest_word(*text, choices);
  reading.refuse(at, "not_a_choice",
                 fmt::format("must be one of: {}.{}", list_text(choices),
                             meant.empty() ? "" : fmt::format(" Did you mean \"{}\"?", meant)));
}

void take_quantity(Reading& reading, const Value& value, const Path& at, const Rules& rules,
                   const QuantityKind& kind, std::int64_t& out) {
  const auto scaled = [&](std::int64_t base) {
    std::string text;
    write_scaled(text, base, kind.scale);
    return text;
  };
  const auto refuse_range = [&] {
    reading.refuse(at, "out_of_range",
                   range_text(scaled(std::max<std::int64_t>(rules.min, 0)),
                              scaled(std::min(rules.max, kind.most))));
  };
  std::optional<std::int64_t> found;
  if (const auto text = as_text(value)) {
    found = kind.parse(*text);
  } else if (!value.is_number()) {
    return reading.refuse_type(at, value, kind.expected);
  } else if (std::int64_t number = 0; whole(value, number)) {
    if (number < 0 || number > kind.most / kind.scale) return refuse_range();
    found = number * kind.scale;
  } else {
    const double amount = value.is_double() ? value.get_double() : 1e300;
    if (amount < 0 || amount > 1e12) return refuse_range();
    found = exact_scaled(amount, kind.scale);
  }
  if (!found || !kind.accepts(*found)) {
    return reading.refuse(at, "invalid_format", fmt::format("must be {}.", kind.expected));
  }
  if (*found < rules.min || *found > std::min(rules.max, kind.most)) {
    return refuse_range();
  }
  out = *found;
}

void take_raw(const Value& value, std::string& out) { out = to_text(value); }

std::optional<std::string_view> as_text(const Value& value) {
  const boost::json::string* text = value.if_string();
  return text == nullptr ? std::nullopt : std::optional<std::string_view>(*text);
}

bool is_null(const Value& value) { return value.is_null(); }

std::optional<std::size_t> array_size(Reading& reading, const Value& value, const Path& at,
                                      const Rules& rules) {
  const boost::json::array* items = value.if_array();
  if (items == nullptr) {
    reading.refuse_type(at, value, "an array");
    return std::nullopt;
  }
  if (!count_fits(reading, at, rules, items->size(), "item(s)")) return std::nullopt;
  return items->size();
}

const Value& array_item(const Value& value, std::size_t i) { return value.get_array()[i]; }

void take_map(Reading& reading, const Value& value, const Path& at, const Rules& rules, void* out,
              Take each) {
  const boost::json::object* members = value.if_object();
  if (members == nullptr) return reading.refuse_type(at, value, "an object");
  if (!count_fits(reading, at, rules, members->size(), "entries")) return;
  const Rules inner = item_rules(rules);
  for (const auto& member : *members) {
    const std::string_view key = member.key();
    const Path here{&at, key, 0, false};
    if (key.find('\0') != std::string_view::npos) {
      reading.refuse(here, "invalid_format", "must not have U+0000 in its name.");
    } else if (rules.key_check != nullptr && !rules.key_check(key)) {
      reading.refuse(
          here, "invalid_format",
          rules.key_expected.empty()
              ? std::string("is not an accepted name.")
              : fmt::format("is not an accepted name; it must be {}.", rules.key_expected));
    } else {
      each(reading, member.value(), here, inner, out);
    }
  }
}

void take_object(Reading& reading, const Value& value, const Path& at, std::span<const Slot> slots,
                 void* out) {
  const boost::json::object* members = value.if_object();
  if (members == nullptr) return reading.refuse_type(at, value, "an object");
  std::uint64_t seen = 0;
  std::size_t next = 0;  // members usually come in the order of the declaration
  for (const auto& member : *members) {
    const std::string_view key = member.key();
    const Path here{&at, key, 0, false};
    std::size_t i = next;
    if (i >= slots.size() || slots[i].name != key) {
      i = static_cast<std::size_t>(std::ranges::find(slots, key, &Slot::name) - slots.begin());
    }
    if (i == slots.size()) {
      if (reading.unknown() == Unknown::refuse) refuse_unknown(reading, here, slots);
      continue;
    }
    next = i + 1;
    seen |= std::uint64_t{1} << i;
    if (slots[i].rules->read_only && reading.unknown() == Unknown::refuse) {
      reading.refuse(here, "unknown_field", "is set by Berth and cannot be given.");
      continue;
    }
    slots[i].take(reading, member.value(), here, *slots[i].rules, out);
  }
  for (std::size_t i = 0; i < slots.size(); ++i) {
    const bool given = (seen >> i & 1) != 0;
    if (!given && slots[i].rules->required &&
        !(slots[i].rules->read_only && reading.unknown() == Unknown::refuse)) {
      reading.refuse(Path{&at, slots[i].name, 0, false}, "required", "is required.");
    }
  }
}

Result<void> with_document(std::string_view text, void* out, void (*use)(const Value&, void* out)) {
  unsigned char buffer[8192];
  boost::json::monotonic_resource memory(buffer);
  auto document = parse(text, &memory);
  if (!document) return pass(std::move(document).error());
  use(*document, out);
  return {};
}

}  // namespace berth::json::detail
