// The two who wait, each on a connection of its own.
#pragma once
#include <memory>
#include <string>

#include "queue/redis/connection.h"
#include "queue/work_queue.h"

namespace berth::redis {

// Place in a stream, as Redis writes it: milliseconds and a number, "1700000000000-3".
struct StreamPlace {
  std::uint64_t time = 0, number = 0;
  [[nodiscard]] static StreamPlace parse(std::string_view text);
  [[nodiscard]] std::string str() const;
  friend auto operator<=>(const StreamPlace&, const StreamPlace&) = default;
};

class StreamReader final : public WakeReader {
 public:
  StreamReader(const Options& options, std::string name);
  Result<void> begin();  // a new group, from now on
  Result<std::vector<Wake>> wait(std::chrono::milliseconds patience) override;

 private:
  // Places say little after a loss: a new stream may use them again within a millisecond.
  struct Entry {
    StreamPlace place;
    std::string words;
  };
  // The last one between these places; nothing at all: that before the first one.
  Result<Entry> last_entry(const std::string& highest, const std::string& lowest);
  Result<void> make_group(const StreamPlace& from);
  Result<void> recover();  // the group is gone, with the stream or without it
  Result<std::vector<Wake>> take(const redisReply& reply);

  const std::string stream_, name_;
  Connection connection_;
  Entry latest_;          // that we got
  bool pending_ = false;  // something was sent to us that may not have arrived
};

class ChannelReader final : public NudgeReader {
 public:
  explicit ChannelReader(const Options& options);
  Result<void> begin();
  Result<bool> wait(std::chrono::milliseconds patience) override;

 private:
  Connection connection_;
};

}  // namespace berth::redis
