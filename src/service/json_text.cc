#include "service/json_text.h"

#include <fmt/format.h>

#include <charconv>
#include <utility>

namespace berth {

std::string json_quote(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20) {
      out += fmt::format("\\u{:04x}", byte);
    } else {
      out += c;
    }
  }
  return out + '"';
}

namespace {

// What stands between the quotes at the beginning, and how far that reaches.
std::pair<std::string, std::size_t> unquoted(std::string_view text) {
  std::string out;
  std::size_t at = 1;
  for (; at < text.size() && text[at] != '"'; ++at) {
    if (text[at] != '\\' || at + 1 >= text.size()) {
      out += text[at];
    } else if (text[at + 1] == 'u' && at + 5 < text.size()) {
      int code = 0;
      std::from_chars(text.data() + at + 2, text.data() + at + 6, code, 16);
      out += static_cast<char>(code);
      at += 5;
    } else {
      out += text[++at];
    }
  }
  return {out, at + 1};
}

}  // namespace

std::optional<std::string> json_member(std::string_view object, std::string_view key) {
  int depth = 0;
  for (std::size_t at = 0; at < object.size();) {
    const char c = object[at];
    if (c == '{' || c == '[') ++depth;
    if (c == '}' || c == ']') --depth;
    if (c != '"') {
      ++at;
      continue;
    }
    const auto [name, length] = unquoted(object.substr(at));
    at += length;
    if (depth != 1 || at >= object.size() || object[at] != ':') continue;
    ++at;
    if (name != key || at >= object.size()) {
      if (at < object.size() && object[at] == '"') at += unquoted(object.substr(at)).second;
      continue;
    }
    if (object[at] == '"') return unquoted(object.substr(at)).first;
    return std::string(object.substr(at, object.find_first_of(",}", at) - at));
  }
  return std::nullopt;
}

JsonText& JsonText::add_raw(std::string_view key, std::string_view json) {
  if (text_.size() > 1) text_ += ',';
  text_ += json_quote(key);
  text_ += ':';
  text_ += json;
  return *this;
}

JsonText& JsonText::add(std::string_view key, std::string_view value) {
  return add_raw(key, json_quote(value));
}

std::string gpus_json(const std::vector<GpuShare>& gpus) {
  std::string out = "[";
  for (const auto& share : gpus) {
    out += fmt::format("{}{{\"device\":{},\"share\":{}}}", out.size() > 1 ? "," : "", share.device,
                       gpu_text(share.milli));
  }
  return out + "]";
}

std::string resources_json(const Resources& r) {
  return fmt::format("{{\"cpu\":{},\"memory\":{},\"gpu\":{}}}", cpu_text(r.cpu_milli),
                     r.memory_bytes, gpu_text(r.gpu_milli));
}

}  // namespace berth
