#include "queue/redis/readers.h"

#include <charconv>

#include "queue/redis/entries.h"

namespace berth::redis {
namespace {

constexpr std::string_view kMost = "1000";  // wakes at once

// Nothing for what somebody else has put into the stream, and for what was trimmed meanwhile.
std::optional<Wake> wake_of(const redisReply& fields) {
  std::optional<std::int64_t> seq;
  std::optional<WakeKind> kind;
  std::optional<ClusterId> cluster;
  const auto words = items_of(fields);
  for (std::size_t i = 0; i + 1 < words.size(); i += 2) {
    const auto name = text_of(*words[i]);
    const auto value = text_of(*words[i + 1]);
    if (name == "seq") seq = read_number(value);
    if (name == "kind") kind = from_text<WakeKind>(value);
    if (name == "cluster") cluster = ClusterId::parse(value);
  }
  if (!seq || !kind || !cluster) return std::nullopt;
  return Wake{*seq, *kind, *cluster};
}

std::string joined(const redisReply& fields) {
  std::string out;
  for (const auto* word : items_of(fields)) out.append(text_of(*word)).push_back(' ');
  return out;
}

}  // namespace

StreamPlace StreamPlace::parse(std::string_view text) {
  StreamPlace out;
  const char* const end = text.data() + text.size();
  const auto [dash, problem] = std::from_chars(text.data(), end, out.time);
  if (problem == std::errc() && dash != end) std::from_chars(dash + 1, end, out.number);
  return out;
}
std::string StreamPlace::str() const { return std::to_string(time) + "-" + std::to_string(number); }

StreamReader::StreamReader(const Options& options, std::string name)
    : stream_(options.prefix + ":wake"), name_(std::move(name)), connection_(options) {}

Result<StreamReader::Entry> StreamReader::last_entry(const std::string& highest,
                                                     const std::string& lowest) {
  Pipeline ask;
  ask.add({"XREVRANGE", stream_, highest, lowest, "COUNT", "1"});
  auto replies = connection_.exchange(ask);
  if (!replies) return pass(std::move(replies.error()));
  const auto& reply = *replies->front();
  if (is_error(reply, "WRONGTYPE")) {  // not ours, though the name is
    Pipeline away;
    away.add({"DEL", stream_});
    auto done = connection_.exchange(away);
    if (!done) return pass(std::move(done.error()));
    return Entry{};
  }
  if (reply.type == REDIS_REPLY_ERROR) return refused(reply);
  const auto entries = items_of(reply);
  if (entries.empty() || items_of(*entries[0]).size() != 2) return Entry{};
  const auto parts = items_of(*entries[0]);
  return Entry{StreamPlace::parse(text_of(*parts[0])), joined(*parts[1])};
}

Result<void> StreamReader::make_group(const StreamPlace& from) {
  Pipeline make;
  make.add({"XGROUP", "CREATE", stream_, name_, from.str(), "MKSTREAM"});
  auto replies = connection_.exchange(make);
  if (!replies) return pass(std::move(replies.error()));
  const auto& reply = *replies->front();
  // There already: a repeated command has made it, or somebody with our name.
  if (reply.type == REDIS_REPLY_ERROR && !is_error(reply, "BUSYGROUP")) return refused(reply);
  return {};
}

Result<void> StreamReader::begin() {
  auto end = last_entry("+", "-");
  if (!end) return pass(std::move(end.error()));
  Pipeline away;
  away.add({"XGROUP", "DESTROY", stream_, name_});  // refused when there is no stream: good, too
  auto gone = connection_.exchange(away);
  if (!gone) return pass(std::move(gone.error()));
  latest_ = std::move(*end);
  return make_group(latest_.place);
}

// What we have not seen must come. If what we saw last stands where it stood we go on behind it;
// else the stream was begun anew, and all of it is new to us.
Result<void> StreamReader::recover() {
  const auto place = latest_.place.str();
  auto there = last_entry(place, place);
  if (!there) return pass(std::move(there.error()));
  if (there->place != latest_.place || there->words != latest_.words) latest_ = {};
  pending_ = false;
  return make_group(latest_.place);
}

Result<std::vector<Wake>> StreamReader::take(const redisReply& reply) {
  std::vector<Wake> out;
  Pipeline read;
  std::vector<std::string_view> acknowledge{"XACK", stream_, name_};
  for (const auto* stream : items_of(reply)) {
    if (items_of(*stream).size() != 2) continue;
    for (const auto* entry : items_of(*items_of(*stream)[1])) {
      const auto parts = items_of(*entry);
      if (parts.size() != 2) continue;
      acknowledge.push_back(text_of(*parts[0]));
      const auto place = StreamPlace::parse(text_of(*parts[0]));
      if (place > latest_.place) latest_ = {place, joined(*parts[1])};
      if (const auto wake = wake_of(*parts[1])) out.push_back(*wake);
    }
  }
  if (acknowledge.size() == 3) {
    pending_ = false;
    return out;
  }
  read.add(acknowledge);
  // If this fails they come again, which is better than not at all.
  if (!connection_.exchange(read)) pending_ = true;
  return out;
}

Result<std::vector<Wake>> StreamReader::wait(std::chrono::milliseconds patience) {
  if (!connection_.is_open()) pending_ = true;
  Pipeline read;
  const bool blocks = !pending_ && patience.count() > 0;
  const auto limit = std::to_string(patience.count());
  std::vector<std::string_view> words{"XREADGROUP", "GROUP", name_, "reader", "COUNT", kMost};
  if (blocks) words.insert(words.end(), {"BLOCK", limit});
  words.insert(words.end(), {"STREAMS", stream_, pending_ ? "0" : ">"});
  read.add(words);
  const bool asked_pending = pending_;
  const auto opened = connection_.openings();
  auto replies = connection_.exchange(read, blocks ? patience : std::chrono::milliseconds{});
  if (!replies) {
    pending_ = true;
    return pass(std::move(replies.error()));
  }
  const bool lost = connection_.openings() != opened;  // and with it what was on its way
  const auto& reply = *replies->front();
  if (is_error(reply, "NOGROUP") || is_error(reply, "WRONGTYPE") || is_error(reply, "UNBLOCKED")) {
    if (auto again = recover(); !again) return pass(std::move(again.error()));
    return std::vector<Wake>{};
  }
  if (reply.type == REDIS_REPLY_ERROR) {
    connection_.close();  // the address may lead to another server next time
    return refused(reply);
  }
  auto wakes = take(reply);
  if (lost) pending_ = true;
  if (!wakes || !wakes->empty() || !asked_pending || pending_) return wakes;
  return wait(patience);  // nothing was left over: now for what is new
}

namespace {

Pipeline subscribe(const std::string& channel) {
  Pipeline out;
  out.add({"SUBSCRIBE", channel});
  return out;
}

}  // namespace

ChannelReader::ChannelReader(const Options& options)
    : connection_(options, subscribe(options.prefix + ":nudge")) {}

Result<void> ChannelReader::begin() { return connection_.open(); }

Result<bool> ChannelReader::wait(std::chrono::milliseconds patience) {
  if (!connection_.is_open()) {
    if (auto opened = connection_.open(); !opened) return pass(std::move(opened.error()));
    return true;  // who knows what was said meanwhile
  }
  auto message = connection_.next(std::chrono::steady_clock::now() + patience);
  if (!message) return pass(std::move(message.error()));
  if (!*message) return false;
  for (;;) {  // many are one
    message = connection_.next(std::chrono::steady_clock::now());
    if (!message || !*message) return true;
  }
}

}  // namespace berth::redis
