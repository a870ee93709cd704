// Requests made from the server's own description, then spoilt. Whatever comes, the answer is a
// declared one of the declared form (the harness looks), and never 500.
#include <fmt/format.h>

#include <map>
#include <random>

#include "harness.h"

namespace berth::test {
namespace {

constexpr std::uint64_t kSeed = 20'261'126;
constexpr int kPerOperation = 90;

class Maker {
 public:
  Maker(const Description& d, std::uint64_t seed,
        std::map<std::string, std::vector<std::string>> ids)
      : d_(d), random_(seed), ids_(std::move(ids)) {}

  std::size_t below(std::size_t n) {
    return std::uniform_int_distribution<std::size_t>(0, n - 1)(random_);
  }
  bool chance(int percent) { return below(100) < static_cast<std::size_t>(percent); }

  std::string id(const std::string& name) {
    const auto found = ids_.find(name);
    if (found == ids_.end() || chance(15)) return odd();
    return found->second[below(found->second.size())];
  }

  // Text of every unpleasant kind.
  std::string odd() {
    static const std::vector<std::string> kOdd{"",
                                               " ",
                                               "0",
                                               "-1",
                                               "1",
                                               "99999999999999999999",
                                               "null",
                                               "true",
                                               "x",
                                               "..",
                                               "../../etc/passwd",
                                               "%2e%2e%2f",
                                               "a/b",
                                               "a\\b",
                                               "'",
                                               "\"",
                                               "';--",
                                               "' OR '1'='1",
                                               "<script>alert(1)</script>",
                                               "{{7*7}}",
                                               "${jndi:ldap://x}",
                                               "$(id)",
                                               "`id`",
                                               "|id",
                                               "a\nb",
                                               "a\rb",
                                               "\x1b[31m",
                                               "\xC3\xA4\xE2\x82\xAC",
                                               "\xF0\x9F\x98\x80",
                                               "org_01jd4qz3kfe8mv0c9x7r2t5w6y",
                                               "dep_00000000000000000000000000",
                                               "clu_7zzzzzzzzzzzzzzzzzzzzzzzzz",
                                               "=1+1",
                                               "%s%n",
                                               "1e309",
                                               "NaN",
                                               "-0",
                                               "0x10",
                                               "\xE2\x80\xAE",
                                               "high",
                                               "HIGH",
                                               "owner",
                                               std::string(300, 'a'),
                                               std::string(5000, 'b')};
    return kOdd[below(kOdd.size())];
  }

  js::value any(int depth) {
    switch (below(depth > 3 ? 8 : 10)) {
      case 0:
        return nullptr;
      case 1:
        return chance(50);
      case 2:
        return static_cast<std::int64_t>(below(100)) - 50;
      case 3:
        return INT64_MAX;
      case 4:
        return 1.5;
      case 5:
        return -1e300;
      case 6:
        return js::value(odd());
      case 7:
        return js::value(std::string(below(2000), 'z'));
      case 8: {
        js::array out;
        for (std::size_t i = below(4); i > 0; --i) out.push_back(any(depth + 1));
        return out;
      }
      default: {
        js::object out;
        for (std::size_t i = below(4); i > 0; --i) out[odd()] = any(depth + 1);
        return out;
      }
    }
  }

  // A value of a schema; spoilt here and there.
  js::value value(const js::object& schema, const std::string& name, int depth = 0) {
    if (chance(3)) return any(depth);
    if (const auto* ref = schema.if_contains("$ref")) {
      return value(d_.document()
                       .at("components")
                       .at("schemas")
                       .at(std::string_view(ref->as_string()).substr(21))
                       .as_object(),
                   name, depth);
    }
    for (const char* word : {"anyOf", "oneOf"}) {
      if (const auto* options = schema.if_contains(word)) {
        return value(options->as_array()[below(options->as_array().size())].as_object(), name,
                     depth);
      }
    }
    if (ids_.contains(name)) return js::value(id(name));
    if (const auto* choices = schema.if_contains("enum"))
      return choices->as_array()[below(choices->as_array().size())];
    if (const auto* examples = schema.if_contains("examples"); examples != nullptr && chance(50))
      return examples->as_array()[0];
    std::string type;
    if (const auto* t = schema.if_contains("type")) {
      type =
          t->is_array() ? t->as_array()[below(t->as_array().size())].as_string() : t->as_string();
    }
    if (type == "object") return object(schema, depth);
    if (type == "array") {
      js::array out;
      for (std::size_t i = below(3); i > 0; --i)
        out.push_back(value(schema.at("items").as_object(), "", depth + 1));
      return out;
    }
    if (type == "boolean") return chance(50);
    if (type == "integer" || type == "number") {
      const auto edge = [&](const char* word, std::int64_t other) {
        const auto* found = schema.if_contains(word);
        return found != nullptr && found->is_int64() ? found->as_int64() : other;
      };
      const auto low = edge("minimum", 0), high = edge("maximum", 1000);
      switch (below(5)) {
        case 0:
          return low;
        case 1:
          return high;
        case 2:
          return low == INT64_MIN ? low : low - 1;
        case 3:
          return high == INT64_MAX ? high : high + 1;
        default:
          return static_cast<std::int64_t>(below(20));
      }
    }
    if (type == "null") return nullptr;
    return js::value(chance(60) ? fresh("fuzz") : odd());
  }

 private:
  js::value object(const js::object& schema, int depth) {
    js::object out;
    if (const auto* properties = schema.if_contains("properties")) {
      for (const auto& [name, member] : properties->as_object()) {
        if (chance(75)) out[name] = value(member.as_object(), std::string(name), depth + 1);
      }
    }
    if (const auto* more = schema.if_contains("additionalProperties");
        more != nullptr && more->is_object() && chance(50)) {
      out[odd()] = value(more->as_object(), "", depth + 1);
    }
    if (chance(3)) out[odd()] = any(depth);
    return out;
  }

  const Description& d_;
  std::mt19937_64 random_;
  std::map<std::string, std::vector<std::string>> ids_;
};

std::string encoded(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    out += std::isalnum(byte) != 0 || c == '_' || c == '-' || c == '.'
               ? std::string(1, c)
               : fmt::format("%{:02X}", byte);
  }
  return out;
}

Ask make(Maker& maker, std::string_view path, std::string_view method, const js::object& operation,
         const std::string& token) {
  Ask ask;
  ask.method = method;
  for (auto& c : ask.method) c = static_cast<char>(std::toupper(c));
  ask.path = path;
  if (!maker.chance(5)) ask.token = token;
  std::string query;
  if (const auto* parameters = operation.if_contains("parameters")) {
    for (const auto& p : parameters->as_array()) {
      const std::string name(p.at("name").as_string()), in(p.at("in").as_string());
      const auto made = maker.value(p.at("schema").as_object(), name);
      std::string text = made.is_string() ? std::string(made.as_string()) : js::serialize(made);
      if (name.ends_with("_id") && maker.chance(85)) text = maker.id(name);
      if (in == "path") {
        if (text.empty()) text = "x";
        ask.path.replace(ask.path.find('{' + name + '}'), name.size() + 2,
                         encoded(text.substr(0, 2000)));
      } else if (in == "query" && maker.chance(40)) {
        query +=
            fmt::format("{}{}={}", query.empty() ? "?" : "&", name, encoded(text.substr(0, 1000)));
      } else if (in == "header" && maker.chance(25)) {
        std::string printable;
        for (const char c : text.substr(0, 400)) printable += c >= 0x20 && c < 0x7F ? c : '?';
        ask.headers.push_back({name, printable});
      }
    }
  }
  // A stream without an end is no answer that one can wait for.
  if (operation.at("operationId").as_string() == "watchEvents")
    query = query.empty() ? "?after=x" : query + "&after=x";
  if (maker.chance(5))
    query += (query.empty() ? "?" : "&") + encoded(maker.odd()) + "=" + encoded(maker.odd());
  ask.path += query;
  if (const auto* body = operation.if_contains("requestBody")) {
    ask.body = js::serialize(
        maker.value(body->at("content").at("application/json").at("schema").as_object(), ""));
    if (maker.chance(5)) ask.body.resize(maker.below(ask.body.size() + 1));
  }
  return ask;
}

TEST(Fuzz, EveryOperationAnswersAsDeclared) {
  RecordProperty("seed", std::to_string(kSeed));
  std::printf("seed %llu\n", static_cast<unsigned long long>(kSeed));
  TestServer s;
  Site site({{"cpu", 8}, {"memory", "32GiB"}, {"gpu", 2}}, s);
  site.owner.token = s.post("/api/v1/auth/keys", {{"name", "fuzz"}}, site.owner.token).text("/key");
  site.submit("ended", {{"cpu", 1}}, {{"kind", "job"}, {"simulate", {{"duration", 0.01}}}});
  site.until("ended", "succeeded");
  const auto key = s.post("/api/v1/auth/keys", {{"name", "spare"}}, site.owner.token).text("/id");
  const std::string foreign = Site({{"cpu", 1}}, s).cluster;
  Maker maker(
      s.description(), kSeed,
      {{"organization_id", {site.organization, "org_01jd4qz3kfe8mv0c9x7r2t5w6y"}},
       {"cluster_id", {site.cluster, site.cluster, foreign, "clu_01jd4qz3kfe8mv0c9x7r2t5w6y"}},
       {"deployment_id", {site.id("ended"), "dep_01jd4qz3kfe8mv0c9x7r2t5w6y"}},
       {"user_id", {site.owner.id, "usr_01jd4qz3kfe8mv0c9x7r2t5w6y"}},
       {"key_id", {key, "key_01jd4qz3kfe8mv0c9x7r2t5w6y"}},
       {"invite_id", {"inv_01jd4qz3kfe8mv0c9x7r2t5w6y"}}});
  std::map<int, int> statuses;
  int requests = 0;
  for (int round = 0; round < kPerOperation && !HasFailure(); ++round) {
    for (const auto& [path, item] : s.description().document().at("paths").as_object()) {
      for (const auto& [method, operation] : item.as_object()) {
        const auto answer =
            s.call(make(maker, path, method, operation.as_object(), site.owner.token));
        EXPECT_NE(answer.status, 500);
        ++statuses[answer.status];
        ++requests;
      }
    }
  }
  for (const auto& [status, n] : statuses) std::printf("%d: %d\n", status, n);
  EXPECT_GT(requests, 3000);
  EXPECT_GT(statuses[200] + statuses[201], requests / 10);  // not everything was spoilt
  EXPECT_GT(statuses[400], requests / 10);
  EXPECT_EQ(s.get("/readyz").status, 200);
}

}  // namespace
}  // namespace berth::test
