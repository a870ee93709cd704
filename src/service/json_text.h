// Small JSON objects for the data of events. Services know no JSON library; what they write is text
// that the history keeps verbatim.
#pragma once
#include <concepts>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/deployment.h"

namespace berth {

class JsonText {
 public:
  JsonText& add(std::string_view key, std::string_view value);
  JsonText& add(std::string_view key, const char* value) {
    return add(key, std::string_view(value));
  }
  JsonText& add(std::string_view key, std::integral auto value) {
    return add_raw(key, std::to_string(value));
  }
  JsonText& add(std::string_view key, bool value) { return add_raw(key, value ? "true" : "false"); }
  JsonText& add_raw(std::string_view key, std::string_view json);
  [[nodiscard]] std::string str() const { return text_ + "}"; }

 private:
  std::string text_ = "{";
};

[[nodiscard]] std::string json_quote(std::string_view text);
// A text or a number that stands directly in an object that JsonText wrote.
[[nodiscard]] std::optional<std::string> json_member(std::string_view object, std::string_view key);
[[nodiscard]] std::string gpus_json(const std::vector<GpuShare>& gpus);
[[nodiscard]] std::string resources_json(const Resources& r);

}  // namespace berth
