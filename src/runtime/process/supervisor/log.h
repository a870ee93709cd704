// The attempt's output on disk: bytes as they came, in two files of half the cap each. The name of
// a file tells the offset of its first byte, so offsets go on counting when the oldest is dropped.
#pragma once
#include <cstddef>
#include <cstdint>

namespace berth::process {

class Log {
 public:
  Log(int folder, std::int64_t cap);
  void append(const char* data, std::size_t size);

 private:
  bool begin(std::int64_t offset);

  int folder_;
  std::int64_t half_;
  int fd_ = -1;
  std::int64_t offset_ = 0;     // of the present file
  std::int64_t previous_ = -1;  // of the file before it
  std::int64_t size_ = 0;
};

}  // namespace berth::process
