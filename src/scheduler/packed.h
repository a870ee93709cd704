// What waits, what runs, the nodes and the rules, as bytes in the journal. A structure begins with
// a word of flags that says which of its fields follow; the others have their usual value. Times
// stand relative to the `now` of the step or the state that they are part of. Reading refuses what
// makes no sense, flags of a newer version included.
#pragma once
#include <vector>

#include "scheduler/engine.h"
#include "scheduler/packing.h"

namespace berth::journal {

// Which fields follow.
class Flags {
 public:
  explicit Flags(std::uint64_t value = 0) : value_(value) {}
  Flags& set(std::uint64_t flag, bool on) {
    if (on) value_ |= flag;
    return *this;
  }
  [[nodiscard]] bool has(std::uint64_t flag) const { return (value_ & flag) != 0; }
  [[nodiscard]] std::uint64_t value() const { return value_; }

 private:
  std::uint64_t value_;
};
[[nodiscard]] inline Flags flags_of(Unpacker& in, std::uint64_t known) {
  const std::uint64_t value = in.natural();
  if ((value & ~known) != 0) in.refuse();
  return Flags(value);
}

inline constexpr std::uint64_t kAnyUint32 = std::uint64_t{1} << 32;

void put(Packer& out, const Resources& r);
[[nodiscard]] Resources get_resources(Unpacker& in);
void put(Packer& out, const Queued& q, EngineTime now);
[[nodiscard]] Queued get_queued(Unpacker& in, EngineTime now);
void put(Packer& out, const Placement& place);
[[nodiscard]] Placement get_placement(Unpacker& in);
void put(Packer& out, const std::vector<Placement>& places);
[[nodiscard]] std::vector<Placement> get_placements(Unpacker& in);
void put(Packer& out, const ActiveEntry& e, EngineTime now);
[[nodiscard]] ActiveEntry get_active(Unpacker& in, EngineTime now);
void put(Packer& out, const std::vector<Node>& nodes);
[[nodiscard]] std::vector<Node> get_nodes(Unpacker& in);
void put(Packer& out, const Rules& rules);
[[nodiscard]] Rules get_rules(Unpacker& in);

}  // namespace berth::journal
