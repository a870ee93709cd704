#pragma once
#include <span>
#include <string_view>

namespace berth::sqlite {

struct Migration {
  std::string_view name;  // "0001_initial"
  std::string_view sql;
};

// In the order in which they are applied.
std::span<const Migration> migrations();

}  // namespace berth::sqlite
