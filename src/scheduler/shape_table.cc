#include "scheduler/shape_table.h"

#include <stdexcept>

#include "scheduler/node_table.h"

namespace berth {

std::uint64_t ShapeTable::hash(const Shape& shape) {
  std::uint64_t h = mix(static_cast<std::uint64_t>(shape.demand.cpu_milli));
  h = mix(h + static_cast<std::uint64_t>(shape.demand.memory_bytes));
  return mix(h + static_cast<std::uint64_t>(shape.demand.gpu_milli) +
             (std::uint64_t{shape.constraint} << 32) + shape.replicas +
             (std::uint64_t{shape.tenant} << 16));
}

ShapeTable::Row ShapeTable::find(const Shape& shape) const {
  return index_.find(hash(shape), [&](Row row) { return rows_[row].shape() == shape; });
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
    RowState& state = rows_[row];
    state.demand = shape.demand;
    state.constraint = shape.constraint;
    state.replicas = shape.replicas;
    state.tenant = shape.tenant;
    state.feasible = feasible;
    state.tried = false;
    index_.insert(hash(shape), row);
  }
  ++rows_[row].references;
  ensure(rows_[row].references > 0, "more have the same demand than a row can count");
  return row;
}

void ShapeTable::release(Row row) {
  RowState& state = rows_[row];
  ensure(state.references > 0, "a row of equal demands is released too often");
  if (--state.references > 0) return;
  ensure(state.waiting.empty(), "a row of equal demands is released while it is in use");
  index_.erase(hash(state.shape()), row);
  unused_.push_back(row);
}

void ShapeTable::add(Row row, std::uint64_t order, std::uint32_t slot) {
  RowState& state = rows_[row];
  ensure(state.waiting.insert(order, slot), "two waiting deployments have the same order");
  if (!state.feasible) return;
  ++feasible_waiting_;
  if (state.waiting.size() == 1) set_fresh(row, true);
  widen_lane(row);
  if (order < heads_.order_of(row)) heads_.set(lane_of(row), row, state.demand, order);
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
  RowState& state = rows_[row];
  if (state.fresh == fresh) return;
  state.fresh = fresh;
  if (!fresh) {
    --fresh_count_;
    return;
  }
  ++fresh_count_;
  if (state.listed) return;
  state.listed = true;
  fresh_.push_back(row);
}

void ShapeTable::forget_fresh() {
  for (const Row row : fresh_) {
    rows_[row].fresh = false;
    rows_[row].listed = false;
  }
  fresh_.clear();
  fresh_count_ = 0;
}

void ShapeTable::refresh_head(Row row) {
  const RowState& state = rows_[row];
  if (state.feasible && !state.waiting.empty()) {
    widen_lane(row);
    heads_.set(lane_of(row), row, state.demand, state.waiting.first().key);
  } else {
    heads_.clear(row);
  }
}

// The lane of a row that begins to wait.
void ShapeTable::widen_lane(Row row) {
  const std::uint32_t at = lane_of(row);
  if (at >= lanes_.size()) lanes_.resize(at + 1);
  if (!apart_) return;
  const Resources all = repeated(rows_[row].demand, rows_[row].replicas);
  lanes_[at].largest = elementwise_max(lanes_[at].largest, all);
}

// Beyond the largest demand the headroom does not matter, and so does not grow.
void ShapeTable::open(std::uint32_t lane, const Resources& headroom) {
  const Resources now = elementwise_min(headroom, lanes_[lane].largest);
  const Resources before = lanes_[lane].seen;
  if (fits_into(now, before)) return;
  std::vector<Row> rows;
  heads_.collect(lane, now, rows);
  for (const Row row : rows) {
    const Resources all = repeated(rows_[row].demand, rows_[row].replicas);
    if (fits_into(all, now) && !fits_into(all, before)) set_fresh(row, true);
  }
}

void ShapeTable::remember_headroom(std::uint32_t lane, const Resources& headroom) {
  lanes_[lane].seen = elementwise_min(headroom, lanes_[lane].largest);
}

std::vector<ShapeTable::Row> ShapeTable::rows() const {
  std::vector<Row> out;
  for (Row row = 0; row < rows_.size(); ++row) {
    if (rows_[row].references > 0) out.push_back(row);
  }
  return out;
}

std::size_t ShapeTable::memory_bytes() const {
  std::size_t sum = rows_.memory_bytes() + index_.memory_bytes() +
                    (unused_.capacity() + fresh_.capacity() + tried_.capacity()) * sizeof(Row) +
                    lanes_.capacity() * sizeof(Lane) + heads_.memory_bytes();
  for (Row row = 0; row < rows_.size(); ++row) sum += rows_[row].waiting.memory_bytes();
  return sum;
}

void ShapeTable::check() const {
  const auto must = [](bool ok, const char* sentence) {
    if (!ok) throw std::logic_error(sentence);
  };
  std::size_t feasible = 0;
  std::size_t fresh = 0;
  std::size_t listed = 0;
  std::size_t candidates = 0;
  std::size_t indexed = 0;
  heads_.check();
  for (std::uint32_t lane = 0; lane < lanes(); ++lane) indexed += heads_.size(lane);
  for (Row row = 0; row < rows_.size(); ++row) {
    const RowState& state = rows_[row];
    state.waiting.check();
    must(state.references >= state.waiting.size(), "a row of equal demands has lost references");
    must(state.references == 0 || find(state.shape()) == row, "a demand does not lead to its row");
    const bool candidate = state.feasible && !state.waiting.empty();
    if (candidate) feasible += state.waiting.size();
    fresh += is_fresh(row) ? 1 : 0;
    listed += state.listed ? 1 : 0;
    must(!is_fresh(row) || (candidate && state.listed), "a row is marked fresh wrongly");
    const std::uint64_t head = candidate ? state.waiting.first().key : HeadIndex::kNever;
    must(heads_.order_of(row) == head, "the head of a row is not known to the index");
    candidates += candidate ? 1 : 0;
  }
  must(feasible == feasible_waiting_, "feasible waiting deployments are counted wrongly");
  must(candidates == indexed, "the index holds rows that cannot start");
  must(fresh == fresh_count_, "fresh rows are counted wrongly");
  must(listed == fresh_.size(), "fresh rows are listed wrongly");
  for (const Row row : fresh_) must(rows_[row].listed, "a row is among the fresh ones wrongly");
  index_.check();
}

}  // namespace berth
