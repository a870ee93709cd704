#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "core/deployment.h"
#include "json/describe.h"
#include "json/json.h"

namespace berth::json {

// The structs of this test: every kind of member once.
struct Limits {
  Cpu cpu{1000};
  Memory memory{1'073'741'824};
  Gpu gpu;
  Seconds timeout{60'000'000};
  std::chrono::seconds patience{5};
  friend bool operator==(const Limits&, const Limits&) = default;
};

struct Step {
  std::string name;
  std::optional<std::int32_t> retries;
  friend bool operator==(const Step&, const Step&) = default;
};

struct Order {
  std::string name;
  Priority priority = Priority::low;
  Kind kind = Kind::service;
  bool dry = false;
  std::int32_t count = 1;
  std::int64_t big = 0;
  std::uint16_t port = 8080;
  std::uint64_t mask = 0;
  double weight = 1;
  Limits limits;
  std::vector<std::string> command;
  std::vector<Step> steps;
  std::map<std::string, std::string> labels;
  std::map<std::string, std::int64_t> counts;
  std::optional<Timestamp> at;
  std::optional<ClusterId> cluster;
  std::optional<std::optional<std::string>> note;
  std::vector<std::optional<std::int64_t>> gaps;
  RawJson extra;
  std::string created_by;
  friend bool operator==(const Order&, const Order&) = default;
};

inline bool slug(std::string_view text) {
  return text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string_view::npos;
}

// What a later version of a server might answer.
struct Reply {
  std::int64_t version = 0;
  std::string owner;
  std::optional<std::string> note;
  Limits limits;
  friend bool operator==(const Reply&, const Reply&) = default;
};

struct Wide {
  bool a = false, b = true;
};

template <>
struct Schema<Limits> {
  static constexpr std::string_view name = "Limits";
  static constexpr std::string_view doc = "What it may use.";
  static constexpr auto fields = std::tuple{
      field("cpu", &Limits::cpu, {.doc = "Cores.", .min = 100, .max = 64'000}),
      field("memory", &Limits::memory, {.doc = "Bytes.", .example = "\"2GiB\"", .min = 1024}),
      field("gpu", &Limits::gpu, {.doc = "Devices.", .max = 8000}),
      field("timeout", &Limits::timeout, {.doc = "Seconds.", .max = 3'600'000'000}),
      field("patience", &Limits::patience, {.max = 60})};
};

template <>
struct Schema<Step> {
  static constexpr std::string_view name = "Step";
  static constexpr std::string_view doc = "";
  static constexpr auto fields =
      std::tuple{field("name", &Step::name, {.min_len = 1, .required = true}),
                 field("retries", &Step::retries, {.min = 0, .max = 10})};
};

template <>
struct Schema<Order> {
  static constexpr std::string_view name = "Order";
  static constexpr std::string_view doc = "Something to run.";
  static constexpr auto fields =
      std::tuple{field("name", &Order::name,
                       {.doc = "Its name.",
                        .example = "\"web-1\"",
                        .min_len = 2,
                        .max_len = 20,
                        .pattern = "^[a-z0-9-]*$",
                        .check = slug,
                        .expected = "lower-case letters, digits and hyphens",
                        .required = true}),
                 field("priority", &Order::priority),
                 field("kind", &Order::kind),
                 field("dry", &Order::dry),
                 field("count", &Order::count, {.min = 1, .max = 5}),
                 field("big", &Order::big),
                 field("port", &Order::port, {.min = 1}),
                 field("mask", &Order::mask),
                 field("weight", &Order::weight, {.min = 0, .max = 10}),
                 field("limits", &Order::limits),
                 field("command", &Order::command,
                       {.min_len = 0, .max_len = 3, .item_min_len = 1, .item_max_len = 8}),
                 field("steps", &Order::steps, {.max_len = 3}),
                 field("labels", &Order::labels,
                       {.max_len = 2,
                        .key_check = slug,
                        .key_pattern = "^[a-z0-9-]*$",
                        .key_expected = "lower-case letters, digits and hyphens",
                        .item_max_len = 5}),
                 field("counts", &Order::counts, {.min = 0}),
                 field("at", &Order::at),
                 field("cluster", &Order::cluster),
                 field("note", &Order::note, {.max_len = 10}),
                 field("gaps", &Order::gaps),
                 field("extra", &Order::extra),
                 field("created_by", &Order::created_by, {.read_only = true})};
};

template <>
struct Schema<Reply> {
  static constexpr std::string_view name = "Reply";
  static constexpr std::string_view doc = "An answer.";
  static constexpr Use use = Use::response;
  static constexpr auto fields =
      std::tuple{field("version", &Reply::version, {.doc = "Counts changes."}),
                 field("owner", &Reply::owner, {.read_only = true, .format = "email"}),
                 field("note", &Reply::note), field("limits", &Reply::limits)};
};

template <>
struct Schema<Wide> {
  static constexpr std::string_view name = "Wide";
  static constexpr std::string_view doc = "";
  static constexpr auto fields = std::tuple{field("a", &Wide::a, {.required = true}),
                                            field("b", &Wide::b, {.required = true})};
};

namespace {

// "code pointer" of every refused field, one after another; "ok" when there is none.
template <class T>
std::string refusals(std::string_view text) {
  const auto value = read_text<T>(text);
  if (value) return "ok";
  std::string out;
  for (const FieldError& field : value.error().fields) {
    out += fmt::format("{}{} {}", out.empty() ? "" : ", ", field.code, field.pointer);
  }
  return out;
}

template <class T>
std::string message(std::string_view text) {
  const auto value = read_text<T>(text);
  return value ? "ok" : value.error().message;
}

struct Case {
  std::string_view text, expected;
};

TEST(Read, RefusesEachWrongFieldByCodeAndPointer) {
  for (const auto& [body, expected] : std::initializer_list<Case>{
           {R"()", "ok"},
           // The shape of the document.
           {R"("nmae":1)", "unknown_field /nmae"},
           {R"("a/b~c":1)", "unknown_field /a~1b~0c"},
           {R"("created_by":"me")", "unknown_field /created_by"},
           {R"("Count":1)", "unknown_field /Count"},
           {R"("count":1,"count":1)", "duplicate_key /count"},
           {R"("limits":{"cpu":1,"cpu":1})", "duplicate_key /limits/cpu"},
           // Types.
           {R"("priority":1)", "wrong_type /priority"},
           {R"("dry":"true")", "wrong_type /dry"},
           {R"("dry":1)", "wrong_type /dry"},
           {R"("dry":null)", "wrong_type /dry"},
           {R"("count":"1")", "wrong_type /count"},
           {R"("count":1.5)", "wrong_type /count"},
           {R"("count":true)", "wrong_type /count"},
           {R"("count":1.0)", "ok"},
           {R"("weight":"1")", "wrong_type /weight"},
           {R"("limits":[])", "wrong_type /limits"},
           {R"("limits":"")", "wrong_type /limits"},
           {R"("command":"ls")", "wrong_type /command"},
           {R"("command":{})", "wrong_type /command"},
           {R"("command":["a",1])", "wrong_type /command/1"},
           {R"("steps":[{"name":"a"},7])", "wrong_type /steps/1"},
           {R"("labels":[])", "wrong_type /labels"},
           {R"("labels":{"a":1})", "wrong_type /labels/a"},
           {R"("at":0)", "wrong_type /at"},
           {R"("at":null)", "wrong_type /at"},
           {R"("cluster":0)", "wrong_type /cluster"},
           {R"("note":null)", "ok"},
           {R"("gaps":[1,null,3])", "ok"},
           {R"("gaps":[1,"x"])", "wrong_type /gaps/1"},
           {R"("extra":{"any":["thing",null,1.5]})", "ok"},
           // Ranges.
           {R"("count":0)", "out_of_range /count"},
           {R"("count":6)", "out_of_range /count"},
           {R"("count":-9223372036854775808)", "out_of_range /count"},
           {R"("count":18446744073709551615)", "out_of_range /count"},
           {R"("count":1e30)", "out_of_range /count"},
           {R"("big":9223372036854775807)", "ok"},
           {R"("big":9223372036854775808)", "out_of_range /big"},
           {R"("big":1e19)", "out_of_range /big"},
           {R"("port":0)", "out_of_range /port"},
           {R"("port":65536)", "out_of_range /port"},
           {R"("port":65535)", "ok"},
           {R"("mask":18446744073709551615)", "ok"},
           {R"("mask":18446744073709551616)", "out_of_range /mask"},
           {R"("mask":-1)", "out_of_range /mask"},
           {R"("weight":-0.1)", "out_of_range /weight"},
           {R"("weight":10.5)", "out_of_range /weight"},
           {R"("weight":1e999)", "out_of_range /weight"},
           {R"("counts":{"a":-1})", "out_of_range /counts/a"},
           {R"("steps":[{"name":"a","retries":11}])", "out_of_range /steps/0/retries"},
           // Lengths.
           {R"("command":["a","b","c","d"])", "too_many /command"},
           {R"("command":["a",""])", "too_short /command/1"},
           {R"("command":["123456789"])", "too_long /command/0"},
           {R"("steps":[{"name":""}])", "too_short /steps/0/name"},
           {R"("steps":[{}])", "required /steps/0/name"},
           {R"("labels":{"a":"","b":"","c":""})", "too_many /labels"},
           {R"("labels":{"a":"123456"})", "too_long /labels/a"},
           {R"("note":"12345678901")", "too_long /note"},
           // Forms.
           {R"("labels":{"A":"x"})", "invalid_format /labels/A"},
           {R"("labels":{"a\u0000":"x"})", R"(invalid_format /labels/a\0)"},
           {R"("labels":{"a":"\u0000"})", "invalid_format /labels/a"},
           {R"("at":"yesterday")", "invalid_format /at"},
           {R"("at":"2026-02-30T00:00:00Z")", "invalid_format /at"},
           {R"("at":"2026-02-03T00:00:00Z")", "ok"},
           {R"("cluster":"dep_00000000000000000000000000")", "invalid_format /cluster"},
           {R"("cluster":"clu_00000000000000000000000000")", "ok"},
           {R"("priority":"HIGH")", "ok"},
           {R"("priority":"highest")", "not_a_choice /priority"},
           {R"("kind":"Job")", "not_a_choice /kind"},
           {R"("kind":"job")", "ok"},
           // Quantities.
           {R"("limits":{"cpu":0})", "out_of_range /limits/cpu"},
           {R"("limits":{"cpu":-1})", "out_of_range /limits/cpu"},
           {R"("limits":{"cpu":-0.5})", "out_of_range /limits/cpu"},
           {R"("limits":{"cpu":64.001})", "out_of_range /limits/cpu"},
           {R"("limits":{"cpu":"65"})", "out_of_range /limits/cpu"},
           {R"("limits":{"cpu":2.0005})", "invalid_format /limits/cpu"},
           {R"("limits":{"cpu":0.00001})", "invalid_format /limits/cpu"},
           {R"("limits":{"cpu":1e13})", "out_of_range /limits/cpu"},
           {R"("limits":{"cpu":1e300})", "out_of_range /limits/cpu"},
           {R"("limits":{"cpu":"2 cores"})", "invalid_format /limits/cpu"},
           {R"("limits":{"cpu":"-1"})", "invalid_format /limits/cpu"},
           {R"("limits":{"cpu":[]})", "wrong_type /limits/cpu"},
           {R"("limits":{"cpu":null})", "wrong_type /limits/cpu"},
           {R"("limits":{"memory":1000})", "out_of_range /limits/memory"},
           {R"("limits":{"memory":2048.5})", "invalid_format /limits/memory"},
           {R"("limits":{"memory":18446744073709551615})", "out_of_range /limits/memory"},
           {R"("limits":{"memory":"16gib"})", "invalid_format /limits/memory"},
           {R"("limits":{"gpu":1.5})", "invalid_format /limits/gpu"},
           {R"("limits":{"gpu":"1.5"})", "invalid_format /limits/gpu"},
           {R"("limits":{"gpu":9})", "out_of_range /limits/gpu"},
           {R"("limits":{"timeout":3600.000001})", "out_of_range /limits/timeout"},
           {R"("limits":{"timeout":0.0000001})", "invalid_format /limits/timeout"},
           {R"("limits":{"timeout":"90"})", "invalid_format /limits/timeout"},
           {R"("limits":{"timeout":"2h"})", "out_of_range /limits/timeout"},
           {R"("limits":{"patience":0.5})", "invalid_format /limits/patience"},
           {R"("limits":{"patience":"500ms"})", "invalid_format /limits/patience"},
           {R"("limits":{"patience":"1m"})", "ok"},
           {R"("limits":{"patience":61})", "out_of_range /limits/patience"},
       }) {
    std::string text = R"({"name":"web")";
    if (!body.empty()) text += ',';
    text += body;
    text += '}';
    std::string wanted(expected);
    if (const auto at = wanted.find("\\0"); at != std::string::npos) wanted.replace(at, 2, 1, '\0');
    EXPECT_EQ(refusals<Order>(text), wanted) << text;
  }
  for (const auto& [text, expected] : std::initializer_list<Case>{
           {"{}", "required /name"},
           {R"({"name":7})", "wrong_type /name"},
           {R"({"name":null})", "wrong_type /name"},
           {R"({"name":"a"})", "too_short /name"},
           {R"({"name":"aaaaaaaaaaaaaaaaaaaaa"})", "too_long /name"},
           {R"({"name":"Web"})", "invalid_format /name"},
           {"[]", "wrong_type "},
           {"null", "wrong_type "},
           {"\"name\"", "wrong_type "},
           {"{", "invalid_json "},
       }) {
    EXPECT_EQ(refusals<Order>(text), expected) << text;
  }
}

TEST(Read, ReportsEverythingAtOnce) {
  EXPECT_EQ(refusals<Order>(
                R"({"count":9,"x":1,"limits":{"cpu":"a","y":2},"steps":[{"name":""},{}],"dry":0})"),
            "out_of_range /count, unknown_field /x, invalid_format /limits/cpu, "
            "unknown_field /limits/y, too_short /steps/0/name, required /steps/1/name, "
            "wrong_type /dry, required /name");
  EXPECT_EQ(refusals<Wide>("{}"), "required /a, required /b");
  EXPECT_EQ(message<Wide>("{}"), "2 fields are not valid. The first: \"a\" is required.");
  EXPECT_EQ(message<Wide>("7"), "The document must be an object, not a number.");

  std::string many = "{";
  for (int i = 0; i < 500; ++i) many += fmt::format("{}\"u{}\":1", i == 0 ? "" : ",", i);
  EXPECT_EQ(read_text<Order>(many + "}").error().fields.size(), 64U);
}

TEST(Read, MessagesSayWhatWouldBeAccepted) {
  const auto of = [](std::string_view body) {
    return message<Order>(fmt::format(R"({{"name":"web",{}}})", body));
  };
  EXPECT_EQ(of(R"("prioritty":"low")"),
            R"("prioritty" is not a known field; did you mean "priority"?)");
  EXPECT_EQ(of(R"("Limits":{})"), R"("Limits" is not a known field; did you mean "limits"?)");
  EXPECT_EQ(of(R"("limits":{"mmeory":1})"),
            R"("limits.mmeory" is not a known field; did you mean "memory"?)");
  EXPECT_EQ(
      of(R"("limits":{"disk":1})"),
      R"("limits.disk" is not a known field; known are: cpu, memory, gpu, timeout, patience.)");
  EXPECT_EQ(of(R"("created_by":"x")"), R"("created_by" is set by Berth and cannot be given.)");
  EXPECT_EQ(of(R"("kind":"jobs")"), R"("kind" must be one of: service, job. Did you mean "job"?)");
  EXPECT_EQ(of(R"("kind":"x")"), R"("kind" must be one of: service, job.)");
  EXPECT_EQ(of(R"("count":9)"), R"("count" must be between 1 and 5.)");
  EXPECT_EQ(of(R"("counts":{"a":-1})"), R"("counts.a" must be at least 0.)");
  EXPECT_EQ(of(R"("limits":{"cpu":0.05})"), R"("limits.cpu" must be between 0.1 and 64.)");
  EXPECT_EQ(of(R"("limits":{"timeout":"2h"})"), R"("limits.timeout" must be between 0 and 3600.)");
  EXPECT_EQ(of(R"("dry":null)"),
            R"("dry" must be true or false, not null. Leave a field out to leave it unset.)");
  EXPECT_EQ(
      of(R"("labels":{"A":""})"),
      R"("labels.A" is not an accepted name; it must be lower-case letters, digits and hyphens.)");
  EXPECT_EQ(message<Order>(R"({"name":"Web"})"),
            R"("name" must be lower-case letters, digits and hyphens.)");
  EXPECT_EQ(
      message<Order>(fmt::format(R"({{"name":"web","{}":1}})", std::string(1000, 'x'))).size(),
      63U + message<Order>(R"({"name":"web","":1})").size());
  const auto value = read_text<Order>("{}");
  EXPECT_EQ(value.error().code, Code::invalid_argument);
  EXPECT_EQ(value.error().reason, "invalid_request");
}

TEST(Read, FillsEveryMember) {
  const auto order = read_text<Order>(R"({"name":"web-1","priority":"High","kind":"job","dry":true,
      "count":5,"big":-9223372036854775808,"port":65535,"mask":18446744073709551615,"weight":0.5,
      "limits":{"cpu":"500m","memory":"16GiB","gpu":0.25,"timeout":"250ms","patience":"1m"},
      "command":["a","b"],"steps":[{"name":"s","retries":0},{"name":"t"}],
      "labels":{"k":"v"},"counts":{"":1,"b":2},"at":"2023-11-14T22:13:20.000001Z",
      "cluster":"clu_00000000000000000000000001","note":"n","gaps":[1,null],
      "extra":{"b":[1, 2.50 ,"x"]}})");
  ASSERT_TRUE(order) << order.error().message;
  IdBytes one{};
  one[15] = 1;
  const Order expected{
      .name = "web-1",
      .priority = Priority::high,
      .kind = Kind::job,
      .dry = true,
      .count = 5,
      .big = INT64_MIN,
      .port = 65535,
      .mask = UINT64_MAX,
      .weight = 0.5,
      .limits = {{500}, {17'179'869'184}, {250}, {250'000}, std::chrono::seconds(60)},
      .command = {"a", "b"},
      .steps = {{"s", 0}, {"t", std::nullopt}},
      .labels = {{"k", "v"}},
      .counts = {{"", 1}, {"b", 2}},
      .at = Timestamp{1'700'000'000'000'001},
      .cluster = ClusterId(one),
      .note = "n",
      .gaps = {1, std::nullopt},
      .extra = {R"({"b":[1,2.5,"x"]})"},
      .created_by = ""};
  EXPECT_EQ(*order, expected);
}

TEST(Read, AbsentFieldsKeepTheirInitialValue) {
  const auto order = read_text<Order>(R"({"name":"web","limits":{"gpu":1}})");
  ASSERT_TRUE(order);
  Order expected;
  expected.name = "web";
  expected.limits.gpu.milli = 1000;
  EXPECT_EQ(*order, expected);
}

TEST(Read, NullIsToldFromAbsentWhereTheValueIsOptional) {
  EXPECT_EQ(read_text<Order>(R"({"name":"web"})")->note, std::nullopt);
  const auto cleared = read_text<Order>(R"({"name":"web","note":null})");
  ASSERT_TRUE(cleared->note.has_value());
  EXPECT_FALSE(cleared->note->has_value());
}

TEST(Read, ClientsIgnoreWhatTheyDoNotKnow) {
  const std::string_view text =
      R"({"version":3,"owner":"a@example.com","new":{"x":1},"limits":{"cpu":2,"disk":1}})";
  EXPECT_EQ(refusals<Reply>(text),
            "unknown_field /owner, unknown_field /new, unknown_field /limits/disk");
  const auto reply = read_text<Reply>(text, Unknown::ignore);
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->version, 3);
  EXPECT_EQ(reply->owner, "a@example.com");
  EXPECT_EQ(reply->limits.cpu.milli, 2000);
  EXPECT_FALSE(read_text<Reply>(R"({"version":"3"})", Unknown::ignore));
}

TEST(Quantities, AreExact) {
  struct Row {
    std::string_view json;
    std::int64_t milli;  // -1: refused
  };
  for (const auto& [json, milli] :
       std::initializer_list<Row>{{"0", 0},
                                  {"2.5", 2500},
                                  {"0.001", 1},
                                  {"0.29", 290},
                                  {"1.005", 1005},
                                  {"4.35", 4350},
                                  {"2.0", 2000},
                                  {"1e3", 1'000'000},
                                  {"123456789.123", 123'456'789'123},
                                  {"0.0005", -1},
                                  {"1.0001", -1},
                                  {"0.1000000001", -1},
                                  {"-1", -1},
                                  {"-0.001", -1},
                                  {"1000000000000", 1'000'000'000'000'000},
                                  {"1000000000001", -1},
                                  {"\"0.29\"", 290},
                                  {"\"290m\"", 290},
                                  {"\"1e3\"", -1},
                                  {"\"\"", -1},
                                  {"\"9000000000000\"", -1},
                                  {"true", -1}}) {
    EXPECT_EQ(read_text<Cpu>(json).value_or(Cpu{-1}).milli, milli) << json;
  }
  EXPECT_EQ(read_text<Memory>("1.5e9")->bytes, 1'500'000'000);
  EXPECT_EQ(read_text<Memory>("9223372036854775807")->bytes, INT64_MAX);
  EXPECT_EQ(read_text<Seconds>("0.1")->micros, 100'000);
  EXPECT_EQ(read_text<Seconds>("\"1.5h\"")->micros, 5'400'000'000);
  EXPECT_EQ(read_text<std::chrono::milliseconds>("0.25")->count(), 250);
  EXPECT_EQ(read_text<std::chrono::milliseconds>("\"2m\"")->count(), 120'000);
}

RC_GTEST_PROP(Quantities, EveryThousandthSurvives, ()) {
  const auto milli = *rc::gen::inRange<std::int64_t>(0, 1'000'000'000'000);
  const std::string text = to_text(Cpu{milli});
  RC_ASSERT(read_text<Cpu>(text).value() == Cpu{milli});
  RC_ASSERT(read_text<Cpu>("\"" + text + "\"").value() == Cpu{milli});
  const auto micros = *rc::gen::inRange<std::int64_t>(0, 4'000'000'000'000'000);
  RC_ASSERT(read_text<Seconds>(to_text(Seconds{micros})).value() == Seconds{micros});
  RC_ASSERT(parse_duration(duration_text(micros)).value() == micros);
}

TEST(Quantities, Durations) {
  struct Row {
    std::string_view text;
    std::int64_t micros;  // -1: refused
  };
  for (const auto& [text, micros] :
       std::initializer_list<Row>{{"90s", 90'000'000},
                                  {"5m", 300'000'000},
                                  {"250ms", 250'000},
                                  {"2h", 7'200'000'000},
                                  {"1d", 86'400'000'000},
                                  {"7us", 7},
                                  {"0s", 0},
                                  {"1.5s", 1'500'000},
                                  {"0.000001s", 1},
                                  {"0.0000001s", -1},
                                  {"", -1},
                                  {"s", -1},
                                  {"5", -1},
                                  {"-5s", -1},
                                  {"+5s", -1},
                                  {"5 s", -1},
                                  {"5S", -1},
                                  {"1h30m", -1},
                                  {".5s", -1},
                                  {"5.s", -1},
                                  {"1.2.3s", -1},
                                  {"1e3s", -1},
                                  {"99999999999999999999999s", -1},
                                  {"1000000000000s", 1'000'000'000'000'000'000},
                                  {"1000000000001s", -1},
                                  {"5min", -1}}) {
    EXPECT_EQ(parse_duration(text).value_or(-1), micros) << text;
  }
  EXPECT_EQ(duration_text(90'000'000), "90s");
  EXPECT_EQ(duration_text(300'000'000), "5m");
  EXPECT_EQ(duration_text(1'500'000), "1500ms");
  EXPECT_EQ(duration_text(0), "0s");
  EXPECT_EQ(duration_text(86'400'000'000), "1d");
}

TEST(Write, IsCompactAndLeavesEmptyOptionalsOut) {
  Order order;
  order.name = "we\"b\n\x01";
  order.limits = {{2500}, {1024}, {250}, {1'500'000}, std::chrono::seconds(7)};
  order.steps = {{"s", 2}};
  order.labels = {{"a\\", "\xC3\xA9\xFF"}};
  order.gaps = {std::nullopt, 1};
  order.extra.text = R"({"x":[1]})";
  order.weight = 0.1;
  EXPECT_EQ(
      to_text(order),
      R"({"name":"we\"b\n\u0001","priority":"low","kind":"service","dry":false,"count":1,)"
      R"("big":0,"port":8080,"mask":0,"weight":0.1,"limits":{"cpu":2.5,"memory":1024,)"
      R"("gpu":0.25,"timeout":1.5,"patience":7},"command":[],"steps":[{"name":"s","retries":2}],)"
      "\"labels\":{\"a\\\\\":\"\xC3\xA9\xEF\xBF\xBD\"},"
      R"("counts":{},"gaps":[null,1],"extra":{"x":[1]},"created_by":""})");
  order.note = std::optional<std::string>();
  EXPECT_THAT(to_text(order), ::testing::HasSubstr(R"("note":null)"));
  EXPECT_EQ(to_text(std::vector<Priority>{Priority::high, Priority::low}), R"(["high","low"])");
  EXPECT_EQ(to_text(std::map<std::string, bool>{{"a", true}}), R"({"a":true})");
  EXPECT_EQ(to_text(Timestamp{1'700'000'000'000'000}), "\"2023-11-14T22:13:20.000000Z\"");
  EXPECT_EQ(to_text(std::numeric_limits<double>::infinity()), "null");
}

TEST(Write, EscapesAtEveryOffset) {
  for (std::size_t n = 0; n < 40; ++n) {
    for (std::size_t at = 0; at < n; ++at) {
      for (const auto& [raw, escaped] : {std::pair{'"', "\\\""}, std::pair{'\\', "\\\\"},
                                         std::pair{'\n', "\\n"}, std::pair{'\0', "\\u0000"}}) {
        std::string text(n, 'x');
        text[at] = raw;
        const std::string expected =
            "\"" + std::string(at, 'x') + escaped + std::string(n - at - 1, 'x') + "\"";
        ASSERT_EQ(to_text(text), expected);
      }
    }
  }
}

// What is written reads back as the same struct.
RC_GTEST_PROP(RoundTrip, Nested, ()) {
  const auto letters = [](std::size_t most) {
    const auto raw = *rc::gen::container<std::string>(rc::gen::inRange<char>(1, 127));
    return raw.substr(0, most);
  };
  const auto slug_text = [] {
    return *rc::gen::container<std::string>(rc::gen::elementOf(std::string("abcxyz019-")));
  };
  Order order;
  order.name = ("ab" + slug_text()).substr(0, 20);
  order.priority = *rc::gen::element(Priority::high, Priority::low);
  order.kind = *rc::gen::element(Kind::service, Kind::job);
  order.dry = *rc::gen::arbitrary<bool>();
  order.count = *rc::gen::inRange(1, 6);
  order.big = *rc::gen::arbitrary<std::int64_t>();
  order.port = *rc::gen::inRange<std::uint16_t>(1, 65535);
  order.mask = *rc::gen::arbitrary<std::uint64_t>() * 0x9E3779B97F4A7C15;
  order.weight = *rc::gen::inRange(0, 1'000'000) / 100'007.0;
  order.limits = {{*rc::gen::inRange(100, 64'001)},
                  {*rc::gen::inRange<std::int64_t>(1024, INT64_MAX)},
                  {*rc::gen::inRange(0, 1001)},
                  {*rc::gen::inRange<std::int64_t>(0, 3'600'000'001)},
                  std::chrono::seconds(*rc::gen::inRange(0, 61))};
  for (int i = *rc::gen::inRange(0, 4); i > 0; --i) order.command.push_back("c" + letters(7));
  for (int i = *rc::gen::inRange(0, 4); i > 0; --i) {
    order.steps.push_back({"s" + letters(100), std::nullopt});
    if (*rc::gen::arbitrary<bool>()) order.steps.back().retries = *rc::gen::inRange(0, 11);
  }
  for (int i = *rc::gen::inRange(0, 3); i > 0; --i) order.labels[slug_text()] = letters(5);
  for (int i = *rc::gen::inRange(0, 5); i > 0; --i) {
    order.counts[letters(50)] = *rc::gen::inRange<std::int64_t>(0, INT64_MAX);
  }
  if (*rc::gen::arbitrary<bool>()) {
    order.at = Timestamp{*rc::gen::inRange<std::int64_t>(0, 250'000'000'000'000'000)};
  }
  if (*rc::gen::arbitrary<bool>()) {
    IdBytes bytes{};
    for (auto& b : bytes) b = *rc::gen::arbitrary<std::uint8_t>();
    order.cluster = ClusterId(bytes);
  }
  if (*rc::gen::arbitrary<bool>()) {
    order.note.emplace();
    if (*rc::gen::arbitrary<bool>()) order.note->emplace(letters(10));
  }
  for (int i = *rc::gen::inRange(0, 5); i > 0; --i) {
    order.gaps.push_back(std::nullopt);
    if (*rc::gen::arbitrary<bool>()) order.gaps.back() = *rc::gen::arbitrary<std::int64_t>();
  }
  order.created_by = letters(30);

  const std::string text = to_text(order);
  const auto back = read_text<Order>(text, Unknown::ignore);
  RC_ASSERT(back.has_value());
  RC_ASSERT(*back == order);
  RC_ASSERT(to_text(*back) == text);
}

TEST(Describe, Golden) {
  SchemaSet set;
  EXPECT_EQ(to_text(schema_ref<Order>(set)), R"({"$ref":"#/components/schemas/Order"})");
  const Value all = set.components();
  EXPECT_EQ(all.as_object().size(), 3U);
  EXPECT_EQ(
      to_text(all.at("Limits")),
      R"json({"type":"object","description":"What it may use.","properties":{)json"
      R"json("cpu":{"type":["number","string"],"pattern":"^([0-9]+(\\.[0-9]{1,3}0*)?|[0-9]+m)$",)json"
      R"json("minimum":0.1,"maximum":64,"examples":[0.5,"500m"],"description":"Cores.","default":1},)json"
      R"json("memory":{"type":["number","string"],"pattern":"^[0-9]+(\\.[0-9]+)?([KMGT]iB?|[kMGT]B?|B)?$",)json"
      R"json("minimum":1024,"examples":["2GiB"],"description":"Bytes.","default":1073741824},)json"
      R"json("gpu":{"type":["number","string"],"pattern":"^[0-9]+(\\.[0-9]{1,3}0*)?$",)json"
      R"json("minimum":0,"maximum":8,"examples":[0.25,"0.25"],"description":"Devices.","default":0},)json"
      R"json("timeout":{"type":["number","string"],"pattern":"^[0-9]+(\\.[0-9]+)?(us|ms|s|m|h|d)$",)json"
      R"json("minimum":0,"maximum":3600,"examples":[90,"90s"],"description":"Seconds.","default":60},)json"
      R"json("patience":{"type":["number","string"],"pattern":"^[0-9]+(\\.[0-9]+)?(us|ms|s|m|h|d)$",)json"
      R"json("minimum":0,"maximum":60,"default":5}},"additionalProperties":false})json");
  EXPECT_EQ(
      to_text(all.at("Order")),
      R"({"type":"object","description":"Something to run.","properties":{)"
      R"("name":{"type":"string","minLength":2,"maxLength":20,"pattern":"^[a-z0-9-]*$",)"
      R"("description":"Its name.","examples":["web-1"]},)"
      R"("priority":{"type":"string","enum":["high","low"],"default":"low"},)"
      R"("kind":{"type":"string","enum":["service","job"],"default":"service"},)"
      R"("dry":{"type":"boolean","default":false},)"
      R"("count":{"type":"integer","format":"int32","minimum":1,"maximum":5,"default":1},)"
      R"("big":{"type":"integer","format":"int64","default":0},)"
      R"("port":{"type":"integer","format":"int32","minimum":1,"maximum":65535,"default":8080},)"
      R"("mask":{"type":"integer","format":"int64","minimum":0,"default":0},)"
      R"("weight":{"type":"number","format":"double","minimum":0,"maximum":10,"default":1},)"
      R"("limits":{"$ref":"#/components/schemas/Limits"},)"
      R"("command":{"type":"array","items":{"type":"string","minLength":1,"maxLength":8},)"
      R"("maxItems":3,"default":[]},)"
      R"("steps":{"type":"array","items":{"$ref":"#/components/schemas/Step"},"maxItems":3,"default":[]},)"
      R"("labels":{"type":"object","additionalProperties":{"type":"string","maxLength":5},)"
      R"("propertyNames":{"pattern":"^[a-z0-9-]*$"},"maxProperties":2,"default":{}},)"
      R"("counts":{"type":"object","additionalProperties":{"type":"integer","format":"int64",)"
      R"("minimum":0},"default":{}},)"
      R"("at":{"type":"string","format":"date-time","examples":["2026-01-02T03:04:05.678901Z"]},)"
      R"("cluster":{"type":"string","pattern":"^clu_[0-9a-hjkmnp-tv-z]{26}$",)"
      R"("examples":["clu_01jd4qz3kfe8mv0c9x7r2t5w6y"]},)"
      R"("note":{"anyOf":[{"type":"string","maxLength":10},{"type":"null"}]},)"
      R"("gaps":{"type":"array","items":{"anyOf":[{"type":"integer","format":"int64"},{"type":"null"}]},)"
      R"("default":[]},"extra":{"default":null},"created_by":{"type":"string","readOnly":true}},)"
      R"("required":["name"],"additionalProperties":false})");
  EXPECT_EQ(to_text(all.at("Step")),
            R"({"type":"object","properties":{"name":{"type":"string","minLength":1},)"
            R"("retries":{"type":"integer","format":"int32","minimum":0,"maximum":10}},)"
            R"("required":["name"],"additionalProperties":false})");
}

TEST(Describe, ResponsesAreOpenAndListWhatIsAlwaysThere) {
  SchemaSet set;
  describe<Reply>(set);
  const Value all = set.components();
  EXPECT_EQ(
      to_text(all.at("Reply")),
      R"({"type":"object","description":"An answer.","properties":{)"
      R"("version":{"type":"integer","format":"int64","description":"Counts changes."},)"
      R"("owner":{"type":"string","format":"email","readOnly":true},"note":{"type":"string"},)"
      R"("limits":{"$ref":"#/components/schemas/Limits"}},)"
      R"("required":["version","owner","limits"]})");
  EXPECT_EQ(
      to_text(all.at("Limits").at("properties").at("gpu")),
      R"({"type":"number","minimum":0,"maximum":8,"examples":[0.25],"description":"Devices."})");
  EXPECT_FALSE(all.at("Limits").as_object().contains("additionalProperties"));
}

TEST(Describe, WhatARequestContainsIsClosedWhicheverComesFirst) {
  SchemaSet first, second;
  describe<Reply>(first);
  describe<Order>(first);
  describe<Order>(second);
  describe<Reply>(second);
  EXPECT_EQ(to_text(first.components()), to_text(second.components()));
  EXPECT_EQ(to_text(first.components().at("Limits").at("additionalProperties")), "false");
  EXPECT_FALSE(first.components().at("Reply").as_object().contains("additionalProperties"));
}

TEST(Describe, TypesWithoutANameAreDescribedInPlace) {
  SchemaSet set;
  EXPECT_EQ(to_text(schema_ref<std::vector<Step>>(set)),
            R"({"type":"array","items":{"$ref":"#/components/schemas/Step"}})");
  EXPECT_EQ(to_text(schema_ref<std::uint16_t>(set)),
            R"({"type":"integer","format":"int32","minimum":0,"maximum":65535})");
  EXPECT_EQ(to_text(schema_ref<DeploymentId>(set)),
            R"({"type":"string","pattern":"^dep_[0-9a-hjkmnp-tv-z]{26}$",)"
            R"("examples":["dep_01jd4qz3kfe8mv0c9x7r2t5w6y"]})");
  EXPECT_EQ(to_text(schema_ref<RawJson>(set)), "{}");
}

}  // namespace
}  // namespace berth::json
