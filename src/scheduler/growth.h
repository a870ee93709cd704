// Growth in smaller steps than std::vector takes, for tables that make up most of the memory.
#pragma once
#include <algorithm>
#include <cstddef>
#include <vector>

namespace berth {

// Room for `size` elements: when there is too little, a quarter more than there was.
template <class T>
void make_room(std::vector<T>& table, std::size_t size) {
  if (size <= table.capacity()) return;
  table.reserve(std::max(size, table.capacity() + table.capacity() / 4));
}

}  // namespace berth
