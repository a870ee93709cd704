// What the recent past tells about the near future: how long attempts ran, how much of the declared
// longest run time they used, what was queued and how fast it came. Fed with each submission and
// each release; deterministic, O(1) for an event, under 16 kB. The past fades: of a few hundred
// releases the last ones count most, and of the submissions the last 64.
#pragma once
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "scheduler/engine.h"
#include "scheduler/packing.h"

namespace berth {

// Counts per bin in which the past fades by a fixed part with each new count.
template <std::size_t Bins>
class FadingCounts {
 public:
  void add(std::size_t bin) {
    weight_ *= kGrowth;
    counts_[bin] += weight_;
    if (weight_ < kLarge) return;
    for (double& count : counts_) count /= weight_;
    weight_ = 1;
  }
  // In units of one event of now: at most about 1 / (1 - 1 / kGrowth).
  [[nodiscard]] double at(std::size_t bin) const { return counts_[bin] / weight_; }

  void put(Packer& out) const;
  void get(Unpacker& in);  // refuses what cannot have come about

 private:
  static constexpr double kGrowth = 1 + 1.0 / 256;
  static constexpr double kLarge = 1e9;
  std::array<double, Bins> counts_{};
  double weight_ = 1;
};

class RecentRate {
 public:
  // A new one was queued (not one that comes back).
  void queued(const Queued& entry, EngineTime now);
  // An attempt that started at `entry.started` is gone at `now`.
  void released(const ActiveEntry& entry, EngineTime now);

  // Enough releases to say something.
  [[nodiscard]] bool known() const { return releases_ >= 3; }

  // What was queued lately, in no particular order, each with the time since the one before it.
  struct Arrival {
    Queued entry;
    EngineTime gap = 0;
  };
  [[nodiscard]] std::span<const Arrival> arrivals() const {
    return std::span(arrivals_).first(std::min<std::size_t>(arrived_, kArrivals));
  }

  // The run time below which the part `draw` (0 to 1) of the attempts of this priority stays, among
  // those that ran longer than `elapsed`; always more than `elapsed`.
  [[nodiscard]] EngineTime run_time(Priority priority, EngineTime elapsed, double draw) const;
  // The same for the used part of a declared run time; at most `declared`, unless that is over.
  [[nodiscard]] EngineTime run_time_within(EngineTime declared, EngineTime elapsed,
                                           double draw) const;

  // All of it, as bytes.
  void put(Packer& out) const;
  void get(Unpacker& in);

 private:
  static constexpr std::size_t kArrivals = 64;
  static constexpr std::size_t kPerOctave = 4;
  static constexpr std::size_t kRunBins = 44 * kPerOctave;  // up to centuries of milliseconds
  static constexpr std::size_t kUseBins = 21;               // twentieths; the last: all of it
  [[nodiscard]] static std::size_t run_bin(EngineTime run);
  [[nodiscard]] double runs_in(Priority priority, std::size_t bin) const;

  std::array<FadingCounts<kRunBins>, 2> runs_;  // by priority
  std::array<std::uint64_t, 2> seen_{};
  FadingCounts<kUseBins> use_;
  std::uint64_t releases_ = 0;
  std::array<Arrival, kArrivals> arrivals_{};
  std::uint64_t arrived_ = 0;
  EngineTime last_arrival_ = 0;
};

}  // namespace berth
