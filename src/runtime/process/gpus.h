// The GPUs of this machine, asked from NVIDIA's management library if it is there.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace berth::process {

struct Gpu {
  std::string model;
  std::int64_t memory_bytes = 0;
};

// Loaded by name at run time. No library, no driver, no device: an empty list.
[[nodiscard]] std::vector<Gpu> find_gpus(const std::string& library = "libnvidia-ml.so.1");

}  // namespace berth::process
