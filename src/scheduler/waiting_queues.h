// Everything that waits in one cluster: per priority a queue in order of admission, and the same
// deployments grouped by demand. Parked ones (in back-off) stand beside their queue.
//
// An entry is 48 bytes in a table of chunks; everything else refers to it by its 32-bit slot.
#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/deployment.h"
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
    std::uint64_t order = 0;
    ShapeTable::Row row = 0;  // of an unused entry: the next unused one
    Priority priority : 8 = Priority::low;
    bool parked = false;
    bool used = false;
    bool awaits = false;  // while it is parked
    EngineTime since = 0;
    EngineTime max_run = 0;
  };

  struct Band {
    ShapeTable shapes;
    OrderedSequence considered;  // order -> slot
    OrderedSequence parked;
  };

  WaitingQueues() = default;
  WaitingQueues(const WaitingQueues& other);
  WaitingQueues(WaitingQueues&&) = default;
  WaitingQueues& operator=(WaitingQueues&&) = default;

  [[nodiscard]] std::size_t size() const { return index_.size(); }
  [[nodiscard]] Slot find(const DeploymentId& id) const;  // kNone when it does not wait
  // Brings what find() and add() of this one will look at near to the processor.
  void prefetch(const DeploymentId& id) const;
  [[nodiscard]] const Entry& entry(Slot slot) const {
    return chunks_[slot / kChunk][slot % kChunk];
  }
  [[nodiscard]] const Resources& demand(Slot slot) const { return shape(slot).demand; }
  [[nodiscard]] const Shape& shape(Slot slot) const {
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
  static constexpr std::size_t kChunk = 128;
  [[nodiscard]] Entry& at(Slot slot) { return chunks_[slot / kChunk][slot % kChunk]; }
  [[nodiscard]] Slot take_slot();
  void link(Slot slot, const Shape& shape, bool feasible);
  void unlink(Slot slot);
  void look_ahead(Priority priority, ShapeTable::Row row);

  std::vector<std::unique_ptr<Entry[]>> chunks_;
  Slot first_unused_ = kNone;
  SlotIndex index_;  // id -> slot
  std::array<Band, 2> bands_;
  Slot soon_ = kNone;  // has become the head of its row lately
};
static_assert(sizeof(WaitingQueues::Entry) == 48);

}  // namespace berth
