// A table that grows by chunks: elements stay where they are, nothing is moved when it grows, and
// there is at most one chunk more than is needed.
#pragma once
#include <algorithm>
#include <cstddef>
#include <memory>
#include <vector>

namespace berth {

template <class T, std::size_t kChunk>
class Chunked {
 public:
  Chunked() = default;
  Chunked(const Chunked& other) : size_(other.size_) {
    chunks_.reserve(other.chunks_.size());
    for (const auto& chunk : other.chunks_) {
      chunks_.push_back(std::make_unique<T[]>(kChunk));
      std::copy_n(chunk.get(), kChunk, chunks_.back().get());
    }
  }
  Chunked(Chunked&& other) noexcept { swap(other); }
  Chunked& operator=(Chunked other) noexcept {
    swap(other);
    return *this;
  }
  ~Chunked() = default;

  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] T& operator[](std::size_t i) {
    return chunks_.data()[i / kChunk].get()[i % kChunk];
  }
  [[nodiscard]] const T& operator[](std::size_t i) const {
    return chunks_.data()[i / kChunk].get()[i % kChunk];
  }

  T& emplace_back() {
    if (size_ == chunks_.size() * kChunk) chunks_.push_back(std::make_unique<T[]>(kChunk));
    return (*this)[size_++];
  }

  [[nodiscard]] std::size_t memory_bytes() const {
    return chunks_.size() * kChunk * sizeof(T) + chunks_.capacity() * sizeof(chunks_[0]);
  }

 private:
  void swap(Chunked& other) noexcept {
    std::swap(chunks_, other.chunks_);
    std::swap(size_, other.size_);
  }

  std::vector<std::unique_ptr<T[]>> chunks_;
  std::size_t size_ = 0;
};

}  // namespace berth
