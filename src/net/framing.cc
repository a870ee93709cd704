#include "net/framing.h"

#include <charconv>

namespace berth::net {
namespace {

constexpr std::size_t longest_method = 24;

bool is_upper_or_dash(char c) { return (c >= 'A' && c <= 'Z') || c == '-'; }

// uri-host and port without user information: enough to keep two readers from seeing two hosts.
bool is_host(std::string_view host) {
  for (const char c : host) {
    const bool ok = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                    c == '.' || c == '-' || c == '_' || c == ':' || c == '[' || c == ']' ||
                    c == '%' || c == '~';
    if (!ok) return false;
  }
  return !host.empty();
}

}  // namespace

bool list_has(std::string_view list, std::string_view word) {
  while (!list.empty()) {
    const auto comma = std::min(list.find(','), list.size());
    if (equal_ignoring_case(trim_blanks(list.substr(0, comma)), word)) return true;
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return false;
}

HeadCheck::State HeadCheck::refuse(int status, std::string_view why) {
  refusal_ = {status, why};
  return State::refused;
}

HeadCheck::State HeadCheck::feed(std::string_view bytes) {
  for (;;) {
    const auto from = scanned_;
    const auto lf = bytes.find('\n', from);
    if (lf == std::string_view::npos) {
      scanned_ = bytes.size();
      return unfinished(bytes, from);
    }
    if (lf == line_ || bytes[lf - 1] != '\r') {
      return refuse(400, "Lines of a request head end with CR LF.");
    }
    const auto line = bytes.substr(line_, lf - 1 - line_);
    line_ = scanned_ = lf + 1;
    if (line_ - facts_.skip > limits_.head_bytes) {
      return lines_ == 0 ? refuse(414, "The request target is too long.")
                         : refuse(431, "The request head is too large.");
    }
    if (line.empty()) {
      if (lines_ > 0) return finish(line_);
      if (facts_.skip > 0) return refuse(400, "The request line is empty.");
      facts_.skip = line_;
      continue;
    }
    const auto state = lines_ == 0 ? request_line(line) : header(line);
    if (state == State::refused) return state;
    ++lines_;
  }
}

HeadCheck::State HeadCheck::unfinished(std::string_view bytes, std::size_t from) {
  for (auto i = from; i < bytes.size(); ++i) {
    const char c = bytes[i];
    if (i > line_ && bytes[i - 1] == '\r') return refuse(400, "A CR stands without its LF.");
    if (c != '\r' && !is_value_char(c)) return refuse(400, "The head holds a control character.");
  }
  const auto line = bytes.substr(line_);
  if (lines_ == 0) {
    const auto method = line.substr(0, line.find(' '));
    const auto shown = method.substr(0, method.find('\r'));
    for (const char c : shown) {
      if (!is_upper_or_dash(c)) return refuse(400, "The method is not a word in upper case.");
    }
    if (shown.size() > longest_method) return refuse(400, "The method is too long.");
    if (line.size() > limits_.target_bytes + longest_method + 16) {
      return refuse(414, "The request target is too long.");
    }
  }
  if (bytes.size() - facts_.skip > limits_.head_bytes) {
    return refuse(431, "The request head is too large.");
  }
  return State::more;
}

HeadCheck::State HeadCheck::request_line(std::string_view line) {
  const auto first = line.find(' ');
  if (first == std::string_view::npos) return refuse(400, "The request line has no target.");
  const auto second = line.find(' ', first + 1);
  if (second == std::string_view::npos) return refuse(400, "The request line has no version.");
  const auto method = line.substr(0, first);
  const auto target = line.substr(first + 1, second - first - 1);
  const auto version = line.substr(second + 1);

  if (method.empty() || method.size() > longest_method) {
    return refuse(400, "The method is empty or too long.");
  }
  for (const char c : method) {
    if (!is_upper_or_dash(c)) return refuse(400, "The method is not a word in upper case.");
  }
  if (target.size() > limits_.target_bytes) return refuse(414, "The request target is too long.");
  for (const char c : target) {
    const auto u = static_cast<unsigned char>(c);
    if (u <= 0x20 || u >= 0x7f || c == '#') {
      return refuse(400, "The request target holds a character that must be percent-encoded.");
    }
  }
  if (version.size() != 8 || !version.starts_with("HTTP/") || version[6] != '.' ||
      version[5] < '0' || version[5] > '9' || version[7] < '0' || version[7] > '9') {
    return refuse(400, "The request line does not end with an HTTP version.");
  }
  if (version != "HTTP/1.1" && version != "HTTP/1.0") {
    return refuse(505, "This server speaks HTTP/1.1 and HTTP/1.0.");
  }
  facts_.http_1_0 = version == "HTTP/1.0";
  if (method == "CONNECT" || method == "TRACE") {
    return refuse(405, "CONNECT and TRACE are not served.");
  }
  if (target == "*" && method == "OPTIONS") return State::more;
  if (target.empty() || target.front() != '/') {
    return refuse(400, "The request target must start with a slash.");
  }
  return State::more;
}

HeadCheck::State HeadCheck::header(std::string_view line) {
  if (line.front() == ' ' || line.front() == '\t') {
    return refuse(400, "A header must not be folded over several lines.");
  }
  const auto colon = line.find(':');
  if (colon == std::string_view::npos) return refuse(400, "A header has no colon.");
  const auto name = line.substr(0, colon);
  if (!is_token(name)) return refuse(400, "A header name holds a character that is not allowed.");
  const auto value = trim_blanks(line.substr(colon + 1));
  if (!is_value(value)) return refuse(400, "The head holds a control character.");
  if (lines_ > limits_.header_count) return refuse(431, "The request has too many headers.");
  return known_header(name, value);
}

HeadCheck::State HeadCheck::known_header(std::string_view name, std::string_view value) {
  if (equal_ignoring_case(name, "host")) {
    if (++hosts_ > 1) return refuse(400, "The Host header is repeated.");
    if (!is_host(value)) return refuse(400, "The Host header is not a host and port.");
  } else if (equal_ignoring_case(name, "content-length")) {
    if (facts_.content_length) return refuse(400, "Content-Length is repeated.");
    std::uint64_t length = 0;
    // Signs, blanks, lists and prefixes all leave something behind the digits.
    const bool digit_first = !value.empty() && value.front() >= '0' && value.front() <= '9';
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), length);
    if (!digit_first || error != std::errc{} || end != value.data() + value.size()) {
      return refuse(400, "Content-Length is not a plain number.");
    }
    facts_.content_length = length;
  } else if (equal_ignoring_case(name, "transfer-encoding")) {
    if (facts_.chunked) return refuse(400, "Transfer-Encoding is repeated.");
    if (!equal_ignoring_case(value, "chunked")) {
      return refuse(400, "The only Transfer-Encoding understood is chunked.");
    }
    facts_.chunked = true;
  } else if (equal_ignoring_case(name, "connection")) {
    asked_to_close_ = asked_to_close_ || list_has(value, "close");
    asked_to_keep_ = asked_to_keep_ || list_has(value, "keep-alive");
  } else if (equal_ignoring_case(name, "expect")) {
    if (!equal_ignoring_case(value, "100-continue")) {
      return refuse(417, "The only expectation understood is 100-continue.");
    }
    facts_.expects_continue = true;
  }
  return State::more;
}

HeadCheck::State HeadCheck::finish(std::size_t end) {
  if (facts_.chunked && facts_.content_length) {
    return refuse(400, "Content-Length and Transfer-Encoding exclude each other.");
  }
  if (facts_.chunked && facts_.http_1_0) {
    return refuse(400, "HTTP/1.0 has no Transfer-Encoding.");
  }
  if (hosts_ == 0 && !facts_.http_1_0) return refuse(400, "The Host header is missing.");
  if (facts_.http_1_0) facts_.expects_continue = false;
  facts_.keep_alive = !asked_to_close_ && (!facts_.http_1_0 || asked_to_keep_);
  facts_.size = end - facts_.skip;
  return State::done;
}

bool may_be_chunk_header(std::string_view bytes) {
  // The CR LF after a chunk's bytes is read together with the next chunk's header.
  if (bytes.starts_with("\r\n")) {
    bytes.remove_prefix(2);
  } else if (bytes.starts_with('\r')) {
    return bytes.size() == 1;
  }
  std::size_t zeros = 0;
  while (zeros < bytes.size() && bytes[zeros] == '0') ++zeros;
  std::size_t digits = zeros;
  while (digits < bytes.size() && ((bytes[digits] >= '0' && bytes[digits] <= '9') ||
                                   (bytes[digits] >= 'a' && bytes[digits] <= 'f') ||
                                   (bytes[digits] >= 'A' && bytes[digits] <= 'F'))) {
    ++digits;
  }
  if (digits - zeros > 16) return false;
  if (digits == bytes.size()) return true;
  if (digits == 0) return false;
  bytes.remove_prefix(digits);
  const auto eol = bytes.find('\r');
  if (eol != std::string_view::npos && eol + 1 < bytes.size() && bytes[eol + 1] != '\n') {
    return false;
  }
  const auto extension = bytes.substr(0, eol);
  return extension.size() <= 256 && is_value(extension) &&
         (extension.empty() || extension.front() == ';' || extension.front() == ' ' ||
          extension.front() == '\t');
}

}  // namespace berth::net
