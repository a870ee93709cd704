// The waiting deployments of one priority, grouped by demand. Those with equal demand form a row;
// only the head of each row need be looked at, because what does not fit for the head does not fit
// for the rest of its row either. Real clusters see few demands: 151 among the 8,152 pods of one
// public trace, 76 among 15,000 jobs of another.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "core/resources.h"
#include "scheduler/head_index.h"
#include "scheduler/ordered_sequence.h"
#include "scheduler/slot_index.h"

namespace berth {

// What those in one row have in common.
struct Shape {
  Resources demand;
  std::uint32_t constraint = 0;  // its number in the ConstraintTable; 0: none
  std::uint32_t replicas = 1;
  friend bool operator==(const Shape&, const Shape&) = default;
};

class ShapeTable {
 public:
  using Row = std::uint32_t;

  // A row lives as long as something refers to it, considered (add) or parked.
  [[nodiscard]] Row find(const Shape& shape) const;  // SlotIndex::kNone: no such row
  [[nodiscard]] Row acquire(const Shape& shape, bool feasible);
  void release(Row row);

  void add(Row row, std::uint64_t order, std::uint32_t slot);
  void remove(Row row, std::uint64_t order);
  [[nodiscard]] const Shape& shape(Row row) const { return rows_[row].shape; }
  [[nodiscard]] const Resources& demand(Row row) const { return rows_[row].shape.demand; }
  [[nodiscard]] bool feasible(Row row) const { return rows_[row].feasible; }
  [[nodiscard]] const OrderedSequence& waiting(Row row) const { return rows_[row].waiting; }

  // How many wait (without parked ones) whose demand some node could hold while empty.
  [[nodiscard]] std::size_t feasible_waiting() const { return feasible_waiting_; }
  // After a change of the node list.
  template <class Feasible>
  void judge_again(Feasible&& feasible) {
    for (Row row = 0; row < rows_.size(); ++row) {
      if (rows_[row].references > 0) set_feasible(row, feasible(rows_[row].shape));
    }
  }

  // Fresh rows have begun to wait since forget_fresh(): they have not been compared with all nodes.
  [[nodiscard]] std::span<const Row> fresh() const { return fresh_; }
  [[nodiscard]] bool is_fresh(Row row) const { return rows_[row].fresh_at != kNotFresh; }
  void forget_fresh();

  // Rows that did not fit although one of their replicas fits somewhere; until forget_tried().
  void set_tried(Row row) {
    rows_[row].tried = true;
    tried_.push_back(row);
  }
  [[nodiscard]] bool is_tried(Row row) const { return rows_[row].tried; }
  void forget_tried() {
    for (const Row row : tried_) rows_[row].tried = false;
    tried_.clear();
  }

  // The first of the feasible waiting that ask for no more than `room`, and for whose row
  // eligible(row) holds: replaces a later `best`.
  template <class Eligible>
  void first_fit(const Resources& room, HeadIndex::Head& best, const Eligible& eligible) const {
    heads_.first_fit(room, best, eligible);
  }
  void first_fit(const Resources& room, HeadIndex::Head& best) const {
    heads_.first_fit(room, best);
  }
  // Appends all feasible waiting rows whose demand does not exceed `room` in any resource.
  void collect(const Resources& room, std::vector<Row>& out) const { heads_.collect(room, out); }

  // The rows in use; for checks and listings.
  [[nodiscard]] std::vector<Row> rows() const;
  [[nodiscard]] std::uint32_t references(Row row) const { return rows_[row].references; }
  [[nodiscard]] std::size_t memory_bytes() const;
  void check() const;  // throws std::logic_error

 private:
  static constexpr std::uint32_t kNotFresh = ~std::uint32_t{0};
  struct RowState {
    Shape shape;
    OrderedSequence waiting;
    std::uint32_t references = 0;
    std::uint32_t fresh_at = kNotFresh;  // its place in fresh_
    bool feasible = false;
    bool tried = false;
  };
  [[nodiscard]] static std::uint64_t hash(const Shape& shape);
  [[nodiscard]] auto hasher() const {
    return [this](std::uint32_t row) { return hash(rows_[row].shape); };
  }
  void set_feasible(Row row, bool feasible);
  void set_fresh(Row row, bool fresh);
  void refresh_head(Row row);

  std::vector<RowState> rows_;
  std::vector<Row> unused_;
  SlotIndex index_;  // kind -> row
  std::vector<Row> fresh_;
  std::vector<Row> tried_;
  std::size_t feasible_waiting_ = 0;
  HeadIndex heads_;  // of the feasible rows in which something waits
};

}  // namespace berth
