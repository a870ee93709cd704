// How entries of a queue are written in Redis. Whatever does not read back is not ours.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "queue/redis/connection.h"
#include "queue/work_queue.h"

namespace berth::redis {

[[nodiscard]] std::optional<std::int64_t> read_number(std::string_view text);

// "cpu=500 memory=1073741824 gpu=0"
[[nodiscard]] std::string demand_text(const Resources& demand);
[[nodiscard]] std::optional<Resources> read_demand(std::string_view text);

// From the replies to HMGET state seq high low, ZRANGE ... WITHSCORES of both lists, and HGETALL
// of the demands, all of one moment.
[[nodiscard]] QueueContent read_content(const redisReply& state, const redisReply& high,
                                        const redisReply& low, const redisReply& demand);
// A part of a list: the reply to ZRANGE ... WITHSCORES and that to HMGET demand with its members,
// in that order, is added to `to`. False: something in it is not ours.
[[nodiscard]] bool read_page(const redisReply& list, const redisReply& demands, Priority priority,
                             std::vector<WaitingEntry>& to);
// From {seq, high, low}.
[[nodiscard]] QueueMark read_mark(const redisReply& known);

}  // namespace berth::redis
