#include "json/yaml.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace berth::json {
namespace {

// The value as compact JSON, or "code pointer: message".
std::string outcome(std::string_view text) {
  const auto value = from_yaml(text);
  if (value) return to_text(*value);
  const FieldError& field = value.error().fields.at(0);
  return field.code + " " + field.pointer + ": " + field.message;
}

struct Case {
  std::string_view text, expected;
};

TEST(Yaml, ResolvesScalarsByTheCoreSchema) {
  for (const auto& [text, expected] : std::initializer_list<Case>{
           {"true", "true"},
           {"True", "true"},
           {"FALSE", "false"},
           {"null", "null"},
           {"~", "null"},
           {"a:", "{\"a\":null}"},
           {"12", "12"},
           {"+12", "12"},
           {"-7", "-7"},
           {"007", "7"},
           {"0x1F", "31"},
           {"0o17", "15"},
           {"9223372036854775808", "9223372036854775808"},
           {"1.5", "1.5"},
           {"-.5", "-0.5"},
           {"1.", "1"},
           {"1e3", "1000"},
           {"+1.5E-1", "0.15"},
           // Everything else is a string: also what YAML 1.1 took for something else.
           {"yes", "\"yes\""},
           {"no", "\"no\""},
           {"on", "\"on\""},
           {"tRue", "\"tRue\""},
           {"1_000", "\"1_000\""},
           {"12:30:45", "\"12:30:45\""},
           {"2026-01-02", "\"2026-01-02\""},
           {"1.2.3", "\"1.2.3\""},
           {"0x", "\"0x\""},
           {"0xG", "\"0xG\""},
           {"0b1", "\"0b1\""},
           {"-", "[null]"},
           {"+", "\"+\""},
           {".", "\".\""},
           {"1e", "\"1e\""},
           {"-0x1", "\"-0x1\""},
           {"16GiB", "\"16GiB\""},
           {"500m", "\"500m\""},
           // Quotes keep a string a string.
           {"\"true\"", "\"true\""},
           {"'12'", "\"12\""},
           {"''", "\"\""},
           {"!!str 12", "\"12\""},
           {"\"a\\tb\\u00e9\"", "\"a\\tb\xC3\xA9\""},
           {"|\n  a\n  b\n", "\"a\\nb\\n\""},
           {">\n  a\n  b\n", "\"a b\\n\""},
           {"|\n  12\n", "\"12\\n\""},
       }) {
    EXPECT_EQ(outcome(text), expected) << text;
  }
}

TEST(Yaml, ReadsBlocksAndFlow) {
  EXPECT_EQ(outcome("# a deployment\n"
                    "name: web\n"
                    "resources: {cpu: 2.5, memory: 16GiB}\n"
                    "command:\n"
                    "  - python\n"
                    "  - \"-m\"\n"
                    "env:\n"
                    "  PORT: \"8080\"\n"
                    "  80: x\n"
                    "nodes:\n"
                    "- name: a\n"
                    "  gpus: [0, 1]\n"
                    "- name: b\n"),
            R"({"name":"web","resources":{"cpu":2.5,"memory":"16GiB"},"command":["python","-m"],)"
            R"("env":{"PORT":"8080","80":"x"},"nodes":[{"name":"a","gpus":[0,1]},{"name":"b"}]})");
  EXPECT_EQ(outcome("--- \na: 1\n...\n"), R"({"a":1})");
  EXPECT_EQ(outcome("{\"a\": [1, \"b\", null]}"), R"({"a":[1,"b",null]})");
}

TEST(Yaml, RefusesWithAPlace) {
  for (
      const auto& [text, expected] : std::initializer_list<Case>{
          {"", "invalid_yaml : The document is empty."},
          {"# nothing\n", "invalid_yaml : The document is empty."},
          {"a: 1\n---\nb: 2\n",
           "invalid_yaml : Invalid YAML at line 2, column 1: only one document is accepted."},
          {"a: 1\na: 2\n",
           "duplicate_key /a: At line 2, column 1: the key \"a\" is given more than once."},
          {"x:\n  - y: 1\n    \"y\": 2\n",
           "duplicate_key /x/0/y: At line 3, column 5: the key \"y\" is given more than once."},
          {"a: &x 1\nb: *x\n",
           "invalid_yaml : Invalid YAML at line 2, column 4: aliases are not supported; repeat the "
           "value instead."},
          {"a: .inf", "invalid_yaml : Invalid YAML at line 1, column 4: JSON has no such number."},
          {"a: .NaN", "invalid_yaml : Invalid YAML at line 1, column 4: JSON has no such number."},
          {"a: 1e999", "invalid_yaml : Invalid YAML at line 1, column 4: JSON has no such number."},
          {"a: !!int \"1\"",
           "invalid_yaml : Invalid YAML at line 1, column 4: tags other than !!str are not "
           "supported."},
          {"!custom {a: 1}",
           "invalid_yaml : Invalid YAML at line 1, column 1: tags other than !!str are not "
           "supported."},
          {"? [a]\n: 1\n",
           "invalid_yaml : Invalid YAML at line 1, column 3: a key must be plain text."},
          {"a: \"\xFF\"", "invalid_yaml : Invalid YAML at line 1, column 5: this is not UTF-8."},
          {"a: \x01",
           "invalid_yaml : Invalid YAML at line 1, column 4: this character is not accepted."},
      }) {
    EXPECT_EQ(outcome(text), expected) << text;
  }
}

TEST(Yaml, RefusesBrokenText) {
  for (const std::string_view text :
       {"a: [1, 2", "a: {b: 1", "a: 'x", "a: \"x", "a: \"\\q\"", "\ta: 1", "a: b: c", "- a\nb: 1",
        "]", "}", "a: @x", "a: `x", "%YAML 3.0\n", "a: *unknown", "a:\n\t- 1", "[a, b]]",
        "\"a\" b"}) {
    const auto value = from_yaml(text);
    ASSERT_FALSE(value) << text << " gave " << to_text(*value);
    EXPECT_EQ(value.error().fields.at(0).code, "invalid_yaml") << text;
    EXPECT_NE(value.error().message.find("line "), std::string::npos) << value.error().message;
  }
}

TEST(Yaml, RefusesBombs) {
  const auto code = [](const std::string& text) {
    const auto value = from_yaml(text);
    return value ? "" : value.error().fields.at(0).code;
  };
  // Each name nine times the one before.
  std::string laughs = "a: &a [x,x,x,x,x,x,x,x,x]\n";
  for (char c = 'b'; c < 'k'; ++c) {
    laughs += fmt::format("{0}: &{0} [*{1},*{1},*{1},*{1},*{1},*{1},*{1},*{1},*{1}]\n", c,
                          static_cast<char>(c - 1));
  }
  EXPECT_EQ(code(laughs), "invalid_yaml");
  EXPECT_EQ(code(std::string(33, '[') + std::string(33, ']')), "invalid_yaml");
  EXPECT_EQ(code(std::string(32, '[') + std::string(32, ']')), "");
  EXPECT_EQ(code(std::string(100'000, '[')), "invalid_yaml");
  std::string blocks;
  for (std::size_t i = 0; i < 400; ++i) blocks += std::string(i, ' ') + "a:\n";
  EXPECT_EQ(code(blocks), "invalid_yaml");
  std::string items;
  for (int i = 0; i < 10'000; ++i) items += "- 1\n";
  EXPECT_EQ(code(items), "invalid_yaml");
  std::string keys;
  for (int i = 0; i < 1001; ++i) keys += fmt::format("k{}: 1\n", i);
  EXPECT_EQ(code(keys), "invalid_yaml");
  EXPECT_EQ(code("a: " + std::string(70'000, 'x')), "invalid_yaml");
  EXPECT_EQ(code(std::string(70'000, 'x') + ": 1"), "invalid_yaml");
  EXPECT_EQ(code("a: " + std::string(60'000, '9')), "invalid_yaml");
  EXPECT_EQ(code("- \"" + std::string(2 * 1024 * 1024, 'x') + "\""), "invalid_yaml");
}

TEST(Yaml, WritesBlocks) {
  const auto value =
      parse(R"({"name":"web","empty":{},"none":[],"n":null,"on":true,"cpu":2.5,"words":
      ["a b","true","12","","no","line\nline","-x","x: y","/usr/bin","é"],
      "nodes":[{"name":"a","gpus":[0,[1]]},[],{"b":{"c":1}}]})");
  EXPECT_EQ(to_yaml(value.value()),
            "name: web\n"
            "empty: {}\n"
            "none: []\n"
            "\"n\": null\n"
            "\"on\": true\n"
            "cpu: 2.5\n"
            "words:\n"
            "  - \"a b\"\n"
            "  - \"true\"\n"
            "  - \"12\"\n"
            "  - \"\"\n"
            "  - \"no\"\n"
            "  - \"line\\nline\"\n"
            "  - \"-x\"\n"
            "  - \"x: y\"\n"
            "  - /usr/bin\n"
            "  - \"\xC3\xA9\"\n"
            "nodes:\n"
            "  - name: a\n"
            "    gpus:\n"
            "      - 0\n"
            "      - - 1\n"
            "  - []\n"
            "  - b:\n"
            "      c: 1\n");
  EXPECT_EQ(to_yaml(Value("x")), "x\n");
  EXPECT_EQ(to_text(from_yaml(to_yaml(*value)).value()), to_text(*value));
}

TEST(Yaml, UnusualCharactersSurvive) {
  for (const std::string_view text :
       {"\x7F", "\xEF\xBB\xBF", "\xC2\x85", "\xE2\x80\xA8", "\xF0\x9F\x98\x80", " lead", "trail ",
        "a\r\nb", "\x1B[0m", "# x", "\t", "'", "\\"}) {
    const Value value(text);
    const auto back = from_yaml(to_yaml(value));
    ASSERT_TRUE(back) << ::testing::PrintToString(text) << back.error().message;
    EXPECT_EQ(to_text(*back), to_text(value)) << ::testing::PrintToString(text);
  }
  EXPECT_EQ(outcome("\xEF\xBB\xBF"
                    "a: 1"),
            "invalid_yaml : Invalid YAML at line 1, column 1: this character is not accepted.");
}

// Any text at all, as key and as value.
RC_GTEST_PROP(Yaml, WhatIsWrittenIsReadBack, (const std::vector<std::string>& words)) {
  boost::json::object object;
  boost::json::array array;
  for (const std::string& word : words) {
    const std::string clean(parse(to_text(Value(word))).value().as_string());
    array.emplace_back(clean);
    object[clean] = clean;
  }
  const Value value(boost::json::array{Value(array), Value(object), Value(1), Value(nullptr)});
  const auto back = from_yaml(to_yaml(value));
  RC_ASSERT(back.has_value());
  RC_ASSERT(to_text(*back) == to_text(value));
}

RC_GTEST_PROP(Yaml, AnyTextGivesAnAnswer, (const std::vector<std::uint8_t>& bytes)) {
  constexpr std::string_view kAlphabet = "ab1 \n\n  -:,[]{}\"'|>&*!#%@`?~\\.\xC3\xA9\t";
  std::string text;
  for (const auto b : bytes) text += kAlphabet[b % kAlphabet.size()];
  if (const auto value = from_yaml(text)) {
    RC_ASSERT(to_text(from_yaml(to_yaml(*value)).value()) == to_text(*value));
  }
}

}  // namespace
}  // namespace berth::json
