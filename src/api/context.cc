#include "api/context.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "api/cursor.h"
#include "api/route.h"

namespace berth::api {

std::string_view Context::bearer() const {
  const auto header = net::find_header(request.headers, "Authorization");
  constexpr std::string_view kScheme = "bearer ";
  if (header.size() <= kScheme.size()) return {};
  for (std::size_t i = 0; i < kScheme.size(); ++i) {
    const char c = header[i];
    if ((c >= 'A' && c <= 'Z' ? c + 32 : c) != kScheme[i]) return {};
  }
  return header.substr(kScheme.size());
}

std::optional<std::string> Context::query_text(std::string_view name) const {
  for (const auto& [key, value] : query) {
    if (key == name) return value;
  }
  return std::nullopt;
}

Result<std::optional<std::int64_t>> Context::query_int(std::string_view name, std::int64_t min,
                                                       std::int64_t max) const {
  const auto text = query_text(name);
  if (!text) return std::optional<std::int64_t>{};
  std::int64_t value = 0;
  const auto [end, ec] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (ec != std::errc{} || end != text->data() + text->size() || value < min || value > max) {
    return fail_field(std::string(name), "out_of_range",
                      fmt::format("A whole number from {} to {}.", min, max));
  }
  return std::optional(value);
}

Result<std::optional<When>> Context::query_when() const {
  const auto text = query_text("at");
  if (!text) return std::optional<When>{};
  constexpr std::string_view kIndex = "index:";
  if (text->starts_with(kIndex)) {
    std::int64_t index = 0;
    const auto* last = text->data() + text->size();
    const auto [end, ec] = std::from_chars(text->data() + kIndex.size(), last, index);
    if (ec == std::errc{} && end == last) return std::optional(When(index));
  } else if (const auto time = from_rfc3339(*text)) {
    return std::optional(When(*time));
  }
  return fail_field("at", "invalid_format",
                    "A time such as 2026-01-02T03:04:05Z, or index:N for an entry of the record.");
}

Result<bool> Context::query_flag(std::string_view name) const {
  const auto text = query_text(name);
  if (!text || *text == "false" || *text == "0") return false;
  if (text->empty() || *text == "true" || *text == "1") return true;
  return fail_field(std::string(name), "not_a_choice", "true or false.");
}

Result<std::size_t> Context::limit(std::size_t most, std::size_t initial) const {
  const auto value = query_int("limit", 1, static_cast<std::int64_t>(most));
  if (!value) return std::unexpected(value.error());
  return *value ? static_cast<std::size_t>(**value) : initial;
}

Result<std::optional<std::int64_t>> Context::if_match() const {
  const auto text = net::find_header(request.headers, "If-Match");
  if (text.empty() || text == "*") return std::optional<std::int64_t>{};
  constexpr std::int64_t kNever = -1;
  if (text.starts_with("W/\"") && text.ends_with('"')) return std::optional(kNever);
  std::int64_t version = 0;
  const bool quoted = text.size() >= 2 && text.front() == '"' && text.back() == '"';
  const auto* last = text.data() + text.size() - (quoted ? 1 : 0);
  const auto [end, ec] = std::from_chars(text.data() + (quoted ? 1 : 0), last, version);
  if (ec == std::errc{} && end == last && version > 0) return std::optional(version);
  if (quoted) return std::optional(kNever);
  return fail_field("If-Match", "invalid_format",
                    "Send the ETag as you got it, for example \"3\" in quotes.");
}

Result<std::optional<IdempotencyKey>> Context::idempotency() const {
  if (!net::has_header(request.headers, "Idempotency-Key")) return std::optional<IdempotencyKey>{};
  const auto key = net::find_header(request.headers, "Idempotency-Key");
  const bool printable =
      std::all_of(key.begin(), key.end(), [](char c) { return c > 0x20 && c < 0x7F; });
  if (key.empty() || key.size() > 255 || !printable) {
    return fail_field("Idempotency-Key", "invalid_format",
                      "1 to 255 printable characters, for example a UUID.");
  }
  const std::string who = caller ? caller->principal.user.str() : request.peer;
  return std::optional(IdempotencyKey{fmt::format("{} {} {}", who, request.method, request.path()),
                                      std::string(key), sha256(request.body)});
}

std::unexpected<Error> Context::bad_cursor() {
  return fail_field("cursor", "invalid_format", "Pass 'next' of the page before, as it is.");
}

Result<std::optional<std::string>> Context::cursor() const {
  const auto text = query_text("cursor");
  if (!text) return std::optional<std::string>{};
  auto place = open_cursor(*text);
  if (!place) return bad_cursor();
  return place;
}

Result<std::optional<std::int64_t>> Context::cursor_seq() const {
  const auto place = cursor();
  if (!place) return std::unexpected(place.error());
  if (!*place) return std::optional<std::int64_t>{};
  std::int64_t seq = 0;
  const auto* last = (*place)->data() + (*place)->size();
  const auto [end, ec] = std::from_chars((*place)->data(), last, seq);
  if (ec != std::errc{} || end != last || seq < 0) return bad_cursor();
  return std::optional(seq);
}

bool is_json(std::string_view content_type) {
  auto media = content_type.substr(0, std::min(content_type.find(';'), content_type.size()));
  while (!media.empty() && (media.back() == ' ' || media.back() == '\t')) media.remove_suffix(1);
  constexpr std::string_view kJson = "application/json";
  return std::equal(media.begin(), media.end(), kJson.begin(), kJson.end(),
                    [](char x, char y) { return (x >= 'A' && x <= 'Z' ? x + 32 : x) == y; });
}

std::string etag_of(std::int64_t version) { return fmt::format("\"{}\"", version); }

bool matches_any(std::string_view if_none_match, std::string_view etag) {
  if (if_none_match == "*") return true;
  while (!if_none_match.empty()) {
    const auto comma = std::min(if_none_match.find(','), if_none_match.size());
    auto tag = if_none_match.substr(0, comma);
    while (!tag.empty() && tag.front() == ' ') tag.remove_prefix(1);
    while (!tag.empty() && tag.back() == ' ') tag.remove_suffix(1);
    if (tag.starts_with("W/")) tag.remove_prefix(2);
    if (tag == etag) return true;
    if_none_match.remove_prefix(std::min(comma + 1, if_none_match.size()));
  }
  return false;
}

}  // namespace berth::api
