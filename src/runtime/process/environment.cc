#include "runtime/process/environment.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace berth::process {

std::vector<std::string> environment_for(const Launch& launch, const Place& place) {
  std::map<std::string, std::string> out{
      {"PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
      {"HOME", place.work},
      {"PWD", place.work},
      {"TMPDIR", place.tmp},
      {"LANG", "C.UTF-8"}};
  for (const auto& [name, value] : launch.spec.env) out[name] = value;
  std::vector<std::int32_t> devices;
  for (const auto& share : launch.grant.gpus) devices.push_back(share.device);
  // Empty when it has none: an unset variable would mean all of them. The order is the one in which
  // the devices were found, which is not CUDA's own on a machine with different models.
  out["CUDA_VISIBLE_DEVICES"] = fmt::format("{}", fmt::join(devices, ","));
  out["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID";
  if (place.port) out["PORT"] = std::to_string(*place.port);
  out["BERTH_DEPLOYMENT_ID"] = launch.key.deployment.str();
  out["BERTH_DEPLOYMENT"] = launch.name;
  out["BERTH_ATTEMPT"] = std::to_string(launch.key.number);
  out["BERTH_REPLICA"] = std::to_string(launch.key.replica);
  out["BERTH_REPLICAS"] = std::to_string(launch.spec.replicas);
  out["BERTH_NODE"] = launch.grant.node;
  std::vector<std::string> entries;
  for (const auto& [name, value] : out) entries.push_back(name + "=" + value);
  return entries;
}

std::vector<std::string> marks_of(const AttemptKey& key) {
  return {"BERTH_DEPLOYMENT_ID=" + key.deployment.str(),
          "BERTH_ATTEMPT=" + std::to_string(key.number),
          "BERTH_REPLICA=" + std::to_string(key.replica)};
}

}  // namespace berth::process
