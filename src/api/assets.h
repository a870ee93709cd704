// Files that are built into the binary: Swagger UI and a few small pages.
#pragma once
#include <span>
#include <string_view>

namespace berth::api {

struct Asset {
  std::string_view path;
  std::string_view type;
  std::string_view bytes;
  bool cache = false;
};

[[nodiscard]] std::span<const Asset> assets();

}  // namespace berth::api
