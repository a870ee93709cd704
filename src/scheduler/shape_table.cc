#include "scheduler/shape_table.h"

#include <limits>
#include <stdexcept>

namespace berth {
namespace {

constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();

}  // namespace

std::uint64_t ShapeTable::hash(const Resources& demand) {
  std::uint64_t h = mix(static_cast<std::uint64_t>(demand.cpu_milli));
  h = mix(h + static_cast<std::uint64_t>(demand.memory_bytes));
  return mix(h + static_cast<std::uint64_t>(demand.gpu_milli));
}

ShapeTable::Row ShapeTable::find(const Resources& demand) const {
  return index_.find(hash(demand), [&](Row row) { return rows_[row].demand == demand; });
}

ShapeTable::Row ShapeTable::acquire(const Resources& demand, bool feasible) {
  Row row = find(demand);
  if (row == SlotIndex::kNone) {
    if (unused_.empty()) {
      row = static_cast<Row>(rows_.size());
      rows_.emplace_back();
      cpu_.push_back(kNever);
      memory_.push_back(kNever);
      gpu_.push_back(kNever);
    } else {
      row = unused_.back();
      unused_.pop_back();
    }
    rows_[row].demand = demand;
    rows_[row].feasible = feasible;
    index_.insert(hash(demand), row, hasher());
  }
  ++rows_[row].references;
  return row;
}

void ShapeTable::release(Row row) {
  RowState& state = rows_[row];
  ensure(state.references > 0, "a row of equal demands is released too often");
  if (--state.references > 0) return;
  ensure(state.waiting.empty(), "a row of equal demands is released while it is in use");
  index_.erase(hash(state.demand), row, hasher());
  unused_.push_back(row);
}

void ShapeTable::add(Row row, std::uint64_t order, std::uint32_t slot) {
  RowState& state = rows_[row];
  ensure(state.waiting.insert(order, slot), "two waiting deployments have the same order");
  if (state.feasible) ++feasible_waiting_;
  if (state.waiting.size() > 1) return;
  if (state.feasible) set_fresh(row, true);
  refresh_filter(row);
}

void ShapeTable::remove(Row row, std::uint64_t order) {
  RowState& state = rows_[row];
  ensure(state.waiting.erase(order), "a waiting deployment is missing from its row");
  if (state.feasible) --feasible_waiting_;
  if (!state.waiting.empty()) return;
  set_fresh(row, false);
  refresh_filter(row);
}

void ShapeTable::set_feasible(Row row, bool feasible) {
  RowState& state = rows_[row];
  if (state.feasible == feasible) return;
  state.feasible = feasible;
  if (feasible) {
    feasible_waiting_ += state.waiting.size();
  } else {
    feasible_waiting_ -= state.waiting.size();
  }
  set_fresh(row, feasible && !state.waiting.empty());
  refresh_filter(row);
}

void ShapeTable::set_fresh(Row row, bool fresh) {
  std::uint32_t& at = rows_[row].fresh_at;
  if (fresh == (at != kNotFresh)) return;
  if (fresh) {
    at = static_cast<std::uint32_t>(fresh_.size());
    fresh_.push_back(row);
    return;
  }
  rows_[fresh_.back()].fresh_at = at;  // the last one fills the gap
  fresh_[at] = fresh_.back();
  fresh_.pop_back();
  at = kNotFresh;
}

void ShapeTable::forget_fresh() {
  for (const Row row : fresh_) rows_[row].fresh_at = kNotFresh;
  fresh_.clear();
}

void ShapeTable::refresh_filter(Row row) {
  const RowState& state = rows_[row];
  const bool candidate = state.feasible && !state.waiting.empty();
  cpu_[row] = candidate ? state.demand.cpu_milli : kNever;
  memory_[row] = candidate ? state.demand.memory_bytes : kNever;
  gpu_[row] = candidate ? state.demand.gpu_milli : kNever;
}

void ShapeTable::collect(const Resources& room, std::vector<Row>& out) const {
  for (std::size_t row = 0; row < cpu_.size(); ++row) {
    // One branch for all three: most rows fail, in an order no processor can guess.
    const int excess = int{cpu_[row] > room.cpu_milli} | int{memory_[row] > room.memory_bytes} |
                       int{gpu_[row] > room.gpu_milli};
    if (excess == 0) out.push_back(static_cast<Row>(row));
  }
}

std::vector<ShapeTable::Row> ShapeTable::rows() const {
  std::vector<Row> out;
  for (Row row = 0; row < rows_.size(); ++row) {
    if (rows_[row].references > 0) out.push_back(row);
  }
  return out;
}

std::size_t ShapeTable::memory_bytes() const {
  std::size_t sum = rows_.capacity() * sizeof(RowState) + index_.memory_bytes() +
                    (unused_.capacity() + fresh_.capacity()) * sizeof(Row) +
                    (cpu_.capacity() + memory_.capacity() + gpu_.capacity()) * sizeof(std::int64_t);
  for (const RowState& state : rows_) sum += state.waiting.memory_bytes();
  return sum;
}

void ShapeTable::check() const {
  const auto must = [](bool ok, const char* sentence) {
    if (!ok) throw std::logic_error(sentence);
  };
  std::size_t feasible = 0;
  std::size_t fresh = 0;
  for (Row row = 0; row < rows_.size(); ++row) {
    const RowState& state = rows_[row];
    state.waiting.check();
    must(state.references >= state.waiting.size(), "a row of equal demands has lost references");
    must(state.references == 0 || find(state.demand) == row, "a demand does not lead to its row");
    const bool candidate = state.feasible && !state.waiting.empty();
    if (candidate) feasible += state.waiting.size();
    if (is_fresh(row)) {
      ++fresh;
      must(candidate && fresh_[state.fresh_at] == row, "a row is marked fresh wrongly");
    }
    const Resources filter{cpu_[row], memory_[row], gpu_[row]};
    must(filter == (candidate ? state.demand : Resources{kNever, kNever, kNever}),
         "the filter of a row does not match its demand");
  }
  must(feasible == feasible_waiting_, "feasible waiting deployments are counted wrongly");
  must(fresh == fresh_.size(), "fresh rows are counted wrongly");
}

}  // namespace berth
