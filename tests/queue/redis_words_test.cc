// URLs, settings and the text of entries: decided without a server.
#include "queue/redis/entries.h"
#include "queue/redis/readers.h"
#include "queue/redis/redis_url.h"
#include "queue/redis/settings.h"
#include "support.h"

namespace berth::test {
namespace {

using redis::Options;
using redis::parse_redis_url;

TEST(RedisUrl, SaysWhereAndAsWhom) {
  Options plain;
  plain.host = "cache.example.org";
  EXPECT_EQ(must(parse_redis_url("redis://cache.example.org")), plain);
  EXPECT_EQ(must(parse_redis_url("redis://cache.example.org:6379/0")), plain);
  EXPECT_EQ(must(parse_redis_url("redis://cache.example.org/")), plain);

  Options full;
  full.host = "10.0.0.7";
  full.port = "7000";
  full.tls = true;
  full.user = "be:rth";
  full.password = "a/b@c d";
  full.db = 12;
  full.prefix = "lab-2";
  full.ca_file = "/etc/ca dir/ca.pem";
  EXPECT_EQ(must(parse_redis_url("rediss://be%3Arth:a%2Fb%40c%20d@10.0.0.7:7000/"
                                 "12?prefix=lab-2&ca=/etc/ca%20dir/ca.pem")),
            full);

  Options only_password;
  only_password.host = "::1";
  only_password.password = "x";
  EXPECT_EQ(must(parse_redis_url("redis://:x@[::1]")), only_password);

  Options file;
  file.socket = "/run/redis dir/redis.sock";
  file.db = 2;
  EXPECT_EQ(must(parse_redis_url("redis+unix:///run/redis%20dir/redis.sock?db=2")), file);
}

TEST(RedisUrl, RefusesWhatItDoesNotUnderstandWithoutRepeatingIt) {
  for (const auto* url : {"",
                          "cache",
                          "http://cache",
                          "redis:cache",
                          "redis://",
                          "redis://:secret@",
                          "redis://h:0",
                          "redis://h:secret",
                          "redis://h/secret",
                          "redis://h/-1",
                          "redis://h/1/secret",
                          "redis://u@h",
                          "redis://h?secret=1",
                          "redis://h?db=1",
                          "redis://h?ca=/secret",
                          "redis://h?prefix=",
                          "redis://h?prefix=a{secret}",
                          "redis://h?prefix=*",
                          "redis://h#secret",
                          "redis+unix://h/secret",
                          "redis+unix:///",
                          "redis+unix:///s?db=x",
                          "redis://:sec%zzret@h"}) {
    const auto parsed = parse_redis_url(url);
    ASSERT_FALSE(parsed) << url;
    EXPECT_EQ(parsed.error().code, Code::invalid_argument) << url;
    EXPECT_EQ(parsed.error().reason, "invalid_url") << url;
    if (std::string_view(url).find("?secret") != std::string_view::npos) continue;
    EXPECT_EQ(parsed.error().message.find("secret"), std::string::npos) << parsed.error().message;
  }
}

TEST(RedisSettings, WarnAboutWhatEndangers) {
  const redis::Settings good{"7.0.15", false, true, "noeviction", true, true};
  const auto at = [](const char* url) { return must(parse_redis_url(url)); };
  const auto near = at("redis://127.0.0.1");
  EXPECT_TRUE(redis::warnings_of(good, near).empty());
  EXPECT_TRUE(redis::warnings_of(good, at("redis+unix:///s/s")).empty());
  EXPECT_TRUE(redis::warnings_of(good, at("rediss://u:p@cache")).empty());

  const auto first = [&](const redis::Settings& settings, const Options& options) {
    const auto all = redis::warnings_of(settings, options);
    return all.size() == 1 ? all.front() : std::to_string(all.size()) + " warnings";
  };
  EXPECT_EQ(first(good, at("rediss://cache")),
            "Redis is reached over the network without a password: set a user, or requirepass.");
  EXPECT_EQ(first(good, at("redis://u:p@cache")),
            "Redis is reached over the network without TLS: use rediss://.");
  auto old = good;
  old.version = "6.0.16";
  EXPECT_EQ(first(old, near), "Redis is version 6.0.16; use 7.0 or newer, at least 6.2.");
  for (const auto* version : {"6.2.0", "7.0", "10.1.1"}) {
    old.version = version;
    EXPECT_TRUE(redis::warnings_of(old, near).empty()) << version;
  }
  auto many = good;
  many.cluster = true;
  EXPECT_EQ(first(many, near),
            "This Redis is one node of a Redis Cluster; Berth does not follow it to the other "
            "nodes.");
  auto evicts = good;
  evicts.eviction = "volatile-ttl";
  EXPECT_EQ(first(evicts, near),
            "Redis may throw queues away when memory is short: set maxmemory-policy to noeviction, "
            "it is volatile-ttl.");
  auto open = good;
  open.protected_mode = false;
  EXPECT_TRUE(redis::warnings_of(open, near).empty()) << "a password protects";
  open.default_password = false;
  EXPECT_EQ(first(open, near),
            "Redis lets anybody in who reaches it: protected-mode is off and no password is set.");
}

TEST(RedisSettings, InfoIsReadByName) {
  const auto* info = "# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\nempty:\r\n";
  EXPECT_EQ(redis::info_value(info, "redis_version"), "7.0.15");
  EXPECT_EQ(redis::info_value(info, "redis_mode"), "standalone");
  EXPECT_EQ(redis::info_value(info, "redis"), "");
  EXPECT_EQ(redis::info_value(info, "empty"), "");
  EXPECT_EQ(redis::info_value("", "x"), "");
}

TEST(RedisEntries, DemandsReadBack) {
  const Resources demand{500, std::int64_t{1} << 30, 250};
  EXPECT_EQ(redis::demand_text(demand), "cpu=500 memory=1073741824 gpu=250");
  EXPECT_EQ(redis::read_demand("cpu=500 memory=1073741824 gpu=250"), demand);
  for (const auto* text : {"", "cpu=1", "cpu=1 memory=2", "memory=2 cpu=1 gpu=3",
                           "cpu= memory=2 gpu=3", "cpu=1 memory=2 gpu=3x", "cpu=1 memory=2 gpu=-3",
                           "cpu=99999999999999999999 memory=2 gpu=3"}) {
    EXPECT_EQ(redis::read_demand(text), std::nullopt) << text;
  }
}

TEST(RedisEntries, PlacesInAStreamAreOrderedAsNumbers) {
  using redis::StreamPlace;
  EXPECT_EQ(StreamPlace::parse("1700000000000-3"), (StreamPlace{1700000000000, 3}));
  EXPECT_EQ((StreamPlace{5, 12}).str(), "5-12");
  EXPECT_LT(StreamPlace::parse("9-10"), StreamPlace::parse("10-0"));
  EXPECT_LT(StreamPlace::parse("9-9"), StreamPlace::parse("9-10"));
}

TEST(WakeKind, HasNames) {
  EXPECT_EQ(to_text(WakeKind::queued), "queued");
  EXPECT_EQ(to_text(WakeKind::released), "released");
  EXPECT_EQ(to_text(WakeKind::changed), "changed");
}

}  // namespace
}  // namespace berth::test
