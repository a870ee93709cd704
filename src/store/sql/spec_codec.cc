#include "store/sql/spec_codec.h"

#include <fmt/format.h>

#include <boost/json.hpp>
#include <charconv>

namespace berth::sql {
namespace {

namespace js = boost::json;
using Millis = std::chrono::milliseconds;

template <class T, class U>
void put_unless_default(js::object& out, std::string_view key, const T& value, const U& initial) {
  if (!(value == initial)) out[key] = value;
}

void put_map(js::object& out, std::string_view key, const std::map<std::string, std::string>& map) {
  if (map.empty()) return;
  js::object members;
  for (const auto& [name, value] : map) members[name] = value;
  out[key] = std::move(members);
}

std::int64_t get_int(const js::object& in, std::string_view key, std::int64_t initial) {
  const auto* value = in.if_contains(key);
  return value != nullptr && value->is_int64() ? value->as_int64() : initial;
}

std::string get_text(const js::object& in, std::string_view key) {
  const auto* value = in.if_contains(key);
  return value != nullptr && value->is_string() ? std::string(value->as_string()) : std::string();
}

std::map<std::string, std::string> get_map(const js::object& in, std::string_view key) {
  std::map<std::string, std::string> out;
  const auto* value = in.if_contains(key);
  if (value == nullptr || !value->is_object()) return out;
  for (const auto& member : value->as_object()) {
    if (member.value().is_string())
      out.emplace(member.key(), std::string(member.value().as_string()));
  }
  return out;
}

}  // namespace

std::string encode_spec(const DeploymentSpec& spec) {
  const DeploymentSpec plain;
  js::object out;
  put_unless_default(out, "kind", std::string(to_text(spec.kind)), to_text(plain.kind));
  put_unless_default(out, "image", spec.image, plain.image);
  if (!spec.command.empty()) out["command"] = js::array(spec.command.begin(), spec.command.end());
  put_map(out, "env", spec.env);
  put_map(out, "labels", spec.labels);
  if (!spec.depends_on.empty()) {
    js::object on;
    for (const auto& one : spec.depends_on) on[one.on.str()] = to_text(one.until);
    out["after"] = std::move(on);
  }
  put_unless_default(out, "gpu_model", spec.constraint.gpu_model, std::string());
  put_map(out, "node_labels", spec.constraint.labels);
  if (spec.port) out["port"] = std::int64_t{*spec.port};
  put_unless_default(out, "ready_path", spec.readiness.path, plain.readiness.path);
  put_unless_default(out, "ready_timeout_s", spec.readiness.timeout.count(),
                     plain.readiness.timeout.count());
  put_unless_default(out, "max_attempts", std::int64_t{spec.restart.max_attempts},
                     std::int64_t{plain.restart.max_attempts});
  put_unless_default(out, "backoff_ms", spec.restart.backoff.count(),
                     plain.restart.backoff.count());
  put_unless_default(out, "grace_ms", spec.stop_grace.count(), plain.stop_grace.count());
  if (spec.max_run_time) out["max_run_ms"] = spec.max_run_time->count();
  put_unless_default(out, "access", std::string(to_text(spec.access)), to_text(plain.access));
  if (spec.simulation) {
    out["sim_ms"] = spec.simulation->duration.count();
    put_unless_default(out, "sim_exit", std::int64_t{spec.simulation->exit_code}, std::int64_t{0});
  }
  return js::serialize(out);
}

DeploymentSpec decode_spec(std::string_view text, const Resources& resources) {
  DeploymentSpec spec;
  spec.resources = resources;
  boost::system::error_code ec;
  const js::value root = js::parse(js::string_view(text.data(), text.size()), ec);
  if (ec || !root.is_object()) return spec;
  const js::object& in = root.as_object();
  spec.kind = from_text<Kind>(get_text(in, "kind")).value_or(spec.kind);
  spec.image = get_text(in, "image");
  if (const auto* command = in.if_contains("command"); command != nullptr && command->is_array()) {
    for (const auto& word : command->as_array()) {
      if (word.is_string()) spec.command.emplace_back(word.as_string());
    }
  }
  spec.env = get_map(in, "env");
  spec.labels = get_map(in, "labels");
  for (const auto& [on, until] : get_map(in, "after")) {
    if (const auto id = DeploymentId::parse(on))
      spec.depends_on.push_back({*id, from_text<Milestone>(until).value_or(Milestone::succeeded)});
  }
  spec.constraint = {get_text(in, "gpu_model"), get_map(in, "node_labels")};
  if (const auto port = get_int(in, "port", 0)) spec.port = static_cast<std::uint16_t>(port);
  spec.readiness.path = get_text(in, "ready_path");
  spec.readiness.timeout =
      std::chrono::seconds(get_int(in, "ready_timeout_s", spec.readiness.timeout.count()));
  spec.restart.max_attempts =
      static_cast<std::int32_t>(get_int(in, "max_attempts", spec.restart.max_attempts));
  spec.restart.backoff = Millis(get_int(in, "backoff_ms", spec.restart.backoff.count()));
  spec.stop_grace = Millis(get_int(in, "grace_ms", spec.stop_grace.count()));
  if (in.contains("max_run_ms")) spec.max_run_time = Millis(get_int(in, "max_run_ms", 0));
  spec.access = from_text<Access>(get_text(in, "access")).value_or(spec.access);
  if (in.contains("sim_ms")) {
    spec.simulation = Simulation{Millis(get_int(in, "sim_ms", 0)),
                                 static_cast<std::int32_t>(get_int(in, "sim_exit", 0))};
  }
  return spec;
}

std::string encode_gpus(const std::vector<GpuShare>& gpus) {
  std::string out;
  for (const auto& share : gpus) {
    out += fmt::format("{}{}:{}", out.empty() ? "" : ",", share.device, share.milli);
  }
  return out;
}

namespace {

js::object object_in(std::string_view text) {
  if (text.empty()) return {};
  boost::system::error_code ec;
  const js::value root = js::parse(js::string_view(text.data(), text.size()), ec);
  return ec || !root.is_object() ? js::object() : root.as_object();
}

}  // namespace

std::string encode_needs(const Constraint& constraint) {
  if (constraint.empty()) return "";
  js::object out;
  put_unless_default(out, "gpu_model", constraint.gpu_model, std::string());
  put_map(out, "labels", constraint.labels);
  return js::serialize(out);
}
Constraint decode_needs(std::string_view text) {
  if (text.empty()) return {};
  const js::object in = object_in(text);
  return {get_text(in, "gpu_model"), get_map(in, "labels")};
}

std::string encode_labels(const std::map<std::string, std::string>& labels) {
  if (labels.empty()) return "";
  js::object out;
  put_map(out, "labels", labels);
  return js::serialize(out);
}
std::map<std::string, std::string> decode_labels(std::string_view text) {
  return get_map(object_in(text), "labels");
}

std::string encode_mix(const std::vector<DemandShare>& mix) {
  std::string out;
  for (const auto& [r, weight] : mix) {
    out += fmt::format("{}{}/{}/{}/{}", out.empty() ? "" : ",", r.cpu_milli, r.memory_bytes,
                       r.gpu_milli, weight);
  }
  return out;
}

namespace {

js::object encode_replica(const ReplicaProgress& replica) {
  const ReplicaProgress plain;
  js::object out;
  out["phase"] = to_text(replica.phase);
  put_unless_default(out, "endpoint", replica.endpoint, plain.endpoint);
  if (replica.exit_code) out["exit"] = std::int64_t{*replica.exit_code};
  if (replica.signal) out["signal"] = std::int64_t{*replica.signal};
  put_unless_default(out, "oom", replica.out_of_memory, plain.out_of_memory);
  put_unless_default(out, "run_timeout", replica.run_timeout, plain.run_timeout);
  put_unless_default(out, "message", replica.message, plain.message);
  return out;
}

std::optional<std::int32_t> maybe_int(const js::object& in, std::string_view key) {
  if (!in.contains(key)) return std::nullopt;
  return static_cast<std::int32_t>(get_int(in, key, 0));
}

bool get_flag(const js::object& in, std::string_view key) {
  const auto* value = in.if_contains(key);
  return value != nullptr && value->is_bool() && value->as_bool();
}

ReplicaProgress decode_replica(const js::object& in) {
  ReplicaProgress out;
  out.phase = from_text<ReplicaPhase>(get_text(in, "phase")).value_or(out.phase);
  out.endpoint = get_text(in, "endpoint");
  out.exit_code = maybe_int(in, "exit");
  out.signal = maybe_int(in, "signal");
  out.out_of_memory = get_flag(in, "oom");
  out.run_timeout = get_flag(in, "run_timeout");
  out.message = get_text(in, "message");
  return out;
}

// Calls use(object) for each object of a list.
void each_object(const js::object& in, std::string_view key, auto&& use) {
  const auto* list = in.if_contains(key);
  if (list == nullptr || !list->is_array()) return;
  for (const auto& one : list->as_array()) {
    if (one.is_object()) use(one.as_object());
  }
}

}  // namespace

std::string encode_gang(const Gang& gang) {
  js::array more, replicas;
  for (const Grant& grant : gang.more)
    more.push_back(js::object{{"node", grant.node}, {"gpus", encode_gpus(grant.gpus)}});
  for (const ReplicaProgress& replica : gang.replicas) replicas.push_back(encode_replica(replica));
  js::object out;
  if (!more.empty()) out["more"] = std::move(more);
  if (!replicas.empty()) out["replicas"] = std::move(replicas);
  if (gang.failed) out["failed"] = std::int64_t{*gang.failed};
  return js::serialize(out);
}

Gang decode_gang(std::string_view text, const Resources& resources) {
  Gang out;
  const js::object in = object_in(text);
  each_object(in, "more", [&](const js::object& grant) {
    out.more.push_back({get_text(grant, "node"), resources, decode_gpus(get_text(grant, "gpus"))});
  });
  each_object(in, "replicas",
              [&](const js::object& replica) { out.replicas.push_back(decode_replica(replica)); });
  out.failed = maybe_int(in, "failed");
  return out;
}

std::vector<DemandShare> decode_mix(std::string_view text) {
  std::vector<DemandShare> out;
  const char* at = text.data();
  const char* end = at + text.size();
  while (at < end) {
    std::array<std::int64_t, 4> numbers{};
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      const auto [next, ec] = std::from_chars(at, end, numbers[i]);
      const char expected = i + 1 < numbers.size() ? '/' : ',';
      if (ec != std::errc{} || (next < end && *next != expected)) return out;
      at = next < end ? next + 1 : next;
    }
    out.push_back({{numbers[0], numbers[1], numbers[2]}, numbers[3]});
  }
  return out;
}

std::vector<GpuShare> decode_gpus(std::string_view text) {
  std::vector<GpuShare> out;
  const char* at = text.data();
  const char* end = at + text.size();
  while (at < end) {
    GpuShare share;
    auto [colon, ec] = std::from_chars(at, end, share.device);
    if (ec != std::errc{} || colon == end || *colon != ':') break;
    auto [next, ec2] = std::from_chars(colon + 1, end, share.milli);
    if (ec2 != std::errc{}) break;
    out.push_back(share);
    at = next + 1;
  }
  return out;
}

}  // namespace berth::sql
