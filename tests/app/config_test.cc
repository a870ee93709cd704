// What a process refuses to start with.
#include "app/config.h"

#include <gtest/gtest.h>

namespace berth::app {
namespace {

std::string verdict(ProcessRole role, const std::string& database, const std::string& queue) {
  ServeConfig config;
  config.role = role;
  config.data_dir = "/data";
  config.database = database;
  config.queue = queue;
  const auto fine = check(config);
  return fine ? "fine" : fine.error().message;
}

TEST(Config, OneProcessMayUseEitherDatabase) {
  EXPECT_EQ(verdict(ProcessRole::serve, "", "memory"), "fine");
  EXPECT_EQ(verdict(ProcessRole::serve, "sqlite:///a/b.db", "memory"), "fine");
  EXPECT_EQ(verdict(ProcessRole::serve, "postgresql://u@h/d", "memory"), "fine");
  EXPECT_EQ(verdict(ProcessRole::serve, "postgres://u@h/d", "redis://h"), "fine");
}

TEST(Config, SeveralProcessesNeedServersForBoth) {
  for (const auto role : {ProcessRole::api, ProcessRole::scheduler}) {
    EXPECT_EQ(verdict(role, "postgresql://u@h/d", "redis://h:1/0"), "fine");
    EXPECT_TRUE(verdict(role, "", "redis://h").starts_with("berth ")) << "SQLite";
    EXPECT_NE(verdict(role, "sqlite:///a.db", "redis://h").find("SQLite serves only one"),
              std::string::npos);
    EXPECT_NE(verdict(role, "postgresql://u@h/d", "memory").find("--queue redis://"),
              std::string::npos);
  }
}

TEST(Config, RedisIsOfNoUseBesideSqlite) {
  EXPECT_NE(verdict(ProcessRole::serve, "", "redis://h").find("leave --queue away"),
            std::string::npos);
}

TEST(Config, WhatIsNotUnderstoodIsRefusedWithoutRepeatingIt) {
  for (const auto& answer :
       {verdict(ProcessRole::serve, "mysql://u:secret@h/d", "memory"),
        verdict(ProcessRole::serve, "postgresql://u@h/d", "amqp://u:secret@h"),
        verdict(ProcessRole::serve, "postgresql://u@h/d", "redis://u:secret@h:port/0"),
        verdict(ProcessRole::serve, "sqlite://relative.db", "memory")}) {
    EXPECT_NE(answer, "fine");
    EXPECT_EQ(answer.find("secret"), std::string::npos) << answer;
  }
}

TEST(Config, ALeaseLongEnoughToBeHeardOf) {
  ServeConfig config;
  config.lease = std::chrono::milliseconds(499);
  EXPECT_FALSE(check(config));
  config.lease = std::chrono::milliseconds(500);
  EXPECT_TRUE(check(config));
}

}  // namespace
}  // namespace berth::app
