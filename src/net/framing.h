// The strict reading of a request head, before any lenient parser sees it. A front proxy and this
// server must never disagree on where a request ends, so whatever two readers could read in two
// ways is refused: repeated or unusual lengths, line folding, bare CR or LF, odd names.
//
// Bytes may come in any pieces: feed() is called with everything received so far and looks at each
// byte about once. The first wrong byte refuses; nobody waits for the end of a head that is wrong.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace berth::net {

// Why a request is not served. `why` is a sentence of ours with static lifetime.
struct Refusal {
  int status = 400;
  std::string_view why;
};

struct HeadLimits {
  std::size_t head_bytes = 0;
  std::size_t header_count = 0;
  std::size_t target_bytes = 0;
};

// What the head says about framing; filled once State::done is returned.
struct HeadFacts {
  std::size_t skip = 0;  // an empty line before the request line, which RFC 9112 asks us to allow
  std::size_t size = 0;  // of the head after `skip`, with its closing empty line
  std::optional<std::uint64_t> content_length;
  bool chunked = false;
  bool http_1_0 = false;
  bool keep_alive = true;
  bool expects_continue = false;
};

class HeadCheck {
 public:
  enum class State { more, done, refused };

  explicit HeadCheck(const HeadLimits& limits) : limits_(limits) {}

  // `bytes` starts at the same place each time and only grows.
  [[nodiscard]] State feed(std::string_view bytes);
  [[nodiscard]] const HeadFacts& facts() const { return facts_; }
  [[nodiscard]] const Refusal& refusal() const { return refusal_; }

 private:
  State refuse(int status, std::string_view why);
  State unfinished(std::string_view bytes, std::size_t from);
  State request_line(std::string_view line);
  State header(std::string_view line);
  State known_header(std::string_view name, std::string_view value);
  State finish(std::size_t end);

  HeadLimits limits_;
  HeadFacts facts_;
  Refusal refusal_;
  std::size_t line_ = 0;     // where the line being read starts
  std::size_t scanned_ = 0;  // bytes before this hold no unseen LF
  std::size_t lines_ = 0;
  std::size_t hosts_ = 0;
  bool asked_to_close_ = false;
  bool asked_to_keep_ = false;
};

// Whether a chunk header or trailer that has not come whole can still become a right one.
[[nodiscard]] bool may_be_chunk_header(std::string_view bytes);

namespace detail {
consteval std::array<bool, 256> token_table() {
  std::array<bool, 256> table{};
  for (const char c : std::string_view("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                                       "ABCDEFGHIJKLMNOPQRSTUVWXYZ")) {
    table[static_cast<unsigned char>(c)] = true;
  }
  return table;
}
inline constexpr std::array<bool, 256> token = token_table();
}  // namespace detail

// RFC 9110 tchar: what methods and header names are made of.
[[nodiscard]] constexpr bool is_token_char(char c) {
  return detail::token[static_cast<unsigned char>(c)];
}
[[nodiscard]] constexpr bool is_token(std::string_view text) {
  for (const char c : text) {
    if (!is_token_char(c)) return false;
  }
  return !text.empty();
}
// A header value may hold a tab and anything printable, also bytes above 127, but no control.
[[nodiscard]] constexpr bool is_value_char(char c) {
  const auto u = static_cast<unsigned char>(c);
  return (u >= 0x20 && u != 0x7f) || u == '\t';
}
[[nodiscard]] constexpr bool is_value(std::string_view text) {
  for (const char c : text) {
    if (!is_value_char(c)) return false;
  }
  return true;
}
[[nodiscard]] constexpr bool equal_ignoring_case(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (lower(a[i]) != lower(b[i])) return false;
  }
  return true;
}
[[nodiscard]] constexpr std::string_view trim_blanks(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}
// Whether a comma-separated list such as Connection's has this word.
[[nodiscard]] bool list_has(std::string_view list, std::string_view word);

}  // namespace berth::net
