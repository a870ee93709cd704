#include "service/json_text.h"

#include <fmt/format.h>

#include <boost/json.hpp>

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

std::optional<std::string> json_member(std::string_view object, std::string_view key) {
  boost::system::error_code ec;
  const auto value = boost::json::parse(object, ec);
  if (ec || !value.is_object()) return std::nullopt;
  const auto* member = value.as_object().if_contains(key);
  if (member == nullptr) return std::nullopt;
  return member->is_string() ? std::string(member->as_string()) : boost::json::serialize(*member);
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
