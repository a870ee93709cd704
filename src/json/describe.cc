#include "json/describe.h"

#include "base/ensure.h"

namespace berth::json {

Value SchemaSet::components() const {
  boost::json::object out;
  for (const auto& [name, entry] : entries_) out[name] = entry.schema;
  return out;
}

bool SchemaSet::enter(std::string_view name, const void* type, Use use) {
  const auto [at, fresh] = entries_.try_emplace(std::string(name), type, use, Value{});
  ensure(at->second.type == type, "two structs of one name in an API description");
  if (fresh) return true;
  // Closed wins: what a request may contain is the narrower promise.
  if (at->second.use == Use::request || use == Use::response) return false;
  at->second.use = Use::request;
  return true;
}

void SchemaSet::put(std::string_view name, Value schema) {
  const auto at = entries_.find(name);
  ensure(at != entries_.end(), "a schema is entered before it is put");
  at->second.schema = std::move(schema);
}

namespace detail {
namespace {

namespace bj = boost::json;

Value json_text(std::string_view text) {
  auto value = parse(text);
  ensure(value.has_value(), "an example in a declaration is JSON text");
  return *std::move(value);
}

// Base units as a JSON number in the unit of the wire.
Value scaled(std::int64_t value, std::int64_t scale) {
  std::string text;
  write_scaled(text, value, scale);
  return json_text(text);
}

void put_lengths(bj::object& out, const Rules& rules, std::string_view low, std::string_view high) {
  if (rules.min_len > 0) out[low] = rules.min_len;
  if (rules.max_len < Rules{}.max_len) out[high] = rules.max_len;
}

}  // namespace

Value boolean_schema() { return bj::object{{"type", "boolean"}}; }

Value integer_schema(const Rules& rules, std::int64_t min, std::int64_t max,
                     std::string_view format) {
  bj::object out{{"type", "integer"}, {"format", format}};
  min = std::max(min, rules.min);
  max = std::min(max, rules.max);
  if (min != INT64_MIN) out["minimum"] = min;
  if (max != INT64_MAX) out["maximum"] = max;
  return out;
}

Value number_schema(const Rules& rules) {
  bj::object out{{"type", "number"}, {"format", "double"}};
  if (rules.min != INT64_MIN) out["minimum"] = rules.min;
  if (rules.max != INT64_MAX) out["maximum"] = rules.max;
  return out;
}

Value string_schema(const Rules& rules) {
  bj::object out{{"type", "string"}};
  put_lengths(out, rules, "minLength", "maxLength");
  if (!rules.pattern.empty()) out["pattern"] = rules.pattern;
  return out;
}

Value text_schema(std::string_view format, std::string_view pattern, std::string_view example) {
  bj::object out{{"type", "string"}};
  if (!format.empty()) out["format"] = format;
  if (!pattern.empty()) out["pattern"] = pattern;
  out["examples"] = bj::array{example};
  return out;
}

Value choice_schema(std::span<const std::string_view> choices) {
  return bj::object{{"type", "string"}, {"enum", bj::array(choices.begin(), choices.end())}};
}

Value quantity_schema(const Rules& rules, const QuantityKind& kind, Use use) {
  bj::object out;
  // One JSON Schema keyword looks at one kind of value, so a single schema holds both forms.
  if (use == Use::request) {
    out["type"] = bj::array{"number", "string"};
    out["pattern"] = kind.pattern;
  } else {
    out["type"] = "number";
  }
  out["minimum"] = scaled(std::max<std::int64_t>(rules.min, 0), kind.scale);
  if (const auto high = std::min(rules.max, kind.most); high != INT64_MAX) {
    out["maximum"] = scaled(high, kind.scale);
  }
  const std::int64_t some = *kind.parse(kind.example);
  if (some >= rules.min && some <= rules.max) {
    bj::array examples{scaled(some, kind.scale)};
    if (use == Use::request) examples.emplace_back(kind.example);
    out["examples"] = std::move(examples);
  }
  return out;
}

Value array_schema(const Rules& rules, Value items) {
  bj::object out{{"type", "array"}, {"items", std::move(items)}};
  put_lengths(out, rules, "minItems", "maxItems");
  return out;
}

Value map_schema(const Rules& rules, Value values) {
  bj::object out{{"type", "object"}, {"additionalProperties", std::move(values)}};
  if (!rules.key_pattern.empty()) out["propertyNames"] = bj::object{{"pattern", rules.key_pattern}};
  put_lengths(out, rules, "minProperties", "maxProperties");
  return out;
}

Value nullable(Value schema) {
  return bj::object{{"anyOf", bj::array{std::move(schema), bj::object{{"type", "null"}}}}};
}

Value reference(std::string_view name) {
  return bj::object{{"$ref", "#/components/schemas/" + std::string(name)}};
}

ObjectSchema::ObjectSchema(std::string_view doc, Use use)
    : use_(use),
      schema_(bj::object{{"type", "object"}}),
      properties_(bj::object()),
      required_(bj::array()) {
  if (!doc.empty()) schema_.get_object()["description"] = doc;
}

void ObjectSchema::add(std::string_view name, Value schema, const Rules& rules, bool always,
                       std::string_view initial) {
  bj::object& out = schema.get_object();
  if (!rules.doc.empty()) out["description"] = rules.doc;
  if (!rules.format.empty()) out["format"] = rules.format;
  if (!rules.example.empty()) out["examples"] = bj::array{json_text(rules.example)};
  if (rules.read_only) out["readOnly"] = true;
  if (rules.write_only) out["writeOnly"] = true;
  const bool required = use_ == Use::request ? rules.required : always;
  if (required) required_.get_array().emplace_back(name);
  if (use_ == Use::request && !required && !rules.read_only && !initial.empty()) {
    out["default"] = json_text(initial);
  }
  properties_.get_object()[name] = std::move(schema);
}

Value ObjectSchema::finish() && {
  bj::object& out = schema_.get_object();
  out["properties"] = std::move(properties_);
  if (!required_.get_array().empty()) out["required"] = std::move(required_);
  if (use_ == Use::request) out["additionalProperties"] = false;
  return std::move(schema_);
}

}  // namespace detail
}  // namespace berth::json
