// A table in chunks of kChunk elements. Only the last chunk grows, from kFirst elements on in small
// steps: a short table is small, a long one has hardly any room to spare, and growing never moves
// more than one chunk. References hold until the next emplace_back().
#pragma once
#include <algorithm>
#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

namespace berth {

template <class T, std::size_t kChunk, std::size_t kFirst>
class Chunked {
 public:
  Chunked() = default;
  Chunked(const Chunked& other) : size_(other.size_), last_room_(other.last_room_) {
    chunks_.reserve(other.chunks_.size());
    for (const auto& chunk : other.chunks_) {
      const bool last = &chunk == &other.chunks_.back();
      chunks_.push_back(std::make_unique<T[]>(last ? last_room_ : kChunk));
      std::copy_n(chunk.get(), last ? last_room_ : kChunk, chunks_.back().get());
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
    if (size_ % kChunk == 0) {
      chunks_.push_back(std::make_unique<T[]>(kFirst));
      last_room_ = kFirst;
    } else if (used_of_last() == last_room_) {
      const std::size_t room = std::min(kChunk, last_room_ + std::max(kFirst, last_room_ / 4));
      auto wider = std::make_unique<T[]>(room);
      std::move(chunks_.back().get(), chunks_.back().get() + last_room_, wider.get());
      chunks_.back() = std::move(wider);
      last_room_ = room;
    }
    return (*this)[size_++];
  }

  [[nodiscard]] std::size_t memory_bytes() const {
    const std::size_t room = chunks_.empty() ? 0 : (chunks_.size() - 1) * kChunk + last_room_;
    return room * sizeof(T) + chunks_.capacity() * sizeof(chunks_[0]);
  }

 private:
  void swap(Chunked& other) noexcept {
    std::swap(chunks_, other.chunks_);
    std::swap(size_, other.size_);
    std::swap(last_room_, other.last_room_);
  }
  [[nodiscard]] std::size_t used_of_last() const { return size_ - (chunks_.size() - 1) * kChunk; }

  std::vector<std::unique_ptr<T[]>> chunks_;
  std::size_t size_ = 0;
  std::size_t last_room_ = 0;
};

}  // namespace berth
