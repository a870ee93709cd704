// How a deployment's specification and GPU shares look in their columns.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "core/cluster.h"
#include "core/deployment.h"

namespace berth::sql {

// Compact JSON without what has columns of its own; members at their default are left out, so that
// old rows stay readable when the specification grows.
[[nodiscard]] std::string encode_spec(const DeploymentSpec& spec);
// Rows are ours, but disks rot: what cannot be read comes back as a default with the rest.
[[nodiscard]] DeploymentSpec decode_spec(std::string_view text, const Resources& resources);

// "0:1000,1:250": device and thousandths.
[[nodiscard]] std::string encode_gpus(const std::vector<GpuShare>& gpus);
[[nodiscard]] std::vector<GpuShare> decode_gpus(std::string_view text);

// The places of a gang's other replicas, which ask for `resources` each, and how all of them are:
// compact JSON, empty for nothing.
[[nodiscard]] std::string encode_gang(const Gang& gang);
[[nodiscard]] Gang decode_gang(std::string_view text, const Resources& resources);

// What a node must be beside large enough: compact JSON, empty for nothing; and its labels.
[[nodiscard]] std::string encode_needs(const Constraint& constraint);
[[nodiscard]] Constraint decode_needs(std::string_view text);
[[nodiscard]] std::string encode_labels(const std::map<std::string, std::string>& labels);
[[nodiscard]] std::map<std::string, std::string> decode_labels(std::string_view text);

// "2000/1073741824/1000/17, ...": thousandths of cores, bytes, thousandths of devices, weight.
[[nodiscard]] std::string encode_mix(const std::vector<DemandShare>& mix);
[[nodiscard]] std::vector<DemandShare> decode_mix(std::string_view text);

}  // namespace berth::sql
