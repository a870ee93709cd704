// Commands and replies: hiredis knows the protocol, Socket carries the bytes. For one thread at a
// time. A connection that failed is closed, and opened again by the next exchange.
#pragma once
#include <hiredis/hiredis.h>

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "queue/redis/socket.h"

namespace berth::redis {

struct FreeReply {
  void operator()(redisReply* reply) const { freeReplyObject(reply); }
};
using ReplyPtr = std::unique_ptr<redisReply, FreeReply>;
using Replies = std::vector<ReplyPtr>;

[[nodiscard]] std::string_view text_of(const redisReply& reply);
[[nodiscard]] std::span<redisReply* const> items_of(const redisReply& reply);
// An error whose first word is that: "NOSCRIPT", "WRONGTYPE", ...
[[nodiscard]] bool is_error(const redisReply& reply, std::string_view word);
[[nodiscard]] std::unexpected<Error> refused(const redisReply& reply);

// Commands that are sent together.
class Pipeline {
 public:
  void add(std::span<const std::string_view> words);
  void add(std::initializer_list<std::string_view> words) {
    add(std::span(words.begin(), words.size()));
  }
  [[nodiscard]] const std::string& bytes() const { return bytes_; }
  [[nodiscard]] std::size_t size() const { return count_; }

 private:
  std::string bytes_;
  std::size_t count_ = 0;
};

class Connection {
 public:
  // `greeting` is sent after each opening, behind the password; its replies are greetings().
  explicit Connection(const Options& options, Pipeline greeting = {});
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  [[nodiscard]] bool is_open() const { return socket_.is_open(); }
  Result<void> open();
  void close();
  [[nodiscard]] const Replies& greetings() const { return greetings_; }
  // How often it was opened: another number means that replies may have been lost.
  [[nodiscard]] std::uint64_t openings() const { return openings_; }

  // One reply for each command, errors of single commands among them. `patience` is how long a
  // command may keep us waiting on purpose. A connection that the server had closed meanwhile is
  // opened again and the commands repeated, so they must bear that.
  Result<Replies> exchange(const Pipeline& commands, std::chrono::milliseconds patience = {});
  // Something that nobody asked for, as subscribers get it; null: nothing came in time.
  Result<ReplyPtr> next(Deadline until);

 private:
  Result<Replies> round_trip(const Pipeline& commands, std::chrono::milliseconds silence);
  Result<ReplyPtr> parsed();  // null: more bytes are needed
  Result<void> greet(Deadline until);

  const Options options_;
  const Pipeline greeting_;
  Socket socket_;
  std::unique_ptr<redisReader, void (*)(redisReader*)> reader_;
  std::vector<char> buffer_;
  Replies greetings_;
  std::uint64_t openings_ = 0;
  bool timed_out_ = false;  // the last failure was silence, not an end
};

}  // namespace berth::redis
