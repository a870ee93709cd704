#include "scheduler/recent_rate.h"

#include <algorithm>
#include <bit>

namespace berth {
namespace {

constexpr std::uint64_t kEnoughOfOne = 20;  // below so many releases of a priority, both are asked

// The value at which the running sum over bins from `from` on (of which only `part_of_first`
// counts) reaches `draw` of the whole; bins answer their lower and upper border.
template <class Count, class Border>
double quantile(std::size_t bins, std::size_t from, double part_of_first, double draw,
                const Count& count, const Border& border) {
  const auto weight = [&](std::size_t b) { return count(b) * (b == from ? part_of_first : 1.0); };
  double all = 0;
  for (std::size_t b = from; b < bins; ++b) all += weight(b);
  if (all < 0.5) return -1;
  double left = draw * all;
  for (std::size_t b = from; b < bins; ++b) {
    const double here = weight(b);
    if (left <= here && here > 0) {
      const double low =
          border(b + 1) - (border(b + 1) - border(b)) * (b == from ? part_of_first : 1);
      return low + (border(b + 1) - low) * left / here;
    }
    left -= here;
  }
  return -1;
}

}  // namespace

// Quarters of an octave, cut linearly.
std::size_t RecentRate::run_bin(EngineTime run) {
  const auto value = static_cast<std::uint64_t>(std::max<EngineTime>(run, 1)) << 2;
  const auto octave = static_cast<std::size_t>(std::bit_width(value)) - 1;
  const auto quarter = static_cast<std::size_t>(value >> (octave - 2)) & 3;
  return std::min((octave - 2) * kPerOctave + quarter, kRunBins - 1);
}

namespace {
double run_border(std::size_t bin) { return static_cast<double>((4 + bin % 4) << (bin / 4)) / 4; }
}  // namespace

double RecentRate::runs_in(Priority priority, std::size_t bin) const {
  const auto own = static_cast<std::size_t>(priority);
  if (seen_[own] >= kEnoughOfOne) return runs_[own].at(bin);
  return runs_[0].at(bin) + runs_[1].at(bin);
}

void RecentRate::queued(const Queued& entry, EngineTime now) {
  const EngineTime gap = arrived_ == 0 ? 0 : std::max<EngineTime>(now - last_arrival_, 0);
  arrivals_[arrived_++ % kArrivals] = {entry, gap};
  last_arrival_ = now;
}

void RecentRate::released(const ActiveEntry& entry, EngineTime now) {
  const EngineTime ran = std::max<EngineTime>(now - entry.started, 1);
  const auto own = static_cast<std::size_t>(entry.priority);
  runs_[own].add(run_bin(ran));
  ++seen_[own];
  ++releases_;
  if (entry.max_run > 0) {
    use_.add(
        static_cast<std::size_t>(std::min<EngineTime>(ran, entry.max_run) * 20 / entry.max_run));
  }
}

EngineTime RecentRate::run_time(Priority priority, EngineTime elapsed, double draw) const {
  const std::size_t from = run_bin(elapsed + 1);
  const double low = run_border(from);
  const double high = run_border(from + 1);
  const double part = std::clamp((high - static_cast<double>(elapsed)) / (high - low), 0.0, 1.0);
  const double found = quantile(
      kRunBins, from, part, draw, [&](std::size_t b) { return runs_in(priority, b); }, run_border);
  // Longer than all that is remembered: what has lasted will last as long again, give or take.
  const auto until =
      found >= 0 ? static_cast<EngineTime>(found)
                 : elapsed + static_cast<EngineTime>(2 * draw * static_cast<double>(elapsed));
  return std::max(until, elapsed + 1);
}

EngineTime RecentRate::run_time_within(EngineTime declared, EngineTime elapsed, double draw) const {
  if (elapsed >= declared) return elapsed + 1;
  const auto used = static_cast<double>(elapsed) / static_cast<double>(declared) * 20;
  const auto from = static_cast<std::size_t>(used);
  const auto border = [](std::size_t b) {
    return static_cast<double>(std::min<std::size_t>(b, 20));
  };
  const double found = quantile(
      kUseBins, from, border(from + 1) - used, draw, [&](std::size_t b) { return use_.at(b); },
      border);
  if (found < 0) return declared;
  const auto until = static_cast<EngineTime>(found / 20 * static_cast<double>(declared));
  return std::clamp(until, elapsed + 1, declared);
}

}  // namespace berth
