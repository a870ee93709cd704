#pragma once
#include "store/sql/migrations.h"

namespace berth::postgres {

// In the order in which they are applied.
[[nodiscard]] std::span<const sql::Migration> migrations();

}  // namespace berth::postgres
