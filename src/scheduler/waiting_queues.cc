#include "scheduler/waiting_queues.h"

#include <algorithm>
#include <stdexcept>

#include "base/ensure.h"
#include "scheduler/active_set.h"

namespace berth {

WaitingQueues::Slot WaitingQueues::find(const DeploymentId& id) const {
  return index_.find(hash_of_id(id), [&](Slot slot) { return entry(slot).id == id; });
}

WaitingQueues::Slot WaitingQueues::take_slot() {
  const Slot slot = first_unused_;
  if (slot != kNone) {
    first_unused_ = static_cast<Slot>(at(slot).order);
    return slot;
  }
  ensure(entries_.size() < kNone, "more wait than can be numbered");
  entries_.emplace_back();
  return static_cast<Slot>(entries_.size() - 1);
}

void WaitingQueues::link(Slot slot, const Shape& shape, bool feasible) {
  Entry& e = at(slot);
  Band& b = bands_[static_cast<std::size_t>(e.priority)];
  const ShapeTable::Row row = b.shapes.acquire(shape, feasible);
  e.row = row;
  ensure(e.row == row, "more different demands wait than an entry can tell apart");
  ensure((e.parked ? b.parked : b.considered).insert(e.order, slot),
         "two waiting deployments have the same order");
  if (!e.parked) b.shapes.add(e.row, e.order, slot);
}

void WaitingQueues::unlink(Slot slot) {
  const Entry& e = entry(slot);
  Band& b = bands_[static_cast<std::size_t>(e.priority)];
  ensure((e.parked ? b.parked : b.considered).erase(e.order),
         "a waiting deployment is missing from its queue");
  if (!e.parked) b.shapes.remove(e.row, e.order);
  b.shapes.release(e.row);
}

void WaitingQueues::prefetch(const DeploymentId& id) const { index_.prefetch(hash_of_id(id)); }

void WaitingQueues::add(const Queued& queued, const Shape& shape, bool feasible) {
  ensure(find(queued.id) == kNone, "a deployment that already waits is queued");
  const Slot slot = take_slot();
  const bool is_short = queued.max_run >= 0 && queued.max_run < EngineTime{kLongRun};
  if (!is_short) long_runs_[slot] = queued.max_run;
  at(slot) = {.id = queued.id,
              .order = queued.order,
              .since = queued.since,
              .short_run = is_short ? static_cast<std::uint32_t>(queued.max_run) : kLongRun,
              .priority = queued.priority,
              .parked = queued.parked,
              .used = true,
              .awaits = queued.awaits};
  index_.insert(hash_of_id(queued.id), slot);
  link(slot, shape, feasible);
}

// In a long queue most of the cost of a start is waiting for memory. Who leaves next is nearly
// always the head of a row, so what its leaving will touch is fetched when it becomes the head:
// first the entry, and with the next removal, when that is there, what the entry leads to.
void WaitingQueues::look_ahead(Priority priority, ShapeTable::Row row) {
  if (soon_ != kNone && entry(soon_).used) {
    const Entry& e = entry(soon_);
    index_.prefetch(hash_of_id(e.id));
    band(e.priority).considered.prefetch(e.order);
  }
  const OrderedSequence& waiting = band(priority).shapes.waiting(row);
  soon_ = waiting.empty() ? kNone : waiting.first().value;
  if (soon_ != kNone) __builtin_prefetch(&entry(soon_));
}

void WaitingQueues::remove(Slot slot) {
  const Priority priority = entry(slot).priority;
  const ShapeTable::Row row = entry(slot).row;
  unlink(slot);
  look_ahead(priority, row);
  index_.erase(hash_of_id(entry(slot).id), slot);
  if (entry(slot).short_run == kLongRun) long_runs_.erase(slot);
  at(slot) = {};
  at(slot).order = first_unused_;
  first_unused_ = slot;
}

void WaitingQueues::unpark(Slot slot) {
  Entry& e = at(slot);
  if (!e.parked) return;
  Band& b = bands_[static_cast<std::size_t>(e.priority)];
  ensure(b.parked.erase(e.order) && b.considered.insert(e.order, slot),
         "a parked deployment cannot go back to its queue");
  b.shapes.add(e.row, e.order, slot);
  e.parked = false;
  e.awaits = false;
}

void WaitingQueues::change_priority(Slot slot, Priority priority) {
  if (entry(slot).priority == priority) return;
  const Shape shape = this->shape(slot);
  const bool feasible = band(entry(slot).priority).shapes.feasible(entry(slot).row);
  unlink(slot);
  at(slot).priority = priority;
  link(slot, shape, feasible);
}

std::size_t WaitingQueues::memory_bytes() const {
  std::size_t sum = entries_.memory_bytes() + index_.memory_bytes();
  if (!long_runs_.empty()) {  // each in a node with the next one
    sum += long_runs_.bucket_count() * sizeof(void*);
    sum += long_runs_.size() * (sizeof(void*) + sizeof(std::pair<Slot, EngineTime>));
  }
  for (const Band& b : bands_) {
    sum += b.shapes.memory_bytes() + b.considered.memory_bytes() + b.parked.memory_bytes();
  }
  return sum;
}

void WaitingQueues::check() const {
  const auto must = [](bool ok, const char* sentence) {
    if (!ok) throw std::logic_error(sentence);
  };
  std::size_t found = 0;
  for (const Priority priority : {Priority::high, Priority::low}) {
    const Band& b = band(priority);
    b.shapes.check();
    b.considered.check();
    b.parked.check();
    std::size_t in_rows = 0;
    std::size_t references = 0;
    for (const ShapeTable::Row row : b.shapes.rows()) {
      in_rows += b.shapes.waiting(row).size();
      references += b.shapes.references(row);
    }
    must(in_rows == b.considered.size(), "the queue and its groups by demand differ in size");
    must(references == b.considered.size() + b.parked.size(), "the groups have lost entries");
    for (const bool parked : {false, true}) {
      const OrderedSequence& queue = parked ? b.parked : b.considered;
      for (std::size_t rank = 0; rank < queue.size();) {
        const auto run = queue.run(rank);
        for (std::size_t i = 0; i < run.keys.size(); ++i) {
          const Entry& e = entry(run.values[i]);
          must(e.used && e.order == run.keys[i] && e.priority == priority && e.parked == parked,
               "a queue leads to an entry that does not belong there");
          must(find(e.id) == run.values[i], "the index by id does not lead to its entry");
          const OrderedSequence& row = b.shapes.waiting(e.row);
          const auto in_row = row.run(row.rank(e.order));
          const bool there = !in_row.keys.empty() && in_row.keys[0] == e.order;
          must(there == !parked, "an entry is missing from the group of its demand");
          ++found;
        }
        rank += run.keys.size();
      }
    }
  }
  must(found == index_.size(), "the index by id and the queues differ in size");
  index_.check();
  std::size_t long_runs = 0;
  for (Slot slot = 0; slot < entries_.size(); ++slot) {
    if (entry(slot).short_run != kLongRun) continue;
    ++long_runs;
    must(long_runs_.contains(slot), "a long run time is lost");
  }
  must(long_runs == long_runs_.size(), "a long run time belongs to nobody");
}

}  // namespace berth
