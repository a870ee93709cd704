#include "queue/redis/entries.h"

#include <fmt/format.h>

#include <charconv>

namespace berth::redis {
namespace {

using Demands = std::unordered_map<std::string_view, std::string_view>;

std::optional<WaitingEntry> read_entry(std::string_view name, std::string_view score,
                                       std::string_view demand_words, Priority priority) {
  const auto id = DeploymentId::parse(name);
  const auto order = read_number(score);
  const auto demand = read_demand(demand_words);
  if (!id || !order || *order < 0 || !demand) return std::nullopt;
  return WaitingEntry{*id, priority, static_cast<std::uint64_t>(*order), *demand};
}

// False: something is wrong with it.
bool read_list(const redisReply& reply, Priority priority, const Demands& demands,
               std::vector<WaitingEntry>& out) {
  const auto words = items_of(reply);
  out.reserve(words.size() / 2);
  for (std::size_t i = 0; i + 1 < words.size(); i += 2) {
    const auto name = text_of(*words[i]);
    const auto found = demands.find(name);
    if (found == demands.end()) return false;
    const auto entry = read_entry(name, text_of(*words[i + 1]), found->second, priority);
    if (!entry) return false;
    out.push_back(*entry);
  }
  return true;
}

// Takes "name=5" from the front.
std::optional<std::int64_t> take(std::string_view& text, std::string_view name) {
  if (!text.starts_with(name)) return std::nullopt;
  text.remove_prefix(name.size());
  const auto end = std::min(text.find(' '), text.size());
  const auto value = read_number(text.substr(0, end));
  text.remove_prefix(std::min(end + 1, text.size()));
  return value && *value >= 0 ? value : std::nullopt;
}

}  // namespace

std::optional<std::int64_t> read_number(std::string_view text) {
  std::int64_t out = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (problem != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return out;
}

std::string demand_text(const Resources& demand) {
  return fmt::format("cpu={} memory={} gpu={}", demand.cpu_milli, demand.memory_bytes,
                     demand.gpu_milli);
}

std::optional<Resources> read_demand(std::string_view text) {
  const auto cpu = take(text, "cpu=");
  const auto memory = take(text, "memory=");
  const auto gpu = take(text, "gpu=");
  if (!cpu || !memory || !gpu || !text.empty()) return std::nullopt;
  return Resources{*cpu, *memory, *gpu};
}

bool read_page(const redisReply& list, const redisReply& demands, Priority priority,
               std::vector<WaitingEntry>& to) {
  const auto words = items_of(list);
  const auto texts = items_of(demands);
  if (words.size() != 2 * texts.size()) return false;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const auto entry = read_entry(text_of(*words[2 * i]), text_of(*words[2 * i + 1]),
                                  text_of(*texts[i]), priority);
    if (!entry) return false;
    to.push_back(*entry);
  }
  return true;
}

QueueMark read_mark(const redisReply& known) {
  const auto fields = items_of(known);
  if (fields.size() != 3) return {};
  const auto seq = read_number(text_of(*fields[0]));
  const auto high = read_number(text_of(*fields[1]));
  const auto low = read_number(text_of(*fields[2]));
  if (!seq || !high || !low || *high < 0 || *low < 0) return {};
  return {seq, static_cast<std::uint64_t>(*high), static_cast<std::uint64_t>(*low)};
}

QueueContent read_content(const redisReply& state, const redisReply& high, const redisReply& low,
                          const redisReply& demand) {
  const auto mark = read_mark(state);
  if (!mark.seq) return {};
  Demands demands;
  const auto words = items_of(demand);
  demands.reserve(words.size() / 2);
  for (std::size_t i = 0; i + 1 < words.size(); i += 2) {
    demands.emplace(text_of(*words[i]), text_of(*words[i + 1]));
  }
  QueueContent out;
  if (!read_list(high, Priority::high, demands, out.high) ||
      !read_list(low, Priority::low, demands, out.low) || out.high.size() != mark.high ||
      out.low.size() != mark.low || demands.size() != mark.high + mark.low) {
    return {};
  }
  out.seq = mark.seq;
  return out;
}

}  // namespace berth::redis
