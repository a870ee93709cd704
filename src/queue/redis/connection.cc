#include "queue/redis/connection.h"

#include <new>

namespace berth::redis {
namespace {

constexpr std::size_t kReadBytes = 64 << 10;
constexpr std::size_t kWriteBytes = 256 << 10;

Deadline after(std::chrono::milliseconds span) { return std::chrono::steady_clock::now() + span; }

}  // namespace

std::string_view text_of(const redisReply& reply) {
  const bool has_text = reply.type == REDIS_REPLY_STRING || reply.type == REDIS_REPLY_STATUS ||
                        reply.type == REDIS_REPLY_ERROR;
  return has_text ? std::string_view(reply.str, reply.len) : std::string_view();
}

std::span<redisReply* const> items_of(const redisReply& reply) {
  if (reply.type != REDIS_REPLY_ARRAY) return {};
  return {reply.element, reply.elements};
}

bool is_error(const redisReply& reply, std::string_view word) {
  return reply.type == REDIS_REPLY_ERROR && text_of(reply).starts_with(word);
}

std::unexpected<Error> refused(const redisReply& reply) {
  if (is_error(reply, "NOAUTH") || is_error(reply, "WRONGPASS")) {
    return unavailable("Redis refused the user or the password of the URL.");
  }
  if (is_error(reply, "MOVED") || is_error(reply, "ASK")) {
    return unavailable("This Redis is one node of a cluster and does not have all our keys.");
  }
  return unavailable("Redis refused a command: " + std::string(text_of(reply)));
}

void Pipeline::add(std::span<const std::string_view> words) {
  std::vector<const char*> starts;
  std::vector<std::size_t> lengths;
  for (const auto word : words) {
    starts.push_back(word.data());
    lengths.push_back(word.size());
  }
  char* command = nullptr;
  const auto length = redisFormatCommandArgv(&command, static_cast<int>(words.size()),
                                             starts.data(), lengths.data());
  if (length < 0) throw std::bad_alloc();
  bytes_.append(command, static_cast<std::size_t>(length));
  redisFreeCommand(command);
  ++count_;
}

Connection::Connection(const Options& options, Pipeline greeting)
    : options_(options),
      greeting_(std::move(greeting)),
      socket_(options),
      reader_(nullptr, redisReaderFree),
      buffer_(kReadBytes) {}
Connection::~Connection() = default;

void Connection::close() {
  socket_.close();
  reader_.reset();
}

Result<void> Connection::open() {
  close();
  const auto until = after(options_.timeout);
  reader_.reset(redisReaderCreate());
  if (!reader_) throw std::bad_alloc();
  timed_out_ = false;
  ++openings_;
  auto opened = socket_.open(until);
  if (opened) opened = greet(until);
  if (!opened) close();
  return opened;
}

Result<void> Connection::greet(Deadline until) {
  Pipeline first;
  if (!options_.user.empty()) {
    first.add({"AUTH", options_.user, options_.password});
  } else if (!options_.password.empty()) {
    first.add({"AUTH", options_.password});
  }
  if (options_.db != 0) first.add({"SELECT", std::to_string(options_.db)});
  greetings_.clear();
  if (auto sent = socket_.write(first.bytes() + greeting_.bytes(), until); !sent) return sent;
  for (std::size_t i = 0; i < first.size() + greeting_.size(); ++i) {
    auto reply = next(until);
    if (!reply) return pass(std::move(reply.error()));
    if (!*reply) return unavailable("Redis did not answer in time.");
    if ((*reply)->type == REDIS_REPLY_ERROR) return refused(**reply);
    if (i >= first.size()) greetings_.push_back(std::move(*reply));
  }
  return {};
}

Result<ReplyPtr> Connection::parsed() {
  void* reply = nullptr;
  if (redisReaderGetReply(reader_.get(), &reply) != REDIS_OK) {
    close();
    return unavailable("What answers is not a Redis.");
  }
  return ReplyPtr(static_cast<redisReply*>(reply));
}

Result<ReplyPtr> Connection::next(Deadline until) {
  for (;;) {
    auto ready = parsed();
    if (!ready || *ready) return ready;
    const auto got = socket_.read(buffer_, until);
    if (!got) {
      close();
      return pass(got.error());
    }
    if (!*got) return ReplyPtr();
    if (redisReaderFeed(reader_.get(), buffer_.data(), **got) != REDIS_OK) throw std::bad_alloc();
  }
}

// The time runs anew with each piece that is sent or comes: much takes long, silence does not.
Result<Replies> Connection::round_trip(const Pipeline& commands,
                                       std::chrono::milliseconds silence) {
  std::string_view rest = commands.bytes();
  while (!rest.empty()) {
    const auto piece = rest.substr(0, kWriteBytes);
    const auto until = after(options_.timeout);
    if (auto sent = socket_.write(piece, until); !sent) {
      timed_out_ = std::chrono::steady_clock::now() >= until;
      return pass(std::move(sent.error()));
    }
    rest.remove_prefix(piece.size());
  }
  Replies replies;
  replies.reserve(commands.size());
  while (replies.size() < commands.size()) {
    auto reply = parsed();
    if (!reply) return pass(std::move(reply.error()));
    if (*reply) {
      replies.push_back(std::move(*reply));
      continue;
    }
    const auto got = socket_.read(buffer_, after(silence));
    if (!got) return pass(got.error());
    if (!*got) {
      timed_out_ = true;
      return unavailable("Redis did not answer in time.");
    }
    if (redisReaderFeed(reader_.get(), buffer_.data(), **got) != REDIS_OK) throw std::bad_alloc();
  }
  return replies;
}

Result<Replies> Connection::exchange(const Pipeline& commands, std::chrono::milliseconds patience) {
  const bool reused = is_open();
  for (bool first = true;; first = false) {
    if (!is_open()) {
      if (auto opened = open(); !opened) return pass(std::move(opened.error()));
    }
    timed_out_ = false;
    auto replies = round_trip(commands, options_.timeout + patience);
    if (replies) return replies;
    close();
    if (!first || !reused || timed_out_) return replies;
  }
}

}  // namespace berth::redis
