// The waiting deployments of one priority, grouped by demand. Those with equal demand form a row;
// only the head of each row need be looked at, because what does not fit for the head does not fit
// for the rest of its row either. Real clusters see few demands: 151 among the 8,152 pods of one
// public trace, 76 among 15,000 jobs of another.
#pragma once
#include <cstdint>
#include <vector>

#include "core/resources.h"
#include "scheduler/chunked.h"
#include "scheduler/head_index.h"
#include "scheduler/ordered_sequence.h"
#include "scheduler/slot_index.h"

namespace berth {

// What those in one row have in common.
struct Shape {
  Resources demand;
  std::uint32_t constraint = 0;  // its number in the ConstraintTable; 0: none
  std::uint32_t replicas = 1;
  std::uint32_t tenant = 0;
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
  [[nodiscard]] Shape shape(Row row) const { return rows_[row].shape(); }
  [[nodiscard]] const Resources& demand(Row row) const { return rows_[row].demand; }
  [[nodiscard]] std::uint32_t constraint(Row row) const { return rows_[row].constraint; }
  [[nodiscard]] std::uint32_t replicas(Row row) const { return rows_[row].replicas; }
  [[nodiscard]] bool feasible(Row row) const { return rows_[row].feasible; }
  [[nodiscard]] const OrderedSequence& waiting(Row row) const { return rows_[row].waiting; }

  // The rows of each tenant on their own in a lane of that number, instead of all in lane 0.
  // Before anything waits.
  void keep_tenants_apart() { apart_ = true; }
  [[nodiscard]] std::uint32_t lane_of(Row row) const { return apart_ ? rows_[row].tenant : 0; }
  [[nodiscard]] std::uint32_t lanes() const { return static_cast<std::uint32_t>(lanes_.size()); }
  // How many rows of the lane wait and are feasible.
  [[nodiscard]] std::size_t rows_in(std::uint32_t lane) const { return heads_.size(lane); }
  // Rows of the lane that now fit into `headroom`, but did not fit into what it was when
  // remember_headroom() was called last, become fresh: they were passed over.
  void open(std::uint32_t lane, const Resources& headroom);
  void remember_headroom(std::uint32_t lane, const Resources& headroom);

  // How many wait (without parked ones) whose demand some node could hold while empty.
  [[nodiscard]] std::size_t feasible_waiting() const { return feasible_waiting_; }
  // After a change of the node list.
  template <class Feasible>
  void judge_again(Feasible&& feasible) {
    for (Row row = 0; row < rows_.size(); ++row) {
      if (rows_[row].references > 0) set_feasible(row, feasible(shape(row)));
    }
  }

  // Fresh rows have begun to wait since forget_fresh(): they have not been compared with all nodes.
  // How many there are:
  [[nodiscard]] std::size_t fresh() const { return fresh_count_; }
  [[nodiscard]] bool is_fresh(Row row) const { return rows_[row].fresh; }
  template <class See>
  void for_each_fresh(See&& see) const {
    for (const Row row : fresh_) {
      if (is_fresh(row)) see(row);
    }
  }
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

  // The first of the feasible waiting in a lane that ask for no more than `room`, and for whose row
  // eligible(row) holds: replaces a later `best`.
  template <class Eligible>
  void first_fit(std::uint32_t lane, const Resources& room, HeadIndex::Head& best,
                 const Eligible& eligible) const {
    heads_.first_fit(lane, room, best, eligible);
  }
  // Appends all feasible waiting rows whose demand does not exceed `room` in any resource.
  void collect(std::uint32_t lane, const Resources& room, std::vector<Row>& out) const {
    heads_.collect(lane, room, out);
  }

  // The rows in use; for checks and listings.
  [[nodiscard]] std::vector<Row> rows() const;
  [[nodiscard]] std::uint32_t references(Row row) const { return rows_[row].references; }
  [[nodiscard]] std::size_t memory_bytes() const;
  void check() const;  // throws std::logic_error

 private:
  // Where all demands differ there is one for each that waits, so its size counts. The first
  // members are those of its Shape, which would have padding behind them.
  struct RowState {
    Resources demand;
    std::uint32_t constraint = 0;
    std::uint32_t replicas = 1;
    std::uint32_t tenant = 0;
    std::uint32_t references : 28 = 0;
    bool feasible : 1 = false;
    bool tried : 1 = false;
    bool fresh : 1 = false;
    bool listed : 1 = false;  // in fresh_, where it stays when it is not fresh any more
    OrderedSequence waiting;

    [[nodiscard]] Shape shape() const { return {demand, constraint, replicas, tenant}; }
  };
  static_assert(sizeof(RowState) == 56);
  struct Lane {
    Resources largest;           // what all replicas of any of its rows asked for together, at most
    Resources seen{-1, -1, -1};  // the headroom that was remembered, as far as it matters
  };
  [[nodiscard]] static std::uint64_t hash(const Shape& shape);
  void set_feasible(Row row, bool feasible);
  void set_fresh(Row row, bool fresh);
  void refresh_head(Row row);
  void widen_lane(Row row);

  Chunked<RowState, 1024, 16> rows_;
  std::vector<Row> unused_;
  SlotIndex index_;         // shape -> row
  std::vector<Row> fresh_;  // each at most once; those that are listed
  std::size_t fresh_count_ = 0;
  std::vector<Row> tried_;
  std::size_t feasible_waiting_ = 0;
  HeadIndex heads_;  // of the feasible rows in which something waits
  std::vector<Lane> lanes_;
  bool apart_ = false;
};

}  // namespace berth
