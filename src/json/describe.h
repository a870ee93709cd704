// The description of structs as JSON Schema 2020-12, the form that OpenAPI 3.1 takes. It comes from
// the declarations that the reader obeys, so the two cannot differ.
#pragma once
#include <map>
#include <string>
#include <string_view>

#include "json/reader.h"
#include "json/rules.h"
#include "json/value.h"
#include "json/writer.h"

namespace berth::json {

// The named schemas of one document: what goes under `components.schemas`.
class SchemaSet {
 public:
  // By name, in alphabetical order.
  [[nodiscard]] Value components() const;

  // True when the schema has to be made, or made again because a response type is now also read
  // from requests. `type` is an address that only this type has: two types of one name are a bug.
  [[nodiscard]] bool enter(std::string_view name, const void* type, Use use);
  void put(std::string_view name, Value schema);

 private:
  struct Entry {
    const void* type;
    Use use;
    Value schema;
  };
  std::map<std::string, Entry, std::less<>> entries_;
};

namespace detail {

template <class T>
inline constexpr char type_mark = 0;

Value boolean_schema();
Value integer_schema(const Rules&, std::int64_t min, std::int64_t max, std::string_view format);
Value number_schema(const Rules&);
Value string_schema(const Rules&);
Value text_schema(std::string_view format, std::string_view pattern, std::string_view example);
Value choice_schema(std::span<const std::string_view> choices);
Value quantity_schema(const Rules&, const QuantityKind&, Use);
Value array_schema(const Rules&, Value items);
Value map_schema(const Rules&, Value values);
Value nullable(Value schema);
Value reference(std::string_view name);

// The schema of a struct, filled field by field.
class ObjectSchema {
 public:
  ObjectSchema(std::string_view doc, Use use);
  // `initial` is the JSON text of the value of an absent field; empty: there is none to show.
  void add(std::string_view name, Value schema, const Rules& rules, bool always,
           std::string_view initial);
  [[nodiscard]] Value finish() &&;

 private:
  Use use_;
  Value schema_, properties_, required_;
};

template <class T>
Value schema_of(SchemaSet& set, const Rules& rules, Use use);

template <class T, std::size_t I>
void describe_field(SchemaSet& set, ObjectSchema& object, Use use) {
  constexpr const auto& f = std::get<I>(Schema<T>::fields);
  using M = MemberType<T, I>;
  if constexpr (is_optional<M>) {
    object.add(f.name, schema_of<typename M::value_type>(set, f.rules, use), f.rules, false, {});
  } else {
    std::string initial;
    if constexpr (!Described<M>) {
      // Only a value that would itself be accepted is worth showing.
      M accepted = T{}.*f.member;
      write(initial, accepted);
      Reading reading(Unknown::refuse);
      if (const auto parsed = parse(initial)) {
        take(reading, *parsed, Path{}, f.rules, accepted);
      }
      if (reading.failed()) initial.clear();
    }
    object.add(f.name, schema_of<M>(set, f.rules, use), f.rules, true, initial);
  }
}

}  // namespace detail

// Puts the schema of T, and of every struct that it is made of, into the set.
template <Described T>
void describe(SchemaSet& set, Use use = use_of<T>()) {
  if (!set.enter(Schema<T>::name, &detail::type_mark<T>, use)) return;
  detail::ObjectSchema object(Schema<T>::doc, use);
  [&]<std::size_t... I>(std::index_sequence<I...>) {
    (detail::describe_field<T, I>(set, object, use), ...);
  }(std::make_index_sequence<detail::field_count<T>>{});
  set.put(Schema<T>::name, std::move(object).finish());
}

// {"$ref": ...} of a struct, which is described on the way; of any other type its schema in place.
template <class T>
[[nodiscard]] Value schema_ref(SchemaSet& set, Use use) {
  return detail::schema_of<T>(set, Rules{}, use);
}
template <class T>
[[nodiscard]] Value schema_ref(SchemaSet& set) {
  if constexpr (Described<T>) {
    return schema_ref<T>(set, use_of<T>());
  } else {
    return schema_ref<T>(set, Use::request);
  }
}

namespace detail {

template <class T>
Value schema_of(SchemaSet& set, const Rules& rules, Use use) {
  if constexpr (std::same_as<T, bool>) {
    return boolean_schema();
  } else if constexpr (Integer<T>) {
    constexpr auto high = sizeof(T) < 8 || std::is_signed_v<T>
                              ? static_cast<std::int64_t>(std::numeric_limits<T>::max())
                              : INT64_MAX;
    return integer_schema(rules, static_cast<std::int64_t>(std::numeric_limits<T>::min()), high,
                          sizeof(T) < 8 ? "int32" : "int64");
  } else if constexpr (std::same_as<T, double>) {
    return number_schema(rules);
  } else if constexpr (std::same_as<T, std::string>) {
    return string_schema(rules);
  } else if constexpr (Named<T>) {
    return choice_schema(choices<T>);
  } else if constexpr (Quantity<T>) {
    return quantity_schema(rules, QuantityForm<T>::kind(), use);
  } else if constexpr (Textual<T>) {
    return text_schema(TextForm<T>::format, TextForm<T>::pattern(), TextForm<T>::example());
  } else if constexpr (std::same_as<T, RawJson>) {
    return boost::json::object();
  } else if constexpr (is_optional<T>) {
    return nullable(schema_of<typename T::value_type>(set, rules, use));
  } else if constexpr (is_vector<T>) {
    return array_schema(rules, schema_of<typename T::value_type>(set, item_rules(rules), use));
  } else if constexpr (is_map<T>) {
    return map_schema(rules, schema_of<typename T::mapped_type>(set, item_rules(rules), use));
  } else {
    static_assert(Described<T>, "no JSON form: specialise json::Schema or json::TextForm");
    // A type that is only ever written stays open, wherever it appears.
    describe<T>(set, use_of<T>() == Use::response ? Use::response : use);
    return reference(Schema<T>::name);
  }
}

}  // namespace detail
}  // namespace berth::json
