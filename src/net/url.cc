#include "net/url.h"

#include <boost/url/encode.hpp>
#include <boost/url/pct_string_view.hpp>
#include <boost/url/rfc/unreserved_chars.hpp>

namespace berth::net {
namespace {

namespace urls = boost::urls;

bool is_utf8(std::string_view text) {
  std::size_t i = 0;
  while (i < text.size()) {
    const auto lead = static_cast<unsigned char>(text[i]);
    if (lead < 0x80) {
      ++i;
      continue;
    }
    const std::size_t length = lead >= 0xc2 && lead <= 0xdf   ? 2
                               : lead >= 0xe0 && lead <= 0xef ? 3
                               : lead >= 0xf0 && lead <= 0xf4 ? 4
                                                              : 0;
    if (length == 0 || i + length > text.size()) return false;
    for (std::size_t k = 1; k < length; ++k) {
      if ((static_cast<unsigned char>(text[i + k]) & 0xc0) != 0x80) return false;
    }
    // Shortest form only, no surrogates, nothing above U+10FFFF: each letter has one spelling.
    const auto second = static_cast<unsigned char>(text[i + 1]);
    if ((lead == 0xe0 && second < 0xa0) || (lead == 0xed && second > 0x9f) ||
        (lead == 0xf0 && second < 0x90) || (lead == 0xf4 && second > 0x8f)) {
      return false;
    }
    i += length;
  }
  return true;
}

Result<std::string> decode(std::string_view text, bool plus_is_blank) {
  const auto checked = urls::make_pct_string_view(urls::string_view(text.data(), text.size()));
  if (!checked) {
    return fail(Code::invalid_argument, "bad_escape",
                "A percent sign must be followed by two hexadecimal digits.");
  }
  urls::encoding_opts options;
  options.space_as_plus = plus_is_blank;
  std::string out = checked->decode(options);
  if (out.contains('\0') || !is_utf8(out)) {
    return fail(Code::invalid_argument, "bad_text", "Text in a URL must be UTF-8 without NUL.");
  }
  return out;
}

}  // namespace

Result<std::string> percent_decode(std::string_view text) { return decode(text, false); }

std::string percent_encode(std::string_view text) {
  return urls::encode(urls::string_view(text.data(), text.size()), urls::unreserved_chars);
}

Result<Query> parse_query(std::string_view query) {
  Query out;
  while (!query.empty()) {
    const auto end = std::min(query.find('&'), query.size());
    const auto pair = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    if (pair.empty()) continue;
    const auto equals = std::min(pair.find('='), pair.size());
    auto name = decode(pair.substr(0, equals), true);
    if (!name) return pass(std::move(name.error()));
    auto value = decode(pair.substr(std::min(equals + 1, pair.size())), true);
    if (!value) return pass(std::move(value.error()));
    out.emplace_back(std::move(*name), std::move(*value));
  }
  return out;
}

Result<std::vector<std::string>> path_segments(std::string_view path) {
  const auto refuse = [](const char* why) { return fail(Code::invalid_argument, "bad_path", why); };
  if (!path.starts_with('/')) return refuse("A path starts with a slash.");
  path.remove_prefix(1);
  std::vector<std::string> out;
  if (path.empty()) return out;
  for (;;) {
    const auto slash = path.find('/');
    const auto raw = path.substr(0, slash);
    if (raw.empty() && slash != std::string_view::npos) {
      return refuse("A path must not hold an empty segment.");
    }
    auto segment = percent_decode(raw);
    if (!segment) return pass(std::move(segment.error()));
    if (*segment == "." || *segment == "..") return refuse("A path must not hold dot segments.");
    if (segment->find_first_of("/\\") != std::string::npos) {
      return refuse("A path segment must not hold a slash or backslash.");
    }
    out.push_back(std::move(*segment));
    if (slash == std::string_view::npos) return out;
    path.remove_prefix(slash + 1);
  }
}

}  // namespace berth::net
