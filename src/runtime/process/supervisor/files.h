// File helpers of the supervisor: system calls only, failures as return values.
#pragma once
#include <cstddef>
#include <cstdint>

namespace berth::process {

// A whole file in memory that is never given back: the supervisor reads few and small ones.
struct Bytes {
  char* data = nullptr;  // NUL-terminated; null when it could not be read
  std::size_t size = 0;
};

// Texts that stay alive elsewhere; `items` ends with a null pointer, as execve wants it.
class TextList {
 public:
  void add(char* text);
  [[nodiscard]] int size() const { return size_; }
  [[nodiscard]] char* const* items() const { return items_ == nullptr ? kNone : items_; }
  [[nodiscard]] char* operator[](int i) const { return items_[i]; }

 private:
  static constexpr char* kNone[1] = {nullptr};
  char** items_ = nullptr;
  int size_ = 0;
  int room_ = 0;
};

Bytes read_file(int folder, const char* name);  // never through a symbolic link
Bytes read_path(const char* path);
bool write_path(const char* path, const char* text);
bool exists(int folder, const char* name);
// Replaces the file as a whole; `durable` waits for the disk.
bool replace_file(int folder, const char* name, const char* data, std::size_t size, bool durable);

std::int64_t number(const char* text);  // digits at the start of the text
std::int64_t now_ms();                  // counts on while the machine sleeps
std::int64_t wall_micros();

}  // namespace berth::process
