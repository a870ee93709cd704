// Structs to compact JSON text, without a document in between.
#pragma once
#include <charconv>
#include <string>
#include <string_view>
#include <tuple>

#include "json/quantity.h"
#include "json/rules.h"

namespace berth::json {

template <class T>
void write(std::string& out, const T& value);

namespace detail {

// Quoted and escaped. Bytes that are not UTF-8 become U+FFFD: a reply is always valid JSON.
void write_string(std::string& out, std::string_view text);
// Shortest text that reads back as the same double; null for what JSON cannot say.
void write_double(std::string& out, double value);

template <class Int>
void write_integer(std::string& out, Int value) {
  char buffer[24];
  out.append(buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr);
}

// ,"name": of a field, made at compile time. Without its first letter for the first one.
template <class T, std::size_t I>
inline constexpr auto key_text = [] {
  constexpr std::string_view name = std::get<I>(Schema<T>::fields).name;
  static_assert(!name.empty() && name.find_first_of("\"\\") == std::string_view::npos);
  std::array<char, name.size() + 4> out{};
  out[0] = ',';
  out[1] = '"';
  for (std::size_t i = 0; i < name.size(); ++i) out[i + 2] = name[i];
  out[name.size() + 2] = '"';
  out[name.size() + 3] = ':';
  return out;
}();

template <class T, std::size_t I>
void write_field(std::string& out, const T& value, bool& first) {
  const auto& member = value.*(std::get<I>(Schema<T>::fields).member);
  constexpr const auto& key = key_text<T, I>;
  const auto put_key = [&] {
    out.append(key.data() + (first ? 1 : 0), key.size() - (first ? 1 : 0));
    first = false;
  };
  if constexpr (is_optional<MemberType<T, I>>) {
    if (!member) return;
    put_key();
    write(out, *member);
  } else {
    put_key();
    write(out, member);
  }
}

}  // namespace detail

template <class T>
void write(std::string& out, const T& value) {
  if constexpr (std::same_as<T, bool>) {
    out += value ? "true" : "false";
  } else if constexpr (detail::Integer<T>) {
    detail::write_integer(out, value);
  } else if constexpr (std::floating_point<T>) {
    detail::write_double(out, static_cast<double>(value));
  } else if constexpr (std::same_as<T, std::string>) {
    detail::write_string(out, value);
  } else if constexpr (Named<T>) {
    detail::write_string(out, berth::to_text(value));
  } else if constexpr (detail::Quantity<T>) {
    write_scaled(out, detail::QuantityForm<T>::get(value), detail::QuantityForm<T>::kind().scale);
  } else if constexpr (Textual<T>) {
    detail::write_string(out, TextForm<T>::text(value));
  } else if constexpr (std::same_as<T, RawJson>) {
    out += value.text;
  } else if constexpr (detail::is_optional<T>) {
    if (value) {
      write(out, *value);
    } else {
      out += "null";
    }
  } else if constexpr (detail::is_vector<T>) {
    char separator = '[';
    for (const auto& item : value) {
      out += separator;
      separator = ',';
      write(out, item);
    }
    if (separator == '[') out += '[';
    out += ']';
  } else if constexpr (detail::is_map<T>) {
    char separator = '{';
    for (const auto& [key, item] : value) {
      out += separator;
      separator = ',';
      detail::write_string(out, key);
      out += ':';
      write(out, item);
    }
    if (separator == '{') out += '{';
    out += '}';
  } else {
    static_assert(Described<T>, "no JSON form: specialise json::Schema or json::TextForm");
    out += '{';
    bool first = true;
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      (detail::write_field<T, I>(out, value, first), ...);
    }(std::make_index_sequence<detail::field_count<T>>{});
    out += '}';
  }
}

template <class T>
[[nodiscard]] std::string to_text(const T& value) {
  std::string out;
  out.reserve(512);
  write(out, value);
  return out;
}

}  // namespace berth::json
