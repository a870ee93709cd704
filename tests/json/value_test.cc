#include "json/value.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <bit>
#include <cmath>

#include "json/utf8.h"

namespace berth::json {
namespace {

using namespace std::string_literals;

// "code pointer" of the single refused field, or the value as compact text.
std::string outcome(std::string_view text) {
  const auto value = parse(text);
  if (value) return to_text(*value);
  if (value.error().fields.size() != 1) return "wrong number of fields";
  const FieldError& field = value.error().fields[0];
  return field.code + " " + field.pointer;
}

std::string repeat(std::string_view text, std::size_t n) {
  std::string out;
  for (std::size_t i = 0; i < n; ++i) out += text;
  return out;
}

TEST(Parse, AcceptsWhatTheStandardSays) {
  struct Case {
    std::string_view text, expected;
  };
  for (const auto& [text, expected] : std::initializer_list<Case>{
           {"null", "null"},
           {" \t\r\n true \n", "true"},
           {"false", "false"},
           {"0", "0"},
           {"-0", "0"},
           {"-12", "-12"},
           {"9223372036854775807", "9223372036854775807"},
           {"-9223372036854775808", "-9223372036854775808"},
           {"9223372036854775808", "9223372036854775808"},
           {"18446744073709551615", "18446744073709551615"},
           {"18446744073709551616", "18446744073709551616"},
           {"0.1", "0.1"},
           {"2.675", "2.675"},
           {"-1.5e3", "-1500"},
           {"123456789.123456", "123456789.123456"},
           {"1E+2", "100"},
           {"0.30000000000000004", "0.30000000000000004"},
           {"\"\"", "\"\""},
           {R"("a\"\\\/\b\f\n\r\t")", R"("a\"\\/\b\f\n\r\t")"},
           {R"("\u0041\u00e9\u20AC\uD83D\uDE00")", "\"A\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\""},
           {R"("\u0000\u001f")", R"("\u0000\u001f")"},
           {"\"\x7F\"", "\"\x7F\""},
           {"[]", "[]"},
           {"[1, [2], {}]", "[1,[2],{}]"},
           {R"({"b":1,"a":{"b":2}, "":3})", R"({"b":1,"a":{"b":2},"":3})"},
       }) {
    EXPECT_EQ(outcome(text), expected) << text;
  }
}

TEST(Parse, RefusesWhatIsNotJson) {
  const std::vector<std::string> malformed{
      // Nothing, or too little.
      "", " ", "\n", "n", "nul", "t", "tru", "f", "fals", "-", "\"", "\"a", "\"\\", "\"\\u",
      "\"\\u0", "\"\\u00", "\"\\u004", "[", "[1", "[1,", "{", "{\"a\"", "{\"a\":", "{\"a\":1",
      "{\"a\":1,", "1.", "1e", "1e+", "[[", "{\"a\":{",
      // Too much.
      "null null", "1 2", "[] []", "{}}", "[]]", "true,", "\"a\"b", "{} x", "1\0"s, "{}\0"s,
      "null\xEF\xBB\xBF",
      // Numbers.
      "+1", ".5", "-.5", "01", "-01", "00", "1.e3", "1.5.5", "0x10", "1e1.5", "1_000", "--1", "- 1",
      "NaN", "nan", "Infinity", "-Infinity", "inf", "1e5x", "0b1", "1,5", "٣",
      // Words.
      "True", "FALSE", "Null", "None", "nil", "undefined", "yes", "truefalse", "nulll",
      // Arrays.
      "[,]", "[1,]", "[,1]", "[1,,2]", "[1 2]", "[1;2]", "]", "[1}", "(1)", "[1:2]",
      "[\"a\" \"b\"]",
      // Objects.
      "{,}", "{\"a\":1,}", "{,\"a\":1}", "{\"a\" 1}", "{\"a\"::1}", "{\"a\":1 \"b\":2}", "{a:1}",
      "{'a':1}", "{1:1}", "{null:1}", "{\"a\":}", "{\"a\"}", "{:1}", "}", "{\"a\":1]", "{\"a\"=1}",
      "{\"a\":1,,\"b\":2}", "{[1]:1}", "{\"a\":1;}", "{{}}", "{[]}",
      // Strings.
      "'a'", "\"a\nb\"", "\"a\tb\"", "\"a\0b\""s, "\"\x01\"", "\"\x1F\"", "\"\\x41\"", "\"\\a\"",
      "\"\\'\"", "\"\\U0041\"", "\"\\u{41}\"", "\"\\u00G0\"", "\"\\u 041\"", "\"\\\n\"", "`a`",
      // Surrogates that are alone or the wrong way round.
      R"("\uD800")", R"("\uD83D")", R"("\uDE00")", R"("\uDFFF")", R"("\uD83Dx")", R"("\uD83D\n")",
      R"("\uD83D\u0041")", R"("\uD83D\uD83D")", R"("\uDE00\uD83D")", R"("\uD83D\u")",
      R"({"\uD800":1})",
      // Bytes that are not UTF-8: stray, cut, overlong, surrogate, too large.
      "\"\x80\"", "\"\xBF\"", "\"\xC3\"", "\"\xC3(\"", "\"\xC0\x80\"", "\"\xC1\xBF\"",
      "\"\xE2\x82\"", "\"\xE2(\xA1\"", "\"\xE0\x80\x80\"", "\"\xED\xA0\x80\"", "\"\xED\xBF\xBF\"",
      "\"\xF0\x9F\x98\"", "\"\xF0\x80\x80\x80\"", "\"\xF4\x90\x80\x80\"", "\"\xF5\x80\x80\x80\"",
      "\"\xFE\"", "\"\xFF\"", "{\"\xFF\":1}", "\xFF", "\xFE\xFFn", "\xEF\xBB\xBFnull",
      // Other blanks and comments.
      "\xC2\xA0null", "\fnull", "\vnull", "// a\n1", "/* a */ 1", "1 // a", "# a\n1", "[1/**/]",
      "<!-- -->",
      // Other languages.
      "<a/>", "a: 1", "- 1", "---", "%", "@", "\\u0041", "{\"a\":1}{\"b\":2}", "data: {}"};
  EXPECT_GE(malformed.size(), 150U);
  for (const std::string& text : malformed) {
    EXPECT_EQ(outcome(text), "invalid_json ") << ::testing::PrintToString(text);
  }
}

TEST(Parse, NamesLineAndColumn) {
  struct Case {
    std::string_view text, expected;
  };
  for (const auto& [text, expected] : std::initializer_list<Case>{
           {"", "Invalid JSON at line 1, column 1: the text ends too early."},
           {"{\"a\": 1,\n \"b\": x}", "Invalid JSON at line 2, column 7: this is not JSON."},
           {"[1]\n\n  2",
            "Invalid JSON at line 3, column 3: there is text after the end of the value."},
           {"\"\xC3\xA9\" x",
            "Invalid JSON at line 1, column 5: there is text after the end of the value."},
           {"[\n1,\n2", "Invalid JSON at line 3, column 2: the text ends too early."},
       }) {
    const auto value = parse(text);
    ASSERT_FALSE(value) << text;
    EXPECT_EQ(value.error().message, expected) << text;
    EXPECT_EQ(value.error().code, Code::invalid_argument);
  }
}

TEST(Parse, DuplicateKeysAreRefusedWithTheirPointer) {
  struct Case {
    std::string_view text, expected;
  };
  for (const auto& [text, expected] : std::initializer_list<Case>{
           {R"({"a":1,"a":1})", "duplicate_key /a"},
           {R"({"a":1,"b":2,"a":3})", "duplicate_key /a"},
           {R"({"a":1,"\u0061":2})", "duplicate_key /a"},
           {R"({"":1,"":2})", "duplicate_key /"},
           {R"({"x":{"y":[0,{"k":1,"k":2}]}})", "duplicate_key /x/y/1/k"},
           {R"({"x":{"k":1},"k":{"k":1,"z":0},"x":2})", "duplicate_key /x"},
           {R"([{"a/b~c":1,"a/b~c":2}])", "duplicate_key /0/a~1b~0c"},
           {R"({"a":{"a":{"a":1}},"b":[{"a":1},{"a":1}]})",
            R"({"a":{"a":{"a":1}},"b":[{"a":1},{"a":1}]})"},
           {R"({"a":1,"A":2})", R"({"a":1,"A":2})"},
       }) {
    EXPECT_EQ(outcome(text), expected) << text;
  }
  EXPECT_EQ(parse(R"({"x":{"k":1,"k":2}})").error().message, "\"x.k\" is given more than once.");
}

TEST(Parse, LimitsDepth) {
  EXPECT_EQ(outcome(repeat("[", 32) + repeat("]", 32)), repeat("[", 32) + repeat("]", 32));
  EXPECT_EQ(outcome(repeat("[", 33) + repeat("]", 33)), "invalid_json ");
  EXPECT_EQ(outcome(repeat("[", 100'000)), "invalid_json ");
  EXPECT_EQ(outcome(repeat("{\"a\":", 33)), "invalid_json ");
  EXPECT_EQ(outcome(repeat("[{\"a\":", 100'000)), "invalid_json ");
  EXPECT_THAT(parse(repeat("[", 100'000)).error().message, ::testing::HasSubstr("32 levels"));
}

TEST(Parse, LimitsSizes) {
  const auto object = [](std::size_t n) {
    std::string out = "{\"x\":{";
    for (std::size_t i = 0; i < n; ++i) out += fmt::format("{}\"k{}\":0", i == 0 ? "" : ",", i);
    return out + "}}";
  };
  EXPECT_EQ(outcome(object(1000)), object(1000));
  EXPECT_EQ(outcome(object(1001)), "too_many /x");
  EXPECT_EQ(outcome(object(1'000'000)), "too_many /x");

  const auto array = [](std::size_t n) { return "{\"a\":[0" + repeat(",0", n - 1) + "]}"; };
  EXPECT_EQ(outcome(array(10'000)), array(10'000));
  EXPECT_EQ(outcome(array(10'001)), "too_many /a");

  const auto string = [](std::size_t n) { return "[\"" + std::string(n, 'x') + "\"]"; };
  EXPECT_EQ(outcome(string(65'536)), string(65'536));
  EXPECT_EQ(outcome(string(65'537)), "too_long /0");
  EXPECT_EQ(outcome("[0,\"" + repeat("\\u0041", 65'537) + "\"]"), "too_long /1");

  EXPECT_EQ(outcome("{\"p\":{\"a\":1,\"" + std::string(1025, 'k') + "\":1}}"), "too_long /p");
}

TEST(Parse, LimitsNumbers) {
  EXPECT_EQ(outcome("{\"n\":" + std::string(1'000'000, '9') + "}"), "out_of_range /n");
  EXPECT_EQ(outcome("[0,-" + std::string(1'000'000, '1') + "]"), "out_of_range /1");
  EXPECT_EQ(outcome("0." + std::string(1'000'000, '0') + "1"), "out_of_range ");
  EXPECT_EQ(outcome("{\"n\":[1e400]}"), "out_of_range /n/0");
  EXPECT_EQ(outcome("-1e400"), "out_of_range ");
  EXPECT_EQ(outcome("1e99999999999999999999"), "out_of_range ");
  EXPECT_EQ(outcome("1.7976931348623157e308"), "1.7976931348623157e+308");
}

TEST(Parse, ManyObjectsWithManyKeysStayCheap) {
  std::string text = "[";
  for (int i = 0; i < 90; ++i) {
    text += i == 0 ? "{" : ",{";
    for (int k = 0; k < 1000; ++k) text += fmt::format("{}\"{}\":0", k == 0 ? "" : ",", k);
    text += "}";
  }
  text += "]";
  EXPECT_TRUE(parse(text));
}

RC_GTEST_PROP(Parse, EveryStringSurvives, (const std::string& bytes)) {
  // What is not UTF-8 is replaced when written; from then on the text is stable.
  std::string clean;
  for (std::string_view rest = bytes; !rest.empty();) {
    const std::size_t n = utf8_length(rest);
    clean += n == 0 ? "\xEF\xBF\xBD" : std::string(rest.substr(0, n));
    rest.remove_prefix(n == 0 ? 1 : n);
  }
  const auto value = parse(to_text(Value(bytes)));
  RC_ASSERT(value.has_value());
  RC_ASSERT(std::string(value->as_string()) == clean);
}

RC_GTEST_PROP(Parse, EveryFiniteDoubleSurvives, (std::uint64_t bits)) {
  const double number = std::bit_cast<double>(bits * 0x9E3779B97F4A7C15);  // spread out
  RC_PRE(std::isfinite(number));
  const auto value = parse(to_text(Value(number)));
  RC_ASSERT(value.has_value());
  RC_ASSERT(value->to_number<double>() == number);
}

RC_GTEST_PROP(Parse, AnyBytesGiveAnAnswer, (const std::vector<std::uint8_t>& bytes)) {
  // Drawn from the alphabet of JSON, so that the text gets somewhere.
  constexpr std::string_view kAlphabet = "{}[]:,\"\\u0123456789abcdefntrsul.eE+- \n\xC3\xA9\xFF";
  std::string text;
  for (const auto b : bytes) text += kAlphabet[b % kAlphabet.size()];
  const auto value = parse(text);
  if (value) {
    RC_ASSERT(to_text(parse(to_text(*value)).value()) == to_text(*value));
  } else {
    RC_ASSERT(value.error().fields.size() == 1U);
  }
}

TEST(Pretty, IndentsByTwo) {
  EXPECT_EQ(pretty(parse(R"({"a":[1,{"b":null}],"c":{},"d":[],"e":"x\n"})").value()), R"({
  "a": [
    1,
    {
      "b": null
    }
  ],
  "c": {},
  "d": [],
  "e": "x\n"
})");
  EXPECT_EQ(pretty(Value(1.5)), "1.5");
}

TEST(Utf8, KnowsWellFormedSequences) {
  EXPECT_EQ(utf8_length("a"), 1U);
  EXPECT_EQ(utf8_length("\xC2\x80"), 2U);
  EXPECT_EQ(utf8_length("\xE0\xA0\x80"), 3U);
  EXPECT_EQ(utf8_length("\xEE\x80\x80"), 3U);
  EXPECT_EQ(utf8_length("\xF4\x8F\xBF\xBF"), 4U);
  for (const std::string_view bad :
       {"\x80", "\xC1\x80", "\xE0\x9F\x80", "\xED\xA0\x80", "\xF0\x8F\x80\x80", "\xF4\x90\x80\x80",
        "\xC2", "\xE1\x80", "\xF1\x80\x80", "\xE1\x80G"}) {
    EXPECT_EQ(utf8_length(bad), 0U) << ::testing::PrintToString(bad);
  }
  EXPECT_EQ(utf8_length(""), 0U);
}

}  // namespace
}  // namespace berth::json
