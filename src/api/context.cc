#include "api/context.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace berth::api {

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
  std::int64_t version = 0;
  const bool quoted = text.size() >= 3 && text.front() == '"' && text.back() == '"';
  const auto* last = text.data() + text.size() - (quoted ? 1 : 0);
  const auto [end, ec] = std::from_chars(text.data() + (quoted ? 1 : 0), last, version);
  if (ec != std::errc{} || end != last) {
    return fail_field("If-Match", "invalid_format", "Send the ETag as you got it, for example \"3\" in quotes.");
  }
  return std::optional(version);
}

Result<std::optional<IdempotencyKey>> Context::idempotency() const {
  if (!net::has_header(request.headers, "Idempotency-Key")) return std::optional<IdempotencyKey>{};
  const auto key = net::find_header(request.headers, "Idempotency-Key");
  const bool printable = std::all_of(key.begin(), key.end(), [](char c) { return c > 0x20 && c < 0x7F; });
  if (key.empty() || key.size() > 255 || !printable) {
    return fail_field("Idempotency-Key", "invalid_format", "1 to 255 printable characters, for example a UUID.");
  }
  const std::string who = caller ? caller->principal.user.str() : request.peer;
  return std::optional(IdempotencyKey{fmt::format("{} {} {}", who, request.method, request.path()),
                                      std::string(key), sha256(request.body)});
}

std::string etag_of(std::int64_t version) { return fmt::format("\"{}\"", version); }

}  // namespace berth::api
