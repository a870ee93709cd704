// Everything that waits in one cluster: per priority a queue in order of admission, and the same
// deployments grouped by demand. Parked ones (in back-off) stand beside their queue.
//
// An entry is 40 bytes in a table of chunks; everything else refers to it by its 32-bit slot.
#pragma once
#include <array>
#include <cstdint>
#include <unordered_map>

#include "core/deployment.h"
#include "scheduler/chunked.h"
#include "scheduler/engine.h"
#include "scheduler/ordered_sequence.h"
#include "scheduler/shape_table.h"
#include "scheduler/slot_index.h"

namespace berth {

class WaitingQueues {
 public:
  using Slot = std::uint32_t;
  static constexpr Slot kNone = SlotIndex::kNone;

  struct Entry {
    DeploymentId id;
    std::uint64_t order = 0;  // of an unused entry: the next unused one
    EngineTime since = 0;
    std::uint32_t short_run = 0;  // max_run(), or kLongRun
    ShapeTable::Row row : 27 = 0;
    Priority priority : 2 = Priority::low;
    bool parked : 1 = false;
    bool used : 1 = false;
    bool awaits : 1 = false;  // while it is parked
  };

  struct Band {
    ShapeTable shapes;
    OrderedSequence considered;  // order -> slot
    OrderedSequence parked;
  };

  [[nodiscard]] std::size_t size() const { return index_.size(); }
  [[nodiscard]] Slot find(const DeploymentId& id) const;  // kNone when it does not wait
  // Brings what find() and add() of this one will look at near to the processor.
  void prefetch(const DeploymentId& id) const;
  [[nodiscard]] const Entry& entry(Slot slot) const { return entries_[slot]; }
  [[nodiscard]] EngineTime max_run(Slot slot) const {
    const std::uint32_t run = entry(slot).short_run;
    return run == kLongRun ? long_runs_.at(slot) : EngineTime{run};
  }
  [[nodiscard]] const Resources& demand(Slot slot) const {
    return band(entry(slot).priority).shapes.demand(entry(slot).row);
  }
  [[nodiscard]] Shape shape(Slot slot) const {
    return band(entry(slot).priority).shapes.shape(entry(slot).row);
  }
  [[nodiscard]] const Band& band(Priority p) const { return bands_[static_cast<std::size_t>(p)]; }
  [[nodiscard]] ShapeTable& shapes(Priority p) {
    return bands_[static_cast<std::size_t>(p)].shapes;
  }

  void keep_tenants_apart() {
    for (Band& b : bands_) b.shapes.keep_tenants_apart();
  }

  // `feasible`: whether the nodes could hold that kind while nothing else runs.
  void add(const Queued& entry, const Shape& shape, bool feasible);  // its id must be new
  void remove(Slot slot);
  void unpark(Slot slot);
  void change_priority(Slot slot, Priority priority);

  [[nodiscard]] std::size_t memory_bytes() const;
  void check() const;  // throws std::logic_error

 private:
  static constexpr std::uint32_t kLongRun = ~std::uint32_t{0};
  [[nodiscard]] Entry& at(Slot slot) { return entries_[slot]; }
  [[nodiscard]] Slot take_slot();
  void link(Slot slot, const Shape& shape, bool feasible);
  void unlink(Slot slot);
  void look_ahead(Priority priority, ShapeTable::Row row);

  Chunked<Entry, 1024, 32> entries_;
  Slot first_unused_ = kNone;
  SlotIndex index_;                                 // id -> slot
  std::unordered_map<Slot, EngineTime> long_runs_;  // what an entry has no room for: seven weeks
  std::array<Band, 2> bands_;
  Slot soon_ = kNone;  // has become the head of its row lately
};
static_assert(sizeof(WaitingQueues::Entry) == 40);

}  // namespace berth
