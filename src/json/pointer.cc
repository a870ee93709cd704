#include "json/pointer.h"

#include "json/utf8.h"
#include "json/writer.h"

namespace berth::json {

void append_token(std::string& pointer, std::string_view key) {
  pointer += '/';
  for (const char c : key) {
    if (c == '~') {
      pointer += "~0";
    } else if (c == '/') {
      pointer += "~1";
    } else {
      pointer += c;
    }
  }
}

std::string quoted(std::string_view name) {
  constexpr std::size_t kShown = 60;
  std::string out;
  if (name.size() <= kShown) {
    detail::write_string(out, name);
    return out;
  }
  std::size_t end = 0;
  while (end < kShown) {
    const std::size_t length = utf8_length(name.substr(end));
    end += length == 0 ? 1 : length;
  }
  detail::write_string(out, name.substr(0, end));
  out.insert(out.size() - 1, "...");
  return out;
}

FieldError field_error(std::string pointer, std::string_view code, std::string_view rest) {
  std::string name;
  for (std::size_t i = 1; i < pointer.size(); ++i) {
    if (pointer[i] == '/') {
      name += '.';
    } else if (pointer[i] == '~') {
      name += pointer[++i] == '0' ? '~' : '/';
    } else {
      name += pointer[i];
    }
  }
  std::string message = pointer.empty() ? "The document" : quoted(name);
  message += ' ';
  message += rest;
  return {std::move(pointer), std::string(code), std::move(message)};
}

}  // namespace berth::json
