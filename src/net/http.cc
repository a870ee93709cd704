#include "net/http.h"

#include "net/framing.h"

namespace berth::net {
namespace {
const Header* find(const Headers& headers, std::string_view name) {
  for (const auto& header : headers) {
    if (equal_ignoring_case(header.name, name)) return &header;
  }
  return nullptr;
}
}  // namespace

std::string_view find_header(const Headers& headers, std::string_view name) {
  const auto* header = find(headers, name);
  return header ? std::string_view(header->value) : std::string_view{};
}

bool has_header(const Headers& headers, std::string_view name) {
  return find(headers, name) != nullptr;
}

}  // namespace berth::net
