#include "scheduler/recent_rate.h"

#include <algorithm>
#include <bit>

#include "scheduler/packed.h"

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

// --- as bytes ----------------------------------------------------------------------------------

template <std::size_t Bins>
void FadingCounts<Bins>::put(Packer& out) const {
  out.real(weight_);
  out.natural(static_cast<std::uint64_t>(
      std::ranges::count_if(counts_, [](double count) { return count != 0; })));
  for (std::size_t bin = 0; bin < Bins; ++bin) {
    if (counts_[bin] == 0) continue;
    out.natural(bin);
    out.real(counts_[bin]);
  }
}

template <std::size_t Bins>
void FadingCounts<Bins>::get(Unpacker& in) {
  *this = {};
  weight_ = in.real(1, 2 * kLarge);
  const std::size_t used = in.count(9);
  for (std::size_t i = 0; i < used && in.ok(); ++i) {
    const auto bin = in.number<std::size_t>(Bins);
    counts_[bin] = in.real(0, 1e6 * kLarge);
  }
}

void RecentRate::put(Packer& out) const {
  for (const auto& runs : runs_) runs.put(out);
  for (const std::uint64_t seen : seen_) out.natural(seen);
  use_.put(out);
  out.natural(releases_);
  out.natural(arrived_);
  out.integer(last_arrival_);
  for (const Arrival& arrival : arrivals()) {
    journal::put(out, arrival.entry, last_arrival_);
    out.integer(arrival.gap);
  }
}

void RecentRate::get(Unpacker& in) {
  constexpr EngineTime kLongest = EngineTime{1} << 50;
  *this = {};
  for (auto& runs : runs_) runs.get(in);
  for (std::uint64_t& seen : seen_) seen = in.natural();
  use_.get(in);
  releases_ = in.natural();
  arrived_ = in.natural();
  last_arrival_ = in.integer();
  for (std::size_t i = 0; i < std::min<std::uint64_t>(arrived_, kArrivals) && in.ok(); ++i) {
    Queued entry = journal::get_queued(in, last_arrival_);
    const EngineTime gap = in.integer();
    const Resources& demand = entry.demand;
    const bool fine = gap >= 0 && gap <= kLongest && entry.replicas > 0 && demand.cpu_milli >= 0 &&
                      demand.memory_bytes >= 0 && demand.gpu_milli >= 0 && entry.max_run >= 0;
    if (!fine) in.refuse();
    arrivals_[i] = {std::move(entry), gap};
  }
}

}  // namespace berth
