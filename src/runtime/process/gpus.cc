#include "runtime/process/gpus.h"

#include <dlfcn.h>

#include <memory>

namespace berth::process {
namespace {

// The few parts of the library's interface that are used, as its documentation gives them.
using Device = struct DeviceHandle*;
struct Memory {
  unsigned long long total = 0, free = 0, used = 0;
};
constexpr int kSuccess = 0;
constexpr unsigned kNameLength = 96;

struct Close {
  void operator()(void* library) const { ::dlclose(library); }
};
using Library = std::unique_ptr<void, Close>;

template <class Function>
Function* symbol(const Library& library, const char* name) {
  return reinterpret_cast<Function*>(::dlsym(library.get(), name));
}

}  // namespace

std::vector<Gpu> find_gpus(const std::string& name) {
  const Library library(::dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL));
  if (!library) return {};
  auto* init = symbol<int()>(library, "nvmlInit_v2");
  auto* shutdown = symbol<int()>(library, "nvmlShutdown");
  auto* count = symbol<int(unsigned*)>(library, "nvmlDeviceGetCount_v2");
  auto* handle = symbol<int(unsigned, Device*)>(library, "nvmlDeviceGetHandleByIndex_v2");
  auto* model = symbol<int(Device, char*, unsigned)>(library, "nvmlDeviceGetName");
  auto* memory = symbol<int(Device, Memory*)>(library, "nvmlDeviceGetMemoryInfo");
  if (!init || !shutdown || !count || !handle || !model || !memory) return {};
  if (init() != kSuccess) return {};
  std::vector<Gpu> out;
  unsigned devices = 0;
  if (count(&devices) != kSuccess) devices = 0;
  for (unsigned i = 0; i < devices; ++i) {
    Gpu gpu;  // one that does not answer keeps its number: indices must not shift
    Device device = nullptr;
    char text[kNameLength] = "";
    Memory bytes;
    if (handle(i, &device) == kSuccess) {
      if (model(device, text, kNameLength) == kSuccess) gpu.model = text;
      if (memory(device, &bytes) == kSuccess)
        gpu.memory_bytes = static_cast<std::int64_t>(bytes.total);
    }
    out.push_back(std::move(gpu));
  }
  shutdown();
  return out;
}

}  // namespace berth::process
