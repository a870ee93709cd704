#include "scheduler/shape_table.h"

#include <stdexcept>

namespace berth {

std::uint64_t ShapeTable::hash(const Shape& shape) {
  std::uint64_t h = mix(static_cast<std::uint64_t>(shape.demand.cpu_milli));
  h = mix(h + static_cast<std::uint64_t>(shape.demand.memory_bytes));
  return mix(h + static_cast<std::uint64_t>(shape.demand.gpu_milli) +
             (std::uint64_t{shape.constraint} << 32) + shape.replicas);
}

ShapeTable::Row ShapeTable::find(const Shape& shape) const {
  return index_.find(hash(shape), [&](Row row) { return rows_[row].shape == shape; });
}

ShapeTable::Row ShapeTable::acquire(const Shape& shape, bool feasible) {
  Row row = find(shape);
  if (row == SlotIndex::kNone) {
    if (unused_.empty()) {
      row = static_cast<Row>(rows_.size());
      rows_.emplace_back();
    } else {
      row = unused_.back();
      unused_.pop_back();
    }
    rows_[row].shape = shape;
    rows_[row].feasible = feasible;
    rows_[row].tried = false;
    index_.insert(hash(shape), row, hasher());
  }
  ++rows_[row].references;
  return row;
}

void ShapeTable::release(Row row) {
  RowState& state = rows_[row];
  ensure(state.references > 0, "a row of equal demands is released too often");
  if (--state.references > 0) return;
  ensure(state.waiting.empty(), "a row of equal demands is released while it is in use");
  index_.erase(hash(state.shape), row, hasher());
  unused_.push_back(row);
}

void ShapeTable::add(Row row, std::uint64_t order, std::uint32_t slot) {
  RowState& state = rows_[row];
  ensure(state.waiting.insert(order, slot), "two waiting deployments have the same order");
  if (!state.feasible) return;
  ++feasible_waiting_;
  if (state.waiting.size() == 1) set_fresh(row, true);
  if (order < heads_.order_of(row)) heads_.set(row, state.shape.demand, order);
}

void ShapeTable::remove(Row row, std::uint64_t order) {
  RowState& state = rows_[row];
  ensure(state.waiting.erase(order), "a waiting deployment is missing from its row");
  if (!state.feasible) return;
  --feasible_waiting_;
  if (heads_.order_of(row) == order) refresh_head(row);
  if (state.waiting.empty()) set_fresh(row, false);
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
  refresh_head(row);
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

void ShapeTable::refresh_head(Row row) {
  const RowState& state = rows_[row];
  if (state.feasible && !state.waiting.empty()) {
    heads_.set(row, state.shape.demand, state.waiting.first().key);
  } else {
    heads_.clear(row);
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
                    (unused_.capacity() + fresh_.capacity() + tried_.capacity()) * sizeof(Row) +
                    heads_.memory_bytes();
  for (const RowState& state : rows_) sum += state.waiting.memory_bytes();
  return sum;
}

void ShapeTable::check() const {
  const auto must = [](bool ok, const char* sentence) {
    if (!ok) throw std::logic_error(sentence);
  };
  std::size_t feasible = 0;
  std::size_t fresh = 0;
  std::size_t candidates = 0;
  heads_.check();
  for (Row row = 0; row < rows_.size(); ++row) {
    const RowState& state = rows_[row];
    state.waiting.check();
    must(state.references >= state.waiting.size(), "a row of equal demands has lost references");
    must(state.references == 0 || find(state.shape) == row, "a demand does not lead to its row");
    const bool candidate = state.feasible && !state.waiting.empty();
    if (candidate) feasible += state.waiting.size();
    if (is_fresh(row)) {
      ++fresh;
      must(candidate && fresh_[state.fresh_at] == row, "a row is marked fresh wrongly");
    }
    const std::uint64_t head = candidate ? state.waiting.first().key : HeadIndex::kNever;
    must(heads_.order_of(row) == head, "the head of a row is not known to the index");
    candidates += candidate ? 1 : 0;
  }
  must(feasible == feasible_waiting_, "feasible waiting deployments are counted wrongly");
  must(candidates == heads_.size(), "the index holds rows that cannot start");
  must(fresh == fresh_.size(), "fresh rows are counted wrongly");
}

}  // namespace berth
