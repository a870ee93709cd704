#include "queue/redis/scripts.h"

namespace berth::redis {
namespace {

// Whoever put something else under our names gets the same answer as one who took something away.
constexpr std::string_view kWhole = R"lua(
local state, high, low, demand = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local function size(command, key)
  local n = redis.pcall(command, key)
  if type(n) == 'number' then return n end
  return -1
end
local function whole()
  local known = redis.pcall('HMGET', state, 'seq', 'high', 'low')
  if known.err or not known[1] then return nil end
  local seq, h, l = tonumber(known[1]), tonumber(known[2] or ''), tonumber(known[3] or '')
  if not seq or not h or not l then return nil end
  if size('ZCARD', high) ~= h or size('ZCARD', low) ~= l or size('HLEN', demand) ~= h + l then
    return nil
  end
  return seq, known
end
)lua";

constexpr std::string_view kPublish = R"lua(
local seq = whole()
if not seq then
  redis.call('DEL', state)
  return 0
end
local last
for i = 1, #ARGV, 7 do
  local at = tonumber(ARGV[i])
  if tonumber(ARGV[i + 6]) > seq then  -- something between is missing
    redis.call('DEL', state)
    return 0
  end
  if at > seq then
    local leave, enter = ARGV[i + 1], ARGV[i + 2]
    if leave ~= '' then
      redis.call('ZREM', high, leave)
      redis.call('ZREM', low, leave)
      redis.call('HDEL', demand, leave)
    end
    if enter ~= '' then
      local own, other = high, low
      if ARGV[i + 3] == 'low' then own, other = low, high end
      redis.call('ZREM', other, enter)
      redis.call('ZADD', own, ARGV[i + 4], enter)
      redis.call('HSET', demand, enter, ARGV[i + 5])
    end
    seq, last = at, ARGV[i]
  end
end
if last then
  redis.call('HSET', state, 'seq', last, 'high', redis.call('ZCARD', high), 'low', redis.call('ZCARD', low))
end
return 1
)lua";

constexpr std::string_view kMark = R"lua(
local seq, known = whole()
if not seq then return {} end
return known
)lua";

constexpr std::string_view kReplace = R"lua(
local fresh = {KEYS[5], KEYS[6], KEYS[7]}
local h, l = tonumber(ARGV[2]), tonumber(ARGV[3])
if size('ZCARD', fresh[1]) ~= h or size('ZCARD', fresh[2]) ~= l or size('HLEN', fresh[3]) ~= h + l then
  redis.call('UNLINK', unpack(fresh))
  return redis.error_reply('INCOMPLETE what was written for a new queue is not all there')
end
local seq = whole()
if seq and seq > tonumber(ARGV[1]) then
  redis.call('UNLINK', unpack(fresh))
  return 0
end
redis.call('UNLINK', state, high, low, demand)
for i, key in ipairs({high, low, demand}) do
  if redis.call('EXISTS', fresh[i]) == 1 then
    redis.call('RENAME', fresh[i], key)
    redis.call('PERSIST', key)
  end
end
redis.call('HSET', state, 'seq', ARGV[1], 'high', ARGV[2], 'low', ARGV[3])
return 1
)lua";

}  // namespace

Keys::Keys(const std::string& prefix, const ClusterId& cluster, const std::string& part) {
  const std::string base = prefix + ":{" + cluster.str() + "}:" + part;
  state = base + "state";
  high = base + "high";
  low = base + "low";
  demand = base + "demand";
}

Pipeline load_scripts() {
  Pipeline out;
  for (const auto body : {kPublish, kMark, kReplace}) {
    out.add({"SCRIPT", "LOAD", std::string(kWhole) + std::string(body)});
  }
  return out;
}

}  // namespace berth::redis
