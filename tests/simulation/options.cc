#include "simulation/options.h"

#include <fmt/format.h>

#include <charconv>

namespace berth::sim {
namespace {

const std::map<std::string, bool Broken::*> kVariants{
    {"blind_reservation", &Broken::blind_reservation},
    {"no_fence", &Broken::no_fence},
    {"no_hold", &Broken::no_hold},
    {"effects_first", &Broken::effects_first},
    {"stop_by_name", &Broken::stop_by_name},
    {"no_tombstone", &Broken::no_tombstone},
    {"stop_first_only", &Broken::stop_first_only}};

template <class Number>
bool read(const std::string& text, Number& into) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), into);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

std::optional<Options> parse(std::span<char* const> words) {
  Options out;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string word = words[i];
    if (word == "--go-on" || word == "--every-fault") {
      (word == "--go-on" ? out.go_on : out.every_fault) = true;
      continue;
    }
    if (++i == words.size()) return std::nullopt;
    const std::string value = words[i];
    const bool known = (word == "--first" && read(value, out.first)) ||
                       (word == "--seeds" && read(value, out.seeds)) ||
                       (word == "--jobs" && read(value, out.jobs)) ||
                       (word == "--lines" && read(value, out.lines));
    if (known) continue;
    if (word != "--broken" || !kVariants.contains(value)) return std::nullopt;
    out.broken.push_back(value);
  }
  return out;
}

Wish wish_of(const Options& options, std::uint64_t seed) {
  Wish wish;
  wish.seed = seed;
  for (const auto& name : options.broken) wish.broken.*kVariants.at(name) = true;
  return wish;
}

std::string replay(const Options& options, std::uint64_t seed) {
  auto wish = wish_of(options, seed);
  wish.lines = options.lines;
  const auto again = run(wish);
  std::string out = fmt::format("seed {} breaks: {}\n", seed, again.broken);
  for (const auto& line : again.lines) out += line + "\n";
  out += fmt::format("Run it again: simulation --first {}", seed);
  for (const auto& name : options.broken) out += " --broken " + name;
  return out + "\n";
}

}  // namespace berth::sim
