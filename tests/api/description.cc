// Holds answers against /openapi.json: the status must be declared, the body must have the declared
// form.
#include <fmt/format.h>

#include <map>
#include <regex>

#include "harness.h"

namespace berth::test {
namespace {

bool matches(std::string_view pattern, std::string_view path) {
  while (!pattern.empty() && !path.empty()) {
    if (pattern.front() == '{') {
      const auto end = path.find('/');
      if (end == 0) return false;
      pattern.remove_prefix(pattern.find('}') + 1);
      path.remove_prefix(std::min(end, path.size()));
    } else if (pattern.front() == path.front()) {
      pattern.remove_prefix(1), path.remove_prefix(1);
    } else {
      return false;
    }
  }
  return pattern.empty() && path.empty();
}

bool has_pattern(const std::string& pattern, std::string_view text) {
  static std::map<std::string, std::regex> known;
  auto found = known.find(pattern);
  if (found == known.end())
    found = known.emplace(pattern, std::regex(pattern, std::regex::ECMAScript)).first;
  return std::regex_search(text.begin(), text.end(), found->second);
}

bool is_type(const js::value& value, std::string_view type) {
  if (type == "object") return value.is_object();
  if (type == "array") return value.is_array();
  if (type == "string") return value.is_string();
  if (type == "boolean") return value.is_bool();
  if (type == "null") return value.is_null();
  if (type == "integer") return value.is_int64() || value.is_uint64();
  return value.is_number();
}

}  // namespace

Description::Description(js::value document) : document_(std::move(document)) {}

// Words before parameters: "/organizations/join" is not an organization.
const js::object* Description::operation(const std::string& method, std::string_view path) const {
  std::string lower(method);
  for (auto& c : lower) c = static_cast<char>(std::tolower(c));
  const js::object* found = nullptr;
  std::size_t fewest = SIZE_MAX;
  for (const auto& [pattern, item] : document_.at("paths").as_object()) {
    const auto braces = static_cast<std::size_t>(std::count(pattern.begin(), pattern.end(), '{'));
    if (braces < fewest && matches(pattern, path)) {
      fewest = braces;
      const auto* known = item.as_object().if_contains(lower == "head" ? "get" : lower);
      found = known == nullptr ? nullptr : &known->as_object();
    }
  }
  return found;
}

std::string Description::judge(const std::string& method, std::string_view path,
                               const Answer& answer) const {
  const auto* op = operation(method, path);
  if (op == nullptr) {
    // Nothing there: 404, 405, or a page.
    return "";
  }
  const auto* response = op->at("responses").as_object().if_contains(std::to_string(answer.status));
  if (response == nullptr) return fmt::format("status {} is not declared", answer.status);
  const auto* content = response->as_object().if_contains("content");
  if (content == nullptr) return answer.body.empty() ? "" : "a body where none is declared";
  const auto type = answer.header("Content-Type");
  const auto* media = content->as_object().if_contains(type.substr(0, type.find(';')));
  if (media == nullptr) return fmt::format("content type {} is not declared", type);
  if (method == "HEAD" || !is_json_type(type)) return "";
  return check(answer.json, media->at("schema").as_object(), "");
}

std::string Description::check(const js::value& value, const js::object& schema,
                               const std::string& at) const {
  if (const auto* ref = schema.if_contains("$ref")) {
    const auto name =
        std::string_view(ref->as_string()).substr(std::string_view("#/components/schemas/").size());
    const auto& components = document_.at("components").at("schemas").as_object();
    if (!components.contains(name)) return fmt::format("{}: no schema {}", at, name);
    return check(value, components.at(name).as_object(), at);
  }
  for (const char* word : {"anyOf", "oneOf"}) {
    const auto* options = schema.if_contains(word);
    if (options == nullptr) continue;
    std::string why;
    for (const auto& option : options->as_array()) {
      why = check(value, option.as_object(), at);
      if (why.empty()) break;
    }
    if (!why.empty()) return why;
  }
  if (const auto* type = schema.if_contains("type")) {
    bool fits = false;
    if (type->is_array()) {
      for (const auto& one : type->as_array()) fits = fits || is_type(value, one.as_string());
    } else {
      fits = is_type(value, type->as_string());
    }
    if (!fits)
      return fmt::format("{}: {} is not of type {}", at, js::serialize(value),
                         js::serialize(*type));
  }
  if (const auto* choices = schema.if_contains("enum")) {
    const auto& list = choices->as_array();
    if (std::find(list.begin(), list.end(), value) == list.end())
      return fmt::format("{}: {} is no choice", at, js::serialize(value));
  }
  if (const auto* pattern = schema.if_contains("pattern");
      pattern != nullptr && value.is_string()) {
    if (!has_pattern(std::string(pattern->as_string()), value.as_string())) {
      return fmt::format("{}: {} does not match {}", at, js::serialize(value),
                         js::serialize(*pattern));
    }
  }
  if (value.is_number()) {
    const auto amount = value.to_number<double>();
    if (const auto* least = schema.if_contains("minimum");
        least != nullptr && amount < least->to_number<double>())
      return at + ": too small";
    if (const auto* most = schema.if_contains("maximum");
        most != nullptr && amount > most->to_number<double>())
      return at + ": too large";
  }
  if (value.is_object()) {
    if (const auto* required = schema.if_contains("required")) {
      for (const auto& name : required->as_array()) {
        if (!value.as_object().contains(name.as_string()))
          return fmt::format("{}: {} is missing", at, std::string_view(name.as_string()));
      }
    }
    const auto* properties = schema.if_contains("properties");
    for (const auto& [name, member] : value.as_object()) {
      const auto* known =
          properties == nullptr ? nullptr : properties->as_object().if_contains(name);
      const std::string here = at + "/" + std::string(name);
      // Answers are described whole: what is not described was forgotten.
      if (known == nullptr && properties != nullptr) return here + ": is not described";
      if (known != nullptr) {
        if (auto why = check(member, known->as_object(), here); !why.empty()) return why;
      }
    }
  }
  if (const auto* items = schema.if_contains("items"); items != nullptr && value.is_array()) {
    std::size_t i = 0;
    for (const auto& item : value.as_array()) {
      if (auto why = check(item, items->as_object(), fmt::format("{}/{}", at, i++)); !why.empty())
        return why;
    }
  }
  return "";
}

}  // namespace berth::test
