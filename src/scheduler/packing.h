// Numbers, texts and ids as few bytes, and back. Reading never goes beyond the end: after the first
// mistake everything reads as zero and ok() is false.
#pragma once
#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "core/ids.h"

namespace berth {

class Packer {
 public:
  explicit Packer(std::string& out) : out_(out) {}

  void natural(std::uint64_t value) {  // seven bits a byte, the low ones first
    while (value >= 0x80) {
      out_ += static_cast<char>(value | 0x80);
      value >>= 7;
    }
    out_ += static_cast<char>(value);
  }
  void integer(std::int64_t value) {  // small ones of either sign are short
    natural((static_cast<std::uint64_t>(value) << 1) ^ static_cast<std::uint64_t>(value >> 63));
  }
  void text(std::string_view value) {
    natural(value.size());
    out_ += value;
  }
  void id(const DeploymentId& value) {
    out_.append(reinterpret_cast<const char*>(value.bytes().data()), value.bytes().size());
  }
  void fixed(std::uint64_t value) {
    for (int i = 0; i < 8; ++i) out_ += static_cast<char>(value >> (8 * i));
  }
  void real(double value) { fixed(std::bit_cast<std::uint64_t>(value)); }

 private:
  std::string& out_;
};

class Unpacker {
 public:
  explicit Unpacker(std::string_view in) : in_(in) {}

  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] bool at_end() const { return in_.empty(); }
  void refuse() {
    ok_ = false;
    in_ = {};
  }

  std::uint64_t natural() {
    std::uint64_t out = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (in_.empty()) break;
      const auto byte = static_cast<unsigned char>(in_.front());
      in_.remove_prefix(1);
      if (shift == 63 && byte > 1) break;
      out |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return out;
    }
    refuse();
    return 0;
  }
  std::int64_t integer() {
    const std::uint64_t value = natural();
    return static_cast<std::int64_t>((value >> 1) ^ (~(value & 1) + 1));
  }
  // Below a bound.
  template <class T>
  T number(std::uint64_t below) {
    const std::uint64_t value = natural();
    if (value < below) return static_cast<T>(value);
    refuse();
    return T{};
  }
  // How many elements of at least so many bytes follow: never more than there can be.
  std::size_t count(std::size_t bytes_each) {
    const std::uint64_t value = natural();
    if (value <= in_.size() / bytes_each) return static_cast<std::size_t>(value);
    refuse();
    return 0;
  }
  std::string text() {
    const std::size_t size = count(1);
    std::string out(in_.substr(0, size));
    in_.remove_prefix(size);
    return out;
  }
  DeploymentId id() {
    IdBytes out{};
    if (in_.size() < out.size()) {
      refuse();
      return {};
    }
    std::memcpy(out.data(), in_.data(), out.size());
    in_.remove_prefix(out.size());
    return DeploymentId(out);
  }
  std::uint64_t fixed() {
    if (in_.size() < 8) {
      refuse();
      return 0;
    }
    std::uint64_t out = 0;
    for (int i = 7; i >= 0; --i)
      out = out << 8 | static_cast<unsigned char>(in_[static_cast<std::size_t>(i)]);
    in_.remove_prefix(8);
    return out;
  }
  // Within bounds, and so a number.
  double real(double low, double high) {
    const auto out = std::bit_cast<double>(fixed());
    if (out >= low && out <= high) return out;
    refuse();
    return low;
  }

 private:
  std::string_view in_;
  bool ok_ = true;
};

}  // namespace berth
