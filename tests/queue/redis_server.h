// A real Redis for tests: in a temporary folder, stopped with the test.
#pragma once
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "queue/redis/redis_queue.h"
#include "support.h"

namespace berth::test {

class RedisServer {
 public:
  // Ends with that process, which is ours as a rule.
  explicit RedisServer(const std::string& settings = "", pid_t owner = getpid()) : owner_(owner) {
    std::string name = (std::filesystem::temp_directory_path() / "berth-redis-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary directory");
    folder_ = name;
    std::ofstream(folder_ + "/extra.conf") << settings;
    start();
  }
  ~RedisServer() {
    try {
      crash();
    } catch (const std::runtime_error&) {
    }
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  RedisServer(const RedisServer&) = delete;
  RedisServer& operator=(const RedisServer&) = delete;

  void start() {
    url_ = call("start " + folder_ + " " + std::to_string(owner_));
    while (!url_.empty() && url_.back() == '\n') url_.pop_back();
  }
  void crash() { (void)call("stop " + folder_ + " immediate"); }
  void freeze() const { ::kill(pid(), SIGSTOP); }
  void thaw() const { ::kill(pid(), SIGCONT); }

  [[nodiscard]] const std::string& url() const { return url_; }
  [[nodiscard]] const std::string& folder() const { return folder_; }
  [[nodiscard]] redis::Options options() const { return must(redis::parse_redis_url(url_)); }

  // What an operator could do with redis-cli. Texts and numbers as text, lists joined by blanks.
  std::string run(std::initializer_list<std::string_view> words) const {
    redis::Connection connection(options());
    redis::Pipeline commands;
    commands.add(words);
    const auto replies = must(connection.exchange(commands));
    return shown(*replies.front());
  }

 private:
  [[nodiscard]] pid_t pid() const {
    pid_t out = 0;
    std::ifstream(folder_ + "/redis.pid") >> out;
    if (out <= 0) throw std::runtime_error("Redis does not run");
    return out;
  }
  static std::string shown(const redisReply& reply) {
    if (reply.type == REDIS_REPLY_INTEGER) return std::to_string(reply.integer);
    if (reply.type != REDIS_REPLY_ARRAY) return std::string(redis::text_of(reply));
    std::string out;
    for (const auto* item : redis::items_of(reply)) out += (out.empty() ? "" : " ") + shown(*item);
    return out;
  }
  static std::string call(const std::string& arguments) {
    FILE* pipe = popen((std::string(BERTH_REDIS_SCRIPT) + " " + arguments).c_str(), "r");
    if (pipe == nullptr) throw std::runtime_error("no shell");
    std::string out;
    std::array<char, 512> buffer{};
    while (fgets(buffer.data(), buffer.size(), pipe) != nullptr) out += buffer.data();
    if (pclose(pipe) != 0) throw std::runtime_error("redis.sh " + arguments + " failed");
    return out;
  }

  const pid_t owner_;
  std::string folder_, url_;
};

}  // namespace berth::test
