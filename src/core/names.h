// Words of an enumeration: one table serves parsing, printing, SQL and the API description.
#pragma once
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace berth {

// Specialise with `static constexpr std::array<std::pair<E, std::string_view>, n> table`.
template <class E>
struct Names;

template <class E>
concept Named = requires { Names<E>::table; };

template <Named E>
[[nodiscard]] constexpr std::string_view to_text(E value) {
  for (const auto& [v, name] : Names<E>::table) {
    if (v == value) return name;
  }
  return "?";
}

template <Named E>
[[nodiscard]] constexpr std::optional<E> from_text(std::string_view text) {
  for (const auto& [v, name] : Names<E>::table) {
    if (name == text) return v;
  }
  return std::nullopt;
}

template <Named E>
[[nodiscard]] std::string choices_text() {
  std::string out;
  for (const auto& [v, name] : Names<E>::table) {
    if (!out.empty()) out += ", ";
    out += name;
  }
  return out;
}

}  // namespace berth
