// Bodies that nobody should send: each is refused with the right status, and the server goes on.
#include <fmt/format.h>
#include <unistd.h>

#include <fstream>
#include <set>

#include "harness.h"

namespace berth::test {
namespace {

constexpr const char* kDeployments = "/api/v1/deployments";

std::string repeat(std::string_view piece, std::size_t n) {
  std::string out;
  out.reserve(piece.size() * n);
  for (std::size_t i = 0; i < n; ++i) out += piece;
  return out;
}

std::size_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::size_t total = 0, resident = 0;
  statm >> total >> resident;
  return resident * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

// A whole deployment with one value replaced by `text`.
std::string with(const std::string& cluster, std::string_view member, std::string_view text) {
  return fmt::format(R"({{"cluster_id":"{}","resources":{{"cpu":1}},"{}":{}}})", cluster, member,
                     text);
}

// What is no JSON, or none that is accepted, whatever the route.
std::vector<std::pair<std::string, std::string>> malformed(const std::string& cluster) {
  std::vector<std::pair<std::string, std::string>> out;
  const auto add = [&](std::string name, std::string body) {
    out.emplace_back(std::move(name), std::move(body));
  };
  const std::string good = with(cluster, "name", R"("x")");
  int number = 0;
  for (const char* text : {"{",
                           "}",
                           "[",
                           "]",
                           "{}}",
                           "{]",
                           "[}",
                           "\"",
                           "nul",
                           "True",
                           "NaN",
                           "Infinity",
                           "-Infinity",
                           "undefined",
                           "'x'",
                           "{'a':1}",
                           "{a:1}",
                           "{\"a\"}",
                           "{\"a\":}",
                           "{\"a\" 1}",
                           "{\"a\":1,}",
                           "{,}",
                           "{\"a\":1 \"b\":2}",
                           "[1,]",
                           "[,1]",
                           "01",
                           "+1",
                           "1.",
                           ".5",
                           "1e",
                           "1e+",
                           "0x10",
                           "1_000",
                           "--1",
                           "\"\\x41\"",
                           "\"\\u12\"",
                           "\"\\u12G4\"",
                           "\"\\uD800\"",
                           "\"\\uDC00\"",
                           "\"\\uD800\\u0041\"",
                           "\"a\nb\"",
                           "\"a\tb\"",
                           "// x\n{}",
                           "/* x */ {}",
                           "{} {}",
                           "{},",
                           "{};",
                           "#",
                           "<xml/>",
                           "a=b&c=d",
                           "--boundary",
                           "\xEF\xBB\xBF{}",
                           "\xFF\xFE{\0}",
                           "\x80",
                           "\"\xC0\xAF\"",
                           "\"\xED\xA0\x80\"",
                           "\"\xF8\x88\x80\x80\x80\"",
                           "\"\xC3\"",
                           "\"\xF4\x90\x80\x80\"",
                           "null",
                           "true",
                           "1",
                           "\"text\"",
                           "[]",
                           "[{}]"}) {
    add(fmt::format("text {}: {}", number++, text), text);
  }
  add("a NUL byte", std::string("{\0}", 3));
  add("a NUL byte behind", good + std::string(1, '\0'));
  add("trailing garbage", good + "x");
  add("two documents", good + good);
  for (std::size_t cut = 1; cut < good.size(); cut += 7)
    add(fmt::format("cut at {}", cut), good.substr(0, cut));
  add("32 deep", repeat("[", 33) + repeat("]", 33));
  add("1e5 deep", repeat("[", 100'000));
  add("1e5 deep, closed", repeat("[", 100'000) + repeat("]", 100'000));
  add("1e5 deep objects", repeat("{\"a\":", 100'000));
  add("a number of 1e6 digits", with(cluster, "port", repeat("9", 1'000'000)));
  add("a fraction of 5e5 digits", with(cluster, "port", "0." + repeat("3", 500'000)));
  add("an exponent of 5e5 digits", with(cluster, "port", "1e" + repeat("9", 500'000)));
  add("a string of 1e6 bytes", with(cluster, "name", "\"" + repeat("x", 1'000'000) + "\""));
  add("a key of 1e6 bytes", "{\"" + repeat("k", 1'000'000) + "\":1}");
  add("1e5 keys", [] {
    std::string body = "{";
    for (int i = 0; i < 60'000; ++i)
      body += fmt::format("{}\"k{}\":{}", i == 0 ? "" : ",", i, i % 10);
    return body + "}";
  }());
  add("2e5 items", with(cluster, "command", "[" + repeat("1,", 200'000) + "1]"));
  add("2e5 empty objects", with(cluster, "command", "[" + repeat("{},", 200'000) + "{}]"));
  add("a duplicate key", R"({"name":"a","name":"b"})");
  add("a duplicate key, escaped", R"({"name":"a","n\u0061me":"b"})");
  add("a duplicate key inside", with(cluster, "labels", R"({"a":"1","a":"2"})"));
  add("a duplicate key of an unknown member", R"({"x":1,"x":2})");
  add("1e400", with(cluster, "port", "1e400"));
  add("-1e400", with(cluster, "stop_grace", "-1e400"));
  add("2^63", with(cluster, "port", "9223372036854775808"));
  add("2^64", with(cluster, "port", "18446744073709551616"));
  add("-0", with(cluster, "port", "-0"));
  add("NUL in a string", with(cluster, "name", R"("a\u0000b")"));
  add("NUL in a key", with(cluster, "env", R"({"A\u0000B":"x"})"));
  add("lone surrogate in a value", with(cluster, "name", R"("\ud800")"));
  add("lone surrogate in a key", with(cluster, "labels", R"({"\udfff":"x"})"));
  add("invalid UTF-8 in a key", with(cluster, "labels", "{\"\xC3\x28\":\"x\"}"));
  for (const char* value :
       {"null", "true", "1", "-1", "1.5", "\"\"", "[]", "{}", "[[]]", "{\"\":{}}"}) {
    // An empty object would do; the port does not.
    add(fmt::format("resources is {}", value),
        fmt::format(R"({{"cluster_id":"{}","resources":{},"port":-5}})", cluster, value));
  }
  return out;
}

TEST(Malformed, EveryBodyIsRefusedAndTheServerGoesOn) {
  Site site;
  auto& s = site.server;
  const auto cases = malformed(site.cluster);
  EXPECT_GE(cases.size(), 100U);
  const auto ask = [&](const std::string& body) {
    return s.call({"POST", kDeployments, site.owner.token, body, {}});
  };
  for (const auto& [name, body] : cases) ask(body);  // warm: allocators keep what they once needed
  const auto before = resident_bytes();
  for (int round = 0; round < 3; ++round) {
    for (const auto& [name, body] : cases) {
      const auto refused = ask(body);
      EXPECT_EQ(refused.status, 400) << name << refused;
      EXPECT_EQ(refused.code(), "invalid_request") << name;
      EXPECT_GE(refused.at("/errors").as_array().size(), 1U) << name;
      EXPECT_LT(refused.body.size(), 32'768U) << name;  // no echo of what was sent
    }
  }
#if !__has_feature(address_sanitizer)
  EXPECT_LT(resident_bytes(), before + (std::size_t{16} << 20));
#else
  EXPECT_LT(resident_bytes(),
            before + (std::size_t{512} << 20));  // freed memory is kept in quarantine
#endif
  EXPECT_EQ(s.get(std::string(kDeployments) + "?cluster_id=" + site.cluster, site.owner.token)
                .items("name"),
            "");
  EXPECT_EQ(site.submit("still-alive", {{"cpu", 1}}).status, 201);
}

TEST(Malformed, TooMuchIsToldFromMalformed) {
  Site site;
  for (const std::size_t size : {std::size_t{1} << 20, (std::size_t{1} << 20) + 1}) {
    std::string body = with(site.cluster, "name", "\"x y\"");
    body.resize(size, ' ');
    net::ClientRequest ask;
    ask.method = "POST";
    ask.url = site.server.url(kDeployments);
    ask.headers = {{"Authorization", "Bearer " + site.owner.token},
                   {"Content-Type", "application/json"}};
    ask.body = body;
    const auto got = net::fetch(ask);
    ASSERT_TRUE(got) << got.error().message;
    EXPECT_EQ(got->status, size == std::size_t{1} << 20 ? 400 : 413);
  }
}

// The members of a schema of the description, references followed.
std::set<std::string> members(const Description& d, const js::object& schema) {
  const js::object* at = &schema;
  if (const auto* ref = at->if_contains("$ref")) {
    const auto name = std::string_view(ref->as_string()).substr(21);
    at = &d.document().at("components").at("schemas").at(name).as_object();
  }
  std::set<std::string> out;
  if (const auto* properties = at->if_contains("properties")) {
    for (const auto& [name, value] : properties->as_object()) out.emplace(name);
  }
  return out;
}

TEST(MassAssignment, NoBodyTakesAMemberThatIsNotItsOwn) {
  Site site;
  auto& s = site.server;
  const auto& d = s.description();
  // Every member that any answer shows, and the usual suspects.
  std::set<std::string> columns{
      "id",        "state",       "organization",  "organization_id", "created_at",
      "role",      "is_admin",    "is_superuser",  "owner",           "user",
      "user_id",   "created_by",  "password_hash", "disabled",        "next_order",
      "order",     "failures",    "grant",         "admitted_at",     "_id",
      "__proto__", "constructor", "permissions"};
  for (const auto& [name, schema] : d.document().at("components").at("schemas").as_object())
    columns.merge(members(d, schema.as_object()));
  std::size_t pairs = 0;
  for (const auto& [path, item] : d.document().at("paths").as_object()) {
    for (const auto& [method, operation] : item.as_object()) {
      const auto* body = operation.as_object().if_contains("requestBody");
      if (body == nullptr) continue;
      const auto own =
          members(d, body->at("content").at("application/json").at("schema").as_object());
      std::string real(path);
      for (const auto& [name, id] : std::initializer_list<std::pair<std::string, std::string>>{
               {"{organization_id}", site.organization},
               {"{cluster_id}", site.cluster},
               {"{deployment_id}", "dep_01jd4qz3kfe8mv0c9x7r2t5w6y"}}) {
        if (const auto at = real.find(name); at != std::string::npos)
          real.replace(at, name.size(), id);
      }
      std::string upper(method);
      for (auto& c : upper) c = static_cast<char>(std::toupper(c));
      for (const auto& column : columns) {
        if (own.contains(column)) continue;
        const auto refused =
            s.call({upper, real, site.owner.token, js::serialize(js::object{{column, "x"}}), {}});
        EXPECT_EQ(refused.status, 400) << upper << ' ' << real << ' ' << column;
        const auto fields = " " + refused.fields() + " ";
        EXPECT_NE(fields.find(" /" + column + " "), std::string::npos) << refused;
        ++pairs;
      }
    }
  }
  EXPECT_GT(pairs, 1000U);
}

}  // namespace
}  // namespace berth::test
