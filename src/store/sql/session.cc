#include "store/sql/session.h"

namespace berth::sql {

Result<void> Session::begin() {
  appended_.clear();
  auto begun = db_->begin();
  open_ = begun.has_value();
  return begun;
}
void Session::rollback() {
  db_->rollback();
  open_ = false;
}
Result<void> Session::mark() {
  appended_before_ = appended_.size();
  return db_->mark();
}
Result<void> Session::undo() {
  appended_.resize(appended_before_);
  return db_->undo();
}
Result<void> Session::keep() { return db_->keep(); }
Result<std::int64_t> Session::commit() {
  auto first = db_->commit(appended_);
  if (first) open_ = false;
  return first;
}

Result<std::int64_t> Session::scalar(const char* sql) {
  auto query = db_->query(sql);
  const auto row = query.step();
  if (!row) return std::unexpected(row.error());
  return *row ? query.integer() : 0;
}

}  // namespace berth::sql
