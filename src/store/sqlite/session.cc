#include "store/sqlite/session.h"

namespace berth::sqlite {

Result<void> Session::begin() {
  auto begun = done(db_.query("BEGIN IMMEDIATE").run());
  if (begun) open_ = true;
  appended_.clear();
  return begun;
}
void Session::rollback() {
  (void)db_.execute("ROLLBACK");
  open_ = false;
}
Result<void> Session::mark() {
  appended_before_ = appended_.size();
  return done(db_.query("SAVEPOINT unit").run());
}
Result<void> Session::undo() {
  appended_.resize(appended_before_);
  if (auto back = done(db_.query("ROLLBACK TO unit").run()); !back) return back;
  return keep();
}
Result<void> Session::keep() { return done(db_.query("RELEASE unit").run()); }
Result<std::int64_t> Session::commit() {
  auto first = write_events();
  if (!first) return first;
  auto committed = done(db_.query("COMMIT").run());
  if (!committed) return std::unexpected(std::move(committed.error()));
  open_ = false;
  return first;
}

Result<std::int64_t> Session::scalar(const char* sql) {
  auto query = db_.query(sql);
  const auto row = query.step();
  if (!row) return std::unexpected(row.error());
  return *row ? query.integer() : 0;
}

}  // namespace berth::sqlite
