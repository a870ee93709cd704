#include "queue/redis/redis_queue.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/ensure.h"
#include "base/random.h"
#include "queue/redis/entries.h"
#include "queue/redis/readers.h"
#include "queue/redis/settings.h"

namespace berth::redis {
namespace {

constexpr std::size_t kChangesAtOnce = 2000;   // in one exchange
constexpr std::size_t kChangesInScript = 500;  // the server does nothing else meanwhile
constexpr std::size_t kEntriesAtOnce = 20'000;
constexpr std::size_t kEntriesInCommand = 500;
constexpr std::size_t kEntriesInPage = 10'000;
// Longer queues are read in pages: one answer with all would stop the server for seconds.
constexpr std::uint64_t kReadAtOnce = 50'000;
constexpr int kPagedTries = 3;
constexpr std::string_view kKeptWakes = "100000";
// A new queue whose writer died is thrown away by the server.
constexpr std::string_view kUnfinishedSeconds = "60";

std::string order_text(const WaitingEntry& entry) {
  ensure(entry.order < kOrderLimit, "admission numbers are exact as doubles");
  return std::to_string(entry.order);
}

void add_words(const QueueChange& change, std::vector<std::string>& to) {
  to.push_back(std::to_string(change.seq));
  to.push_back(change.leave ? change.leave->str() : "");
  if (change.enter) {
    to.push_back(change.enter->id.str());
    to.emplace_back(to_text(change.enter->priority));
    to.push_back(order_text(*change.enter));
    to.push_back(demand_text(change.enter->demand));
  } else {
    to.insert(to.end(), 4, "");
  }
  to.push_back(std::to_string(change.after));
}

Result<void> all_done(const Replies& replies) {
  for (const auto& reply : replies) {
    if (reply->type == REDIS_REPLY_ERROR) return refused(*reply);
  }
  return {};
}

Result<void> all_done(const Result<Replies>& replies) {
  return replies ? all_done(*replies) : Result<void>(pass(replies.error()));
}

std::string fresh_name() {
  std::array<std::uint8_t, 8> bytes{};
  SystemRandom().fill(bytes);
  std::string out = "new-";
  for (const auto byte : bytes) out += fmt::format("{:02x}", byte);
  return out + ":";
}

}  // namespace

RedisQueue::RedisQueue(Options options)
    : options_(std::move(options)),
      wake_(options_.prefix + ":wake"),
      clusters_(options_.prefix + ":clusters"),
      nudge_(options_.prefix + ":nudge"),
      generation_(options_.prefix + ":generation"),
      connection_(options_, load_scripts()) {}
RedisQueue::~RedisQueue() = default;

std::string_view RedisQueue::name_of(Script script) const {
  return text_of(*connection_.greetings().at(static_cast<std::size_t>(script)));
}

void RedisQueue::call(Pipeline& to, Script script, std::span<const std::string_view> keys,
                      std::span<const std::string> words) const {
  const auto count = std::to_string(keys.size());
  std::vector<std::string_view> all{"EVALSHA", name_of(script), count};
  all.insert(all.end(), keys.begin(), keys.end());
  all.insert(all.end(), words.begin(), words.end());
  to.add(all);
}

Result<bool> RedisQueue::cleared(const Replies& replies) {
  const auto any = [&](std::string_view word) {
    return std::any_of(replies.begin(), replies.end(),
                       [&](const ReplyPtr& reply) { return is_error(*reply, word); });
  };
  if (any("NOSCRIPT")) {
    connection_.close();  // the next opening loads them
    return true;
  }
  if (any("READONLY")) {
    connection_.close();  // it is the primary no more; the address may lead to another one now
    return false;
  }
  if (!any("WRONGTYPE")) return false;
  Pipeline types;
  types.add({"TYPE", wake_});
  types.add({"TYPE", clusters_});
  auto found = connection_.exchange(types);
  if (!found) return pass(std::move(found.error()));
  Pipeline away;
  if (text_of(*(*found)[0]) != "stream") away.add({"DEL", wake_});
  if (text_of(*(*found)[1]) != "set") away.add({"DEL", clusters_});
  if (away.size() == 0) return false;
  auto gone = connection_.exchange(away);
  if (!gone) return pass(std::move(gone.error()));
  return true;
}

Result<Replies> RedisQueue::exchange(const Compose& compose) {
  const std::unique_lock lock(mutex_, options_.timeout);
  if (!lock.owns_lock()) return unavailable("Redis is too slow: others still wait for it.");
  for (bool first = true;; first = false) {
    // The names of the scripts are known from the first opening on, and never change.
    if (connection_.greetings().empty() || !connection_.is_open()) {
      if (auto opened = connection_.open(); !opened) return pass(std::move(opened.error()));
    }
    Pipeline commands;
    compose(commands);
    auto replies = connection_.exchange(commands);
    if (!replies || !first) return replies;
    const auto again = cleared(*replies);
    if (!again) return pass(again.error());
    if (!*again) return replies;
  }
}

Result<void> RedisQueue::publish(std::span<const QueueChange> changes) {
  while (!changes.empty()) {
    const auto some = changes.first(std::min(changes.size(), kChangesAtOnce));
    if (auto done = publish_some(some); !done) return done;
    changes = changes.subspan(some.size());
  }
  return {};
}

// The queues first: who is woken finds them as they are after the change.
Result<void> RedisQueue::publish_some(std::span<const QueueChange> changes) {
  std::map<ClusterId, std::vector<const QueueChange*>> by_cluster;
  for (const auto& change : changes) by_cluster[change.cluster].push_back(&change);
  auto replies = exchange([&](Pipeline& to) {
    for (const auto& [cluster, own] : by_cluster) {
      const Keys keys(options_.prefix, cluster);
      const std::array<std::string_view, 4> names{keys.state, keys.high, keys.low, keys.demand};
      for (std::size_t from = 0; from < own.size(); from += kChangesInScript) {
        std::vector<std::string> words;
        for (std::size_t i = from; i < std::min(own.size(), from + kChangesInScript); ++i) {
          add_words(*own[i], words);
        }
        call(to, Script::publish, names, words);
      }
    }
    for (const auto& change : changes) {
      to.add({"XADD", wake_, "MAXLEN", "~", kKeptWakes, "*", "seq", std::to_string(change.seq),
              "kind", to_text(change.kind), "cluster", change.cluster.str()});
    }
  });
  return all_done(replies);
}

Result<void> RedisQueue::write_fresh(const Keys& fresh, std::span<const WaitingEntry> waiting) {
  const auto write = [&](Pipeline& to, std::span<const WaitingEntry> some) {
    std::vector<std::string> texts;  // id, order and demand of each
    texts.reserve(some.size() * 3);
    for (const auto& entry : some) {
      texts.insert(texts.end(), {entry.id.str(), order_text(entry), demand_text(entry.demand)});
    }
    std::vector<std::string_view> high{"ZADD", fresh.high}, low{"ZADD", fresh.low};
    std::vector<std::string_view> demand{"HSET", fresh.demand};
    for (std::size_t i = 0; i < some.size(); ++i) {
      auto& list = some[i].priority == Priority::high ? high : low;
      list.insert(list.end(), {texts[3 * i + 1], texts[3 * i]});
      demand.insert(demand.end(), {texts[3 * i], texts[3 * i + 2]});
    }
    for (const auto* command : {&high, &low, &demand}) {
      if (command->size() > 2) to.add(*command);
    }
  };
  while (!waiting.empty()) {
    auto some = waiting.first(std::min(waiting.size(), kEntriesAtOnce));
    waiting = waiting.subspan(some.size());
    const auto done = all_done(exchange([&](Pipeline& to) {
      for (auto rest = some; !rest.empty();) {
        const auto part = rest.first(std::min(rest.size(), kEntriesInCommand));
        write(to, part);
        rest = rest.subspan(part.size());
      }
      for (const auto* key : {&fresh.high, &fresh.low, &fresh.demand}) {
        to.add({"EXPIRE", *key, kUnfinishedSeconds});
      }
    }));
    if (!done) return done;
  }
  return {};
}

Result<void> RedisQueue::rebuild(const ClusterId& cluster, std::span<const WaitingEntry> waiting,
                                 std::int64_t seq) {
  const Keys keys(options_.prefix, cluster);
  const Keys fresh(options_.prefix, cluster, fresh_name());
  if (auto written = write_fresh(fresh, waiting); !written) return written;
  const auto high = std::count_if(waiting.begin(), waiting.end(), [](const WaitingEntry& entry) {
    return entry.priority == Priority::high;
  });
  const std::array<std::string_view, 7> names{keys.state, keys.high, keys.low,    keys.demand,
                                              fresh.high, fresh.low, fresh.demand};
  const std::array<std::string, 3> words{
      std::to_string(seq), std::to_string(high),
      std::to_string(static_cast<std::ptrdiff_t>(waiting.size()) - high)};
  return all_done(exchange([&](Pipeline& to) {
    to.add({"SADD", clusters_, cluster.str()});
    call(to, Script::replace, names, words);
  }));
}

Result<void> RedisQueue::remove(const ClusterId& cluster) {
  const Keys keys(options_.prefix, cluster);
  return all_done(exchange([&](Pipeline& to) {
    to.add({"UNLINK", keys.state, keys.high, keys.low, keys.demand});
    to.add({"SREM", clusters_, cluster.str()});
  }));
}

Result<QueueMark> RedisQueue::mark(const ClusterId& cluster) {
  auto all = marks(std::span(&cluster, 1));
  if (!all) return pass(std::move(all.error()));
  return all->front();
}

// A long queue that changes all the time is read at once in the end, whatever that costs.
Result<QueueContent> RedisQueue::content(const ClusterId& cluster) {
  for (int tries = 0; tries < kPagedTries; ++tries) {
    const auto before = mark(cluster);
    if (!before) return pass(before.error());
    if (before->high + before->low <= kReadAtOnce) break;
    auto content = content_in_pages(cluster, *before);
    if (!content) return pass(std::move(content.error()));
    if (*content) return std::move(**content);
  }
  return content_at_once(cluster);
}

Result<std::optional<QueueContent>> RedisQueue::content_in_pages(const ClusterId& cluster,
                                                                 const QueueMark& mark) {
  const Keys keys(options_.prefix, cluster);
  QueueContent out{mark.seq, {}, {}};
  out.high.reserve(mark.high);
  out.low.reserve(mark.low);
  bool good = true;
  while (good && (out.high.size() < mark.high || out.low.size() < mark.low)) {
    const bool high = out.high.size() < mark.high;
    const auto added =
        add_page(keys, high ? Priority::high : Priority::low, high ? out.high : out.low);
    if (!added) return pass(added.error());
    good = *added;
  }
  const auto after = this->mark(cluster);
  if (!after) return pass(after.error());
  if (*after != mark) return std::optional<QueueContent>{};
  return good ? std::move(out) : QueueContent{};
}

// False: there is no next page, or it holds what is not ours.
Result<bool> RedisQueue::add_page(const Keys& keys, Priority priority,
                                  std::vector<WaitingEntry>& to) {
  const auto first = std::to_string(to.size());
  const auto last = std::to_string(to.size() + kEntriesInPage - 1);
  auto list = exchange([&](Pipeline& ask) {
    ask.add(
        {"ZRANGE", priority == Priority::high ? keys.high : keys.low, first, last, "WITHSCORES"});
  });
  if (!list) return pass(std::move(list.error()));
  const auto words = items_of(*list->front());
  if (words.empty()) return false;  // an error, too, when somebody put something else there
  auto demands = exchange([&](Pipeline& ask) {
    std::vector<std::string_view> command{"HMGET", keys.demand};
    for (std::size_t i = 0; i < words.size(); i += 2) command.push_back(text_of(*words[i]));
    ask.add(command);
  });
  if (!demands) return pass(std::move(demands.error()));
  return read_page(*list->front(), *demands->front(), priority, to);
}

Result<QueueContent> RedisQueue::content_at_once(const ClusterId& cluster) {
  const Keys keys(options_.prefix, cluster);
  auto replies = exchange([&](Pipeline& to) {
    to.add({"MULTI"});
    to.add({"HMGET", keys.state, "seq", "high", "low"});
    to.add({"ZRANGE", keys.high, "0", "-1", "WITHSCORES"});
    to.add({"ZRANGE", keys.low, "0", "-1", "WITHSCORES"});
    to.add({"HGETALL", keys.demand});
    to.add({"EXEC"});
  });
  if (auto done = all_done(replies); !done) return pass(std::move(done.error()));
  const auto parts = items_of(*replies->back());
  if (parts.size() != 4) return unavailable("Redis did not answer what was asked.");
  return read_content(*parts[0], *parts[1], *parts[2], *parts[3]);
}

Result<std::vector<QueueMark>> RedisQueue::marks(std::span<const ClusterId> clusters) {
  if (clusters.empty()) return std::vector<QueueMark>{};
  auto replies = exchange([&](Pipeline& to) {
    for (const auto& cluster : clusters) {
      const Keys keys(options_.prefix, cluster);
      const std::array<std::string_view, 4> names{keys.state, keys.high, keys.low, keys.demand};
      call(to, Script::mark, names, {});
    }
  });
  if (auto done = all_done(replies); !done) return pass(std::move(done.error()));
  std::vector<QueueMark> out;
  for (const auto& reply : *replies) out.push_back(read_mark(*reply));
  return out;
}

Result<std::vector<ClusterId>> RedisQueue::clusters() {
  auto replies = exchange([&](Pipeline& to) { to.add({"SMEMBERS", clusters_}); });
  if (auto done = all_done(replies); !done) return pass(std::move(done.error()));
  std::vector<ClusterId> out;
  for (const auto* member : items_of(*replies->front())) {
    if (const auto id = ClusterId::parse(text_of(*member))) out.push_back(*id);
  }
  std::sort(out.begin(), out.end());
  return out;
}

Result<std::unique_ptr<WakeReader>> RedisQueue::reader(const std::string& name) {
  auto out = std::make_unique<StreamReader>(options_, name);
  if (auto begun = out->begin(); !begun) return pass(std::move(begun.error()));
  return out;
}

Result<void> RedisQueue::forget_readers(std::span<const std::string> living) {
  auto replies = exchange([&](Pipeline& to) { to.add({"XINFO", "GROUPS", wake_}); });
  if (!replies) return pass(std::move(replies.error()));
  const auto& groups = *replies->front();
  if (groups.type == REDIS_REPLY_ERROR && !is_error(groups, "ERR no such key")) {
    return refused(groups);
  }
  std::vector<std::string> dead;
  for (const auto* group : items_of(groups)) {
    const auto words = items_of(*group);
    for (std::size_t i = 0; i + 1 < words.size(); i += 2) {
      if (text_of(*words[i]) != "name") continue;
      std::string name(text_of(*words[i + 1]));
      if (std::find(living.begin(), living.end(), name) == living.end()) {
        dead.push_back(std::move(name));
      }
    }
  }
  if (dead.empty()) return {};
  return all_done(exchange([&](Pipeline& to) {
    for (const auto& name : dead) to.add({"XGROUP", "DESTROY", wake_, name});
  }));
}

Result<std::string> RedisQueue::generation(std::string_view proposal) {
  const auto replies = exchange([&](Pipeline& to) {
    to.add({"SET", generation_, proposal, "NX"});
    to.add({"GET", generation_});
  });
  if (!replies) return std::unexpected(replies.error());
  for (const auto& reply : *replies) {
    if (reply->type == REDIS_REPLY_ERROR) return refused(*reply);
  }
  return std::string(text_of(*replies->back()));
}

Result<void> RedisQueue::nudge() {
  return all_done(exchange([&](Pipeline& to) { to.add({"PUBLISH", nudge_, "1"}); }));
}

Result<std::unique_ptr<NudgeReader>> RedisQueue::nudges() {
  auto out = std::make_unique<ChannelReader>(options_);
  if (auto begun = out->begin(); !begun) return pass(std::move(begun.error()));
  return out;
}

Result<std::vector<std::string>> RedisQueue::warnings() {
  auto replies = exchange([&](Pipeline& to) {
    to.add({"INFO", "server"});
    for (const auto* name : {"maxmemory-policy", "protected-mode", "requirepass"}) {
      to.add({"CONFIG", "GET", name});
    }
  });
  if (!replies) return pass(std::move(replies.error()));
  Settings settings;
  const auto info = text_of(*(*replies)[0]);
  settings.version = info_value(info, "redis_version");
  settings.cluster = info_value(info, "redis_mode") == "cluster";
  std::vector<std::string> values;
  for (std::size_t i = 1; i < 4; ++i) {
    const auto pair = items_of(*(*replies)[i]);
    if (pair.size() == 2) values.emplace_back(text_of(*pair[1]));
  }
  settings.may_read_config = values.size() == 3;
  if (settings.may_read_config) {
    settings.eviction = values[0];
    settings.protected_mode = values[1] != "no";
    settings.default_password = !values[2].empty();
  }
  return warnings_of(settings, options_);
}

}  // namespace berth::redis
